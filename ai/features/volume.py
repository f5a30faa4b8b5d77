"""Volume: level, trend, balance of buying and selling as far as candles show it (taker data come from elsewhere)."""

from __future__ import annotations

import math

from ai.features.blocks import FREE, first_of, since, slot
from ai.features.spec import FeatureSpec
from ai.features.sums import spreads, totals
from ai.features.window import (
    CLOSE,
    COUNT,
    FLOW,
    HIGH,
    LOW,
    MASK,
    PRESSURE,
    TURNOVER,
    TYPICAL,
    VOLUME,
)
from data.compiled import kernel_part
from data.market import Float64Array, UInt8Array

_V, _CV, _HLCV = ("volume",), ("close", "volume"), ("high", "low", "close", "volume")

VOLUME_SPECS: tuple[FeatureSpec, ...] = (
    FeatureSpec("obv_20", "volume", 21, "-1..1", "on-balance volume of 20 bars over their volume", _CV, "TA-Lib OBV"),
    FeatureSpec("vwap_20", "volume", 20, "price", "volume-weighted typical price of 20 bars", _HLCV, "VWAP, rolling"),
    FeatureSpec("vwap_distance_20", "volume", 20, "percent", "close above (+) or below (-) vwap_20", _HLCV,
                "VWAP, rolling"),
    FeatureSpec("volume_zscore_20", "volume", 20, "standard deviations", "volume against 20 bars (ddof 0)", _V,
                "z-score"),
    FeatureSpec("relative_volume_20", "volume", 20, "ratio", "volume over the mean of 20 bars", _V, "ratio"),
    FeatureSpec("relative_volume_96", "volume", 96, "ratio", "mean volume of 20 bars over that of 96", _V, "ratio"),
    FeatureSpec("volume_trend", "volume", 20, "log ratio", "log of mean volume of 5 bars over that of 20", _V,
                "log ratio"),
    FeatureSpec("buy_pressure", "volume", 1, "-1..1", "place of the close in the bar: 1 high, -1 low", _HLCV,
                "Chaikin, close location value"),
    FeatureSpec("buy_pressure_20", "volume", 20, "-1..1", "volume-weighted buy_pressure of 20 bars", _HLCV,
                "Chaikin money flow"),
)  # fmt: skip


@kernel_part
def _vwap(state: Float64Array, held: int, first: int, traded: int, out: Float64Array, at: int) -> None:
    """Volume-weighted price of 20 bars and the close's distance from it."""
    c, turnover, plain = first_of(state, CLOSE, held), slot(FREE + 2), slot(FREE + 3)
    totals(state, TURNOVER, held, 20, FREE + 2)
    totals(state, TYPICAL, held, 20, FREE + 3)
    for k in range(first, held & MASK):
        volume = state[traded + k]
        vwap = state[turnover + k] / volume if volume > 0.0 else state[plain + k] / 20
        out[at, k], out[at + 1, k] = vwap, 100.0 * (state[c + k] / vwap - 1.0)


@kernel_part
def _level(state: Float64Array, held: int, first: int, traded: int, mean: int, out: Float64Array, at: int) -> None:
    """Volume against the 20 bars, and these against 96."""
    n, v = held & MASK, first_of(state, VOLUME, held)
    spread, long = slot(FREE + 2), slot(FREE + 3)
    spreads(state, VOLUME, held, 20, FREE + 1, FREE + 2)
    for k in range(first, n):
        middle, sd = state[mean + k], math.sqrt(state[spread + k] / 20)
        out[at, k] = (state[v + k] - middle) / sd if sd > 1e-14 * middle else 0.0
    for k in range(first, n):
        out[at + 1, k] = state[v + k] / state[mean + k] if state[traded + k] > 0.0 else 1.0
    totals(state, VOLUME, held, 96, FREE + 3)
    for k in range(since(state[COUNT], held, 96), n):
        usual = state[long + k] / 96
        out[at + 2, k] = state[mean + k] / usual if usual > 0.0 else 1.0


@kernel_part
def _share(state: Float64Array, held: int, ring: int, first: int, traded: int, out: Float64Array, row: int) -> None:
    """Sum of 20 bars over their volume."""
    sums = slot(FREE + 2)
    totals(state, ring, held, 20, FREE + 2)
    for k in range(first, held & MASK):
        out[row, k] = state[sums + k] / state[traded + k] if state[traded + k] > 0.0 else 0.0


@kernel_part
def step_volume(state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """Without any volume in the window: balances and trend 0, ratios 1, vwap_20 the plain mean."""
    n, first = held & MASK, since(state[COUNT], held, 20)
    h, low, c = first_of(state, HIGH, held), first_of(state, LOW, held), first_of(state, CLOSE, held)
    for k in range(n):
        x, y, z = state[h + k], state[low + k], state[c + k]
        out[at + 7, k] = ((z - y) - (x - z)) / (x - y) if x > y else 0.0
    traded, mean = slot(FREE), slot(FREE + 1)
    totals(state, VOLUME, held, 20, FREE)
    for k in range(n):
        state[mean + k] = state[traded + k] / 20
    if asked[at]:
        _share(state, held, FLOW, since(state[COUNT], held, 21), traded, out, at)
    if asked[at + 8]:
        _share(state, held, PRESSURE, first, traded, out, at + 8)
    if asked[at + 1] or asked[at + 2]:
        _vwap(state, held, first, traded, out, at + 1)
    if asked[at + 3] or asked[at + 4] or asked[at + 5]:
        _level(state, held, first, traded, mean, out, at + 3)
    if asked[at + 6]:
        recent = slot(FREE + 2)
        totals(state, VOLUME, held, 5, FREE + 2)
        for k in range(first, n):
            ratio = state[recent + k] / 5 / state[mean + k] if state[traded + k] > 0.0 else 1.0
            out[at + 6, k] = math.log(max(ratio, 1e-6))
