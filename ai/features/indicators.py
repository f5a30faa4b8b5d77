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
from data.compiled import kernel_part
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
AVERAGES_STATE = 7  # EMA 9, 20, 50, 200; MACD fast, slow, signal

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


@kernel_part
def _ema(state: Float64Array, at: int, bars: int, seen: float, value: float) -> None:
    """Mean of the first ``bars`` values, from then on the recursion; ``seen`` counts this value too."""
    if seen <= bars:
        state[at] += value / bars
    else:
        state[at] += (value - state[at]) * (2.0 / (bars + 1))


@kernel_part
def _level(out: Float64Array, at: int, average: float, close: float) -> None:
    out[at] = average
    out[at + 5] = 100.0 * (close / average - 1.0)


@kernel_part
def step_averages(state: Float64Array, mine: int, close: float, out: Float64Array, at: int) -> None:
    """EMA, SMA, their distances and MACD, started as TA-Lib starts them (MACD's fast average at the 15th close)."""
    count = state[COUNT]
    _ema(state, mine, 9, count, close)
    _ema(state, mine + 1, 20, count, close)
    _ema(state, mine + 2, 50, count, close)
    _ema(state, mine + 3, 200, count, close)
    if count >= 9:
        _level(out, at, state[mine], close)
    if count >= 20:
        _level(out, at + 1, state[mine + 1], close)
        _level(out, at + 4, total(state, CLOSE, 20) / 20, close)
    if count >= 50:
        _level(out, at + 2, state[mine + 2], close)
        out[at + 10] = 100.0 * (state[mine + 1] / state[mine + 2] - 1.0)
    if count >= 200:
        _level(out, at + 3, state[mine + 3], close)
    if count > 14:
        _ema(state, mine + 4, 12, count - 14, close)
    _ema(state, mine + 5, 26, count, close)
    if count < 26:
        return
    macd = state[mine + 4] - state[mine + 5]
    _ema(state, mine + 6, 9, count - 25, macd)
    if count >= 34:
        signal, scale = state[mine + 6], 100.0 / close
        out[at + 11], out[at + 12], out[at + 13] = macd, signal, macd - signal
        out[at + 14], out[at + 15], out[at + 16] = macd * scale, signal * scale, (macd - signal) * scale


@kernel_part
def step_bands(state: Float64Array, close: float, out: Float64Array, at: int) -> None:
    """Bollinger bands, z-score and slope."""
    count = state[COUNT]
    if count >= 20:
        mean = total(state, CLOSE, 20) / 20
        sd = math.sqrt(squares(state, CLOSE, 20, mean) / 20)
        z = (close - mean) / sd if sd > 1e-14 * mean else 0.0
        out[at], out[at + 1] = mean + 2.0 * sd, mean - 2.0 * sd
        out[at + 2] = 0.5 + 0.25 * z
        out[at + 3] = 400.0 * sd / mean
        out[at + 4] = z
    if count >= 10:
        out[at + 5] = 1000.0 * regression(state, CLOSE, 10)[0] / close


@kernel_part
def _rsi(state: Float64Array, mine: int, change: float) -> None:
    state[mine] += 1.0
    gain, loss = max(change, 0.0), max(-change, 0.0)
    if state[mine] <= 14:
        state[mine + 1] += gain / 14
        state[mine + 2] += loss / 14
    else:
        state[mine + 1] = (state[mine + 1] * 13 + gain) / 14
        state[mine + 2] = (state[mine + 2] * 13 + loss) / 14


@kernel_part
def _stochastic(state: Float64Array, mine: int, close: float, out: Float64Array, at: int) -> None:
    count = state[COUNT]
    if count < 14:
        return
    low, high = lowest(state, LOW, 14), highest(state, HIGH, 14)
    state[mine + 3], state[mine + 4] = state[mine + 4], state[mine + 5]
    state[mine + 5] = 100.0 * (close - low) / (high - low) if high > low else 50.0
    if count < 16:
        return
    state[mine + 6], state[mine + 7] = state[mine + 7], state[mine + 8]
    state[mine + 8] = (state[mine + 3] + state[mine + 4] + state[mine + 5]) / 3
    out[at + 1] = state[mine + 8]
    if count >= 18:
        out[at + 2] = (state[mine + 6] + state[mine + 7] + state[mine + 8]) / 3


@kernel_part
def step_oscillators(state: Float64Array, mine: int, close: float, out: Float64Array, at: int) -> None:
    """RSI, stochastic, CCI, MFI; over a gap RSI keeps its value."""
    if state[RUN] > 1:
        _rsi(state, mine, state[CHANGE_NOW])
    if state[mine] >= 14:
        both = state[mine + 1] + state[mine + 2]
        out[at] = 100.0 * state[mine + 1] / both if both > 0.0 else 50.0
    _stochastic(state, mine, close, out, at)
    count = state[COUNT]
    if count >= 20:
        mean, first = total(state, TYPICAL, 20) / 20, window(state, TYPICAL, 20)
        a = b = 0.0
        for i in range(first, first + 20, 2):
            a += abs(state[i] - mean)
            b += abs(state[i + 1] - mean)
        spread = a + b
        out[at + 3] = (state[first + 19] - mean) / (0.015 * spread / 20) if spread > 1e-13 * mean else 0.0
    if count >= 15:
        up, down = total(state, MONEY_UP, 14), total(state, MONEY_DOWN, 14)
        out[at + 4] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
