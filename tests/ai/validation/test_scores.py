"""Scores agree with scikit-learn, and bands cover what they should."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from ai.validation.scores import (
    NO_EDGE,
    Band,
    auc_band,
    brier,
    calibration_error,
    direction_auc,
    direction_score,
    mean_band,
    reliability,
    roc_auc,
    score_rows,
    touch_auc,
    verdict,
)


def sample(n: int = 3000, seed: int = 1):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1) - 1
    return np.round(p, 2) / np.round(p, 2).sum(axis=1, keepdims=True), y.astype(np.int8)


def test_losses_and_aucs_are_those_of_scikit_learn() -> None:
    p, y = sample()
    scores = score_rows(p, y, np.array([0.2, 0.5, 0.3]))
    onehot = np.eye(3)[y + 1]
    assert scores.n == 3000
    assert scores.log_loss == pytest.approx(metrics.log_loss(onehot, np.clip(p, 1e-12, 1)))
    assert scores.base_log_loss == pytest.approx(metrics.log_loss(onehot, np.tile([0.2, 0.5, 0.3], (3000, 1))))
    assert brier(p, y) == pytest.approx(np.mean(np.sum((p - onehot) ** 2, axis=1)))
    touched = y != 0
    said = p[touched, 2] / (p[touched, 2] + p[touched, 0])
    assert direction_auc(p, y) == pytest.approx(metrics.roc_auc_score(y[touched] > 0, said))
    assert touch_auc(p, y) == pytest.approx(metrics.roc_auc_score(touched, 1 - p[:, 1]))


def test_direction_does_not_see_volatility() -> None:
    p, y = sample()
    louder = p.copy()
    louder[:, 1] *= np.where(y == 0, 5.0, 0.2)  # knows which rows are touched, nothing about direction
    louder /= louder.sum(axis=1, keepdims=True)
    assert direction_auc(louder, y) == pytest.approx(direction_auc(p, y), abs=1e-4)  # ties by rounding
    assert touch_auc(louder, y) > touch_auc(p, y) + 0.2


def test_calibration_error_is_small_for_true_probabilities_and_large_for_wrong_ones() -> None:
    p, y = sample(20_000)
    assert calibration_error(p, y) < 0.01
    assert calibration_error(np.tile([0.9, 0.05, 0.05], (len(y), 1)), y) > 0.2
    bins = reliability(p, y)
    assert sum(b.n for b in bins) == 3 * len(y)
    first = next(b for b in bins if b.label == -1)
    rows = p[:, 0] < 0.1
    assert (first.n, first.observed) == (rows.sum(), pytest.approx((y[rows] == -1).mean()))


def test_no_rows_or_one_class_give_nan_not_an_error() -> None:
    empty = score_rows(np.empty((0, 3)), np.empty(0, dtype=np.int8), np.ones(3) / 3)
    assert empty.n == 0
    assert np.isnan(empty.auc)
    assert np.isnan(roc_auc(np.arange(3.0), np.ones(3, dtype=bool)))
    none = np.zeros(5, dtype=bool)
    assert np.isnan(auc_band(np.arange(5.0), none, ~none, 2, 1).low)


def test_the_bootstrap_auc_of_blocks_of_one_has_the_hanley_mcneil_width() -> None:
    rng = np.random.default_rng(5)
    positive = rng.random(2000) < 0.5
    score = rng.normal(size=2000) + 0.5 * positive
    band = auc_band(score, positive, np.ones(2000, dtype=bool), 1, 7)
    auc = roc_auc(score, positive)
    hits, misses = positive.sum(), (~positive).sum()
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)  # Hanley & McNeil 1982
    variance = (auc * (1 - auc) + (hits - 1) * (q1 - auc**2) + (misses - 1) * (q2 - auc**2)) / (hits * misses)
    assert band.high - band.low == pytest.approx(2 * 1.96 * np.sqrt(variance), rel=0.15)
    assert band.holds(auc)


def test_blocks_widen_the_band_when_rows_repeat() -> None:
    rng = np.random.default_rng(6)
    positive = np.repeat(rng.random(200) < 0.5, 20)
    score = np.repeat(rng.normal(size=200), 20)
    use = np.ones(4000, dtype=bool)
    single, blocks = (auc_band(score, positive, use, length, 7) for length in (1, 20))
    assert blocks.high - blocks.low > 3.0 * (single.high - single.low)


def test_rows_left_out_do_not_count_and_the_seed_fixes_the_band() -> None:
    rng = np.random.default_rng(8)
    score, positive, use = rng.normal(size=900), rng.random(900) < 0.5, rng.random(900) < 0.6
    other = score.copy()
    other[~use] = 99.0
    assert auc_band(score, positive, use, 24, 3) == auc_band(other, positive, use, 24, 3)
    assert auc_band(score, positive, use, 24, 3) != auc_band(score, positive, use, 24, 4)


def test_the_band_of_a_mean_covers_the_normal_width() -> None:
    values = np.random.default_rng(9).normal(0.3, 1.0, 2500)
    band = mean_band(values, 1, 7)
    assert band.high - band.low == pytest.approx(2 * 1.96 / 50, rel=0.1)
    assert band.holds(values.mean())
    whole = mean_band(values, 2500, 7)
    assert whole.low == pytest.approx(values.mean())


def test_the_verdict_says_no_evidence_exactly_when_the_band_holds_one_half() -> None:
    assert verdict(0.51, Band(0.49, 0.53)).startswith(NO_EDGE)
    assert verdict(0.51, Band(0.5, 0.53)).startswith("no evidence of an edge")
    assert NO_EDGE not in verdict(0.53, Band(0.51, 0.55))
    assert "worse than chance" in verdict(0.45, Band(0.43, 0.47))
    assert verdict(np.nan, Band(np.nan, np.nan)).startswith(NO_EDGE)


def test_a_score_without_touch_probability_is_one_half() -> None:
    assert direction_score(np.array([[0.0, 1.0, 0.0]]))[0] == 0.5
