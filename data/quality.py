"""The data report: what is missing from a series and what looks wrong in it. It names findings; it changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.market import Frame, FundingFrame, Int64Array
from data.timeframes import HOUR_MS

OUTLIER_SCALE = 12.0  # times the local median range …
OUTLIER_WINDOW = 97  # … over this many bars around
OUTLIER_RETURN = 0.5  # a return beyond ±50 % within a bar is named whatever its surroundings
FUNDING_STEP_MS = 8 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Gap:
    """A hole: ``bars`` are missing in ``start_ms <= time < end_ms``."""

    start_ms: int
    end_ms: int
    bars: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at; ``kind`` is gap, zero_volume, bad_price, crossed, outlier, off_grid or disorder."""

    kind: str
    start_ms: int  # open time of the first bar concerned
    end_ms: int  # open time of the first bar after it
    bars: int
    detail: str


def gaps(frame: Frame) -> list[Gap]:
    """Holes between the first and the last bar."""
    return _holes(frame.open_time, frame.key.step_ms, frame.key.step_ms)


def funding_gaps(funding: FundingFrame) -> list[Gap]:
    """Holes of over one and a half regular intervals (8 h) between settlements."""
    return [g for g in _holes(funding.time, FUNDING_STEP_MS, FUNDING_STEP_MS * 3 // 2) if g.bars]


def _holes(time: Int64Array, step_ms: int, longest_ms: int) -> list[Gap]:
    distance = np.diff(time)
    return [
        Gap(int(time[i]) + step_ms, int(time[i + 1]), int(distance[i] // step_ms) - 1)
        for i in np.flatnonzero(distance > longest_ms)
    ]


def inspect(frame: Frame) -> list[Finding]:
    """Every finding of a series, in order of time."""
    found = [Finding("gap", g.start_ms, g.end_ms, g.bars, f"{g.bars} bars are missing") for g in gaps(frame)]
    if frame.key.kind == "ohlcv":
        found += _runs(frame, "zero_volume", frame.volume == 0, "without any volume")
    prices = np.column_stack([frame.open, frame.high, frame.low, frame.close])
    bad = np.asarray(~(np.isfinite(prices) & (prices > 0)).all(axis=1))
    crossed = (frame.high < prices.max(axis=1)) | (frame.low > prices.min(axis=1))
    found += _runs(frame, "bad_price", bad, "with a price that is zero, negative or no number")
    found += _runs(frame, "crossed", crossed & ~bad, "whose high or low does not hold its open and close")
    off_grid = np.asarray(frame.open_time % frame.key.step_ms != 0)
    found += _runs(frame, "off_grid", off_grid, "off the timeframe's grid")
    disorder = np.zeros(len(frame), dtype=np.bool_)
    disorder[1:] = np.diff(frame.open_time) <= 0
    found += _runs(frame, "disorder", disorder, "not after the bar before")
    if not bad.any():
        found += _runs(frame, "outlier", _outliers(frame), "far outside the moves around them")
    return sorted(found, key=lambda f: (f.start_ms, f.kind))


def _runs(frame: Frame, kind: str, flags: npt.NDArray[np.bool_], words: str) -> Iterator[Finding]:
    """Flagged bars as runs of neighbours."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        bars = int(stop - first)
        end = int(frame.open_time[stop - 1]) + frame.key.step_ms
        noun = "bar" if bars == 1 else "bars"
        yield Finding(kind, int(frame.open_time[first]), end, bars, f"{bars} {noun} {words}")


def _outliers(frame: Frame) -> npt.NDArray[np.bool_]:
    """Bars that jump away and come back at once, far beyond the local scale, or move by half their price."""
    count = len(frame)
    if count < 3:
        return np.zeros(count, dtype=np.bool_)
    log_close = np.log(frame.close)
    reach = np.maximum(np.log(frame.high) - log_close, log_close - np.log(frame.low))
    move = np.abs(np.diff(log_close, prepend=np.log(frame.open[0])))
    size = np.maximum(reach, move)
    half = min(OUTLIER_WINDOW, count | 1) // 2
    padded = np.pad(size, half, mode="reflect" if half < count else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)
    local = np.concatenate([np.median(part, axis=1) for part in np.array_split(windows, max(1, count // 20_000))])
    floor = np.median(size) * 0.5
    beyond = size > OUTLIER_SCALE * np.maximum(local, floor)
    returns = reach > move * 2
    returns[1:-1] |= np.abs(log_close[2:] - log_close[:-2]) < 0.5 * move[1:-1]
    return np.asarray((beyond & returns) | (size > OUTLIER_RETURN), dtype=np.bool_)
