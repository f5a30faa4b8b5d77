"""A what-if is the plan that the desk would make, and changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from tests.trading.cases import (
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
from trading.risk.gates import GATES, Gate
from trading.session import TradingSession
from trading.what_if import Seen, WhatIf, Wish, what_if

FLAT = (100.0, 100.0, 100.0, 100.0)
CALM = merged(LOOSE, {"costs": {"impact": 0.0}})
SEEN = Seen(1000.0, 1.0, 0.0, 1.0)


def session_over(bars: int = 3, go: object = 0.0, **changes: object) -> TradingSession:
    """Two symbols that move together, a funding of 0.01 % every 8 h seen twice."""
    config = config_of(settings=CALM, symbols=SYMBOLS[:2], exits=profile(0.01, 2.0, 1200), **changes)  # type: ignore[arg-type]
    session = session_of(config, history=closes(2, scale=0.01, shared=0.98))
    grid = grid_of({symbol: [FLAT] * bars for symbol in SYMBOLS[:2]}, funding=[(0, 1e-4, 100.0)])
    feed(session, grid, features_of(config, grid, go=go))
    p = session.state.positions
    p["funding_rate"][0], p["funding_step"][0] = 1e-4, 8 * 3_600_000
    return session


def ask(session: TradingSession, side: int = 1, s: int = 0, **wish: float) -> WhatIf:
    return what_if(session.state, session.config.symbols, Wish(s, side, **wish), SEEN)


@pytest.mark.parametrize("side", [1, -1])
def test_it_is_the_plan_that_the_desk_makes_on_that_bar(side: int) -> None:
    session = session_over(2)
    before = session.state.account.tobytes() + session.state.positions.tobytes()
    found = ask(session, side)
    assert session.state.account.tobytes() + session.state.positions.tobytes() == before
    desk = session_over(2, np.array([[0, side], [0, 0]]))
    plan = feed_last(desk)
    for name in ("entry", "stop", "target", "quantity", "leverage"):
        assert getattr(found, name) == plan[name], name
    assert found.loss_at_stop == plan["risk_amount"] and found.time_limit == plan["time_limit"]
    assert np.array([v.value for v in found.verdicts]) == pytest.approx(
        plan["gate_values"][: len(GATES)], nan_ok=True, rel=0, abs=0
    )


def feed_last(session: TradingSession) -> object:
    """The last decision of symbol 0 that the session buffered."""
    return session._buffers.decisions[session._buffers.made - 2]


def test_liquidation_is_that_of_the_exchanges_formula() -> None:
    """Isolated: (wallet + maintenance - side·qty·entry) / (qty·(rate - side)): 4,000 at 5×, 1 % kept."""
    rules = [instrument(symbol, maintenance_rate=0.01) for symbol in SYMBOLS[:2]]
    session = session_over(instruments=rules)
    assert ask(session, 1).liquidation == pytest.approx((800.0 - 4000.0) / (40.0 * (0.01 - 1.0)))
    assert ask(session, -1).liquidation == pytest.approx((800.0 + 4000.0) / (40.0 * (0.01 + 1.0)))


def test_money_is_what_fees_and_funding_will_take() -> None:
    found = ask(session_over(), 1, quantity=10.0, stop=98.0)
    assert (found.notional, found.margin, found.stop) == (1000.0, 200.0, 98.0)
    assert found.fees_at_stop == pytest.approx(0.0005 * (1000.0 + 980.0))
    assert found.fees_at_target == pytest.approx(0.0005 * 1000.0 + 0.0002 * 1040.0)
    assert found.funding == pytest.approx(1000.0 * 1e-4 * 2)  # 20 hours: at 8:00 and 16:00
    assert ask(session_over(), -1, quantity=10.0).funding == pytest.approx(-0.2)


def test_risk_before_and_after_and_the_group_it_joins() -> None:
    session = session_over(3, np.array([[0, 0, 0], [1, 0, 0]]))
    assert session.state.positions["side"].tolist() == [0, 1]
    found = ask(session, 1, quantity=40.0)
    assert found.before.gross == pytest.approx(0.4, rel=1e-3) and found.after.gross == pytest.approx(0.8, rel=1e-3)
    assert found.after.value_at_risk > found.before.value_at_risk > 0.0
    assert found.after.open_risk == pytest.approx(found.verdicts[Gate.OPEN_RISK].value)
    assert [name for name, _ in found.correlated] == [SYMBOLS[1]] and found.correlated[0][1] > 0.9
    assert "Correlation" in found.failing
    nothing = ask(session_over(), 1).before
    assert (nothing.value_at_risk, nothing.shortfall, nothing.open_risk, nothing.gross) == (0.0, 0.0, 0.0, 0.0)
    hedge = ask(session, -1)
    assert hedge.after.value_at_risk < found.before.value_at_risk and hedge.correlated == ()


@pytest.mark.parametrize(
    ("wish", "words"),
    [({"stop": 101.0}, "no stop of a long"), ({"quantity": 0.0001}, "the least order"), ({"s": 1}, "open already")],
)  # fmt: skip
def test_what_cannot_be_planned_is_refused_with_a_sentence(wish: dict[str, float], words: str) -> None:
    session = session_over(3, np.array([[0, 0, 0], [1, 0, 0]]))
    with pytest.raises(UserError, match=words):
        ask(session, **wish)  # type: ignore[arg-type]


def test_a_tightened_account_shows_its_lower_limits() -> None:
    session = session_over()
    session.state.account["tightness"] = 0.5
    found = ask(session, 1)
    assert found.verdicts[Gate.MARGIN].limit == pytest.approx(0.04) and found.margin == pytest.approx(400.0)
