"""The finest stored bars inside those of a series: they say which level was touched first (labels, back-tests)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ai.labels_finer import finer_bars
from data.market import Frame
from data.timeframes import timeframe_ms
from trading.finer import FinerGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.grid import Grid
    from data.store import CandleStore

TIMEFRAMES = ("1m", "5m")  # the finest first
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


def finer_grid(store: CandleStore, frames: Sequence[Frame], grid: Grid) -> FinerGrid | None:
    """Stored finer bars inside the bars of ``grid``; ``None``: there are none of any symbol.

    ``frames`` are the grid's symbols, whatever more bars they hold. Only symbols with bars of the timeframe first found
    take part, so that a bar is told in equally many parts.
    """
    begin = np.full(grid.present.shape, -1, dtype=np.int64)
    high, low, parts, base = [], [], 0, 0
    for s, frame in enumerate(frames):
        finer = finer_frame(store, frame)
        if finer is None:
            continue
        found = finer_bars(frame, finer)
        parts = parts or found.parts
        if found.parts != parts:
            continue
        at = np.searchsorted(frame.open_time, grid.open_time)
        inside = np.flatnonzero(grid.present[s] & (at < len(frame)))
        inside = inside[frame.open_time[at[inside]] == grid.open_time[inside]]
        known = inside[found.begin[at[inside]] >= 0]
        begin[s, known] = found.begin[at[known]] + base
        high.append(found.high)
        low.append(found.low)
        base += len(found.high)
    return FinerGrid(np.concatenate(high), np.concatenate(low), begin, parts) if high else None


def covered(frame: Frame, finer: Frame) -> float:
    """Share of the bars of ``frame`` inside which every bar of ``finer`` is there."""
    parts = frame.key.step_ms // finer.key.step_ms
    first = np.searchsorted(finer.open_time, frame.open_time)
    last = np.searchsorted(finer.open_time, frame.open_time + frame.key.step_ms)
    return float(np.mean(last - first == parts)) if len(frame) else 0.0
