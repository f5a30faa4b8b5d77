"""How the symbol moves with others: correlation, beta, relative strength, what the other did, their spread.

The other symbol's close is that of the bar that closed at the same moment; a bar that came too late is missing
(:mod:`data.beside`). Returns are of bars that follow one another without a gap, on both sides.
"""

from __future__ import annotations

import math

import numpy as np

from ai.features.positioning import LEAST, LONG
from ai.features.spec import FeatureSpec
from ai.features.window import (
    CLOSE,
    COUNT,
    CROSS_CLOSE,
    CROSS_RATIO,
    CROSS_RETURN,
    OWN_RETURN,
    RETURN,
    RUN,
    newest,
    put,
    window,
    zscore_present,
)
from data.beside import CROSS, CROSS_SYMBOLS
from data.compiled import kernel
from data.market import Float64Array

_EACH = 6
_STRENGTH = (24, 96)


def _specs(number: int) -> tuple[FeatureSpec, ...]:
    inputs = ("close", f"cross_{number}_close")
    other = f"cross symbol {number}"

    def spec(name: str, lookback: int, unit: str, meaning: str, source: str) -> FeatureSpec:
        return FeatureSpec(
            f"cross_{number}_{name}", "cross", lookback, unit, meaning, inputs, source, optional=True
        )  # fmt: skip

    return (
        spec("return_1", 2, "fraction", f"log return of {other} over the bar that closed with this one", "log return"),
        spec("correlation_96", LONG + 1, "-1..1", f"correlation of 96 log returns with {other}", "Pearson"),
        spec("beta_96", LONG + 1, "ratio", f"slope of 96 log returns on those of {other}", "least squares"),
        *(
            spec(f"strength_{n}", n + 1, "fraction", f"log return over {n} bars above that of {other}", "difference")
            for n in _STRENGTH
        ),
        spec("spread_zscore_96", LONG, "standard deviations", f"log price over {other} against 96 bars (ddof 0)",
             "z-score"),
    )  # fmt: skip


CROSS_SPECS: tuple[FeatureSpec, ...] = tuple(spec for k in range(CROSS_SYMBOLS) for spec in _specs(k + 1))


@kernel
def _together(state: Float64Array, ring: int, bars: int) -> tuple[int, float, float, float]:
    """Pairs of own returns and those in ``ring`` where both are there: count, and mean squares xx, yy, xy about 0."""
    x_at, y_at = window(state, ring, bars), window(state, OWN_RETURN, bars)
    count, x_sum, y_sum = 0, 0.0, 0.0
    for i in range(bars):
        x, y = state[x_at + i], state[y_at + i]
        if x == x and y == y:
            count += 1
            x_sum += x
            y_sum += y
    if count == 0:
        return 0, 0.0, 0.0, 0.0
    x_mean, y_mean = x_sum / count, y_sum / count
    xx = yy = xy = 0.0
    for i in range(bars):
        x, y = state[x_at + i] - x_mean, state[y_at + i] - y_mean
        if x == x and y == y:
            xx += x * x
            yy += y * y
            xy += x * y
    return count, xx, yy, xy


@kernel
def step_cross(state: Float64Array, c: float, beside: Float64Array, b: int, out: Float64Array, at: int) -> None:
    """Each cross symbol in turn; where returns do not vary, correlation and beta are 0."""
    run = state[RUN]
    put(state, OWN_RETURN, state[RETURN])
    for k in range(CROSS_SYMBOLS):
        close, to = beside[b + CROSS + k], at + _EACH * k
        other = math.log(close) if close > 0.0 else np.nan
        put(state, CROSS_CLOSE + k, other)
        gain = other - newest(state, CROSS_CLOSE + k, 1) if run > 1 else np.nan
        put(state, CROSS_RETURN + k, gain)
        put(state, CROSS_RATIO + k, math.log(c) - other)
        out[to] = gain
        if state[COUNT] > LONG:
            count, xx, yy, xy = _together(state, CROSS_RETURN + k, LONG)
            if count >= LEAST:
                out[to + 1] = xy / math.sqrt(xx * yy) if xx * yy > 0.0 else 0.0
                out[to + 2] = xy / xx if xx > 0.0 else 0.0
        for i in range(2):
            bars = _STRENGTH[i]
            if run > bars:
                out[to + 3 + i] = math.log(c / newest(state, CLOSE, bars)) - (
                    other - newest(state, CROSS_CLOSE + k, bars)
                )
        if state[COUNT] >= LONG:
            out[to + 5] = zscore_present(state, CROSS_RATIO + k, LONG, LEAST)
