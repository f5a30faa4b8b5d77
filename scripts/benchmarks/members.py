"""The members of the P9 rows: each trained by default, beside what its library offers for one row."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai.models.base import Model
from data.market import Float64Array

Predict = Callable[[Float64Array], Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """A trained member, and its library's way to one row."""

    model: Model
    title: str
    peer: Predict
    calls: int  # of the peer, in one measurement
    note: str
    oracle: Predict  # probabilities of the library, all three classes


def members(x: Float64Array, y: Any, weight: Float64Array) -> Iterator[Peer]:
    """Boosted members and the forest on ``x[n, F]``; CatBoost where it is installed."""
    yield _xgboost(x, y, weight)
    yield _lightgbm(x, y, weight)
    yield _hist_boosting(x, y, weight)
    yield _forest(x, y, weight)
    if importlib.util.find_spec("catboost") is not None:
        yield _catboost(x, y, weight)


def _trees(model: Model, words: str = "the same on both sides") -> str:
    return f"{len(model.table().trees)} trees, {words}"


def _xgboost(x: Float64Array, y: Any, weight: Float64Array) -> Peer:
    import xgboost

    from ai.models.boosting import XgboostModel

    model = XgboostModel()
    model.fit(x, y, weight)
    booster = xgboost.Booster()
    booster.load_model(bytearray(model.text or b""))
    title = f"xgboost {xgboost.__version__} inplace_predict"
    return Peer(model, title, booster.inplace_predict, 500, _trees(model), model.predict)


def _lightgbm(x: Float64Array, y: Any, weight: Float64Array) -> Peer:
    import lightgbm

    from ai.models.boosting import LightgbmModel

    model = LightgbmModel()
    model.fit(x, y, weight)
    p = model.parameters
    classifier = lightgbm.LGBMClassifier(
        n_estimators=p.rounds, num_leaves=2**p.depth, learning_rate=p.learning_rate, min_child_weight=p.min_leaf,
        reg_lambda=p.l2, max_bin=p.bins - 1, n_jobs=1, verbose=-1,
    )  # fmt: skip
    classifier.fit(x, y)
    title = f"lightgbm {lightgbm.__version__} scikit API"
    words = "the peer as many of the same size"
    return Peer(model, title, classifier.predict_proba, 50, _trees(model, words), model.predict)


def _hist_boosting(x: Float64Array, y: Any, weight: Float64Array) -> Peer:
    import sklearn

    from ai.models.hist_boosting import HistBoostingModel, boost_histograms

    model = HistBoostingModel()
    model.fit(x, y, weight)
    theirs = boost_histograms(model.parameters, x, np.searchsorted(model.columns, y.astype(np.int64) + 1), weight)
    title = f"scikit-learn {sklearn.__version__} predict_proba"
    return Peer(model, title, theirs.predict_proba, 50, _trees(model), theirs.predict_proba)


def _forest(x: Float64Array, y: Any, weight: Float64Array) -> Peer:
    import sklearn

    from ai.models.forest import RandomForestModel, grow_forest

    model = RandomForestModel()
    model.fit(x, y, weight)
    theirs = grow_forest(model.parameters, x, y, weight)
    title = f"scikit-learn {sklearn.__version__} predict_proba"
    return Peer(model, title, theirs.predict_proba, 20, _trees(model), theirs.predict_proba)


def _catboost(x: Float64Array, y: Any, weight: Float64Array) -> Peer:
    import catboost

    from ai.models.cat_boosting import CatboostModel, boost_symmetric

    model = CatboostModel()
    model.fit(x, y, weight)
    theirs = boost_symmetric(model.parameters, x, np.searchsorted(model.columns, y.astype(np.int64) + 1), weight)
    title = f"catboost {catboost.__version__} predict_proba"
    return Peer(model, title, lambda row: theirs.predict_proba(row, thread_count=1), 200, _trees(model), model.predict)
