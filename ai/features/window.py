"""The last bars of everything that is measured, as contiguous windows.

The whole state of an engine is one float vector. Its head holds counters; then come rings: the ``DEPTH`` values before
the newest block of bars and that block itself, oldest first. So the newest n values always lie side by side and a
window is summed in the same order whenever the engine was started: a value does not drift with the length of the
history. When there is no room for the next bar the last ``DEPTH`` values move to the front.

Gaps: a bar that does not open exactly one step after the bar before it begins a new run. No change and no return is
measured over a gap: the ring of returns holds only returns that exist, a horizon return is NaN until its whole
horizon lies within the run, and ranges of such a bar are its own high minus its own low.
"""

from __future__ import annotations

import math

import numpy as np

from data.compiled import kernel, kernel_part
from data.market import Float64Array

DEPTH = 128  # values before the newest block
BLOCK = 128  # most bars of a block
WIDTH = DEPTH + BLOCK
MASK = WIDTH - 1  # what is masked by it is not negative: only so does the compiler take eight bars at once

# head
POS, COUNT, LAST_OPEN, RUN, RETURN_POS, RETURN_COUNT, RETURN = range(7)
HEAD = 16

# rings
HIGH, LOW, CLOSE, VOLUME, TYPICAL, TURNOVER, RANGE_SQ, GARMAN_KLASS, FLOW, MONEY_UP, MONEY_DOWN = range(11)
PRESSURE, CHANGE, PATH, OPEN, FUNDING_RATE, RETURNS = 11, 12, 13, 14, 15, 16
CANDLE_RINGS = 17
# rings of what stands beside the candles: a value for every bar, NaN where it is missing
BASIS_INDEX, BASIS_MARK, OPEN_INTEREST, ACCOUNTS, BOOK_LEAN = 17, 18, 19, 20, 21
TAKER_BUY, TAKER_SELL, TRADE_COUNT, LIQUIDATED_LONG, LIQUIDATED_SHORT = 22, 23, 24, 25, 26
OWN_RETURN, CROSS_CLOSE, CROSS_RETURN, CROSS_RATIO = 27, 28, 30, 32  # the last three for each of two symbols
RINGS = 34
SCRATCH = HEAD + RINGS * WIDTH  # what the groups reckon with, nothing that lasts
SLOTS = 5
STATE = SCRATCH + SLOTS * WIDTH


@kernel_part
def window(state: Float64Array, ring: int, bars: int) -> int:
    """Where the newest ``bars`` values of a ring begin in ``state``; they follow oldest first.

    An offset, not a view: views are counted references, and that costs more than the sums do.
    """
    at = RETURN_POS if ring == RETURNS else POS
    return HEAD + ring * WIDTH + DEPTH + (int(state[at]) & MASK) - bars


@kernel_part
def newest(state: Float64Array, ring: int, back: int) -> float:
    """The value of a ring ``back`` bars ago (0: the newest)."""
    return float(state[window(state, ring, back + 1)])


@kernel_part
def put(state: Float64Array, ring: int, value: float) -> None:
    """Write the newest bar's value of a ring."""
    state[window(state, ring, 1)] = value


@kernel_part
def total(state: Float64Array, ring: int, bars: int) -> float:
    """Sum of the newest values, with eight accumulators (the order of :func:`ai.features.sums.totals`)."""
    at = window(state, ring, bars)
    a = b = c = d = e = f = g = h = 0.0
    for k in range(bars // 8):
        i = at + 8 * k
        a += state[i]
        b += state[i + 1]
        c += state[i + 2]
        d += state[i + 3]
        e += state[i + 4]
        f += state[i + 5]
        g += state[i + 6]
        h += state[i + 7]
    for i in range(at + 8 * (bars // 8), at + bars):
        a += state[i]
    return ((a + b) + (c + d)) + ((e + f) + (g + h))


@kernel
def present(state: Float64Array, ring: int, bars: int) -> tuple[int, float]:
    """How many of the newest values are there (not NaN), and their sum."""
    at = window(state, ring, bars)
    count, summed = 0, 0.0
    for i in range(at, at + bars):
        if state[i] == state[i]:
            count += 1
            summed += state[i]
    return count, summed


@kernel
def zscore_present(state: Float64Array, ring: int, bars: int, least: int) -> float:
    """The newest value against those that are there (ddof 0; 0 where they are flat).

    NaN where it is missing itself, or fewer than ``least`` are there.
    """
    count, summed = present(state, ring, bars)
    at = window(state, ring, bars)
    now = state[at + bars - 1]
    if count < least or now != now:
        return np.nan
    mean, spread = summed / count, 0.0
    for i in range(at, at + bars):
        if state[i] == state[i]:
            spread += (state[i] - mean) * (state[i] - mean)
    sd = math.sqrt(spread / count)
    return (now - mean) / sd if sd > 1e-14 * abs(mean) else 0.0
