"""Sums, extremes and lines over the window of each bar of a block.

What a function gives stands in a slot of the scratch part of the state, one value a bar. Values are added in one fixed
order whatever the size of the block: each bar's sum is the same to the last bit, alone or among others. A window that
is not full yet gives a number that means nothing; its reader begins where it is full.
"""

from __future__ import annotations

import math

from ai.features.blocks import first_of, slot
from ai.features.window import MASK
from data.compiled import kernel_part
from data.market import Float64Array

Eight = tuple[float, float, float, float, float, float, float, float]

_LANES = 0  # the slot of partial sums


@kernel_part
def totals(state: Float64Array, ring: int, held: int, bars: int, to: int) -> None:
    """Sum of the last ``bars`` values at each bar: eight accumulators and then the rest, as in ``window.total``.

    The second accumulator of a bar is the first one of the next bar, so each is added up once.
    """
    n, whole = held & MASK, bars // 8
    at = first_of(state, ring, held) - (bars - 1)
    lane, out = slot(_LANES), slot(to)
    for j in range(n + 7):
        a = 0.0
        for m in range(whole):
            a += state[at + j + 8 * m]
        state[lane + j] = a
    for k in range(n):
        a, i = state[lane + k], lane + k
        for m in range(8 * whole, bars):
            a += state[at + k + m]
        b, c, d = state[i + 1], state[i + 2], state[i + 3]
        e, f, g, h = state[i + 4], state[i + 5], state[i + 6], state[i + 7]
        state[out + k] = ((a + b) + (c + d)) + ((e + f) + (g + h))


@kernel_part
def square_totals(state: Float64Array, ring: int, held: int, bars: int, to: int) -> None:
    """Sum of the squares of the last ``bars`` values at each bar, with four accumulators and then the rest."""
    n, whole = held & MASK, bars // 4
    at = first_of(state, ring, held) - (bars - 1)
    lane, out = slot(_LANES), slot(to)
    for j in range(n + 3):
        a = 0.0
        for m in range(whole):
            a += state[at + j + 4 * m] * state[at + j + 4 * m]
        state[lane + j] = a
    for k in range(n):
        a, i = state[lane + k], lane + k
        for m in range(4 * whole, bars):
            a += state[at + k + m] * state[at + k + m]
        state[out + k] = (a + state[i + 1]) + (state[i + 2] + state[i + 3])


@kernel_part
def spreads(state: Float64Array, ring: int, held: int, bars: int, centre: int, to: int) -> None:
    """Sum of squared deviations of the last ``bars`` values (a multiple of 4, few) from the bar's own ``centre``."""
    at = first_of(state, ring, held) - (bars - 1)
    middle, out = slot(centre), slot(to)
    for k in range(held & MASK):
        mean = state[middle + k]
        a = b = c = d = 0.0
        for m in range(bars // 4):
            i = at + k + 4 * m
            w, x, y, z = state[i] - mean, state[i + 1] - mean, state[i + 2] - mean, state[i + 3] - mean
            a += w * w
            b += x * x
            c += y * y
            d += z * z
        state[out + k] = (a + b) + (c + d)


@kernel_part
def highs(state: Float64Array, ring: int, held: int, bars: int, to: int) -> None:
    """Largest of the last ``bars`` values at each bar."""
    at = first_of(state, ring, held) - (bars - 1)
    out = slot(to)
    for k in range(held & MASK):
        top = state[at + k]
        for m in range(1, bars):
            x = state[at + k + m]
            top = x if x > top else top
        state[out + k] = top


@kernel_part
def lows(state: Float64Array, ring: int, held: int, bars: int, to: int) -> None:
    """Smallest of the last ``bars`` values at each bar."""
    at = first_of(state, ring, held) - (bars - 1)
    out = slot(to)
    for k in range(held & MASK):
        bottom = state[at + k]
        for m in range(1, bars):
            x = state[at + k + m]
            bottom = x if x < bottom else bottom
        state[out + k] = bottom


@kernel_part
def _shape_of_16(state: Float64Array, at: int, mean: float, sums: Eight) -> Eight:
    a, b, c, d, e, f, g, h = sums
    for m in range(4):
        i = at + 4 * m
        w, x, y, z = state[i] - mean, state[i + 1] - mean, state[i + 2] - mean, state[i + 3] - mean
        ww, xx, yy, zz = w * w, x * x, y * y, z * z
        a += ww
        b += xx
        c += yy
        d += zz
        e += ww * w
        f += xx * x
        g += yy * y
        h += zz * z
    return a, b, c, d, e, f, g, h


@kernel_part
def shapes_96(state: Float64Array, ring: int, held: int, centre: int, to: int) -> None:
    """Sums of squared and of cubed deviations of the last 96 values, in ``to`` and ``to + 1``."""
    at = first_of(state, ring, held) - 95
    middle, squared, cubed = slot(centre), slot(to), slot(to + 1)
    for k in range(held & MASK):
        mean, i = state[middle + k], at + k
        sums = _shape_of_16(state, i, mean, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        sums = _shape_of_16(state, i + 16, mean, sums)
        sums = _shape_of_16(state, i + 32, mean, sums)
        sums = _shape_of_16(state, i + 48, mean, sums)
        sums = _shape_of_16(state, i + 64, mean, sums)
        a, b, c, d, e, f, g, h = _shape_of_16(state, i + 80, mean, sums)
        state[squared + k], state[cubed + k] = (a + b) + (c + d), (e + f) + (g + h)


@kernel_part
def _line_fours(state: Float64Array, at: int, mean: float, place: float, fours: int, sums: Eight) -> Eight:
    a, b, c, d, e, f, g, h = sums
    for m in range(fours):
        i, x = at + 4 * m, place + 4.0 * m
        p, q, r, t = state[i] - mean, state[i + 1] - mean, state[i + 2] - mean, state[i + 3] - mean
        a += x * p
        b += (x + 1.0) * q
        c += (x + 2.0) * r
        d += (x + 3.0) * t
        e += p * p
        f += q * q
        g += r * r
        h += t * t
    return a, b, c, d, e, f, g, h


@kernel_part
def lines_96(state: Float64Array, ring: int, held: int, centre: int, to: int) -> None:
    """For the least-squares line of 96 values: sums of place times deviation and of squared deviations.

    They are in ``to`` and ``to + 1``. Places run from -47.5 to 47.5.
    """
    at = first_of(state, ring, held) - 95
    middle, xy, yy = slot(centre), slot(to), slot(to + 1)
    for k in range(held & MASK):
        mean, i = state[middle + k], at + k
        sums = _line_fours(state, i, mean, -47.5, 4, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        sums = _line_fours(state, i + 16, mean, -31.5, 4, sums)
        sums = _line_fours(state, i + 32, mean, -15.5, 4, sums)
        sums = _line_fours(state, i + 48, mean, 0.5, 4, sums)
        sums = _line_fours(state, i + 64, mean, 16.5, 4, sums)
        a, b, c, d, e, f, g, h = _line_fours(state, i + 80, mean, 32.5, 4, sums)
        state[xy + k], state[yy + k] = (a + b) + (c + d), (e + f) + (g + h)


@kernel_part
def lines_10(state: Float64Array, ring: int, held: int, centre: int, to: int) -> None:
    """The same of 10 values."""
    at = first_of(state, ring, held) - 9
    middle, xy, yy = slot(centre), slot(to), slot(to + 1)
    for k in range(held & MASK):
        mean, i = state[middle + k], at + k
        a, b, c, d, e, f, g, h = _line_fours(state, i, mean, -4.5, 2, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))
        p, q = state[i + 8] - mean, state[i + 9] - mean
        a = (a + 3.5 * p) + 4.5 * q
        e = (e + p * p) + q * q
        state[xy + k], state[yy + k] = (a + b) + (c + d), (e + f) + (g + h)


@kernel_part
def slopes(state: Float64Array, ring: int, held: int, bars: int, to: int) -> None:
    """Least-squares slope per bar over 96 or 10 values in ``to + 1``.

    Over 96 also its t-value (clipped to ±100; 0 for a flat window) in ``to + 2``.
    """
    mean, slope, t_value = slot(to), slot(to + 1), slot(to + 2)
    n = held & MASK
    xx = bars * (bars * bars - 1.0) / 12.0
    totals(state, ring, held, bars, to)
    for k in range(n):
        state[mean + k] /= bars
    if bars == 96:
        lines_96(state, ring, held, to, to + 1)
    else:
        lines_10(state, ring, held, to, to + 1)
    for k in range(n):
        middle, spread, xy = state[mean + k], state[t_value + k], state[slope + k]
        tilt = xy / xx
        flat = spread <= 1e-24 * middle * middle * bars  # rounding of a flat window
        if bars == 96:
            error = spread - tilt * xy
            t = math.copysign(100.0, tilt)
            if error > 1e-12 * spread:
                t = min(max(tilt / math.sqrt(error / (bars - 2) / xx), -100.0), 100.0)
            state[t_value + k] = 0.0 if flat else t
        state[slope + k] = 0.0 if flat else tilt
