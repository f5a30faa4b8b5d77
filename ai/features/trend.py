"""Range, direction and regime measures: ATR, ADX, trend strength, place within the recent range."""

from __future__ import annotations

import numpy as np

from ai.features.blocks import FREE, first_of, since, slot
from ai.features.spec import FeatureSpec, settle
from ai.features.sums import highs, lows, slopes, totals
from ai.features.window import CHANGE, CLOSE, COUNT, HIGH, LOW, MASK, PATH, RETURN_COUNT, RETURNS, RUN
from data.compiled import kernel_part
from data.market import Float64Array, UInt8Array

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
def _moves(state: Float64Array, held: int, ranges: int, plus: int, minus: int) -> None:
    """True range and the two directional movements of each bar."""
    n = held & MASK
    h, low, c = first_of(state, HIGH, held), first_of(state, LOW, held), first_of(state, CLOSE, held)
    for k in range(n):
        before = state[c + k - 1]
        state[ranges + k] = max(state[h + k], before) - min(state[low + k], before)
    for k in range(n):
        up, down = state[h + k] - state[h + k - 1], state[low + k - 1] - state[low + k]
        state[plus + k] = up if up > 0.0 and up > down else 0.0
        state[minus + k] = down if down > 0.0 and down > up else 0.0
    if state[RUN] <= held:  # the block begins a run
        state[ranges], state[plus], state[minus] = state[h] - state[low], 0.0, 0.0


@kernel_part
def _smoothed(value: float, moves: int, new: float) -> float:
    """Mean of the first 14, from then on Wilder's recursion."""
    return value + new / 14 if moves <= 14 else (value * 13 + new) / 14


@kernel_part
def _smooth_both(
    state: Float64Array, mine: int, second: int, first: int, n: int, out: Float64Array, at: int
) -> None:  # fmt: skip
    """ATR from the bar ``second`` on and ADX from ``first`` on; each waits for its own divisions, so side by side."""
    ranges, dx = slot(FREE), slot(FREE + 3)
    moves, atr, seen, adx = int(state[mine]), state[mine + 1], int(state[mine + 5]), state[mine + 6]
    for k in range(second, first):
        moves += 1
        atr = _smoothed(atr, moves, state[ranges + k])
        out[at, k] = np.nan
    for k in range(first, n):
        moves += 1
        seen += 1
        atr = _smoothed(atr, moves, state[ranges + k])
        adx = _smoothed(adx, seen, state[dx + k])
        out[at, k], out[at + 3, k] = atr, adx
    state[mine], state[mine + 1], state[mine + 5], state[mine + 6] = moves, atr, seen, adx


@kernel_part
def step_direction(
    state: Float64Array, held: int, mine: int, asked: UInt8Array, out: Float64Array, at: int
) -> None:  # fmt: skip
    """ATR and the directional movement system (Wilder 1978), started as TA-Lib starts them."""
    n, c, second = held & MASK, first_of(state, CLOSE, held), since(state[COUNT], held, 2)
    ranges, plus, minus, true = slot(FREE), slot(FREE + 1), slot(FREE + 2), slot(FREE + 3)
    _moves(state, held, ranges, plus, minus)
    if asked[at + 2]:
        for k in range(second, n):
            out[at + 2, k] = 100.0 * state[ranges + k] / state[c + k]
    moves, up, down, span = int(state[mine]), state[mine + 2], state[mine + 3], state[mine + 4]
    for k in range(second, n):
        moves += 1
        keep = 1.0 if moves < 14 else 13.0 / 14.0
        up, down, span = up * keep + state[plus + k], down * keep + state[minus + k], span * keep + state[ranges + k]
        state[plus + k], state[minus + k], state[true + k] = up, down, span
    state[mine + 2], state[mine + 3], state[mine + 4] = up, down, span
    first, dx = since(moves, held, 14), true
    for k in range(first, n):
        whole = state[true + k]
        plus_di = 100.0 * state[plus + k] / whole if whole > 0.0 else 0.0
        minus_di = 100.0 * state[minus + k] / whole if whole > 0.0 else 0.0
        both = plus_di + minus_di
        state[dx + k] = 100.0 * abs(plus_di - minus_di) / both if both > 0.0 else 0.0
        out[at + 4, k], out[at + 5, k] = plus_di, minus_di
    _smooth_both(state, mine, second, first, n, out, at)
    if asked[at + 1]:
        for k in range(first, n):
            out[at + 1, k] = 100.0 * out[at, k] / state[c + k]
    first = since(state[mine + 5], held, 14)
    for k in range(first):
        out[at + 3, k] = np.nan


@kernel_part
def _rising(state: Float64Array, held: int, out: Float64Array, row: int) -> None:
    """Share of rising bars in the last 24 returns."""
    returns = first_of(state, RETURNS, held) - 23
    for k in range(since(state[RETURN_COUNT], held, 24), held & MASK):
        rising = 0.0
        for m in range(24):
            rising += 1.0 if state[returns + k + m] > 0.0 else 0.0
        out[row, k] = rising / 24


@kernel_part
def _trend_line(state: Float64Array, held: int, out: Float64Array, at: int) -> None:
    """Slope and t-value over 96 bars."""
    c, slope, t = first_of(state, CLOSE, held), slot(FREE + 1), slot(FREE + 2)
    slopes(state, CLOSE, held, 96, FREE)
    for k in range(since(state[COUNT], held, 96), held & MASK):
        out[at, k], out[at + 1, k] = 1000.0 * state[slope + k] / state[c + k], state[t + k]


@kernel_part
def _place(state: Float64Array, held: int, out: Float64Array, row: int) -> None:
    """Place within the range of 20 bars."""
    c, low, high = first_of(state, CLOSE, held), slot(FREE), slot(FREE + 1)
    lows(state, LOW, held, 20, FREE)
    highs(state, HIGH, held, 20, FREE + 1)
    for k in range(since(state[COUNT], held, 20), held & MASK):
        bottom, top = state[low + k], state[high + k]
        out[row, k] = (state[c + k] - bottom) / (top - bottom) if top > bottom else 0.5


@kernel_part
def _extremes(state: Float64Array, held: int, out: Float64Array, at: int) -> None:
    """Distances from the highest and the lowest of 96 bars."""
    c, low, high = first_of(state, CLOSE, held), slot(FREE), slot(FREE + 1)
    lows(state, LOW, held, 96, FREE)
    highs(state, HIGH, held, 96, FREE + 1)
    for k in range(since(state[COUNT], held, 96), held & MASK):
        out[at, k] = 100.0 * (state[c + k] / state[high + k] - 1.0)
        out[at + 1, k] = 100.0 * (state[c + k] / state[low + k] - 1.0)


@kernel_part
def step_trend(state: Float64Array, held: int, asked: UInt8Array, out: Float64Array, at: int) -> None:
    """Efficiency, share of rising bars, regression over 96 bars, place within the range."""
    n, net, path = held & MASK, slot(FREE), slot(FREE + 1)
    if asked[at]:
        totals(state, PATH, held, 24, FREE + 1)
        totals(state, CHANGE, held, 24, FREE)
        for k in range(since(state[COUNT], held, 25), n):
            out[at, k] = state[net + k] / state[path + k] if state[path + k] > 0.0 else 0.0
    if asked[at + 1]:
        _rising(state, held, out, at + 1)
    if asked[at + 2] or asked[at + 3]:
        _trend_line(state, held, out, at + 2)
    if asked[at + 4]:
        _place(state, held, out, at + 4)
    if asked[at + 5] or asked[at + 6]:
        _extremes(state, held, out, at + 5)
