"""Known answers for the deflated Sharpe ratio and the probability of back-test overfitting."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ai.validation.overfitting import (
    deflated_sharpe,
    expected_best_sharpe,
    overfitting_probability,
    probabilistic_sharpe,
    sharpe_moments,
)


def test_the_worked_example_of_bailey_and_lopez_de_prado_2014() -> None:
    # 5 years of daily data, annualised Sharpe 2.5 (250 days), annualised variance of trials 1/2, skew -3, kurtosis 10
    daily, variance = 2.5 / math.sqrt(250), 0.5 / 250
    assert expected_best_sharpe(100, variance) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(daily, 1250, 100, variance, -3.0, 10.0) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(daily, 1250, 46, variance, -3.0, 10.0) == pytest.approx(0.9505, abs=1e-4)


def test_probabilistic_sharpe_is_one_half_at_the_benchmark_and_grows_with_history() -> None:
    assert probabilistic_sharpe(0.1, 0.1, 100) == 0.5
    assert probabilistic_sharpe(0.1, 0.0, 1000) > probabilistic_sharpe(0.1, 0.0, 100) > 0.5
    assert probabilistic_sharpe(0.1, 0.0, 500, skew=-2.0) < probabilistic_sharpe(0.1, 0.0, 500)
    assert math.isnan(probabilistic_sharpe(0.1, 0.0, 1))


def test_one_trial_is_not_deflated() -> None:
    assert expected_best_sharpe(1, 1.0) == 0.0
    assert deflated_sharpe(0.1, 500, 1, 1.0) == probabilistic_sharpe(0.1, 0.0, 500)


def test_expected_best_sharpe_agrees_with_simulation() -> None:
    draws = np.random.default_rng(1).normal(0.0, 0.3, size=(20_000, 50)).max(axis=1)
    assert expected_best_sharpe(50, 0.09) == pytest.approx(draws.mean(), rel=0.02)


def test_moments_are_those_of_scipy() -> None:
    from scipy import stats

    r = np.random.default_rng(2).standard_t(5, 400)
    sharpe, skew, kurtosis = sharpe_moments(r)
    assert sharpe == pytest.approx(r.mean() / r.std(ddof=1))
    assert skew == pytest.approx(stats.skew(r))
    assert kurtosis == pytest.approx(stats.kurtosis(r, fisher=False))
    assert all(math.isnan(v) for v in sharpe_moments(np.zeros(10)))


def test_noise_is_overfitted_about_half_the_time_and_a_true_winner_hardly_ever() -> None:
    rng = np.random.default_rng(3)
    values = [overfitting_probability(rng.normal(size=(800, 20)), blocks=10) for _ in range(20)]
    assert 0.35 < np.mean(values) < 0.65
    better = rng.normal(size=(800, 20))
    better[:, 4] += 0.5
    assert overfitting_probability(better, blocks=10) == 0.0


def test_a_small_case_counted_by_hand() -> None:
    # two blocks, two configurations: whoever wins one half loses the other, so every choice is below the median
    returns = np.array([[2.0, 1.0], [2.1, 0.9], [2.0, 1.0], [2.1, 0.9], [1.0, 2.0], [0.9, 2.1], [1.0, 2.0], [0.9, 2.1]])
    assert overfitting_probability(returns, blocks=2) == 1.0


def test_under_two_trials_or_too_short_there_is_no_probability() -> None:
    assert overfitting_probability(np.zeros((100, 1))) is None
    assert overfitting_probability(np.zeros((20, 5))) is None
    assert overfitting_probability(np.zeros((100, 5)), blocks=7) is None
