"""Moving averages, MACD, bands and oscillators: the classic indicators, as TA-Lib computes them.

Where a formula is 0/0 (a flat market) TA-Lib says 0; here the neutral value is given instead (RSI, stochastic and
MFI 50, CCI 0, band position 0.5), because a flat market is not an oversold one.
"""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec, settle
from ai.features.window import (
    CHANGE_NOW,
    CLOSE,
    COUNT,
    HIGH,
    LOW,
    MONEY_DOWN,
    MONEY_UP,
    RUN,
    TYPICAL,
    highest,
    lowest,
    regression,
    squares,
    total,
    window,
)
from data.compiled import kernel
from data.market import Float64Array

_C, _HLC, _HLCV = ("close",), ("high", "low", "close"), ("high", "low", "close", "volume")


def _average(name: str, bars: int, kind: str) -> FeatureSpec:
    words = {"ema": "exponential", "sma": "simple"}[kind]
    lookback = settle(2.0 / (bars + 1), bars) if kind == "ema" else bars
    return FeatureSpec(
        name, "averages", lookback, "price", f"{words} moving average of {bars} closes", _C, f"TA-Lib {kind.upper()}"
    )


def _distance(average: FeatureSpec) -> FeatureSpec:
    return FeatureSpec(
        f"{average.name}_distance", "averages", average.lookback, "percent",
        f"close above (+) or below (-) {average.name}", _C, average.source,
    )  # fmt: skip


_LEVELS = (*(_average(f"ema_{n}", n, "ema") for n in (9, 20, 50, 200)), _average("sma_20", 20, "sma"))
_MACD = settle(2 / 27, 26) + settle(2 / 10, 9)

AVERAGES: tuple[FeatureSpec, ...] = (
    *_LEVELS,
    *(_distance(level) for level in _LEVELS),
    FeatureSpec(
        "ema_20_50_spread", "averages", _LEVELS[2].lookback, "percent", "ema_20 above ema_50", _C, "TA-Lib EMA"
    ),
    FeatureSpec("macd", "averages", _MACD, "price", "EMA(12) - EMA(26) of the close", _C, "TA-Lib MACD"),
    FeatureSpec("macd_signal", "averages", _MACD, "price", "EMA(9) of macd", _C, "TA-Lib MACD"),
    FeatureSpec("macd_hist", "averages", _MACD, "price", "macd - macd_signal", _C, "TA-Lib MACD"),
    FeatureSpec("macd_pct", "averages", _MACD, "percent", "macd of the close", _C, "TA-Lib MACD"),
    FeatureSpec("macd_signal_pct", "averages", _MACD, "percent", "macd_signal of the close", _C, "TA-Lib MACD"),
    FeatureSpec("macd_hist_pct", "averages", _MACD, "percent", "macd_hist of the close", _C, "TA-Lib MACD"),
)
AVERAGES_STATE = 10  # EMA 9, 20, 50, 200, MACD fast, slow, signal; signal's count, its seed sum

_BB = "TA-Lib BBANDS(20, 2, 2)"
BANDS: tuple[FeatureSpec, ...] = (
    FeatureSpec("bollinger_upper", "bands", 20, "price", "sma_20 + 2 standard deviations (ddof 0)", _C, _BB),
    FeatureSpec("bollinger_lower", "bands", 20, "price", "sma_20 - 2 standard deviations (ddof 0)", _C, _BB),
    FeatureSpec("bollinger_position", "bands", 20, "fraction", "place of the close: 0 lower, 1 upper band", _C, _BB),
    FeatureSpec("bollinger_width", "bands", 20, "percent", "distance of the bands, of sma_20", _C, _BB),
    FeatureSpec("zscore_20", "bands", 20, "standard deviations", "close against sma_20 (ddof 0)", _C, "TA-Lib STDDEV"),
    FeatureSpec("slope_10", "bands", 10, "per mille of price per bar", "regression line of 10 closes", _C,
                "TA-Lib LINEARREG_SLOPE(10)"),
)  # fmt: skip

OSCILLATORS: tuple[FeatureSpec, ...] = (
    FeatureSpec("rsi_14", "oscillators", settle(1 / 14, 15), "0..100", "relative strength index, Wilder", _C,
                "TA-Lib RSI(14)"),
    FeatureSpec("stochastic_k", "oscillators", 16, "0..100", "slow stochastic (14, 3)", _HLC, "TA-Lib STOCH(14,3,3)"),
    FeatureSpec("stochastic_d", "oscillators", 18, "0..100", "mean of 3 %K", _HLC, "TA-Lib STOCH(14,3,3)"),
    FeatureSpec("cci_20", "oscillators", 20, "index", "commodity channel index", _HLC, "TA-Lib CCI(20)"),
    FeatureSpec("mfi_14", "oscillators", 15, "0..100", "money flow index", _HLCV, "TA-Lib MFI(14)"),
)  # fmt: skip
OSCILLATORS_STATE = 9  # RSI changes, gain, loss; three fast K, three slow K


@kernel
def _ema(state: Float64Array, at: int, bars: int, count: float, close: float, market: Float64Array) -> None:
    if count == bars:
        state[at] = total(window(market, CLOSE, bars)) / bars
    elif count > bars:
        state[at] += (close - state[at]) * (2.0 / (bars + 1))


@kernel
def step_averages(state: Float64Array, market: Float64Array, close: float, out: Float64Array) -> None:
    """EMA, SMA, their distances and MACD (seeded as TA-Lib does: with the mean of the first n closes)."""
    count = market[COUNT]
    for i, bars in enumerate((9, 20, 50, 200)):
        _ema(state, i, bars, count, close, market)
        if count >= bars:
            out[i] = state[i]
            out[5 + i] = 100.0 * (close / state[i] - 1.0)
    if count >= 20:
        out[4] = total(window(market, CLOSE, 20)) / 20
        out[9] = 100.0 * (close / out[4] - 1.0)
    if count >= 50:
        out[10] = 100.0 * (state[1] / state[2] - 1.0)
    if count < 26:
        return
    if count == 26:
        state[4] = total(window(market, CLOSE, 12)) / 12
        state[5] = total(window(market, CLOSE, 26)) / 26
    else:
        state[4] += (close - state[4]) * (2.0 / 13.0)
        state[5] += (close - state[5]) * (2.0 / 27.0)
    macd = state[4] - state[5]
    state[7] += 1.0
    if state[7] <= 9:
        state[8] += macd
        state[6] = state[8] / 9
    else:
        state[6] += (macd - state[6]) * 0.2
    if state[7] >= 9:
        out[11], out[12], out[13] = macd, state[6], macd - state[6]
        scale = 100.0 / close
        out[14], out[15], out[16] = macd * scale, state[6] * scale, (macd - state[6]) * scale


@kernel
def step_bands(market: Float64Array, close: float, out: Float64Array) -> None:
    """Bollinger bands, z-score and slope."""
    count = market[COUNT]
    if count >= 20:
        closes = window(market, CLOSE, 20)
        mean = total(closes) / 20
        sd = math.sqrt(squares(closes, mean) / 20)
        z = (close - mean) / sd if sd > 1e-14 * mean else 0.0
        out[0], out[1] = mean + 2.0 * sd, mean - 2.0 * sd
        out[2] = 0.5 + 0.25 * z
        out[3] = 400.0 * sd / mean
        out[4] = z
    if count >= 10:
        out[5] = 1000.0 * regression(window(market, CLOSE, 10))[0] / close


@kernel
def _rsi(state: Float64Array, change: float) -> None:
    state[0] += 1.0
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if state[0] <= 14:
        state[1] += gain / 14
        state[2] += loss / 14
    else:
        state[1] = (state[1] * 13 + gain) / 14
        state[2] = (state[2] * 13 + loss) / 14


@kernel
def _stochastic(state: Float64Array, market: Float64Array, close: float, out: Float64Array) -> None:
    count = market[COUNT]
    if count < 14:
        return
    low, high = lowest(window(market, LOW, 14)), highest(window(market, HIGH, 14))
    state[3], state[4] = state[4], state[5]
    state[5] = 100.0 * (close - low) / (high - low) if high > low else 50.0
    if count < 16:
        return
    state[6], state[7] = state[7], state[8]
    state[8] = (state[3] + state[4] + state[5]) / 3
    out[1] = state[8]
    if count >= 18:
        out[2] = (state[6] + state[7] + state[8]) / 3


@kernel
def step_oscillators(state: Float64Array, market: Float64Array, close: float, out: Float64Array) -> None:
    """RSI, stochastic, CCI, MFI; over a gap RSI keeps its value."""
    if market[RUN] > 1:
        _rsi(state, market[CHANGE_NOW])
    if state[0] >= 14:
        both = state[1] + state[2]
        out[0] = 100.0 * state[1] / both if both > 0.0 else 50.0
    _stochastic(state, market, close, out)
    count = market[COUNT]
    if count >= 20:
        typical = window(market, TYPICAL, 20)
        mean = total(typical) / 20
        spread = 0.0
        for i in range(20):
            spread += abs(typical[i] - mean)
        out[3] = (typical[19] - mean) / (0.015 * spread / 20) if spread > 1e-13 * mean else 0.0
    if count >= 15:
        up, down = total(window(market, MONEY_UP, 14)), total(window(market, MONEY_DOWN, 14))
        out[4] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
