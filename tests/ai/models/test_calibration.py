"""Calibrators agree with their textbook forms and never look past their slice."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ai.calibration import (
    METHODS,
    calibrated,
    calibrated_values,
    calibration_choices,
    calibration_slice,
    calibrators_of,
    calibrators_record,
    choose_calibration,
    chosen_method,
    fit_calibrators,
    fit_sigmoid,
    scaler_values,
)
from ai.features.leak_audit import TransformCase, audit_transform
from ai.models.linear import LogisticModel
from ai.models.predictor import SCALED_LIMIT, SIGMOID, CalibratorTable, pack, predict_rows

RNG = np.random.default_rng(11)


def overconfident(n: int = 6000):
    """Probabilities whose logits are twice as far out as they should be."""
    z = RNG.normal(size=(n, 3))
    true = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (true.cumsum(axis=1) < RNG.random((n, 1))).sum(axis=1) - 1
    said = np.exp(2 * z) / np.exp(2 * z).sum(axis=1, keepdims=True)
    return said, y.astype(np.int8), true


def identity_model(features: int = 3):
    """A linear model whose raw probabilities are softmax(x)."""
    model = LogisticModel()
    model.linear = np.vstack([np.zeros((2, features)), np.ones((1, features)), np.eye(3)])
    return model


def applied(p, tables):
    packed = pack([identity_model().table()], [tables], 3)
    return predict_rows(packed, np.log(p))[0]


def test_sigmoid_without_ridge_is_logistic_regression_on_the_logit() -> None:
    from sklearn.linear_model import LogisticRegression

    p, y, _ = overconfident()
    hit = (y == 1).astype(float)
    logit = np.log(p[:, 2] / (1 - p[:, 2]))
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit[:, None], hit)
    a, b = fit_sigmoid(p[:, 2], hit, np.ones(len(y)), ridge=0.0)
    assert a == pytest.approx(theirs.coef_[0, 0], abs=1e-4)
    assert b == pytest.approx(theirs.intercept_[0], abs=1e-4)


def test_isotonic_gives_the_values_of_scikit_learn() -> None:
    from sklearn.isotonic import IsotonicRegression

    p, y, _ = overconfident()
    tables = fit_calibrators(p, y, np.ones(len(y)), "isotonic")
    fresh, _, _ = overconfident(500)
    fresh = fresh[(fresh > np.exp(-SCALED_LIMIT)).all(axis=1)]  # the linear member takes its inputs no farther
    theirs = np.column_stack([
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[:, c], y == c - 1).predict(fresh[:, c])
        for c in range(3)
    ])  # fmt: skip
    theirs = np.clip(theirs, tables[0].floor, 1 - tables[0].floor)
    assert np.allclose(applied(fresh, tables), theirs / theirs.sum(axis=1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration_brings_overconfident_probabilities_to_the_truth(method) -> None:
    p, y, _ = overconfident()
    tables = fit_calibrators(p, y, np.ones(len(y)), method)
    fresh, _, truth = overconfident()
    assert np.mean(np.abs(applied(fresh, tables) - truth)) < 0.4 * np.mean(np.abs(fresh - truth))


def test_small_slices_get_the_sigmoid_drawn_to_the_identity() -> None:
    assert chosen_method(np.full(700, 0.04)) == "sigmoid"
    assert chosen_method(np.ones(5000)) == "isotonic"
    p, y, _ = overconfident(40)
    loose = fit_sigmoid(p[:, 2], (y == 1).astype(float), np.ones(40), ridge=1e-6)
    drawn = fit_sigmoid(p[:, 2], (y == 1).astype(float), np.ones(40), ridge=1e6)
    assert drawn == pytest.approx((1.0, 0.0), abs=1e-3)
    assert abs(loose[0] - 1.0) > abs(drawn[0] - 1.0)


def test_a_calibrator_never_turns_the_order_round() -> None:
    p, y, _ = overconfident()
    a, _ = fit_sigmoid(1.0 - p[:, 2], (y == 1).astype(float), np.ones(len(y)), ridge=1.0)
    assert a == 0.0


def test_an_empty_slice_leaves_the_probabilities_alone() -> None:
    none = fit_calibrators(np.empty((0, 3)), np.empty(0, dtype=np.int8), np.empty(0))
    p = np.array([[0.2, 0.5, 0.3]])
    assert np.allclose(applied(p, none), p)


def test_records_of_calibrators_read_back_equal() -> None:
    p, y, _ = overconfident(1000)
    for method in ("sigmoid", "isotonic"):
        tables = fit_calibrators(p, y, np.ones(len(y)), method)
        assert np.array_equal(applied(p, calibrators_of(calibrators_record(tables))), applied(p, tables))


def test_extreme_probabilities_stay_inside_the_open_interval() -> None:
    steep = CalibratorTable(SIGMOID, 5.0, 0.0, np.empty(0), np.empty(0), 1e-3)
    out = applied(np.array([[1e-12, 1e-12, 1.0]]), [steep] * 3)
    assert np.all(out > 0.0)
    assert out.sum() == pytest.approx(1.0)


def test_the_slice_is_the_last_part_purged_on_both_sides() -> None:
    end = np.arange(2000) + 24
    parts = calibration_slice(np.arange(100, 1100), end)
    assert parts.fit_rows[0] == 100
    assert end[parts.fit_rows[-1]] < 950  # ends before the slice begins
    assert parts.slice_rows[0] == 950
    assert end[parts.slice_rows[-1]] == 1099  # ends inside the window
    empty = calibration_slice(np.arange(0), end)
    assert len(empty.fit_rows) == len(empty.slice_rows) == 0


@pytest.mark.parametrize(("kind", "fit_apply"), [("scaler", scaler_values), ("calibrator", calibrated_values)])
def test_the_leak_audit_clears_scaler_and_calibrator_and_names_a_planted_leak(kind, fit_apply) -> None:
    x = RNG.normal(size=(400, 4))
    y = RNG.integers(-1, 2, 400)
    clean = TransformCase(kind, kind, fit_apply, x, y, 300)
    assert audit_transform(clean) == []

    def peeking(x, y, train_rows, query_row):
        return fit_apply(x, y, len(x), query_row)

    (leak,) = audit_transform(TransformCase(kind, "peeking", peeking, x, y, 300))
    assert (leak.kind, leak.name) == (kind, "peeking")


# ---- which method ----------------------------------------------------------------------------------------------------


def slice_of(p, y, label_bars=1):
    rows = np.arange(1000, 1000 + len(y))
    return p, y, np.ones(len(y)), rows, rows + label_bars


def stepped(n: int = 6000):
    """Probabilities whose truth is a step: above 0.5 it happens in nine of ten, below in one of ten."""
    said = RNG.uniform(0.05, 0.9, n)
    true = np.where(said > 0.5, 0.9, 0.1)
    p = np.column_stack([(1 - said) / 2, (1 - said) / 2, said])
    up = RNG.random(n) < true
    y = np.where(up, 1, RNG.integers(-1, 1, n)).astype(np.int8)
    return p, y


def test_the_method_is_chosen_by_what_came_after_and_its_losses_are_said() -> None:
    z = RNG.normal(size=(6000, 3))
    truth = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = ((truth.cumsum(axis=1) < RNG.random((6000, 1))).sum(axis=1) - 1).astype(np.int8)
    honest = choose_calibration(*slice_of(truth, y))
    assert honest.method in ("sigmoid", "identity")
    assert honest.losses["isotonic"] > honest.losses["identity"] - 1e-3
    said, y, _ = overconfident()
    assert choose_calibration(*slice_of(said, y)).method == "sigmoid"
    bent = choose_calibration(*slice_of(*stepped()))
    assert bent.method == "isotonic"
    assert bent.losses["sigmoid"] - bent.losses["isotonic"] > bent.margin > 0.0
    assert set(bent.as_dict()) == {"method", "losses", "margin", "scored"} and bent.scored == 3000


def test_the_losses_are_those_of_the_newer_half_under_scikit_learns_calibrators() -> None:
    from sklearn.isotonic import IsotonicRegression
    from sklearn.metrics import log_loss

    p, y = stepped(2000)
    found = choose_calibration(*slice_of(p, y, label_bars=30))
    older, newer = slice(0, 970), slice(1000, 2000)  # labels of the last thirty older rows reach into the newer half
    floor = 0.1 / (970 + 2.0)
    columns = [
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p[older, c], y[older] == c - 1)
        .predict(p[newer, c]).clip(floor, 1 - floor)
        for c in range(3)
    ]  # fmt: skip
    theirs = np.column_stack(columns)
    theirs /= theirs.sum(axis=1, keepdims=True)
    assert found.losses["isotonic"] == pytest.approx(log_loss(y[newer], theirs, labels=[-1, 0, 1]), abs=1e-9)
    plain = p[newer].clip(floor, 1 - floor)
    plain /= plain.sum(axis=1, keepdims=True)
    assert found.losses["identity"] == pytest.approx(log_loss(y[newer], plain, labels=[-1, 0, 1]), abs=1e-9)


def test_the_newer_half_never_fits_what_it_judges() -> None:
    p, y = stepped(2000)
    found = choose_calibration(*slice_of(p, y, label_bars=30))
    other = y.copy()
    other[970:1000] = -other[970:1000]  # purged rows
    assert choose_calibration(*slice_of(p, other, label_bars=30)) == found
    other[960:970] = 1
    assert choose_calibration(*slice_of(p, other, label_bars=30)) != found


def test_small_slices_stay_with_the_sigmoid() -> None:
    p, y = stepped(3000)
    few = choose_calibration(p, y, np.full(3000, 150.0 / 3000), np.arange(3000), np.arange(3000) + 24)
    assert (few.method, dict(few.losses), few.scored) == ("sigmoid", {}, 0)
    none = choose_calibration(np.empty((0, 3)), np.empty(0, np.int8), np.empty(0), np.empty(0, int), np.empty(0, int))
    assert none.method == "sigmoid"


def test_the_plain_form_of_calibration_is_the_predictors() -> None:
    p, y, _ = overconfident(800)
    p = np.maximum(p, 1e-3) / np.maximum(p, 1e-3).sum(axis=1, keepdims=True)  # as far as the linear model reaches
    for method in METHODS:
        tables = fit_calibrators(p, y, np.ones(len(y)), method)
        assert np.allclose(calibrated(p, tables), applied(p, tables), atol=1e-12)


def test_isotonic_calibration_is_scikit_learns_calibrated_classifier() -> None:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Said(ClassifierMixin, BaseEstimator):
        """A classifier whose inputs are its probabilities."""

        def fit(self, x, y):
            self.classes_ = np.unique(y)
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return self.classes_[np.argmax(x, axis=1)]

    p, y, _ = overconfident(3000)
    theirs = CalibratedClassifierCV(FrozenEstimator(Said().fit(p, y)), method="isotonic").fit(p, y)
    fresh, _, _ = overconfident(400)
    ours = calibrated(fresh, fit_calibrators(p, y, np.ones(len(y)), "isotonic"))
    assert np.max(np.abs(ours - theirs.predict_proba(fresh))) < 1e-3  # ours keeps a floor


def test_a_models_calibration_file_says_what_was_chosen_and_why(model) -> None:
    chosen = model.describe()["calibration"]
    assert set(chosen) == set(model.members)
    assert all(choice["method"] == "sigmoid" and choice["losses"] == {} for choice in chosen.values())
    earlier = {"logistic": calibrators_record([])["classes"]}
    assert calibration_choices(json.dumps(earlier).encode()) == {"logistic": None}
