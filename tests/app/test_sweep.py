"""The sweep: its runs are back-tests, its best is the best, its search is paid for, its refusals are one sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai.schema import FeatureSchema
from ai.validation.overfitting import deflated_sharpe, overfitting_probability, sharpe_moments
from ai.validation.trials import trial_digest
from app.backtests import Request as BacktestRequest
from app.backtests import chosen, inputs_of, series_of
from app.evaluation import days_of
from app.grids import applied
from app.sweep_tables import heat_map
from app.sweeps import STARTED, Part, Request, perform, run_part
from app.wiring import Workplace
from data.market import Frame, SeriesKey
from tests.app.said import Command, Said
from tests.trading.cases import random_market
from trading.backtest import run_fast
from trading.strategy.library import LIBRARY

SERIES = ("--symbol", "BTCUSDT", "--timeframe", "1h")
RULE = ("--strategy", "rsi-oversold")
TWO_BY_THREE = """
"long.all.0.right" = [25, 30, 35]
[trading.limits]
loss_at_stop = [0.02, 0.001]
"""

Sweep = Callable[..., Said]


@pytest.fixture(scope="module")
def stocked(market_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the home with the synthetic market and its walk-forward; the tests of this file write to it."""
    return Path(shutil.copytree(market_home, tmp_path_factory.mktemp("sweeps") / "home"))


@pytest.fixture
def sweep(command: Command, stocked: Path, tmp_path: Path) -> Sweep:
    """``sweep(grid text, "--option", value)`` on that home."""

    def call(grid: str, *words: object, home: Path = stocked) -> Said:
        file = tmp_path / "grid.toml"
        file.write_text(grid)
        strategy = () if "--strategy" in words else RULE
        return command("--home", home, "sweep", *SERIES, *strategy, "--grid", file, *words)

    return call


def test_every_combination_is_a_run_in_the_order_of_the_grid(sweep: Sweep) -> None:
    said = sweep(TWO_BY_THREE)
    assert said.code == 0
    document = said.document
    assert set(document) >= {"runs", "best", "pbo", "deflated_sharpe", "trials", "elapsed_s"}
    tried = [tuple(run["parameters"].values()) for run in document["runs"]]
    assert tried == [(25, 0.02), (25, 0.001), (30, 0.02), (30, 0.001), (35, 0.02), (35, 0.001)]
    assert (document["trials"], document["planned"], document["complete"]) == (6, 6, True)
    for run in document["runs"]:
        assert set(run) >= {"parameters", "trades", "net_return", "sharpe", "max_drawdown", "equity_end", "halted_at"}
    assert document["runs"][0]["trades"] < document["runs"][4]["trades"]  # an RSI under 35 is commoner than under 25


def test_a_run_is_the_back_test_of_its_parameters(
    sweep: Sweep, command: Command, stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = '"long.all.0.right" = [30, 35]\n"trading.costs.taker_fee" = [0.0005, 0.001]\nexit_profile = ["even"]\n'
    run = sweep(grid, "--from", "2024-03-01").document["runs"][3]
    assert run["parameters"] == {"long.all.0.right": 35, "trading.costs.taker_fee": 0.001, "exit_profile": "even"}
    file = tmp_path / "own.toml"
    file.write_text(
        'name = "own"\nmeaning = "The same by hand."\n'
        '[[long.all]]\nleft = "rsi_14"\nop = "<"\nright = 35.0\n'
        '[[long.all]]\nleft = "close"\nop = ">"\nright = "ema_200"\n'
        '[[short.all]]\nleft = "rsi_14"\nop = ">"\nright = 70.0\n'
        '[[short.all]]\nleft = "close"\nop = "<"\nright = "ema_200"\n'
    )
    monkeypatch.setenv("QUANTAI_TRADING__COSTS__TAKER_FEE", "0.001")
    line = ("backtest", *SERIES, "--strategy", file, "--exit-profile", "even", "--from", "2024-03-01")
    alone = command("--home", stocked, *line).document
    assert run["trades"] == len(alone["trades"]) > 5
    assert run["equity_end"] == alone["equity_end"]
    assert run["sharpe"] == alone["metrics"]["sharpe"]
    assert run["max_drawdown"] == alone["metrics"]["max_drawdown"]
    assert run["halted_at"] == alone["halted_at"]


def test_best_luck_and_overfitting_are_those_of_the_daily_returns(sweep: Sweep, stocked: Path) -> None:
    grid = '"short.all.0.right" = [60, 65, 70, 75]\nexit_profile = ["scalp", "swing"]\n'
    document = sweep(grid, "--gates", "observe", "--from", "2024-01-20").document
    best = max(document["runs"], key=lambda run: (run["sharpe"], run["net_return"]))
    assert document["best"] == best
    start = 1_705_708_800_000
    base = BacktestRequest(("BTC/USDT:USDT",), "1h", strategy="rsi-oversold", start_ms=start, enforce=False)
    with Workplace.opened(stocked) as place:
        keys = series_of(place, base)
        strategy, runs, _ = chosen(place, base, keys)
        inputs = inputs_of(place, base, keys, strategy, runs)
        log = {trial_digest("sweep", t.configuration): t for t in place.database.trials.of(keys[0])}
    columns = []
    for run in document["runs"]:
        config = applied(inputs.config, run["parameters"], "grid")
        result = run_fast(config, inputs.grid, inputs.features, None, inputs.schema)
        columns.append(list(days_of(result, inputs.grid.step_ms).values()))
    at = document["runs"].index(best)
    order = [at, *(k for k in range(len(columns)) if k != at)]  # of equal ones in sample the first is taken
    assert document["pbo"] == overfitting_probability(np.array([columns[k] for k in order]).T)
    moments = [sharpe_moments(np.array(column)) for column in columns]
    here = {t.digest for t in log.values() if list(t.daily.values()) in columns}
    others = [np.array(list(t.daily.values())) for t in log.values() if t.digest not in here and t.daily]
    sharpes = [m[0] for m in moments] + [float(r.mean() / r.std(ddof=1)) for r in others if r.std() > 0.0]
    variance = float(np.var(sharpes, ddof=1))  # of every configuration tried on the series that has returns
    tries = document["trials"] + document["earlier_trials"]
    expected = deflated_sharpe(moments[at][0], len(columns[at]), tries, variance, *moments[at][1:])
    assert document["deflated_sharpe"] == pytest.approx(expected, rel=1e-12)


def test_one_configuration_has_no_overfitting_probability(sweep: Sweep) -> None:
    assert sweep('"long.all.0.right" = [30]\n').document["pbo"] is None


def test_configurations_without_a_trade_count_and_are_never_the_best(sweep: Sweep) -> None:
    grid = '"long.all.0.right" = [0, 30]\n"short.all.0.right" = [100]\n'
    document = sweep(grid).document
    assert [run["trades"] > 0 for run in document["runs"]] == [False, True]
    assert document["runs"][0]["sharpe"] is None
    assert (document["best"], document["trials"]) == (document["runs"][1], 2)
    none = sweep('"long.all.0.right" = [0]\n"short.all.0.right" = [100]\n').document
    assert (none["best"], none["deflated_sharpe"], none["trials"]) == (None, None, 1)


def test_every_configuration_leaves_a_trace_that_later_sweeps_pay_for(
    sweep: Sweep, market_home: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(market_home, tmp_path / "fresh"))
    first = sweep('"long.all.0.right" = [25, 30]\n', home=home).document
    again = sweep('"long.all.0.right" = [25, 30]\n', home=home).document
    assert (first["earlier_trials"], again["earlier_trials"]) == (1, 1)  # the walk-forward; the same ones are not new
    assert again["deflated_sharpe"] == first["deflated_sharpe"]
    for low in (26, 27, 28):
        sweep(f'"long.all.0.right" = [{low}]\n', home=home)
    last = sweep('"long.all.0.right" = [25, 30]\n', home=home).document
    assert last["earlier_trials"] == 4
    assert last["deflated_sharpe"] < first["deflated_sharpe"]
    with Workplace.opened(home) as place:
        bodies = [json.loads(e.body) for e in place.database.audit.entries(kind=STARTED)]
        assert place.database.audit.verify().ok
    assert [body["configurations"] for body in bodies] == [2, 1, 1, 1, 2, 2]
    assert all(len(set(body["digests"])) == body["configurations"] for body in bodies)


def test_an_ensemble_is_swept_by_threshold_over_its_stored_forecasts(sweep: Sweep) -> None:
    words = ("--strategy", "ensemble", "--gates", "observe")
    document = sweep("threshold = [0.0, 0.3, 1.0]\n", *words).document
    trades = [run["trades"] for run in document["runs"]]
    assert trades[0] > trades[2] == 0
    assert document["schedule"] is not None
    refused = sweep('exit_profile = ["scalp"]\n', *words)
    assert "'exit_profile': the forecasts were made for one exit profile" in refused.document["error"]


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ("", "the grid is empty"),
        ("a = ", "not valid TOML"),
        ('"long.all.0.right" = 30\n', "'long.all.0.right': give a list of values"),
        ('"long.all.0.right" = []\n', "'long.all.0.right': the list is empty"),
        ('"long.all.0.right" = [30, 30.0]\n', "'long.all.0.right': 30.0 is listed twice"),
        ('"long.all.0.right" = ["ema_9"]\n', "'long.all.0.right': 'ema_9' does not fit: a constant"),
        ('"long.all.0.right" = [nan]\n', "'long.all.0.right': nan does not fit"),
        ('"long.all.0.right" = [true]\n', "'long.all.0.right': true does not fit"),
        ('"long.all.0.left" = [30]\n', "'long.all.0.left': there is no number there; the numbers of 'rsi-oversold'"),
        ('"long.all.9.right" = [30]\n', "nothing there; its numbers are at long.all.0.right, short.all.0.right"),
        ('"exit_long.right" = [30]\n', "'exit_long.right': 'rsi-oversold' has nothing there"),
        ("threshold = [0.3]\n", "'threshold': 'rsi-oversold' is a rule"),
        ('exit_profile = ["slow"]\n', "'exit_profile': 'slow' does not fit: use one of scalp, swing, even"),
        ('"trading.sizing.risk_share" = [0.01, 3]\n', "'trading.sizing.risk_share': 3 does not fit: it takes"),
        ('"trading.sizing.risk_share" = ["0.01"]\n', "'trading.sizing.risk_share': '0.01' does not fit"),
        ('"trading.limits.black_swan_action" = ["pray"]\n', "'pray' does not fit: it takes one of block, halt"),
        ('"trading.sizing.risk_shares" = [0.01]\n', "'trading.sizing.risk_shares': it is neither"),
        ('"trading.sizing" = [0.01]\n', "'trading.sizing': it is neither"),
        ('"ai.seed" = [1, 2]\n', "'ai.seed': this setting does not change a back-test"),
        ('"trading.paper.batch_bars" = [1, 2]\n', "'trading.paper.batch_bars': this setting does not change"),
        ('"long.all.0.right" = [1]\n[long.all.0]\nright = [2]\n', "it stands there twice"),
        (f'"long.all.0.right" = {list(range(2000))}\n', "'long.all.0.right': the lists make 2,000 combinations"),
    ],
)
def test_a_wrong_grid_is_one_sentence_naming_file_key_and_reason(sweep: Sweep, grid: str, words: str) -> None:
    said = sweep(grid)
    assert said.code == 1
    assert words in said.document["error"]
    assert "grid.toml" in said.document["error"]
    assert "\n" not in said.document["error"]


def test_a_refused_grid_is_no_try(sweep: Sweep, stocked: Path) -> None:
    def count() -> int:
        with Workplace.opened(stocked) as place:
            return len(place.database.audit.entries(kind=STARTED))

    before = count()
    assert sweep('"long.all.0.right" = [30]\n"trading.nothing" = [1]\n').code == 1
    assert count() == before


def test_a_sweep_of_two_symbols_is_refused(command: Command, stocked: Path, tmp_path: Path) -> None:
    line = ("sweep", "--symbol", "BTCUSDT,ETHUSDT", "--timeframe", "1h", *RULE, "--grid", tmp_path / "grid.toml")
    assert "one symbol, not 2" in command("--home", stocked, *line).document["error"]


def test_a_missing_grid_file_is_named(command: Command, stocked: Path, tmp_path: Path) -> None:
    line = ("--home", stocked, "sweep", *SERIES, *RULE, "--grid", tmp_path / "none.toml")
    assert "none.toml: the grid cannot be read" in command(*line).document["error"]


def test_ctrl_c_leaves_what_is_finished(stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "grid.toml"
    file.write_text('"long.all.0.right" = [25, 26, 27, 28, 29]\n')
    done = 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal done
        if done == 2:
            raise KeyboardInterrupt
        done += 1
        return run_fast(*arguments)

    monkeypatch.setattr("app.sweeps.run_fast", interrupted)
    said: list[tuple[int, int]] = []
    with Workplace.opened(stocked) as place:
        request = Request("BTC/USDT:USDT", "1h", "rsi-oversold", file)
        document = perform(place, request, lambda n, total, words: said.append((n, total)))
        assert len(document["runs"]) == document["trials"] == 2
        assert (document["planned"], document["complete"]) == (5, False)
        assert said == [(0, 5), (1, 5), (2, 5)]
        done = 2
        with pytest.raises(KeyboardInterrupt):
            perform(place, request)


def test_a_sweep_can_be_cancelled_between_back_tests(stocked: Path, tmp_path: Path) -> None:
    file = tmp_path / "grid.toml"
    file.write_text('"long.all.0.right" = [25, 26, 27]\n')
    finished: list[int] = []
    with Workplace.opened(stocked) as place:
        request = Request("BTC/USDT:USDT", "1h", "rsi-oversold", file)
        document = perform(place, request, lambda n, _total, _words: finished.append(n), lambda: 1 in finished)
    assert (len(document["runs"]), document["complete"]) == (1, False)


def test_a_person_sees_the_best_first_a_map_and_what_it_is_worth(
    stocked: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from app.main import main

    file, saved = tmp_path / "grid.toml", tmp_path / "runs.csv"
    file.write_text('"long.all.0.right" = [25, 35]\n"short.all.0.right" = [65, 70, 75]\n')
    words = ["--home", str(stocked), "sweep", *SERIES, *RULE, "--grid", str(file), "--save", str(saved)]
    assert main(words) == 0
    said = capfd.readouterr()
    assert "6 of 6 configurations" in said.out and "more than luck" in said.out
    assert "What the search costs: the best of" in said.out
    best = next(line for line in said.out.splitlines() if line.strip().startswith("best"))
    assert said.out.count(" *") == 1  # in the map
    assert f"The 6 runs are in {saved}" in said.err
    lines = [line.split(",") for line in saved.read_text().splitlines()]
    assert lines[0][:3] == ["long.all.0.right", "short.all.0.right", "trades"] and len(lines) == 7
    (marked,) = (line for line in lines if line[-2] == "1")
    assert best.split()[1:3] == marked[:2]


def test_two_parameters_make_a_map_and_a_file_holds_it_all(sweep: Sweep, tmp_path: Path) -> None:
    saved = tmp_path / "sweep.json"
    document = sweep('"long.all.0.right" = [25, 30]\n"short.all.0.right" = [65, 70, 75]\n', "--save", saved).document
    found = document["heat_map"]
    assert (found["rows"], found["columns"]) == ("long.all.0.right", "short.all.0.right")
    assert (found["row_values"], found["column_values"], found["beside"]) == ([25, 30], [65, 70, 75], {})
    for name in ("sharpe", "net_return", "max_drawdown", "trades"):
        assert [value for line in found[name] for value in line] == [run[name] for run in document["runs"]]
    i, j = found["best"]
    assert document["best"]["parameters"] == {"long.all.0.right": [25, 30][i], "short.all.0.right": [65, 70, 75][j]}
    assert json.loads(saved.read_text()) == document
    three = {**document, "grid": {**document["grid"], "x": [1, 2]}, "best": None}
    three["runs"] = [{**r, "parameters": {**r["parameters"], "x": x}} for r in document["runs"] for x in (1, 2)]
    cut = heat_map(three, "x", "short.all.0.right")
    assert cut["beside"] == {"long.all.0.right": 25} and cut["best"] is None
    assert cut["sharpe"][0] == cut["sharpe"][1] == found["sharpe"][0]


@pytest.mark.parametrize(
    ("name", "words"), [("runs.txt", "saved as .csv or .json"), ("no/runs.csv", "there is no folder")]
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_tried(
    sweep: Sweep, stocked: Path, tmp_path: Path, name: str, words: str
) -> None:
    with Workplace.opened(stocked) as place:
        before = len(place.database.audit.entries(kind=STARTED))
    said = sweep('"long.all.0.right" = [25]\n', "--save", tmp_path / name)
    assert said.code == 1 and words in said.document["error"]
    with Workplace.opened(stocked) as place:
        assert len(place.database.audit.entries(kind=STARTED)) == before


def test_strategies_beside_one_another_are_each_their_own_back_test(
    command: Command, sweep: Sweep, stocked: Path, tmp_path: Path
) -> None:
    names = ["rsi-oversold", "turtle", "triple-screen"]
    file = tmp_path / "grid.toml"
    file.write_text(f"strategy = {json.dumps(names)}\n")
    document = command("--home", stocked, "sweep", *SERIES, "--grid", file, "--from", "2024-03-01").document
    assert [run["parameters"]["strategy"] for run in document["runs"]] == names
    assert document["heat_map"] is None and document["sharpe_by_luck"] > 0
    alone = command("--home", stocked, "backtest", *SERIES, "--strategy", "turtle", "--from", "2024-03-01").document
    assert document["runs"][1]["trades"] == len(alone["trades"]) > 3
    assert document["runs"][1]["equity_end"] == alone["equity_end"]
    file.write_text('"trading.costs.spread" = [0.0]\n')
    assert "no strategy is named" in command("--home", stocked, "sweep", *SERIES, "--grid", file).document["error"]


def test_features_of_another_strategy_change_nothing() -> None:
    """A spread among them would close the gate of the spread: each strategy is run on what it reads itself."""
    market = random_market(8, 400, enforce=True)
    names = market.config.features()
    wide = np.concatenate([market.X, np.full((1, 1, market.grid.bars), 1000.0)], axis=1)
    part = Part((market.config,), ({},), market.grid, wide, None, FeatureSchema((*names, "book_spread")))
    ((row, _),) = run_part(part)
    alone = run_fast(market.config, market.grid, market.X, None)
    assert (row["trades"], row["equity_end"]) == (len(alone.trades), alone.equity_end)
    closed = run_fast(market.config, market.grid, wide, None, part.schema)
    assert len(closed.trades) < len(alone.trades)


@pytest.mark.data
def test_the_library_trades_a_quarter_of_real_bars_in_one_go(
    command: Command, home: Path, shared_data: Path, tmp_path: Path
) -> None:
    """No strategy that never trades, none that trades on every bar; the same gates, costs and bars for all."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(shared_data / "ohlcv/binance_um/15m/BTCUSDT-15m-20220601_20250731.parquet")
    part = table[(table["timestamp"] >= "2023-12-01") & (table["timestamp"] < "2024-04-01")]
    times = part["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    columns = (part[name].to_numpy() for name in ("open", "high", "low", "close", "volume"))
    with Workplace.opened(home) as place:
        place.database.candles.write(Frame.of(SeriesKey("binanceusdm", "BTC/USDT:USDT", "15m"), times, *columns))
    rules = [name for name, spec in LIBRARY.items() if spec.kind == "rule" and name != "monte-carlo"]
    file = tmp_path / "library.toml"
    file.write_text(f"strategy = {json.dumps(rules)}\n")
    series = ("--symbol", "BTCUSDT", "--timeframe", "15m", "--from", "2024-01-01", "--gates", "observe")
    runs = command("--home", home, "sweep", *series, "--grid", file).document["runs"]
    trades = {run["parameters"]["strategy"]: run["trades"] for run in runs}
    assert list(trades) == rules and len(rules) >= 10
    assert {name: n for name, n in trades.items() if not 5 <= n <= 91 * 6} == {}
    assert all(run["sharpe"] is not None and -0.4 < run["net_return"] < 0.4 for run in runs)
