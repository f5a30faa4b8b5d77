"""The compiled way of one bar through every group of features, alone and over a whole frame.

There are two of each entry: the plain one has the groups that nearly every schema reads, the other has all of them. A
process that asks for none of the rest does not load its machine code (Monte-Carlo alone is most of it).
"""

from __future__ import annotations

import numpy as np

from ai.features.calendar import step_calendar
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
from ai.features.window import STATE, push
from data.compiled import kernel, kernel_part
from data.market import Float64Array, Int64Array

PLAIN_GROUPS = 12  # of the registry: those of the plain entries

# state vector: rings, then what the recursive groups keep
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
_BLOCK = 16


@kernel_part
def step_full(
    state: Float64Array, plan: Int64Array, open_time: int, o: float, h: float, low: float, c: float, v: float,
    funding_rate: float, full: Float64Array, at: int,
) -> bool:  # fmt: skip
    """One closed bar into ``state``, its values into ``full[at:]`` (registry order; what is not known stays as it is).

    ``plan`` holds the length of a bar in ms, then for each group of the registry whether it runs; the plain groups do
    here. False: the bar is not sound and was not taken in.
    """
    if not push(state, plan[0], open_time, o, h, low, c, v):
        return False
    close_time = open_time + plan[0]
    if plan[1]:
        full[at], full[at + 1], full[at + 2], full[at + 3], full[at + 4] = o, h, low, c, v
    if plan[2]:
        step_averages(state, _AVERAGES, c, full, at + _AT[1])
    if plan[3]:
        step_bands(state, c, full, at + _AT[2])
    if plan[4]:
        step_oscillators(state, _OSCILLATORS, c, full, at + _AT[3])
    if plan[5]:
        step_direction(state, _DIRECTION, c, full, at + _AT[4])
    if plan[6]:
        step_trend(state, c, full, at + _AT[5])
    if plan[7]:
        step_returns(state, c, full, at + _AT[6])
    if plan[8]:
        step_volatility(state, o, h, low, c, full, at + _AT[7])
    if plan[9]:
        step_volume(state, h, low, c, v, full, at + _AT[8])
    if plan[10]:
        step_calendar(close_time, full, at + _AT[9])
    if plan[11]:
        step_derivatives(state, _FUNDING, close_time, funding_rate, full, at + _AT[10])
    if plan[12]:
        step_shock(state, _SHOCK, plan[0], close_time, full, at + _AT[11])
    return True


@kernel
def _step_rest(
    state: Float64Array, plan: Int64Array, open_time: int, h: float, low: float, c: float, v: float,
    beside: Float64Array, b: int, full: Float64Array, at: int,
) -> None:  # fmt: skip
    """The groups after the plain ones, of a bar that was taken in. What stands beside it begins at ``beside[b]``."""
    if plan[13]:
        step_basis(state, c, beside, b, full, at + _AT[12])
    if plan[14]:
        step_open_interest(state, c, beside, b, full, at + _AT[13])
    if plan[15]:
        step_ratios(state, beside, b, full, at + _AT[14])
    if plan[16]:
        step_book(state, beside, b, full, at + _AT[15])
    if plan[17]:
        step_flow(state, v, beside, b, full, at + _AT[16])
    if plan[18]:
        step_cross(state, c, beside, b, full, at + _AT[17])
    if plan[19]:
        step_higher(state, _HIGHER, plan[0], open_time, h, low, c, full, at + _AT[18])
    if plan[20]:
        step_monte_carlo(state, open_time, c, full[at + _AT[4]], full, at + _AT[19])


@kernel
def step_row(
    state: Float64Array, plan: Int64Array, pick: Int64Array, open_time: int, o: float, h: float, low: float, c: float,
    v: float, funding_rate: float, full: Float64Array, row: Float64Array,
) -> None:  # fmt: skip
    """One closed bar; the asked features, of the plain groups, into ``row[F]``."""
    full[:] = np.nan
    step_full(state, plan, open_time, o, h, low, c, v, funding_rate, full, 0)
    for f in range(len(pick)):
        row[f] = full[pick[f]]


@kernel
def step_whole_row(
    state: Float64Array, plan: Int64Array, pick: Int64Array, open_time: int, o: float, h: float, low: float, c: float,
    v: float, funding_rate: float, beside: Float64Array, full: Float64Array, row: Float64Array,
) -> None:  # fmt: skip
    """One closed bar; the asked features, of any group, into ``row[F]``."""
    full[:] = np.nan
    if step_full(state, plan, open_time, o, h, low, c, v, funding_rate, full, 0):
        _step_rest(state, plan, open_time, h, low, c, v, beside, 0, full, 0)
    for f in range(len(pick)):
        row[f] = full[pick[f]]


@kernel
def run_rows(
    state: Float64Array, plan: Int64Array, pick: Int64Array, open_time: Int64Array, o: Float64Array, h: Float64Array,
    low: Float64Array, c: Float64Array, v: Float64Array, funding: Float64Array, out: Float64Array,
) -> None:  # fmt: skip
    """The plain step over all bars into ``out[F, T]``, written in blocks so that memory is touched in lines."""
    bars = len(open_time)
    block = np.empty(_BLOCK * _PLAIN)
    for first in range(0, bars, _BLOCK):
        held = min(_BLOCK, bars - first)
        block[:] = np.nan
        for k in range(held):
            t = first + k
            step_full(state, plan, open_time[t], o[t], h[t], low[t], c[t], v[t], funding[t], block, k * _PLAIN)
        for f in range(len(pick)):
            at = pick[f]
            for k in range(held):
                out[f, first + k] = block[at + k * _PLAIN]


@kernel
def run_whole_rows(
    state: Float64Array, plan: Int64Array, pick: Int64Array, open_time: Int64Array, o: Float64Array, h: Float64Array,
    low: Float64Array, c: Float64Array, v: Float64Array, funding: Float64Array, beside: Float64Array, apart: int,
    out: Float64Array,
) -> None:  # fmt: skip
    """The whole step over all bars into ``out[F, T]``; what stands beside bar t begins at ``beside[t * apart]``."""
    full = np.empty(_ALL)
    for t in range(len(open_time)):
        full[:] = np.nan
        if step_full(state, plan, open_time[t], o[t], h[t], low[t], c[t], v[t], funding[t], full, 0):
            _step_rest(state, plan, open_time[t], h[t], low[t], c[t], v[t], beside, t * apart, full, 0)
        for f in range(len(pick)):
            out[f, t] = full[pick[f]]
