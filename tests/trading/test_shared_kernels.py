"""The engines share their rules: a changed constant changes both alike, and compiling changes nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trading.cases import MemoryJournal, random_market
from trading import matching
from trading.backtest import RunResult, run_fast, run_service

ROOT = Path(__file__).resolve().parents[2]


def digest(result: RunResult) -> str:
    """One hash over everything a run gave."""
    parts = (result.trades, result.fills, result.equity, result.decisions, result.codes)
    return hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()


def run(modelled: bool) -> tuple[str, str]:
    """Both engines on one market."""
    market = random_market(21, 250, 2, modelled, enforce=False)
    fast = run_fast(market.config, market.grid, market.X, market.forecasts)
    service = run_service(market.config, market.grid, market.X, market.forecasts, MemoryJournal(), 1)
    assert len(fast.trades) > 5
    return digest(fast), digest(service)


def uncompiled(ticks: int, modelled: bool) -> list[str]:
    """The same in a process without compilation, with another trade-through."""
    script = (
        "from trading import matching\n"
        f"matching.TRADE_THROUGH = {ticks}\n"
        "from tests.trading.test_shared_kernels import run\n"
        f"print(*run({modelled}))\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("modelled", [False, True])
def test_one_constant_of_matching_changes_both_engines_alike(modelled: bool) -> None:
    compiled = run(modelled)
    assert compiled[0] == compiled[1]
    assert uncompiled(matching.TRADE_THROUGH, modelled) == list(compiled)
    changed = uncompiled(matching.TRADE_THROUGH + 40, modelled)
    assert changed[0] == changed[1] != compiled[0]
