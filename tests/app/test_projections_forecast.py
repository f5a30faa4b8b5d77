"""The expected value in its parts: they are the plan's own numbers, taken apart again."""

from __future__ import annotations

import numpy as np
import pytest

from ai.forecast import WIDTH, Col
from app.projections_forecast import Chances, expected
from trading.plan import expected_value, payoffs
from trading.records import DECISION
from trading.settings import CostSettings

STOP, TARGET, SLIP, FUNDING = 0.01, 0.025, 0.00013, 0.00004
CHANCES = Chances(0.35, 0.5, 0.15, 0.002)


def decision(target_order: str = "limit") -> np.void:
    costs = CostSettings()
    rules = np.zeros(1, dtype=[("taker", "f8"), ("maker", "f8")])[0]
    rules["taker"], rules["maker"] = costs.taker_fee, costs.maker_fee
    matching = np.array([(target_order == "market",)], dtype=[("take_market", "i8")])[0]
    win, loss = payoffs(matching, rules, STOP, TARGET, SLIP)
    forecast = np.zeros(WIDTH)
    forecast[Col.L_TARGET : Col.L_TARGET + 4] = CHANCES
    made = np.zeros(1, dtype=DECISION)[0]
    made["plan_id"], made["signal"], made["entry"] = 1, 1, 100.0
    made["stop"], made["target"] = 100.0 * (1 - STOP), 100.0 * (1 + TARGET)
    made["reward_to_risk"] = win / loss
    made["expected_value"] = expected_value(forecast, 1, costs.taker_fee, win, loss, SLIP, FUNDING)
    return made


@pytest.fixture
def row() -> np.void:
    return decision()


@pytest.mark.parametrize(("target_order", "at_target"), [("limit", 1.0), ("market", 2.0 + TARGET)])
def test_the_parts_add_up_and_give_back_slippage_and_funding(target_order: str, at_target: float) -> None:
    row = decision(target_order)
    parts = {part.label: part.value for part in expected(row, CHANCES, CostSettings(), target_order)}
    assert sum(v for k, v in parts.items() if k != "EV") == pytest.approx(parts["EV"], abs=1e-15)
    assert parts["Funding"] == pytest.approx(-FUNDING, abs=1e-12)
    fills = CHANCES.target * at_target + CHANCES.stop * (2 + STOP) + CHANCES.time * 2
    assert parts["Spread"] + parts["Slippage"] == pytest.approx(-fills * SLIP, abs=1e-12)
    assert parts["Target"] == pytest.approx(0.35 * TARGET)
    assert parts["Stop"] == pytest.approx(-0.5 * STOP)


def test_other_fees_than_the_run_s_leave_the_sum_alone(row: np.void) -> None:
    assert [p.label for p in expected(row, CHANCES, CostSettings(taker_fee=0.004))] == ["EV"]
    assert [p.label for p in expected(row, None, CostSettings())] == ["EV"]
    row["expected_value"] = np.nan
    assert expected(row, CHANCES, CostSettings()) == ()
