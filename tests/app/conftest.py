"""A command as a person calls it, in this process: exit code, document, sentences."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.main import main
from tests.app.said import Command, Said


@pytest.fixture
def command(home: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """``command("trades", "--limit", 3)`` with ``--json`` on an empty home of its own."""

    def call(*words: object) -> Said:
        capfd.readouterr()
        code = main(["--home", str(home), "--json", *map(str, words)])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, json.loads(captured.out), captured.err)

    return call


@pytest.fixture(scope="session")
def market_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a synthetic 1h market, its walk-forward, a finished replay: read it, do not write to it."""
    folder = tmp_path_factory.mktemp("market") / "home"
    series = ["--symbol", "BTCUSDT", "--timeframe", "1h"]
    replay = ["--replay", "2024-05-01..2024-06-01", "--strategy", "rsi-oversold", "--speed", "max"]
    for line in (
        ["synthetic", *series, "--bars", "4200", "--seed", "3"],
        ["walk-forward", *series, "--train", "60d", "--test", "20d", "--step", "20d", "--models", "logistic"],
        ["run", "--source", "replay", *series, *replay],
    ):
        assert main(["--home", str(folder), "--json", *line]) == 0, line
    return folder


@pytest.fixture
def ask(market_home: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """A command on the shared home with the synthetic market."""

    def call(*words: object) -> Said:
        capfd.readouterr()
        code = main(["--home", str(market_home), "--json", *map(str, words)])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Said(code, json.loads(captured.out), captured.err)

    return call
