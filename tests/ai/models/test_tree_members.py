"""Forest, histogram boosting and CatBoost: the kept numbers are the libraries' own models."""

from __future__ import annotations

import importlib.util
import json
import time
from pathlib import Path

import numpy as np
import pytest

from ai.models.base import finite_or_missing
from ai.models.boosting import BoostingParameters
from ai.models.cat_boosting import CatboostModel
from ai.models.forest import ForestParameters, RandomForestModel, grow_forest
from ai.models.hist_boosting import HistBoostingModel, boost_histograms
from ai.models.members import MEMBERS, new_member
from ai.models.predictor import IDENTITY, pack, predict_rows
from ai.models.search_space import SEARCH_SPACE
from ai.models.tree_tables import HUGE, boosted_tree
from data.errors import UserError
from tests.ai.models.kinds import needs_catboost
from tests.ai.models.test_predictor import compiled, sample


def on_thresholds(x, nodes):
    """Rows of which each stands on a split's threshold, or one 64 bit step beside it."""
    inner = nodes[(nodes["feature"] >= 0) & (np.abs(nodes["value"]) < HUGE)]
    rows = np.tile(x[0], (3 * len(inner), 1))
    for i, node in enumerate(inner):
        for k, value in enumerate((node["value"], *np.nextafter(node["value"], [-np.inf, np.inf]))):
            rows[3 * i + k, node["feature"]] = value
    return rows


@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_the_forest_gives_the_values_of_scikit_learn(missing) -> None:
    x, y, w = sample(missing=missing)
    model = RandomForestModel(ForestParameters(trees=25, depth=6, min_leaf=3.0))
    model.fit(x, y, w)
    theirs = grow_forest(model.parameters, x, y, w)
    unseen = np.vstack([sample(seed=5, missing=0.3)[0], on_thresholds(sample(missing=0.0)[0], model.table().nodes)])
    oracle = theirs.predict_proba(unseen)
    assert np.max(np.abs(compiled(model, unseen) - oracle)) < 1e-9
    assert np.max(np.abs(model.predict(unseen) - oracle)) < 1e-9


@pytest.mark.parametrize("kept", [(-1, 0, 1), (0, 1)])
def test_histogram_boosting_gives_the_values_of_scikit_learn(kept) -> None:
    x, y, w = sample()
    rows = np.isin(y, kept)
    x, y, w = x[rows], y[rows], w[rows]
    x[:, 5] = np.nan  # a feature without any value
    model = HistBoostingModel(BoostingParameters(rounds=25, depth=4, min_leaf=1.0, l2=1.0))
    model.fit(x, y, w)
    theirs = boost_histograms(model.parameters, x, np.searchsorted(kept, y), w)
    unseen = sample(seed=5, missing=0.3)[0]
    unseen = np.vstack([unseen, on_thresholds(sample(missing=0.0)[0], model.table().nodes)])
    columns = np.array(kept) + 1
    assert np.max(np.abs(compiled(model, unseen)[:, columns] - theirs.predict_proba(unseen))) < 1e-9


@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_trees_on_our_bins_are_those_that_scikit_learn_grows_on_its_own(missing) -> None:
    rng = np.random.default_rng(12)
    n = 6000
    heavy = np.where(rng.random(n) < 0.4, 1.0, rng.normal(size=n))  # one value is many quantiles
    x = np.column_stack([
        rng.normal(size=n), rng.normal(size=n).round(1), rng.integers(0, 5, n), heavy, np.full(n, 3.0),
        np.minimum(rng.normal(size=n), 0.5), rng.standard_t(2, n),
    ])  # fmt: skip
    x[rng.random(x.shape) < missing] = np.nan
    signal = np.nan_to_num(x[:, 0]) + np.nan_to_num(x[:, 3]) - (np.isnan(x[:, 5]) | (x[:, 5] == 0.5))
    y = np.digitize(signal + rng.normal(size=n), [-1.0, 1.0]).astype(np.int8) - 1
    model = HistBoostingModel(BoostingParameters(rounds=30, depth=6, min_leaf=1.0, l2=1.0))
    weight = rng.uniform(0.02, 0.9, n)
    model.fit(x, y, weight)
    theirs = boost_histograms(model.parameters, x, y.astype(np.int64) + 1, weight)
    ours = json.loads(model.files()["hist_boosting.model.json"])["trees"]
    for turn, others in zip(ours, theirs._predictors, strict=True):
        for tree, other in zip(turn, others, strict=True):
            assert tree == boosted_tree(other.nodes)


@needs_catboost
@pytest.mark.parametrize("missing", [0.0, 0.05])
def test_catboost_on_its_borders_and_with_missing_values_gives_its_own_values(missing) -> None:
    x, y, w = sample(missing=missing)
    model = CatboostModel(BoostingParameters(rounds=25, depth=6, l2=1.0))
    model.fit(x, y, w)
    unseen = sample(seed=5, missing=0.3)[0]
    assert np.max(np.abs(compiled(model, unseen) - model.predict(unseen))) < 1e-6
    edges = on_thresholds(np.nan_to_num(x), model.table().nodes)
    assert np.max(np.abs(compiled(model, edges) - model.predict(edges))) < 1e-6
    assert b"train_finish_time" not in model.files()["catboost.model.json"]  # the same training, the same bytes


@needs_catboost
def test_catboost_begins_at_the_class_shares() -> None:
    x, y, w = sample()
    model = CatboostModel(BoostingParameters(rounds=1, l2=1e9))
    model.fit(x, y, w)
    shares = [w[y == c].sum() / w.sum() for c in (-1, 0, 1)]
    assert np.allclose(model.predict(x), shares, atol=1e-4)


def test_catboost_that_is_not_installed_is_asked_for_in_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"bash scripts/run\.sh --with boost"):
        new_member("catboost", 7)


def test_a_kept_catboost_model_forecasts_without_catboost() -> None:
    kept = json.loads((Path(__file__).parent / "recorded" / "catboost.json").read_text())
    model = CatboostModel.of({name: text.encode() for name, text in kept["files"].items()})
    x = np.array(kept["x"], dtype=np.float64)
    assert np.max(np.abs(compiled(model, x) - np.array(kept["p"]))) < 1e-9


@pytest.mark.parametrize("name", [n for n in MEMBERS if n != "catboost"])
def test_heavier_leaves_or_penalties_give_flatter_probabilities(name) -> None:
    x, y, w = sample()
    spread = []
    for strength in ("loose", "tight"):
        parameters = {}
        for one in SEARCH_SPACE[name]:
            if one.name in ("min_leaf", "l2"):
                parameters[one.name] = one.low if strength == "loose" else one.high
            if one.name in ("c", "depth", "learning_rate"):
                parameters[one.name] = one.high if strength == "loose" else one.low
        model = new_member(name, 7, parameters)
        model.fit(finite_or_missing(x), y, w)
        spread.append(np.std(model.predict(x)[:, 2]))
    assert spread[0] > 1.3 * spread[1]


def test_every_range_holds_the_members_own_parameters() -> None:
    assert set(SEARCH_SPACE) == set(MEMBERS)
    defaults = {"logistic": {"c": 0.003}, "random_forest": ForestParameters()}
    for name, ranges in SEARCH_SPACE.items():
        own = defaults.get(name, BoostingParameters())
        for one in ranges:
            value = own[one.name] if isinstance(own, dict) else getattr(own, one.name)
            assert one.low <= value <= one.high, (name, one.name)
            assert one.meaning


@pytest.mark.parametrize("name", ["hist_boosting", "xgboost", "lightgbm"])
def test_the_largest_model_of_the_search_space_is_within_its_time(name) -> None:
    x, y, w = sample(rows=3000, features=45)
    largest = {one.name: one.high for one in SEARCH_SPACE[name]}
    model = new_member(name, 7, {**largest, "min_leaf": 1.0, "l2": 1.0})
    model.fit(x, y, w)
    assert len(model.table().trees) == 300
    packed = pack([model.table()], [[IDENTITY] * 3], 45)
    predict_rows(packed, x)
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        predict_rows(packed, x)
        best = min(best, (time.process_time() - start) / len(x))
    assert best < 25e-6


def test_tuned_parameters_are_obeyed_and_unknown_ones_refused() -> None:
    model = new_member("xgboost", 3, {"rounds": 33.0, "l2": 7.5})
    assert (model.describe()["params"]["rounds"], model.describe()["params"]["l2"]) == (33, 7.5)
    assert new_member("logistic", 3, {"c": 0.02}).describe()["params"] == {"seed": 3, "c": 0.02, "iterations": 500}
    assert new_member("random_forest", 3, {"trees": 30}).describe()["params"]["trees"] == 30
    with pytest.raises(UserError, match="xgboost has no parameter 'trees'"):
        new_member("xgboost", 3, {"trees": 30})
    with pytest.raises(UserError, match="depth = 40 of lightgbm is out of range: give a whole number 2 to 5"):
        new_member("lightgbm", 3, {"depth": 40})
    with pytest.raises(UserError, match=r"rounds = 40\.5"):
        new_member("lightgbm", 3, {"rounds": 40.5})
    with pytest.raises(UserError, match="rate = nan"):
        new_member("lightgbm", 3, {"learning_rate": float("nan")})


def test_kept_forests_are_plain_numbers() -> None:
    x, y, w = sample(rows=300)
    model = RandomForestModel(ForestParameters(trees=3))
    model.fit(x, y, w)
    (text,) = model.files().values()
    assert set(json.loads(text)) == {"classes", "params", "trees"}
