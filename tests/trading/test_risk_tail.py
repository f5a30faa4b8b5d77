"""Value at risk, expected shortfall and correlation against published examples, scipy, numpy and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from data.market import Float64Array
from trading.risk.history import RING, correlation, own_returns, portfolio_returns
from trading.risk.tail import ES_LEVEL, ES_Z, METHODS, VAR_LEVEL, VAR_Z, tail

HISTORICAL, NORMAL, CORNISH_FISHER = range(3)


def sample(days: int, seed: int = 3) -> Float64Array:
    """Skewed returns with heavy tails."""
    rng = np.random.default_rng(seed)
    return rng.standard_t(6, days) * 0.02 - 0.01 * rng.exponential(0.5, days)


def test_levels_are_those_of_the_definitions() -> None:
    assert METHODS == ("historical", "normal", "cornish-fisher")
    assert pytest.approx(stats.norm.ppf([VAR_LEVEL, ES_LEVEL]), abs=1e-14) == [VAR_Z, ES_Z]


@pytest.mark.parametrize("days", [60, 90, 100, 250, 365, 400])
def test_historical_risk_is_numpys_quantile_and_the_mean_of_the_tail(days: int) -> None:
    x = sample(days)
    at_risk, shortfall = tail(x, days, HISTORICAL)
    assert at_risk == pytest.approx(-np.quantile(x, 0.01), rel=1e-12)
    mass, worst = days * 0.025, np.sort(x)
    whole = int(mass)
    expected = -(worst[:whole].sum() + (mass - whole) * worst[whole]) / mass
    assert shortfall == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("days", [60, 93, 250, 365, 500])
def test_historical_shortfall_is_the_least_of_rockafellar_and_uryasevs_function(days: int) -> None:
    """Rockafellar & Uryasev 2000, "Optimization of conditional value-at-risk", theorem 1: ES = min over c of
    c + E[max(loss - c, 0)] / (1 - level); the least lies at one of the losses."""
    loss = -sample(days, seed=days)
    least = min(c + np.maximum(loss - c, 0.0).mean() / 0.025 for c in loss)
    assert tail(-loss, days, HISTORICAL)[1] == pytest.approx(least, rel=1e-12)


def test_historical_shortfall_of_a_whole_tail_is_the_mean_of_the_worst() -> None:
    """Acerbi & Tasche 2002: with a·n a whole number, the average of the a·n worst outcomes: 5 of 200 here."""
    x = np.linspace(-0.2, 0.199, 200)
    assert tail(x, 200, HISTORICAL)[1] == pytest.approx(-np.mean(x[:5]))


def test_normal_risk_is_that_of_hulls_microsoft_example() -> None:
    """Hull, "Options, Futures, and Other Derivatives", 20.4: 10 million USD of a share with 2 % a day: VaR 99 % of a
    day is 465,300 USD (2.326 standard deviations). Normal ES at 97.5 % is 2.338 standard deviations (Basel 2013)."""
    days = 400
    x = stats.norm.ppf((np.arange(days) + 0.5) / days)
    x = 0.02 * (x - x.mean()) / x.std(ddof=1)
    at_risk, shortfall = tail(x, days, NORMAL)
    assert 10e6 * at_risk == pytest.approx(465_300, rel=2e-4)
    assert shortfall == pytest.approx(0.02 * 2.338, rel=2e-4)
    assert shortfall == pytest.approx(0.02 * stats.norm.pdf(ES_Z) / ES_LEVEL, rel=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_cornish_fisher_is_the_expansion_and_its_mean_over_the_tail(seed: int) -> None:
    """Against scipy's moments and quadrature."""
    x = sample(250, seed)
    skew, kurtosis = stats.skew(x), stats.kurtosis(x)

    def quantile(level: float) -> float:
        z = stats.norm.ppf(level)
        bent = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
        return float(x.mean() + x.std(ddof=1) * bent)

    at_risk, shortfall = tail(x, 250, CORNISH_FISHER)
    assert at_risk == pytest.approx(-quantile(0.01), rel=1e-10)
    mean, _ = integrate.quad(quantile, 0.0, 0.025)
    assert shortfall == pytest.approx(-mean / 0.025, rel=1e-6)


def test_cornish_fisher_bends_the_quantile_term_by_term() -> None:
    """With skewness -1 and excess kurtosis 3 the 1 % quantile is -2.326 - 0.735 - 0.701 + 0.376 = -3.387."""
    from trading.risk.tail import _quantile

    z = VAR_Z
    assert _quantile(z, -1.0, 3.0) == pytest.approx(-2.3263 - 0.7353 - 0.7014 + 0.3764, abs=1e-3)
    assert _quantile(z, 0.0, 0.0) == z


def test_returns_that_never_lose_have_no_risk() -> None:
    for method in range(3):
        assert tail(np.linspace(0.01, 0.011, 100), 100, method) == (0.0, 0.0)


def test_correlation_is_pandas_over_the_last_ninety_days_in_common() -> None:
    rng = np.random.default_rng(1)
    count = RING + 37
    x = rng.normal(size=(2, count)) @ np.eye(count)
    x[1] += 0.7 * x[0]
    x[0, 500:505] = np.nan
    ring = np.full((2, RING), np.nan)
    for day in range(count):
        ring[:, day % RING] = x[:, day]
    frame = pd.DataFrame(x.T[-90:])
    assert correlation(ring, count, 0, 1) == pytest.approx(frame[0].corr(frame[1]), rel=1e-12)
    assert np.isnan(correlation(ring, 20, 0, 1))


def test_a_portfolios_day_counts_where_all_its_symbols_have_one() -> None:
    ring = np.full((3, RING), np.nan)
    ring[0, :5], ring[1, :5] = [0.01, 0.02, np.nan, 0.04, 0.05], [0.1, np.nan, 0.3, 0.4, 0.5]
    positions = np.zeros(3, dtype=[("weight", "<f8")])
    positions["weight"] = [1.0, -0.5, 0.0]
    out = np.empty(RING)
    n = portfolio_returns(ring, 5, 4, positions, out)
    assert n == 2 and out[:2].tolist() == pytest.approx([0.05 - 0.25, 0.04 - 0.2])
    assert own_returns(ring, 5, 4, 1, -1.0, out) == 3 and out[:3].tolist() == [-0.5, -0.4, -0.3]
