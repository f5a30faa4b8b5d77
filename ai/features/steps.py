"""The compiled way of one bar through every group of features, alone and over a whole frame.

There are two of each entry: the plain one has the groups that nearly every schema reads, the other has all of them. A
process that asks for none of the rest does not load its machine code (Monte-Carlo alone is most of it).
"""

from __future__ import annotations

import numpy as np

from ai.features.blocks import enter, is_sound, make_room, step_price, take_in, write_column
from ai.features.calendar import step_calendar
from ai.features.channels import step_channels
from ai.features.cross import step_cross
from ai.features.derivatives import DERIVATIVES_STATE, step_derivatives
from ai.features.higher import HIGHER_STATE, step_higher
from ai.features.indicators import (
    AVERAGES_STATE,
    OSCILLATORS_STATE,
    step_averages,
    step_bands,
    step_oscillators,
)
from ai.features.order_flow import step_book, step_flow
from ai.features.positioning import step_basis, step_open_interest, step_ratios
from ai.features.registry import GROUPS, REGISTRY
from ai.features.returns import step_returns
from ai.features.shock import SHOCK_STATE, step_shock
from ai.features.simulated import step_monte_carlo
from ai.features.trend import DIRECTION_STATE, step_direction, step_trend
from ai.features.volatility import step_volatility
from ai.features.volume import step_volume
from ai.features.window import (
    BLOCK,
    CANDLE_RINGS,
    CLOSE,
    COUNT,
    FUNDING_RATE,
    HIGH,
    LAST_OPEN,
    LOW,
    MASK,
    OPEN,
    POS,
    RETURN,
    RETURN_COUNT,
    RETURN_POS,
    RETURNS,
    RINGS,
    RUN,
    STATE,
    VOLUME,
    newest,
)
from data.compiled import kernel, kernel_allocating, kernel_part
from data.market import Float64Array, Int64Array, UInt8Array

PLAIN_GROUPS = 12  # of the registry: those of the plain entries

# state vector: head, rings and scratch, then what the recursive groups keep
_AVERAGES = STATE
_OSCILLATORS = _AVERAGES + AVERAGES_STATE
_DIRECTION = _OSCILLATORS + OSCILLATORS_STATE
_FUNDING = _DIRECTION + DIRECTION_STATE
_SHOCK = _FUNDING + DERIVATIVES_STATE
_HIGHER = _SHOCK + SHOCK_STATE
WHOLE_STATE = _HIGHER + HIGHER_STATE

_AT = tuple(sum(len(group) for group in GROUPS[:g]) for g in range(len(GROUPS)))  # where a group's values begin
_ALL = len(REGISTRY)
_PLAIN = _AT[PLAIN_GROUPS]  # features of the plain groups
_NOT_NEGATIVE = (1 << 48) - 1  # a mask, as in ai.features.window
_RETURNS = (6, 7, 8, 12, 18)  # groups that read the ring of returns
_RANGES = (_AT[7] + 3, _AT[7] + 4, _AT[11])  # features that read the rings of log ranges


@kernel_part
def _any(wanted: Int64Array | UInt8Array, which: tuple[int, ...]) -> bool:
    found = False
    for i in range(len(which)):
        found = found or wanted[which[i]] != 0
    return found


@kernel_part
def _step_later_groups(
    state: Float64Array, plan: Int64Array, asked: UInt8Array, held: int, full: Float64Array
) -> None:  # fmt: skip
    if plan[7]:
        step_returns(state, held, asked, full, _AT[6])
    if plan[8]:
        step_volatility(state, held, asked, full, _AT[7])
    if plan[9]:
        step_volume(state, held, asked, full, _AT[8])
    if plan[10]:
        step_calendar(state, held, plan[0], full, _AT[9])
    if plan[11]:
        step_derivatives(state, held, _FUNDING, plan[0], full, _AT[10])
    if plan[12]:
        step_shock(state, held, _SHOCK, plan[0], full, _AT[11])


@kernel
def _step_block(
    state: Float64Array, plan: Int64Array, asked: UInt8Array, open_time: int, held: int, full: Float64Array
) -> bool:  # fmt: skip
    """A block of ``held`` bars that were written down; the plain groups' values into ``full[:, :held]``.

    What is not known is NaN. ``plan`` holds the length of a bar in ms, then for each group of the registry whether it
    runs; ``asked`` for each feature whether it is wanted. Whether the block goes on from the bar before.
    """
    step_ms = plan[0]
    joined = take_in(state, step_ms, open_time, held, _any(plan, _RETURNS), _any(asked, _RANGES))
    for f in range(_PLAIN):
        if asked[f]:
            for k in range(held & MASK):
                full[f, k] = np.nan
    if plan[1]:
        step_price(state, held, full, _AT[0])
    if plan[2]:
        step_averages(state, held, _AVERAGES, asked, full, _AT[1])
    if plan[3]:
        step_bands(state, held, asked, full, _AT[2])
    if plan[4]:
        step_oscillators(state, held, _OSCILLATORS, asked, full, _AT[3])
    if plan[5]:
        step_direction(state, held, _DIRECTION, asked, full, _AT[4])
    if plan[6]:
        step_trend(state, held, asked, full, _AT[5])
    _step_later_groups(state, plan, asked, held, full)
    return joined


@kernel
def _step_rest(
    state: Float64Array, plan: Int64Array, open_time: int, atr: float, beside: Float64Array, b: int, full: Float64Array
) -> None:  # fmt: skip
    """The groups after the plain ones, of the newest bar. What stands beside it begins at ``beside[b]``."""
    h, low, c, v = newest(state, HIGH, 0), newest(state, LOW, 0), newest(state, CLOSE, 0), newest(state, VOLUME, 0)
    if plan[13]:
        step_basis(state, c, beside, b, full, _AT[12])
    if plan[14]:
        step_open_interest(state, c, beside, b, full, _AT[13])
    if plan[15]:
        step_ratios(state, beside, b, full, _AT[14])
    if plan[16]:
        step_book(state, beside, b, full, _AT[15])
    if plan[17]:
        step_flow(state, v, beside, b, full, _AT[16])
    if plan[18]:
        step_cross(state, c, beside, b, full, _AT[17])
    if plan[19]:
        step_higher(state, _HIGHER, plan[0], open_time, h, low, c, full, _AT[18])
    if plan[20]:
        step_monte_carlo(state, open_time, c, atr, full, _AT[19])
    if plan[21]:
        step_channels(state, full, _AT[20])


@kernel
def _step_rest_of(
    state: Float64Array, plan: Int64Array, held: int, joined: bool, beside: Float64Array, b: int, apart: int,
    row: Float64Array, full: Float64Array,
) -> None:  # fmt: skip
    """The groups after the plain ones over a block, bar by bar: each sees the rings as they were at its close."""
    pos, count, run = state[POS], state[COUNT], state[RUN]
    return_pos, return_count, last = state[RETURN_POS], state[RETURN_COUNT], int(state[LAST_OPEN])
    for k in range(held):
        back = held - 1 - k
        state[POS], state[COUNT], state[RUN] = pos - back, count - back, run - back
        state[RETURN_POS], state[RETURN_COUNT] = return_pos - back, return_count - back
        state[RETURN] = newest(state, RETURNS, 0) if k > 0 or joined else np.nan
        row[_PLAIN:] = np.nan
        _step_rest(state, plan, last - back * plan[0], full[_AT[4], k], beside, b + k * apart, row)
        for f in range(_PLAIN, _ALL):
            full[f, k] = row[f]


@kernel
def step_row(
    state: Float64Array, plan: Int64Array, asked: UInt8Array, pick: Int64Array, open_time: int, o: float, h: float,
    low: float, c: float, v: float, funding_rate: float, full: Float64Array, row: Float64Array,
) -> None:  # fmt: skip
    """One closed bar; the asked features, of the plain groups, into ``row[F]``."""
    if not is_sound(o, h, low, c, v):
        row[:] = np.nan
        return
    make_room(state, CANDLE_RINGS)
    enter(state, o, h, low, c, v, funding_rate)
    _step_block(state, plan, asked, open_time, 1, full)
    for f in range(len(pick)):
        row[f] = full[pick[f], 0]


@kernel_allocating
def step_whole_row(
    state: Float64Array, plan: Int64Array, asked: UInt8Array, pick: Int64Array, open_time: int, o: float, h: float,
    low: float, c: float, v: float, funding_rate: float, beside: Float64Array, full: Float64Array, row: Float64Array,
) -> None:  # fmt: skip
    """One closed bar; the asked features, of any group, into ``row[F]``."""
    if not is_sound(o, h, low, c, v):
        row[:] = np.nan
        return
    make_room(state, RINGS)
    enter(state, o, h, low, c, v, funding_rate)
    joined = _step_block(state, plan, asked, open_time, 1, full)
    _step_rest_of(state, plan, 1, joined, beside, 0, 0, np.empty(_ALL), full)
    for f in range(len(pick)):
        row[f] = full[pick[f], 0]


@kernel_part
def _write_block(
    state: Float64Array, step_ms: int, room: int, first: int, open_time: Int64Array, o: Float64Array, h: Float64Array,
    low: Float64Array, c: Float64Array, v: Float64Array, funding: Float64Array,
) -> int:  # fmt: skip
    """Write down sound bars from ``first`` on, as many as follow one another and there is room for; their number."""
    start, most = first & _NOT_NEGATIVE, min(room, len(open_time) - first) & MASK
    unfit = 0
    for k in range(1, most):
        unfit += open_time[start + k] != open_time[start + k - 1] + step_ms
    for k in range(most):
        t = start + k
        unfit += not is_sound(o[t], h[t], low[t], c[t], v[t])
    held = most
    if unfit:  # seldom: how far the bars are fit
        held = 0
        for t in range(first, first + most):
            follows = held == 0 or open_time[t] == open_time[t - 1] + step_ms
            if not (follows and is_sound(o[t], h[t], low[t], c[t], v[t])):
                break
            held += 1
    write_column(state, OPEN, held, o, start)
    write_column(state, HIGH, held, h, start)
    write_column(state, LOW, held, low, start)
    write_column(state, CLOSE, held, c, start)
    write_column(state, VOLUME, held, v, start)
    write_column(state, FUNDING_RATE, held, funding, start)
    return held


@kernel_part
def _hand_out(
    pick: Int64Array, into: Int64Array, full: Float64Array, first: int, held: int, out: Float64Array
) -> None:  # fmt: skip
    start = first & _NOT_NEGATIVE
    for f in range(len(pick)):
        row, to = pick[f], into[f]
        for k in range(held & MASK):
            out[to, start + k] = full[row, k]


@kernel_allocating
def run_rows(
    state: Float64Array, plan: Int64Array, asked: UInt8Array, pick: Int64Array, into: Int64Array,
    open_time: Int64Array, o: Float64Array, h: Float64Array, low: Float64Array, c: Float64Array, v: Float64Array,
    funding: Float64Array, out: Float64Array,
) -> None:  # fmt: skip
    """The plain step over all bars; feature ``pick[f]`` into ``out[into[f]]`` of ``[.., T]``."""
    full, t = np.empty((_PLAIN, BLOCK)), 0
    while t < len(open_time):
        room = make_room(state, CANDLE_RINGS)
        held = _write_block(state, plan[0], room, t, open_time, o, h, low, c, v, funding)
        if held == 0:
            for f in range(len(into)):
                out[into[f], t] = np.nan
            t += 1
            continue
        _step_block(state, plan, asked, open_time[t], held, full)
        _hand_out(pick, into, full, t, held, out)
        t += held


@kernel_allocating
def run_whole_rows(
    state: Float64Array, plan: Int64Array, asked: UInt8Array, pick: Int64Array, into: Int64Array,
    open_time: Int64Array, o: Float64Array, h: Float64Array, low: Float64Array, c: Float64Array, v: Float64Array,
    funding: Float64Array, beside: Float64Array, apart: int, out: Float64Array,
) -> None:  # fmt: skip
    """The whole step over all bars, as :func:`run_rows`; what stands beside bar t begins at ``beside[t * apart]``."""
    full, row, t = np.empty((_ALL, BLOCK)), np.empty(_ALL), 0
    while t < len(open_time):
        room = make_room(state, RINGS)
        held = _write_block(state, plan[0], room, t, open_time, o, h, low, c, v, funding)
        if held == 0:
            for f in range(len(into)):
                out[into[f], t] = np.nan
            t += 1
            continue
        joined = _step_block(state, plan, asked, open_time[t], held, full)
        _step_rest_of(state, plan, held, joined, beside, t * apart, apart, row, full)
        _hand_out(pick, into, full, t, held, out)
        t += held
