"""Targets as market orders (take-profit-market) on small tables of bars computed by hand; both engines run every table.

Binance, "Types of Orders": a take-profit market order is triggered when the price touches it and fills as a taker.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ai.forecast import WIDTH, Col
from tests.trading.cases import (
    LOOSE,
    MINUTE,
    START_MS,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    merged,
    profile,
    session_of,
)
from tests.trading.test_matching_rules import CALM, FLAT, finer, run
from trading.backtest import run_fast, run_service
from trading.records import ExitReason, Purpose
from trading.strategy.library import ENSEMBLE

MARKET = {"matching": {"target_order": "market"}}
COSTS = merged(LOOSE, {"costs": {"taker_fee": 0.0005, "maker_fee": 0.0001, "spread": 0.001, "impact": 0.0}})
PARTS = {"management": {"target_at": (0.5, 1.0), "target_share": (0.25, 0.25)}}

# stop 99.0, target 102.0; decided at the close of bar 0, 40 units at the open of bar 1
TARGETS: dict[str, tuple[list[Any], tuple[ExitReason, float, int] | None]] = {
    "is triggered when it is touched": ([(100, 102.0, 100, 101)], (ExitReason.TARGET, 102.0, 2)),
    "gapped through fills at the open": ([FLAT, (103, 103, 102, 103)], (ExitReason.TARGET, 103.0, 2)),
    "opened upon fills at the open": ([FLAT, (102, 102, 101, 101)], (ExitReason.TARGET, 102.0, 2)),
    "not touched holds on": ([(100, 101.9, 100, 101)], (ExitReason.END, 101.0, 2)),
    "comes after a stop on the same bar": ([(100, 103, 99.0, 101)], (ExitReason.STOP, 99.0, 2)),
}


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("name", TARGETS)
def test_a_market_target(name: str, side: int) -> None:
    rows, (reason, price, minute) = TARGETS[name]
    bars = [FLAT, *rows]
    if side < 0:
        bars = [(200 - o, 200 - lo, 200 - h, 200 - c) for o, h, lo, c in bars]
    leaving = run(bars, [side] + [0] * (len(bars) - 1), MARKET).fills[-1]
    assert leaving["reason"] == reason
    assert leaving["price"] == pytest.approx(price if side > 0 else 200 - price)
    assert (leaving["maker"], leaving["time"]) == (0, START_MS + minute * MINUTE)


def test_it_pays_half_the_spread_and_the_takers_fee_a_limit_neither() -> None:
    bars, go = [FLAT, (100, 102.2, 100, 102), FLAT], [1, 0, 0]
    taken = run(bars, go, merged(COSTS, MARKET)).fills
    made = run(bars, go, COSTS).fills
    assert [f["reason"] for f in (taken[1], made[1])] == [ExitReason.TARGET, ExitReason.TARGET]
    assert made["price"][1] == pytest.approx(102.1)  # two per cent from the 100.1 paid
    assert taken["price"][1] == pytest.approx(102.0)  # 102.1 less 0.05, to the tick below
    quantity = taken["quantity"][1]
    assert taken["fee"][1] == pytest.approx(quantity * 102.0 * 0.0005)
    assert made["fee"][1] == pytest.approx(made["quantity"][1] * 102.1 * 0.0001)
    assert taken["slippage"][1] == pytest.approx(quantity * 0.1)


def test_finer_bars_count_a_touch_of_a_market_target_as_reached() -> None:
    bars, go = [FLAT, (100, 102.0, 98.0, 100), FLAT], [1, 0, 0]
    inside = finer([100.5, 102.0, 100.0], [99.8, 100.0, 98.0], 0)
    settings = {"matching": {"both_touched": "finer"}}
    assert run(bars, go, merged(settings, MARKET), finer=inside).trades["exit_reason"][0] == ExitReason.TARGET
    assert run(bars, go, settings, finer=inside).trades["exit_reason"][0] == ExitReason.STOP  # touched is not through


def test_partial_targets_are_market_orders_too() -> None:
    bars = [FLAT, (100, 101.0, 100, 100.9), (102.3, 102.3, 102, 102)]
    exits = run(bars, [1, 0, 0], merged(PARTS, MARKET)).fills[1:]
    assert exits["quantity"].tolist() == [10.0, 10.0, 20.0]
    assert exits["price"].tolist() == pytest.approx([100.5, 101.0, 102.3])
    assert set(exits["maker"].tolist()) == {0}


def test_what_the_volume_leaves_of_a_partial_target_stays_and_of_the_last_one_goes_on() -> None:
    """A tenth of a bar's 60, once a bar: the part of 10 takes two bars, the rest of 30 is out over the next opens."""
    settings = merged(
        {"management": {"target_at": (0.5,), "target_share": (0.25,)}, "matching": {"exit_fill": "volume"}}, MARKET
    )
    bars = [FLAT, FLAT, (100, 100.6, 100, 100.6), (100.4, 100.5, 100, 100), (100, 102, 100, 101), FLAT, FLAT, FLAT]
    volume = [1000, 1000, 60.0, 60.0, 100.0, 60.0, 100.0, 1000]
    result = run(bars, [1] + [0] * 7, settings, volume=volume)
    exits = result.fills[result.fills["purpose"] == Purpose.EXIT]
    assert exits["quantity"].tolist() == [6.0, 4.0, 10.0, 6.0, 10.0, 4.0]
    assert exits["price"].tolist() == pytest.approx([100.5, 100.5, 102.0, 100.0, 100.0, 100.0])
    assert set(exits["reason"].tolist()) == {ExitReason.TARGET}
    (trade,) = result.trades
    assert (trade["quantity"], trade["exit_reason"]) == (40.0, ExitReason.TARGET)


def test_the_orders_that_rest_say_what_they_are() -> None:
    for settings, kind in ((MARKET, "take_profit_market"), ({}, "limit")):
        config = config_of(settings=merged(CALM, settings), exits=profile(0.01, 2.0, 10))
        table = grid_of([FLAT, FLAT])
        session = session_of(config)
        feed(session, table, features_of(config, table, go=[1, 0]))
        assert [order.kind for order in session.open_orders() if order.purpose == "target"] == [kind]


def test_a_plan_reckons_with_the_fees_of_its_target_order() -> None:
    """By hand: a stop of 1 %, a target of 2 %, fees 5 and 1 in ten thousand, half a spread of 5 in ten thousand."""
    table = grid_of([FLAT, FLAT])
    rows = np.full((1, 2, WIDTH), np.nan)
    for first in (Col.P_LONG, Col.L_TARGET, Col.S_TARGET):
        rows[..., first : first + 3] = 0.7, 0.2, 0.1
    rows[..., Col.L_TIME_RETURN] = rows[..., Col.S_TIME_RETURN] = 0.001
    rows[..., Col.ABSTAIN], rows[..., Col.MODEL], rows[..., Col.MEMBERS] = 0.0, 0.0, 0.0
    found = {}
    for name, settings in (("limit", {}), ("market", MARKET)):
        config = config_of(ENSEMBLE, profile(0.01, 2.0, 10), merged(COSTS, settings))
        fast = run_fast(config, table, features_of(config, table), rows)
        service = run_service(config, table, features_of(config, table), rows, MemoryJournal(), 1)
        assert fast.decisions.tobytes() == service.decisions.tobytes()
        found[name] = fast.decisions[0]
    slip, taker, maker = 0.0005, 0.0005, 0.0001
    loss = 0.01 + 2.01 * (taker + slip)
    wins = {"limit": 0.02 - taker - slip - 1.02 * maker, "market": 0.02 - 2.02 * (taker + slip)}
    for name, win in wins.items():
        assert found[name]["reward_to_risk"] == pytest.approx(win / loss)
        expected = 0.7 * win - 0.2 * loss + 0.1 * (0.001 - 2 * (taker + slip))
        assert found[name]["expected_value"] == pytest.approx(expected)
