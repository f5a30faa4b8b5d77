"""Many paths of log prices, one step at a time: where they stand (bands) and what they touched first.

Arrays run over paths, so that a step is a few plain loops over memory that stays in the processor's first cache.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ai.monte_carlo_draws import draw_exponentials, draw_normals, draw_places
from data.compiled import kernel, kernel_allocating, kernel_part
from data.market import Float64Array, Int64Array

Int32Array = npt.NDArray[np.int32]

LEVELS = (0.025, 0.05, 0.15, 0.85, 0.95, 0.975)  # lower and upper ends of the 95, 90 and 70 % bands
LOWER, UPPER = 1.0, 2.0  # which barrier a path touched first; 0: none so far

_SLOTS = 512  # counters across a step's values
_NORMAL_REACH = 4.5  # standard deviations counted on each side: normal steps
_ANY_REACH = 6.4  # a value with 2.5 % of all beyond it is at most 6.3 away in any distribution (Chebyshev)
_NOTHING = 1e-12  # log prices that differ less are one (blocks as long as the window all sum to the same)
_WIDE = 4.0  # barriers so many step deviations apart are both met within one step by some 2 paths in 10,000 or fewer


@kernel
def _quantiles(
    values: Float64Array, centre: float, reach: float, slot: Int32Array, counts: Int32Array, out: Float64Array
) -> None:
    """Values at ``LEVELS`` (rank (n - 1) x level) by counting; within a slot the values are taken as evenly spread."""
    if reach < _NOTHING:
        out[:] = centre
        return
    counts[:] = 0
    first, scale = centre - reach, 0.5 * _SLOTS / reach
    for i in range(len(values)):
        slot[i] = np.int32(min(max((values[i] - first) * scale, 0.0), _SLOTS - 1.0))
    for i in range(len(values)):
        counts[np.uint32(slot[i])] += 1
    at, below = 0, 0
    for k in range(len(LEVELS)):
        rank = (len(values) - 1) * LEVELS[k] + 0.5
        while below + counts[at] < rank:
            below += counts[at]
            at += 1
        out[k] = first + (at + (rank - below) / counts[at]) / scale


@kernel
def _spread(values: Float64Array) -> tuple[float, float]:
    """Mean and standard deviation."""
    total = squares = 0.0
    for i in range(len(values)):
        total += values[i]
    mean = total / len(values)
    for i in range(len(values)):
        squares += (values[i] - mean) * (values[i] - mean)
    return mean, math.sqrt(squares / len(values))


@kernel
def _extremes(
    before: Float64Array, now: Float64Array, exponential: Float64Array, variance: float, low: Float64Array,
    high: Float64Array,
) -> None:  # fmt: skip
    """Lowest and highest log price between two closes, each as a Brownian bridge has it (variance 0: of the closes).

    P(bridge from x to y meets b) = exp(-2 (b - x)(b - y) / variance), solved for b at an exponential number. Both use
    the same number: each is right alone, the two together are not (see ``_WIDE``).
    """
    for i in range(len(exponential)):
        x, y = before[i], now[i]
        span = math.sqrt((y - x) * (y - x) + 2.0 * variance * exponential[i])
        low[i] = 0.5 * ((x + y) - span)
        high[i] = 0.5 * ((x + y) + span)


@kernel
def _touch(low: Float64Array, high: Float64Array, lower: float, upper: float, touched: Float64Array) -> None:
    """One step of all paths between two barriers (log prices): fills ``touched`` where it is still 0."""
    for i in range(len(touched)):
        met = LOWER if low[i] <= lower else (UPPER if high[i] >= upper else 0.0)
        touched[i] = met if touched[i] == 0.0 else touched[i]


@kernel_part
def _first_exits(x: float, y: float, width: float, sharp: float) -> tuple[float, float]:
    """P(0 is met before ``width``), P(``width`` before 0) by a Brownian bridge from x in (0, width) to y.

    ``sharp`` is 2 / variance of the step. Alternating series of reflected ends (Anderson, A Modification of the
    Sequential Probability Ratio Test, Ann. Math. Stat. 31, 1960).
    """
    low = high = 0.0
    for j in range(1, 1000):
        near, far = (j - 1) * width, j * width
        back = forth = 0.0
        if y < width:
            back = math.exp(-sharp * far * (far - (y - x)))
            high += math.exp(-sharp * (far - x) * (far - y)) - back
        if y > 0.0:
            forth = math.exp(-sharp * far * (far + (y - x)))
            low += math.exp(-sharp * (near + x) * (near + y)) - forth
        if max(back, forth) < 1e-13:
            break
    low, high = min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)
    if y >= width:
        return low, 1.0 - low
    if y <= 0.0:
        return 1.0 - high, high
    return low, high


@kernel
def _touch_narrow(
    before: Float64Array, now: Float64Array, exponential: Float64Array, variance: float, lower: float, upper: float,
    touched: Float64Array,
) -> None:  # fmt: skip
    """As :func:`_touch`, between barriers so near to each other that one step may meet both: which one was first."""
    for i in range(len(touched)):
        if touched[i] == 0.0:
            low, high = _first_exits(before[i] - lower, now[i] - lower, upper - lower, 2.0 / variance)
            share = math.exp(-exponential[i])
            if share < low:
                touched[i] = LOWER
            elif share > 1.0 - high:
                touched[i] = UPPER


@kernel
def _move(before: Float64Array, drift: float, scale: float, normal: Float64Array, now: Float64Array) -> None:
    for i in range(len(normal)):
        now[i] = before[i] + (drift + scale * normal[i])


@kernel
def _count_touches(touched: Float64Array, barriers: Float64Array, shares: Float64Array) -> None:
    """Shares ``[2, 2]`` of paths that met (lower, upper) first, per side; NaN where there are no barriers."""
    for side in range(2):
        lower = upper = 0
        for i in range(touched.shape[1]):
            lower += touched[side, i] == LOWER
            upper += touched[side, i] == UPPER
        known = barriers[side, 0] < barriers[side, 1]
        shares[side, 0] = lower / touched.shape[1] if known else np.nan
        shares[side, 1] = upper / touched.shape[1] if known else np.nan


@kernel_allocating
def walk_normal(
    start: np.uint64, drift: float, volatility: float, horizon: int, barriers: Float64Array, steps: Int64Array,
    shares: Float64Array, bands: Float64Array, end: Float64Array,
) -> None:  # fmt: skip
    """Paths whose steps are normal: geometric Brownian motion, touched between the closes too.

    Every second path is the mirror image of another about the drift (antithetic).

    Args:
        start: of the key (:func:`ai.monte_carlo_draws.start_of`).
        drift, volatility: mean and standard deviation of a step's log return.
        barriers: log prices from the start ``[2, 2]``: two pairs (lower, upper); NaN: not asked.
        steps: ascending, at which bands are wanted.
        shares: ``[2, 2]``; gets the share of paths that met each barrier first.
        bands: ``[len(steps), 6]``; gets log prices at ``LEVELS``.
        end: ``[paths]``, paths a multiple of 4; gets the log prices after ``horizon`` steps. The start is 0.
    """
    paths = len(end)
    half, quarter = paths // 2, paths // 4
    before, now, low, high = np.zeros(paths), np.zeros(paths), np.empty(paths), np.empty(paths)
    normal, room = np.empty((2, quarter)), np.empty((3, quarter))
    single, exponential = np.empty(half), np.empty(paths)
    slot, counts, touched = np.empty(paths, np.int32), np.empty(_SLOTS, np.int32), np.zeros((2, paths))
    variance = volatility * volatility
    asked = barriers[0, 0] < barriers[0, 1] or barriers[1, 0] < barriers[1, 1]
    row = 0
    for t in range(horizon):
        draw_normals(start, t * half, room, normal)
        both = normal.reshape(half)
        _move(before[:half], drift, volatility, both, now[:half])
        _move(before[half:], drift, -volatility, both, now[half:])
        if asked:
            draw_exponentials(start, t * half + quarter, single, exponential[:half])
            exponential[half:] = exponential[:half]
            _extremes(before, now, exponential, variance, low, high)
            for side in range(2):
                lower, upper = barriers[side]
                if upper - lower < _WIDE * volatility:
                    _touch_narrow(before, now, exponential, variance, lower, upper, touched[side])
                else:
                    _touch(low, high, lower, upper, touched[side])
        if row < len(steps) and steps[row] == t + 1:
            reach = _NORMAL_REACH * volatility * math.sqrt(t + 1)
            _quantiles(now, drift * (t + 1), reach, slot, counts, bands[row])
            row += 1
        before, now = now, before
    end[:] = before
    _count_touches(touched, barriers, shares)


@kernel_allocating
def walk_blocks(
    start: np.uint64, returns: Float64Array, block: int, horizon: int, barriers: Float64Array, steps: Int64Array,
    shares: Float64Array, bands: Float64Array, end: Float64Array,
) -> None:  # fmt: skip
    """Paths of blocks of ``block`` log returns drawn from ``returns[n]``; touches are looked for at the closes only.

    The returns are a ring, so that each is drawn as often as any other (circular block bootstrap: Politis & Romano,
    A Circular Block-Resampling Procedure for Stationary Data, 1992). The rest is as in :func:`walk_normal`.
    """
    paths, count = len(end), len(returns)
    before, now = np.zeros(paths), np.zeros(paths)
    place, slot, counts = np.empty(paths, np.int32), np.empty(paths, np.int32), np.empty(_SLOTS, np.int32)
    touched = np.zeros((2, paths))
    ring = np.concatenate((returns, returns[: block - 1]))
    row = 0
    for t in range(horizon):
        if t % block == 0:
            draw_places(start, t // block * paths, count, place)
        rest = ring[t % block :]
        for i in range(paths):
            now[i] = before[i] + rest[np.uint32(place[i])]
        for side in range(2):
            _touch(now, now, barriers[side, 0], barriers[side, 1], touched[side])
        if row < len(steps) and steps[row] == t + 1:
            centre, deviation = _spread(now)
            _quantiles(now, centre, _ANY_REACH * deviation, slot, counts, bands[row])
            row += 1
        before, now = now, before
    end[:] = before
    _count_touches(touched, barriers, shares)
