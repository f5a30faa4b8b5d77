"""The regime bar by bar: rank, state and the classifier's inputs, and its probabilities, as compiled loops.

The inputs are those of :func:`ai.regime_model.regime_inputs`, the probabilities those of
:meth:`ai.regime_model.RegimeModel.predict`, summed in one fixed order, so that a bar alone and a bar among others give
the same bits.
"""

from __future__ import annotations

import numpy as np

from ai.regime import (
    AHEAD_BARS,
    HIGH_RANK,
    HOLD_BARS,
    HOLD_MARGIN,
    LOW_RANK,
    STRONG_T,
    TREND_T,
    Regime,
    hold_state,
    state_of,
)
from ai.regime_rank import RankWindow, next_rank
from data.compiled import kernel, kernel_allocating, kernel_part
from data.market import Float64Array, Int64Array

STATES = len(Regime)
INPUT_FEATURES = (
    "zscore_20", "rsi_14", "adx_14", "plus_di_14", "minus_di_14", "efficiency_24", "up_share_24",
    "range_position_20", "volatility_ratio", "return_skew_96", "volume_zscore_20", "relative_volume_20",
    "relative_volume_96", "buy_pressure_20", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos",
)  # fmt: skip
"""Registry features whose size does not follow the level of volatility, which a few months do not know."""

RANK_EDGE = 0.1  # how far from a border of the rank a value still says how near it is
T_EDGE = 2.0
LARGEST_T = 12.0
LARGEST_SCALED = 8.0
FLOOR = 0.001  # share of the base rate in every probability: nothing is impossible
NEAR = 1e-9
READ = len(INPUT_FEATURES)
RANK_AT = READ + 1  # place of the rank among a bar's inputs, after the t-value
INPUTS = READ + 2 + 2 * STATES + 6 + 4
MARKET = INPUTS + 1  # a bar's inputs and its state


@kernel_part
def _clipped(value: float, low: float, high: float) -> float:
    if np.isnan(value):
        return value
    return min(max(value, low), high)


@kernel_part
def _market_row(
    x: Float64Array, t: int, columns: Int64Array, rank: float, trend_t: float, state: int, recent: Float64Array,
    row: Float64Array,
) -> None:  # fmt: skip
    for f in range(READ):
        row[f] = x[columns[2 + f], t]
    value = _clipped(trend_t, -LARGEST_T, LARGEST_T)
    row[READ], row[READ + 1] = value, rank
    at = READ + 2
    for k in range(STATES):
        row[at + k] = (0.0 if np.isnan(value) else value) if k == state else 0.0
        row[at + STATES + k] = (0.0 if np.isnan(rank) else rank) if k == state else 0.0
    at += 2 * STATES
    row[at] = _clipped(value, -STRONG_T - T_EDGE, -STRONG_T + T_EDGE) + STRONG_T
    row[at + 1] = _clipped(value, -TREND_T - T_EDGE, -TREND_T + T_EDGE) + TREND_T
    row[at + 2] = _clipped(value, TREND_T - T_EDGE, TREND_T + T_EDGE) - TREND_T
    row[at + 3] = _clipped(value, STRONG_T - T_EDGE, STRONG_T + T_EDGE) - STRONG_T
    row[at + 4] = _clipped(rank, LOW_RANK - RANK_EDGE, LOW_RANK + RANK_EDGE) - LOW_RANK
    row[at + 5] = _clipped(rank, HIGH_RANK - RANK_EDGE, HIGH_RANK + RANK_EDGE) - HIGH_RANK
    row[at + 6], row[at + 7] = value - recent[0], value - recent[AHEAD_BARS - 1]
    row[at + 8], row[at + 9] = rank - recent[AHEAD_BARS], rank - recent[2 * AHEAD_BARS - 1]
    for k in range(AHEAD_BARS - 1, 0, -1):
        recent[k], recent[AHEAD_BARS + k] = recent[k - 1], recent[AHEAD_BARS + k - 1]
    recent[0], recent[AHEAD_BARS] = value, rank
    row[INPUTS] = state


@kernel
def follow_bars(
    window: RankWindow, recent: Float64Array, columns: Int64Array, open_time: Int64Array, x: Float64Array,
    first: int, market: Float64Array,
) -> None:  # fmt: skip
    """The bars from ``first`` on into ``market[n, MARKET]``.

    Args:
        window, recent: the volatilities of 90 days and the last four t-values and ranks; changed in place.
        columns: rows of ``x`` with volatility, t-value and the inputs.
        open_time: ``[T]`` ms UTC.
        x: ``[F, T]``.
        first: the first bar of the rows asked for.
        market: as many rows as bars are to be followed.
    """
    for n in range(len(market)):
        t = first + n
        rank = next_rank(window, open_time[t], x[columns[0], t])
        trend_t = x[columns[1], t]
        _market_row(x, t, columns, rank, trend_t, state_of(rank, trend_t), recent, market[n])


@kernel_allocating
def regime_row(design: Float64Array, table: Float64Array, market: Float64Array, out: Float64Array) -> None:
    """Probabilities of the state four bars later into ``out[7]``; NaN where the state of now is unknown."""
    state = int(market[INPUTS])
    if state < 0:
        out[:] = np.nan
        return
    for k in range(STATES):
        out[k] = table[state, k] + table[k, STATES]
    for f in range(INPUTS):
        value = market[f] if np.isfinite(market[f]) else design[0, f]
        scaled = min(max((value - design[1, f]) / design[2, f], -LARGEST_SCALED), LARGEST_SCALED)
        for k in range(STATES):
            out[k] += design[3 + k, f] * scaled
    top = out.max()
    total = 0.0
    for k in range(STATES):
        out[k] = np.exp(out[k] - top)
        total += out[k]
    kept = 0.0
    for k in range(STATES):
        inside = min(max(out[k] / total, NEAR), 1.0 - NEAR)
        margin = table[k, STATES + 1] * np.log(inside / (1.0 - inside)) + table[k, STATES + 2]
        out[k] = 1.0 / (1.0 + np.exp(-margin))
        kept += out[k]
    for k in range(STATES):
        out[k] = (1.0 - FLOOR) * out[k] / kept + FLOOR * table[k, STATES + 3]


@kernel
def regime_rows(
    design: Float64Array, table: Float64Array, market: Float64Array, out: Float64Array, marks: Int64Array,
    held: Int64Array,
) -> None:  # fmt: skip
    """Probabilities ``out[n, 7]`` and the states that are held, ``held[n]``; ``marks`` of :func:`hold_state`."""
    for n in range(len(market)):
        regime_row(design, table, market[n], out[n])
        held[n] = hold_state(marks, out[n], HOLD_BARS, HOLD_MARGIN)
