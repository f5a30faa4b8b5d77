"""Every gate at its limit, a step beyond it, and where its value is not known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.trading.cases import (
    FREE,
    LOOSE,
    SYMBOLS,
    config_of,
    features_of,
    feed,
    grid_of,
    instrument,
    merged,
    profile,
    session_of,
)
from tests.trading.test_risk_portfolio import closes
from trading.bar import bar_at
from trading.records import Action
from trading.risk.gates import GATES, Gate, verdicts
from trading.risk.limits import TIGHTENS

FLAT = (100.0, 100.0, 100.0, 100.0)
LIMITS: dict[str, Any] = {
    "margin_share": 0.5, "loss_at_stop": 0.5, "max_leverage": 9.0, "exchange_leverage": 9.0, "daily_loss": 0.5,
    "drawdown": 0.5, "sharpe": 0.1, "value_at_risk": 0.5, "shortfall": 0.5, "open_risk": 0.5, "exposure": 3.0,
    "concentration": 3.0, "depth_share": 0.5, "spread_share": 0.5, "quote_age_s": 60.0, "tighten_factor": 1.0,
}  # fmt: skip
SETTINGS = merged(FREE, LOOSE, {"limits": LIMITS, "sizing": {"beyond_limits": "block", "correlation_above": 1.0}})
UNKNOWN = {
    Gate.SHARPE: "sharpe", Gate.BLACK_SWAN: "shock", Gate.VAR: "days", Gate.SHORTFALL: "days",
    Gate.CORRELATION: "days", Gate.DEPTH: "depth", Gate.SPREAD: "spread", Gate.QUOTE_AGE: "age",
}  # fmt: skip
# What the values of the plan below must be, by hand where a hand can.
BY_HAND = {
    Gate.MARGIN: 0.08, Gate.LEVERAGE: 5.0, Gate.STOP: 0.01, Gate.TARGET: 0.02, Gate.LOSS_AT_STOP: 0.004,
    Gate.DAILY_LOSS: 100 / 10_100, Gate.DAILY_TRADES: 5, Gate.LOSS_STREAK: 3, Gate.DRAWDOWN: 200 / 10_200,
    Gate.SHARPE: 0.7, Gate.BLACK_SWAN: 2.0, Gate.SYMBOL: 1.0, Gate.EXCHANGE_LEVERAGE: 5.0, Gate.OPEN_RISK: 0.008,
    Gate.EXPOSURE: 0.8, Gate.CONCENTRATION: 0.4, Gate.CORRELATION: 0.16, Gate.DEPTH: 0.04, Gate.SPREAD: 0.05,
    Gate.QUOTE_AGE: 2.0,
}  # fmt: skip


def plan(limits: dict[Gate, float] | None = None, unknown: str = "", strict: bool = False) -> Any:
    """The decision to buy 40 of one symbol while 40 of another that moves with it are held; equity 10,000."""
    config = config_of(
        settings=SETTINGS, symbols=SYMBOLS[:2], exits=profile(0.01, 2.0, 50),
        instruments=[instrument(s) for s in SYMBOLS[:2]],
    )  # fmt: skip
    session = session_of(config, history=closes(2, days=20 if unknown == "days" else 251, scale=0.01, shared=0.98))
    grid = grid_of({symbol: [FLAT] * 3 for symbol in SYMBOLS[:2]})
    go = np.array([[0, 0, 1], [1, 0, 0]])
    X = features_of(config, grid, go=go, black_swan_ratio=math.nan if unknown == "shock" else 2.0)
    feed(session, grid, X, 0, 2)
    state = session.state
    for name, value in (
        ("day_start", 10_100.0), ("high_water", 10_200.0), ("trades_today", 4), ("loss_streak", 3),
        ("sharpe_upper", math.nan if unknown == "sharpe" else 0.7),
    ):  # fmt: skip
        state.account[name] = value
    state.rules["strict"] = strict
    for gate, limit in (limits or {}).items():
        state.limits[:, gate] = limit
    quote = [0.0005, 1e9, 100_000.0, 2.0]
    for place, name in enumerate(("spread", "", "depth", "age")):
        quote[place] = math.nan if name == unknown else quote[place]
    window = np.stack([X[:, :, 1], X[:, :, 2]], axis=2)
    return session.on_bar(bar_at(grid, 2), window, quotes=np.array([quote] * 2)).decisions[0]


@pytest.fixture(scope="module")
def within() -> Any:
    """The plan within all limits, everything measured."""
    row = plan()
    assert (row["action"], row["failed"], row["unmeasured"]) == (Action.LONG, 0, 0)
    return row


@pytest.mark.parametrize("gate", BY_HAND, ids=lambda gate: gate.name)
def test_a_gates_value_is_what_a_hand_reckons(gate: Gate, within: Any) -> None:
    assert within["gate_values"][gate] == pytest.approx(BY_HAND[gate])


@pytest.mark.parametrize("gate", Gate, ids=lambda gate: gate.name)
def test_at_its_limit_a_gate_passes_and_a_step_beyond_it_alone_blocks(gate: Gate, within: Any) -> None:
    value, step = float(within["gate_values"][gate]), 1e-6 * (1.0 if GATES[gate].at_least else -1.0)
    at = plan({gate: value})
    assert (at["failed"], at["action"], at["gate_limits"][gate]) == (0, Action.LONG, value)
    inside = plan({gate: value * (1.0 - step)})
    assert (inside["failed"], inside["action"]) == (0, Action.LONG)
    beyond = plan({gate: value * (1.0 + step)})
    assert (beyond["failed"], beyond["action"]) == (1 << gate, Action.BLOCKED)
    assert [v.gate for v in verdicts(beyond) if not v.passed] == [GATES[gate].name]


@pytest.mark.parametrize("gate", Gate, ids=lambda gate: gate.name)
def test_what_is_unknown_is_marked_in_paper_and_fails_in_live(gate: Gate) -> None:
    """A Sharpe ratio apart: too short a history is no fault. Gates without an entry in the table are always known."""
    source = UNKNOWN.get(gate, "")
    paper, live = plan(unknown=source), plan(unknown=source, strict=True)
    alike = sum(1 << g for g, name in UNKNOWN.items() if name == source)
    assert (paper["unmeasured"], paper["failed"], paper["action"]) == (alike, 0, Action.LONG)
    assert [v.gate for v in verdicts(paper) if not v.measured] == [GATES[g].name for g in UNKNOWN if alike >> g & 1]
    blocks = 0 if gate == Gate.SHARPE else alike
    assert (live["unmeasured"], live["failed"]) == (alike, blocks)
    assert live["action"] == (Action.BLOCKED if blocks else Action.LONG)


def test_limits_on_money_at_risk_tighten_and_those_of_shape_and_of_halts_do_not() -> None:
    assert {Gate(g) for g, tightens in enumerate(TIGHTENS) if tightens} == {
        Gate.MARGIN, Gate.LOSS_AT_STOP, Gate.DAILY_LOSS, Gate.VAR, Gate.SHORTFALL, Gate.OPEN_RISK, Gate.EXPOSURE,
        Gate.CONCENTRATION, Gate.CORRELATION,
    }  # fmt: skip


def test_the_defaults_are_the_numbers_of_the_design() -> None:
    """Each limit as the design of the gates gives it."""
    config = config_of(symbols=SYMBOLS[:1], exits=profile(0.005, 3.0))
    state = session_of(config).state
    assert dict(zip((g.name for g in Gate), state.limits[0, : len(GATES)].tolist(), strict=True)) == {
        "MARGIN": 0.08, "LEVERAGE": 5.0, "STOP": 0.005, "TARGET": pytest.approx(0.015), "LOSS_AT_STOP": 0.02,
        "DAILY_LOSS": 0.02, "DAILY_TRADES": 15, "LOSS_STREAK": 8, "DRAWDOWN": 0.05, "SHARPE": 0.5, "BLACK_SWAN": 3.0,
        "SYMBOL": 1.0, "EXCHANGE_LEVERAGE": 20.0, "VAR": 0.02, "SHORTFALL": 0.025, "OPEN_RISK": 0.02, "EXPOSURE": 1.0,
        "CONCENTRATION": 0.5, "CORRELATION": 0.08, "DEPTH": 0.1, "SPREAD": 0.1, "QUOTE_AGE": 5.0,
    }  # fmt: skip
