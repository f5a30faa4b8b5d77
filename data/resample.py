"""Bars of a longer timeframe from finer ones: the exchange's own candles, as long as no part of one is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.errors import UserError
from data.market import BarMark, Frame
from data.timeframes import timeframe_ms


def resample(frame: Frame, timeframe: str, *, keep_incomplete: bool = False) -> Frame:
    """Bars of ``timeframe`` whose every part is in ``frame``.

    Open of the first part, close of the last, the widest range, the whole volume; known when the last of its parts was
    known, marked as the worst of them (suspect over synthetic over repaired over real). Bars off their own grid count
    for nothing. ``keep_incomplete``: buckets with missing parts are made of what there is and marked suspect.

    Raises:
        UserError: the timeframe is unknown, or no whole number of the frame's bars fits into it.
    """
    step, parts = _parts(frame, timeframe)
    if parts == 1:
        return frame
    key = replace(frame.key, timeframe=timeframe)
    times = frame.open_time
    off_grid = times % frame.key.step_ms != 0
    if off_grid.any():
        frame = frame.take(~off_grid)
        times = frame.open_time
    if not len(frame):
        return Frame.empty(key)
    bucket = times // step
    first = np.flatnonzero(np.concatenate([[True], bucket[1:] != bucket[:-1]]))
    last = np.append(first[1:], len(frame)) - 1
    complete = last - first + 1 == parts
    mark = np.maximum.reduceat(frame.mark, first)
    if keep_incomplete:
        mark[~complete] = BarMark.SUSPECT
    whole = Frame(
        key, bucket[first] * step, frame.open[first], np.maximum.reduceat(frame.high, first),
        np.minimum.reduceat(frame.low, first), frame.close[last], np.add.reduceat(frame.volume, first),
        np.maximum.reduceat(frame.known_at, first), mark,
    )  # fmt: skip
    return whole if keep_incomplete or complete.all() else whole.take(complete)


def _parts(frame: Frame, timeframe: str) -> tuple[int, int]:
    """Length of the longer bar in ms, and how many of the frame's bars it holds."""
    step, fine = timeframe_ms(timeframe), frame.key.step_ms
    if step % fine:
        raise UserError(f"Bars of {frame.key.timeframe} do not make bars of {timeframe}: choose a multiple of them.")
    return step, step // fine
