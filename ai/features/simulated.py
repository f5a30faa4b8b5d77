"""Monte-Carlo as features: what 1,000 paths from the last 50 returns say of the coming 24 bars.

The draws are keyed by the bar's open time alone (:mod:`ai.monte_carlo`), so a bar has the same values in every run and
every engine. Stop and target stand as in the exit profile ``swing``: 1.5 ATR, and 2.5 times that. Neither probability
knows more than the returns do. Missing within 50 bars after a gap, and in a market that does not move. They cost some
130 microseconds a bar, a hundred times the rest, and are therefore read only by those who ask for them.
"""

from __future__ import annotations

import math

import numpy as np

from ai.exits import exit_profile
from ai.features.spec import FeatureSpec
from ai.features.trend import DIRECTION
from ai.features.window import CLOSE, RUN, window
from ai.monte_carlo import PATHS, WINDOW, run_monte_carlo
from ai.monte_carlo_paths import LEVELS
from data.compiled import kernel_allocating
from data.market import Float64Array

SEED, HORIZON = 0, 24
_SWING = exit_profile("swing", "1h")
_STOP, _TARGET = _SWING.stop, _SWING.stop * _SWING.target_ratio
_HLC = ("high", "low", "close")
_ATR = next(spec.lookback for spec in DIRECTION if spec.name == "atr_14")
_SOURCE = "Monte-Carlo, geometric Brownian motion of the last 50 returns"


def _spec(name: str, lookback: int, unit: str, meaning: str, inputs: tuple[str, ...]) -> FeatureSpec:
    return FeatureSpec(name, "monte_carlo", lookback, unit, meaning, inputs, _SOURCE, optional=True)


MONTE_CARLO: tuple[FeatureSpec, ...] = (
    _spec("mc_up_24", WINDOW + 1, "probability", "close in 24 bars above this one", ("close",)),
    _spec("mc_return_24", WINDOW + 1, "fraction", "mean return over 24 bars", ("close",)),
    _spec("mc_band_95_24", WINDOW + 1, "fraction", "width of the 95 % band of the close in 24 bars", ("close",)),
    _spec("mc_long_target_24", _ATR, "probability", "long: target of 3.75 ATR before the stop of 1.5, in 24 bars",
          _HLC),
    _spec("mc_short_target_24", _ATR, "probability", "short: target of 3.75 ATR before the stop of 1.5, in 24 bars",
          _HLC),
)  # fmt: skip


@kernel_allocating
def step_monte_carlo(state: Float64Array, open_time: int, c: float, atr: float, out: Float64Array, at: int) -> None:
    """``atr``: the bar's average true range in price; NaN: the touches are missing."""
    if state[RUN] <= WINDOW:
        return
    first = window(state, CLOSE, WINDOW + 1)
    steps, bands = np.full(1, HORIZON), np.empty((1, len(LEVELS)))
    unknown, up, expected, long_target, _, short_target, _, _, _ = run_monte_carlo(
        state[first : first + WINDOW + 1], SEED, 0, open_time, HORIZON, PATHS, WINDOW, 0, _STOP * atr, _TARGET * atr,
        steps, bands,
    )  # fmt: skip
    if unknown != 0:
        return
    out[at], out[at + 1] = up, expected / c - 1.0
    out[at + 2] = (bands[0, len(LEVELS) - 1] - bands[0, 0]) / c
    if not math.isnan(atr):
        out[at + 3], out[at + 4] = long_target, short_target
