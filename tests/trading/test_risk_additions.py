"""What the gates say of an addition, by hand: what is held and what is added count once each."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from data.instruments import LeverageTier
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
from trading.records import Action
from trading.risk.gates import GATES, Gate
from trading.session import TradingSession

FLAT = (100.0, 100.0, 100.0, 100.0)
UP = (100.0, 102.0, 100.0, 102.0)
ADDS: dict[str, Any] = {
    "management": {"adds": 1, "add_after": 1.0, "add_share": 0.5}, "sizing": {"margin_share": 0.04},
    "limits": {"open_risk": 0.5, "exposure": 3.0, "concentration": 3.0, "value_at_risk": 0.5, "shortfall": 0.5},
}  # fmt: skip


def added(
    settings: Any = None, history: Any = None, rules: dict[str, Any] | None = None, **state: float
) -> tuple[TradingSession, Any]:
    """Two longs of 20 at 100, stop 1 %; the first rises by 2 %, which calls for 10 more of it: session and decision."""
    config = config_of(
        settings=merged(FREE, LOOSE, ADDS, settings or {}), symbols=SYMBOLS[:2], exits=profile(0.01, 90.0, 50),
        instruments=[instrument(s, **(rules or {})) for s in SYMBOLS[:2]],
    )  # fmt: skip
    grid = grid_of({SYMBOLS[0]: [FLAT, FLAT, UP, UP], SYMBOLS[1]: [FLAT] * 4})
    session = session_of(config, history=history)
    X = features_of(config, grid, go=[1, 0, 0, 0])
    feed(session, grid, X, 0, 2)
    for name, value in state.items():
        session.state.account[name] = value
    return session, feed(session, grid, X, 2, 3)[0].decisions[0]


def test_every_gate_counts_what_is_held_and_what_is_added_once() -> None:
    history = closes(2, scale=0.01)
    session, row = added(history=history)
    equity, held, more = 10_040.0, 20.0, 10.0
    values = row["gate_values"]
    assert (row["action"], row["quantity"], row["failed"]) == (Action.LONG, more, 0)
    stop = session.state.positions["stop"][0] / 10.0
    loss = held * (100.0 - stop) + more * (102.0 - stop)
    assert stop > 99.0 and loss <= 20.0
    notional = (held + more) * 102.0
    assert values[Gate.MARGIN] == pytest.approx((held * 100.0 + more * 102.0) / 5.0 / equity)
    assert values[Gate.LOSS_AT_STOP] == pytest.approx(max(0.0, loss) / equity)
    assert values[Gate.OPEN_RISK] == pytest.approx((max(0.0, loss) + 20.0 * 1.0) / equity)
    assert values[Gate.EXPOSURE] == pytest.approx((notional + 2000.0) / equity)
    assert values[Gate.CONCENTRATION] == pytest.approx(notional / equity)
    assert values[Gate.DAILY_TRADES] == 3
    returns = history[:, 1:] / history[:, :-1] - 1.0
    together = np.array([notional, 2000.0]) / equity @ returns
    assert values[Gate.VAR] == pytest.approx(-np.quantile(together, 0.01))


@pytest.mark.parametrize(
    ("limit", "value", "quantity"),
    [
        ("margin_share", 0.048, 4.01), ("exposure", 0.448, 4.49), ("concentration", 0.25, 4.61),
        ("exposure", 3.0, 10.0),
    ],
)  # fmt: skip
def test_an_addition_is_cut_down_to_the_gates_or_blocked_where_sizes_stay(
    limit: str, value: float, quantity: float
) -> None:
    _, row = added({"limits": {limit: value}})
    assert (row["action"], row["failed"]) == (Action.LONG, 0)
    assert row["quantity"] == pytest.approx(quantity, abs=0.02) and row["quantity"] <= 10.0
    _, stays = added({"limits": {limit: value}, "sizing": {"beyond_limits": "block"}})
    if limit != "margin_share" and quantity < 10.0:
        assert stays["quantity"] == 10.0 and stays["action"] == Action.BLOCKED


def test_an_addition_obeys_limits_that_tightened() -> None:
    session, row = added({"limits": {"held": "mark"}}, tightness=0.6)
    assert row["gate_limits"][Gate.MARGIN] == pytest.approx(0.048)
    assert row["action"] == Action.LONG and 3.0 < row["quantity"] < 4.5
    assert session.tightness == 0.6


def test_where_the_portfolio_leaves_no_order_an_addition_is_blocked_and_the_gate_named() -> None:
    _, row = added({"limits": {"exposure": 0.4, "held": "mark"}})
    assert row["action"] == Action.BLOCKED
    assert [GATES[g].name for g in range(len(GATES)) if row["failed"] >> g & 1] == ["Exposure"]


@pytest.mark.parametrize("rest", ["cancel", "work"])
def test_an_entry_of_which_a_part_is_filled_is_one_trade_of_the_day(rest: str) -> None:
    """The first entry is filled by half and works on, or not; the second symbol's plan is the day's second trade."""
    config = config_of(
        settings=merged(FREE, LOOSE, {"matching": {"entry_rest": rest, "entry_bars": 5}}), symbols=SYMBOLS[:2],
        exits=profile(0.01, 90.0, 50),
    )  # fmt: skip
    grid = grid_of({symbol: [FLAT] * 3 for symbol in SYMBOLS[:2]}, volume=[1000.0, 200.0, 200.0])
    session = session_of(config)
    X = features_of(config, grid, go=np.array([[1, 0, 0], [0, 1, 0]]))
    row = feed(session, grid, X, 0, 2)[1].decisions[1]
    assert session.state.positions["work_side"].tolist() == [int(rest == "work"), 1]
    assert row["gate_values"][Gate.DAILY_TRADES] == 2


@pytest.mark.parametrize("gate", [Gate.VAR, Gate.SHORTFALL], ids=lambda g: g.name)
def test_an_addition_is_cut_to_value_at_risk_and_shortfall_of_all_that_is_held(gate: Gate) -> None:
    history = closes(2, scale=0.01)
    _, whole = added(history=history)
    _, none = added({"management": {"add_share": 0.01}}, history)
    limit = 0.5 * float(whole["gate_values"][gate] + none["gate_values"][gate])
    name = {Gate.VAR: "value_at_risk", Gate.SHORTFALL: "shortfall"}[gate]
    _, row = added({"limits": {name: limit}}, history)
    assert row["action"] == Action.LONG and 3.0 < row["quantity"] < 7.0
    assert 0.999 * limit < row["gate_values"][gate] <= limit * (1.0 + 1e-9)


@pytest.mark.parametrize(
    ("rules", "quantity"),
    [
        ({"max_quantity": Decimal(26)}, 6.0),
        ({"tiers": (LeverageTier(0.0, 2550.0, 20.0, 0.01), LeverageTier(2550.0, 1e6, 2.0, 0.1))}, 5.0),
    ],
    ids=["one market order", "the tier that allows the leverage"],
)  # fmt: skip
def test_an_addition_never_takes_a_position_beyond_order_size_and_tier(rules: dict[str, Any], quantity: float) -> None:
    _, row = added(rules=rules)
    assert row["action"] == Action.LONG and row["quantity"] == pytest.approx(quantity)
