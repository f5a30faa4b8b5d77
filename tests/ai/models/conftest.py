"""A small market with a little signal, and an ensemble trained on its first part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ai.ensemble import EnsembleModel, TrainingContext, train_ensemble
from ai.exits import ExitProfile, exit_profile
from ai.labels import Labels, stop_distances, triple_barrier
from ai.schema import FeatureSchema
from data.market import Frame, SeriesKey

START = 1_600_000_000_000
HOUR = 3_600_000
NAMES = ("atr_14", "trend", "noise_1", "noise_2", "funding_rate")


@dataclass(frozen=True)
class SmallMarket:
    frame: Frame
    x: np.ndarray
    labels: Labels
    schema: FeatureSchema
    profile: ExitProfile
    context: TrainingContext


def small_market(bars: int = 3000, seed: int = 5) -> SmallMarket:
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.normal(0.0, 0.004, bars // 30 + 1), 30)[:bars]
    close = 100.0 * np.exp(np.cumsum(drift * 0.4 + rng.normal(0.0, 0.01, bars)))
    open_ = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.001, bars))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0.0, 0.004, bars)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0.0, 0.004, bars)))
    span = np.convolve(high - low, np.ones(14) / 14.0)[:bars]
    x = np.vstack([span, drift, *rng.normal(size=(2, bars)), np.where(np.arange(bars) % 8 == 0, 1e-4, np.nan)])
    x[:, :20] = np.nan  # the warm-up
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
    times = START + HOUR * np.arange(bars, dtype=np.int64)
    frame = Frame.of(key, times, open_, high, low, close, np.ones(bars))
    profile = exit_profile("swing", "1h")
    distance = stop_distances(profile, frame.close, x[0])
    labels = triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile)
    schema = FeatureSchema(NAMES)
    context = TrainingContext(
        schema, times, "swing", "1h", key.symbol, ("trend", "noise_1", "noise_2", "funding_rate"), ("funding_rate",)
    )
    return SmallMarket(frame, x, labels, schema, profile, context)


@pytest.fixture(scope="session")
def market() -> SmallMarket:
    return small_market()


@pytest.fixture(scope="session")
def model(market: SmallMarket) -> EnsembleModel:
    return train_ensemble(market.x, market.labels, np.arange(20, 1500), market.context)
