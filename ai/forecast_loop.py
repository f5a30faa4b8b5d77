"""The compiled part of the forecaster: resolve labels that end, learn from them, forecast, remember.

What is learned: the members' weights and voices (:mod:`ai.guard_weights`), the level of the conformal sets
(:mod:`ai.guard_coverage`) and how the active model's forecasts come true (:mod:`ai.guard_live`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ai.forecast import MEMBER_COLS, Abstain, Col, Extra
from ai.guard import GuardRule, unguarded
from ai.guard_coverage import ALPHA, COVER, LONG_BIT, SHORT_BIT, TARGET, adapt, aim, conformal_set, outside_share
from ai.guard_live import BINS, LIVE, MODEL, SINCE, begin, count, size_factor
from ai.guard_weights import FIXED_SHARE, RECORD, heard, learn, remember
from ai.models.predictor import Pack, calibrate_row, pack, raw_row
from data.compiled import kernel, kernel_allocating
from data.market import Float64Array, Int64Array

__all__ = ["FIXED_SHARE", "NO_PACK", "NO_RULE", "UNKNOWN", "Exits", "Rule", "State", "empty_state", "run_bars"]

LOWER_Z = 1.2815515655446004  # standard normal quantile of 90 %
UNKNOWN = 2  # a side's outcome until it ends

_P_LONG, _P_SHORT, _P_NEUTRAL = int(Col.P_LONG), int(Col.P_SHORT), int(Col.P_NEUTRAL)
_L_TARGET, _L_STOP, _L_TIME, _L_RETURN = int(Col.L_TARGET), int(Col.L_STOP), int(Col.L_TIME), int(Col.L_TIME_RETURN)
_S_TARGET, _S_STOP, _S_TIME, _S_RETURN = int(Col.S_TARGET), int(Col.S_STOP), int(Col.S_TIME), int(Col.S_TIME_RETURN)
_ABSTAIN, _MODEL, _MEMBERS, _FIRST = int(Col.ABSTAIN), int(Col.MODEL), int(Col.MEMBERS), int(Col.FIRST_MEMBER)
_LOWER_LONG, _LOWER_SHORT, _STRIDE = int(Col.LOWER_LONG), int(Col.LOWER_SHORT), MEMBER_COLS
_WARMING, _INVALID = int(Abstain.WARMING_UP), int(Abstain.INVALID)
_APART, _OUT, _UNDECIDED = int(Abstain.DISAGREEMENT), int(Abstain.OUT_OF_RANGE), int(Abstain.UNDECIDED)
_SIZE, _SET, _SPREAD, _OUTSIDE = int(Extra.SIZE), int(Extra.SET), int(Extra.SPREAD), int(Extra.OUTSIDE)
TOLD = 7  # per slot: the ensemble's probabilities, its set's bits (NaN: none), the base rate's probabilities


class State(NamedTuple):
    """What the next bar depends on. Slot of a pending label = its bar's number modulo R = limit + 1."""

    bars: Int64Array  # [1] bars seen
    weights: Float64Array  # [G] of every member name known, sum 1
    level: Float64Array  # [R, 2] entry (NaN until the next open), stop distance
    side: Int64Array  # [R, 3] pending 0/1, long outcome, short outcome
    said: Float64Array  # [R, G, 4] member probabilities and voice, NaN where the member had no say
    told: Float64Array  # [R, 7] what the ensemble said
    record: Float64Array  # [G, 5] each member against the base rate; carried on across models
    cover: Float64Array  # [4] conformal level; carried on across models while the coverage asked for stays
    live: Float64Array  # [7] how the active model's forecasts came true; begins anew with each model
    bins: Float64Array  # [3, 10, 3] reliability of the same: forecasts, sum of p, times it happened


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
    guard: GuardRule


@kernel
def _side_outcome(above: float, below: float, is_long: bool, high: float, low: float) -> int:
    # the rule of ai.labels: a bar that touches both counts as the stop
    if high >= above or low <= below:
        stopped = low <= below if is_long else high >= above
        return -1 if stopped else 1
    return UNKNOWN


@kernel
def _came_true(state: State, slot: int, born: int, column: int, life: int, share: float) -> None:
    told = state.told[slot]
    learn(state.weights, state.said[slot], column, life, share)
    remember(state.record, state.said[slot], told[4 + column], column, life)
    adapt(state.cover, told[3], column)
    if born >= state.live[SINCE]:
        count(state.live, state.bins, told, column, life)


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
        _came_true(state, slot, born, label + 1, life, share)


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
def _write(rule: Rule, said: Float64Array, weights: Float64Array, row: Float64Array) -> None:
    short = neutral = long = 0.0
    for m in range(len(said)):
        weight = weights[m, 1]
        short += weight * said[m, 0]
        neutral += weight * said[m, 1]
        long += weight * said[m, 2]
        at = _FIRST + _STRIDE * rule.place[m]
        row[at], row[at + 1], row[at + 2], row[at + 3] = said[m, 2], said[m, 0], said[m, 1], weight
    spread_long = spread_short = 0.0
    for m in range(len(said)):
        spread_long += weights[m, 1] * (said[m, 2] - long) ** 2
        spread_short += weights[m, 1] * (said[m, 0] - short) ** 2
    pay = rule.payoffs
    row[_P_LONG], row[_P_SHORT], row[_P_NEUTRAL] = long, short, neutral
    row[_L_TARGET], row[_L_STOP], row[_L_TIME] = long, short + neutral * pay[0], neutral * (1.0 - pay[0])
    row[_S_TARGET], row[_S_STOP], row[_S_TIME] = short, long + neutral * pay[1], neutral * (1.0 - pay[1])
    row[_L_RETURN], row[_S_RETURN] = pay[2], pay[3]
    row[_LOWER_LONG] = _lower(long, spread_long, pay[4])
    row[_LOWER_SHORT] = _lower(short, spread_short, pay[4])
    row[_SPREAD] = np.sqrt(max(spread_long, spread_short))
    row[_ABSTAIN], row[_MODEL] = 0.0, rule.number


@kernel
def _advise(state: State, rule: Rule, inputs: Float64Array, row: Float64Array) -> None:
    # the first that holds is told: a strange input explains disagreement, disagreement a wide set
    guard = rule.guard
    row[_OUTSIDE] = outside_share(inputs, guard.lower, guard.upper)
    bits = 0
    if not np.isnan(state.cover[TARGET]):
        bits = conformal_set(row[_P_SHORT], row[_P_NEUTRAL], row[_P_LONG], guard.scores, state.cover[ALPHA])
        row[_SET] = bits
    if guard.limits[3] > 0.0:
        row[_SIZE] = size_factor(state.live, guard.limits[4], guard.limits[5], guard.limits[6])
    if row[_OUTSIDE] > guard.limits[1]:
        row[_ABSTAIN] = _OUT
    elif row[_SPREAD] > guard.limits[0]:
        row[_ABSTAIN] = _APART
    elif bits & SHORT_BIT and bits & LONG_BIT:
        row[_ABSTAIN] = _UNDECIDED


@kernel_allocating
def _forecast(
    state: State, exits: Exits, packed: Pack, rule: Rule, x: Float64Array, t: int, close: float,
    inputs: Float64Array, said: Float64Array, weights: Float64Array, row: Float64Array,
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
    heard(state.weights, state.record, rule.place, weights)
    _write(rule, said, weights, row)
    _advise(state, rule, inputs, row)
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
            state.said[slot, rule.place[m], :3] = said[m]
            state.said[slot, rule.place[m], 3] = weights[m, 0]
        state.told[slot, 0], state.told[slot, 1], state.told[slot, 2] = row[_P_SHORT], row[_P_NEUTRAL], row[_P_LONG]
        state.told[slot, 3], state.told[slot, 4:] = row[_SET], rule.guard.base


@kernel_allocating
def run_bars(
    state: State, exits: Exits, share: float, packed: Pack, rule: Rule, active: bool, o: Float64Array,
    h: Float64Array, low: Float64Array, c: Float64Array, x: Float64Array, first: int, last: int, out: Float64Array,
) -> None:  # fmt: skip
    """Bars ``first..last`` of the columns into ``out[T, WIDTH]``, which holds abstaining rows."""
    inputs = np.empty(len(rule.columns))
    said = np.empty((len(rule.place), 3))
    weights = np.empty((len(rule.place), 2))
    if active:
        aim(state.cover, rule.guard.limits[2])
        if state.live[MODEL] != rule.number:
            begin(state.live, state.bins, rule.number, state.bars[0])
    for t in range(first, last):
        _resolve(state, exits, share, o[t], h[t], low[t])
        if active:
            _forecast(state, exits, packed, rule, x, t, c[t], inputs, said, weights, out[t])
        state.bars[0] += 1


def empty_state(slots: int, members: int) -> State:
    """No bar seen, nothing pending, uniform weights."""
    cover, live = np.full(COVER, np.nan), np.zeros(LIVE)
    live[MODEL] = -1
    return State(
        np.zeros(1, dtype=np.int64), np.full(members, 1.0 / max(members, 1)), np.full((slots, 2), np.nan),
        np.zeros((slots, 3), dtype=np.int64), np.full((slots, members, 4), np.nan), np.full((slots, TOLD), np.nan),
        np.zeros((members, RECORD)), cover, live, np.zeros((3, BINS, 3)),
    )  # fmt: skip


NO_PACK = pack([], [], 0)
NO_RULE = Rule(
    -1, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.bool_), np.zeros(5),
    unguarded((1 / 3, 1 / 3, 1 / 3), 0),
)  # fmt: skip
