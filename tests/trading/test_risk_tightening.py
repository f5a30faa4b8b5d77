"""When a drawdown tightens the limits, and when the one that a person has seen does not (I9)."""

from __future__ import annotations

import pytest

from tests.trading.cases import config_of, session_of
from trading.risk.tightening import loosen, tighten_by_drawdown


@pytest.mark.parametrize(
    ("drawdown", "high_water", "tightness"),
    [
        (0.025, 10_000.0, 1.0), (0.0251, 10_000.0, 1.0), (0.03, 10_000.0, 1.0), (0.0301, 10_000.0, 0.5),
        (0.026, 10_001.0, 0.5), (0.025, 10_001.0, 1.0),
    ],
    ids=["at the mark", "less than was seen", "as was seen", "deeper", "from a new high", "new high, at the mark"],
)  # fmt: skip
def test_after_loosening_only_a_deeper_drawdown_or_a_new_one_tightens(
    drawdown: float, high_water: float, tightness: float
) -> None:
    """Limit 5 %, mark 2.5 %; loosened by a person at 3 % from 10,000."""
    state = session_of(config_of()).state
    account = state.account[0]
    account["high_water"], account["drawdown"] = 10_000.0, 0.03
    tighten_by_drawdown(account, state.rules[0])
    assert account["tightness"] == 0.5
    loosen(account)
    account["drawdown"], account["high_water"] = drawdown, high_water
    tighten_by_drawdown(account, state.rules[0])
    assert account["tightness"] == tightness


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.9])
def test_a_drawdown_never_lifts_what_days_took_down_further(factor: float) -> None:
    state = session_of(config_of(settings={"limits": {"tighten_factor": factor}})).state
    account = state.account[0]
    account["tightness"], account["drawdown"] = 0.25, 0.04
    tighten_by_drawdown(account, state.rules[0])
    assert account["tightness"] == 0.25
