"""A model brought to another exchange: the map is exact, used where it helps, and never claims what is not there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ai.drift import DRIFT_FILE, Reference, with_reference
from ai.ensemble import EnsembleModel, EnsembleOptions, compile_pack, train_ensemble
from ai.models.feature_map import MAP_FILE, FeatureMap
from ai.models.members import MEMBERS, new_member
from ai.models.predictor import IDENTITY, pack, predict_rows
from ai.training import TrainingData, training_data
from ai.transfer import calibrated, scale_map
from ai.validation.scores import log_losses
from app.transfer import verdict
from data.errors import UserError
from data.synthetic import synthetic_market

BARS, TRAIN, SPLIT = 9_000, 5_000, 7_400
FEATURES = ("volatility_96", "atr_pct_14", "rsi_14", "zscore_20", "log_return_1", "log_return_24", "hour_sin")


@pytest.fixture(scope="module")
def data() -> TrainingData:
    """Bars of a market whose direction the z-score tells in part."""
    frame, funding = synthetic_market("BTC/USDT:USDT", "1h", BARS, 3)
    made = training_data(frame, funding, "swing", FEATURES)
    hint = np.nan_to_num(made.x[made.schema.index("zscore_20")]) + np.random.default_rng(4).normal(0.0, 1.0, BARS)
    label = np.where(hint > 0.6, 1, np.where(hint < -0.6, -1, 0)).astype(np.int8)
    return dataclasses.replace(made, labels=dataclasses.replace(made.labels, label=label))


@pytest.fixture(scope="module")
def model(data: TrainingData) -> EnsembleModel:
    rows = np.arange(data.warmup, TRAIN, dtype=np.int64)
    made = train_ensemble(data.x, data.labels, rows, data.context, tuple(MEMBERS)[:3], 7, options=EnsembleOptions())
    return with_reference(made, data.x, data.schema.names, rows)


def elsewhere(data: TrainingData, factor: float, offset: float) -> TrainingData:
    """The same market told in other units by another exchange: every feature but those of the calendar."""
    x = data.x.copy()
    for row, name in enumerate(data.schema.names):
        if name in FEATURES and not name.startswith("hour"):
            x[row] = x[row] * factor + offset * np.nanstd(data.x[row])
    return dataclasses.replace(data, x=x)


@pytest.mark.parametrize("name", ["logistic", "xgboost", "lightgbm", "random_forest", "hist_boosting"])
def test_a_table_with_the_map_inside_says_what_the_table_says_of_mapped_features(name: str) -> None:
    rng = np.random.default_rng(2)
    x = np.round(rng.normal(size=(600, 4)) * 64) / 64  # exact in binary, as the map is
    y = np.where(x[:, 0] + rng.normal(size=600) > 0.5, 1, np.where(x[:, 1] > 0.4, -1, 0)).astype(np.int8)
    member = new_member(name, 3)
    member.fit(x, y, np.ones(600))
    found = FeatureMap(np.array([2.0, 0.5, 1.0, 4.0]), np.array([1.0, -2.0, 0.0, 8.0]))
    plain = pack([member.table()], [[IDENTITY] * 3], 4)
    inside = pack([found.inside(member.table())], [[IDENTITY] * 3], 4)
    asked = x + 1.0 / 1024  # between the thresholds, which are halves of what was seen
    there = (asked - found.b) / found.a
    assert predict_rows(inside, there) == pytest.approx(predict_rows(plain, asked), abs=1e-9)


def test_a_map_after_a_map_is_both(rng_map: tuple[FeatureMap, FeatureMap]) -> None:
    first, second = rng_map
    x = np.array([0.3, -2.0])
    both = second.after(first)
    assert both.a * x + both.b == pytest.approx(first.a * (second.a * x + second.b) + first.b)
    assert second.after(None) is second
    again = FeatureMap.of({MAP_FILE: both.file()})
    assert again is not None and again.a.tolist() == both.a.tolist()


@pytest.fixture
def rng_map() -> tuple[FeatureMap, FeatureMap]:
    return (
        FeatureMap(np.array([2.0, 0.3]), np.array([1.0, 0.0])), FeatureMap(np.array([0.7, 5.0]), np.array([-1.0, 2.0]))
    )  # fmt: skip


def test_the_map_finds_the_units_of_another_exchange(model: EnsembleModel, data: TrainingData) -> None:
    reference = Reference.of(model.files)
    assert reference is not None
    there = elsewhere(data, 3.0, 2.0)
    columns = [there.schema.index(name) for name in model.features]
    rows = slice(data.warmup, TRAIN)  # the very rows of training: the map is known
    found = scale_map(reference, there.x[columns][:, rows].T, model.optional)
    for f, name in enumerate(model.features):
        if name.startswith("hour"):
            assert (found.a[f], found.b[f]) == (1.0, 0.0)
        else:
            assert found.a[f] == pytest.approx(1.0 / 3.0, rel=0.05), name
    same = scale_map(reference, data.x[columns][:, rows].T, model.optional)
    assert (same.a == 1.0).all() and (same.b == 0.0).all(), "where nothing differs nothing is mapped"


def test_other_units_are_undone_and_the_members_files_stay(model: EnsembleModel, data: TrainingData) -> None:
    there = elsewhere(data, 3.0, 2.0)
    found = calibrated(model, there, np.arange(TRAIN + 30, SPLIT, dtype=np.int64), "BTC/USDT:USDT")
    assert found.moved and {name for name, _, _ in found.moved} <= set(found.differ)
    for name, body in model.files.items():
        if name.split(".")[0] in MEMBERS:
            assert found.model.files[name] == body
    assert found.model.seen_until_ms == data.context.open_time[SPLIT - 1]
    columns = [there.schema.index(name) for name in model.features]
    judged = np.arange(SPLIT, BARS)[data.labels.complete[SPLIT:]]
    y = data.labels.label[judged]
    broken, mended, home = (
        log_losses(one.predict(np.ascontiguousarray(source.x[columns][:, judged].T)).mean(axis=0), y).mean()
        for one, source in ((model, there), (found.model, there), (model, data))
    )
    assert mended < broken - 0.05
    assert mended < home + 0.02
    again = EnsembleModel._of(found.model.manifest(), found.model.files)
    x = np.ascontiguousarray(there.x[columns][:, judged].T)
    assert again.predict(x).tobytes() == found.model.predict(x).tobytes(), "the stored model is another"


def test_on_the_same_market_nothing_is_mapped(model: EnsembleModel, data: TrainingData) -> None:
    found = calibrated(model, data, np.arange(TRAIN + 30, SPLIT, dtype=np.int64), "BTC/USDT:USDT")
    if found.moved:  # a quiet half-year may have another scale; then the map was better inside the first part
        assert MAP_FILE in found.model.files
    assert sum(found.model.base) == pytest.approx(1.0)
    assert compile_pack(found.model.members, found.model.files, len(model.features)).cal.shape == (3, 3, 3)


def test_too_little_after_training_and_models_without_a_distribution_are_refused(
    model: EnsembleModel, data: TrainingData
) -> None:
    with pytest.raises(UserError, match="needs 300 usable bars after the model's training and has"):
        calibrated(model, data, np.arange(TRAIN, TRAIN + 100, dtype=np.int64), "BTC/USDT:USDT")
    bare = dataclasses.replace(model, files={n: b for n, b in model.files.items() if n != DRIFT_FILE})
    with pytest.raises(UserError, match="keeps no distribution"):
        calibrated(bare, data, np.arange(TRAIN, SPLIT, dtype=np.int64), "BTC/USDT:USDT")


@pytest.mark.parametrize(
    ("low", "high", "skill", "words"),
    [
        (-0.02, -0.01, 0.1, "It helps"),
        (0.01, 0.02, 0.1, "it makes the model worse"),
        (-0.01, 0.01, 0.1, "It does not help beyond chance"),
        (-0.02, -0.01, -0.1, "no better than the base rate"),
    ],
)
def test_the_report_says_plainly_what_it_found(low: float, high: float, skill: float, words: str) -> None:
    assert words in verdict((low + high) / 2, low, high, skill)
