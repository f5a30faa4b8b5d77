"""A made market of four-hour bars with gaps, what a training reads of it, and a model with a whole overlay."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

from ai.ensemble import EnsembleModel, EnsembleOptions, train_ensemble
from ai.exits import exit_profile
from ai.forecast import Extra, ModelSwitch
from ai.forecaster import Forecaster, forecast_span
from ai.meta import MetaModel
from ai.training import TrainingData, training_data
from data.market import Frame
from data.synthetic import synthetic_market

ALL = EnsembleOptions(meta_model=True, regime_filter=True, adaptive_threshold=True)
TRAINED = 3_600  # first bar after the training
MEMBERS = ("logistic",)


@dataclass(frozen=True)
class Made:
    frame: Frame
    data: TrainingData
    model: EnsembleModel

    def forecaster(self, *switches: tuple[int, str], **models: EnsembleModel) -> Forecaster:
        """With these models from these bars on."""
        schedule = tuple(ModelSwitch(int(self.frame.open_time[t]), name) for t, name in switches)
        timeframe = self.frame.key.timeframe
        return Forecaster(models, schedule, self.data.schema, exit_profile("swing", timeframe), timeframe)


def trained(data: TrainingData, last: int = TRAINED, options: EnsembleOptions = ALL) -> EnsembleModel:
    return train_ensemble(data.x, data.labels, np.arange(data.warmup, last), data.context, MEMBERS, options=options)


@pytest.fixture(scope="session")
def market() -> Made:
    frame, _ = synthetic_market("BTCUSDT", "4h", 4_200, 3)
    frame = frame.take(np.setdiff1d(np.arange(4_200), [800, 801, 1_500, 3_900, 3_901]))
    data = training_data(frame, None, "swing")
    return Made(frame, data, choosy(Made(frame, data, trained(data))))


def choosy(made: Made) -> EnsembleModel:
    """The model with a meta-model that skips every other trade of what comes after the training."""
    overlay = made.model.overlay
    assert overlay is not None and overlay.meta is not None
    rows = forecast_span(made.forecaster((TRAINED, "a"), a=made.model), made.frame, made.data.x)
    meta = MetaModel.of(overlay.meta.files())
    meta.loss = float(np.nanmedian(rows[TRAINED:, Extra.TAKE]))
    meta.win = 1.0 - meta.loss
    return dataclasses.replace(made.model, overlay=dataclasses.replace(overlay, meta=meta))
