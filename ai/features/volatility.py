"""Volatility: from returns, from ranges (Parkinson 1980, Garman & Klass 1980), its ratio and shape, the bar's shape."""

from __future__ import annotations

import math

from ai.features.blocks import FREE, first_of, since, slot
from ai.features.spec import FeatureSpec
from ai.features.sums import shapes_96, square_totals, totals
from ai.features.window import (
    CLOSE,
    COUNT,
    GARMAN_KLASS,
    HIGH,
    LOW,
    MASK,
    OPEN,
    RANGE_SQ,
    RETURN_COUNT,
    RETURNS,
)
from data.compiled import kernel_part
from data.market import Float64Array, UInt8Array

_C, _HL, _OHLC = ("close",), ("high", "low"), ("open", "high", "low", "close")
_FLAT = 1e-28
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
def _rooted(
    state: Float64Array, held: int, first: int, share: float, bars: int, out: Float64Array, row: int
) -> None:  # fmt: skip
    """Root of the mean of the sums in the first free slot, times ``share``."""
    sums = slot(FREE)
    for k in range(first, held & MASK):
        out[row, k] = math.sqrt(share * state[sums + k] / bars)


@kernel_part
def _long(state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """Standard deviation and skewness of 96 returns, and the ratio of the short volatility to the long one."""
    n, mean, squared, cubed = held & MASK, slot(FREE), slot(FREE + 1), slot(FREE + 2)
    totals(state, RETURNS, held, 96, FREE)
    for k in range(n):
        state[mean + k] /= 96
    shapes_96(state, RETURNS, held, FREE, FREE + 1)
    first = since(state[RETURN_COUNT], held, 96)
    for k in range(first, n):
        out[at + 2, k] = math.sqrt(state[squared + k] / 95)
    if asked[at + 5]:
        for k in range(first, n):
            out[at + 5, k] = out[at, k] / out[at + 2, k] if state[squared + k] > _FLAT else 1.0
    if asked[at + 6]:
        for k in range(first, n):
            spread = state[squared + k]
            out[at + 6, k] = state[cubed + k] / (spread * math.sqrt(spread / 96)) if spread > _FLAT else 0.0


@kernel_part
def _bar_shape(state: Float64Array, held: int, out: Float64Array, at: int) -> None:
    n = held & MASK
    o, h = first_of(state, OPEN, held), first_of(state, HIGH, held)
    low, c = first_of(state, LOW, held), first_of(state, CLOSE, held)
    for k in range(n):
        out[at, k] = 100.0 * (state[c + k] / state[o + k] - 1.0)
        out[at + 1, k] = 100.0 * (state[h + k] - state[low + k]) / state[c + k]
    for k in range(n):
        span, over = state[h + k] - state[low + k], state[h + k] - max(state[o + k], state[c + k])
        out[at + 2, k] = over / span if span > 0.0 else 0.0
    for k in range(n):
        span, under = state[h + k] - state[low + k], min(state[o + k], state[c + k]) - state[low + k]
        out[at + 3, k] = under / span if span > 0.0 else 0.0


@kernel_part
def step_volatility(state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """Per-bar volatilities as fractions; a flat market has volatility 0, ratio 1 and skewness 0."""
    count, returns = state[COUNT], state[RETURN_COUNT]
    if asked[at] or asked[at + 5]:
        square_totals(state, RETURNS, held, 12, FREE)
        _rooted(state, held, since(returns, held, 12), 1.0, 12, out, at)
    if asked[at + 1]:
        square_totals(state, RETURNS, held, 24, FREE)
        _rooted(state, held, since(returns, held, 24), 1.0, 24, out, at + 1)
    if asked[at + 3]:
        totals(state, RANGE_SQ, held, 20, FREE)
        _rooted(state, held, since(count, held, 20), _PARKINSON, 20, out, at + 3)
    if asked[at + 4]:
        totals(state, GARMAN_KLASS, held, 20, FREE)
        _rooted(state, held, since(count, held, 20), 1.0, 20, out, at + 4)
    if asked[at + 2] or asked[at + 5] or asked[at + 6]:
        _long(state, held, asked, out, at)
    _bar_shape(state, held, out, at + 7)
