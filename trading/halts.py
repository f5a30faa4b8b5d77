"""When and why a back-test's account was halted, and when its rule let it go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.grid import Grid
from data.timeframes import DAY_MS
from trading.config import TradingConfig
from trading.outcome import halt_words
from trading.risk.limits import GATES
from trading.risk.system import month_of


@dataclass(frozen=True, slots=True)
class Halt:
    """One halt by a system gate. Times in ms UTC."""

    at: int  # close of the bar that was judged
    reason: int  # 1 + the gate's slot
    resumed: int | None  # from then on entries were allowed again; None: not within the run

    @property
    def gate(self) -> str:
        """Name of the gate that failed."""
        return GATES[self.reason - 1].name

    @property
    def words(self) -> str:
        """What the gate measures, for people."""
        return halt_words(self.reason)


def halts_of(seen: Sequence[tuple[int, int]], config: TradingConfig, grid: Grid) -> tuple[Halt, ...]:
    """The halts of a run from their moments and reasons."""
    return tuple(Halt(at, reason, _resumed(at, config, grid)) for at, reason in seen)


def _resumed(at: int, config: TradingConfig, grid: Grid) -> int | None:
    """The first bar's open or close at or after a 00:00 UTC at which ``on_halt`` ends the halt.

    A day that ends with the bar of the halt was over before it.
    """
    if config.on_halt == "stop":
        return None
    moments = np.union1d(grid.open_time, grid.open_time + grid.step_ms)
    midnight = (at // DAY_MS + 1) * DAY_MS
    while midnight <= moments[-1]:
        moment = int(moments[np.searchsorted(moments, midnight)])
        if config.on_halt == "next-day" or month_of(moment) != month_of(at - 1):
            return moment
        midnight = (moment // DAY_MS + 1) * DAY_MS
    return None
