"""The state of the market at the close that each trade of a run was decided on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ai.regime import REGIME_NAMES, UNKNOWN, regime_labels, regime_warmup_bars
from data.timeframes import DAY_MS
from trading.analysis import bars_of_entry

if TYPE_CHECKING:
    from data.grid import Grid
    from data.market import SeriesKey
    from data.store import CandleStore
    from trading.backtest import RunResult

HOLES_MS = 7 * DAY_MS  # read besides: bars may be missing where the 90 days begin
NOT_KNOWN = "unknown"


def regimes_at_entry(store: CandleStore, keys: Sequence[SeriesKey], grid: Grid, result: RunResult) -> list[str]:
    """``[n]`` names of :mod:`ai.regime`, ``unknown`` where the store lacks the 90 days before.

    What the regime needs before the first bar is read for it alone: no engine sees more for it.
    """
    names = [NOT_KNOWN] * len(result.trades)
    if not len(result.trades):
        return names
    before = regime_warmup_bars(grid.timeframe) * grid.step_ms + HOLES_MS
    for s, key in enumerate(keys):
        frame = store.read(key, int(grid.open_time[0]) - before, int(grid.open_time[-1]) + grid.step_ms)
        states = [UNKNOWN, *regime_labels(frame).tolist()]  # an entry before the first bar: -1
        of_symbol = (result.trades["symbol"] == s).nonzero()[0].tolist()
        for row, bar in zip(of_symbol, bars_of_entry(result.trades, s, frame.open_time, grid.step_ms), strict=True):
            names[row] = NOT_KNOWN if states[bar + 1] == UNKNOWN else REGIME_NAMES[states[bar + 1]]
    return names
