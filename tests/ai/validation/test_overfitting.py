"""Known answers for the deflated Sharpe ratio and the probability of back-test overfitting."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ai.validation.overfitting import (
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_record,
    overfitting_probability,
    probabilistic_sharpe,
    sharpe_moments,
    symmetric_validation,
)
from tests.ai.validation.recorded import cases

ANSWERS = json.loads(Path(cases.__file__).with_name("answers.json").read_text(encoding="utf-8"))


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


def test_the_fund_of_bailey_and_lopez_de_prado_2012() -> None:
    # 24 months with a monthly Sharpe of 0.458: 98.2 % if returns were normal, 91.3 % with their skew and kurtosis
    assert probabilistic_sharpe(0.458, 0.0, 24) == pytest.approx(0.982, abs=5e-4)
    assert probabilistic_sharpe(0.458, 0.0, 24, -2.448, 10.164) == pytest.approx(0.913, abs=5e-4)


@pytest.mark.parametrize(
    ("a_year", "skew", "kurtosis", "years"),
    [(252, 0.0, 3.0, 2.73), (52, 0.0, 3.0, 2.83), (12, 0.0, 3.0, 3.24), (12, -0.72, 5.78, 4.99)],
)
def test_years_of_track_record_of_bailey_and_lopez_de_prado_2012(a_year, skew, kurtosis, years) -> None:
    # an annualised Sharpe of 2 to be told from 1 at 95 %, by daily, weekly and monthly returns
    sharpe, benchmark = 2.0 / math.sqrt(a_year), 1.0 / math.sqrt(a_year)
    found = minimum_track_record(sharpe, benchmark, skew, kurtosis)
    assert found / a_year == pytest.approx(years, abs=5e-3)
    # at that length, and not before, the probabilistic Sharpe ratio says 95 %
    assert probabilistic_sharpe(sharpe, benchmark, found, skew, kurtosis) == pytest.approx(0.95)


def test_no_track_record_is_long_enough_for_a_sharpe_below_the_benchmark() -> None:
    assert minimum_track_record(0.1, 0.1) == math.inf
    assert minimum_track_record(-0.1) == math.inf
    assert math.isnan(minimum_track_record(math.nan))
    assert math.isnan(minimum_track_record(0.1, math.nan))
    assert math.isnan(minimum_track_record(0.1, confidence=1.0))
    assert math.isnan(minimum_track_record(1.0, skew=5.0))


def test_constant_returns_and_missing_ones_have_no_sharpe() -> None:
    assert all(math.isnan(v) for v in sharpe_moments(np.full(1000, 0.1)))  # their mean is not exactly 0.1
    assert all(math.isnan(v) for v in sharpe_moments(np.array([0.1, math.nan, 0.2])))
    assert all(math.isnan(v) for v in sharpe_moments(np.array([0.1])))
    sharpe, _, _ = sharpe_moments(np.array([1e-9, -1e-9, 2e-9]))
    assert sharpe == pytest.approx(0.43643578)
    assert math.isnan(deflated_sharpe(math.nan, 100, 5, 0.01))
    assert math.isnan(expected_best_sharpe(5, math.nan))
    assert math.isnan(deflated_sharpe(0.1, 100, 5, math.nan))


def test_more_trials_and_more_varied_ones_deflate_more() -> None:
    chances = [deflated_sharpe(0.12, 500, n, 0.002) for n in (1, 2, 10, 100, 1000)]
    assert chances == sorted(chances, reverse=True)
    assert deflated_sharpe(0.12, 500, 10, 0.004) < deflated_sharpe(0.12, 500, 10, 0.002)
    assert deflated_sharpe(0.12, 500, 10, 0.0) == probabilistic_sharpe(0.12, 0.0, 500)  # all trials alike


def test_splits_of_a_search_are_those_of_risklabai() -> None:
    found = symmetric_validation(cases.searched(), cases.PBO_BLOCKS)
    expected = ANSWERS["overfitting"]
    assert found is not None and len(found.logits) == 252
    assert found.logits == pytest.approx(np.array(expected["logits"]))
    assert found.probability == pytest.approx(expected["probability"])
    assert overfitting_probability(cases.searched(), cases.PBO_BLOCKS) == found.probability


def test_what_the_chosen_one_makes_outside_by_hand() -> None:
    # two blocks of two days: configuration 0 wins the first (mean 2, deviation 1), configuration 1 the second
    found = symmetric_validation(np.array([[1.0, 0.0], [3.0, 2.0], [-2.0, 1.0], [0.0, 5.0]]), blocks=2)
    assert found is not None
    assert found.inside == pytest.approx([2.0, 1.5])
    assert found.outside == pytest.approx([-1.0, 1.0])
    assert found.logits == pytest.approx([-math.log(2.0)] * 2)  # rank 1 of 2: 1/3 against 2/3
    assert (found.probability, found.loss_probability) == (1.0, 0.5)
    assert found.degradation == pytest.approx(-4.0)


def test_a_constant_configuration_is_never_the_best_by_rounding() -> None:
    returns = np.random.default_rng(4).normal(0.0005, 0.01, size=(320, 3))
    returns[:, 0] = 0.1
    found = symmetric_validation(returns)
    assert found is not None and np.all(np.abs(found.inside) < 1.0)
    assert found.inside.min() >= 0.0  # it counts as zero: chosen only where all others lose


def test_a_missing_return_leaves_the_probability_unknown() -> None:
    returns = np.random.default_rng(4).normal(size=(320, 3))
    returns[7, 1] = math.nan
    assert symmetric_validation(returns) is None
    assert overfitting_probability(returns) is None
