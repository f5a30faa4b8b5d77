"""Range, direction and regime measures: ATR, ADX, trend strength, place within the recent range."""

from __future__ import annotations

from ai.features.spec import FeatureSpec, settle
from ai.features.window import (
    CHANGE,
    CLOSE,
    COUNT,
    DOWN_MOVE,
    HIGH,
    LOW,
    PATH,
    RETURN_COUNT,
    RETURNS,
    TRUE_RANGE,
    UP_MOVE,
    highest,
    lowest,
    regression,
    total,
    window,
)
from data.compiled import kernel_part
from data.market import Float64Array

_C, _HLC = ("close",), ("high", "low", "close")
_WILDER = settle(1 / 14, 15)

DIRECTION: tuple[FeatureSpec, ...] = (
    FeatureSpec("atr_14", "direction", _WILDER, "price", "average true range, Wilder", _HLC, "TA-Lib ATR(14)"),
    FeatureSpec("atr_pct_14", "direction", _WILDER, "percent", "atr_14 of the close", _HLC, "TA-Lib NATR(14)"),
    FeatureSpec(
        "true_range_pct", "direction", 2, "percent", "true range of the bar, of the close", _HLC, "TA-Lib TRANGE"
    ),
    FeatureSpec("adx_14", "direction", 2 * _WILDER, "0..100", "average directional index", _HLC, "TA-Lib ADX(14)"),
    FeatureSpec("plus_di_14", "direction", _WILDER, "0..100", "upward directional index", _HLC, "TA-Lib PLUS_DI(14)"),
    FeatureSpec(
        "minus_di_14", "direction", _WILDER, "0..100", "downward directional index", _HLC, "TA-Lib MINUS_DI(14)"
    ),
)
DIRECTION_STATE = 8  # moves seen, ATR, +DM, -DM, TR, DXs seen, ADX

TREND: tuple[FeatureSpec, ...] = (
    FeatureSpec("efficiency_24", "trend", 25, "-1..1", "net change of 24 bars over the path walked (+ up)", _C,
                "Kaufman, Trading Systems and Methods: efficiency ratio, signed"),
    FeatureSpec("up_share_24", "trend", 25, "fraction", "share of rising bars in the last 24 returns", _C, "count"),
    FeatureSpec("slope_96", "trend", 96, "per mille of price per bar", "regression line of 96 closes", _C,
                "least squares"),
    FeatureSpec("trend_t_96", "trend", 96, "t-value", "t-value of that slope: |t| > 2 trend, > 4 strong", _C,
                "least squares"),
    FeatureSpec("range_position_20", "trend", 20, "fraction", "close in the 20-bar range: 0 low, 1 high", _HLC,
                "Donchian channel"),
    FeatureSpec("high_distance_96", "trend", 96, "percent", "close below the 96-bar high (<= 0)", _HLC, "TA-Lib MAX"),
    FeatureSpec("low_distance_96", "trend", 96, "percent", "close above the 96-bar low (>= 0)", _HLC, "TA-Lib MIN"),
)  # fmt: skip


@kernel_part
def step_direction(state: Float64Array, mine: int, close: float, out: Float64Array, at: int) -> None:
    """ATR and the directional movement system (Wilder 1978), started as TA-Lib starts them."""
    if state[COUNT] < 2:
        return
    tr = state[TRUE_RANGE]
    out[at + 2] = 100.0 * tr / close
    state[mine] += 1.0
    moves = state[mine]
    if moves <= 14:
        state[mine + 1] += tr / 14
    else:
        state[mine + 1] = (state[mine + 1] * 13 + tr) / 14
    if moves >= 14:
        out[at] = state[mine + 1]
        out[at + 1] = 100.0 * state[mine + 1] / close
    up, down = state[UP_MOVE], state[DOWN_MOVE]
    plus = up if up > 0.0 and up > down else 0.0
    minus = down if down > 0.0 and down > up else 0.0
    keep = 1.0 if moves < 14 else 13.0 / 14.0
    state[mine + 2] = state[mine + 2] * keep + plus
    state[mine + 3] = state[mine + 3] * keep + minus
    state[mine + 4] = state[mine + 4] * keep + tr
    if moves < 14:
        return
    plus_di = 100.0 * state[mine + 2] / state[mine + 4] if state[mine + 4] > 0.0 else 0.0
    minus_di = 100.0 * state[mine + 3] / state[mine + 4] if state[mine + 4] > 0.0 else 0.0
    both = plus_di + minus_di
    dx = 100.0 * abs(plus_di - minus_di) / both if both > 0.0 else 0.0
    state[mine + 5] += 1.0
    if state[mine + 5] <= 14:
        state[mine + 6] += dx / 14
    else:
        state[mine + 6] = (state[mine + 6] * 13 + dx) / 14
    if state[mine + 5] >= 14:
        out[at + 3] = state[mine + 6]
    out[at + 4], out[at + 5] = plus_di, minus_di


@kernel_part
def step_trend(state: Float64Array, close: float, out: Float64Array, at: int) -> None:
    """Efficiency, share of rising bars, regression over 96 bars, place within the range."""
    count = state[COUNT]
    if count >= 25:
        path = total(state, PATH, 24)
        out[at] = total(state, CHANGE, 24) / path if path > 0.0 else 0.0
    if state[RETURN_COUNT] >= 24:
        first, rising = window(state, RETURNS, 24), 0
        for i in range(first, first + 24):
            rising += 1 if state[i] > 0.0 else 0
        out[at + 1] = rising / 24
    if count >= 20:
        low, high = lowest(state, LOW, 20), highest(state, HIGH, 20)
        out[at + 4] = (close - low) / (high - low) if high > low else 0.5
    if count >= 96:
        slope, t = regression(state, CLOSE, 96)
        out[at + 2], out[at + 3] = 1000.0 * slope / close, t
        out[at + 5] = 100.0 * (close / highest(state, HIGH, 96) - 1.0)
        out[at + 6] = 100.0 * (close / lowest(state, LOW, 96) - 1.0)
