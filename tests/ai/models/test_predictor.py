"""The compiled predictor gives the libraries' own values."""

from __future__ import annotations

import time

import numpy as np
import pytest

from ai.models.base import Model
from ai.models.boosting import BoostingParameters, LightgbmModel, XgboostModel
from ai.models.linear import LogisticModel
from ai.models.predictor import IDENTITY, pack, predict_rows
from tests.ai.models.kinds import KINDS


def sample(rows: int = 1500, features: int = 12, seed: int = 3, missing: float = 0.05):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)) * rng.uniform(1e-3, 1e3, features)
    x[:, 1] = np.round(x[:, 1] / np.std(x[:, 1]) * 2) / 2  # ties on thresholds, many zeros
    score = x[:, 0] / np.std(x[:, 0]) + 0.5 * x[:, 1] + rng.normal(size=rows)
    y = np.where(score > 0.7, 1, np.where(score < -0.7, -1, 0)).astype(np.int8)
    x[rng.random(x.shape) < missing] = np.nan
    return x, y, rng.uniform(0.2, 1.0, rows)


def compiled(model: Model, x):
    return predict_rows(pack([model.table()], [[IDENTITY] * 3], x.shape[1]), x, calibrated=False)[0]


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_rows_equal_the_library_within_a_millionth(kind) -> None:
    x, y, w = sample()
    model = kind()
    model.fit(x, y, w)
    unseen = sample(seed=4)[0]
    unseen[0] = np.nan
    unseen[1, 2] = np.inf
    assert np.max(np.abs(compiled(model, unseen) - model.predict(unseen))) < 1e-6
    assert np.std(model.predict(unseen)[:, 2]) > 0.01  # it did learn something to compare


@pytest.mark.parametrize("kind", [XgboostModel, LightgbmModel])
def test_missing_values_unseen_in_training_go_the_library_way(kind) -> None:
    x, y, w = sample(missing=0.0)
    model = kind(BoostingParameters(rounds=20, depth=4, min_leaf=5))
    model.fit(x, y, w)
    unseen = sample(seed=5, missing=0.4)[0]
    assert np.max(np.abs(compiled(model, unseen) - model.predict(unseen))) < 1e-6


def test_values_on_a_float32_threshold_fall_as_in_xgboost() -> None:
    x, y, w = sample(missing=0.0)
    model = XgboostModel(BoostingParameters(rounds=10, depth=3, min_leaf=2))
    model.fit(x, y, w)
    nodes = model.table().nodes
    inner = nodes[nodes["feature"] >= 0]
    rows = np.tile(x[0], (3 * len(inner), 1))
    for i, node in enumerate(inner):
        edge = np.float32(node["value"])
        for k, value in enumerate((edge, np.nextafter(edge, np.float32(-np.inf)), float(edge) * (1 - 1e-9))):
            rows[3 * i + k, node["feature"]] = value
    assert np.max(np.abs(compiled(model, rows) - model.predict(rows))) < 1e-6


def test_lightgbm_zero_as_missing_goes_the_library_way() -> None:
    import lightgbm

    x, y, w = sample()
    data = lightgbm.Dataset(x, label=y.astype(int) + 1, weight=w, params={"zero_as_missing": True, "verbosity": -1})
    settings = {
        "objective": "multiclass", "num_class": 3, "zero_as_missing": True, "num_threads": 1, "verbosity": -1,
    }  # fmt: skip
    model = LightgbmModel()
    model.columns = np.array([0, 1, 2])
    model.text = lightgbm.train(settings, data, 10).model_to_string().encode()
    unseen = sample(seed=6)[0]
    unseen[:, 3] = np.where(np.arange(len(unseen)) % 2, 0.0, unseen[:, 3])
    assert np.max(np.abs(compiled(model, unseen) - model.predict(unseen))) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [(-1, 0), (0, 1), (-1, 1), (0,)])
def test_a_class_absent_from_training_keeps_its_column(kind, kept) -> None:
    x, y, w = sample()
    rows = np.isin(y, kept)
    model = kind()
    model.fit(x[rows], y[rows], w[rows])
    p = compiled(model, x)
    assert p.shape == (len(x), 3)
    assert np.allclose(p.sum(axis=1), 1.0)
    absent = [c for c in range(3) if c - 1 not in kept]
    assert np.all(p[:, absent] == 0.0)
    assert np.max(np.abs(p - model.predict(x))) < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind) -> None:
    x, y, w = sample()
    texts = []
    for _ in range(2):
        model = kind()
        model.fit(x, y, w)
        texts.append(model.files())
    assert texts[0] == texts[1]
    again = kind.of(texts[0])
    assert again.files() == texts[0]
    assert np.array_equal(compiled(again, x), compiled(model, x))


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_costs_at_most_25_microseconds_a_member(kind) -> None:
    x, y, w = sample(rows=4400, features=45)
    model = kind()
    model.fit(x, y, w)
    packed = pack([model.table()], [[IDENTITY] * 3], 45)
    predict_rows(packed, x)
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        predict_rows(packed, x)
        best = min(best, (time.process_time() - start) / len(x))
    assert best < 25e-6


def test_logistic_agrees_with_a_scikit_learn_pipeline() -> None:
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y, _ = sample()
    ours = LogisticModel(c=1.0, iterations=2000)
    ours.fit(x, y, np.ones(len(x)))
    theirs = make_pipeline(
        SimpleImputer(strategy="median"), StandardScaler(), LogisticRegression(C=1.0, max_iter=2000, tol=1e-8)
    ).fit(x, y)
    assert np.max(np.abs(compiled(ours, x) - theirs.predict_proba(x))) < 1e-3
