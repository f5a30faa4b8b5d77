"""The finest stored bars inside the bars of a series: they decide which barrier of a label was touched first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from data.market import Frame
from data.timeframes import timeframe_ms

if TYPE_CHECKING:
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


def covered(frame: Frame, finer: Frame) -> float:
    """Share of the bars of ``frame`` inside which every bar of ``finer`` is there."""
    parts = frame.key.step_ms // finer.key.step_ms
    first = np.searchsorted(finer.open_time, frame.open_time)
    last = np.searchsorted(finer.open_time, frame.open_time + frame.key.step_ms)
    return float(np.mean(last - first == parts)) if len(frame) else 0.0
