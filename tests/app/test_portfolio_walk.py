"""``walk-forward`` over several symbols: each is walked as alone, and all are traded as the back-test trades them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from app import portfolio_walk
from app.cli.walk_report import show_portfolio
from app.main import main
from app.portfolio_walk import perform_all
from app.walk_forward import Request, perform
from app.wiring import Workplace
from data.errors import UserError
from data.market import SeriesKey
from data.synthetic import synthetic_market

KEYS = tuple(SeriesKey("binanceusdm", f"{name}/USDT:USDT", "1h", "ohlcv", "synthetic") for name in ("BTC", "ETH"))
BARS, LATER = 3600, 72
SYMBOLS = tuple(key.symbol for key in KEYS)
WALK = ("walk-forward", "--timeframe", "1h", "--train", "60d", "--test", "20d", "--step", "20d", "--models", "logistic")
ASKED = Request(SYMBOLS[0], "1h", "60d", "20d", "20d", ("logistic",))
Document = dict[str, Any]
Ask = Callable[..., Document]


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two markets, of which the second begins later; copied, never written to."""
    home = tmp_path_factory.mktemp("portfolio") / "home"
    home.mkdir()
    with Workplace.opened(home) as place:
        for k, key in enumerate(KEYS):
            frame, funding = synthetic_market(key.symbol, "1h", BARS, 3 + k, exchange=key.exchange)
            place.database.candles.write(frame.slice(LATER * k, BARS))
            place.database.candles.write_funding(funding)
    return home


@pytest.fixture(scope="module")
def walked(stocked: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Document]:
    """The same after both were walked together, and what was said of it."""
    home = Path(shutil.copytree(stocked, tmp_path_factory.mktemp("portfolio") / "home"))
    told: list[tuple[int, int, str]] = []
    with Workplace.opened(home) as place:
        document = perform_all(place, SYMBOLS, ASKED, lambda *step: told.append(step))
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told) and told[-1][:2] == (200, 200)
    return home, document


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    def call(home: Path, *words: str) -> Document:
        capfd.readouterr()
        assert main(["--home", str(home), "--json", *words]) == 0
        found: Document = json.loads(capfd.readouterr().out)
        return found

    return call


def test_each_symbol_is_walked_as_alone_over_the_common_bars(
    stocked: Path, walked: tuple[Path, Document], tmp_path: Path
) -> None:
    """Its document is the same to the last bit; only the later tries of the account come on top."""
    home, document = Path(shutil.copytree(stocked, tmp_path / "home")), walked[1]
    begin = int(synthetic_market(SYMBOLS[0], "1h", BARS, 3)[0].open_time[LATER])
    with Workplace.opened(home) as place:
        for symbol, walk in zip(SYMBOLS, document["walks"], strict=True):
            alone = perform(place, replace(ASKED, symbol=symbol, start_ms=begin))
            assert json.dumps(alone, sort_keys=True) == json.dumps(walk, sort_keys=True)
    assert document["same_folds"] and document["complete"] and len(document["walks"][0]["folds"]) == 4


@pytest.mark.parametrize(("part", "gates"), [("account", "enforce"), ("edge", "observe")])
def test_the_account_is_the_back_test_over_the_stored_forecasts(
    walked: tuple[Path, Document], ask: Ask, part: str, gates: str
) -> None:
    home, document = walked
    line = ("--symbols", "BTCUSDT,ETHUSDT", "--timeframe", "1h", "--schedule", "walk-forward", "--gates", gates)
    test = ask(home, "backtest", *line)
    said = document["trading"][part]
    assert test["schedule"] == document["runs"] and len(test["trades"]) == said["trades"] > 10
    assert {t["symbol"] for t in test["trades"]} == set(SYMBOLS)
    assert (test["equity_end"], test["halted_at"]) == (said["equity_end"], said["halted_at"])
    assert test["metrics"]["sharpe"] == said["sharpe"]
    assert test["analysis"]["by_symbol"] == document["analysis"][part]["by_symbol"]
    curve = document["equity"]
    assert curve[-1][part] == test["equity_end"] and len(curve) == said["track_record_days"] == 80


def test_buying_and_holding_is_of_equal_parts(walked: tuple[Path, Document]) -> None:
    _, document = walked
    alone = [walk["trading"]["baselines"]["buy and hold"] for walk in document["walks"]]
    held = document["trading"]["baselines"]["buy and hold"]
    assert held["net_return"] == pytest.approx(sum(one["net_return"] for one in alone) / 2)
    assert held["bars"] == alone[0]["bars"]


def test_the_account_is_one_try_on_each_of_its_series(walked: tuple[Path, Document]) -> None:
    home, document = walked
    with Workplace.opened(home) as place:
        tried = [{t.digest: t for t in place.database.trials.of(key)} for key in KEYS]
        started = place.database.audit.entries(kind="portfolio_walk_started")
    assert [len(trials) for trials in tried] == [2, 2] and len(tried[0].keys() & tried[1].keys()) == 1
    assert document["trading"]["trials"] == 3 and len(started) == 1
    (shared,) = tried[0].keys() & tried[1].keys()
    days = list(tried[0][shared].daily.values())
    assert np.prod(1.0 + np.array(days)) - 1.0 == pytest.approx(document["trading"]["edge"]["net_return"])


def test_a_person_sees_symbols_account_and_verdict(walked: tuple[Path, Document]) -> None:
    page = io.StringIO()
    show_portfolio(Console(file=page, width=200), walked[1])
    for words in ("Symbols, out of sample", "Trading after costs", "By symbol, gates enforced", "After costs"):
        assert words in page.getvalue(), words


def test_an_interrupt_keeps_the_symbols_that_are_finished(
    stocked: Path, walked: tuple[Path, Document], tmp_path: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(place: Workplace, request: Request, *rest: Any) -> Document:
        if request.symbol == SYMBOLS[1]:
            raise KeyboardInterrupt
        return perform(place, request, *rest)

    monkeypatch.setattr(portfolio_walk, "perform", interrupted)
    home = Path(shutil.copytree(stocked, tmp_path / "home"))
    document = ask(home, *WALK, "--symbols", "BTCUSDT,ETHUSDT")
    assert not document["complete"] and document["trading"] is None
    assert "Stopped after 1 of 2 symbols" in document["verdict"]
    assert document["runs"] == walked[1]["runs"][:1]
    with Workplace.opened(home) as place:
        assert [run.key for run in place.database.forecasts.runs()] == [KEYS[0]]


def test_symbols_without_a_common_bar_are_one_sentence(stocked: Path) -> None:
    with Workplace.opened(stocked) as place, pytest.raises(UserError, match="no bar in common"):
        early = int(synthetic_market(SYMBOLS[0], "1h", BARS, 3)[0].open_time[LATER - 1])
        perform_all(place, SYMBOLS, replace(ASKED, end_ms=early))
