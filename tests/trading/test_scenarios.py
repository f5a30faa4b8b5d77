"""Random markets, orders and settings: both engines keep what must never break (``scripts/soak scenarios``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.soaks.mutations import MUTATIONS
from scripts.soaks.scenarios import FEATURES, MILD, drawn, scenario, violations
from trading.backtest import run_fast
from trading.records import Action, ExitReason, Purpose
from trading.risk.limits import Gate

ROOT = Path(__file__).resolve().parents[2]
FEW = st.frozensets(st.sampled_from(FEATURES))
FIXED = {Gate.LEVERAGE, Gate.STOP, Gate.TARGET, Gate.SYMBOL, Gate.EXCHANGE_LEVERAGE}  # by settings alone
GUARDS = ("daily", "halts", "swan_halt", "swan_flatten", "stays_halted", "next_month", "block")
MOST = st.frozensets(st.sampled_from(MILD)).map(lambda out: frozenset(MILD) - out)


@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31), bars=st.integers(2, 25), symbols=st.integers(1, 3), features=FEW | MOST,
)  # fmt: skip
def test_f06_f21_f61_random_scenarios_keep_the_invariants(
    seed: int, bars: int, symbols: int, features: frozenset[str]
) -> None:
    assert violations(scenario(seed, bars, symbols, features)) == []


@pytest.mark.parametrize("but", [(), GUARDS], ids=["all", "all that let trade"])
def test_with_everything_on_the_engines_agree_and_trade(but: tuple[str, ...]) -> None:
    """Three symbols, 60 bars, services that are killed: all features at once, and all but those that end trading."""
    fills = blocked = 0
    for seed in range(12):
        case = scenario(seed, 60, 3, set(MILD) - set(but))
        assert violations(case) == []
        result = run_fast(case.config, case.grid, case.X, case.forecasts, None, case.finer, case.history)
        fills += len(result.fills)
        blocked += int((result.decisions["failed"] != 0).sum())
    assert fills > (100 if but else 20) and blocked > 50


def test_scenarios_reach_every_corner() -> None:
    """The test above is worth something only if parts, additions, every kind of exit and most gates come up."""
    exits: set[int] = set()
    actions: set[int] = set()
    failed = parts = further = kills = reductions = 0
    for seed in range(500):
        case = scenario(*drawn(seed))
        result = run_fast(case.config, case.grid, case.X, case.forecasts, None, case.finer, case.history)
        entries = int((result.fills["purpose"] == Purpose.ENTRY).sum())
        parts += len(result.fills) - entries - len(result.trades)
        further += max(0, entries - len(result.trades))
        reductions += int((result.fills["reason"] == ExitReason.LIMIT).sum())
        kills += len(case.kills)
        exits |= set(result.trades["exit_reason"].tolist())
        actions |= set(result.decisions["action"].tolist())
        for mask in result.decisions["failed"].tolist():
            failed |= mask
    assert exits == set(ExitReason)
    assert actions == {Action.BLOCKED, Action.LONG, Action.SHORT}
    never = {g for g in Gate if not failed >> g & 1}
    assert never <= {*FIXED, Gate.SHARPE, Gate.DEPTH, Gate.SPREAD, Gate.QUOTE_AGE}
    assert min(parts, further, reductions, kills) > 40


@pytest.fixture(scope="module")
def found() -> dict[str, str | None]:
    """What a process without compilation says first of each planted bug."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "scripts.soaks.mutations"], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.mark.parametrize("name", [mutation.name for mutation in MUTATIONS[1:]])
def test_a_planted_bug_is_found(name: str, found: dict[str, str | None]) -> None:
    assert found[name]


def test_without_a_planted_bug_nothing_is_found(found: dict[str, str | None]) -> None:
    assert found["none"] is None and len(found) == len(MUTATIONS) > 20
