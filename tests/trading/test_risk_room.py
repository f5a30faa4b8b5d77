"""Sizes that the portfolio's value at risk or shortfall cuts: to the limit, alone and beside what is held."""

from __future__ import annotations

import numpy as np
import pytest

from tests.trading.test_risk_portfolio import closes, plans, session_with
from trading.records import Action
from trading.risk.gates import Gate

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
