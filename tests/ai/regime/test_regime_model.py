"""The regime classifier: out of sample against persistence, transitions and base rate; honest on noise; its files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, log_loss

from ai.features.engine import FeatureEngine
from ai.features.leak_audit import TransformCase, audit_features, audit_transform
from ai.features.registry import schema_of
from ai.regime import AHEAD_BARS, UNKNOWN, regime_ahead, regime_warmup_bars
from ai.regime_model import (
    INPUT_FEATURES,
    STATES,
    RegimeModel,
    base_shares,
    frame_inputs,
    regime_inputs,
    transition_shares,
)
from ai.regime_scores import RegimeWalk, score_regimes, training_rows, walk_regimes
from ai.validation.splits import Duration, Window, walk_forward_windows
from data.errors import UserError
from data.market import Frame, FundingFrame

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int8]


@pytest.fixture(scope="module")
def walked(btc: Frame) -> tuple[Array, Ints, Ints, list[Window], RegimeWalk]:
    """Inputs, states, targets, windows and the walk over recorded hours: one year trains, half a year is tested."""
    inputs, path = frame_inputs(btc)
    target = regime_ahead(path.state, btc.open_time, btc.key.step_ms)
    half = Duration.parse("6mo")
    windows = walk_forward_windows(
        btc.open_time, btc.key.step_ms, Duration.parse("12mo"), half, half, regime_warmup_bars("1h")
    )
    return inputs, path.state, target, windows, walk_regimes(inputs, path.state, target, windows, draws=300)


@pytest.mark.data
def test_the_classifier_beats_persistence_and_base_rate_on_recorded_hours(
    walked: tuple[Array, Ints, Ints, list[Window], RegimeWalk],
) -> None:
    scores = walked[-1].scores
    assert scores.n > 3_000
    assert scores.log_loss < scores.transition_log_loss - 0.05 < scores.base_log_loss - 1.0
    assert scores.skill.high < 0.0 < scores.gain.low
    assert scores.persistence_accuracy > 0.8  # what a state four bars later mostly is: the baseline that counts
    assert scores.accuracy > scores.persistence_accuracy
    assert scores.change_hits > 0.2
    assert scores.false_changes < 0.1
    assert scores.calibration_error < 0.02
    assert scores.verdict == "better than persistence, in probability and in the state it names"


@pytest.mark.data
def test_the_scores_equal_scikit_learns(walked: tuple[Array, Ints, Ints, list[Window], RegimeWalk]) -> None:
    _, state, target, windows, walk = walked
    first, last = windows[0].test_rows[0], windows[-1].test_rows[1]
    rows = first + np.flatnonzero((target[first:last] != UNKNOWN) & (state[first:last] != UNKNOWN))
    assert walk.scores.n == len(rows)
    p = walk.p[rows]
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    assert (p > 0.0).all()
    assert walk.scores.log_loss == pytest.approx(log_loss(target[rows], p, labels=range(STATES)), rel=1e-9)
    assert walk.scores.accuracy == pytest.approx(accuracy_score(target[rows], p.argmax(axis=1)))
    assert walk.scores.persistence_accuracy == pytest.approx(accuracy_score(target[rows], state[rows]))
    outside = np.setdiff1d(np.arange(len(state)), np.arange(first, last))
    assert np.isnan(walk.p[outside]).all()


@pytest.mark.data
def test_nothing_of_the_test_window_and_nothing_late_is_learned(
    walked: tuple[Array, Ints, Ints, list[Window], RegimeWalk],
) -> None:
    inputs, state, target, windows, walk = walked
    window = windows[0]
    rows = training_rows(target, window)
    border = window.test_rows[0]
    assert rows[-1] + AHEAD_BARS < border
    other = target.copy()
    other[border - AHEAD_BARS :] = (other[border - AHEAD_BARS :] + 3) % STATES  # what is known only in the test window
    changed = np.array(inputs)
    changed[border + 500 :] += 5.0
    again = walk_regimes(changed, state, other, [window], draws=10)
    part = slice(border, border + 500)
    assert np.array_equal(again.p[part], walk.p[part], equal_nan=True)


def test_no_input_sees_the_future(made: Frame) -> None:
    def compute(frame: Frame, funding: FundingFrame | None) -> Array:
        return frame_inputs(frame)[0].T

    names = [str(k) for k in range(frame_inputs(made.slice(0, 10))[0].shape[1])]
    assert audit_features(compute, names, made, cuts=4) == []


def test_the_fitted_classifier_passes_the_leak_audit(made: Frame) -> None:
    inputs, path = frame_inputs(made)
    rows = np.flatnonzero(path.state != UNKNOWN)
    x = np.column_stack([path.state[rows], inputs[rows]])
    y = regime_ahead(path.state, made.open_time, made.key.step_ms)[rows]

    def fit_apply(some: Array, target: Ints, train: int, query: int) -> Array:
        state = np.clip(some[:, 0], 0, STATES - 1).astype(np.int8)
        model = RegimeModel(iterations=15)
        model.fit(some[:, 1:], state, target, np.arange(train - AHEAD_BARS))
        return model.predict(some[query : query + 1, 1:], state[query : query + 1])

    assert audit_transform(TransformCase("calibrator", "regime", fit_apply, x, y, len(rows) - 300)) == []


def test_a_row_from_the_last_five_bars_equals_the_batch(made: Frame) -> None:
    inputs, path = frame_inputs(made)
    x = FeatureEngine(schema_of(INPUT_FEATURES), "4h").batch(made)
    for t in (700, 1_400, len(made) - 1):
        part = slice(t - AHEAD_BARS, t + 1)
        short = type(path)(path.state[part], path.rank[part], path.trend_t[part])
        assert np.array_equal(regime_inputs(x[:, part], short)[-1], inputs[t], equal_nan=True)


def chain(n: int, stay: float, seed: int) -> tuple[Ints, Ints]:
    """States that stay or jump anywhere by chance alone, and what came four bars later."""
    generator = np.random.default_rng(seed)
    state = np.empty(n, dtype=np.int8)
    state[0] = 2
    for t in range(1, n):
        state[t] = state[t - 1] if generator.random() < stay else generator.integers(0, STATES)
    return state, regime_ahead(state, np.arange(n, dtype=np.int64), 1)


def window_of(n: int) -> Window:
    return Window(0, 0, 0, 0, (0, n // 2), (n // 2, n))


def test_where_inputs_say_nothing_the_verdict_is_no_better_than_persistence() -> None:
    state, target = chain(6_000, 0.96, 1)
    noise = np.random.default_rng(2).normal(size=(6_000, 12))
    scores = walk_regimes(noise, state, target, [window_of(6_000)], draws=300).scores
    assert scores.verdict == "no better than persistence"
    assert scores.log_loss < scores.base_log_loss - 0.5  # persistence it does know
    assert scores.log_loss == pytest.approx(scores.transition_log_loss, abs=0.03)


def test_a_planted_sign_of_the_next_state_is_found_and_calibrated() -> None:
    state, target = chain(8_000, 0.96, 3)
    generator = np.random.default_rng(4)
    told = np.where(generator.random(8_000) < 0.95, target, generator.integers(0, STATES, 8_000))
    inputs = (told[:, None] == np.arange(STATES)) + generator.normal(0.0, 0.1, (8_000, STATES))
    walk = walk_regimes(inputs, state, target, [window_of(8_000)], draws=300)
    assert walk.scores.verdict == "better than persistence, in probability and in the state it names"
    assert walk.scores.calibration_error < 0.02
    assert walk.scores.change_hits > 0.3


def test_calibration_repairs_probabilities_that_are_too_sure() -> None:
    """Fitted almost without a penalty on few rows, the raw probabilities are too extreme."""
    state, target = chain(6_000, 0.9, 5)
    noise = np.random.default_rng(6).normal(size=(6_000, 60))
    model = RegimeModel(ridge=1e-3)
    model.fit(noise, state, target, np.arange(1_500))
    rows = np.arange(2_000, 5_990)
    losses = [
        log_loss(target[rows], p, labels=range(STATES))
        for p in (model.raw(noise[rows], state[rows]), model.predict(noise[rows], state[rows]))
    ]
    assert losses[1] < losses[0] - 0.05
    assert (model.sigmoid[:, 0] < 1.0).all()


def test_the_solver_finds_what_scikit_learn_finds() -> None:
    generator = np.random.default_rng(7)
    x = generator.normal(size=(4_000, 4))
    target = (x @ generator.normal(size=(4, STATES)) + generator.gumbel(size=(4_000, STATES))).argmax(axis=1)
    model = RegimeModel(ridge=2.0, iterations=2_000)
    state = np.zeros(4_000, dtype=np.int8)  # one state: the transitions are the base rate, a shift of the intercept
    model.fit(x, state, target.astype(np.int8), np.arange(4_000))
    fitted = np.arange(4_000)[: round(4_000 * 0.85) - AHEAD_BARS : AHEAD_BARS]
    theirs = LogisticRegression(C=0.5, max_iter=2_000, tol=1e-8).fit(model._scaled(x[fitted]), target[fitted])
    assert model.converged
    np.testing.assert_allclose(model.slope - model.slope.mean(axis=0), theirs.coef_, atol=0.05)


def test_the_files_give_back_the_same_model(tmp_path: Path) -> None:
    state, target = chain(3_000, 0.9, 8)
    inputs = np.random.default_rng(9).normal(size=(3_000, 5))
    model = RegimeModel()
    model.fit(inputs, state, target, np.arange(2_500))
    model.save(tmp_path / "regime")
    again = RegimeModel.load(tmp_path / "regime")
    assert np.array_equal(again.predict(inputs, state), model.predict(inputs, state))
    assert model.describe()["states"][0] == "strong_down"


def test_an_unknown_state_has_no_probabilities_and_too_few_rows_train_nothing() -> None:
    state, target = chain(3_000, 0.9, 10)
    inputs = np.random.default_rng(11).normal(size=(3_000, 5))
    model = RegimeModel()
    model.fit(inputs, state, target, np.arange(2_500))
    unknown = np.full(2, UNKNOWN, dtype=np.int8)
    assert np.isnan(model.predict(inputs[:2], unknown)).all()
    with pytest.raises(UserError, match="has 400 bars with a known state and needs 500"):
        model.fit(inputs, state, target, np.arange(400))
    with pytest.raises(UserError, match="at least two states"):
        model.fit(inputs, np.zeros_like(state), np.zeros_like(target), np.arange(2_500))
    with pytest.raises(UserError, match="No training window"):
        walk_regimes(inputs, state, target, [window_of(600)])


def test_shares_are_counts_with_one_more_of_each() -> None:
    state, target = np.array([2, 2, 2, 3], dtype=np.int8), np.array([2, 2, 3, 3], dtype=np.int8)
    assert transition_shares(state, target)[2].tolist() == pytest.approx([0.1, 0.1, 0.3, 0.2, 0.1, 0.1, 0.1])
    assert base_shares(target)[2] == pytest.approx(3 / 11)


def test_scores_of_a_table_counted_by_hand() -> None:
    p = np.full((4, STATES), 0.02)
    p[[0, 1, 2, 3], [2, 3, 3, 2]] = 0.88
    state, target = np.array([2, 2, 2, 3], dtype=np.int8), np.array([2, 3, 2, 3], dtype=np.int8)
    even = np.full((4, STATES), 1 / STATES)
    scores = score_regimes(p, even, even, state, target, draws=10)
    assert (scores.changes, scores.change_hits, scores.false_changes) == (1, 1.0, pytest.approx(2 / 3))
    assert (scores.accuracy, scores.persistence_accuracy) == (0.5, 0.75)
    assert scores.log_loss == pytest.approx(-(2 * np.log(0.88) + 2 * np.log(0.02)) / 4)
    assert scores.base_log_loss == pytest.approx(np.log(7))
