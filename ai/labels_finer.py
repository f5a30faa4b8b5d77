"""Finer bars inside the bars that are labelled: in which order the barriers were touched.

A bar of 15 minutes that reaches both barriers does not say which came first; its 1-minute bars mostly do. Finer bars
are used only where they are the same market told in more detail: all of them are there, none is suspect, and together
they make the very open, high, low and close of the bar. Elsewhere the bar is read as before (both touched: the stop).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.compiled import kernel_part
from data.errors import UserError
from data.market import BarMark, Float64Array, Frame, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class FinerBars:
    """N finer bars and where those inside each of T bars begin."""

    open: Float64Array  # [N] quote per base
    high: Float64Array
    low: Float64Array
    begin: Int64Array  # [T] position of the bar's first finer bar; -1: not known in finer bars
    parts: int  # finer bars in a bar

    @classmethod
    def none(cls) -> FinerBars:
        """No finer bars."""
        nothing: Float64Array = np.empty(0)
        return cls(nothing, nothing, nothing, np.empty(0, dtype=np.int64), 0)


def finer_bars(frame: Frame, finer: Frame) -> FinerBars:
    """The bars of ``finer`` that lie inside those of ``frame``.

    Args:
        frame: the bars that are labelled, T of them.
        finer: bars of the same symbol and a shorter timeframe; they may have gaps and another span.

    Raises:
        UserError: another symbol, or no whole number of finer bars fits into one of ``frame``.
    """
    if finer.key.symbol != frame.key.symbol:
        raise UserError(f"Bars of {finer.key} do not lie inside bars of {frame.key}: they are of another symbol.")
    parts, rest = divmod(frame.key.step_ms, finer.key.step_ms)
    if rest or parts < 2:
        raise UserError(f"Bars of {finer.key.timeframe} do not lie inside bars of {frame.key.timeframe}: choose finer.")
    begin = np.full(len(frame), -1, dtype=np.int64)
    first = np.searchsorted(finer.open_time, frame.open_time)
    last = first + parts - 1
    rows = np.flatnonzero(last < len(finer))
    a, b = first[rows], last[rows]
    whole = (finer.open_time[a] == frame.open_time[rows]) & (
        finer.open_time[b] == frame.open_time[rows] + frame.key.step_ms - finer.key.step_ms
    )
    rows, a, b = rows[whole], a[whole], b[whole]
    if len(rows):
        edges = np.column_stack([a, b + 1]).ravel()  # reduceat: from each a to its b, and the stretch up to the next a
        high = np.maximum.reduceat(np.append(finer.high, -np.inf), edges)[::2]
        low = np.minimum.reduceat(np.append(finer.low, np.inf), edges)[::2]
        suspect = np.append(0, np.cumsum(finer.mark == BarMark.SUSPECT))
        same = (high == frame.high[rows]) & (low == frame.low[rows]) & (suspect[b + 1] == suspect[a])
        same &= (finer.open[a] == frame.open[rows]) & (finer.close[b] == frame.close[rows])
        begin[rows[same]] = a[same]
    return FinerBars(
        np.ascontiguousarray(finer.open), np.ascontiguousarray(finer.high), np.ascontiguousarray(finer.low), begin,
        parts,
    )  # fmt: skip


@kernel_part
def first_inside(
    high: Float64Array, low: Float64Array, begin: int, parts: int, above: float, below: float
) -> int:  # fmt: skip
    """The first finer bar with high >= above or low <= below, -1 if there is none."""
    for j in range(begin, begin + parts):
        if high[j] >= above or low[j] <= below:
            return j
    return -1
