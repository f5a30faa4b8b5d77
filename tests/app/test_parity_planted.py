"""A paper session that met one thing otherwise: the whole difference, later sizes included, stands under its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.feeds import SyntheticFeed
from app.main import main
from app.wiring import Workplace
from data.market import SeriesKey
from tests.app.test_parity import LATER, own
from trading.execution.paper import PaperVenue
from trading.records import Reason

HOUR = 3_600_000
KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic")
PAPER = ("run", "--source", "synthetic", "--symbols", "BTCUSDT", "--timeframe", "1h", "--strategy", "trend-or-range",
         "--speed", "max", "--bars", "500", "--seed", "3")  # fmt: skip
WORKS_ON = "QUANTAI_TRADING__MATCHING__ENTRY_BARS"
Ask = Callable[..., dict[str, Any]]


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Ask:
    def call(*words: str, home: str = "home") -> dict[str, Any]:
        capfd.readouterr()
        assert main(["--home", str(tmp_path / home), "--json", *words]) == 0
        found: dict[str, Any] = json.loads(capfd.readouterr().out)
        return found

    return call


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """Open times of the bars that fill an entry of the undisturbed session."""
    home = tmp_path_factory.mktemp("planted") / "home"
    assert main(["--home", str(home), "--json", *PAPER]) == 0
    with Workplace.opened(home) as place:
        account = place.database.accounts.newest()
        assert account is not None
        return [int(time) for time in place.database.trading.trades(account.id)["entry_time"]]


def asleep(patch: pytest.MonkeyPatch, moment: int) -> None:
    """The venue sleeps through one open."""
    at_open = PaperVenue.at_open
    patch.setattr(PaperVenue, "at_open", lambda self, s, bar: bar.open_time != moment and at_open(self, s, bar))


def late_bar(patch: pytest.MonkeyPatch, moment: int) -> None:
    """The bar before the entry came too late to act on."""
    late = [int(Reason.LATE_BAR)]
    patch.setattr(SyntheticFeed, "hold", lambda _, open_time: late if open_time == moment - HOUR else ())


def revised(home: Path, moment: int) -> None:
    """The exchange corrects the open of a bar after the session."""
    with Workplace.opened(home) as place:
        store = place.database.candles
        bar = store.read(KEY, moment, moment + 1)
        known = np.full(1, place.clock.now_ms() + LATER, dtype=np.int64)
        store.write(replace(bar, open=bar.open * 1.002, high=np.maximum(bar.high, bar.open * 1.002), known_at=known))


def differing(document: dict[str, Any]) -> int:
    return sum(abs(trade["difference"]) > 1e-9 for trade in document["trades"])


def test_an_entry_filled_a_bar_late_is_latency(ask: Ask, entries: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKS_ON, "2")
    with monkeypatch.context() as patch:
        asleep(patch, entries[1])
        ask(*PAPER)
    document = ask("parity")
    assert (document["late_entries"], document["missed_entries"], document["revised_bars"]) == (1, 0, 0)
    assert list(own(document)) == ["latency"] and differing(document) > 2 and document["notes"] == []
    assert document["trades_session"] != document["trades_backtest"]  # another trade follows from it


@pytest.mark.parametrize("plant", [asleep, late_bar])
def test_an_entry_that_was_never_made_is_a_missed_fill(
    ask: Ask, entries: list[int], monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch, int], None]
) -> None:
    with monkeypatch.context() as patch:
        plant(patch, entries[1])
        ask(*PAPER)
    document = ask("parity")
    assert (document["late_entries"], document["missed_entries"]) == (0, 1)
    assert list(own(document)) == ["missed_fill"] and differing(document) > 2 and document["notes"] == []


def test_a_bar_corrected_afterwards_is_revised_data(ask: Ask, entries: list[int], tmp_path: Path) -> None:
    ask(*PAPER)
    revised(tmp_path / "home", entries[1])
    document = ask("parity")
    assert document["revised_bars"] == 1 and document["mode"] == "paper"
    assert list(own(document)) == ["revised_data"] and differing(document) > 2


def test_several_at_once_each_stand_under_their_own_name(
    ask: Ask, entries: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(WORKS_ON, "2")
    with monkeypatch.context() as patch:
        late_bar(patch, entries[1])
        asleep(patch, entries[9])
        ask(*PAPER)
    revised(tmp_path / "home", entries[14])
    document = ask("parity")
    assert set(own(document)) == {"missed_fill", "latency", "revised_data"}
    assert (document["late_entries"], document["missed_entries"], document["revised_bars"]) == (1, 1, 1)
