"""Retraining by the model schedule: the switches are journalled, and a restart or a kill follows the same schedule."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.app.service.conftest import REPLAY, SPAN, SYMBOL, plain_trades
from tests.app.service.test_replay import crash

pytestmark = pytest.mark.workers
SHORT = ("--source", "replay", "--replay", "2024-03-01..2024-03-06", *SYMBOL, "--speed", "max")


@pytest.fixture(autouse=True)
def quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """One linear member, retrained every 300 bars on 3,500."""
    monkeypatch.setenv("QUANTAI_AI__MEMBERS", '["logistic"]')
    monkeypatch.setenv("QUANTAI_AI__MODEL_RETRAIN_EVERY_N_STEPS", "300")
    monkeypatch.setenv("QUANTAI_AI__HISTORY_LIMIT", "3500")


def switches(home: Path) -> list[tuple[int, str]]:
    from database.home import Home

    with Home(home).open_reader() as database:
        account = database.accounts.newest()
        assert account is not None
        return [(s.from_ms, s.model_id) for s in database.trading.switches(account.id)]


def test_a_promoted_model_takes_over_and_a_kill_follows_the_same_schedule(market, stocked, tmp_path, ask):
    other = Path(shutil.copytree(market, tmp_path / "other"))
    whole = ask(other, "run", *SHORT)
    assert whole["strategy"] == "auto" and whole["state"] == "FINISHED"
    schedule = switches(other)
    assert schedule, "no model was promoted: the test would show nothing"
    assert {model for model in deciding_models(other) if model >= 0}, "no bar was decided by a model"
    assert "reached bar" in crash(stocked, "bar", 350, *SHORT)
    resumed = ask(stocked, "run", *SHORT)
    assert switches(stocked) == schedule
    assert plain_trades(resumed) == plain_trades(whole)
    assert resumed["equity"] == whole["equity"]


def deciding_models(home: Path) -> set[int]:
    """Numbers of the models that decided; -1: the rule."""
    from database.home import Home

    with Home(home).open_reader() as database:
        account = database.accounts.newest()
        assert account is not None
        return {int(row["model"]) for row in database.trading.decisions(account.id).rows}


def test_replay_trades_equal_the_back_test_over_stored_forecasts(stocked, ask):
    windows = ("--train", "30d", "--test", "7d", "--step", "7d")
    ask(stocked, "walk-forward", "--symbol", "BTCUSDT", "--timeframe", "15m", *windows)
    run = ask(stocked, "run", *REPLAY, "--schedule", "walk-forward")
    fast = ask(stocked, "backtest", *SYMBOL, "--schedule", "walk-forward", *SPAN)
    service = ask(stocked, "backtest", *SYMBOL, "--schedule", "walk-forward", *SPAN, "--engine", "service")
    assert run["strategy"] == "ensemble"
    assert len(run["trades"]) >= 3
    assert plain_trades(run) == plain_trades(fast) == plain_trades(service)
    assert fast["equity_end"] == service["equity_end"]
    assert fast["in_sample_bars"] == 0


def test_f37_a_model_promoted_before_the_first_commit_is_not_there_from_the_first_bar(tmp_path, ask, monkeypatch):
    """The registry outlives a crash that the ledger does not: the run must begin as it began."""
    monkeypatch.setenv("QUANTAI_AI__PROMOTION_LUCK", "1")  # luck will do, so that there is a promoted model
    words = ("--source", "synthetic", "--timeframe", "15m", "--speed", "max", "--seed", "3", "--bars", "640")
    whole, crashed = tmp_path / "whole", tmp_path / "crashed"
    uninterrupted = ask(whole, "run", *words)
    schedule = switches(whole)
    assert schedule, "no model was promoted: the test would show nothing"
    assert "reached begin" in crash(crashed, "begin", 1, *words)
    assert [m["state"] for m in ask(crashed, "models", "list")["models"]] == ["promoted"]
    assert ask(crashed, "trades")["trades"] == []
    resumed = ask(crashed, "run", *words)
    assert switches(crashed) == schedule
    assert plain_trades(resumed) == plain_trades(uninterrupted)


def test_a_candidate_is_held_against_the_model_that_trades_though_nothing_is_committed_yet(stocked, ask, monkeypatch):
    from app import model_switching, service

    asked = []
    made = model_switching.requests

    def seen(*arguments):
        found = made(*arguments)
        asked.extend(request.incumbent and Path(request.incumbent).name for request in found)
        return found

    monkeypatch.setattr(model_switching, "requests", seen)
    monkeypatch.setattr(service, "FLUSH_AFTER_S", float("inf"))
    monkeypatch.setenv("QUANTAI_TRADING__PAPER__BATCH_BARS", "100000")
    ask(stocked, "run", *SHORT)
    taken = [model_id for _, model_id in switches(stocked)]
    assert taken and asked[0] is None
    assert set(taken[:-1]) <= set(asked) and asked[1] == taken[0]
