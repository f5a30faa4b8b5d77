"""What every row works with: the market, the peers, and how many bars."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from scripts.benchmarks.environments import Peer, PeerMissing, Peers
from scripts.benchmarks.rows import Row
from scripts.benchmarks.timing import ROUNDS, Timed, in_turn

if TYPE_CHECKING:
    from data.market import Frame, FundingFrame

SLOW_S = 20.0  # a slower peer runs once, on a tenth of the bars
SEED = 7


@dataclass(eq=False)
class Bench:
    """One run of the benchmarks."""

    bars: int = 1_000_000
    peers: Peers = field(default_factory=Peers)

    @cached_property
    def market(self) -> tuple[Frame, FundingFrame]:
        """Synthetic one-minute bars and their funding."""
        from data.synthetic import synthetic_market

        return synthetic_market("BTCUSDT", "1m", self.bars, SEED)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides' medians. ``note`` says how the peer was run; ``said`` is the rest of its last answer."""

    ours: float
    theirs: float | None
    title: str
    note: str
    said: dict[str, object] = field(default_factory=dict)


OpenPeer = Callable[[float], AbstractContextManager[Peer]]
"""The worker over a share of the bars."""


def against(ours: Timed, name: str, opened: OpenPeer, *, slow: bool = False, rounds: int = ROUNDS) -> Pair:
    """Run both sides in turn. ``slow``: the peer is known to need more than 20 s; else its first run tells."""
    try:
        if not slow:
            with opened(1.0) as peer:
                first = peer.run()
                if float(first["seconds"]) <= SLOW_S:
                    return _in_turn(ours, peer, rounds)
        with opened(0.1) as peer:
            (mine,) = in_turn(ours, rounds=rounds)
            said = peer.run()
            note = "peer: one run on a tenth of the bars, ×10"
            return Pair(mine, 10.0 * float(said["seconds"]), peer.title, note, said)
    except PeerMissing as missing:
        (mine,) = in_turn(ours, rounds=rounds)
        return Pair(mine, None, name, str(missing))


def _in_turn(ours: Timed, peer: Peer, rounds: int) -> Pair:
    """The peer has had its warm-up; a slow one is not asked as often as a fast one."""
    ours()
    mine, theirs, said = [], [], dict[str, object]()
    for _ in range(rounds):
        mine.append(ours())
        said = peer.run()
        theirs.append(float(str(said["seconds"])))
        if sum(theirs) > SLOW_S and len(theirs) >= 3:
            break
    note = "" if len(theirs) == rounds else f"{len(theirs)} runs a side"
    return Pair(statistics.median(mine), statistics.median(theirs), peer.title, note, said)


Section = Callable[[Bench], list[Row]]
