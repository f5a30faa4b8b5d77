"""Every kind of model, as parameters of a test; CatBoost only where it is installed."""

from __future__ import annotations

import importlib.util

import pytest

from ai.models.boosting import LightgbmModel, XgboostModel
from ai.models.cat_boosting import CatboostModel
from ai.models.forest import RandomForestModel
from ai.models.hist_boosting import HistBoostingModel
from ai.models.linear import LogisticModel

needs_catboost = pytest.mark.skipif(
    importlib.util.find_spec("catboost") is None, reason="CatBoost is not installed (requirements-boost.txt)"
)
KINDS = (
    LogisticModel, RandomForestModel, HistBoostingModel, XgboostModel, LightgbmModel,
    pytest.param(CatboostModel, marks=needs_catboost),
)  # fmt: skip
