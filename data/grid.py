"""Bars of several symbols on one time axis, with the funding that falls into each bar: what both engines walk over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.market import BarMark, Float64Array, Frame, FundingFrame, Int64Array, UInt8Array, distinct_times

MARK_ROWS = ("open", "high", "low", "close")  # rows of ``Grid.mark_price``


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """``[S, T]`` columns. A symbol without a bar at a time has ``present`` False and NaN prices there.

    So has one whose bar is suspect: it is stored, and nothing is decided, filled or valued on it. ``mark`` says what
    each bar is (0 where there is none); repaired and synthetic bars are present.

    Funding of symbol s due in bar t (``open < time <= close``) are events
    ``funding_start[s, t] : funding_start[s, t + 1]`` of the flat arrays. So a position pays a settlement
    if entry time < T <= exit time (fills at the open are timed at the open, any other at the close).
    ``funding_mark`` is the mark price at T, NaN where none is stored (the kernel then takes the last price at T).

    ``mark_price`` holds the candle of the mark price beside each bar (rows by ``MARK_ROWS``, quote per base): NaN where
    there is no sound one, ``[S, 4, 0]`` where there is none at all.
    """

    symbols: tuple[str, ...]
    timeframe: str
    step_ms: int
    open_time: Int64Array  # [T]
    open: Float64Array  # [S, T]
    high: Float64Array
    low: Float64Array
    close: Float64Array
    volume: Float64Array
    present: npt.NDArray[np.bool_]  # [S, T]
    funding_start: Int64Array  # [S, T + 1] into the flat arrays below
    funding_time: Int64Array  # [N]
    funding_rate: Float64Array  # [N]
    funding_mark: Float64Array  # [N]
    mark: UInt8Array  # [S, T] BarMark
    mark_price: Float64Array  # [S, 4, T] or [S, 4, 0]

    @property
    def repaired(self) -> int:
        """Bars that were not known in time: fetched again or made of finer ones later."""
        return int(np.count_nonzero(self.present & (self.mark == BarMark.REPAIRED)))

    @property
    def bars(self) -> int:
        """Length of the time axis."""
        return len(self.open_time)


def align(frames: Sequence[Frame], fundings: Sequence[FundingFrame], marks: Sequence[Frame] = ()) -> Grid:
    """Put frames (one per symbol, same timeframe) and their funding on the union of their open times.

    ``marks``: candles of the mark price, one frame per symbol and of the same timeframe, empty where none are known.
    """
    key = frames[0].key
    times = distinct_times(np.concatenate([f.open_time for f in frames]))
    shape = (len(frames), len(times))
    columns: dict[str, npt.NDArray[Any]] = {
        name: np.full(shape, np.nan) for name in ("open", "high", "low", "close", "volume")
    }
    present = np.zeros(shape, dtype=np.bool_)
    mark = np.zeros(shape, dtype=np.uint8)
    starts = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    flat: list[FundingFrame] = []
    base = 0
    for s, (frame, funding) in enumerate(zip(frames, fundings, strict=True)):
        at = np.searchsorted(times, frame.open_time)
        sound = frame.mark != BarMark.SUSPECT
        for name, column in columns.items():
            column[s, at[sound]] = getattr(frame, name)[sound]
        present[s, at] = sound
        mark[s, at] = frame.mark
        edges = np.append(times, times[-1] + key.step_ms if len(times) else 0)
        first = np.searchsorted(funding.time, edges, side="right")  # events with time <= edge
        starts[s] = base + first
        flat.append(funding)
        base += len(funding)
    return Grid(
        tuple(f.key.symbol for f in frames), key.timeframe, key.step_ms, times,
        columns["open"], columns["high"], columns["low"], columns["close"], columns["volume"], present, starts,
        np.concatenate([f.time for f in flat]).astype(np.int64), np.concatenate([f.rate for f in flat]),
        np.concatenate([f.mark_price for f in flat]), mark, _mark_prices(times, shape, marks),
    )  # fmt: skip


def _mark_prices(times: Int64Array, shape: tuple[int, int], marks: Sequence[Frame]) -> Float64Array:
    """``[S, 4, T]`` of the sound candles that open at ``times``."""
    if not any(len(frame) for frame in marks):
        return np.empty((shape[0], len(MARK_ROWS), 0))
    values: Float64Array = np.full((shape[0], len(MARK_ROWS), shape[1]), np.nan)
    for s, frame in enumerate(marks):
        here = np.flatnonzero((frame.mark != BarMark.SUSPECT) & np.isin(frame.open_time, times))
        at = np.searchsorted(times, frame.open_time[here])
        for row, name in enumerate(MARK_ROWS):
            values[s, row, at] = getattr(frame, name)[here]
    return values
