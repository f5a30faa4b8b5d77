"""Persistence is beaten in any market, since windows overlap: the control says how much of the skill that is."""

from __future__ import annotations

import numpy as np
import pytest

from ai.features.engine import FeatureEngine
from ai.features.registry import schema_of
from ai.regime_control import flipped_market, regime_report
from ai.validation.splits import Duration
from data.market import Frame
from data.synthetic import random_walk


@pytest.mark.data
def test_flipping_keeps_sizes_ranges_and_volume_and_destroys_direction(btc: Frame) -> None:
    flipped = flipped_market(btc, np.random.default_rng(1))
    size = np.abs(np.diff(np.log(btc.close)))
    np.testing.assert_allclose(np.abs(np.diff(np.log(flipped.close))), size, atol=1e-9)
    np.testing.assert_allclose(np.log(flipped.high / flipped.low), np.log(btc.high / btc.low), atol=1e-9)
    assert (flipped.low <= np.minimum(flipped.open, flipped.close) * (1 + 1e-12)).all()
    assert (flipped.high >= np.maximum(flipped.open, flipped.close) * (1 - 1e-12)).all()
    assert np.array_equal(flipped.volume, btc.volume)
    same = np.sign(np.diff(flipped.close)) == np.sign(np.diff(btc.close))
    assert same.mean() == pytest.approx(0.5, abs=0.02)
    volatility = [
        FeatureEngine(schema_of(["realised_volatility_24"]), "1h").batch(frame)[0] for frame in (btc, flipped)
    ]
    np.testing.assert_allclose(volatility[0], volatility[1], atol=1e-9)


def test_a_random_walk_beats_persistence_as_well_and_the_report_says_so() -> None:
    walk, _ = random_walk("BTCUSDT", "1h", 12_000, 5)
    report = regime_report(walk, Duration.parse("9mo"), Duration.parse("3mo"), draws=200)
    assert report.market.skill.high < 0.0
    assert report.control.skill.high < 0.0
    assert report.market.verdict.startswith("better than persistence")
    assert report.verdict.endswith("no more is known")


@pytest.mark.data
def test_the_report_of_recorded_hours_stands_beside_its_control(btc: Frame) -> None:
    report = regime_report(btc, Duration.parse("12mo"), Duration.parse("6mo"), draws=200)
    assert report.market.n == report.control.n
    assert report.market.skill.high < 0.0
    assert "coin" in report.verdict


def test_an_empty_frame_flips_to_itself(made: Frame) -> None:
    empty = made.slice(0, 0)
    assert flipped_market(empty, np.random.default_rng(1)) is empty
