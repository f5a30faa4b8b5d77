"""The replay is the back-test, a restart is no event, and a killed run loses and doubles nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.app.service.conftest import REPLAY, SPAN, SYMBOL, plain_trades
from trading.journal import JOURNAL_STEPS

ROOT = Path(__file__).resolve().parents[3]
RULE = ("--strategy", "rsi-oversold")


def crash(home: Path, step: str, count: int, *words: str) -> str:
    """Run until it kills itself (or ends); what it said."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.app.service.crashing_run", str(home), step, str(count), *words],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert step == "none" or run.returncode == -9, run.stderr
    return run.stdout


def test_replay_trades_equal_the_back_test_by_a_rule(stocked, ask):
    run = ask(stocked, "run", *REPLAY, *RULE)
    test = ask(stocked, "backtest", *SYMBOL, *RULE, *SPAN)
    assert run["state"] == "FINISHED"
    assert run["bars"] == test["bars"] == run["decisions"] == 2400
    assert len(run["trades"]) >= 5
    assert plain_trades(run) == plain_trades(test)
    assert test["equity_end"] == pytest.approx(test["equity_start"] + sum(t["pnl"] for t in test["trades"]), abs=0.005)


def test_a_finished_replay_says_so_and_fresh_starts_anew(stocked, ask, capfd):
    first = ask(stocked, "run", *REPLAY, *RULE)
    again = ask(stocked, "run", *REPLAY, *RULE)
    assert (again["state"], again["bars_now"]) == ("FINISHED", 0)
    assert again["trades"] == first["trades"]
    fresh = ask(stocked, "run", *REPLAY, *RULE, "--fresh")
    assert fresh["bars_now"] == first["bars"]
    assert plain_trades(fresh) == plain_trades(first)


def test_a_run_in_pieces_equals_a_run_in_one(market, tmp_path, ask):
    import shutil

    whole, pieces = (Path(shutil.copytree(market, tmp_path / name)) for name in ("whole", "pieces"))
    uninterrupted = ask(whole, "run", *REPLAY, *RULE)
    for bars in (1, 699, 700):
        part = ask(pieces, "run", *REPLAY, *RULE, "--bars", bars)
        assert part["state"] == "STOPPED"
    rest = ask(pieces, "run", *REPLAY, *RULE)
    assert rest["bars_now"] == 1000
    assert plain_trades(rest) == plain_trades(uninterrupted)
    assert rest["equity"] == uninterrupted["equity"]


@pytest.mark.workers
@pytest.mark.parametrize("step", JOURNAL_STEPS)
def test_f37_a_kill_at_each_step_of_the_journal_changes_nothing(step, market, stocked, tmp_path, ask):
    import shutil

    other = Path(shutil.copytree(market, tmp_path / "other"))
    words = (*REPLAY, *RULE)
    assert f"reached {step}" in crash(stocked, step, 2, *words)
    assert ask(stocked, "audit", "verify")["ok"]
    resumed = ask(stocked, "run", *words)
    assert plain_trades(resumed) == plain_trades(ask(other, "run", *words))
    assert ask(stocked, "audit", "verify")["ok"]
    assert ask(stocked, "reconcile")["differences"] == []


@pytest.mark.workers
def test_f37_kills_at_random_bars_change_nothing(market, stocked, tmp_path, ask):
    import shutil

    other = Path(shutil.copytree(market, tmp_path / "other"))
    words = (*REPLAY, *RULE)
    for bar in np.random.default_rng(11).integers(1, 900, size=3):
        assert "reached bar" in crash(stocked, "bar", int(bar), *words)
        assert ask(stocked, "audit", "verify")["ok"]
        assert ask(stocked, "reconcile")["differences"] == []
    assert plain_trades(ask(stocked, "run", *words)) == plain_trades(ask(other, "run", *words))


def test_every_bar_leaves_a_decision(stocked, ask):
    ask(stocked, "run", *REPLAY, *RULE, "--bars", "300")
    rows = ask(stocked, "decisions", "--limit", "1000")["decisions"]
    assert len(rows) == 300
    assert all(row["why"] for row in rows)
    assert len({row["bar"] for row in rows}) == 300
