"""Sizes that portfolio limits cut, to the limit and no further; days that are known."""

from __future__ import annotations

import numpy as np
import pytest

from data.timeframes import DAY_MS
from tests.trading.cases import MINUTE, config_of, features_of, feed, grid_of, session_of
from tests.trading.test_risk_portfolio import closes, plans, session_with
from trading.records import Action
from trading.risk.gates import Gate
from trading.sizing import scale_of

OPEN = {"limits": {"value_at_risk": 1.0, "shortfall": 1.0, "open_risk": 1.0}, "sizing": {"correlation_above": 1.0}}


@pytest.mark.parametrize("method", ["historical", "normal", "cornish-fisher"])
@pytest.mark.parametrize("gate", [Gate.VAR, Gate.SHORTFALL], ids=lambda g: g.name)
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a long"])
def test_a_size_is_cut_to_the_limit_that_binds_and_no_further(
    beside: bool, side: float, gate: Gate, method: str
) -> None:
    """The plan at full size first; then with a limit halfway between what there is without it and that."""
    history = closes(2, scale=0.02, seed=4, shared=0.1)
    go = np.array([[1.0 * beside, 0.0], [side, 0.0]])

    def planned(limit: float) -> tuple[float, float, int]:
        session = session_with(history, 2, settings={**OPEN, "limits": {**OPEN["limits"], "var_method": method}})
        session.state.limits[1, gate] = limit  # of the second symbol's plans alone
        row = plans(session, go)[0][1]
        return float(row["quantity"]), float(row["gate_values"][gate]), int(row["action"])

    whole, most, _ = planned(1.0)
    least = 0.0
    if beside:
        session = session_with(history, 2, settings={**OPEN, "limits": {**OPEN["limits"], "var_method": method}})
        least = float(plans(session, go)[0][0]["gate_values"][gate])
    limit = 0.5 * (least + most)
    quantity, value, action = planned(limit)
    if most > least:
        assert 0.0 < quantity < whole and 0.999 * limit < value <= limit * (1.0 + 1e-9)
        assert action == (Action.LONG if side > 0 else Action.SHORT)
    else:
        assert quantity == whole, "a hedge takes risk away"


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_size_is_cut_to_what_correlated_positions_leave_of_their_one_margin_limit(side: float) -> None:
    """5 % of margin each where 8 % may be bound together: the second gets 3 %, 1,500 of notional at 5×."""
    settings = {**OPEN, "sizing": {"correlation_above": 1.0, "margin_share": 0.05}}
    rows = plans(session_with(closes(2, scale=0.01, shared=0.98), 2, settings=settings), side)[0]
    assert rows["quantity"].tolist() == pytest.approx([25.0, 15.0])
    assert rows["gate_values"][1, Gate.CORRELATION] == pytest.approx(0.08) and not rows["failed"].any()


def test_days_without_a_bar_have_no_return_and_neither_has_the_day_after() -> None:
    """Daily bars of days 0, 1, 2, then of 5, 6, 7: known are the returns of days 1, 2, 6 and 7 alone."""
    config = config_of(timeframe="1d")
    session = session_of(config)
    prices = (100.0, 110.0, 99.0, 120.0, 132.0, 66.0)
    rows = grid_of([(p, p, p, p) for p in prices], step=DAY_MS, timeframe="1d")
    rows.open_time[3:] += 2 * DAY_MS
    feed(session, rows, features_of(config, rows))
    assert session.state.account["risk_days"][0] == 8
    known = session.state.days[0, :8]
    assert np.isnan(known[[0, 3, 4, 5]]).all()
    assert known[[1, 2, 6, 7]] == pytest.approx([0.1, -0.1, 0.1, -0.5])


def test_hours_that_leap_over_midnight_close_the_day_before() -> None:
    """The last bar of the first day is at 20:00, the next bar at 02:00."""
    config = config_of(timeframe="1h")
    session = session_of(config, history=np.array([[90.0, 80.0]]))
    hour = 60 * MINUTE
    grid = grid_of([(100.0,) * 4, (110.0,) * 4, (88.0,) * 4], step=hour, timeframe="1h")
    grid.open_time[1] += 19 * hour
    grid.open_time[2] += 24 * hour
    feed(session, grid, features_of(config, grid))
    assert session.state.account["risk_days"][0] == 2
    assert session.state.days[0, :2] == pytest.approx([80.0 / 90.0 - 1.0, 110.0 / 80.0 - 1.0])


def test_positions_that_move_against_each_other_share_the_limit_too() -> None:
    """Two longs with ρ below -0.8: the definition takes its absolute value."""
    history = closes(1, scale=0.01)
    both = np.concatenate([history, 100.0 * 100.0 / history])
    rows = plans(session_with(both, 2, settings=OPEN), 1.0)[0]
    assert rows["failed"][1] == 1 << Gate.CORRELATION and rows["gate_values"][1, Gate.CORRELATION] > 0.15


@pytest.mark.parametrize(
    ("size", "regime", "drawdown", "factor"),
    [
        (np.nan, np.nan, 0.0, 1.0), (0.4, np.nan, 0.0, 0.4), (1.7, np.nan, 0.0, 1.0), (-0.2, np.nan, 0.0, 0.0),
        (np.nan, -1.0, 0.0, 1.0), (np.nan, 2.0, 0.0, 0.5), (0.4, 2.0, 0.0, 0.2), (np.nan, np.nan, 0.025, 0.6),
        (np.nan, np.nan, 0.9, 0.2), (0.5, 2.0, 0.05, 0.05),
    ],
)  # fmt: skip
def test_factors_of_a_size_multiply(size: float, regime: float, drawdown: float, factor: float) -> None:
    """Regime 2 halves; at the drawdown limit of 5 % a fifth is left; the models' own factor stays within 0 and 1."""
    factors = (1.0, 1.0, 0.5, 1.0, 1.0, 1.0, 1.0)
    session = session_with(None, settings={"sizing": {"drawdown_floor": 0.2, "regime_factors": factors}})
    state = session.state
    state.account["drawdown"] = drawdown
    made = scale_of(state.account[0], state.positions, state.days, state.rules[0], 0, 1, size, regime)
    assert made == pytest.approx(factor)
