"""``parity``: a session against the back-test of its bars, with differences planted one at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.ledger import account_document
from app.main import main
from app.wiring import Workplace
from data.market import Frame, SeriesKey
from trading.state import TradingState

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic")
LATER = 86_400_000  # after now: when a revision becomes known
Ask = Callable[..., dict[str, Any]]
REPLAY = ("run", "--source", "replay", "--symbols", "BTCUSDT", "--timeframe", "1h", "--strategy", "trend-or-range",
          "--replay", "2024-05-01..2024-06-15", "--speed", "max")  # fmt: skip


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with synthetic 1h bars; copied, never written to."""
    home = tmp_path_factory.mktemp("parity") / "home"
    words = ["synthetic", "--symbol", "BTCUSDT", "--timeframe", "1h", "--bars", "4200", "--seed", "3"]
    assert main(["--home", str(home), "--json", *words]) == 0
    return home


@pytest.fixture(scope="module")
def replayed(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a finished replay."""
    home = Path(shutil.copytree(stocked, tmp_path_factory.mktemp("parity") / "home"))
    assert main(["--home", str(home), "--json", *REPLAY]) == 0
    return home


@pytest.fixture
def home(replayed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(replayed, tmp_path / "home"))


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    def call(home: Path, *words: str, code: int = 0) -> dict[str, Any]:
        capfd.readouterr()
        assert main(["--home", str(home), "--json", *words]) == code
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return call


def own(document: dict[str, Any]) -> dict[str, float]:
    """The parts that are not nought to the last bits, after what holds of every document."""
    assert sum(document["parts"].values()) == pytest.approx(document["difference"], abs=1e-9)
    assert document["pnl_session"] - document["pnl_backtest"] == pytest.approx(document["difference"], abs=1e-6)
    for trade in document["trades"]:
        assert sum(trade["parts"].values()) == pytest.approx(trade["difference"], abs=1e-9)
        made, wanted = trade["pnl_session"] or 0.0, trade["pnl_backtest"] or 0.0
        assert made - wanted == pytest.approx(trade["difference"], abs=1e-9)
    return {part: money for part, money in document["parts"].items() if abs(money) > 1e-9}


def bars_of(home: Path) -> Frame:
    with Workplace.opened(home) as place:
        return place.database.candles.read(KEY)


def entry_bars(home: Path) -> list[int]:
    with Workplace.opened(home) as place:
        account = place.database.accounts.newest()
        assert account is not None
        return [int(time) for time in place.database.trading.trades(account.id)["entry_time"]]


def write(home: Path, frame: Frame) -> None:
    with Workplace.opened(home) as place:
        known = np.full(len(frame), place.clock.now_ms() + LATER, dtype=np.int64)
        place.database.candles.write(replace(frame, known_at=known))


def test_a_session_on_the_same_bars_has_no_difference(home: Path, ask: Ask) -> None:
    document = ask(home, "parity", "--check")
    assert document["trades_session"] == document["trades_backtest"] > 10
    assert own(document) == {} and document["notes"] == []
    assert document["revised_bars"] == document["absent_bars"] == document["revised_settlements"] == 0


def test_a_revised_bar_is_revised_data(home: Path, ask: Ask) -> None:
    bars = bars_of(home)
    at = int(np.searchsorted(bars.open_time, entry_bars(home)[3]))
    bar = bars.slice(at, at + 1)
    dearer = bar.open * 1.001
    write(home, replace(bar, open=dearer, high=np.maximum(bar.high, dearer)))
    document = ask(home, "parity", "--check", code=1)
    assert document["revised_bars"] == 1
    assert list(own(document)) == ["revised_data"]


def test_a_bar_that_came_late_is_a_missed_fill(stocked: Path, replayed: Path, tmp_path: Path, ask: Ask) -> None:
    """The bar that would have filled an entry is not there while the session runs, and is stored afterwards."""
    bars, entry = bars_of(replayed), entry_bars(replayed)[3]
    home = tmp_path / "home"
    words = ["synthetic", "--symbol", "BTCUSDT", "--timeframe", "1h", "--bars", "10", "--seed", "3"]
    ask(home, *words)
    kept = bars.take(bars.open_time != entry)
    with Workplace.opened(home) as place:
        place.database.candles.write(kept)
        with Workplace.opened(stocked) as other:
            funding = other.database.candles.read_funding(KEY.exchange, KEY.symbol, KEY.source)
        place.database.candles.write_funding(funding)
    ask(home, *REPLAY)
    assert own(ask(home, "parity")) == {}
    write(home, bars.take(bars.open_time == entry))
    document = ask(home, "parity")
    assert document["absent_bars"] == 1 and document["revised_bars"] == 0
    assert list(own(document)) == ["missed_fill"]


def test_another_funding_rate_is_funding(home: Path, ask: Ask) -> None:
    with Workplace.opened(home) as place:
        store = place.database.candles
        funding = store.read_funding(KEY.exchange, KEY.symbol, KEY.source)
        known = np.full(len(funding), place.clock.now_ms() + LATER, dtype=np.int64)
        store.write_funding(replace(funding, rate=funding.rate + 0.001, known_at=known))
    document = ask(home, "parity")
    assert document["revised_settlements"] > 100
    assert list(own(document)) == ["funding"]


def test_other_fees_are_fee(stocked: Path, tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange charges more than the settings say: later sizes, too, follow from that."""
    home = Path(shutil.copytree(stocked, tmp_path / "home"))
    made = TradingState.new

    def dearer(*words: Any) -> TradingState:
        state = made(*words)
        state.instruments["taker"] = 0.0009
        return state

    with monkeypatch.context() as patch:
        patch.setattr(TradingState, "new", dearer)
        ask(home, *REPLAY)
    document = ask(home, "parity")
    assert document["difference"] < 0.0 and document["notes"] == []
    assert list(own(document)) == ["fee"]


def test_a_session_is_run_again_under_the_settings_that_it_was_opened_under(
    home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTAI_TRADING__SIZING__MARGIN_SHARE", "0.04")
    document = ask(home, "parity")
    assert own(document) == {} and document["notes"] == []
    with Workplace.opened(home) as place:
        account = place.database.accounts.newest()
        assert account is not None and "settings" not in account_document(account)["about"]


def test_settings_that_changed_are_said_and_never_hidden(home: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account of a version that kept no settings."""
    with Workplace.opened(home) as place:
        account = place.database.accounts.newest()
        assert account is not None
        bare = {name: value for name, value in account.about.items() if name != "settings"}
        place.database.accounts.set_about(account.id, bare)
    monkeypatch.setenv("QUANTAI_TRADING__SIZING__MARGIN_SHARE", "0.04")
    document = ask(home, "parity")
    parts = own(document)
    assert document["notes"] and max(parts, key=lambda part: abs(parts[part])) == "size"


def test_forecasts_are_those_that_were_said(replayed: Path, tmp_path: Path, ask: Ask) -> None:
    """A run on a stored walk-forward: the forecasts come from its ledger, even when the walk-forward is gone."""
    home = Path(shutil.copytree(replayed, tmp_path / "home"))
    series = ("--symbol", "BTCUSDT", "--timeframe", "1h")
    ask(home, "walk-forward", *series, "--train", "60d", "--test", "20d", "--step", "20d", "--models", "logistic")
    ask(home, "run", "--source", "replay", *series, "--schedule", "walk-forward", "--replay", "2024-05-01..2024-06-01",
        "--speed", "max")  # fmt: skip
    document = ask(home, "parity")
    assert document["trades_session"] > 3 and document["notes"] == []
    assert own(document) == {}


def test_no_account_is_one_sentence(stocked: Path, ask: Ask) -> None:
    assert "Parity is of one account" in ask(stocked, "parity", code=1)["error"]


def test_a_paper_account_that_went_on_has_no_difference(tmp_path: Path, ask: Ask) -> None:
    home = tmp_path / "home"
    paper = ("run", "--source", "synthetic", "--symbols", "BTCUSDT,ETHUSDT", "--timeframe", "1h", "--strategy",
             "trend-or-range", "--speed", "max")  # fmt: skip
    ask(home, *paper, "--bars", "300")
    ask(home, *paper, "--bars", "300")
    document = ask(home, "parity")
    assert document["mode"] == "paper" and document["bars"] == 600 and document["trades_session"] > 3
    assert own(document) == {} and document["notes"] == []


def test_a_run_under_a_profile_is_held_against_its_own_settings(stocked: Path, tmp_path: Path, ask: Ask) -> None:
    """Parts, moved stops and the Monte-Carlo rule of ``sigma``; nobody has to say again that it was this profile."""
    home = Path(shutil.copytree(stocked, tmp_path / "home"))
    ask(home, "run", "--profile", "sigma", "--timeframe", "1h", "--source", "replay", "--replay",
        "2024-05-01..2024-06-01", "--speed", "max")  # fmt: skip
    document = ask(home, "parity")
    assert document["trades_session"] > 3 and document["notes"] == []
    assert own(document) == {}
