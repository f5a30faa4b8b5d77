"""The flow of the last trades: each once, missing ones told, figures as plain sums give them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.exchange.events import TradePrint
from data.trade_flow import FlowStep, TradeFlow

SYMBOL = "BTC/USDT:USDT"


def trade(number: int, price: float = 100.0, quantity: float = 1.0, side: int = 1) -> TradePrint:
    return TradePrint(SYMBOL, number, price, quantity, side, 1000 * number, 1000 * number + 5)


def test_figures_of_four_trades_by_hand() -> None:
    flow = TradeFlow(SYMBOL)
    rows = [(100.0, 3.0, 1), (101.0, 1.0, -1), (99.0, 2.0, 1), (98.0, 2.0, -1)]
    for number, row in enumerate(rows, 7):
        assert flow.on_trade(trade(number, *row)) is FlowStep.ADDED
    assert (len(flow), flow.volume, flow.buy_volume) == (4, 8.0, 5.0)
    assert flow.imbalance == (5.0 - 3.0) / 8.0
    assert flow.buy_pressure == 5.0 / 8.0
    assert flow.vwap == (300.0 + 101.0 + 198.0 + 196.0) / 8.0
    assert flow.span_ms == 3000


def test_without_trades_there_are_no_figures() -> None:
    flow = TradeFlow(SYMBOL)
    assert all(math.isnan(x) for x in (flow.imbalance, flow.buy_pressure, flow.vwap))
    assert (len(flow), flow.span_ms, flow.missing, flow.volume) == (0, 0, 0, 0.0)


def test_a_trade_told_twice_counts_once() -> None:
    flow = TradeFlow(SYMBOL)
    steps = [flow.on_trade(trade(n)) for n in (1, 2, 2, 1, 3)]
    assert steps == [FlowStep.ADDED, FlowStep.ADDED, FlowStep.DUPLICATE, FlowStep.DUPLICATE, FlowStep.ADDED]
    assert (flow.volume, flow.duplicates) == (3.0, 2)


def test_missing_trades_are_told_and_filled_when_they_come() -> None:
    flow = TradeFlow(SYMBOL)
    for number in (1, 2):
        flow.on_trade(trade(number))
    assert flow.on_trade(trade(6, side=-1)) is FlowStep.GAP
    assert (flow.gaps, flow.skipped, flow.missing) == (1, 3, 3)
    assert [flow.on_trade(trade(n)) for n in (5, 3, 4, 4)] == [FlowStep.LATE] * 3 + [FlowStep.DUPLICATE]
    assert (flow.missing, flow.late, flow.gaps) == (0, 3, 1)
    assert flow.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert flow.times.tolist() == [1000, 2000, 3000, 4000, 5000, 6000]
    assert flow.signed.tolist() == [1, 1, 1, 1, 1, -1]


def test_a_trade_from_before_the_window_is_no_news() -> None:
    flow = TradeFlow(SYMBOL, length=3)
    for number in (10, 11, 12, 13):
        flow.on_trade(trade(number))
    assert flow.on_trade(trade(9)) is FlowStep.OLD
    assert flow.on_trade(trade(10)) is FlowStep.OLD
    assert flow.ids.tolist() == [11, 12, 13]


def test_a_trade_too_old_for_a_full_window_is_not_taken_into_one_that_fills() -> None:
    flow = TradeFlow(SYMBOL, length=3)
    flow.on_trade(trade(10))
    assert flow.on_trade(trade(7)) is FlowStep.OLD
    assert flow.on_trade(trade(8)) is FlowStep.LATE
    assert flow.ids.tolist() == [8, 10]


def test_ids_that_do_not_count_tell_only_duplicates() -> None:
    """Bybit's ids are made of UUIDs: their order and distance mean nothing."""
    flow = TradeFlow(SYMBOL, length=3, consecutive=False)
    assert [flow.on_trade(trade(n)) for n in (900, 5, 70, 5, 3)] == [
        FlowStep.ADDED, FlowStep.ADDED, FlowStep.ADDED, FlowStep.DUPLICATE, FlowStep.ADDED,
    ]  # fmt: skip
    assert flow.ids.tolist() == [5, 70, 3]
    assert (flow.gaps, flow.missing) == (0, 0)


@settings(max_examples=200)
@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9), st.booleans()), max_size=120),
)
def test_the_window_is_the_newest_trades_known_whatever_their_order(
    length: int, told: list[tuple[int, int, bool]]
) -> None:
    flow, known = TradeFlow(SYMBOL, length=length), dict[int, TradePrint]()
    for number, quantity, bought in told:
        arrived = trade(number, 100.0 + quantity, float(quantity), 1 if bought else -1)
        step = flow.on_trade(arrived)
        assert (step is FlowStep.DUPLICATE) == (number in known)
        if step not in (FlowStep.DUPLICATE, FlowStep.OLD):
            known[number] = arrived
            known = {n: known[n] for n in sorted(known)[-length:]}
        assert flow.ids.tolist() == sorted(known)
        assert flow.imbalance == pytest.approx(
            sum(t.quantity * t.side for t in known.values()) / sum(t.quantity for t in known.values())
        )
        assert flow.missing == max(known) - min(known) + 1 - len(known)


def test_figures_do_not_drift_over_a_long_run() -> None:
    rng = np.random.default_rng(3)
    flow = TradeFlow(SYMBOL, length=100)
    sizes = rng.choice([1e-8, 1e8, 0.1], 5000)
    for number, size in enumerate(sizes.tolist()):
        flow.on_trade(trade(number, quantity=size))
    assert flow.volume == pytest.approx(math.fsum(sizes[-100:].tolist()), rel=1e-15)
