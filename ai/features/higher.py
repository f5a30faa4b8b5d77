"""Longer timeframes as of the moment: bars four and sixteen times as long, made of the engine's own bars.

A longer bar begins at a multiple of its length in UTC and counts from its close on; the one that is still open is never
seen, so values stand still between two closes. It is there only where every bar in it is; after a gap everything here
is missing until its window lies behind the gap. Windows are short (no recursive filter), so that the look-back on bars
sixteen times as long stays below that of EMA 200.
"""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec
from ai.features.window import RUN
from data.compiled import kernel
from data.market import Float64Array

FACTORS = (4, 16)
WINDOW, CHANGES = 20, 14
_EACH = 4
_KEPT = WINDOW  # longer bars kept, newest last
_SIZE = 4 + _EACH + 3 * _KEPT  # bars in the open one, its high and low, closed ones; values; closes, highs, lows
HIGHER_STATE = len(FACTORS) * _SIZE


def _specs(factor: int) -> tuple[FeatureSpec, ...]:
    def spec(name: str, bars: int, unit: str, meaning: str, inputs: tuple[str, ...], source: str) -> FeatureSpec:
        words = f"{meaning}, of bars {factor} times as long"
        return FeatureSpec(
            f"higher_{factor}_{name}", "higher", (bars + 1) * factor, unit, words, inputs, source, optional=True
        )  # fmt: skip

    return (
        spec("return_1", 2, "fraction", "log return of the last closed bar", ("close",), "log return"),
        spec("rsi_14", CHANGES + 1, "0..100", "relative strength index of simple means of 14 changes", ("close",),
             "Cutler's RSI"),
        spec("slope_20", WINDOW, "per mille of price per bar", "regression line of 20 closes", ("close",),
             "TA-Lib LINEARREG_SLOPE(20)"),
        spec("range_position_20", WINDOW, "fraction", "its close in the 20-bar range: 0 low, 1 high",
             ("high", "low", "close"), "Donchian channel"),
    )  # fmt: skip


HIGHER: tuple[FeatureSpec, ...] = tuple(spec for factor in FACTORS for spec in _specs(factor))


@kernel
def _close_longer(state: Float64Array, mine: int, c: float) -> None:
    """The open longer bar is complete: keep it, and make its values."""
    values, closes = mine + 4, mine + 4 + _EACH
    highs, lows = closes + _KEPT, closes + 2 * _KEPT
    for i in range(_KEPT - 1):
        state[closes + i], state[highs + i], state[lows + i] = (
            state[closes + i + 1], state[highs + i + 1], state[lows + i + 1],
        )  # fmt: skip
    last = _KEPT - 1
    state[closes + last], state[highs + last], state[lows + last] = c, state[mine + 1], state[mine + 2]
    state[mine + 3] += 1.0
    held = state[mine + 3]
    if held >= 2:
        state[values] = math.log(c / state[closes + last - 1])
    if held > CHANGES:
        up = down = 0.0
        for i in range(closes + last - CHANGES, closes + last):
            change = state[i + 1] - state[i]
            up += max(change, 0.0)
            down += max(-change, 0.0)
        state[values + 1] = 100.0 * up / (up + down) if up + down > 0.0 else 50.0
    if held >= WINDOW:
        slope, low, high = 0.0, state[lows], state[highs]
        for i in range(WINDOW):
            slope += (i - 0.5 * last) * (state[closes + i] - c)
            low, high = min(low, state[lows + i]), max(high, state[highs + i])
        state[values + 2] = 1000.0 * slope / (WINDOW * (WINDOW * WINDOW - 1.0) / 12.0) / c
        state[values + 3] = (c - low) / (high - low) if high > low else 0.5


@kernel
def step_higher(
    state: Float64Array, mine: int, step_ms: int, open_time: int, h: float, low: float, c: float, out: Float64Array,
    at: int,
) -> None:  # fmt: skip
    """One bar into the open longer bars; the values of the newest closed ones."""
    for k in range(len(FACTORS)):
        own, length = mine + k * _SIZE, FACTORS[k] * step_ms
        if state[RUN] <= 1:
            state[own], state[own + 3] = 0.0, 0.0  # a gap: nothing before it counts
        if open_time % length == 0:
            state[own], state[own + 1], state[own + 2] = 1.0, h, low
        elif state[own] > 0:
            state[own] += 1.0
            state[own + 1], state[own + 2] = max(state[own + 1], h), min(state[own + 2], low)
        if state[own] == FACTORS[k]:
            _close_longer(state, own, c)
            state[own] = 0.0
        held = state[own + 3]
        for i in range(_EACH):
            if held >= (2, CHANGES + 1, WINDOW, WINDOW)[i]:
                out[at + _EACH * k + i] = state[own + 4 + i]
