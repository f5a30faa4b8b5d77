"""The Models tab's lower tables and a decision's judgement: what stands in them is what was stored or said."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ai.forecast import WIDTH, Abstain, Col, Extra
from ai.guard import GUARD_FILE, Guard, HeldBack
from ai.guard_live import LiveRecord
from ai.monte_carlo import DrawKey, Simulation, simulate
from ai.overlay import Overlay
from app.live_model_views import live_lines
from app.projections_holds import overlay_lines
from app.projections_judgement import judgement, paths
from app.projections_research import score_lines, trial_lines
from app.wiring import Workplace
from data.market import SeriesKey
from data.synthetic import synthetic_market
from trading.records import DECISION

BTC = "BTC/USDT:USDT"
HELD = HeldBack(900, 60.0, 0.97, 0.01, 0.002, 0.003, 0.05)


def a_row(**said: float) -> np.ndarray:
    row = np.full(WIDTH, np.nan)
    row[[Col.P_LONG, Col.P_SHORT, Col.P_NEUTRAL, Col.ABSTAIN]] = 0.4, 0.3, 0.3, 0
    for name, value in said.items():
        row[Extra[name]] = value
    return row


def test_a_row_without_a_forecast_has_no_judgement() -> None:
    assert judgement(None) is None
    assert judgement(np.full(WIDTH, np.nan)) is None


def test_a_judgement_says_what_the_row_says() -> None:
    row = a_row(SPREAD=0.04, OUTSIDE=0.02, SET=5, TAKE=0.6, SIZE=0.5, REGIME=2)
    row[Extra.FIRST_REGIME : Extra.FIRST_REGIME + 7] = [0, 0.1, 0.6, 0.1, 0.1, 0.05, 0.05]
    row[Col.ABSTAIN] = Abstain.SKIPPED
    found = judgement(row)
    assert found is not None
    assert found.advice == "the meta-model expects less than the costs"
    assert (found.regime, found.possible, found.take, found.size) == ("Range", ("short", "long"), 0.6, 0.5)
    assert [r.label for r in found.regimes][:3] == ["Strong down", "Down", "Range"]
    assert found.regimes[2].value == 0.6


def test_simulated_paths_are_those_of_the_decision_and_always_the_same() -> None:
    frame, _ = synthetic_market(BTC, "1h", 120, 3)
    row = np.zeros(1, DECISION)[0]
    row["open_time"], row["symbol"], row["plan_id"], row["signal"] = frame.open_time[-1], 1, 4, -1
    close = float(frame.close[-1])
    row["entry"], row["stop"], row["target"] = close, close * 1.01, close * 0.98
    row["time_limit"] = frame.open_time[-1] + 13 * 3_600_000
    found = paths(frame, row, 7, 3_600_000)
    key = DrawKey(7, 1, int(frame.open_time[-1]))
    made = simulate(frame.close, key, Simulation(12), close * 0.01, close * 0.02)
    assert found is not None and found.bars == 12
    assert (found.up, found.target_first, found.stop_first) == (made.up, made.short.target, made.short.stop)
    assert found == paths(frame, row, 7, 3_600_000)
    assert paths(frame.slice(0, 20), row, 7, 3_600_000) is None  # fewer closes than the window


def test_every_forecaster_of_a_walk_forward_has_its_line() -> None:
    scores = {"n": 10, "log_loss": 0.9, "skill": -0.1, "skill_low": -0.2, "skill_high": 0.0, "auc": 0.6}
    result: dict[str, Any] = {
        "overall": scores, "trading": {"net_return": 0.02, "sharpe": 1.5},
        "members": {"lightgbm": {**scores, "mean_weight": 0.5}},
        "baselines": {"base rate": scores, "buy_and_hold": {"net_return": 0.3, "sharpe": 0.8}},
        "advice": {"advised_against": 2, "acted_on": {**scores, "n": 8}},
    }  # fmt: skip
    lines = {line.name: line for line in score_lines(result)}
    assert list(lines) == ["Ensemble", "Acted on", "LightGBM", "Base rate", "Buy and hold"]
    assert (lines["Ensemble"].net_return, lines["Acted on"].rows, lines["LightGBM"].weight) == (0.02, 8, 0.5)
    assert (lines["Buy and hold"].net_return, lines["Buy and hold"].auc) == (0.3, None)
    assert score_lines({}) == ()


def test_what_was_tried_is_counted_by_series_and_search(home: Path) -> None:
    key = SeriesKey("binanceusdm", BTC, "1h")
    with Workplace.opened(home) as place:
        log = place.database.trials
        first, second = (log.begin(key, "sweep", {"x": x}) for x in (1, 2))
        log.begin(key, "tuning", {"depth": 3})
        log.finish(key, first, 0.5, 0.06)
        log.fail(key, second, "no trade")
        found = {line.kind: line for line in trial_lines(SimpleNamespace(place=place))}  # type: ignore[arg-type]
    assert (found["sweep"].tried, found["sweep"].failed, found["sweep"].running) == (2, 1, 0)
    assert (found["sweep"].best_sharpe, found["tuning"].running) == (0.06, 1)


def promoted(folder: Path, files: dict[str, bytes]) -> Any:
    """A context whose registry has one promoted model with these files."""
    (folder / "m").mkdir()
    for name, body in files.items():
        (folder / "m" / name).write_bytes(body)
    row = SimpleNamespace(state="promoted", promoted_ms=1, path="m", sha256=str(folder))
    place = SimpleNamespace(
        home=SimpleNamespace(models=folder), database=SimpleNamespace(models=SimpleNamespace(all=lambda: [row]))
    )
    return SimpleNamespace(place=place)


def test_what_a_model_holds_is_told_and_why_something_is_missing(tmp_path: Path) -> None:
    overlay = Overlay("swing", "15m", 0.0012, False, about={"absent": {"meta_model": "12 proposals are too few"}})
    guard = Guard(np.zeros(2), np.ones(2), np.linspace(0, 1, 9), HELD, 0.8, 0.08, 0.1, True)
    found = {line.part: line for line in overlay_lines(promoted(tmp_path, {**overlay.files(), **guard.files()}))}
    assert (found["Meta-model"].state, found["Meta-model"].words) == ("missing", "12 proposals are too few.")
    assert (found["Regime filter"].state, found["Size"].state) == ("off", "on")
    assert "80% coverage" in found["Abstention"].words and "0.9700" in found["Size"].words


def test_damaged_files_of_a_model_hold_nothing(tmp_path: Path) -> None:
    assert overlay_lines(promoted(tmp_path, {GUARD_FILE: b"{"})) == ()


@pytest.mark.parametrize(
    ("size", "loss", "state"),
    [(0.4, 1.2, "worse: trades smaller"), (1.0, 0.96, "as announced"), (1.0, None, "too early to say")],
)
def test_live_forecasts_are_shown_beside_what_was_announced(size: float, loss: float | None, state: str) -> None:
    error = None if loss is None else 0.02
    record = LiveRecord(
        "swing-1", 50, 12.0, loss, 0.97, error, 0.97, 0.01, 0.03, size, None, None, None, 0, {"logistic": 1.0},
        {"xgboost": 0.2},
    )  # fmt: skip
    drift = {"moved": ["atr_pct"], "features": 90, "allowed": 0, "alarm": True}
    watched = {"symbol": BTC, "feature_drift": drift, "score_drift": {"alarm": True}, "live": {"ece": {"fold": 0.01}}}
    trader = SimpleNamespace(
        config=SimpleNamespace(symbols=(BTC, "ETH/USDT:USDT")), forecasts=np.array([a_row(REGIME=3), a_row()]),
        live=lambda s: record if s == 0 else None,
    )  # fmt: skip
    (line,) = live_lines(trader, SimpleNamespace(as_document=lambda: [watched]))  # type: ignore[arg-type]
    assert (line.state, line.size, line.regime) == (state, size, "Up")
    assert line.drifting == ("atr_pct", "scores") and line.drift_words == "1 of 90 features, scores"
    assert [f.label for f in line.faded] == ["XGBoost"] and line.held_back_calibration == 0.01
    assert line.log_loss is None or math.isfinite(line.log_loss)
