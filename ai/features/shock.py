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

from ai.features.spec import FeatureSpec
from ai.features.window import GARMAN_KLASS, RETURNS, RUN, newest, squares
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
def step_shock(state: Float64Array, mine: int, step_ms: int, close_time: int, out: Float64Array, at: int) -> None:
    """Ratio of the newest hour, then the sample is kept (at full hours)."""
    bars = max(_HOUR_MS // step_ms, 1)
    if bars == 1:
        now = math.sqrt(newest(state, GARMAN_KLASS, 0))
    else:
        if state[RUN] <= bars:
            return
        now = math.sqrt(squares(state, RETURNS, bars, 0.0))
    capacity = min(_MONTH_MS // max(step_ms, _HOUR_MS), WINDOW)
    held = int(state[mine])
    if held >= min(ENOUGH, capacity):
        first = mine + 2 + WINDOW
        median = 0.5 * (state[first + (held - 1) // 2] + state[first + held // 2])
        out[at] = now / median if median > 0.0 else np.nan
    if bars == 1 or close_time % _HOUR_MS == 0:
        _sample(state, mine, capacity, now)
