"""Homes with a small synthetic market that service tests replay."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.main import main

SYMBOL = ("--symbols", "BTCUSDT", "--timeframe", "15m")
SPAN = ("--from", "2024-02-20", "--to", "2024-03-16")
REPLAY = ("--source", "replay", "--replay", "2024-02-20..2024-03-16", *SYMBOL, "--speed", "max")
KEYS = ("symbol", "side", "qty", "entry_time", "entry_price", "exit_time", "exit_price", "exit_reason", "fees",
        "funding", "pnl")  # fmt: skip

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with 7,800 synthetic 15m bars from 2024-01-01 on; copied, never written to."""
    home = tmp_path_factory.mktemp("service") / "home"
    words = ["synthetic", "--symbol", "BTCUSDT", "--timeframe", "15m", "--bars", "7800", "--seed", "5"]
    assert main(["--home", str(home), "--json", *words]) == 0
    return home


@pytest.fixture
def stocked(market: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(market, tmp_path / "home"))


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    """``ask(home, "trades")``: the document of a command that has to succeed."""

    def call(home: Path, *words: object) -> dict[str, Any]:
        capfd.readouterr()
        code = main(["--home", str(home), "--json", *map(str, words)])
        said = capfd.readouterr()
        assert code == 0, said.err
        return json.loads(said.out)

    return call


def plain_trades(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Trades without their numbers, those closed only because a back-test ended left out."""
    return [tuple(t[k] for k in KEYS) for t in document["trades"] if t["exit_reason"] != "end"]
