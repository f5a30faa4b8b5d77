"""One bar of every symbol of a run, with the funding that falls due in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.grid import Grid
from data.market import Float64Array, Int64Array
from trading.finer import FinerGrid


@dataclass(frozen=True, slots=True, eq=False)
class MarketBar:
    """Columns over S symbols. Funding of symbol s: events ``funding_first[s] : funding_last[s]`` of the flat arrays
    (``open < time <= close``). A symbol without this bar has ``present`` False."""

    open_time: int  # ms UTC
    open: Float64Array  # [S]
    high: Float64Array
    low: Float64Array
    close: Float64Array
    volume: Float64Array
    present: npt.NDArray[np.bool_]  # [S]
    funding_first: Int64Array  # [S]
    funding_last: Int64Array  # [S]
    funding_time: Int64Array  # [N]
    funding_rate: Float64Array  # [N]
    funding_mark: Float64Array  # [N] NaN where no mark price is stored
    finer: FinerGrid | None = None  # the finer bars inside it: ``finer.begin[S, 1]``
    mark_price: Float64Array | None = None  # [S, 4] the mark price's candle by data.grid.MARK_ROWS, NaN where unknown


def bar_at(grid: Grid, t: int, finer: FinerGrid | None = None) -> MarketBar:
    """Bar ``t`` of a grid (views)."""
    inside = None if finer is None else FinerGrid(finer.high, finer.low, finer.begin[:, t : t + 1], finer.parts)
    mark_price = grid.mark_price[:, :, t] if grid.mark_price.shape[2] else None
    return MarketBar(
        int(grid.open_time[t]), grid.open[:, t], grid.high[:, t], grid.low[:, t], grid.close[:, t], grid.volume[:, t],
        grid.present[:, t], grid.funding_start[:, t], grid.funding_start[:, t + 1], grid.funding_time,
        grid.funding_rate, grid.funding_mark, inside, mark_price,
    )  # fmt: skip


def single_bar(
    open_time: int, open_: float, high: float, low: float, close: float, volume: float,
    funding: tuple[tuple[int, float, float], ...] = (),
) -> MarketBar:  # fmt: skip
    """A bar of a one-symbol run; ``funding`` = (time, rate, mark price or NaN) of each settlement due in it."""
    one = [np.array([value], dtype=np.float64) for value in (open_, high, low, close, volume)]
    return MarketBar(
        open_time, one[0], one[1], one[2], one[3], one[4], np.ones(1, dtype=np.bool_),
        np.zeros(1, dtype=np.int64), np.array([len(funding)], dtype=np.int64),
        np.array([event[0] for event in funding], dtype=np.int64),
        np.array([event[1] for event in funding], dtype=np.float64),
        np.array([event[2] for event in funding], dtype=np.float64),
    )  # fmt: skip
