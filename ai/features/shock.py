"""How unusual the last hour is: its volatility over the median of the last 30 days (the black-swan gate reads it).

Bars shorter than an hour: square root of the summed squared returns of the last hour, sampled at each full hour.
Bars of an hour or more: the Garman-Klass volatility of the bar itself, because a single return is too noisy a measure
(on hourly Bitcoin |return| exceeds three times its median at 13 % of the bars, Garman-Klass at 5 %), and it is near
zero for a bar that crashes and comes back. The ratio is free of units, so both kinds read alike.

The median is over earlier samples only, at most 30 days of them and as many as there are once there are 48 (two days;
fewer on bars so long that 30 days hold fewer). NaN before, within an hour after a gap, and in a market so flat that
its median is 0.
"""

from __future__ import annotations

import math

import numpy as np

from ai.features.blocks import FREE, close_of, first_of, since, slot
from ai.features.spec import FeatureSpec
from ai.features.sums import square_totals
from ai.features.window import GARMAN_KLASS, MASK, RETURNS, RUN
from data.compiled import kernel, kernel_part
from data.market import Float64Array

_HOUR_MS = 3_600_000
_MONTH_MS = 720 * _HOUR_MS
WINDOW = 720
ENOUGH = 48

SHOCK: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "black_swan_ratio", "shock", 1, "ratio", "volatility of the last hour over its 30-day median",
        ("open", "high", "low", "close"), "realised volatility; Garman & Klass 1980", hours=722, optional=True,
    ),
)  # fmt: skip
SHOCK_STATE = 2 + 2 * WINDOW  # samples held, oldest at; samples in time order (ring); the same sorted


@kernel
def _place(ordered: Float64Array, held: int, value: float) -> int:
    """First position in the sorted part whose value is not below ``value``."""
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _sample(state: Float64Array, mine: int, capacity: int, value: float) -> None:
    """Keep a sample: in time order (the oldest goes) and in the sorted part, by one shift."""
    held, oldest = int(state[mine]), int(state[mine + 1])
    ring, ordered = state[mine + 2 : mine + 2 + WINDOW], state[mine + 2 + WINDOW : mine + 2 + 2 * WINDOW]
    hole = held
    if held == capacity:
        hole = _place(ordered, held, ring[oldest])
        ring[oldest] = value
        state[mine + 1] = (oldest + 1) % capacity
    else:
        ring[held] = value
        held += 1
        state[mine] = held
    while hole > 0 and ordered[hole - 1] > value:
        ordered[hole] = ordered[hole - 1]
        hole -= 1
    while hole < held - 1 and ordered[hole + 1] < value:
        ordered[hole] = ordered[hole + 1]
        hole += 1
    ordered[hole] = value


@kernel_part
def step_shock(state: Float64Array, held: int, mine: int, step_ms: int, out: Float64Array, at: int) -> None:
    """Ratio of the newest hour, then the sample is kept (at full hours)."""
    n, bars = held & MASK, max(_HOUR_MS // step_ms, 1)
    hours, first = slot(FREE), 0
    if bars == 1:
        garman = first_of(state, GARMAN_KLASS, held)
        for k in range(n):
            state[hours + k] = math.sqrt(state[garman + k])
    else:
        first = since(state[RUN], held, bars + 1)
        square_totals(state, RETURNS, held, bars, FREE)
        for k in range(n):
            state[hours + k] = math.sqrt(state[hours + k])
    for k in range(first, n):
        full_hour = bars == 1 or close_of(state, held, step_ms, k) % _HOUR_MS == 0
        _against_the_month(state, mine, step_ms, state[hours + k], full_hour, out, at, k)


@kernel_part
def _against_the_month(
    state: Float64Array, mine: int, step_ms: int, now: float, full_hour: bool, out: Float64Array, at: int, bar: int
) -> None:  # fmt: skip
    capacity = min(_MONTH_MS // max(step_ms, _HOUR_MS), WINDOW)
    samples = int(state[mine])
    if samples >= min(ENOUGH, capacity):
        first = mine + 2 + WINDOW
        median = 0.5 * (state[first + (samples - 1) // 2] + state[first + samples // 2])
        out[at, bar] = now / median if median > 0.0 else np.nan
    if full_hour:
        _sample(state, mine, capacity, now)
