"""Is the regime classifier a forecast? Out of sample, against what costs nothing to know.

Three plain answers stand beside it: *persistence* (the state of now), *transitions* (how often each state was followed
by each in the training window, the same thing as probabilities) and the *base rate*. A state lasts for many bars, so
that four bars later it is mostly the same. And more can be had without knowing any market: 92 of the 96 bars that
make the later state are there already, so who sees how near a border is beats persistence on a random walk as well.
Hence the control (:mod:`ai.regime_control`): the same walk over the same bars with their directions drawn by a coin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ai.regime import AHEAD_BARS, UNKNOWN, Int8Array
from ai.regime_loop import STATES
from ai.regime_model import RegimeModel, base_shares, transition_shares
from ai.validation.scores import Band, mean_band
from ai.validation.splits import Window
from data.errors import UserError
from data.market import Float64Array, Int64Array

BLOCK = 96  # bars of a bootstrap block: the look-back of a state
_BINS = 10


@dataclass(frozen=True, slots=True)
class RegimeScores:
    """Scores of the test rows of all folds; losses in nats, the rest shares."""

    n: int
    changes: int  # rows whose state differs four bars later
    log_loss: float
    transition_log_loss: float
    base_log_loss: float
    accuracy: float  # of the likeliest state
    persistence_accuracy: float
    base_accuracy: float  # of the training window's commonest state
    change_hits: float  # of the changes, those whose new state was the likeliest
    false_changes: float  # of the rows without a change, those for which one was said
    calibration_error: float  # mean over the states (Naeini et al. 2015, ten bins)
    skill: Band  # of log loss − transition log loss: below zero is better
    gain: Band  # of accuracy − persistence accuracy: above zero is better
    verdict: str


@dataclass(frozen=True, slots=True, eq=False)
class RegimeWalk:
    """Out-of-sample probabilities and their scores."""

    p: Float64Array  # [T, 7], NaN outside the test windows and where the state is unknown
    scores: RegimeScores
    folds: tuple[Window, ...]  # those that had enough to learn from


def walk_regimes(
    inputs: Float64Array, state: Int8Array, target: Int8Array, windows: Sequence[Window], seed: int = 7,
    draws: int = 1000,
) -> RegimeWalk:  # fmt: skip
    """Train on each training window and forecast its test window.

    Purged: a training row's target is known before the test window begins.

    Args:
        inputs: ``[T, K]``, of :func:`ai.regime_model.regime_inputs`.
        state, target: ``[T]``, of :func:`ai.regime.regime_labels` and :func:`ai.regime.regime_ahead`.
        windows: of :func:`ai.validation.splits.walk_forward_windows`, with the warm-up of the states left out.
        seed, draws: of the bands.

    Raises:
        UserError: no window has enough bars with a known state.
    """
    p: Float64Array = np.full((len(state), STATES), np.nan)
    transitions: Float64Array = np.full((len(state), STATES), np.nan)
    base: Float64Array = np.full((len(state), STATES), np.nan)
    folds = []
    for window in windows:
        rows = training_rows(target, window)
        model = RegimeModel()
        try:
            model.fit(inputs, state, target, rows)
        except UserError:  # the first windows may lie within the 90 days of the rank
            continue
        first, last = window.test_rows
        test = first + np.flatnonzero(state[first:last] != UNKNOWN)
        p[test] = model.predict(inputs[test], state[test])
        transitions[test] = transition_shares(state[rows], target[rows])[state[test]]
        base[test] = base_shares(target[rows])
        folds.append(window)
    if not folds:
        raise UserError("No training window has enough bars with a known state: give longer windows or a longer span.")
    used = np.flatnonzero((target != UNKNOWN) & np.isfinite(p[:, 0]))
    scores = score_regimes(p[used], transitions[used], base[used], state[used], target[used], seed, draws)
    return RegimeWalk(p, scores, tuple(folds))


def training_rows(target: Int8Array, window: Window) -> Int64Array:
    """Bars of the training window whose target is known before the test window begins."""
    first, last = window.train_rows
    end = min(last, window.test_rows[0] - AHEAD_BARS)
    return np.asarray(first + np.flatnonzero(target[first : max(end, first)] != UNKNOWN), dtype=np.int64)


def score_regimes(
    p: Float64Array, transitions: Float64Array, base: Float64Array, state: Int8Array, target: Int8Array,
    seed: int = 7, draws: int = 1000,
) -> RegimeScores:  # fmt: skip
    """Scores of rows in time order, ``[n, 7]`` each, against what came, ``target[n]``."""
    row, came = np.arange(len(target)), target.astype(np.int64)
    loss, held_loss, base_loss = (-np.log(np.maximum(q[row, came], 1e-12)) for q in (p, transitions, base))
    said = p.argmax(axis=1)
    hit, stayed = said == target, state == target
    changes = ~stayed
    skill = mean_band(loss - held_loss, BLOCK, seed, draws)
    gain = mean_band(hit.astype(np.float64) - stayed, BLOCK, seed, draws)
    return RegimeScores(
        len(target), int(changes.sum()), float(loss.mean()), float(held_loss.mean()), float(base_loss.mean()),
        float(hit.mean()), float(stayed.mean()), float((base.argmax(axis=1) == target).mean()),
        float(hit[changes].mean()) if changes.any() else np.nan,
        float((said != state)[stayed].mean()) if stayed.any() else np.nan, _calibration_error(p, target), skill, gain,
        _verdict(skill, gain),
    )  # fmt: skip


def _calibration_error(p: Float64Array, target: Int8Array) -> float:
    total = 0.0
    for k in range(STATES):
        place = np.minimum((p[:, k] * _BINS).astype(np.int64), _BINS - 1)
        miss = np.bincount(place, p[:, k] - (target == k), minlength=_BINS)
        total += float(np.abs(miss).sum())
    return total / (len(target) * STATES)


def _verdict(skill: Band, gain: Band) -> str:
    if skill.high < 0.0 and gain.low > 0.0:
        return "better than persistence, in probability and in the state it names"
    if skill.high < 0.0:
        return "better than persistence in probability; the state it names is no better than the state of now"
    return "no better than persistence"
