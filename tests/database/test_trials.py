"""Trials are counted the same in memory and in the database; what was tried stays tried."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from ai.validation.overfitting import deflated_sharpe, sharpe_moments
from ai.validation.trials import MemoryTrials, Trial, TrialLog, deflation, trial_digest
from data.clock import ManualClock
from data.errors import UserError
from data.market import SeriesKey
from database.home import Home
from database.repositories import Repositories

BTC = SeriesKey("binance", "BTC/USDT:USDT", "15m", "swap", "import")
ETH = SeriesKey("binance", "ETH/USDT:USDT", "15m", "swap", "import")
CONFIGURATION = {"members": ["lightgbm"], "seed": 7, "train": "6mo"}


@pytest.fixture(params=["memory", "database"])
def log(request: pytest.FixtureRequest, clock: ManualClock, db: Repositories) -> Iterator[TrialLog]:
    yield MemoryTrials(clock) if request.param == "memory" else db.trials


def test_a_trial_is_there_before_it_has_a_result(log: TrialLog, clock: ManualClock) -> None:
    begun = clock.now_ms()
    digest = log.begin(BTC, "walk-forward", CONFIGURATION)
    assert log.of(BTC) == (Trial(BTC, "walk-forward", digest, CONFIGURATION, begun),)
    clock.advance(60)
    log.finish(BTC, digest, 0.51, 0.04)
    assert log.of(BTC) == (Trial(BTC, "walk-forward", digest, CONFIGURATION, begun, begun + 60_000, 0.51, 0.04),)


def test_failed_and_unfinished_trials_stay(log: TrialLog) -> None:
    failed = log.begin(BTC, "sweep", {"k": 1})
    log.begin(BTC, "sweep", {"k": 2})
    log.fail(BTC, failed, "No fold could be trained.")
    first, second = log.of(BTC)
    assert (first.failure, first.score) == ("No fold could be trained.", None) and first.ended_ms is not None
    assert (second.failure, second.ended_ms) == (None, None)


def test_the_same_configuration_again_is_the_same_trial(log: TrialLog, clock: ManualClock) -> None:
    digest = log.begin(BTC, "sweep", {"a": 1, "b": 2})
    log.fail(BTC, digest, "out of memory")
    clock.advance(1)
    assert log.begin(BTC, "sweep", {"b": 2, "a": 1}) == digest
    assert log.of(BTC)[0].failure == "out of memory"  # until it is known better
    log.finish(BTC, digest, 1.5, 0.1)
    log.fail(BTC, digest, "cancelled")  # what was measured before was measured
    (trial,) = log.of(BTC)
    assert (trial.score, trial.sharpe, trial.failure) == (1.5, 0.1, None)


def test_trials_are_kept_by_series_and_kind_in_the_order_of_begin(log: TrialLog) -> None:
    for k in (3, 1, 2):
        log.begin(BTC, "sweep", {"k": k})
    log.begin(BTC, "tuning", {"k": 1})
    log.begin(ETH, "sweep", {"k": 1})
    assert [t.configuration["k"] for t in log.of(BTC, "sweep")] == [3, 1, 2]
    assert [t.kind for t in log.of(BTC)] == ["sweep", "sweep", "sweep", "tuning"]
    assert len({t.digest for t in log.of(BTC)}) == 4  # the same numbers in another search are another trial
    assert [len(log.of(ETH)), len(log.of(ETH, "tuning"))] == [1, 0]


def test_numbers_that_are_not_finite_are_none(log: TrialLog) -> None:
    digest = log.begin(BTC, "sweep", {"k": 1})
    log.finish(BTC, digest, math.nan, math.inf)
    (trial,) = log.of(BTC)
    assert (trial.score, trial.sharpe) == (None, None) and trial.ended_ms is not None


def test_daily_returns_are_kept_with_their_days(log: TrialLog) -> None:
    daily = {19_700: 0.01, 19_701: 0.0, 19_702: -1.0 / 3.0}
    digest = log.begin(BTC, "sweep", {"k": 1})
    log.finish(BTC, digest, 1.0, 0.1, daily)
    assert log.of(BTC)[0].daily == daily
    with pytest.raises(UserError, match="a day between them is missing"):
        log.finish(BTC, digest, 1.0, 0.1, {1: 0.0, 3: 0.0})
    log.fail(BTC, digest, "cancelled")
    assert log.of(BTC)[0].daily == daily


def test_many_trials_begin_in_the_order_given_as_single_ones_do(db: Repositories) -> None:
    alone = db.trials.begin(BTC, "sweep", {"k": 2})
    digests = db.trials.begin_all(BTC, "sweep", [{"k": 1}, {"k": 2}, {"k": 3}])
    assert digests[1] == alone == trial_digest("sweep", {"k": 2})
    assert [t.configuration["k"] for t in db.trials.of(BTC)] == [2, 1, 3]


def test_a_result_without_a_beginning_is_refused(log: TrialLog) -> None:
    log.begin(ETH, "sweep", {"k": 1})
    for end in (lambda d: log.finish(BTC, d, 1.0), lambda d: log.fail(BTC, d, "why")):
        with pytest.raises(UserError, match="begin it before it is computed"):
            end(trial_digest("sweep", {"k": 1}))


@pytest.mark.parametrize("bad", [{"x": math.nan}, {"x": {1, 2}}, {"x": object()}])
def test_a_configuration_that_json_can_not_say_is_refused(log: TrialLog, bad) -> None:
    with pytest.raises(UserError, match="plain numbers, texts and lists"):
        log.begin(BTC, "sweep", bad)
    assert log.of(BTC) == ()


def test_trials_outlive_the_program(home: Home) -> None:
    with home.open() as database:
        digest = database.trials.begin(BTC, "sweep", {"k": 1})
    with home.open() as database:
        assert [t.digest for t in database.trials.of(BTC)] == [digest]
        assert database.trials.begin(BTC, "sweep", {"k": 1}) == digest
        assert len(database.trials.of(BTC)) == 1


def test_the_deflated_sharpe_counts_what_was_tried(log: TrialLog) -> None:
    returns = np.random.default_rng(1).normal(0.001, 0.01, 500)
    sharpe, skew, kurtosis = sharpe_moments(returns)
    alone = deflation(returns, log.of(BTC), "none")
    assert (alone.trials, alone.measured, alone.expected_best) == (1, 1, 0.0)
    for k, tried in enumerate((0.01, -0.03, 0.05)):
        log.finish(BTC, log.begin(BTC, "sweep", {"k": k}), None, tried)
    for k in range(6):
        log.fail(BTC, log.begin(BTC, "tuning", {"k": k}), "no result")
    chosen = log.begin(BTC, "sweep", {"k": "chosen"})
    log.finish(BTC, chosen, 1.0, sharpe)
    found = deflation(returns, log.of(BTC), chosen)
    assert (found.trials, found.measured) == (10, 4)
    variance = float(np.var([0.01, -0.03, 0.05, sharpe], ddof=1))
    assert found.probability == pytest.approx(deflated_sharpe(sharpe, 500, 10, variance, skew, kurtosis))
    assert found.probability < alone.probability
    assert deflation(returns, log.of(BTC)[:-1], chosen) == found  # whether or not the log has the chosen one


def test_returns_without_a_sharpe_are_deflated_to_nothing_known() -> None:
    found = deflation(np.zeros(50), (), "none")
    assert math.isnan(found.probability) and found.trials == 1
