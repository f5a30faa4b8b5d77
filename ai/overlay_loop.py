"""The compiled part of the overlay: what it says of a forecast, bar by bar.

The meta-model's probabilities are those of :meth:`ai.meta.MetaModel.predict`, summed in one fixed order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ai.forecast import FIRST_ADVICE, Abstain, Col, Extra
from ai.models.predictor import SCALED_LIMIT
from ai.regime import HOLD_BARS, HOLD_MARGIN, hold_state
from ai.regime_loop import NEAR, RANK_AT, READ, STATES, regime_row
from data.compiled import kernel, kernel_part
from data.market import Float64Array, Int64Array

SEEN = 3 + READ + 2  # what the meta-model reads of a bar: p of the side and of the other, cost in stops, features
META_INPUTS = 2 * SEEN + 1

UNUSUAL_FROM = 0.8  # |2 rank − 1| from which volatility is unusual: the outer fifth
UNUSUAL_MARGIN = 0.03  # probability added at the very ends of the rank

_ABSTAIN, _FIRST_ADVICE = int(Col.ABSTAIN), int(FIRST_ADVICE)
_P_LONG, _P_SHORT = int(Col.P_LONG), int(Col.P_SHORT)
_L_FIRST, _S_FIRST = int(Col.L_TARGET), int(Col.S_TARGET)
_THRESHOLD, _TAKE, _REGIME = int(Extra.THRESHOLD), int(Extra.TAKE), int(Extra.REGIME)
_FIRST_REGIME = int(Extra.FIRST_REGIME)
_LEFT_OUT, _SKIPPED = int(Abstain.REGIME), int(Abstain.SKIPPED)


class Rule(NamedTuple):
    """One overlay as the loop reads it."""

    has_regime: bool
    has_filter: bool
    has_meta: bool
    has_threshold: bool
    cost: float  # of a round trip, fraction of the entry price
    unit: int  # of the stop distance, ai.exits.DistanceUnit
    stop: float
    ratio: float
    design: Float64Array  # [10, INPUTS] median, mean, scale and a slope per state
    table: Float64Array  # [7, 11] log transitions from each state; offset, a, b and base share of each
    allowed: Float64Array  # [7] 1 may be traded
    meta: Float64Array  # [4, META_INPUTS] median, mean, scale, coefficient
    meta_line: Float64Array  # [4] intercept, a, b, threshold


@kernel_part
def _side_value(row: Float64Array, first: int, share: float, ratio: float) -> float:
    at_time = row[first + 2] * row[first + 3] if row[first + 2] > 0.0 else 0.0
    return float((row[first] * ratio - row[first + 1]) * share + at_time)


@kernel_part
def _term(meta: Float64Array, at: int, value: float) -> float:
    known = value if np.isfinite(value) else meta[0, at]
    scaled = min(max((known - meta[1, at]) / meta[2, at], -SCALED_LIMIT), SCALED_LIMIT)
    return float(meta[3, at] * scaled)


@kernel
def take_probability(
    meta: Float64Array, line: Float64Array, p_side: float, p_other: float, stops: float, side: float,
    market: Float64Array,
) -> float:  # fmt: skip
    """P(the side brings more than it costs); see :func:`ai.overlay_meta.seen_by_meta`."""
    margin = line[0]
    for f in range(SEEN):
        value = p_side
        if f == 1:
            value = p_other
        elif f == 2:
            value = stops
        elif f > 2:
            value = market[f - 3]
        margin += _term(meta, f, value)
        margin += _term(meta, SEEN + f, side * value)
    margin += _term(meta, 2 * SEEN, side)
    raw = min(max(1.0 / (1.0 + np.exp(-margin)), NEAR), 1.0 - NEAR)
    return float(1.0 / (1.0 + np.exp(-(line[1] * np.log(raw / (1.0 - raw)) + line[2]))))


@kernel
def asked_probability(
    share: float, ratio: float, cost: float, stop: float, at_time: float, time_return: float, rank: float
) -> float:
    """The probability of the target that a side must reach now.

    Break-even: with stop share s, ratio R, costs c and m = the mean return where the target is missed,
    E[stop or time] = (P(stop)·(−s) + P(time)·E[return | time]) / (P(stop) + P(time)), the expected value
    p·R·s + (1 − p)·m − c is zero at p* = (c − m) / (R·s − m). Example: R = 2.5, s = 1 %, c = 0.12 %, always stopped:
    (0.0012 + 0.01) / (0.025 + 0.01) = 0.32; at s = 2 % it is 0.303, since the costs weigh less.
    On top, where volatility is unusual (rank r): ``UNUSUAL_MARGIN`` · max(0, (|2r − 1| − 0.8) / 0.2). At most 1.
    """
    missed = -share
    if stop + at_time > 0.0:
        missed = (-stop * share + (at_time * time_return if at_time > 0.0 else 0.0)) / (stop + at_time)
    room = ratio * share - missed
    if not room > 0.0:
        return 1.0
    unusual = 0.0 if np.isnan(rank) else max(0.0, (abs(2.0 * rank - 1.0) - UNUSUAL_FROM) / (1.0 - UNUSUAL_FROM))
    return min(1.0, (cost - missed) / room + UNUSUAL_MARGIN * unusual)


@kernel_part
def _advise(rule: Rule, market: Float64Array, share: float, row: Float64Array) -> None:
    side, first = 0.0, _L_FIRST
    if share > 0.0:
        long, short = _side_value(row, _L_FIRST, share, rule.ratio), _side_value(row, _S_FIRST, share, rule.ratio)
        side = 1.0 if long >= short else -1.0
        first = _L_FIRST if side > 0.0 else _S_FIRST
    if side != 0.0 and rule.has_threshold:
        row[_THRESHOLD] = asked_probability(
            share, rule.ratio, rule.cost, row[first + 1], row[first + 2], row[first + 3], market[RANK_AT]
        )
    if side != 0.0 and rule.has_meta:
        ours, other = (row[_P_LONG], row[_P_SHORT]) if side > 0.0 else (row[_P_SHORT], row[_P_LONG])
        row[_TAKE] = take_probability(rule.meta, rule.meta_line, ours, other, rule.cost / share, side, market)
    if row[_ABSTAIN] == 0.0:
        if rule.has_filter and row[_REGIME] >= 0.0 and rule.allowed[int(row[_REGIME])] == 0.0:
            row[_ABSTAIN] = _LEFT_OUT
        elif side != 0.0 and rule.has_meta and not row[_TAKE] > rule.meta_line[3]:
            row[_ABSTAIN] = _SKIPPED


@kernel
def say_bars(
    rule: Rule, marks: Int64Array, market: Float64Array, close: Float64Array, x: Float64Array, row_of_stop: int,
    first: int, out: Float64Array,
) -> None:  # fmt: skip
    """What the overlay says of the bars from ``first`` on, into ``out[T, WIDTH]``.

    Args:
        rule: the overlay.
        marks: of :func:`ai.regime.hold_state`; changed in place.
        market: ``[n, MARKET]``, of :func:`follow_bars`.
        close, x: ``[T]``, ``[F, T]``.
        row_of_stop: row of ``x`` that the stop distance is a multiple of; -1: the distance is a share of the close.
        first: the first bar.
        out: rows that hold the forecast.
    """
    for n in range(len(market)):
        t = first + n
        row = out[t]
        if rule.has_regime:
            said = row[_FIRST_REGIME : _FIRST_REGIME + STATES]
            regime_row(rule.design, rule.table, market[n], said)
            row[_REGIME] = hold_state(marks, said, HOLD_BARS, HOLD_MARGIN)
        else:
            marks[0], marks[1], marks[2] = -1, -1, 0
        if row[_ABSTAIN] == 0.0 or row[_ABSTAIN] >= _FIRST_ADVICE:
            share = rule.stop
            if rule.unit == 1:
                share = share * x[row_of_stop, t] / close[t]
            elif rule.unit == 2:
                share = share * x[row_of_stop, t]
            _advise(rule, market[n], share, row)
