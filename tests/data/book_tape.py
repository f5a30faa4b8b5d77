"""A market whose every state is known: single changes of levels, batched into numbered diffs, and snapshots between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from data.exchange.events import BookDelta, BookSnapshot

SYMBOL = "BTC/USDT:USDT"
Levels = dict[float, float]


def array_of(levels: Levels, best_last: bool = False) -> np.ndarray:
    rows = sorted(levels.items(), reverse=best_last)
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def levels_of(rows: np.ndarray) -> Levels:
    return dict(rows.tolist())


@dataclass
class Tape:
    """``diffs`` lead through ``states``; ``ids`` are the numbers at which a snapshot may be taken."""

    diffs: list[BookDelta] = field(default_factory=list)
    states: dict[int, tuple[Levels, Levels]] = field(default_factory=dict)
    times: dict[int, int] = field(default_factory=dict)

    @property
    def ids(self) -> list[int]:
        return list(self.states)

    def snapshot(self, update_id: int) -> BookSnapshot:
        bids, asks = self.states[update_id]
        moment = self.times[update_id]
        return BookSnapshot(SYMBOL, update_id, array_of(bids, True), array_of(asks), moment, moment)


def tape(seed: int, diffs: int, numbered: bool = False) -> Tape:
    """Bids below 100, asks above, two dozen prices each side.

    Args:
        numbered: ids go up by one and no diff tells its forerunner (like Bybit); otherwise ids skip (a number is used
            up by other symbols too) and each diff names the last number of the one before (``pu``, like Binance).
    """
    rng = np.random.default_rng(seed)
    bids = {100.0 - k: float(rng.integers(1, 9)) for k in range(1, 13)}
    asks = {100.0 + k: float(rng.integers(1, 9)) for k in range(1, 13)}
    made = Tape()
    last, moment = int(rng.integers(1000, 2000)), 1_700_000_000_000
    made.states[last], made.times[last] = (dict(bids), dict(asks)), moment
    for _ in range(diffs):
        first, previous = None, last
        changed: tuple[Levels, Levels] = ({}, {})
        for _ in range(int(rng.integers(1, 4))):
            last += 1 if numbered else int(rng.integers(1, 6))
            first = last if first is None else first
            moment += int(rng.integers(0, 30))
            side = int(rng.integers(2))
            price = 100.0 + (1 if side else -1) * float(rng.integers(1, 25))
            size = float(rng.integers(0, 4))
            book = (bids, asks)[side]
            changed[side][price] = size
            if size:
                book[price] = size
            else:
                book.pop(price, None)
            made.states[last], made.times[last] = (dict(bids), dict(asks)), moment
        made.diffs.append(
            BookDelta(
                SYMBOL, first, last, None if numbered else previous, array_of(changed[0]), array_of(changed[1]), moment,
                moment,
            )
        )  # fmt: skip
    return made


def renumbered(delta: BookDelta, by: int, later_ms: int) -> BookDelta:
    """The diff as an exchange sends it after its numbering has started anew."""
    previous = None if delta.previous_id is None else delta.previous_id + by
    moment = delta.event_ms + later_ms
    return replace(
        delta, first_id=delta.first_id + by, last_id=delta.last_id + by, previous_id=previous, event_ms=moment,
        received_ms=moment,
    )  # fmt: skip
