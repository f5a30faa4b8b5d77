"""Forecasts that turn out worse than announced make the size fall by itself; sound ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from ai.exits import exit_profile
from ai.guard_live import (
    BINS,
    LABELS,
    LIVE,
    LIVES,
    LOSS,
    SMALLEST,
    SURPRISE,
    VARIANCE,
    begin,
    calibration_error,
    count,
    effective,
    limit_of,
    size_factor,
)  # fmt: skip
from ai.labels import triple_barrier
from ai.validation.scores import calibration_error as scored_error
from ai.validation.scores import log_losses

PROFILE = exit_profile("even", "1h")
HELD = (0.0, 0.3, 0.03)  # gap, variance, error of a held-back slice of some 300 independent labels


def empty() -> tuple[np.ndarray, np.ndarray]:
    live, bins = np.zeros(LIVE), np.ones((3, BINS, 3))
    begin(live, bins, 0, 0)
    return live, bins


def told_of(p) -> np.ndarray:
    return np.array([*p, np.nan, np.nan, np.nan, np.nan])


def walk_labels(seed: int, bars: int):
    """Barrier labels of a random walk whose drift, which a forecaster can know, changes every 100 bars."""
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.choice([-1, 0, 1], bars // 100), 100)
    close = 100.0 * np.exp(np.cumsum(0.004 * drift * 0.5 + rng.normal(0.0, 0.004, len(drift))))
    open_ = np.concatenate([[100.0], close[:-1]])
    wick = 1.0 + np.abs(rng.normal(0.0, 0.002, len(drift)))
    high, low = np.maximum(open_, close) * wick, np.minimum(open_, close) / wick
    return triple_barrier(open_, high, low, close, 0.008 * close, PROFILE), drift


def shares() -> np.ndarray:
    """Class shares for each drift, from a long walk: what a perfectly calibrated forecaster says."""
    labels, drift = walk_labels(99, 60_000)
    known = labels.complete
    return np.array([[np.mean(labels.label[known & (drift == d)] == y) for y in (-1, 0, 1)] for d in (-1, 0, 1)])


SHARES = shares()


def sizes(seed: int, bars: int, wrong: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Size after each label; between the bars ``wrong`` the forecaster takes up for down."""
    labels, drift = walk_labels(seed, bars)
    live, bins = empty()
    known = np.flatnonzero(labels.complete)
    out = []
    for i in known[np.argsort(labels.end[known], kind="stable")]:
        p = SHARES[drift[i] + 1]
        p = p[::-1] if wrong[0] <= i < wrong[1] else p
        count(live, bins, told_of(p), int(labels.label[i]) + 1, int(labels.end[i] - i))
        out.append(size_factor(live, *HELD))
    return np.array(out)


def test_sound_forecasts_keep_the_whole_size_in_95_of_100_seeds_however_often_one_looks() -> None:
    lowest = np.array([sizes(seed, 2000).min() for seed in range(100)])
    assert np.mean(lowest == 1.0) >= 0.95


@pytest.mark.parametrize("seed", range(4))
def test_forecasts_that_go_bad_shrink_the_size_and_better_ones_bring_it_back(seed) -> None:
    found = sizes(seed, 8000, (500, 1500))
    assert found[:480].min() == 1.0
    assert found[1400] < 0.6
    assert found[-1] > found[1480] + 0.2
    assert found.min() >= SMALLEST
    assert np.abs(np.diff(found)).max() < 0.15  # it moves continuously


def test_a_worse_held_back_score_is_the_measure_and_a_better_one_asks_for_no_more_than_calibration() -> None:
    live, bins = empty()
    rng = np.random.default_rng(0)
    for _ in range(400):  # announces 0.6, comes true in 0.45
        count(live, bins, told_of([0.2, 0.2, 0.6]), 2 if rng.random() < 0.45 else int(rng.integers(2)), 1)
    assert size_factor(live, 0.0, 0.3, 0.03) < 1.0
    assert size_factor(live, 0.2, 0.3, 0.03) == 1.0
    assert size_factor(live, -0.2, 0.3, 0.03) == size_factor(live, 0.0, 0.3, 0.03)


@pytest.mark.kernel
@pytest.mark.nojit
def test_the_sums_are_those_of_the_scores_room() -> None:
    rng = np.random.default_rng(4)
    p = rng.dirichlet([1.0, 1.0, 1.0], 500)
    y = rng.integers(-1, 2, 500).astype(np.int8)
    live, bins = empty()
    for row, label in zip(p, y, strict=True):
        count(live, bins, told_of(row), int(label) + 1, 8)
    losses = log_losses(p, y)
    entropy = -(p * np.log(p)).sum(axis=1)
    assert live[LABELS] == 500
    assert effective(live) == pytest.approx(500 / 8)
    assert live[LIVES] == 4000
    assert live[LOSS] == pytest.approx(losses.sum())
    assert live[SURPRISE] == pytest.approx((losses - entropy).sum())
    assert live[VARIANCE] == pytest.approx(((p * np.log(p) ** 2).sum(axis=1) - entropy**2).sum())
    assert calibration_error(bins) == pytest.approx(scored_error(p, y))


def test_the_limit_is_the_normal_mixture_boundary() -> None:
    """A Brownian motion crosses it in at most 5 of 100 runs however long (Robbins 1970), and in no fewer than 2."""
    rng = np.random.default_rng(6)
    variance, crossed = 0.3, 0
    for _ in range(1000):
        sums = np.cumsum(rng.normal(0.0, np.sqrt(variance), 1500))
        live = np.zeros(LIVE)
        for n in (25, 50, 100, 200, 400, 800, 1500, *range(30, 1500, 30)):
            live[LABELS], live[LIVES], live[VARIANCE] = n, n, n * variance
            if sums[n - 1] / n > limit_of(live, variance, 0.0):
                crossed += 1
                break
    assert 0.01 <= crossed / 1000 <= 0.06


@pytest.mark.kernel
@pytest.mark.nojit
def test_few_labels_never_shrink_the_size() -> None:
    live, bins = empty()
    for _ in range(100):
        count(live, bins, told_of([0.98, 0.01, 0.01]), 2, 6)
    assert effective(live) < 20.0
    assert size_factor(live, *HELD) == 1.0
    assert calibration_error(np.zeros((3, BINS, 3))) is None
