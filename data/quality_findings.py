"""What a quality check says, and the small arithmetic that all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.clock import iso
from data.market import Float64Array, Int64Array, SeriesKey

Flags = npt.NDArray[np.bool_]
Level = Literal["info", "warn", "bad"]  # good to know; may mislead a model; must not be believed

BLOCK = 32  # bars; the local median of a bar is that of its block and the two beside it

ADVICE = {
    "gap": "fetch it again (quality --repair)",
    "duplicate": "import the series again: only one bar of a time can be true",
    "disorder": "import the series again: it is sorted then",
    "off_grid": "import the series again with the right --timeframe, --tz and --unit",
    "bad_price": "fetch it again (quality --repair)",
    "bad_volume": "fetch it again (quality --repair)",
    "crossed": "fetch it again (quality --repair)",
    "outlier": "compare it with the mark price, fetch it again (quality --repair)",
    "zero_volume": "fetch it again (quality --repair); if it stays, the exchange stood still",
    "partial_volume": "fetch it again (quality --repair): the bar was read before all its trades were told",
    "jump": "look at it: fast news, or the bar before was read too early",
    "stuck": "fetch it again (quality --repair): the price did not move while trades went on",
    "repeated": "fetch it again (quality --repair): a real market does not trade the same bar twice",
    "disagreement": "fetch both series again (quality --repair)",
    "mark_disagreement": "decide nothing on it; fetch it again (quality --repair)",
    "stale": "check the connection, then download what is missing",
    "funding_gap": "download the funding again",
    "funding_interval": "nothing: costs and features read the settlements as they came",
    "funding_spike": "nothing if it is real; look whether a position was held",
    "bad_rate": "download the funding again",
    "bad_value": "collect the series again",
    "id_gap": "order flow over it is incomplete: use it from the next full window on",
    "crossed_book": "discard the rows: the book was out of step",
    "one_sided_book": "discard the rows: no spread and no imbalance can be read from them",
}


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole: ``bars`` are missing in ``start_ms <= time < end_ms``."""

    start_ms: int
    end_ms: int
    bars: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at; ``kind`` is one of :data:`ADVICE`."""

    kind: str
    start_ms: int  # time of the first row concerned
    end_ms: int  # half-open: open time of the first bar after it, or 1 ms after the last row of events
    bars: int  # rows concerned
    detail: str
    level: Level = "warn"
    series: SeriesKey | None = None

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.kind == "gap" and self.series is not None and not self.series.holds_bars:
            return "download or import the series again"
        return ADVICE[self.kind]

    @property
    def words(self) -> str:
        """When, what and what to do, as one sentence."""
        return f"{at(self.start_ms)}: {self.detail}; {self.advice}."


def at(ms: int) -> str:
    """A time in a finding's words: ``2024-10-28 20:00``, with seconds where there are any."""
    text = str(iso(ms)).replace("T", " ")
    return text[:16] if ms % 60_000 == 0 else text[:19]


def count(bars: int, noun: str = "bar") -> str:
    """``1 bar``, ``12 bars``."""
    return f"{bars:,} {noun}" if bars == 1 else f"{bars:,} {noun}s"


def spans(flags: Flags) -> Iterator[tuple[int, int]]:
    """Runs of neighbouring flags as half-open positions."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        yield int(first), int(stop)


def runs(
    key: SeriesKey, times: Int64Array, length_ms: int, flags: Flags, kind: str, level: Level,
    words: Callable[[int, int], str],
) -> Iterator[Finding]:  # fmt: skip
    """Flagged rows as findings; ``words(first, stop)`` describes rows ``first:stop``."""
    for first, stop in spans(flags):
        end = int(times[stop - 1]) + length_ms
        yield Finding(kind, int(times[first]), end, stop - first, words(first, stop), level, key)


def local_median(values: Float64Array) -> Float64Array:
    """The median of each value's surroundings (some 96 values), constant over blocks of 32: ``[n]``."""
    rows = len(values)
    if rows < 3 * BLOCK:
        return np.full(rows, np.median(values) if rows else np.nan)
    blocks = -(-rows // BLOCK)
    padded = np.concatenate([values, values[-1 : -1 - (blocks * BLOCK - rows) : -1]])
    table = padded.reshape(blocks, BLOCK)
    wide = np.concatenate([np.vstack([table[2], table[:-1]]), table, np.vstack([table[1:], table[-3]])], axis=1)
    return np.repeat(np.median(wide, axis=1), BLOCK)[:rows]
