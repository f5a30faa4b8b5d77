"""Back-tests and sweeps of the window: the same figures as on the command line, kept whole or not at all."""

from __future__ import annotations

import asyncio
import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from app.backtest_commands import BacktestCommands, trades_table
from app.backtest_jobs import BACKTEST, backtest, backtest_job, backtest_words, sweep, sweep_words
from app.backtest_requests import check, grid_text, value_of
from app.backtest_verdict import finding
from app.contract import commands as c
from app.contract import queries as q
from app.contract.backtest_views import BacktestsView, BacktestView, SweepView
from app.contract.forms import BacktestForm
from app.jobs import Jobs, JobStatus
from app.main import main
from app.market_data import synthesise_into_store
from app.projections import Context, build
from app.wiring import Workplace
from data.clock import iso
from data.errors import QuantError, UserError

FORM = BacktestForm(("BTC/USDT:USDT",), "1h", "rsi-oversold", since="2024-01-20", gates="observe", seed="5")
SPAN = ("--symbol", "BTCUSDT", "--timeframe", "1h", "--strategy", "rsi-oversold", "--from", "2024-01-20")
GRID = (("long.all.0.right", "30, 40"), ("exits.swing.stop", "1, 2, 3"))
Call = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two synthetic series."""
    made = tmp_path_factory.mktemp("backtests") / "home"
    with Workplace.opened(made) as place:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            synthesise_into_store(place, symbol=symbol, timeframe="1h", bars=2400, seed=3)
    return made


@pytest.fixture
def place(folder: Path) -> Iterator[Workplace]:
    with Workplace.opened(folder) as opened:
        yield opened


@pytest.fixture
def call(folder: Path, capfd: pytest.CaptureFixture[str]) -> Call:
    def called(*words: object) -> dict[str, Any]:
        capfd.readouterr()
        assert main(["--home", str(folder), "--json", *map(str, words)]) == 0
        document: dict[str, Any] = json.loads(capfd.readouterr().out)
        return document

    return called


def without_time(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "elapsed_s"}


def shown(place: Workplace, number: int) -> Any:
    return build(q.BacktestQuery(number), Context(place))


def kept(place: Workplace, kind: str, made: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    return shown(place, place.database.backtests.save(kind, *made))


def test_what_is_shown_equals_the_command_line(place: Workplace, call: Call) -> None:
    said = call("backtest", *SPAN, "--gates", "observe", "--seed", "5")
    made = backtest(place, FORM)
    assert without_time(json.loads(json.dumps(made[1]["document"]))) == without_time(said)
    view: BacktestView = kept(place, "backtest", made)
    assert len(view.trades) == len(said["trades"]) > 5
    assert [t.trade_id for t in view.trades] == [t["id"] for t in said["trades"]][::-1]
    assert math.isclose(sum(t.pnl for t in view.trades), said["analysis"]["costs"]["net"], abs_tol=1e-6)
    cards = {card.key: card.value for card in view.cards}
    assert cards["net_return"] == said["equity_end"] / said["equity_start"] - 1.0
    assert (cards["sharpe"], cards["max_drawdown"]) == (said["metrics"]["sharpe"], said["metrics"]["max_drawdown"])
    assert {f.key: f.value for f in view.figures}.items() <= said["metrics"].items()
    for name in ("by_exit", "by_symbol", "by_side", "by_regime", "by_hour"):
        groups = getattr(view, name)
        assert sum(row.trades for row in groups) == len(view.trades)
        assert all(math.isclose(row.gross - row.costs, row.pnl, abs_tol=1e-6) for row in groups)
    assert view.equity[-1] == said["equity_end"] and view.drawdown.max() == pytest.approx(cards["max_drawdown"])
    assert math.isclose(math.prod(1 + m.value for m in view.months), said["equity_end"] / said["equity_start"])
    assert view.drawdown_limit is None and view.form == FORM


def test_a_cost_of_the_form_is_that_of_the_settings(
    place: Workplace, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = replace(FORM, overrides=(("trading.costs.spread", "0.002"), ("trading.paper.start_equity", "5000")))
    document = json.loads(json.dumps(backtest(place, form)[1]["document"]))
    monkeypatch.setenv("QUANTAI_TRADING__COSTS__SPREAD", "0.002")
    monkeypatch.setenv("QUANTAI_TRADING__PAPER__START_EQUITY", "5000")
    said = call("backtest", *SPAN, "--gates", "observe", "--seed", "5")
    assert without_time(document) == without_time(said) and document["equity_start"] == 5000


def test_a_sweep_is_that_of_the_command_line_and_its_best_cell_stands_where_it_was_found(
    place: Workplace, call: Call, tmp_path: Path
) -> None:
    told: list[tuple[int, int, str]] = []
    made = sweep(place, FORM, GRID, lambda *said: told.append(said))
    path = tmp_path / "grid.toml"
    path.write_text(grid_text(GRID, ()))
    said = call("sweep", *SPAN, "--grid", path, "--gates", "observe", "--seed", "5")
    assert made[1]["document"]["runs"] == said["runs"] and made[1]["document"]["best"] == said["best"]
    view: SweepView = kept(place, "sweep", made)
    assert (view.x_key, view.y_key) == ("long.all.0.right", "exits.swing.stop")
    assert (view.x_values, view.y_values) == (("30", "40"), ("1", "2", "3"))
    for row in said["runs"]:
        x = view.x_values.index(f"{row['parameters'][view.x_key]:g}")
        y = view.y_values.index(f"{row['parameters'][view.y_key]:g}")
        (cell,) = (c for c in view.cells if (c.x, c.y) == (x, y))
        assert (cell.sharpe, cell.net_return, cell.trades) == (row["sharpe"], row["net_return"], row["trades"])
    assert view.best is not None
    best = next(c for c in view.cells if (c.x, c.y) == view.best)
    assert best.sharpe == max(c.sharpe for c in view.cells if c.sharpe is not None)
    assert told[-1][:2] == (6, 6) and "run 9: 6 of 6" in sweep_words({"number": 9, **made[0]})[0]
    again: BacktestView = kept(place, "backtest", backtest(place, FORM, best.parameters))
    assert next(c.value for c in again.cards if c.key == "sharpe") == best.sharpe


def test_a_sweep_that_is_stopped_keeps_what_was_run(place: Workplace) -> None:
    seen: list[int] = []
    made = sweep(place, FORM, GRID, lambda done, _total, _words: seen.append(done), lambda: max(seen) >= 2)
    view: SweepView = kept(place, "sweep", made)
    assert (view.done, view.planned) == (2, 6) and made[0]["about"] == "2 of 6 combinations, stopped"
    assert sum(c.trades is not None for c in view.cells) == 2
    assert "stopped before the end" in view.finding.sentence


@pytest.mark.workers
def test_a_back_test_that_is_cancelled_leaves_nothing(folder: Path, place: Workplace) -> None:
    before = place.database.backtests.heads(), place.database.trials.summary()
    jobs = Jobs(on_change=lambda status: _cancel(jobs, status))
    _, future = jobs.start("Back-test", BACKTEST, {"home": str(folder), "form": asdict(FORM)})
    with pytest.raises(QuantError, match="cancelled"):
        future.result(60)
    jobs.close()
    assert (place.database.backtests.heads(), place.database.trials.summary()) == before


def _cancel(jobs: Jobs, status: JobStatus) -> None:
    if status.words:
        jobs.cancel(status.job_id)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"strategy": "nonsense"}, "Unknown strategy 'nonsense': use one of"),
        ({"since": "2031-01-01"}, "No bar of BTCUSDT 1h lies from 2031-01-01 on: stored"),
        ({"until": "2023-01-01", "since": ""}, "stored are 2024-01-01"),
        ({"since": "2024-03-01", "until": "2024-02-01"}, "ends .2024-02-01. before it begins"),
        ({"since": "soon"}, "'soon' is no date"),
        ({"symbols": ()}, "Choose at least one symbol"),
        ({"symbols": ("DOGE/USDT:USDT",)}, "No bars of DOGEUSDT 1h are stored"),
        ({"strategy": "ensemble"}, "No walk-forward of"),
        ({"seed": "x"}, "The seed 'x'"),
        ({"on_halt": "never"}, "'never' is not known"),
    ],
    ids=lambda v: " " if isinstance(v, str) else "-".join(v),
)
def test_what_cannot_be_run_is_refused_in_one_sentence(place: Workplace, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        check(place, replace(FORM, **changes))
    assert str(refused.value).rstrip().endswith((".", "?"))


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ((), "Say what the sweep varies"),
        ((("threshold", " , "),), "give its values"),
        ((("a", "1"), ("b", "2"), ("c", "3")), "one or two"),
        ((("a", "1"), ("a", "2")), "one or two different"),
    ],
)
def test_a_grid_that_says_nothing_is_refused(grid: tuple[tuple[str, str], ...], words: str) -> None:
    with pytest.raises(UserError, match=words):
        grid_text(grid, ())


def test_a_wrong_key_of_a_grid_is_named_without_a_file(place: Workplace) -> None:
    with pytest.raises(UserError, match=r"^The grid: 'long\.all\.7\.right'"):
        sweep(place, FORM, (("long.all.7.right", "1, 2"),), lambda *_: None)
    with pytest.raises(UserError, match=r"^The form: 'trading\.costs\.spread'"):
        backtest(place, replace(FORM, overrides=(("trading.costs.spread", "7"),)))


def test_several_symbols_and_the_list_and_the_export(place: Workplace) -> None:
    form = replace(FORM, symbols=("BTC/USDT:USDT", "ETH/USDT:USDT"), gates="enforce")
    head, body = backtest(place, form)
    number = place.database.backtests.save("backtest", head, body)
    listed: BacktestsView = build(q.BacktestsQuery(), Context(place))
    row = listed.rows[0]
    assert (row.number, row.symbols, row.trades) == (number, form.symbols, len(body["document"]["trades"]))
    view: BacktestView = shown(place, number)
    assert {g.name for g in view.by_symbol} == set(form.symbols) and view.drawdown_limit == 0.05
    assert f"run {number}: " in backtest_words({"number": number, **head})[0]
    table = trades_table(place.database.backtests.body(number))
    assert len(table) == len(view.trades) + 1
    last = dict(zip(table[0], table[-1], strict=True))
    assert (last["id"], last["pnl"]) == (view.trades[0].trade_id, view.trades[0].pnl)
    assert last["exit_time"] == iso(view.trades[0].exit_ms)
    assert {s.symbol for s in listed.series} == set(form.symbols)
    rule = next(s for s in listed.strategies if s.name == "rsi-oversold")
    assert ("long.all.0.right", "30") in rule.numbers and not rule.reads_forecasts


def test_every_number_that_the_list_offers_can_be_swept(place: Workplace) -> None:
    listed: BacktestsView = build(q.BacktestsQuery(), Context(place))
    keys = {setting.key: setting.value for setting in listed.settings}
    assert {"trading.costs.taker_fee", "trading.sizing.risk_share"} <= set(keys)
    assert [value_of(text) for text in ("25", "0.5", "true", "swing")] == [25, 0.5, True, "swing"]


@pytest.mark.parametrize(
    ("changes", "net", "title"),
    [
        ({}, 0.1, "There may be an edge"),
        ({}, -0.1, "It would have lost"),
        ({"deflated_sharpe": 0.9}, 0.1, "Luck could do that"),
        ({"sharpe_low": -0.1}, 0.1, "Luck could do that"),
        ({"reality_check": 0.2}, 0.1, "Luck could do that"),
        ({"pbo": 0.6}, 0.1, "Likely over-fitted"),
        ({"track_record_days": 20}, 0.1, "Too little to judge"),
    ],
)
def test_a_verdict_names_what_is_missing(changes: dict[str, Any], net: float, title: str) -> None:
    evidence = {
        "deflated_sharpe": 0.99, "pbo": 0.2, "reality_check": 0.01, "trials": 12, "track_record_days": 400,
        "minimum_track_record_days": 300.0, "sharpe_low": 0.4, **changes,
    }  # fmt: skip
    found = finding(evidence, 80, net)
    assert found.title == title and (found.level == "ok") == (title == "There may be an edge")
    assert "12 tries" in found.sentence or title == "Too little to judge"


@pytest.mark.parametrize(
    ("low", "high", "words"), [(-0.4, 0.6, "the ratio holds zero"), (-6.2, -2.2, "the ratio lies below zero")]
)
def test_a_verdict_says_on_which_side_of_zero_the_band_lies(low: float, high: float, words: str) -> None:
    evidence = {"deflated_sharpe": 0.1, "track_record_days": 400, "sharpe_low": low, "sharpe_high": high}
    assert words in finding(evidence, 80, -0.1).sentence


def test_a_command_is_checked_and_starts_its_job(place: Workplace) -> None:
    started: list[tuple[str, str, Any]] = []

    def start(name: str, work: str, arguments: Any) -> c.Outcome:
        started.append((name, work, arguments))
        return c.Outcome(True, f"{name} has started.")

    commands = BacktestCommands(place, start)
    parameters = (("long.all.0.right", "35"),)
    assert asyncio.run(commands.do(c.RunBacktest(FORM, parameters))).ok
    (name, work, arguments), told = started[0], []
    assert (name, work) == ("Back-test rsi-oversold BTCUSDT 1h", BACKTEST)
    sent = json.loads(json.dumps(arguments))
    result = backtest_job(lambda *said: told.append(said), **sent)
    view: BacktestView = shown(place, result["number"])
    assert (view.form, view.parameters) == (FORM, parameters) and told[-1] == (3, 3, "kept")
    assert result["number"] == place.database.backtests.heads()[0].number
    with pytest.raises(UserError, match="one symbol"):
        asyncio.run(commands.do(c.RunSweep(replace(FORM, symbols=("BTCUSDT", "ETHUSDT")), GRID)))
    with pytest.raises(UserError, match="Unknown strategy"):
        asyncio.run(commands.do(c.RunSweep(replace(FORM, strategy="nonsense"), GRID)))
    assert len(started) == 1


def test_the_same_configuration_run_again_is_no_new_try(place: Workplace) -> None:
    form = replace(FORM, until="2024-03-01")
    counts = [backtest(place, form)[1]["evidence"]["trials"] for _ in range(2)]
    assert counts[0] == counts[1]
    assert backtest(place, form, (("long.all.0.right", "33"),))[1]["evidence"]["trials"] == counts[0] + 1


def test_an_export_of_trades_is_read_back(place: Workplace, tmp_path: Path) -> None:
    number = place.database.backtests.save("backtest", *backtest(place, FORM))
    done = BacktestCommands(place, lambda *_: c.Outcome(True, ""))
    path = tmp_path / "trades.csv"
    outcome = asyncio.run(done.do(c.ExportBacktest(number, str(path))))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert f"{len(rows):,} rows of run {number}" in outcome.sentence
    view: BacktestView = shown(place, number)
    assert sum(float(row["pnl"]) for row in rows) == pytest.approx(sum(t.pnl for t in view.trades))
    with pytest.raises(UserError, match="no CSV file"):
        asyncio.run(done.do(c.ExportBacktest(number, "trades.pdf")))
    assert asyncio.run(done.do(c.RemoveBacktest(number))).ok
    with pytest.raises(UserError, match=f"no back-test {number}"):
        shown(place, number)
