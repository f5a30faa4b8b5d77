"""Members read what stands beside the candles where it is there for most of the bars, and live without it."""

from __future__ import annotations

import numpy as np
import pytest

from ai.ensemble import ENOUGH, train_ensemble
from ai.exits import exit_profile
from ai.features.registry import BESIDE_FEATURES, FUNDING_FEATURES, MODEL_FEATURES
from ai.forecast import Abstain, Col, ModelSwitch
from ai.forecaster import Forecaster, forecast_span
from ai.training import TrainingData, training_data
from data.beside import BESIDE, Beside
from data.synthetic import synthetic_market

FRAME, FUNDING = synthetic_market("BTC/USDT:USDT", "1h", 2_000, 6)
INTEREST = ("oi_change_1", "oi_change_24", "oi_zscore_96", "oi_with_price_24")


def beside(first: int) -> Beside:
    """Open interest from bar ``first`` on, nothing else."""
    known = Beside.nothing(FRAME.open_time)
    walk = np.random.default_rng(1).normal(0, 0.01, len(FRAME)).cumsum()
    known.values[BESIDE.index("open_interest"), first:] = 1e5 * np.exp(walk[first:])
    return known


def data_with(known: Beside | None) -> TrainingData:
    return training_data(FRAME, FUNDING, "swing", beside=known)


def test_what_stands_beside_is_offered_where_it_is_known_at_all() -> None:
    plain = (*MODEL_FEATURES, *FUNDING_FEATURES)
    assert data_with(None).context.features == plain
    known = data_with(beside(1_900))
    assert known.context.features == (*plain, *INTEREST)
    assert set(INTEREST) <= set(known.context.optional), "a bar without it is no reason to abstain"
    assert set(BESIDE_FEATURES) <= set(known.schema.names), "a model of another day may have read them"
    assert known.warmup == data_with(None).warmup


@pytest.mark.workers
def test_members_read_what_is_there_for_enough_of_their_own_window() -> None:
    rows = np.arange(900, 1_600, dtype=np.int64)
    border = int(rows[0] + (1 - ENOUGH) * len(rows))
    read = {}
    for first in (border - 110, border + 10):  # the z-score of 96 bars is there 96 bars later
        data = data_with(beside(first))
        read[first] = set(train_ensemble(data.x, data.labels, rows, data.context, ("logistic",), 3).features)
    assert set(INTEREST) <= read[border - 110]
    assert not set(INTEREST) & read[border + 10], "what comes after the window says nothing to it"


@pytest.mark.workers
def test_a_model_that_read_open_interest_forecasts_where_it_is_missing() -> None:
    data = data_with(beside(600))
    rows = np.arange(data.warmup, 1_600, dtype=np.int64)
    model = train_ensemble(data.x, data.labels, rows, data.context, ("logistic",), 3)
    assert set(INTEREST) <= set(model.features)
    gone = data.x.copy()
    gone[[data.schema.index(name) for name in INTEREST]] = np.nan
    switch = ModelSwitch(int(FRAME.open_time[1_700]), "m")
    said = []
    for x in (data.x, gone):
        forecaster = Forecaster({"m": model}, (switch,), data.schema, exit_profile("swing", "1h"), "1h")
        said.append(forecast_span(forecaster, FRAME, x)[1_750:])
    for forecast in said:
        assert np.isfinite(forecast[:, Col.P_LONG]).all()
        assert not (forecast[:, Col.ABSTAIN] == Abstain.MISSING).any()
    assert not np.array_equal(said[0][:, Col.P_LONG], said[1][:, Col.P_LONG]), "the model did not read it"
