"""Volume: level, trend, balance of buying and selling as far as candles show it (taker data come from elsewhere)."""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec
from ai.features.window import COUNT, FLOW, PRESSURE, TURNOVER, TYPICAL, VOLUME, squares, total
from data.compiled import kernel_part
from data.market import Float64Array

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
def step_volume(state: Float64Array, h: float, low: float, c: float, v: float, out: Float64Array, at: int) -> None:
    """Without any volume in the window: balances and trend 0, ratios 1, vwap_20 the plain mean."""
    count = state[COUNT]
    out[at + 7] = ((c - low) - (h - c)) / (h - low) if h > low else 0.0
    if count < 20:
        return
    traded = total(state, VOLUME, 20)
    mean = traded / 20
    active = traded > 0.0
    if count >= 21:
        out[at] = total(state, FLOW, 20) / traded if active else 0.0
    vwap = total(state, TURNOVER, 20) / traded if active else total(state, TYPICAL, 20) / 20
    out[at + 1], out[at + 2] = vwap, 100.0 * (c / vwap - 1.0)
    sd = math.sqrt(squares(state, VOLUME, 20, mean) / 20)
    out[at + 3] = (v - mean) / sd if sd > 1e-14 * mean else 0.0
    out[at + 4] = v / mean if active else 1.0
    recent = total(state, VOLUME, 5) / 5
    out[at + 6] = math.log(max(recent / mean, 1e-6)) if active else 0.0
    out[at + 8] = total(state, PRESSURE, 20) / traded if active else 0.0
    if count >= 96:
        long = total(state, VOLUME, 96) / 96
        out[at + 5] = mean / long if long > 0.0 else 1.0
