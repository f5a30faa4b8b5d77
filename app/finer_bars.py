"""Stored bars inside those of a series: they say which level was touched first (labels, matching)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ai.labels_finer import finer_bars
from data.market import Float64Array, Frame, Int64Array, SeriesKey
from data.timeframes import TIMEFRAMES as LENGTHS
from data.timeframes import timeframe_ms
from trading.finer import FinerGrid

if TYPE_CHECKING:
    from data.grid import Grid
    from data.store import CandleStore
    from trading.config import TradingConfig

Read = Callable[[SeriesKey, int, int], Frame]
FinerSource = Callable[["Grid", int, int], FinerGrid | None]  # bars of a grid, half-open

TIMEFRAMES = ("1m", "5m")  # of labels, the finest first
COVERED = 0.995  # share of the bars that must have all of their finer bars


def finer_frame(store: CandleStore, frame: Frame) -> Frame | None:
    """Stored bars of the same exchange, source and symbol that cover the whole of ``frame``; ``None``: there are none.

    Bars of one timeframe are used for all of it, so that a label means the same from the first bar to the last.
    """
    if not len(frame):
        return None
    stored = {info.key: info for info in store.series()}
    begin, end = int(frame.open_time[0]), int(frame.open_time[-1]) + frame.key.step_ms
    for timeframe in TIMEFRAMES:
        parts, rest = divmod(frame.key.step_ms, timeframe_ms(timeframe))
        info = stored.get(replace(frame.key, timeframe=timeframe))
        if info is None or rest or parts < 2 or info.rows < COVERED * parts * len(frame):
            continue
        finer = store.read(info.key, begin, end)
        if covered(frame, finer) >= COVERED:
            return finer
    return None


def covered(frame: Frame, finer: Frame) -> float:
    """Share of the bars of ``frame`` inside which every bar of ``finer`` is there."""
    parts = frame.key.step_ms // finer.key.step_ms
    first = np.searchsorted(finer.open_time, frame.open_time)
    last = np.searchsorted(finer.open_time, frame.open_time + frame.key.step_ms)
    return float(np.mean(last - first == parts)) if len(frame) else 0.0


# ---- matching --------------------------------------------------------------------------------------------------------


def reads_finer(config: TradingConfig) -> bool:
    """Whether the matching of a run asks for finer bars."""
    return config.settings.matching.both_touched == "finer"


def finer_of(
    store: CandleStore, keys: Sequence[SeriesKey], grid: Grid, config: TradingConfig, read: Read | None = None
) -> FinerGrid | None:
    """As :func:`finer_grid` where the run asks for it."""
    return finer_grid(read or store.read, keys, grid) if reads_finer(config) else None


def finer_source(store: CandleStore, keys: Sequence[SeriesKey], config: TradingConfig) -> FinerSource | None:
    """Where a run that takes its bars one by one looks for those inside them; ``None`` where it asks for none."""
    from app.wiring import cut

    if not reads_finer(config):
        return None
    return lambda grid, first, stop: finer_grid(store.read, keys, cut(grid, first, stop))


def finer_grid(read: Read, keys: Sequence[SeriesKey], grid: Grid) -> FinerGrid | None:
    """Bars inside those of ``grid``; ``None``: there are none of any symbol.

    Each bar is told by the shortest timeframe that has all of its parts and makes its very prices, whatever other bars
    are told by: so it does not depend on where a run begins or ends. A part of a longer timeframe stands there as often
    as the shortest one fits into it, which changes no order.

    Args:
        read: bars of a series in a half-open span; an unknown series is empty.
        keys: series of the grid's symbols.
        grid: bars that are traded.
    """
    found = [part for s, key in enumerate(keys) for part in _parts_of(read, key, grid, s)] if grid.bars else []
    if not found:
        return None
    parts = max(high.shape[1] for _, _, high, _ in found)
    begin = np.full(grid.present.shape, -1, dtype=np.int64)
    base = 0
    highs: list[Float64Array] = []
    lows: list[Float64Array] = []
    for s, at, high, low in found:
        begin[s, at] = base + parts * np.arange(len(at))
        base += parts * len(at)
        for column, rows in ((highs, high), (lows, low)):
            column.append(np.repeat(rows, parts // high.shape[1], axis=1).ravel())
    return FinerGrid(np.concatenate(highs), np.concatenate(lows), begin, parts)


_Part = tuple[int, Int64Array, Float64Array, Float64Array]  # symbol, bars [n], highs and lows inside them [n, parts]


def _parts_of(read: Read, key: SeriesKey, grid: Grid, s: int) -> list[_Part]:
    """Bars of symbol ``s`` by the timeframe that tells them, the shortest first."""
    open_ = np.flatnonzero(grid.present[s])
    found: list[_Part] = []
    for timeframe, step in LENGTHS.items():
        if not len(open_) or step >= grid.step_ms:
            break
        bars = Frame.of(
            key, grid.open_time[open_], grid.open[s, open_], grid.high[s, open_], grid.low[s, open_],
            grid.close[s, open_], grid.volume[s, open_],
        )  # fmt: skip
        begin, end = int(bars.open_time[0]), int(bars.open_time[-1]) + grid.step_ms
        finer = read(replace(key, timeframe=timeframe), begin, end)
        inside = finer_bars(bars, finer)
        told = inside.begin >= 0
        if told.any():
            rows = inside.begin[told][:, None] + np.arange(inside.parts)
            found.append((s, open_[told], finer.high[rows], finer.low[rows]))
            open_ = open_[~told]
    return found


def finer_words(config: TradingConfig, finer: FinerGrid | None, grid: Grid) -> tuple[str, ...]:
    """What a result has to say of finer bars that it asked for and did not find."""
    if not reads_finer(config):
        return ()
    bars = int(np.count_nonzero(grid.present))
    told = 0 if finer is None else int(np.count_nonzero(finer.begin >= 0))
    if told == bars:
        return ()
    if not told:
        return ("no finer bars are stored: where a bar touches stop and target, the stop counts",)
    return (f"finer bars are stored inside {told:,} of {bars:,} bars: where not, touching both levels is the stop",)
