"""Training uses only what was known, and what it makes survives the disk."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ai.ensemble import EnsembleModel, TrainingCancelled, train_ensemble
from ai.labels import Outcome
from data.errors import UserError


def test_members_give_probabilities_that_know_the_trend(market, model) -> None:
    x = market.x[1:, 1600:2900].T
    p = model.predict(x)
    assert p.shape == (3, 1300, 3)
    assert np.allclose(p.sum(axis=2), 1.0)
    y = market.labels.label[1600:2900]
    for member in p:
        assert member[y == 1, 2].mean() > member[y == -1, 2].mean() + 0.005


def test_nothing_after_the_training_window_changes_the_model(market) -> None:
    rows = np.arange(20, 1500)
    first = train_ensemble(market.x, market.labels, rows, market.context, ("logistic", "lightgbm"))
    x = market.x.copy()
    x[:, 1500:] = 1e6
    late = market.labels.end > rows[-1]
    changed = dataclasses.replace(
        market.labels,
        label=np.where(late, 1, market.labels.label).astype(np.int8),
        long_return=np.where(late, 9.0, market.labels.long_return),
        long_outcome=np.where(late, 0, market.labels.long_outcome).astype(np.int8),
    )
    second = train_ensemble(x, changed, rows, market.context, ("logistic", "lightgbm"))
    assert first.files == second.files
    assert first.manifest() == second.manifest()


def test_payoffs_are_those_of_the_training_labels(market) -> None:
    rows = np.arange(20, 1500)
    spread = dataclasses.replace(market.labels, end=np.arange(len(market.labels)) + 1)  # every label unique: no weights
    made = train_ensemble(market.x, spread, rows, market.context, ("logistic",))
    known = np.concatenate([np.arange(20, 1277), np.arange(1278, 1499)])  # purged before the slice and at the end
    neutral = known[spread.label[known] == 0]
    assert made.rows == len(known)
    assert made.payoffs.long_stop_if_neutral == pytest.approx(np.mean(spread.long_outcome[neutral] == Outcome.STOP))
    timed = known[spread.short_outcome[known] == Outcome.TIME]
    assert made.payoffs.short_time_return == pytest.approx(spread.short_return[timed].mean())
    assert made.payoffs.effective == pytest.approx(221)


def test_a_saved_ensemble_is_the_same_one(model, tmp_path) -> None:
    model.save(tmp_path / "swing-1")
    again = EnsembleModel.load(tmp_path / "swing-1")
    assert again.manifest() == model.manifest()
    assert again.files == dict(model.files)
    assert again.digest == model.digest
    for ours, theirs in zip(again.pack, model.pack, strict=True):
        assert np.array_equal(ours, theirs)
    manifest = json.loads((tmp_path / "swing-1" / "manifest.json").read_text())
    assert manifest["features"] == ["trend", "noise_1", "noise_2", "funding_rate"]
    assert set(manifest["files"]) >= {"logistic.json", "xgboost.model.json", "lightgbm.model.txt", "calibration.json"}
    assert all(p.suffix in (".json", ".txt") for p in (tmp_path / "swing-1").iterdir())


def test_a_model_stays_the_same_when_the_libraries_are_upgraded(model, tmp_path, monkeypatch) -> None:
    model.save(tmp_path / "m")
    monkeypatch.setattr("ai.ensemble.library_versions", lambda: {"numpy": "99.0"})
    assert EnsembleModel.load(tmp_path / "m").digest == model.digest


def test_a_corrupt_or_foreign_ensemble_is_refused_in_one_sentence(model, tmp_path) -> None:
    folder = tmp_path / "m"
    model.save(folder)
    for name in ("calibration.json", "xgboost.model.json", "manifest.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(kept.replace(b"0", b"1", 1))
        with pytest.raises(UserError, match="train it again"):
            EnsembleModel.load(folder)
        (folder / name).write_bytes(kept)
    dataclasses.replace(model, members=("logistic", "forest")).save(folder)
    with pytest.raises(UserError, match="does not fit its manifest"):
        EnsembleModel.load(folder)


def test_too_little_history_unknown_members_and_cancelling_are_said(market) -> None:
    with pytest.raises(UserError, match="more history"):
        train_ensemble(market.x, market.labels, np.arange(20, 200), market.context)
    with pytest.raises(UserError, match="Unknown model 'forest'"):
        train_ensemble(market.x, market.labels, np.arange(20, 1500), market.context, ("forest",))
    with pytest.raises(UserError, match="only once"):
        train_ensemble(market.x, market.labels, np.arange(20, 1500), market.context, ("logistic", "logistic"))
    with pytest.raises(TrainingCancelled):
        train_ensemble(market.x, market.labels, np.arange(20, 1500), market.context, cancelled=lambda: True)


def test_progress_tells_each_member(market) -> None:
    told: list[tuple[int, int, str]] = []
    train_ensemble(
        market.x, market.labels, np.arange(20, 1500), market.context, ("logistic", "lightgbm"),
        progress=lambda done, total, words: told.append((done, total, words)),
    )  # fmt: skip
    assert [t[:2] for t in told] == [(0, 2), (1, 2), (2, 2)]
    assert "lightgbm" in told[1][2]
