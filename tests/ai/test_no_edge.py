"""Nothing is found where nothing is, and a planted edge is found at its size: the proofs of scripts/soak in short."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai.regime_control import flipped_market, turned_market
from ai.validation.walk_forward import walk_forward
from scripts.soaks.markets import knowing_auc, planted_market, random_walk, recorded_market
from scripts.soaks.proofs import Proof, planted, promotions

QUICK = Proof(train=2000, test=1000, members=("logistic", "lightgbm"), draws=400)


def test_the_bands_of_ten_random_walks_hold_one_half_in_eight_at_the_least() -> None:
    held = 0
    for seed in range(10):
        walk = random_walk(5500, seed, (0.001, 0.003, 0.01)[seed % 3], clustered=seed % 2 == 1)
        held += walk_forward(walk, None, QUICK.spec()).auc.holds(0.5)
    assert held >= 8


@pytest.mark.data
@pytest.mark.parametrize(("symbol", "timeframe"), [("BTCUSDT", "15m"), ("ETHUSDT", "1h"), ("SOLUSDT", "15m")])
def test_skill_vanishes_where_a_coin_draws_the_directions_of_a_recorded_market(
    shared_data: Path, symbol: str, timeframe: str
) -> None:
    market, funding = recorded_market(shared_data, symbol, timeframe)
    market = market.slice(len(market) - 6000, len(market))
    flipped = flipped_market(market, np.random.default_rng(4))
    assert walk_forward(flipped, funding, QUICK.spec()).auc.holds(0.5)


@pytest.mark.parametrize(("profile", "lean"), [("swing", 0.06), ("even", -0.06)])
def test_a_planted_edge_is_found_and_its_size_lies_in_the_band(profile: str, lean: float) -> None:
    base = random_walk(20_000, 1, 0.003, clustered=True)
    proof = Proof(train=8000, test=4000, members=QUICK.members, draws=400)
    found = planted(replace(proof, seeds=1, bars=20_000), lambda _line: None, None, (lean,), (profile,))["rows"][0]
    assert found["knowing_auc"] > (0.68 if profile == "swing" else 0.57)
    assert found["found"] and found["held"]
    nothing = knowing_auc(base, 0.0, profile, 5, 20)
    assert abs(float(nothing.mean()) - 0.5) < 3.5 * float(nothing.std()) / np.sqrt(len(nothing)) + 0.005


def test_no_random_walk_is_promoted_and_a_planted_edge_is() -> None:
    walk = random_walk(12_000, 3, 0.003, clustered=True)
    found = promotions(walk, None, QUICK, (0.5, 1.0))
    assert (found["candidates"], found["promoted"]) == (2, 0)
    strong = planted_market(walk, 0.15, 5)
    assert promotions(strong.frame, strong.funding, QUICK, (1.0,))["promoted"] == 1


def test_the_walks_are_walks() -> None:
    for clustered in (False, True):
        frame = random_walk(40_000, 11, 0.004, clustered=clustered)
        returns = np.diff(np.log(frame.close))
        assert returns.std() == pytest.approx(0.004, rel=0.1)
        assert abs(np.corrcoef(np.sign(returns[1:]), np.sign(returns[:-1]))[0, 1]) < 3.5 / np.sqrt(len(returns))
        assert (frame.high >= np.maximum(frame.open, frame.close)).all()
        clustering = np.corrcoef(np.abs(returns[1:]), np.abs(returns[:-1]))[0, 1]
        assert clustering > 0.15 if clustered else abs(clustering) < 0.02
    # Range of twelve normal steps with the start: Feller (1951), sqrt(8 / pi) for a Brownian motion, less at few steps.
    calm = random_walk(40_000, 11, 0.004)
    ranges = np.log(calm.high / calm.low).mean() / 0.004
    assert 0.75 * np.sqrt(8 / np.pi) < ranges < np.sqrt(8 / np.pi)


def test_a_planted_market_keeps_its_sizes_and_leans_as_it_says() -> None:
    base = random_walk(60_000, 2, 0.003, clustered=True)
    market = planted_market(base, 0.03, 9)
    before = np.concatenate([base.open[:1], base.close[:-1]])
    here = np.concatenate([market.frame.open[:1], market.frame.close[:-1]])
    moved = np.log(market.frame.close / here)
    np.testing.assert_allclose(np.abs(moved), np.abs(np.log(base.close / before)), atol=1e-12)
    np.testing.assert_allclose(np.log(market.frame.high / market.frame.low), np.log(base.high / base.low), atol=1e-12)
    side = market.state[:-1] % 2  # of the bar that comes
    for rate, share in ((1, 0.53), (0, 0.47)):
        ups = moved[1:][side == rate] > 0
        assert ups.mean() == pytest.approx(share, abs=3.5 * 0.5 / np.sqrt(len(ups)))


def test_a_market_that_is_not_turned_stays_as_it_was() -> None:
    base = random_walk(500, 2, 0.003)
    same = turned_market(base, np.ones(500))
    np.testing.assert_allclose(same.close, base.close)
    np.testing.assert_allclose(same.low, base.low)
