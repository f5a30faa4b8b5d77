"""Each rule of fills and money on a small table of bars, computed by hand. Both engines run every table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    START_MS,
    MemoryJournal,
    config_of,
    features_of,
    grid_of,
    instrument,
    merged,
    profile,
)  # fmt: skip
from trading.backtest import RunResult, run_fast, run_service
from trading.config import TradingConfig
from trading.records import ExitReason

NAN = float("nan")
CALM = merged(FREE, LOOSE)
FLAT = (100.0, 100.0, 100.0, 100.0)


def run(
    bars: Sequence[tuple[float, float, float, float]], go: Sequence[float], settings: Any = CALM,
    config: TradingConfig | None = None, columns: Any = None, **grid: Any,
) -> RunResult:  # fmt: skip
    """The table through both engines, which must agree."""
    table = grid_of(bars, **grid)
    chosen = config or config_of(settings=settings, exits=profile(0.01, 2.0, 10))
    X = features_of(chosen, table, go=list(go), **(columns or {}))
    fast = run_fast(chosen, table, X, None)
    service = run_service(chosen, table, X, None, MemoryJournal(), 1)
    assert fast.fills.tobytes() == service.fills.tobytes()
    assert fast.trades.tobytes() == service.trades.tobytes()
    assert fast.equity.tobytes() == service.equity.tobytes()
    return fast


# stop 1 %, target 2 %, 10 bars; decided at the close of bar 0, entered at the open of bar 1
CASES = {
    "a stop touched fills at the stop": (
        [FLAT, (100, 100.5, 99.5, 100), (100, 100, 99.0, 99.5)], ExitReason.STOP, 99.0, 3),
    "a stop not touched holds on": (
        [FLAT, (100, 100.5, 99.5, 100), (100, 100, 99.1, 99.5)], ExitReason.END, 99.5, 3),
    "the entry bar may stop out": ([FLAT, (100, 101, 98.0, 100)], ExitReason.STOP, 99.0, 2),
    "a gap through the stop fills at the open": (
        [FLAT, (100, 100, 100, 100), (97.0, 98, 96, 98)], ExitReason.STOP, 97.0, 2),
    "both touched counts as the stop": ([FLAT, (100, 103, 98.0, 100)], ExitReason.STOP, 99.0, 2),
    "a target needs trade-through by one tick": (
        [FLAT, (100, 102.0, 100, 101)], ExitReason.END, 101.0, 2),
    "a target traded through fills at its price": (
        [FLAT, (100, 102.1, 100, 101)], ExitReason.TARGET, 102.0, 2),
    "an open beyond the target fills at the target's price at the open": (
        [FLAT, FLAT, (103.0, 104, 103, 104)], ExitReason.TARGET, 102.0, 2),
    "time runs out at the close of the last bar": (
        [FLAT] + [FLAT] * 9 + [(100, 100.4, 99.8, 100.3)] + [FLAT], ExitReason.TIME, 100.3, 11),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_long_exit(name: str) -> None:
    bars, reason, price, minutes = CASES[name]
    result = run(bars, [1] + [0] * (len(bars) - 1))
    assert len(result.trades) == 1
    trade = result.trades[0]
    assert (ExitReason(trade["exit_reason"]), trade["exit_price"]) == (reason, price)
    assert (trade["entry_price"], trade["entry_time"]) == (100.0, START_MS + MINUTE)
    assert trade["exit_time"] == START_MS + minutes * MINUTE
    assert trade["pnl"] == pytest.approx((price - 100.0) * trade["quantity"])


@pytest.mark.parametrize("name", CASES)
def test_short_exit_is_the_mirror_image(name: str) -> None:
    bars, reason, price, minutes = CASES[name]
    mirrored = [(200 - o, 200 - lo, 200 - h, 200 - c) for o, h, lo, c in bars]
    trade = run(mirrored, [-1] + [0] * (len(bars) - 1)).trades[0]
    assert (ExitReason(trade["exit_reason"]), trade["side"]) == (reason, -1)
    assert trade["exit_price"] == pytest.approx(200 - price)
    assert trade["exit_time"] == START_MS + minutes * MINUTE


def test_entry_pays_half_the_spread_and_impact_rounded_to_the_tick_against_us() -> None:
    costs = {"costs": {"taker_fee": 0.0, "maker_fee": 0.0, "spread": 0.002, "impact": 0.1}}
    result = run(
        [FLAT, FLAT, FLAT], [1, 0, 0], merged(costs, {"sizing": {"margin_share": 0.05, "volatility_target": 5.0}}),
        columns={"volatility_96": 0.02},
    )  # fmt: skip
    quantity = result.fills["quantity"][0]
    slip = 0.001 + 0.1 * 0.02 * np.sqrt(quantity / 1000.0)
    assert quantity == 25.0 and result.fills["price"][0] == np.ceil(1000 * (1 + slip)) / 10 == 100.2
    assert result.fills["price"][1] == np.floor(1000 * (1 - slip)) / 10 == 99.8
    assert result.fills["slippage"].tolist() == pytest.approx([0.2 * quantity, 0.2 * quantity])
    assert result.trades["slippage"][0] == pytest.approx(0.4 * quantity)


def test_stop_and_target_keep_their_distance_from_the_price_really_paid() -> None:
    result = run([FLAT, (101.0, 102, 100.5, 101), FLAT], [1, 0, 0])
    assert (result.trades["entry_price"][0], result.trades["stop"][0], result.trades["target"][0]) == (101, 100, 103)


def test_entry_takes_a_tenth_of_the_volume_and_the_rest_is_cancelled() -> None:
    result = run([FLAT, FLAT, FLAT], [1, 0, 0], volume=[1000, 50.0, 1000])
    assert result.decisions["quantity"][0] == 40.0
    assert result.fills["quantity"].tolist() == [5.0, 5.0]
    assert result.trades["risk_amount"][0] == pytest.approx(5.0)


def test_an_entry_on_a_bar_without_volume_is_cancelled() -> None:
    assert len(run([FLAT, FLAT, FLAT], [1, 0, 0], volume=[1000, 0.0, 1000]).fills) == 0


def test_a_plan_is_valid_for_the_next_bar_only() -> None:
    """The bar after the decision is missing (an hour's gap): the entry expires."""
    table = grid_of([FLAT] * 4)
    late = np.array([0, 60, 61, 62]) * MINUTE + START_MS
    from dataclasses import replace

    table = replace(table, open_time=late.astype(np.int64))
    config = config_of(settings=CALM)
    result = run_fast(config, table, features_of(config, table, go=[1, 0, 0, 0]), None)
    assert len(result.decisions) == 1 and len(result.fills) == 0


def test_takers_and_makers_pay_their_own_fee() -> None:
    settings = merged(LOOSE, {"costs": {"taker_fee": 0.001, "maker_fee": 0.0005, "spread": 0.0, "impact": 0.0}})
    result = run([FLAT, (100, 102.1, 100, 101)], [1, 0], settings)
    quantity = result.fills["quantity"][0]
    assert result.fills["maker"].tolist() == [0, 1]
    assert result.fills["fee"].tolist() == pytest.approx([100 * quantity * 0.001, 102 * quantity * 0.0005])
    assert result.trades["pnl"][0] == pytest.approx(2 * quantity - result.fills["fee"].sum())


# a settlement in minutes after the start; entered at minute 1
FUNDING = {
    "at the entry time is not paid": (1, False),
    "after the entry time is paid": (2, True),
    "at the close at which the position is stopped is paid": (3, True),
    "after the exit is not paid": (4, False),
}


@pytest.mark.parametrize("name", FUNDING)
def test_funding(name: str) -> None:
    minute, pays = FUNDING[name]
    result = run(
        [FLAT, FLAT, (100, 100, 98.0, 98), FLAT, FLAT], [1, 0, 0, 0, 0], funding=[(minute * MINUTE, 0.001, 110.0)]
    )
    quantity = result.trades["quantity"][0]
    assert result.trades["exit_reason"][0] == ExitReason.STOP
    assert result.funding == pytest.approx(-quantity * 110.0 * 0.001 if pays else 0.0)
    assert result.trades["funding"][0] == pytest.approx(result.funding)


def test_funding_at_the_open_at_which_a_position_is_closed_is_paid() -> None:
    """A gap exit at minute 2 is timed at the open: entry < T = exit time, so it pays; one minute later it does not."""
    bars = [FLAT, FLAT, (97.0, 97, 97, 97), FLAT]
    at_exit = run(bars, [1, 0, 0, 0], funding=[(2 * MINUTE, 0.001, NAN)])
    assert at_exit.trades["exit_time"][0] == START_MS + 2 * MINUTE
    assert at_exit.funding == pytest.approx(-40 * 100.0 * 0.001)  # the last price at T: bar 1's close
    assert run(bars, [1, 0, 0, 0], funding=[(3 * MINUTE, 0.001, NAN)]).funding == 0.0


def test_shorts_receive_positive_funding() -> None:
    assert run([FLAT] * 4, [-1, 0, 0, 0], funding=[(2 * MINUTE, 0.001, NAN)]).funding == pytest.approx(4.0)


def test_on_bars_longer_than_the_interval_each_settlement_counts() -> None:
    day = 1440 * MINUTE
    config = config_of(settings=CALM, timeframe="1d", exits=profile(0.01, 2.0, 10))
    hours = [(day + k * day // 3, 0.001, NAN) for k in range(4)]  # at the entry, 8 h, 16 h, and the close at 24 h
    bars = [FLAT, (100, 100, 100, 100.5), FLAT]
    result = run(bars, [1, 0, 0], config=config, step=day, timeframe="1d", funding=hours)
    assert result.funding == pytest.approx(-40 * 0.001 * (100 + 100 + 100.5))
    assert result.assumptions[-1].startswith("funding without a stored mark price")


def test_a_liquidation_comes_before_a_farther_stop_and_costs_its_fee() -> None:
    rules = instrument(maintenance_rate=0.02, liquidation_fee=0.0125, max_leverage=50.0)
    settings = merged(CALM, {"sizing": {"leverage": 20.0}, "limits": {"max_leverage": 20.0, "margin_share": 0.5}})
    config = config_of(settings=settings, exits=profile(0.2, 2.0, 10), instruments=[rules])
    result = run([FLAT, (100, 100, 90.0, 92), FLAT], [1, 0, 0], config=config)
    trade = result.trades[0]
    quantity = trade["quantity"]
    margin = 100 * quantity / 20
    level = (margin - quantity * 100) / (quantity * (0.02 - 1))  # 96.938...
    assert trade["exit_reason"] == ExitReason.LIQUIDATION
    assert trade["exit_price"] == np.ceil(level * 10) / 10 == 97.0
    assert trade["fees"] == pytest.approx(97.0 * quantity * 0.0125)


def test_an_isolated_position_loses_no_more_than_its_margin() -> None:
    rules = instrument(maintenance_rate=0.02, max_leverage=50.0)
    settings = merged(CALM, {"sizing": {"leverage": 20.0}, "limits": {"max_leverage": 20.0, "margin_share": 0.5}})
    config = config_of(settings=settings, exits=profile(0.2, 2.0, 10), instruments=[rules])
    for side, gap in ((1, (50.0, 50, 50, 50)), (-1, (150.0, 150, 150, 150))):
        trade = run([FLAT, FLAT, gap], [side, 0, 0], config=config).trades[0]
        assert trade["exit_reason"] == ExitReason.LIQUIDATION
        assert -trade["pnl"] == pytest.approx(100 * trade["quantity"] / 20)


def test_an_exit_signal_closes_at_the_next_open() -> None:
    result = run([FLAT, FLAT, (100, 100, 100, 100), (100.4, 101, 100, 101)], [1, 2, 0, 0])
    trade = result.trades[0]
    assert (trade["exit_reason"], trade["exit_price"]) == (ExitReason.SIGNAL, 100.0)
    assert trade["exit_time"] == START_MS + 2 * MINUTE


def test_excursions_are_fractions_of_the_entry_price() -> None:
    trade = run([FLAT, (100, 101, 99.5, 100), (100, 101.5, 98.0, 99)], [1, 0, 0]).trades[0]
    assert (trade["mfe"], trade["mae"]) == (pytest.approx(0.01), pytest.approx(-0.01))
