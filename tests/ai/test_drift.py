"""Drift alarms: rare where the market goes on as it was, certain where it does not; distances as scipy has them."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from ai.drift import DRIFT_FILE, WINDOWS, Reference, distance, reference_of, score_drift, with_reference
from ai.ensemble import EnsembleModel
from ai.training import training_data
from data.synthetic import random_walk, synthetic_market

Array = npt.NDArray[np.float64]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("ties", [False, True])
def test_the_distance_is_that_of_kolmogorov_and_smirnov(ties: bool, rng: np.random.Generator) -> None:
    for n, m in ((500, 65), (48, 65), (7, 3)):
        values, quantiles = rng.normal(size=n), np.sort(rng.normal(0.3, 1.4, size=m))
        if ties:
            values, quantiles = np.round(values), np.round(quantiles)
        assert distance(values, quantiles) == pytest.approx(stats.ks_2samp(values, quantiles).statistic, abs=1e-12)


def test_a_feature_that_is_hardly_known_has_no_distance(rng: np.random.Generator) -> None:
    values = rng.normal(size=100)
    values[:30] = np.nan
    assert np.isnan(distance(values, np.linspace(-2.0, 2.0, 65)))
    assert np.isnan(distance(np.full(10, np.nan), np.linspace(-2.0, 2.0, 65)))


def slow(rng: np.random.Generator, features: int, bars: int) -> Array:
    """Features like real ones: slow in time (half-life 14 bars), several of them nearly the same."""
    noise = rng.normal(size=(features // 3, bars + 200))
    for t in range(1, bars + 200):
        noise[:, t] = 0.95 * noise[:, t - 1] + np.sqrt(1 - 0.95**2) * noise[:, t]
    base = noise[:, 200:]
    return np.concatenate([base, base + 0.3 * rng.normal(size=base.shape), np.exp(base)])


def test_without_drift_one_look_in_forty_alarms_at_most(rng: np.random.Generator) -> None:
    """90 features, correlated in time and with each other; 300 looks, 1/41 of which is 7 (binomial 99 %: 14)."""
    alarms = looks = 0
    for _ in range(30):
        x = slow(rng, 90, 50 * 100)
        reference = reference_of(x[:, : 40 * 100], [f"f{k}" for k in range(90)])
        assert reference is not None and reference.window_bars == 100
        for k in range(40, 50):
            alarms += reference.look(x[:, 100 * k : 100 * (k + 1)]).alarm
            looks += 1
    assert looks == 300
    assert alarms <= 14


@pytest.mark.parametrize("market", [random_walk, synthetic_market], ids=["walk", "regimes"])
def test_the_real_features_of_a_market_that_goes_on_rarely_alarm(market) -> None:
    alarms = looks = 0
    for seed in range(4):
        frame, funding = market("BTC/USDT:USDT", "15m", 13_000, seed)
        data = training_data(frame, funding, "swing")
        x, names = data.x[:, data.warmup :], data.schema.names
        reference = reference_of(x[:, :10_000], names)
        assert reference is not None
        for first in range(10_000, x.shape[1] - reference.window_bars, reference.window_bars):
            alarms += reference.look(x[:, first : first + reference.window_bars]).alarm
            looks += 1
    assert looks >= 30
    assert alarms <= 3


def test_a_market_four_times_as_wild_alarms_and_names_features(rng: np.random.Generator) -> None:
    x = slow(rng, 90, 4_100)
    names = [f"f{k}" for k in range(90)]
    reference = reference_of(x[:, :4_000], names)
    assert reference is not None
    found = reference.look(4.0 * x[:, 4_000:])
    assert found.alarm and len(found.moved) > 25
    assert found.moved[0] in found.sentence and "of 90 features lie further from their training" in found.sentence
    one = x[:, 4_000:].copy()
    one[5] += 9.0
    alone = reference.look(one)
    assert alone.moved[0] == "f5", "the farthest is named first"
    assert not alone.alarm, "one feature of ninety leads somewhere in training as well"


def test_the_reference_comes_back_from_a_models_files(rng: np.random.Generator) -> None:
    x = slow(rng, 30, WINDOWS * 60)
    x[4] = np.nan
    x[5] = 1.0
    reference = reference_of(x, [f"f{k}" for k in range(30)])
    assert reference is not None
    again = Reference.of({DRIFT_FILE: reference.file()})
    assert again is not None
    newest = slow(rng, 30, 60)
    assert again.look(newest) == reference.look(newest)
    assert reference.look(newest).features == 28, "unknown and constant features take no part"
    assert Reference.of({}) is None
    assert reference_of(x[:, :1_000], [f"f{k}" for k in range(30)]) is None, "too short a training has none"


def test_a_model_keeps_what_its_training_knew(rng: np.random.Generator) -> None:
    x = slow(rng, 9, WINDOWS * 50 + 10)
    bare = dataclasses.make_dataclass("Bare", [("features", tuple), ("files", dict)], frozen=True)
    model: EnsembleModel = bare(("f2", "f0"), {"a": b"1"})
    kept = with_reference(model, x, [f"f{k}" for k in range(9)], np.arange(10, x.shape[1]))
    found = Reference.of(kept.files)
    assert found is not None and found.features == ("f2", "f0") and kept.files["a"] == b"1"
    assert found.quantiles[0] == pytest.approx(np.quantile(x[2, 10:], np.linspace(0, 1, 65)), rel=1e-5)


def overlapping(rng: np.random.Generator, n: int, limit: int) -> Array:
    """Excess losses of labels that live ``limit`` bars: moving sums, mean zero, deviation 0.3 nats."""
    sums = np.cumsum(rng.normal(size=n + limit))
    return 0.3 * (sums[limit:] - sums[:-limit]) / np.sqrt(limit)


def test_scores_that_stay_as_they_are_hardly_ever_alarm(rng: np.random.Generator) -> None:
    alarms = sum(score_drift(overlapping(rng, 5_000, 24), 24).alarm for _ in range(60))
    assert alarms <= 3


def test_scores_that_get_worse_alarm_and_better_ones_do_not(rng: np.random.Generator) -> None:
    step = np.where(np.arange(5_000) < 2_500, -0.05, 0.35)
    worse = score_drift(overlapping(rng, 5_000, 24) + step, 24)
    assert worse.alarm and worse.since > worse.before + 0.2
    assert 95 <= worse.since_blocks <= 113, "the turn lies in the middle"
    assert "rose from" in worse.sentence
    better = score_drift(overlapping(rng, 5_000, 24) - step, 24)
    assert not better.alarm


def test_few_scores_say_nothing() -> None:
    assert not score_drift(np.ones(30), 24).alarm
    assert not score_drift(np.empty(0), 24).alarm
