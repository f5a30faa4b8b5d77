"""Funding of the perpetual, known only from its settlement on.

NaN means missing: before enough settlements were seen, and once the newest is older than ``STALE_MS``. Nothing is
filled in from later. The settlement is dated at the close of the bar by which it was known; of several in one bar
(bars longer than the funding interval) the last counts.
"""

from __future__ import annotations

import numpy as np

from ai.features.blocks import close_of, first_of
from ai.features.spec import FeatureSpec
from ai.features.window import FUNDING_RATE, MASK
from data.compiled import kernel_part
from data.market import Float64Array

_F = ("funding",)
_HOUR_MS = 3_600_000
STALE_MS = 24 * _HOUR_MS
LONGEST_HOURS = 8  # longest funding interval in use; a longer pause is a hole in the data
KEPT = 21


def _spec(name: str, settlements: int, unit: str, meaning: str) -> FeatureSpec:
    hours = settlements * LONGEST_HOURS + STALE_MS // _HOUR_MS
    return FeatureSpec(name, "funding", 1, unit, meaning, _F, "exchange settlements", hours, optional=True)


FUNDING: tuple[FeatureSpec, ...] = (
    _spec("funding_rate", 1, "fraction of notional", "rate of the last settlement (+: longs pay)"),
    _spec("funding_mean_3", 3, "fraction of notional", "mean rate of the last 3 settlements"),
    _spec("funding_mean_21", KEPT, "fraction of notional", "mean rate of the last 21 settlements"),
    _spec("funding_annualised", 2, "fraction per year", "last rate times settlements per year at the last interval"),
    _spec("funding_hours_since", 1, "hours", "time since the last settlement"),
)
DERIVATIVES_STATE = 4 + KEPT  # settlements, newest at, last time, interval in hours; rates


@kernel_part
def step_derivatives(state: Float64Array, held: int, mine: int, step_ms: int, out: Float64Array, at: int) -> None:
    """The rate of a bar is NaN unless a settlement became known by its close."""
    rates = first_of(state, FUNDING_RATE, held)
    for k in range(held & MASK):
        _known(state, mine, close_of(state, held, step_ms, k), state[rates + k], out, at, k)


@kernel_part
def _known(
    state: Float64Array, mine: int, close_time: int, rate: float, out: Float64Array, at: int, bar: int
) -> None:  # fmt: skip
    if not np.isnan(rate):
        if state[mine] > 0:
            state[mine + 3] = min((close_time - state[mine + 2]) / _HOUR_MS, LONGEST_HOURS)
        state[mine] += 1.0
        state[mine + 1] = (state[mine + 1] + 1.0) % KEPT
        state[mine + 2] = close_time
        state[mine + 4 + int(state[mine + 1])] = rate
    seen = state[mine]
    if seen == 0 or close_time - state[mine + 2] > STALE_MS:
        return
    rates, newest = mine + 4, int(state[mine + 1])
    last = state[rates + newest]
    out[at, bar] = last
    summed = 0.0
    for k in range(min(int(seen), KEPT)):
        summed += state[rates + (newest - k + KEPT) % KEPT]
        if k == 2:
            out[at + 1, bar] = summed / 3
    if seen >= KEPT:
        out[at + 2, bar] = summed / KEPT
    if seen >= 2:
        out[at + 3, bar] = last * 8760.0 / state[mine + 3]
    out[at + 4, bar] = (close_time - state[mine + 2]) / _HOUR_MS
