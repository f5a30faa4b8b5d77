"""Random markets, orders and settings: both engines keep what must never break (``scripts/soak scenarios``)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.soaks.scenarios import FEATURES, scenario, violations
from trading.backtest import run_fast
from trading.records import ExitReason, Purpose

ROOT = Path(__file__).resolve().parents[2]
PLANTS = {
    "a partial target closes the first quantity": "matching.next_lots = lambda p: p['first_lots']",
    "an addition forgets its own price": "accounting.increase = careless",
    "an exit fills more than is held": "matching._exit_lots = lambda p, *a: p['lots'] + 1",
    "the stop is moved and not told": "session.protect = untold",
}


@settings(max_examples=1000, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31), bars=st.integers(2, 25), symbols=st.integers(1, 2),
    features=st.frozensets(st.sampled_from(FEATURES)),
)  # fmt: skip
def test_f06_f21_f61_random_scenarios_keep_the_invariants(
    seed: int, bars: int, symbols: int, features: frozenset[str]
) -> None:
    assert violations(scenario(seed, bars, symbols, features)) == []


def test_scenarios_reach_every_corner() -> None:
    """The test above is worth something only if parts, additions and every kind of exit come up."""
    seen: set[int] = set()
    parts = further = 0
    for seed in range(60):
        case = scenario(seed, 60, 2, FEATURES[seed % 3 :: 3] + (("high_leverage",) if seed % 2 else ()))
        result = run_fast(case.config, case.grid, case.X, None, None, case.finer)
        entries = int((result.fills["purpose"] == Purpose.ENTRY).sum())
        parts += len(result.fills) - entries - len(result.trades)
        further += entries - len(result.trades)
        seen |= set(result.trades["exit_reason"].tolist())
    assert seen >= set(ExitReason) - {ExitReason.EMERGENCY, ExitReason.LIMIT}
    assert parts > 50 and further > 50


def planted(line: str) -> list[str]:
    """What a process without compilation finds with a bug in its kernels."""
    script = (
        "from scripts.soaks.scenarios import FEATURES, scenario, violations\n"
        "from trading import accounting, matching, session\n"
        "whole = accounting.increase\n"
        "def careless(a, p, instrument, rules, intent, notional):\n"
        "    cost = int(p['cost'])\n"
        "    whole(a, p, instrument, rules, intent, notional)\n"
        "    p['cost'] = cost + int(p['origin']) * int(intent['lots'])\n"
        "told = session.protect\n"
        "def untold(*a):\n"
        "    told(*a)\n"
        "    return 0\n"
        f"{line}\n"
        "on = ({'targets', 'costs', 'trailing'}, {'adds', 'costs'})\n"
        "found = [w for seed in range(16) for w in violations(scenario(seed, 50, 1, on[seed % 2]))]\n"
        "print(*found, sep='\\n', end='')\n"
    )
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_found(name: str) -> None:
    assert planted(PLANTS[name])


def test_without_a_planted_bug_nothing_is_found() -> None:
    assert planted("") == []
