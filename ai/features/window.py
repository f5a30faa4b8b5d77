"""The last bars as contiguous windows, and sums over them.

The whole state of an engine is one float vector. Its head holds counters; then come ring buffers of ``DEPTH`` values,
each written twice so that the newest n values always lie side by side, oldest first. So a window is summed in the
same order whenever the engine was started, and a value does not drift with the length of the history.

Gaps: a bar that does not open exactly one step after the bar before it begins a new run. No change and no return is
measured over a gap: the ring of returns holds only returns that exist, a horizon return is NaN until its whole
horizon lies within the run, and ranges of such a bar are its own high minus its own low.
"""

from __future__ import annotations

import math

import numpy as np

from data.compiled import kernel, kernel_part
from data.market import Float64Array

DEPTH = 128  # a power of two

# head
POS, COUNT, LAST_OPEN, RUN, RETURN_POS, RETURN_COUNT, LAST_CLOSE, LAST_TYPICAL, RETURN, CHANGE_NOW = range(10)
TRUE_RANGE, UP_MOVE, DOWN_MOVE = 10, 11, 12
HEAD = 16

# rings
HIGH, LOW, CLOSE, VOLUME, TYPICAL, TURNOVER, RANGE_SQ, GARMAN_KLASS, FLOW, MONEY_UP, MONEY_DOWN = range(11)
PRESSURE, CHANGE, PATH, RETURNS = 11, 12, 13, 14
# rings of what stands beside the candles: a value for every bar, NaN where it is missing
BASIS_INDEX, BASIS_MARK, OPEN_INTEREST, ACCOUNTS, BOOK_LEAN = 15, 16, 17, 18, 19
TAKER_BUY, TAKER_SELL, TRADE_COUNT, LIQUIDATED_LONG, LIQUIDATED_SHORT = 20, 21, 22, 23, 24
OWN_RETURN, CROSS_CLOSE, CROSS_RETURN, CROSS_RATIO = 25, 26, 28, 30  # the last three for each of two symbols
RINGS = 32
STATE = HEAD + RINGS * 2 * DEPTH

_BODY = 2.0 * math.log(2.0) - 1.0


@kernel_part
def window(state: Float64Array, ring: int, bars: int) -> int:
    """Where the newest ``bars`` values of a ring begin in ``state``; they follow oldest first.

    An offset, not a view: views are counted references, and that costs more than the sums do.
    """
    at = RETURN_POS if ring == RETURNS else POS
    return HEAD + ring * 2 * DEPTH + DEPTH + 1 + (int(state[at]) & (DEPTH - 1)) - bars


@kernel_part
def newest(state: Float64Array, ring: int, back: int) -> float:
    """The value of a ring ``back`` bars ago (0: the newest)."""
    return float(state[window(state, ring, back + 1)])


@kernel_part
def put(state: Float64Array, ring: int, pos: int, value: float) -> None:
    """Write a value at a ring position, twice."""
    at = HEAD + ring * 2 * DEPTH + pos
    state[at] = value
    state[at + DEPTH] = value


@kernel_part
def total(state: Float64Array, ring: int, bars: int) -> float:
    """Sum of the newest values, with eight accumulators (a fixed order that can run in parallel lanes)."""
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


@kernel_part
def squares(state: Float64Array, ring: int, bars: int, centre: float) -> float:
    """Sum of squared deviations of the newest values from ``centre``."""
    at = window(state, ring, bars)
    a = b = c = d = 0.0
    for k in range(bars // 4):
        i = at + 4 * k
        w, x, y, z = state[i] - centre, state[i + 1] - centre, state[i + 2] - centre, state[i + 3] - centre
        a += w * w
        b += x * x
        c += y * y
        d += z * z
    for i in range(at + 4 * (bars // 4), at + bars):
        w = state[i] - centre
        a += w * w
    return (a + b) + (c + d)


@kernel_part
def highest(state: Float64Array, ring: int, bars: int) -> float:
    """Largest of the newest values (two lanes)."""
    at = window(state, ring, bars)
    a: float = state[at]
    b: float = state[at + bars - 1]
    for k in range(bars // 2):
        x, y = state[at + 2 * k], state[at + 2 * k + 1]
        a = x if x > a else a
        b = y if y > b else b
    return a if a > b else b


@kernel_part
def lowest(state: Float64Array, ring: int, bars: int) -> float:
    """Smallest of the newest values (two lanes)."""
    at = window(state, ring, bars)
    a: float = state[at]
    b: float = state[at + bars - 1]
    for k in range(bars // 2):
        x, y = state[at + 2 * k], state[at + 2 * k + 1]
        a = x if x < a else a
        b = y if y < b else b
    return a if a < b else b


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


@kernel_part
def regression(state: Float64Array, ring: int, bars: int) -> tuple[float, float]:
    """Least-squares slope per bar and its t-value (clipped to ±100; 0 for a flat window)."""
    at = window(state, ring, bars)
    mean = total(state, ring, bars) / bars
    x = -0.5 * (bars - 1)
    xy_a = xy_b = xy_c = xy_d = yy_a = yy_b = yy_c = yy_d = 0.0
    for k in range(bars // 4):
        i = at + 4 * k
        p, q, r, s = state[i] - mean, state[i + 1] - mean, state[i + 2] - mean, state[i + 3] - mean
        xy_a += x * p
        xy_b += (x + 1.0) * q
        xy_c += (x + 2.0) * r
        xy_d += (x + 3.0) * s
        yy_a += p * p
        yy_b += q * q
        yy_c += r * r
        yy_d += s * s
        x += 4.0
    for i in range(at + 4 * (bars // 4), at + bars):
        p = state[i] - mean
        xy_a += x * p
        yy_a += p * p
        x += 1.0
    xy = (xy_a + xy_b) + (xy_c + xy_d)
    spread = (yy_a + yy_b) + (yy_c + yy_d)
    xx = bars * (bars * bars - 1.0) / 12.0
    slope = xy / xx
    if spread <= 1e-24 * mean * mean * bars:  # rounding of a flat window
        return 0.0, 0.0
    error = spread - slope * xy
    if error <= 1e-12 * spread:
        return slope, math.copysign(100.0, slope)
    t = slope / math.sqrt(error / (bars - 2) / xx)
    return slope, min(max(t, -100.0), 100.0)


@kernel_part
def push(state: Float64Array, step_ms: int, open_time: int, o: float, h: float, low: float, c: float, v: float) -> bool:
    """Take one closed bar into the rings; False (and nothing taken) if a price is not positive or a number is NaN."""
    if not (low > 0.0 and o > 0.0 and c > 0.0 and h >= low and v >= 0.0 and np.isfinite(h) and np.isfinite(v)):
        return False
    joined = state[COUNT] > 0 and state[LAST_OPEN] + step_ms == open_time
    state[RUN] = state[RUN] + 1.0 if joined else 1.0
    state[COUNT] += 1.0
    high_before, low_before = newest(state, HIGH, 0), newest(state, LOW, 0)
    pos = (int(state[POS]) + 1) & (DEPTH - 1)
    state[POS] = pos
    typical = (h + low + c) / 3.0
    change, gain, money, true_range, up, down = 0.0, np.nan, 0.0, h - low, 0.0, 0.0
    if joined:
        before = state[LAST_CLOSE]
        change = c - before
        gain = math.log(c / before)
        money = np.sign(typical - state[LAST_TYPICAL])
        true_range = max(h, before) - min(low, before)
        up, down = h - high_before, low_before - low
        at = (int(state[RETURN_POS]) + 1) & (DEPTH - 1)
        state[RETURN_POS] = at
        state[RETURN_COUNT] += 1.0
        put(state, RETURNS, at, gain)
    state[LAST_OPEN], state[LAST_CLOSE], state[LAST_TYPICAL] = open_time, c, typical
    state[RETURN], state[CHANGE_NOW] = gain, change
    state[TRUE_RANGE], state[UP_MOVE], state[DOWN_MOVE] = true_range, up, down
    span, body = math.log(h / low), math.log(c / o)
    put(state, HIGH, pos, h)
    put(state, LOW, pos, low)
    put(state, CLOSE, pos, c)
    put(state, VOLUME, pos, v)
    put(state, TYPICAL, pos, typical)
    put(state, TURNOVER, pos, typical * v)
    put(state, RANGE_SQ, pos, span * span)
    put(state, GARMAN_KLASS, pos, max(0.5 * span * span - _BODY * body * body, 0.0))
    put(state, FLOW, pos, np.sign(change) * v)
    put(state, MONEY_UP, pos, typical * v if money > 0.0 else 0.0)
    put(state, MONEY_DOWN, pos, typical * v if money < 0.0 else 0.0)
    put(state, PRESSURE, pos, ((c - low) - (h - c)) / (h - low) * v if h > low else 0.0)
    put(state, CHANGE, pos, change)
    put(state, PATH, pos, abs(change))
    return True
