"""Finer bars say the order within a bar wherever a run is: both engines, replay, sweep, research and parity."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai.forecast import Abstain, Col, abstaining_row
from app.evaluation import TradingEvaluator
from app.main import main
from app.wiring import Workplace
from data.market import FundingFrame
from tests.app.real_series import key_of, store_bars

pytestmark = pytest.mark.data

FINER = "QUANTAI_TRADING__MATCHING__BOTH_TOUCHED"
NARROW = {  # always in the market, with levels that one hour often reaches both of
    "name": "narrow", "meaning": "The side of the middle that the RSI stands on, with narrow levels.",
    "long": {"left": "rsi_14", "op": ">", "right": 50.0}, "short": {"left": "rsi_14", "op": "<=", "right": 50.0},
    "exits": {"swing": {"unit": "price", "stop": 0.001, "target": 2.5, "time_limit": 6}},
}  # fmt: skip
LOOSE = {"DRAWDOWN": "0.9", "SHARPE": "-10", "DAILY_LOSS": "0.9", "DAILY_TRADES": "100", "LOSS_STREAK": "100"}
SPAN = ("--from", "2023-07-05", "--to", "2023-08-12")
REPLAY = ("--source", "replay", "--replay", "2023-07-05..2023-08-12", "--speed", "max")
SERIES = (
    ("BTC", "1h", ("2023-04-01", "2023-08-15")), ("ETH", "1h", ("2023-04-01", "2023-08-15")),
    ("BTC", "5m", ("2023-07-01", "2023-07-30")), ("ETH", "5m", ("2023-07-01", "2023-07-30")),
    ("BTC", "1m", ("2023-07-20", "2023-08-05")),
)  # fmt: skip
Ask = Callable[..., dict[str, Any]]
Rule = tuple[object, ...]


@pytest.fixture(scope="module")
def stocked(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two symbols by the hour, parts of them by five minutes and by one; copied, never written to."""
    home = tmp_path_factory.mktemp("finer") / "home"
    home.mkdir()
    with Workplace.opened(home) as place:
        for name, timeframe, span in SERIES:
            store_bars(place, shared_data, name, timeframe, span)
    return home


@pytest.fixture
def home(stocked: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stocked, tmp_path / "home"))


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str], home: Path) -> Ask:
    def call(*words: object) -> dict[str, Any]:
        capfd.readouterr()
        assert main(["--home", str(home), "--json", *map(str, words)]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return call


@pytest.fixture
def rule(home: Path, monkeypatch: pytest.MonkeyPatch) -> Rule:
    file = home.parent / "narrow.json"
    file.write_text(json.dumps(NARROW))
    for name, value in LOOSE.items():
        monkeypatch.setenv(f"QUANTAI_TRADING__LIMITS__{name}", value)
    return "--symbols", "BTCUSDT,ETHUSDT", "--timeframe", "1h", "--strategy", file


def closed(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [t for t in document["trades"] if t["exit_reason"] != "end"]


def test_fast_service_replay_and_parity_read_the_same_finer_bars(
    ask: Ask, rule: Rule, home: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ask("backtest", *rule, *SPAN)
    monkeypatch.setenv(FINER, "finer")
    fast = ask("backtest", *rule, *SPAN)
    assert "finer bars are stored inside 1,344 of 1,824 bars" in fast["assumptions"][-1]
    assert len(fast["assumptions"]) == len(plain["assumptions"]) + 1
    turned = [
        (a["exit_reason"], b["exit_reason"]) for a, b in zip(plain["trades"], fast["trades"], strict=False) if a != b
    ]
    assert turned[0] == ("stop", "target")
    service = ask("backtest", *rule, *SPAN, "--engine", "service")
    for document in (fast, service):
        document.pop("elapsed_s"), document.pop("engine")
    assert fast == service
    replay = ask("run", *rule, *REPLAY)
    assert closed(replay) == closed(fast) != closed(plain)
    parity = ask("parity", *rule[-2:])
    assert parity["trades_session"] == len(closed(replay)) > 100
    assert set(parity["parts"].values()) == {0.0}
    learn(home, shared_data)
    parity = ask("parity", *rule[-2:])
    assert parity["revised_bars"] > 100
    assert {part for part, money in parity["parts"].items() if abs(money) > 1e-9} == {"revised_data"}


def learn(home: Path, data: Path) -> None:
    """After the session, finer bars of the rest of its span come to be known."""
    with Workplace.opened(home) as place:
        later = place.clock.now_ms() + 86_400_000
        store_bars(place, data, "ETH", "5m", ("2023-07-30", "2023-08-12"), known_ms=later)


def test_without_finer_bars_the_result_says_so(ask: Ask, rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    line = ("backtest", *rule, "--from", "2023-06-01", "--to", "2023-06-20")
    plain = ask(*line)
    monkeypatch.setenv(FINER, "finer")
    found = ask(*line)
    assert found["trades"] == plain["trades"]
    assert "no finer bars are stored" in found["assumptions"][-1]


def test_a_sweep_tries_both_readings(ask: Ask, rule: Rule, home: Path) -> None:
    grid = home.parent / "grid.toml"
    grid.write_text('"trading.matching.both_touched" = ["stop", "finer"]\n')
    line = ("--symbol", "ETHUSDT", *rule[2:], *SPAN)
    swept = ask("sweep", *line, "--grid", grid)
    plain = ask("backtest", *line)
    rows = [row["equity_end"] for row in swept["runs"]]
    assert rows[0] == plain["equity_end"] != rows[1]
    assert "finer bars are stored inside" in swept["assumptions"][0]


def test_what_research_earns_after_costs_is_read_from_finer_bars_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Coin flips as forecasts: only where a bar reaches both levels may the two readings part."""
    found = {}
    for reading in ("stop", "finer"):
        monkeypatch.setenv(FINER, reading)
        with Workplace.opened(home) as place:
            frame = place.database.candles.read(key_of("ETH", "1h"))
            funding = FundingFrame.empty("binanceusdm", frame.key.symbol)
            evaluator = TradingEvaluator(place.settings, finer=place.database.candles.read)
            found[reading] = evaluator.evaluate(frame, funding, coins(len(frame)), "even")
    assert "finer bars are stored inside" in found["finer"]["assumptions"][-1]
    found = {reading: trading["edge"] for reading, trading in found.items()}
    assert found["stop"]["trades"] == found["finer"]["trades"] > 50
    assert found["stop"]["equity_end"] < found["finer"]["equity_end"]


def coins(bars: int, seed: int = 4) -> np.ndarray:
    """``[T, WIDTH]`` forecasts that are sure of a side, drawn anew at each bar of the last 1,000."""
    rows: np.ndarray = np.tile(abstaining_row(Abstain.NO_MODEL), (bars, 1))
    rng = np.random.default_rng(seed)
    for row in rows[-1000:]:
        up = rng.random() < 0.5
        row[[Col.P_LONG, Col.P_SHORT, Col.P_NEUTRAL]] = (0.6, 0.2, 0.2) if up else (0.2, 0.6, 0.2)
        row[[Col.L_TARGET, Col.L_STOP, Col.L_TIME]] = (0.8, 0.1, 0.1) if up else (0.1, 0.8, 0.1)
        row[[Col.S_TARGET, Col.S_STOP, Col.S_TIME]] = (0.1, 0.8, 0.1) if up else (0.8, 0.1, 0.1)
        row[[Col.L_TIME_RETURN, Col.S_TIME_RETURN]] = 0.0
        row[[Col.LOWER_LONG, Col.LOWER_SHORT]] = (0.7, 0.1) if up else (0.1, 0.7)
        row[[Col.ABSTAIN, Col.MODEL]] = Abstain.NO, 0
    return rows
