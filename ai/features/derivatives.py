"""Funding of the perpetual, known only from its settlement on.

NaN means missing: before enough settlements were seen, and once the newest is older than ``STALE_MS``. Nothing is
filled in from later. The settlement is dated at the close of the bar by which it was known; of several in one bar
(bars longer than the funding interval) the last counts.
"""

from __future__ import annotations

import numpy as np

from ai.features.spec import FeatureSpec
from data.compiled import kernel
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
DERIVATIVES_STATE = 5 + KEPT  # settlements, newest at, last time, interval in hours, -; rates


@kernel
def step_derivatives(state: Float64Array, close_time: int, rate: float, out: Float64Array) -> None:
    """``rate`` is NaN unless a settlement became known by this bar's close (``close_time``, ms UTC)."""
    if not np.isnan(rate):
        if state[0] > 0:
            state[3] = min((close_time - state[2]) / _HOUR_MS, LONGEST_HOURS)
        state[0] += 1.0
        state[1] = (state[1] + 1.0) % KEPT
        state[2] = close_time
        state[5 + int(state[1])] = rate
    if state[0] == 0 or close_time - state[2] > STALE_MS:
        return
    newest = int(state[1])
    last = state[5 + newest]
    out[0] = last
    if state[0] >= 3:
        out[1] = (last + state[5 + (newest - 1) % KEPT] + state[5 + (newest - 2) % KEPT]) / 3
    if state[0] >= KEPT:
        sum_ = 0.0
        for k in range(KEPT):
            sum_ += state[5 + (newest - k) % KEPT]
        out[2] = sum_ / KEPT
    if state[0] >= 2 and state[3] > 0.0:
        out[3] = last * 8760.0 / state[3]
    out[4] = (close_time - state[2]) / _HOUR_MS
