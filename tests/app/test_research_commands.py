"""Research on the command line: the keys of the contract, both engines, schedules, models, honest refusals."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.said import Command, Said

SERIES = ("--symbol", "BTCUSDT", "--timeframe", "1h")
BACKTEST = ("backtest", "--symbols", "BTCUSDT", "--timeframe", "1h")
RESULT = {
    "bars", "in_sample_bars", "elapsed_s", "trades", "fees", "funding", "equity_start", "equity_end", "halted_at",
    "metrics", "repaired_bars",
}  # fmt: skip
TRADE = {
    "id", "symbol", "side", "qty", "entry_time", "entry_price", "exit_time", "exit_price", "exit_reason", "fees",
    "funding", "pnl",
}  # fmt: skip
FOLD = {
    "train_from", "train_to", "test_from", "test_to", "n", "log_loss", "base_log_loss", "brier", "auc", "auc_touch",
    "ece",
}  # fmt: skip


def without_time(said: Said) -> dict[str, Any]:
    return {k: v for k, v in said.document.items() if k not in ("elapsed_s", "engine")}


def check_identity(document: dict[str, Any]) -> None:
    total = math.fsum(t["pnl"] for t in document["trades"])
    assert abs(document["equity_start"] + total - document["equity_end"]) < 0.005
    assert document["fees"] == pytest.approx(sum(t["fees"] for t in document["trades"]))


def test_the_default_back_test_trades_the_stored_schedule_and_sees_no_bar_twice(ask: Command) -> None:
    said = ask(*BACKTEST)
    assert said.code == 0
    assert set(said.document) >= RESULT
    assert said.document["strategy"] == "ensemble"
    assert said.document["in_sample_bars"] == said.document["repaired_bars"] == 0
    assert len(said.document["trades"]) > 5
    assert all(set(t) >= TRADE for t in said.document["trades"])
    check_identity(said.document)


@pytest.mark.parametrize("options", [["--strategy", "rsi-oversold"], ["--gates", "observe"]], ids=" ".join)
def test_both_engines_give_the_same_document(ask: Command, options: list[str]) -> None:
    fast, service = ask(*BACKTEST, *options), ask(*BACKTEST, *options, "--engine", "service")
    assert len(fast.document["trades"]) > 5
    assert without_time(fast) == without_time(service)
    check_identity(fast.document)


def test_a_replay_gives_the_trades_of_the_back_test(ask: Command) -> None:
    replayed = ask("trades").document["trades"]
    tested = ask(*BACKTEST, "--strategy", "rsi-oversold", "--from", "2024-05-01", "--to", "2024-06-01").document
    finished = [t for t in tested["trades"] if t["exit_reason"] != "end"]
    assert len(finished) > 0
    assert [{k: t[k] for k in TRADE} for t in replayed] == [{k: t[k] for k in TRADE} for t in finished]


def test_the_analysis_of_a_back_test_adds_up_to_its_result(
    ask: Command, market_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    document = ask(*BACKTEST, "--strategy", "rsi-oversold", "--gates", "observe").document
    found, trades = document["analysis"], document["trades"]
    assert found["costs"]["net"] == pytest.approx(document["equity_end"] - document["equity_start"], abs=1e-6)
    for name in ("by_symbol", "by_side", "by_hour", "by_exit", "by_regime"):
        assert sum(row["trades"] for row in found[name]) == len(trades) > 0
        assert sum(row["net"] for row in found[name]) == pytest.approx(sum(t["pnl"] for t in trades))
    exits = {row["name"]: row["trades"] for row in found["by_exit"]}
    assert exits == {name: sum(t["exit_reason"] == name for t in trades) for name in exits}
    assert {row["name"] for row in found["by_regime"]} - {"unknown"}
    from app.main import main

    capfd.readouterr()
    assert main(["--home", str(market_home), *map(str, BACKTEST), "--strategy", "rsi-oversold"]) == 0
    printed = capfd.readouterr().out
    assert "By regime at entry" in printed and "fraction a year" in printed


def test_walk_forward_gave_folds_scores_trading_and_a_verdict(ask: Command, market_home: Path) -> None:
    from database.home import Home

    with Home(market_home).open() as database:
        run = database.forecasts.runs()[0]
        scores = {m.name: m.value for m in database.models.metrics(run.run_id, -1)}
    result = run.result
    assert len(result["folds"]) >= 4
    assert all(set(fold) >= FOLD for fold in result["folds"])
    assert {"auc_low", "auc_high"} <= set(result["overall"])
    assert scores["auc"] == result["overall"]["auc"]
    trading = result["trading"]
    for part in (trading, trading["edge"], trading["account"]):
        assert {"trades", "net_return", "sharpe", "deflated_sharpe", "pbo", "trials", "halted_at"} <= set(part)
    assert trading["net_return"] == trading["edge"]["net_return"]
    assert result["verdict"].endswith(".")
    assert run.from_ms == run.schedule[0].from_ms


def test_a_rule_reads_no_forecasts_and_a_wrong_schedule_is_named(ask: Command) -> None:
    refused = ask(*BACKTEST, "--strategy", "rsi-oversold", "--schedule", "walk-forward")
    assert "is a rule and reads no forecasts" in refused.document["error"]
    assert "no walk-forward run 'wf-nothing'" in ask(*BACKTEST, "--schedule", "wf-nothing").document["error"]
    assert "exit profile 'swing', not 'even'" in ask(*BACKTEST, "--exit-profile", "even").document["error"]


@pytest.fixture(scope="module")
def trained(market_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the market's home with one model, trained up to 2024-05-01."""
    import shutil

    from app.main import main

    folder = tmp_path_factory.mktemp("trained") / "home"
    shutil.copytree(market_home, folder)
    line = ["train", *SERIES, "--to", "2024-05-01", "--models", "logistic", "--seed", "11"]
    assert main(["--home", str(folder), "--json", *line]) == 0
    yield folder


def test_training_registers_a_model_with_scores_out_of_sample(trained: Path, command: Command) -> None:
    rows = command("--home", trained, "models", "list").document["models"]
    assert len(rows) == 1
    row = rows[0]
    assert (row["state"], row["members"], row["seed"]) == ("candidate", ["logistic"], 11)
    assert row["train_to"] == "2024-05-01T00:00:00.000Z"
    assert row["scores"]["n"] > 100
    assert 0.3 < row["scores"]["log_loss"] < 2.0
    assert (trained / "models" / row["path"] / "manifest.json").is_file()


def test_the_same_training_again_is_the_same_model(trained: Path, command: Command) -> None:
    line = ("train", *SERIES, "--to", "2024-05-01", "--models", "logistic", "--seed", 11)
    again = command("--home", trained, *line)
    assert set(again.document) >= {"model_id", "path", "scores", "train_to"}
    rows = command("--home", trained, "models", "list").document["models"]
    assert [row["model_id"] for row in rows] == [again.document["model_id"]]


def test_bars_that_the_model_saw_are_refused_unless_allowed_then_counted(trained: Path, command: Command) -> None:
    model = command("--home", trained, "models", "list").document["models"][0]["model_id"]
    line = ("--home", trained, *BACKTEST, "--model", model[:10])
    refused = command(*line, "--from", "2024-04-01")
    assert refused.code == 1
    assert "--allow-in-sample" in refused.document["error"]
    allowed = command(*line, "--from", "2024-04-01", "--allow-in-sample", "--gates", "observe").document
    assert allowed["in_sample_bars"] == 30 * 24
    clean = command(*line, "--from", "2024-05-01", "--gates", "observe").document
    assert clean["in_sample_bars"] == 0


def test_promote_and_rollback_move_between_models(trained: Path, command: Command) -> None:
    first = command("--home", trained, "models", "list").document["models"][0]["model_id"]
    second = command("--home", trained, "train", *SERIES, "--models", "logistic", "--seed", 12).document["model_id"]
    assert "no earlier promoted model" in command("--home", trained, "models", "rollback").document["error"]
    assert command("--home", trained, "models", "promote", first).document["models"][0]["state"] == "promoted"
    assert command("--home", trained, "models", "promote", second).document["models"][0]["model_id"] == second
    assert command("--home", trained, "models", "rollback").document["models"][0]["model_id"] == first


def test_too_little_data_for_a_fold_is_one_sentence(command: Command) -> None:
    command("synthetic", *SERIES, "--bars", 900)
    said = command("walk-forward", *SERIES)
    assert said.code == 1
    assert said.stderr.strip().splitlines()[-1].startswith("Error: ")
    short = command("train", *SERIES)
    assert "it needs" in short.document["error"]
    assert "no duration" in command("walk-forward", *SERIES, "--train", "6moons").document["error"]


def test_on_a_random_walk_the_report_says_that_there_is_no_evidence(command: Command, home: Path) -> None:
    from data.synthetic import random_walk
    from database.home import Home

    frame, funding = random_walk("BTCUSDT", "1h", 5000, 21)
    with Home(home).open() as database:
        database.candles.write(frame)
        database.candles.write_funding(funding)
    line = ("walk-forward", *SERIES, "--train", "60d", "--test", "20d", "--models", "logistic")
    document = command(*line).document
    overall = document["overall"]
    assert overall["auc_low"] <= 0.5 <= overall["auc_high"]
    assert document["verdict"].startswith("No evidence of an edge")


def test_every_try_counts_the_failed_ones_too(command: Command) -> None:
    command("synthetic", *SERIES, "--bars", 2600)
    line = ("walk-forward", *SERIES, "--train", "50d", "--test", "10d", "--step", "10d", "--models", "logistic")
    assert command("walk-forward", *SERIES, "--train", "12mo").code == 1
    assert command(*line).document["trading"]["trials"] == 2
    assert command(*line).document["trading"]["trials"] == 2  # the same configuration is not a new try
    third = command(*line, "--seed", 8).document["trading"]
    assert third["trials"] == 3
    assert third["pbo"] is None or 0.0 <= third["pbo"] <= 1.0


def test_the_registry_and_the_library_are_listed(command: Command) -> None:
    features = command("features", "list").document["features"]
    assert len(features) >= 40
    assert all(set(row) >= {"name", "group", "lookback", "unit", "meaning"} for row in features)
    names = [row["name"] for row in command("strategy", "list").document["strategies"]]
    assert "rsi-oversold" in names
    assert command("strategy", "show", "rsi-oversold").document["kind"] == "rule"


def test_a_strategy_file_is_checked_down_to_its_features(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "dip.toml"
    text = 'name = "dip"\nmeaning = "Buys dips."\n[long]\nleft = "{}"\nop = "<"\nright = 20.0\n'
    file.write_text(text.format("rsi_14"))
    assert command("strategy", "check", file).document["features"] == ["rsi_14"]
    file.write_text(text.format("rsi_15"))
    assert "long.left: unknown feature 'rsi_15'" in command("strategy", "check", file).document["error"]
    file.write_text("name = ")
    assert command("strategy", "check", file).code == 1


def test_a_strategy_is_applied_only_where_it_can_be_read(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command("strategy", "apply", "turtle").document["setting"]["value"] == "turtle"
    shown = command("settings", "get", "run.strategy").document["settings"][0]
    assert (shown["value"], shown["origin"]) == ("turtle", "stored")
    assert command("strategy", "apply", "turtles").code == 1
    file = tmp_path / "own.json"
    command("strategy", "copy", "chandelier", file)
    monkeypatch.chdir(tmp_path)
    applied = command("strategy", "apply", "own.json").document
    assert applied["setting"]["value"] == str(file) and applied["management"]["trailing"] == 3.0
    assert applied["handling"] == ["The stop trails 3 ATR behind the best price, from the entry on."]


def test_a_library_strategy_is_copied_changed_and_checked(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "own.json"
    assert command("strategy", "copy", "breakout", file).document == {"strategy": "breakout", "file": str(file)}
    assert "exists already" in command("strategy", "copy", "breakout", file).document["error"]
    assert "ends with .json" in command("strategy", "copy", "breakout", tmp_path / "own.toml").document["error"]
    file.write_text(file.read_text().replace('"name": "breakout"', '"name": "own"').replace("0.75", "0.7"))
    checked = command("strategy", "check", file).document
    assert checked["strategy"] == "own" and checked["long"]["all"][0]["of"]["right"] == 0.7


def test_the_schema_names_everything_that_a_document_may_hold(command: Command) -> None:
    schema = command("strategy", "schema").document
    parts = {"name", "meaning", "long", "short", "exits", "size", "entry", "management", "combine", "threshold"}
    assert parts <= set(schema["properties"]) and {"Management", "EntryOrder"} <= set(schema["$defs"])
    assert {"Comparison", "AtLeast", "Within", "Before", "OwnExit", "Size"} <= set(schema["$defs"])
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_the_leak_audit_of_the_real_features_finds_nothing(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.features.AUDIT_BARS", 2500)
    said = command("features", "audit", "--check")
    assert (said.code, said.document["leaks"]) == (0, [])


def test_a_leak_in_the_scaler_is_found_named_and_fails_the_check(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ai.calibration

    def peeking(x: Any, y: Any, train_rows: int, query: int) -> Any:
        return (x[query] - x.mean(axis=0)) / x.std(axis=0)

    monkeypatch.setattr("app.features.AUDIT_BARS", 2500)
    monkeypatch.setattr(ai.calibration, "scaler_values", peeking)
    said = command("features", "audit")
    assert said.code == 0
    assert [(leak["kind"], leak["name"]) for leak in said.document["leaks"]] == [("scaler", "standard scaler")]
    assert command("features", "audit", "--check").code == 1
