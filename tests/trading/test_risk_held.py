"""Reductions that wait: they grow, end with their position, and leave no order that is too small."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from scripts.soaks.scenario_checks import measured
from tests.trading.cases import FREE, LOOSE, SYMBOLS, config_of, features_of, feed, grid_of, instrument, merged, profile
from tests.trading.cases import session_of as session_over
from tests.trading.test_risk_portfolio import closes
from trading.execution.orders import Order
from trading.records import ExitReason
from trading.risk.gates import Gate
from trading.risk.tail import METHODS
from trading.session import TradingSession

FLAT = (100.0, 100.0, 100.0, 100.0)
NAN = (np.nan,) * 4
WIDE: dict[str, Any] = {
    "limits": {
        "open_risk": 0.9, "concentration": 9.0, "exposure": 9.0, "tighten_factor": 1.0, "value_at_risk": 0.9,
        "shortfall": 0.9, "margin_share": 0.9,
    },
    "sizing": {"correlation_above": 1.0},
}  # fmt: skip


def holding(
    bars: Any, side: float = 1.0, history: Any = None, lot: str = "0.001", **rules: Any
) -> tuple[TradingSession, Any, Any]:
    """Two positions of 40 % each after two bars; ``bars`` of the first symbol follow, the second one stays at 100."""
    config = config_of(
        settings=merged(FREE, LOOSE, WIDE), symbols=SYMBOLS[:2], exits=profile(0.01, 900.0, 50),
        instruments=[instrument(s, lot=lot, **rules) for s in SYMBOLS[:2]],
    )  # fmt: skip
    rows = [FLAT, FLAT, *bars]
    grid = grid_of({SYMBOLS[0]: rows, SYMBOLS[1]: [FLAT] * len(rows)})
    grid.present[:] = ~np.isnan(grid.close)
    session = session_over(config, history=history)
    X = features_of(config, grid, go=[side] + [0] * (len(rows) - 1))
    feed(session, grid, X, 0, 2)
    assert (session.state.positions["lots"] * float(lot)).tolist() == [40.0, 40.0]
    return session, grid, X


def allow(session: TradingSession, gate: Gate, limit: float) -> None:
    """Another limit, looked at on the next bar."""
    session.state.limits[:, gate] = limit
    session.state.rules["held_room"] = 0.0
    session.state.account["looked_gross"] = 0.0


def leaving(session: TradingSession) -> list[Order]:
    return [o for o in session.open_orders() if o.purpose == "exit"]


def test_a_reduction_that_waits_for_a_bar_grows_when_more_has_to_go() -> None:
    session, grid, X = holding([FLAT, NAN, NAN, FLAT, FLAT])
    allow(session, Gate.EXPOSURE, 0.5)
    feed(session, grid, X, 2, 3)
    assert [(o.symbol, float(o.quantity)) for o in leaving(session)] == [(SYMBOLS[0], 30.0)]
    allow(session, Gate.EXPOSURE, 0.04)
    feed(session, grid, X, 3, 4)
    waits = {o.symbol: float(o.quantity) for o in leaving(session)}
    assert waits == {SYMBOLS[0]: 36.0, SYMBOLS[1]: 40.0} and len(leaving(session)) == 2
    later = np.concatenate([o.fills for o in feed(session, grid, X, 4)])
    assert {(int(f["symbol"]), float(f["quantity"]), int(f["reason"])) for f in later} == {
        (0, 36.0, ExitReason.LIMIT), (1, 40.0, ExitReason.LIMIT)
    }  # fmt: skip


def test_a_reduction_ends_with_its_position() -> None:
    """The stop is gapped through before the cut fills; the next look must not order a flat symbol out again."""
    session, grid, X = holding([FLAT, (90.0, 90, 90, 90), FLAT])
    allow(session, Gate.EXPOSURE, 0.5)
    first = feed(session, grid, X, 2, 4)[1].fills
    assert (first["reason"].tolist(), session.state.positions["cut_lots"].tolist()) == ([ExitReason.STOP], [0, 0])
    allow(session, Gate.EXPOSURE, 0.2)
    feed(session, grid, X, 4, 5)
    assert [o.symbol for o in leaving(session)] == [SYMBOLS[1]]


@pytest.mark.parametrize(("least", "left"), [("0.001", 1.0), ("1", 1.0), ("1.001", 0.0), ("39.5", 0.0)])
def test_a_reduction_leaves_no_rest_and_is_no_order_below_the_least(least: str, left: float) -> None:
    """41 % may stay of 40 % twice: 39 go of one symbol and 1 stays, unless that is no order."""
    session, grid, X = holding([FLAT, FLAT], min_quantity=Decimal(least))
    allow(session, Gate.EXPOSURE, 0.41)
    feed(session, grid, X, 2)
    assert session.state.positions["lots"].tolist() == [left * 1000, 40_000]


@pytest.mark.parametrize(("least", "cut"), [("0.001", 1.0), ("5", 5.0)])
def test_a_small_cut_is_at_least_the_least_order(least: str, cut: float) -> None:
    session, grid, X = holding([FLAT, FLAT], min_quantity=Decimal(least))
    allow(session, Gate.EXPOSURE, 0.79)
    feed(session, grid, X, 2)
    assert session.state.positions["lots"].tolist() == [(40.0 - cut) * 1000, 40_000]


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("cut", [1, 2, 3, 7, 17, 38, 39])
def test_exactly_as_many_lots_go_as_have_to(side: float, cut: int) -> None:
    """Each lot is 1 % of equity: 80 % is held, longs or shorts."""
    session, grid, X = holding([FLAT, FLAT], side, lot="1")
    allow(session, Gate.EXPOSURE, (80 - cut + 0.5) / 100)
    feed(session, grid, X, 2)
    assert session.state.positions["lots"].tolist() == [40 - cut, 40]


@pytest.mark.parametrize("gate", [Gate.VAR, Gate.SHORTFALL, Gate.OPEN_RISK, Gate.EXPOSURE], ids=lambda g: g.name)
@pytest.mark.parametrize("method", ["historical", "normal", "cornish-fisher"])
def test_what_stays_is_just_within_the_limit_by_another_reckoning(gate: Gate, method: str) -> None:
    """Four fifths of what there is may stay; one lot more of what was cut is too much. Judged by numpy."""
    history = closes(2, scale=0.02, seed=5, shared=0.4)
    session, grid, X = holding([FLAT, FLAT], history=history)
    session.state.rules["var_method"] = METHODS.index(method)
    limits = session.config.settings.limits.model_copy(update={"var_method": method})
    settings = session.config.settings.model_copy(update={"limits": limits})
    session.config = replace(session.config, settings=settings)
    limit = 0.8 * measured(session, gate)[0]
    allow(session, gate, limit)
    feed(session, grid, X, 2)
    positions = session.state.positions
    assert 0.0 < measured(session, gate)[0] <= limit * (1.0 + 1e-9)
    s = int(np.argmin(positions["lots"]))
    positions["lots"][s] += 1
    positions["cost"][s] += positions["entry"][s]
    assert measured(session, gate)[0] > limit
