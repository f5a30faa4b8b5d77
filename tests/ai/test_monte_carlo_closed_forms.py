"""Monte-Carlo against closed forms of geometric Brownian motion.

Each figure is the mean over many keys (1,000 paths each) and must lie within four of its standard errors, which are
measured over the keys. The formulas take the drift and the volatility that the simulation reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, norm

from ai.monte_carlo import DrawKey, MonteCarlo, Simulation, simulate

KEYS = 300
PRICE = 250.0


def closes(drift: float, volatility: float, bars: int = 51) -> np.ndarray:
    """Closes whose last 50 log returns have exactly this mean and this standard deviation (ddof 1); the last is 250."""
    returns = np.random.default_rng(3).normal(size=bars - 1)
    returns = drift + volatility * (returns - returns.mean()) / returns.std(ddof=1)
    path = np.concatenate([[0.0], np.cumsum(returns)])
    return PRICE * np.exp(path - path[-1])


def answers(
    close: np.ndarray, simulation: Simulation, stop: float, target: float, keys: int = KEYS
) -> list[MonteCarlo]:
    return [simulate(close, DrawKey(7, 0, 60_000 * k), simulation, stop, target) for k in range(keys)]


def agrees(found: list[MonteCarlo], read: Callable[[MonteCarlo], float], exact: float, bias: float = 0.0) -> None:
    values = np.array([read(answer) for answer in found])
    error = values.std(ddof=1) / math.sqrt(len(values))
    assert abs(values.mean() - exact) <= 4.0 * error + bias, (values.mean(), exact, error)


def touch_ever(drift: float, volatility: float, below: float, above: float) -> float:
    """P(a drifted Brownian motion meets ``above`` before ``-below``), no time limit: its scale function.

    Borodin & Salminen, Handbook of Brownian Motion, part II, Brownian motion with drift, 3.0 (first exit).
    """
    if drift == 0.0:
        return below / (below + above)
    k = 2.0 * drift / volatility**2
    return math.expm1(-k * below) / math.expm1(-k * (below + above))


def touch_by(drift: float, volatility: float, below: float, above: float, time: float) -> float:
    """The same within ``time``: what happens ever, less the eigenfunction series of what happens later.

    Darling & Siegert, The First Passage Problem for a Continuous Markov Process, Ann. Math. Stat. 24, 1953; Borodin &
    Salminen, part II, Brownian motion with drift, 3.0.
    """
    width, v = below + above, volatility**2
    later = 0.0
    for k in range(1, 400):
        rate = 0.5 * drift**2 / v + 0.5 * v * (k * math.pi / width) ** 2
        weight = k * math.pi * v / width**2 * (-1.0) ** (k + 1) * math.sin(k * math.pi * below / width)
        later += weight * math.exp(-rate * time) / rate
    return touch_ever(drift, volatility, below, above) - math.exp(drift * above / v) * later


def touch_by_images(drift: float, volatility: float, below: float, above: float, time: float) -> float:
    """The same once more: the density of the first exit as a sum of images (Borodin & Salminen, ss_t), integrated."""
    width = below + above

    def density(t: float) -> float:
        s = t * volatility**2
        images = (above + 2 * k * width for k in range(-40, 41))
        total = sum(d * math.exp(-(d**2) / (2 * s)) for d in images) / math.sqrt(2 * math.pi * s**3) * volatility**2
        return math.exp(drift * above / volatility**2 - 0.5 * drift**2 * t / volatility**2) * total

    return quad(density, 0.0, time, limit=400, epsabs=1e-11)[0]


@pytest.mark.parametrize(
    ("drift", "below", "above", "time"), [(0.0, 2.0, 3.0, 5.0), (0.3, 1.0, 2.5, 8.0), (-0.2, 4.0, 1.0, 24.0)]
)
def test_the_two_forms_of_the_finite_touch_probability_agree(
    drift: float, below: float, above: float, time: float
) -> None:
    assert touch_by(drift, 1.0, below, above, time) == pytest.approx(
        touch_by_images(drift, 1.0, below, above, time), abs=1e-8
    )
    assert touch_by(drift, 1.0, below, above, 1e4) == pytest.approx(touch_ever(drift, 1.0, below, above), abs=1e-9)


# drift, volatility, stop and target in standard deviations of one bar, bars
CASES = [
    (0.0, 0.01, 1.5, 3.75, 24),
    (0.0004, 0.004, 3.0, 7.5, 24),
    (-0.0006, 0.004, 3.0, 3.0, 60),
    (0.001, 0.002, 5.0, 15.0, 60),
    (0.0, 0.003, 2.0, 2.0, 4),
    (0.0002, 0.003, 1.9, 1.9, 4),
    (0.0005, 0.01, 0.7, 1.0, 12),
    (-0.002, 0.01, 0.25, 0.5, 3),
    (0.0, 0.01, 1.0, 3.0, 1),
]


@pytest.mark.parametrize(("drift", "volatility", "stop", "target", "horizon"), CASES)
def test_touch_probabilities_agree_with_the_closed_form_in_finite_time(
    drift: float, volatility: float, stop: float, target: float, horizon: int
) -> None:
    close = closes(drift, volatility)
    stop_price, target_price = PRICE * stop * volatility, PRICE * target * volatility
    found = answers(close, Simulation(horizon, band_steps=()), stop_price, target_price)
    up = [math.log1p(distance / PRICE) for distance in (stop_price, target_price)]
    down = [-math.log1p(-distance / PRICE) for distance in (stop_price, target_price)]
    bias = 2e-4  # of barriers four or more step deviations apart, see ai/monte_carlo_paths.py
    agrees(found, lambda a: a.long.target, touch_by(drift, volatility, down[0], up[1], horizon), bias)
    agrees(found, lambda a: a.long.stop, touch_by(-drift, volatility, up[1], down[0], horizon), bias)
    agrees(found, lambda a: a.short.target, touch_by(-drift, volatility, up[0], down[1], horizon), bias)
    agrees(found, lambda a: a.short.stop, touch_by(drift, volatility, down[1], up[0], horizon), bias)


def test_a_long_horizon_agrees_with_the_closed_form_without_a_time_limit() -> None:
    drift, volatility = 0.0005, 0.01
    found = answers(closes(drift, volatility), Simulation(400, band_steps=()), 0.02 * PRICE, 0.03 * PRICE)
    exact = touch_ever(drift, volatility, -math.log(0.98), math.log(1.03))
    agrees(found, lambda a: a.long.target, exact, 2e-4)
    agrees(found, lambda a: a.long.neither, 0.0, 1e-12)


def test_watching_the_closes_alone_would_not_agree() -> None:
    """The test above can fail: without what happens between the closes the probability is far off its band."""
    drift, volatility, below, above, horizon = 0.0, 0.01, 0.015, 0.0375, 24
    steps = drift + volatility * np.random.default_rng(5).normal(size=(200_000, horizon))
    path = np.cumsum(steps, axis=1)
    hit_up, hit_down = path >= above, path <= -below
    first_up = np.where(hit_up.any(axis=1), hit_up.argmax(axis=1), horizon)
    first_down = np.where(hit_down.any(axis=1), hit_down.argmax(axis=1), horizon)
    stopped = (first_down < first_up).mean()
    assert touch_by(-drift, volatility, above, below, horizon) - stopped > 0.03


def test_symmetric_barriers_without_drift_are_met_equally_often() -> None:
    volatility = 0.01
    close = closes(0.0, volatility)
    # equal in log price: the stop is a little nearer in price
    target = PRICE * math.expm1(0.025)
    stop = -PRICE * math.expm1(-0.025)
    found = answers(close, Simulation(30, band_steps=()), stop, target)
    agrees(found, lambda a: a.long.target - a.long.stop, 0.0)
    agrees(found, lambda a: a.up, 0.5)


@pytest.mark.parametrize(("drift", "volatility", "horizon"), [(0.0, 0.01, 1), (0.0007, 0.005, 24), (-0.001, 0.004, 60)])
def test_up_probability_and_expected_price_agree_with_the_lognormal(
    drift: float, volatility: float, horizon: int
) -> None:
    found = answers(closes(drift, volatility), Simulation(horizon, band_steps=()), math.nan, math.nan)
    assert found[0].drift == pytest.approx(drift, abs=1e-12)
    assert found[0].volatility == pytest.approx(volatility, rel=1e-9)
    # mirrored paths say 0.5 of a walk without drift whatever is drawn: then only rounding is left
    agrees(found, lambda a: a.up, float(norm.cdf(drift * math.sqrt(horizon) / volatility)), 1e-12)
    agrees(found, lambda a: a.expected, PRICE * math.exp(horizon * (drift + 0.5 * volatility**2)))


def test_bands_are_the_quantiles_of_the_lognormal_at_every_step() -> None:
    drift, volatility, horizon = 0.0005, 0.01, 30
    found = answers(closes(drift, volatility), Simulation(horizon), math.nan, math.nan)
    logs = np.log(np.array([answer.bands for answer in found]) / PRICE)  # [keys, steps, levels]
    time = np.arange(1, horizon + 1)[:, None]
    exact = drift * time + volatility * np.sqrt(time) * norm.ppf([0.025, 0.05, 0.15, 0.85, 0.95, 0.975])
    error = logs.std(axis=0, ddof=1) / math.sqrt(KEYS)
    # a sample quantile of 1,000 is off by O(1/1000) deviations in the mean; 4.5: the largest of 180 figures
    assert (np.abs(logs.mean(axis=0) - exact) <= 4.5 * error + 0.004 * volatility * np.sqrt(time)).all()


def test_bands_equal_the_sorted_values_within_one_counter() -> None:
    """Counting instead of sorting: at one step the bands are numpy's quantiles of the very same paths."""
    from ai.monte_carlo_draws import start_of
    from ai.monte_carlo_paths import LEVELS, walk_normal

    end, shares, bands = np.empty(1000), np.empty((2, 2)), np.empty((1, 6))
    for k in range(50):
        start = np.uint64(start_of(7, 0, k))
        walk_normal(start, 0.001, 0.02, 9, np.full((2, 2), np.nan), np.array([9]), shares, bands, end)
        slot = 2 * 4.5 * 0.02 * 3.0 / 512
        assert np.abs(bands[0] - np.quantile(end, LEVELS)).max() < slot


def test_standard_errors_are_those_that_are_stated() -> None:
    found = answers(closes(0.0003, 0.01), Simulation(24, band_steps=()), 0.03 * PRICE, 0.05 * PRICE, 1000)
    for read, factor in (
        (lambda a: a.up, 1.0), (lambda a: a.long.target, 1.0), (lambda a: a.long.stop, 1.0),
        (lambda a: a.short.target, 1.0), (lambda a: a.short.stop, 1.0), (lambda a: a.long.neither, math.sqrt(2.0)),
    ):  # fmt: skip
        values = np.array([read(answer) for answer in found])
        p = values.mean()
        assert 0.02 < p < 0.98
        assert values.std(ddof=1) <= 1.1 * factor * binom.std(1000, p) / 1000
