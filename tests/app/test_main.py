"""The entry: global options anywhere, exit codes, one sentence for every error, a light help."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from app.main import DONE, FAILED, USAGE, explain, main, read_call
from data.errors import UserError

HEAVY = ("numba", "pandas", "sklearn", "ccxt", "PyQt6", "numpy", "rich", "pydantic")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=120, env={**os.environ, **environment}
    )


def test_global_options_are_taken_before_and_after_the_command() -> None:
    before = read_call(["--home", "h", "--json", "trades", "--limit", "3"])
    after = read_call(["trades", "--limit", "3", "--json", "--home=h"])
    assert before == after
    assert before.rest == ("trades", "--limit", "3")


def test_no_command_means_run_and_options_alone_go_to_run() -> None:
    assert read_call([]).rest == ("run",)
    assert read_call(["--json", "--bars", "5"]).rest == ("run", "--bars", "5")
    assert read_call(["-h"]).rest == ("-h",)


def test_home_without_a_folder_is_wrong_usage(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["trades", "--home"]) == USAGE
    assert "'--home' needs a folder" in capfd.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        ["bogus"], ["trades", "--bogus"], ["backtest"], ["features"], ["import", "--symbol", "BTCUSDT"],
        ["synthetic", "--symbol", "BTCUSDT", "--timeframe", "1h", "--bars", "many"], ["trades", "--limit", "0"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_is_code_two_without_a_traceback(line: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", *line]) == USAGE
    captured = capfd.readouterr()
    assert "Traceback" not in captured.err
    assert set(json.loads(captured.out)) == {"error"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["run", "--mode", "live"], "Live execution is not part of this version"),
        (["run", "--speed", "quick"], "--speed quick is no speed"),
        (["run", "--replay", "2024-05-01"], "is no span"),
        (["run", "--replay", "2024-05-01..2024-04-01"], "ends before it starts"),
        (["run", "--source", "moon"], "--source moon is not known"),
        (["run", "--timeframe", "7m"], "Unknown timeframe '7m'"),
        (["run", "--symbols", "???"], "Unknown symbol '???'"),
        (["run", "--bars", "0"], "--bars 0 is too small"),
        (["backtest", "--symbols", "BTCUSDT", "--timeframe", "1h", "--engine", "slow"], "--engine slow is not known"),
    ],
)
def test_wrong_values_are_one_sentence_and_code_one(
    line: list[str], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["--json", *line]) == FAILED
    captured = capfd.readouterr()
    assert words in json.loads(captured.out)["error"]
    assert captured.err.count("\n") == 1
    assert words in captured.err


COMMANDS = (
    "run", "status", "pause", "resume", "halt", "flatten", "import", "download", "synthetic", "quality",
    "walk-forward", "train", "backtest", "trades", "orders", "fills", "positions", "performance", "decisions",
    "export", "reconcile", "doctor",
)  # fmt: skip
GROUPED = ("features list", "features audit", "models promote", "strategy check", "audit verify", "settings set")


def test_every_command_explains_itself(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (*COMMANDS, *GROUPED):
        assert main([*words.split(), "-h"]) == DONE
        assert "Usage:" in capfd.readouterr().out


def test_an_unexpected_error_is_one_sentence_and_a_trace_only_with_debug(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise ZeroDivisionError("deep inside\nsecond line")

    monkeypatch.setattr("app.cli.tree.invoke", broken)
    assert main(["trades"]) == FAILED
    assert capfd.readouterr().err == (
        "Error: Unexpected ZeroDivisionError: deep inside; run again with --debug to see where.\n"
    )
    assert main(["--debug", "trades"]) == FAILED
    assert "Traceback" in capfd.readouterr().err


def test_ctrl_c_inside_a_command_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("app.strategies.library", stopped)
    assert main(["--json", "strategy", "list"]) == FAILED
    captured = capfd.readouterr()
    assert captured.err == "Error: Stopped before the end; what was finished is stored.\n"
    assert "Stopped" in json.loads(captured.out)["error"]


def test_a_terminated_command_ends_as_by_ctrl_c() -> None:
    code = (
        "import app.strategies as s, os, signal, sys; from app.main import main; "
        "s.library = lambda: os.kill(os.getpid(), signal.SIGTERM); sys.exit(main(['strategy', 'list']))"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout) == (FAILED, "")
    assert done.stderr.startswith("Error: Stopped before the end")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (UserError("Say\nit."), "Say it."),
        (sqlite3.OperationalError("database or disk is full"), "is full"),
        (sqlite3.OperationalError("database is locked"), "busy"),
        (sqlite3.DatabaseError("file is not a database"), "damaged"),
        (FileNotFoundError(2, "No such file or directory", "x.csv"), "No such file or directory 'x.csv'"),
    ],
)
def test_errors_are_explained(error: Exception, words: str) -> None:
    assert words in explain(error)


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from app.main import main; code = main(['--help']); "
        f"print('LOADED', [m for m in {HEAVY!r} if m in sys.modules]); sys.exit(code)"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("LOADED []")


def test_a_closed_pipe_is_quiet() -> None:
    line = f"{sys.executable} -m app.main --help | true"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_an_unwritable_home_is_one_sentence(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("x")
    for line in (["trades"], ["settings", "get"], ["doctor"], ["quality"]):
        assert main(["--json", "--home", str(tmp_path / "file" / "home"), *line]) == FAILED
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        assert "home" in json.loads(captured.out)["error"]
