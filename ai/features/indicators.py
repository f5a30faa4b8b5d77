"""Moving averages, MACD, bands and oscillators: the classic indicators, as TA-Lib computes them.

Where a formula is 0/0 (a flat market) TA-Lib says 0; here the neutral value is given instead (RSI, stochastic and
MFI 50, CCI 0, band position 0.5), because a flat market is not an oversold one.
"""

from __future__ import annotations

import math

import numpy as np

from ai.features.blocks import FREE, first_of, since, slot
from ai.features.spec import FeatureSpec, settle
from ai.features.sums import highs, lows, slopes, spreads, totals
from ai.features.window import CHANGE, CLOSE, COUNT, HIGH, LOW, MASK, MONEY_DOWN, MONEY_UP, RUN, TYPICAL
from data.compiled import kernel_part
from data.market import Float64Array, UInt8Array

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
OSCILLATORS_STATE = 7  # RSI changes, gain, loss; the last two fast K and two slow K


@kernel_part
def _ema(average: float, bars: int, seen: int, value: float) -> float:
    """Mean of the first ``bars`` values, from then on the recursion; ``seen`` counts this value too."""
    return average + value / bars if seen <= bars else average + (value - average) * (2.0 / (bars + 1))


@kernel_part
def _recursions(state: Float64Array, held: int, mine: int, out: Float64Array, at: int) -> None:
    """The averages into the rows of their levels, MACD and its signal into theirs: also before they are warm."""
    c, before = first_of(state, CLOSE, held), int(state[COUNT]) - held
    e9, e20, e50, e200 = state[mine], state[mine + 1], state[mine + 2], state[mine + 3]
    fast, slow, signal = state[mine + 4], state[mine + 5], state[mine + 6]
    for k in range(held & MASK):
        close, seen = state[c + k], before + k + 1
        e9, e20, e50 = _ema(e9, 9, seen, close), _ema(e20, 20, seen, close), _ema(e50, 50, seen, close)
        e200, slow = _ema(e200, 200, seen, close), _ema(slow, 26, seen, close)
        if seen > 14:
            fast = _ema(fast, 12, seen - 14, close)
        if seen >= 26:
            signal = _ema(signal, 9, seen - 25, fast - slow)
        out[at, k], out[at + 1, k], out[at + 2, k], out[at + 3, k] = e9, e20, e50, e200
        out[at + 11, k], out[at + 12, k] = fast - slow, signal
    state[mine], state[mine + 1], state[mine + 2], state[mine + 3] = e9, e20, e50, e200
    state[mine + 4], state[mine + 5], state[mine + 6] = fast, slow, signal


@kernel_part
def _unknown(out: Float64Array, row: int, bars: int) -> None:
    for k in range(bars):
        out[row, k] = np.nan


@kernel_part
def _distances(
    state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, row: int, first: int
) -> None:  # fmt: skip
    """Distance of the close from the average in ``row``, which is not known before the bar ``first``."""
    c = first_of(state, CLOSE, held)
    if asked[row + 5]:
        for k in range(first, held & MASK):
            out[row + 5, k] = 100.0 * (state[c + k] / out[row, k] - 1.0)
    _unknown(out, row, first)


@kernel_part
def step_averages(state: Float64Array, held: int, mine: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """EMA, SMA, their distances and MACD, started as TA-Lib starts them (MACD's fast average at the 15th close)."""
    n, count, c = held & MASK, state[COUNT], first_of(state, CLOSE, held)
    _recursions(state, held, mine, out, at)
    totals(state, CLOSE, held, 20, FREE)
    sums = slot(FREE)
    for k in range(n):
        out[at + 4, k] = state[sums + k] / 20
    if asked[at + 10]:
        for k in range(since(count, held, 50), n):
            out[at + 10, k] = 100.0 * (out[at + 1, k] / out[at + 2, k] - 1.0)
    for i in range(5):
        _distances(state, held, asked, out, at + i, since(count, held, (9, 20, 50, 200, 20)[i]))
    first = since(count, held, 34)
    _unknown(out, at + 11, first)
    _unknown(out, at + 12, first)
    for k in range(first, n):
        out[at + 13, k] = out[at + 11, k] - out[at + 12, k]
    if asked[at + 14] or asked[at + 15] or asked[at + 16]:
        for k in range(first, n):
            scale = 100.0 / state[c + k]
            out[at + 14, k], out[at + 15, k] = out[at + 11, k] * scale, out[at + 12, k] * scale
            out[at + 16, k] = out[at + 13, k] * scale


@kernel_part
def step_bands(state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """Bollinger bands, z-score and slope."""
    n, c = held & MASK, first_of(state, CLOSE, held)
    mean, spread = slot(FREE), slot(FREE + 1)
    totals(state, CLOSE, held, 20, FREE)
    for k in range(n):
        state[mean + k] /= 20
    spreads(state, CLOSE, held, 20, FREE, FREE + 1)
    for k in range(n):
        state[spread + k] = math.sqrt(state[spread + k] / 20)
    first = since(state[COUNT], held, 20)
    for k in range(first, n):
        out[at, k] = state[mean + k] + 2.0 * state[spread + k]
        out[at + 1, k] = state[mean + k] - 2.0 * state[spread + k]
    if asked[at + 2] or asked[at + 4]:
        for k in range(first, n):
            middle, sd = state[mean + k], state[spread + k]
            z = (state[c + k] - middle) / sd if sd > 1e-14 * middle else 0.0
            out[at + 2, k], out[at + 4, k] = 0.5 + 0.25 * z, z
    if asked[at + 3]:
        for k in range(first, n):
            out[at + 3, k] = 400.0 * state[spread + k] / state[mean + k]
    if asked[at + 5]:
        slopes(state, CLOSE, held, 10, FREE)
        slope = slot(FREE + 1)
        for k in range(since(state[COUNT], held, 10), n):
            out[at + 5, k] = 1000.0 * state[slope + k] / state[c + k]


@kernel_part
def _rsi(state: Float64Array, held: int, mine: int, out: Float64Array, at: int) -> None:
    """Over a gap it keeps its value."""
    n, change = held & MASK, first_of(state, CHANGE, held)
    up, down = slot(FREE), slot(FREE + 1)
    gains, losses, moves = state[mine + 1], state[mine + 2], int(state[mine])
    for k in range(n):
        if k > 0 or state[RUN] > held:
            moves += 1
            gain, loss = max(state[change + k], 0.0), max(-state[change + k], 0.0)
            gains = gains + gain / 14 if moves <= 14 else (gains * 13 + gain) / 14
            losses = losses + loss / 14 if moves <= 14 else (losses * 13 + loss) / 14
        state[up + k], state[down + k] = gains, losses
    state[mine], state[mine + 1], state[mine + 2] = moves, gains, losses
    for k in range(since(moves, held, 14), n):
        both = state[up + k] + state[down + k]
        out[at, k] = 100.0 * state[up + k] / both if both > 0.0 else 50.0


@kernel_part
def _stochastic(state: Float64Array, held: int, mine: int, out: Float64Array, at: int) -> None:
    n, count, c = held & MASK, state[COUNT], first_of(state, CLOSE, held)
    bottom, top = slot(FREE), slot(FREE + 1)
    fast, slow = slot(FREE + 2), slot(FREE + 3)  # each begins with the two of the bars before the block
    lows(state, LOW, held, 14, FREE)
    highs(state, HIGH, held, 14, FREE + 1)
    state[fast], state[fast + 1], state[slow], state[slow + 1] = (
        state[mine + 3], state[mine + 4], state[mine + 5], state[mine + 6],
    )  # fmt: skip
    for k in range(n):
        low, high = state[bottom + k], state[top + k]
        state[fast + 2 + k] = 100.0 * (state[c + k] - low) / (high - low) if high > low else 50.0
    for k in range(n):
        state[slow + 2 + k] = (state[fast + k] + state[fast + k + 1] + state[fast + k + 2]) / 3
    for k in range(since(count, held, 16), n):
        out[at + 1, k] = state[slow + 2 + k]
    for k in range(since(count, held, 18), n):
        out[at + 2, k] = (state[slow + k] + state[slow + k + 1] + state[slow + k + 2]) / 3
    state[mine + 3], state[mine + 4], state[mine + 5], state[mine + 6] = (
        state[fast + n], state[fast + n + 1], state[slow + n], state[slow + n + 1],
    )  # fmt: skip


@kernel_part
def _cci(state: Float64Array, held: int, out: Float64Array, at: int) -> None:
    n, typical, mean, spreads_of = held & MASK, first_of(state, TYPICAL, held), slot(FREE), slot(FREE + 1)
    totals(state, TYPICAL, held, 20, FREE)
    for k in range(n):
        state[mean + k] /= 20
    for k in range(n):
        middle = state[mean + k]
        a = b = 0.0
        for m in range(10):
            i = typical - 19 + k + 2 * m
            a += abs(state[i] - middle)
            b += abs(state[i + 1] - middle)
        state[spreads_of + k] = a + b
    for k in range(since(state[COUNT], held, 20), n):
        middle, spread = state[mean + k], state[spreads_of + k]
        out[at, k] = (state[typical + k] - middle) / (0.015 * spread / 20) if spread > 1e-13 * middle else 0.0


@kernel_part
def step_oscillators(state: Float64Array, held: int, mine: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """RSI, stochastic, CCI, MFI."""
    if asked[at]:
        _rsi(state, held, mine, out, at)
    if asked[at + 1] or asked[at + 2]:
        _stochastic(state, held, mine, out, at)
    if asked[at + 3]:
        _cci(state, held, out, at + 3)
    if asked[at + 4]:
        up, down = slot(FREE), slot(FREE + 1)
        totals(state, MONEY_UP, held, 14, FREE)
        totals(state, MONEY_DOWN, held, 14, FREE + 1)
        for k in range(since(state[COUNT], held, 15), held & MASK):
            both = state[up + k] + state[down + k]
            out[at + 4, k] = 100.0 * state[up + k] / both if both > 0.0 else 50.0
