"""Luck, tested where it is known: on forecasts that know nothing, and on forecasts that do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ai.models.evidence import BLOCK_LABELS, chance_of_luck, direction_gains, evidence
from ai.validation.scores import log_losses

BASE = np.array([0.3, 0.4, 0.3])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def some(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    p = rng.dirichlet([3.0, 4.0, 3.0], n)
    y = np.array([rng.choice([-1, 0, 1], p=row) for row in p], dtype=np.int8)
    return p, y


def test_loss_is_that_of_the_touch_and_that_of_the_side(rng: np.random.Generator) -> None:
    p, y = some(rng, 400)
    touch = np.where(y != 0, p[:, 0] + p[:, 2], p[:, 1])
    base_touch = np.where(y != 0, BASE[0] + BASE[2], BASE[1])
    whole = log_losses(np.tile(BASE, (400, 1)), y) - log_losses(p, y)
    assert direction_gains(p, y, BASE) + np.log(touch / base_touch) == pytest.approx(whole)


def test_the_chance_is_that_of_a_t_test_on_means_of_blocks(rng: np.random.Generator) -> None:
    p, y = some(rng, 10 * BLOCK_LABELS * 6)
    gains = direction_gains(p, y, BASE).reshape(10, -1).mean(axis=1)
    found = evidence(p, y, BASE, 6)
    assert found.chance == pytest.approx(stats.ttest_1samp(gains, 0.0, alternative="greater").pvalue)
    assert (found.blocks, found.gain) == (10, pytest.approx(gains.mean()))


def test_knowing_volatility_is_no_evidence(rng: np.random.Generator) -> None:
    touched = rng.random(4000) < np.repeat(rng.random(100), 40)
    y = np.where(touched, rng.choice([-1, 1], 4000), 0).astype(np.int8)
    wild = np.repeat(touched.reshape(100, 40).mean(axis=1), 40).clip(0.05, 0.95)
    p = np.column_stack([wild / 2 * 1.02, 1 - wild * 1.01, wild / 2])
    assert log_losses(p, y).mean() < 0.9 * log_losses(np.tile(BASE, (4000, 1)), y).mean()
    assert evidence(p, y, BASE, 24).chance > 0.1


@pytest.mark.parametrize(
    ("n", "labels"), [(0, [-1, 1]), (4 * BLOCK_LABELS * 24, [-1, 1]), (3000, [0])], ids=["none", "few", "no touch"]
)
def test_too_little_is_no_evidence(n: int, labels: list[int], rng: np.random.Generator) -> None:
    y = rng.choice(np.array(labels, dtype=np.int8), n)
    assert evidence(np.tile(BASE, (n, 1)) + 0.0, y, BASE, 24).chance == 1.0


@pytest.mark.parametrize(("level", "most"), [(0.05, 0.065), (0.005, 0.009)])
def test_overlapping_gains_of_nothing_pass_as_seldom_as_they_say(
    level: float, most: float, rng: np.random.Generator
) -> None:
    """Sums of 24 moves overlap like labels of 24 bars, and 3,000 rows are a usual newest fold."""
    sums = np.cumsum(rng.normal(size=(4000, 3024)), axis=1)
    gains = sums[:, 24:] - sums[:, :-24]
    passed = np.mean([chance_of_luck(row, 24)[0] < level for row in gains])
    assert level / 3 < passed < most


def test_a_forecast_that_knows_is_found(rng: np.random.Generator) -> None:
    hint = np.repeat(rng.normal(size=300), 10)
    up = 1.0 / (1.0 + np.exp(-0.8 * hint))
    y = np.where(rng.random(3000) < up, 1, -1).astype(np.int8)
    p = np.column_stack([1.0 - up, np.full(3000, 1e-9), up])
    assert evidence(p, y, np.array([0.5, 1e-9, 0.5]), 10).chance < 1e-4
