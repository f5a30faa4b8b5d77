"""What is noticed while a model trades: its live record beside its fold, drift, and positions made smaller."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from ai.drift import DRIFT_FILE, reference_of
from ai.forecast import WIDTH, Extra
from ai.schema import FeatureSchema
from app.contract.events import NoticeEvent
from app.live_record import live_calibration
from app.model_watch import LIVE, ModelWatch
from app.wiring import Workplace
from tests.app.service.running import running
from tests.app.service.test_model_faults import BTC, REPLAY, modelled, no_training  # noqa: F401


async def test_what_came_of_the_predictions_is_scored_beside_the_fold(modelled, tmp_path: Path):  # noqa: F811
    import shutil

    from ai.exits import exit_profile
    from ai.features.engine import FeatureEngine
    from ai.features.registry import schema_of
    from ai.labels import stop_distances, triple_barrier
    from app.training import listed

    home = Path(shutil.copytree(modelled[0], tmp_path / "home"))
    async with running(home, strategy="ensemble", bars=1_200, **REPLAY) as run:
        await run.document()
        status = run.service.status()
    with Workplace.opened(home) as place:
        (found,) = live_calibration(place)
        account = place.database.accounts.newest()
        said = place.database.trading.decisions(account.id).rows
        frame = place.database.candles.read(found.row.key, None, int(said["open_time"][-1]) + 1)
        model = json.loads((home / "models" / found.row.path / "manifest.json").read_text())
        document = listed(place)["models"]
    profile = exit_profile("swing", "15m")
    row = FeatureEngine(schema_of([profile.feature]), "15m").batch(frame)[0]
    distance = stop_distances(profile, frame.close, row)
    labels = triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile)
    at = np.searchsorted(frame.open_time, said["open_time"])
    ended = labels.complete[at] & np.isfinite(said["p_long"])
    p = np.column_stack([said["p_short"], said["p_neutral"], said["p_long"]])[ended]
    y = labels.label[at][ended]
    assert found.scores.n == ended.sum() > 1_000
    assert found.scores.log_loss == pytest.approx(log_loss(y, p, labels=[-1, 0, 1]))
    assert found.scores.base_log_loss == pytest.approx(
        log_loss(y, np.tile(model["base"], (len(y), 1)), labels=[-1, 0, 1])
    )
    assert 30 < found.effective < len(y) / 4, "labels of up to 24 bars overlap"
    low, high = found.bands["log_loss"]
    assert low < found.scores.log_loss < high
    shown = next(m["live"] for m in document if m["model_id"] == found.row.model_id)
    assert shown["log_loss"] == {
        "value": found.scores.log_loss, "low": low, "high": high, "fold": found.row.scores["log_loss"]
    }  # fmt: skip
    assert [m["live"] for m in document if m["model_id"] != found.row.model_id] == [None]
    (now,) = status["models"]
    assert now["model_id"] == found.row.model_id and 0.0 < now["size"] <= 1.0
    assert now["live"]["n"] > 300, "every 500 bars the scores are looked at"


class Desk:
    """A trader of two features, as far as the watch knows it."""

    def __init__(self) -> None:
        self.schema = FeatureSchema(("a", "b"))
        self.config = SimpleNamespace(symbols=(BTC,))
        self.features = np.zeros((1, 2))
        self.forecasts = np.full((1, WIDTH), np.nan)
        self.noted: list[tuple[str, Any]] = []
        self.session = SimpleNamespace(note=lambda kind, body: self.noted.append((kind, body)), flush=lambda: None)

    def present_model(self, s: int) -> str:
        return "m1"


@pytest.fixture
def watched(home: Path):
    """A watch over a desk, with everything that it says."""
    desk, told = Desk(), []
    with Workplace.opened(home) as place:
        watch = ModelWatch(place, SimpleNamespace(id=1), desk, told.append)
        yield watch, desk, told, place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_smaller_positions_are_told_and_journalled_when_they_begin_and_end(watched):
    watch, desk, told, _ = watched
    for size in (np.nan, 1.0, 0.6, 0.4, 0.4, 1.0, np.nan):
        desk.forecasts[0, Extra.SIZE] = size
        watch.after_bar()
    assert [(kind, body["size"]) for kind, body in desk.noted] == [("model_size", 0.6), ("model_size", 1.0)]
    assert [event.title for event in told] == ["BTCUSDT trades smaller", "BTCUSDT trades at full size again"]
    assert "60% of their size" in told[0].sentence


def test_features_that_leave_their_training_are_told_once_and_when_they_are_back(watched):
    watch, desk, told, place = watched
    rng = np.random.default_rng(5)
    reference = reference_of(rng.normal(size=(2, 40 * 50)), ("a", "b"))
    assert reference is not None
    reference = type(reference)(reference.features, reference.quantiles, reference.farthest, 1, 50)
    watch.switched(0, "m1", SimpleNamespace(files={DRIFT_FILE: reference.file()}))
    for stretch, shift in enumerate((0.0, 5.0, 5.0, 0.0)):
        for _ in range(50):
            desk.features[0] = rng.normal(size=2) + shift
            watch.after_bar()
        if stretch == 2:
            (row,) = watch.as_document()
            drift = row["feature_drift"]
            assert (drift["alarm"], set(drift["moved"]), drift["allowed"]) == (True, {"a", "b"}, 1)
    assert [event.title for event in told if isinstance(event, NoticeEvent)] == [
        "Drift: features of m1", "Drift over: features of m1"
    ]  # fmt: skip
    assert "2 of 2 features lie further from their training" in told[0].sentence
    kept = {m.name: m.value for m in place.database.models.metrics("m1", LIVE)}
    assert kept == {"drift_features": 0.0, "drift_allowed": 1.0}


def test_without_drift_alarms_nothing_is_looked_at(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("QUANTAI_AI__DRIFT_ALARMS", "false")
    desk = Desk()
    with Workplace.opened(home) as place:
        watch = ModelWatch(place, SimpleNamespace(id=1), desk, lambda event: None)
        reference = reference_of(np.random.default_rng(5).normal(size=(2, 40 * 50)), ("a", "b"))
        assert reference is not None
        watch.switched(0, "m1", SimpleNamespace(files={DRIFT_FILE: reference.file()}))
        for _ in range(600):
            watch.after_bar()
        assert watch.as_document()[0]["feature_drift"] is None
