"""Volatility: from returns, from ranges (Parkinson 1980, Garman & Klass 1980), its ratio and shape, the bar's shape."""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec
from ai.features.window import (
    COUNT,
    GARMAN_KLASS,
    RANGE_SQ,
    RETURN_COUNT,
    RETURNS,
    squares,
    total,
    window,
)
from data.compiled import kernel_part
from data.market import Float64Array

_C, _HL, _OHLC = ("close",), ("high", "low"), ("open", "high", "low", "close")
_PARKINSON = 1.0 / (4.0 * math.log(2.0))

VOLATILITY: tuple[FeatureSpec, ...] = (
    FeatureSpec("realised_volatility_12", "volatility", 13, "fraction", "root mean square of 12 log returns", _C,
                "realised volatility, per bar"),
    FeatureSpec("realised_volatility_24", "volatility", 25, "fraction", "root mean square of 24 log returns", _C,
                "realised volatility, per bar"),
    FeatureSpec("volatility_96", "volatility", 97, "fraction", "standard deviation (ddof 1) of 96 log returns", _C,
                "pandas rolling(96).std()"),
    FeatureSpec("parkinson_20", "volatility", 20, "fraction", "Parkinson volatility of 20 bars, per bar", _HL,
                "Parkinson 1980"),
    FeatureSpec("garman_klass_20", "volatility", 20, "fraction", "Garman-Klass volatility of 20 bars, per bar", _OHLC,
                "Garman & Klass 1980"),
    FeatureSpec("volatility_ratio", "volatility", 97, "ratio", "realised_volatility_12 / volatility_96", _C, "ratio"),
    FeatureSpec("return_skew_96", "volatility", 97, "skewness", "skewness of 96 log returns (population)", _C,
                "scipy.stats.skew"),
    FeatureSpec("body_pct", "volatility", 1, "percent", "close over open of the bar", _OHLC, "bar shape"),
    FeatureSpec("range_pct", "volatility", 1, "percent", "high - low of the bar, of the close", _OHLC, "bar shape"),
    FeatureSpec("upper_wick", "volatility", 1, "fraction", "part of the range above the body", _OHLC, "bar shape"),
    FeatureSpec("lower_wick", "volatility", 1, "fraction", "part of the range below the body", _OHLC, "bar shape"),
)  # fmt: skip


@kernel_part
def _shape(state: Float64Array, bars: int, mean: float) -> tuple[float, float]:
    """Sums of squared and of cubed deviations of the newest returns (``bars`` a multiple of 4)."""
    first = window(state, RETURNS, bars)
    a = b = c = d = e = f = g = h = 0.0
    for i in range(first, first + bars, 4):
        w, x, y, z = state[i] - mean, state[i + 1] - mean, state[i + 2] - mean, state[i + 3] - mean
        m, n, p, q = w * w, x * x, y * y, z * z
        a += m
        b += n
        c += p
        d += q
        e += m * w
        f += n * x
        g += p * y
        h += q * z
    return (a + b) + (c + d), (e + f) + (g + h)


@kernel_part
def step_volatility(state: Float64Array, o: float, h: float, low: float, c: float, out: Float64Array, at: int) -> None:
    """Per-bar volatilities as fractions; a flat market has volatility 0, ratio 1 and skewness 0."""
    count, returns = state[COUNT], state[RETURN_COUNT]
    if returns >= 12:
        out[at] = math.sqrt(squares(state, RETURNS, 12, 0.0) / 12)
    if returns >= 24:
        out[at + 1] = math.sqrt(squares(state, RETURNS, 24, 0.0) / 24)
    if returns >= 96:
        mean = total(state, RETURNS, 96) / 96
        spread, cubes = _shape(state, 96, mean)
        out[at + 2] = math.sqrt(spread / 95)
        flat = spread <= 1e-28
        out[at + 5] = 1.0 if flat else out[at] / out[at + 2]
        out[at + 6] = 0.0 if flat else cubes / (spread * math.sqrt(spread / 96))
    if count >= 20:
        out[at + 3] = math.sqrt(_PARKINSON * total(state, RANGE_SQ, 20) / 20)
        out[at + 4] = math.sqrt(total(state, GARMAN_KLASS, 20) / 20)
    out[at + 7] = 100.0 * (c / o - 1.0)
    out[at + 8] = 100.0 * (h - low) / c
    span = h - low
    out[at + 9] = (h - max(o, c)) / span if span > 0.0 else 0.0
    out[at + 10] = (min(o, c) - low) / span if span > 0.0 else 0.0
