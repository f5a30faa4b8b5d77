"""Blocks of bars: how they are written down and taken in.

A block is some bars of which each opens right after the one before it; only its first may begin a run. A single bar is
a block of one. The loops over a block are written so that the compiler takes eight bars at once.
"""

from __future__ import annotations

import math

from ai.features.window import (
    BLOCK,
    CHANGE,
    CLOSE,
    COUNT,
    DEPTH,
    FLOW,
    FUNDING_RATE,
    GARMAN_KLASS,
    HEAD,
    HIGH,
    LAST_OPEN,
    LOW,
    MASK,
    MONEY_DOWN,
    MONEY_UP,
    OPEN,
    PATH,
    POS,
    PRESSURE,
    RANGE_SQ,
    RETURN_COUNT,
    RETURN_POS,
    RETURNS,
    RUN,
    SCRATCH,
    TURNOVER,
    TYPICAL,
    VOLUME,
    WIDTH,
)
from data.compiled import kernel_part
from data.market import Float64Array

_BODY = 2.0 * math.log(2.0) - 1.0
FREE = 1  # the first slot of scratch that is for the groups; the one before is for ai.features.sums


@kernel_part
def slot(number: int) -> int:
    """Where a slot of scratch begins in the state."""
    return SCRATCH + number * WIDTH


@kernel_part
def first_of(state: Float64Array, ring: int, held: int) -> int:
    """Where the value of the block's first bar stands; the others follow. Returns: the newest one at that bar."""
    at = RETURN_POS if ring == RETURNS else POS
    return HEAD + ring * WIDTH + DEPTH - 1 + ((int(state[at]) - held + 1) & MASK)


@kernel_part
def since(counter: float, held: int, least: int) -> int:
    """The first bar of the block at which ``counter`` (as it is after the block) had come to ``least``."""
    return min(max(least - int(counter) + held - 1, 0), held) & MASK


@kernel_part
def close_of(state: Float64Array, held: int, step_ms: int, bar: int) -> int:
    """Close of a bar of the block, ms UTC."""
    return int(state[LAST_OPEN]) + (bar + 2 - held) * step_ms


@kernel_part
def is_sound(o: float, h: float, low: float, c: float, v: float) -> bool:
    """Whether a bar has prices and a volume that a market can have."""
    return low > 0.0 and o > 0.0 and c > 0.0 and h >= low and v >= 0.0 and h < math.inf and v < math.inf


@kernel_part
def make_room(state: Float64Array, rings: int) -> int:
    """Bars that the next block may have; when the rings are full their last values move to the front."""
    if state[POS] == BLOCK:
        for ring in range(rings):
            at = HEAD + ring * WIDTH
            moved = int(state[RETURN_POS] if ring == RETURNS else state[POS])
            for i in range(at, at + DEPTH):
                state[i] = state[i + moved]
        state[POS] = state[RETURN_POS] = 0.0
    return BLOCK - int(state[POS])


@kernel_part
def write_column(state: Float64Array, ring: int, held: int, column: Float64Array, first: int) -> None:
    """Write down one column of the next ``held`` bars, from ``column[first]`` on."""
    to = HEAD + ring * WIDTH + DEPTH + (int(state[POS]) & MASK)
    for k in range(held & MASK):
        state[to + k] = column[first + k]


@kernel_part
def enter(state: Float64Array, o: float, h: float, low: float, c: float, v: float, funding_rate: float) -> None:
    """Write down the next bar, a block of one."""
    to = HEAD + DEPTH + (int(state[POS]) & MASK)
    state[to + OPEN * WIDTH] = o
    state[to + HIGH * WIDTH] = h
    state[to + LOW * WIDTH] = low
    state[to + CLOSE * WIDTH] = c
    state[to + VOLUME * WIDTH] = v
    state[to + FUNDING_RATE * WIDTH] = funding_rate


@kernel_part
def take_in(
    state: Float64Array, step_ms: int, open_time: int, held: int, with_returns: bool, with_ranges: bool
) -> bool:  # fmt: skip
    """Take the ``held`` bars written down as the next block, the first of which opened at ``open_time``.

    Whether it goes on from the bar before. Logarithms cost the most: those that no group reads are left out.
    """
    joined = bool(state[COUNT] > 0 and state[LAST_OPEN] + step_ms == open_time)
    returns = held if joined else held - 1
    state[POS] += held
    state[COUNT] += held
    state[RUN] = state[RUN] + held if joined else held
    state[RETURN_POS] += returns
    state[RETURN_COUNT] += returns
    state[LAST_OPEN] = open_time + (held - 1) * step_ms
    _derive(state, held, joined)
    if with_returns:
        c, to = first_of(state, CLOSE, held), first_of(state, RETURNS, held)
        for k in range(held - returns, held & MASK):
            state[to + k] = math.log(state[c + k] / state[c + k - 1])
    if with_ranges:
        _ranges(state, held)
    return joined


@kernel_part
def _derive(state: Float64Array, held: int, joined: bool) -> None:
    """What follows from the candle and the close before it."""
    n = held & MASK
    h, low, c = first_of(state, HIGH, held), first_of(state, LOW, held), first_of(state, CLOSE, held)
    v, typical = first_of(state, VOLUME, held), first_of(state, TYPICAL, held)
    change, path, flow = first_of(state, CHANGE, held), first_of(state, PATH, held), first_of(state, FLOW, held)
    turnover, pressure = first_of(state, TURNOVER, held), first_of(state, PRESSURE, held)
    up, down = first_of(state, MONEY_UP, held), first_of(state, MONEY_DOWN, held)
    for k in range(n):
        state[typical + k] = (state[h + k] + state[low + k] + state[c + k]) / 3.0
    for k in range(n):
        state[turnover + k] = state[typical + k] * state[v + k]
    for k in range(n):
        state[change + k] = state[c + k] - state[c + k - 1]
    if not joined:
        state[change] = 0.0
    for k in range(n):
        state[path + k] = abs(state[change + k])
    for k in range(n):
        moved = state[change + k]
        sign = 1.0 if moved > 0.0 else (-1.0 if moved < 0.0 else 0.0)
        state[flow + k] = sign * state[v + k]
    for k in range(n):
        risen = state[typical + k] > state[typical + k - 1]
        state[up + k] = state[turnover + k] if risen else 0.0
    for k in range(n):
        fallen = state[typical + k] < state[typical + k - 1]
        state[down + k] = state[turnover + k] if fallen else 0.0
    if not joined:
        state[up] = state[down] = 0.0
    for k in range(n):
        x, y, z = state[h + k], state[low + k], state[c + k]
        state[pressure + k] = ((z - y) - (x - z)) / (x - y) * state[v + k] if x > y else 0.0


@kernel_part
def _ranges(state: Float64Array, held: int) -> None:
    """Squared log range, and the Garman-Klass variance of a bar."""
    h, low, c = first_of(state, HIGH, held), first_of(state, LOW, held), first_of(state, CLOSE, held)
    o = first_of(state, OPEN, held)
    square, garman = first_of(state, RANGE_SQ, held), first_of(state, GARMAN_KLASS, held)
    for k in range(held & MASK):
        span, body = math.log(state[h + k] / state[low + k]), math.log(state[c + k] / state[o + k])
        state[square + k] = span * span
        state[garman + k] = max(0.5 * span * span - _BODY * body * body, 0.0)


@kernel_part
def step_price(state: Float64Array, held: int, out: Float64Array, at: int) -> None:
    """The candle itself."""
    for i in range(5):
        column = first_of(state, (OPEN, HIGH, LOW, CLOSE, VOLUME)[i], held)
        for k in range(held & MASK):
            out[at + i, k] = state[column + k]
