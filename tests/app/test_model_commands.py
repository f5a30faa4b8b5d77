"""The registry on the command line: audits decide about promotion, and a model is brought to another exchange."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.main import main
from data.market import Frame
from tests.app.said import Command

SERIES = ("--symbol", "BTCUSDT", "--timeframe", "1h")


@pytest.fixture(scope="module")
def trained(market_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the market's home with a model up to May, and the same market told by another exchange."""
    from database.home import Home

    folder = tmp_path_factory.mktemp("registry") / "home"
    shutil.copytree(market_home, folder)
    line = ["train", *SERIES, "--to", "2024-05-01", "--models", "logistic,lightgbm", "--seed", "11"]
    assert main(["--home", str(folder), "--json", *line]) == 0
    with Home(folder).open() as database:
        (info,) = [i for i in database.candles.series() if i.key.timeframe == "1h" and i.key.kind == "ohlcv"]
        frame = database.candles.read(info.key, None, None)
        noise = np.exp(np.random.default_rng(2).normal(0.0, 2e-4, len(frame)))
        there = Frame.of(
            dataclasses.replace(info.key, exchange="bybit"), frame.open_time, frame.open * noise, frame.high * noise,
            frame.low * noise, frame.close * noise, frame.volume * 0.2,
        )  # fmt: skip
        database.candles.write(there)
    return folder


@pytest.fixture
def home(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "home"))


def forget_the_audit(home: Path, model_id: str) -> None:
    """As a model that was registered before there were audits."""
    from database.home import Home

    with Home(home).open() as database:
        database.models.store_audit(model_id, {})


def test_a_trained_model_has_its_verdict_and_an_unaudited_one_is_not_promoted(home: Path, command: Command) -> None:
    (row,) = command("models", "list").document["models"]
    assert row["audit"]["passed"] and row["audit"]["checked"] > 100
    assert "audit" not in row["scores"] and 0.0 < row["scores"]["luck"] <= 1.0
    forget_the_audit(home, row["model_id"])
    refused = command("models", "promote", row["model_id"])
    assert refused.code == 1
    assert f"has no leak audit yet: 'models audit {row['model_id']}' makes it" in refused.document["error"]
    (audited,) = command("models", "audit", row["model_id"][:9], "--check").document["models"]
    assert audited["audit"]["passed"] and audited["state"] == "candidate"
    assert command("models", "promote", row["model_id"]).document["models"][0]["state"] == "promoted"
    assert command("features", "audit", "--model", row["model_id"]).document["models"][0]["audit"]["passed"]


def test_rolling_back_passes_over_a_model_without_an_audit(home: Path, command: Command) -> None:
    (first,) = (row["model_id"] for row in command("models", "list").document["models"])
    second = command("train", *SERIES, "--models", "logistic", "--seed", 12).document["model_id"]
    for model_id in (first, second):
        assert command("models", "promote", model_id).code == 0
    forget_the_audit(home, first)
    refused = command("models", "rollback")
    assert refused.code == 1
    assert f"No earlier promoted model has passed its leak audit: 'models audit {first}'" in refused.document["error"]
    assert command("models", "audit", first).code == 0
    assert command("models", "rollback").document["models"][0]["model_id"] == first


def test_a_model_is_calibrated_to_another_exchange_and_registered_only_if_asked(home: Path, command: Command) -> None:
    (parent,) = (row["model_id"] for row in command("models", "list").document["models"])
    line = ("calibrate", parent, "--exchange", "bybit")
    found = command(*line).document
    assert found["registered"] is False and "model_id" not in found
    assert found["calibrated_on"]["from"] >= "2024-05-01" and found["judged_on"]["from"] >= found["calibrated_on"]["to"]
    for part in ("before", "after"):
        assert {"log_loss", "log_loss_low", "log_loss_high", "auc", "ece", "base_log_loss", "n"} <= set(found[part])
    change = found["after"]["log_loss"] - found["before"]["log_loss"]
    assert found["difference"]["log_loss"] == pytest.approx(change)
    assert found["difference"]["low"] <= change <= found["difference"]["high"]
    assert found["verdict"].startswith(("It helps", "It does not help"))
    assert found["volatility"]["stop_distance"] > 0.0
    assert len(command("models", "list").document["models"]) == 1
    made = command(*line, "--register").document
    assert command(*line, "--register").document["model_id"] == made["model_id"], "the same calibration is one model"
    rows = {row["model_id"]: row for row in command("models", "list").document["models"]}
    child = rows[made["model_id"]]
    assert len(rows) == 2 and child["exchange"] == "bybit" and child["state"] == "candidate"
    assert child["parent"] == parent and child["audit"]["passed"]


def test_what_cannot_be_calibrated_is_said(home: Path, command: Command) -> None:
    (parent,) = (row["model_id"] for row in command("models", "list").document["models"])
    assert "reads 1h bars: it cannot be calibrated to 15m" in command(
        "calibrate", parent, "--exchange", "bybit", "--timeframe", "15m"
    ).document["error"]  # fmt: skip
    assert "No bars of BTCUSDT 1h kraken are stored" in command(
        "calibrate", parent, "--exchange", "kraken"
    ).document["error"]  # fmt: skip
    short = command("calibrate", parent, "--exchange", "bybit", "--to", "2024-05-09").document["error"]
    assert "needs 300 usable bars after the model's training" in short
