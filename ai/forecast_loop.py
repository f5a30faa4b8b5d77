"""The compiled part of the forecaster: resolve labels that end, learn weights from them, forecast, remember.

The weight rule is Bayes' (Hedge on the log score; Vovk 1990) with a fixed share (Herbster & Warmuth 1998): a member's
weight is multiplied by p(outcome)^(1/d), where d is the label's length in bars, since d overlapping labels say what
one independent label says.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai.forecast import MEMBER_COLS, Abstain, Col
from ai.models.predictor import Pack, calibrate_row, pack, raw_row
from data.compiled import kernel
from data.market import Float64Array, Int64Array

FIXED_SHARE = 0.02  # of the weight is shared out again per independent label
LOWER_Z = 1.2815515655446004  # standard normal quantile of 90 %
UNKNOWN = 2  # a side's outcome until it ends

_P_LONG, _P_SHORT, _P_NEUTRAL = int(Col.P_LONG), int(Col.P_SHORT), int(Col.P_NEUTRAL)
_L_TARGET, _L_STOP, _L_TIME, _L_RETURN = int(Col.L_TARGET), int(Col.L_STOP), int(Col.L_TIME), int(Col.L_TIME_RETURN)
_S_TARGET, _S_STOP, _S_TIME, _S_RETURN = int(Col.S_TARGET), int(Col.S_STOP), int(Col.S_TIME), int(Col.S_TIME_RETURN)
_ABSTAIN, _MODEL, _MEMBERS, _FIRST = int(Col.ABSTAIN), int(Col.MODEL), int(Col.MEMBERS), int(Col.FIRST_MEMBER)
_LOWER_LONG, _LOWER_SHORT, _STRIDE = int(Col.LOWER_LONG), int(Col.LOWER_SHORT), MEMBER_COLS
_WARMING, _INVALID = int(Abstain.WARMING_UP), int(Abstain.INVALID)


class State(NamedTuple):
    """What the next bar depends on. Slot of a pending label = its bar's number modulo R = limit + 1."""

    bars: Int64Array  # [1] bars seen
    weights: Float64Array  # [G] of every member name known, sum 1
    level: Float64Array  # [R, 2] entry (NaN until the next open), stop distance
    side: Int64Array  # [R, 3] pending 0/1, long outcome, short outcome
    said: Float64Array  # [R, G, 3] member probabilities, NaN where the member had no say


class Exits(NamedTuple):
    """The exit profile as numbers."""

    unit: int
    stop: float
    ratio: float
    limit: int
    row: int  # of the distance feature in X, −1 for percent


class Rule(NamedTuple):
    """One model as the loop reads it."""

    number: int
    place: Int64Array  # [M] the member's column in the row
    columns: Int64Array  # [F'] rows of X that the model reads
    required: npt.NDArray[np.bool_]  # [F']
    payoffs: Float64Array  # [5] stop if neutral (long, short), time return (long, short), effective labels


@kernel
def _side_outcome(above: float, below: float, is_long: bool, high: float, low: float) -> int:
    # the rule of ai.labels: a bar that touches both counts as the stop
    if high >= above or low <= below:
        stopped = low <= below if is_long else high >= above
        return -1 if stopped else 1
    return UNKNOWN


@kernel
def _learn(state: State, slot: int, column: int, life: int, share: float) -> None:
    total = 0.0
    kept = 0.0
    voices = 0
    for g in range(len(state.weights)):
        p = state.said[slot, g, column]
        if not np.isnan(p):
            total += state.weights[g]
            state.weights[g] *= max(p, 1e-6) ** (1.0 / life)
            kept += state.weights[g]
            voices += 1
    if voices == 0 or not kept > 0.0:
        return
    part = share / life
    for g in range(len(state.weights)):
        if not np.isnan(state.said[slot, g, column]):
            state.weights[g] = (1.0 - part) * state.weights[g] * total / kept + part * total / voices


@kernel
def _resolve(state: State, exits: Exits, share: float, o: float, h: float, low: float) -> None:
    slots = len(state.side)
    now = state.bars[0]
    for born in range(max(0, now - exits.limit), now):  # oldest first
        slot = born % slots
        if state.side[slot, 0] == 0:
            continue
        if born == now - 1:
            state.level[slot, 0] = o
            if not o > 0.0:
                state.side[slot, 0] = 0
                continue
        entry, stop = state.level[slot, 0], state.level[slot, 1]
        if state.side[slot, 1] == UNKNOWN:
            state.side[slot, 1] = _side_outcome(entry + exits.ratio * stop, entry - stop, True, h, low)
        if state.side[slot, 2] == UNKNOWN:
            state.side[slot, 2] = _side_outcome(entry + stop, entry - exits.ratio * stop, False, h, low)
        life = now - born
        long, short = state.side[slot, 1], state.side[slot, 2]
        if (long == UNKNOWN or short == UNKNOWN) and life < exits.limit:
            continue
        state.side[slot, 0] = 0
        label = (1 if long == 1 else 0) - (1 if short == 1 else 0)
        _learn(state, slot, label + 1, life, share)


@kernel
def _members_valid(packed: Pack, x: Float64Array, said: Float64Array) -> bool:
    for m in range(len(said)):
        raw_row(packed, m, x, said[m])
        for stage in range(2):  # raw, then calibrated: clipping would hide a NaN
            total = said[m, 0] + said[m, 1] + said[m, 2]
            if not abs(total - 1.0) < 1e-6 or not min(said[m, 0], said[m, 1], said[m, 2]) >= 0.0:
                return False
            if stage == 0:
                calibrate_row(packed, m, said[m])
    return True


@kernel
def _lower(p: float, spread: float, effective: float) -> float:
    return max(0.0, p - LOWER_Z * float(np.sqrt(p * (1.0 - p) / max(effective, 1.0) + spread)))


@kernel
def _write(state: State, rule: Rule, said: Float64Array, row: Float64Array) -> None:
    total = 0.0
    for m in range(len(said)):
        total += state.weights[rule.place[m]]
    short = neutral = long = 0.0
    for m in range(len(said)):
        weight = state.weights[rule.place[m]] / total
        short += weight * said[m, 0]
        neutral += weight * said[m, 1]
        long += weight * said[m, 2]
        at = _FIRST + _STRIDE * rule.place[m]
        row[at], row[at + 1], row[at + 2], row[at + 3] = said[m, 2], said[m, 0], said[m, 1], weight
    spread_long = spread_short = 0.0
    for m in range(len(said)):
        weight = state.weights[rule.place[m]] / total
        spread_long += weight * (said[m, 2] - long) ** 2
        spread_short += weight * (said[m, 0] - short) ** 2
    pay = rule.payoffs
    row[_P_LONG], row[_P_SHORT], row[_P_NEUTRAL] = long, short, neutral
    row[_L_TARGET], row[_L_STOP], row[_L_TIME] = long, short + neutral * pay[0], neutral * (1.0 - pay[0])
    row[_S_TARGET], row[_S_STOP], row[_S_TIME] = short, long + neutral * pay[1], neutral * (1.0 - pay[1])
    row[_L_RETURN], row[_S_RETURN] = pay[2], pay[3]
    row[_LOWER_LONG] = _lower(long, spread_long, pay[4])
    row[_LOWER_SHORT] = _lower(short, spread_short, pay[4])
    row[_ABSTAIN], row[_MODEL] = 0.0, rule.number


@kernel
def _forecast(
    state: State, exits: Exits, packed: Pack, rule: Rule, x: Float64Array, t: int, close: float,
    inputs: Float64Array, said: Float64Array, row: Float64Array,
) -> None:  # fmt: skip
    for f in range(len(rule.columns)):
        value = x[rule.columns[f], t]
        if not np.isfinite(value):
            if rule.required[f]:
                row[_ABSTAIN] = _WARMING
                return
            value = np.nan
        inputs[f] = value
    if not _members_valid(packed, inputs, said):
        row[_ABSTAIN] = _INVALID
        return
    row[_MEMBERS] = len(state.weights)
    for g in range(len(state.weights)):
        row[_FIRST + _STRIDE * g + 3] = 0.0
    _write(state, rule, said, row)
    stop = exits.stop
    if exits.unit == 0:
        stop = stop * close
    else:
        stop = stop * x[exits.row, t]
        if exits.unit == 2:
            stop = stop * close
    slot = state.bars[0] % len(state.side)
    if stop > 0.0:
        state.level[slot, 0], state.level[slot, 1] = np.nan, stop
        state.side[slot, 0], state.side[slot, 1], state.side[slot, 2] = 1, UNKNOWN, UNKNOWN
        state.said[slot] = np.nan
        for m in range(len(said)):
            state.said[slot, rule.place[m]] = said[m]


@kernel
def run_bars(
    state: State, exits: Exits, share: float, packed: Pack, rule: Rule, active: bool, o: Float64Array,
    h: Float64Array, low: Float64Array, c: Float64Array, x: Float64Array, first: int, last: int, out: Float64Array,
) -> None:  # fmt: skip
    """Bars ``first..last`` of the columns into ``out[T, WIDTH]``, which holds abstaining rows."""
    inputs = np.empty(len(rule.columns))
    said = np.empty((len(rule.place), 3))
    for t in range(first, last):
        _resolve(state, exits, share, o[t], h[t], low[t])
        if active:
            _forecast(state, exits, packed, rule, x, t, c[t], inputs, said, out[t])
        state.bars[0] += 1


def empty_state(slots: int, members: int) -> State:
    """No bar seen, nothing pending, uniform weights."""
    return State(
        np.zeros(1, dtype=np.int64), np.full(members, 1.0 / max(members, 1)), np.full((slots, 2), np.nan),
        np.zeros((slots, 3), dtype=np.int64), np.full((slots, members, 3), np.nan),
    )  # fmt: skip


NO_PACK = pack([], [], 0)
NO_RULE = Rule(-1, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_), np.zeros(5))
