"""Finer bars inside the bars of a run: which of two levels within one bar was reached first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.compiled import kernel
from data.market import Float64Array, Int64Array
from trading.costs import ticks_of
from trading.matching import through
from trading.records import Row


@dataclass(frozen=True, slots=True, eq=False)
class FinerGrid:
    """N finer bars of all symbols one after the other, and where those inside each bar of a grid begin."""

    high: Float64Array  # [N] quote per base
    low: Float64Array
    begin: Int64Array  # [S, T] position of the bar's first finer bar, -1: not known in finer bars; [S, 0]: none at all
    parts: int  # finer bars in a bar

    @classmethod
    def none(cls, symbols: int) -> FinerGrid:
        """No finer bars."""
        nothing: Float64Array = np.empty(0)
        return cls(nothing, nothing, np.empty((symbols, 0), dtype=np.int64), 0)


@kernel
def target_first(
    p: Row, instrument: Row, rules: Row, high: Float64Array, low: Float64Array, begin: int, parts: int
) -> bool:
    """Whether a finer bar reaches the next target before, and not together with, stop or liquidation."""
    side = p["side"]
    if begin < 0 or side == 0:
        return False
    level = p["next_target"]
    guard = side * max(side * p["stop"], side * p["liquidation"])
    for j in range(begin, begin + parts):
        h, lo = ticks_of(high[j], instrument), ticks_of(low[j], instrument)
        adverse, favourable = (lo, h) if side > 0 else (h, lo)
        if side * (adverse - guard) <= 0:
            return False
        if side * (favourable - level) >= through(rules):
            return True
    return False
