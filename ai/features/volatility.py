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
from data.compiled import kernel
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


@kernel
def _cubes(values: Float64Array, centre: float) -> float:
    a = b = 0.0
    for k in range(len(values) // 2):
        x, y = values[2 * k] - centre, values[2 * k + 1] - centre
        a += x * x * x
        b += y * y * y
    return a + b


@kernel
def step_volatility(market: Float64Array, o: float, h: float, low: float, c: float, out: Float64Array) -> None:
    """Per-bar volatilities as fractions; a flat market has volatility 0, ratio 1 and skewness 0."""
    count, returns = market[COUNT], market[RETURN_COUNT]
    if returns >= 12:
        out[0] = math.sqrt(squares(window(market, RETURNS, 12), 0.0) / 12)
    if returns >= 24:
        out[1] = math.sqrt(squares(window(market, RETURNS, 24), 0.0) / 24)
    if returns >= 96:
        values = window(market, RETURNS, 96)
        mean = total(values) / 96
        spread = squares(values, mean)
        out[2] = math.sqrt(spread / 95)
        flat = spread <= 1e-28
        out[5] = 1.0 if flat else out[0] / out[2]
        out[6] = 0.0 if flat else _cubes(values, mean) / 96 / (spread / 96) ** 1.5
    if count >= 20:
        out[3] = math.sqrt(_PARKINSON * total(window(market, RANGE_SQ, 20)) / 20)
        out[4] = math.sqrt(total(window(market, GARMAN_KLASS, 20)) / 20)
    out[7] = 100.0 * (c / o - 1.0)
    out[8] = 100.0 * (h - low) / c
    span = h - low
    out[9] = (h - max(o, c)) / span if span > 0.0 else 0.0
    out[10] = (min(o, c) - low) / span if span > 0.0 else 0.0
