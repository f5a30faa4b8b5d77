"""An ensemble of every member trains, is kept, and forecasts bar by bar what its libraries say."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from ai.ensemble import EnsembleModel, EnsembleOptions, train_ensemble
from ai.exits import exit_profile
from ai.forecast import Col, ModelSwitch, has_forecast
from ai.forecaster import Forecaster, forecast_span
from ai.models.base import finite_or_missing
from ai.models.members import MEMBERS
from ai.settings import AiSettings

EVERY = tuple(name for name in MEMBERS if name != "catboost" or importlib.util.find_spec("catboost"))


@pytest.fixture(scope="module")
def everyone(market) -> EnsembleModel:
    parameters = {"random_forest": {"trees": 30, "depth": 4}, "hist_boosting": {"rounds": 20}}
    options = EnsembleOptions(parameters, regime=False)
    return train_ensemble(market.x, market.labels, np.arange(20, 1500), market.context, EVERY, options=options)


def test_every_member_of_the_settings_can_be_trained(everyone) -> None:
    named = AiSettings.model_fields["members"].annotation
    assert all(f"'{name}'" in str(named) for name in MEMBERS)
    assert everyone.members == EVERY
    assert everyone.params["random_forest"]["params"]["trees"] == 30
    assert everyone.params["hist_boosting"]["trees"] == 60


def test_a_kept_ensemble_of_every_member_gives_the_same_bits(everyone, market, tmp_path) -> None:
    everyone.save(tmp_path / "all")
    again = EnsembleModel.load(tmp_path / "all")
    x = market.x[1:, 1600:1800].T
    assert np.array_equal(again.predict(x), everyone.predict(x))
    assert again.digest == everyone.digest
    assert all(not name.endswith((".pkl", ".pickle", ".joblib", ".cbm")) for name in everyone.files)


def test_members_in_one_pack_give_what_their_own_predict_gives(everyone, market) -> None:
    from ai.models.predictor import predict_rows

    x = finite_or_missing(market.x[1:, 1600:1900].T)
    raw = predict_rows(everyone.pack, x, calibrated=False)
    for k, name in enumerate(EVERY):
        assert np.max(np.abs(raw[k] - MEMBERS[name].of(everyone.files).predict(x))) < 1e-6, name


def test_the_service_forecasts_with_every_member(everyone, market) -> None:
    exits = exit_profile("swing", "1h")
    switch = (ModelSwitch(int(market.frame.open_time[1500]), "all"),)
    forecaster = Forecaster({"all": everyone}, switch, market.schema, exits, "1h")
    rows = forecast_span(forecaster, market.frame, market.x)
    said = rows[1600:]
    assert np.all(said[:, Col.MEMBERS] == len(EVERY))
    assert np.all(has_forecast(said))
    assert np.allclose(said[:, [Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG]].sum(axis=1), 1.0)
