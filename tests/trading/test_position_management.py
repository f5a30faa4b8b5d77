"""What happens to an open position: parts, moved stops, additions. Both engines, by hand, and what the orders show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from data.errors import UserError
from tests.trading.cases import (
    FREE,
    LOOSE,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    merged,
    profile,
    session_of,
)
from trading.backtest import RunResult, run_fast, run_service
from trading.execution.orders import Order
from trading.records import ExitReason, Purpose
from trading.session import TradingSession
from trading.settings import ManagementSettings

CALM = merged(FREE, LOOSE)
FLAT = (100.0, 100.0, 100.0, 100.0)
Rows = Sequence[tuple[float, float, float, float]]


def config(management: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> Any:
    """Stop 1 %, target 4 %, 20 bars; 40 units at 100."""
    settings = merged(CALM, more or {}, {"management": management})
    return config_of(settings=settings, exits=profile(0.01, 4.0, 20))


def run(rows: Rows, management: Mapping[str, Any], side: int = 1, more: Mapping[str, Any] | None = None) -> RunResult:
    """Decided at the close of bar 0; for a short the table is mirrored at 100."""
    bars = rows if side > 0 else [(200 - o, 200 - lo, 200 - h, 200 - c) for o, h, lo, c in rows]
    table, chosen = grid_of(bars), config(management, more)
    X = features_of(chosen, table, go=[side] + [0] * (len(bars) - 1), atr_14=0.5)
    fast = run_fast(chosen, table, X, None)
    service = run_service(chosen, table, X, None, MemoryJournal(), 1)
    for part in ("fills", "trades", "equity", "decisions"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    return fast


def stopped_at(rows: Rows, management: Mapping[str, Any]) -> tuple[ExitReason, float]:
    """Reason and price of the one trade, which a short must mirror."""
    long, short = run(rows, management).trades[0], run(rows, management, -1).trades[0]
    assert long["exit_reason"] == short["exit_reason"]
    assert short["exit_price"] == pytest.approx(200 - long["exit_price"])
    return ExitReason(long["exit_reason"]), float(long["exit_price"])


PARTS = {"target_at": (1.0, 2.0), "target_share": (0.5, 0.25)}


def test_partial_targets_close_their_shares_and_the_trade_is_flat_to_flat() -> None:
    result = run([FLAT, (100, 101.1, 100, 101), (101, 102.1, 101, 102), (102, 104.1, 102, 104)], PARTS)
    exits = result.fills[1:]
    assert exits["quantity"].tolist() == [20.0, 10.0, 10.0]
    assert exits["price"].tolist() == [101.0, 102.0, 104.0]
    assert exits["realised"].tolist() == [20.0, 20.0, 40.0]
    assert exits["maker"].tolist() == [1, 1, 1]
    (trade,) = result.trades
    assert (trade["quantity"], trade["entry_price"], trade["exit_price"]) == (40.0, 100.0, 102.0)
    assert (trade["exit_reason"], trade["pnl"]) == (ExitReason.TARGET, 80.0)


def test_several_partial_targets_fill_on_one_bar_and_at_one_open() -> None:
    for rows in ([FLAT, (100, 104.1, 100, 104)], [FLAT, FLAT, (105.0, 105, 105, 105)]):
        exits = run(rows, PARTS).fills[1:]
        assert exits["price"].tolist() == [101.0, 102.0, 104.0]
        assert exits["quantity"].tolist() == [20.0, 10.0, 10.0]


def test_the_stop_takes_what_a_partial_target_left() -> None:
    result = run([FLAT, (100, 101.1, 100, 101), (101, 101, 98.5, 99)], PARTS)
    assert result.fills["quantity"].tolist() == [40.0, 20.0, 20.0]
    (trade,) = result.trades
    assert (trade["exit_reason"], trade["pnl"]) == (ExitReason.STOP, 0.0)
    assert trade["exit_price"] == 100.0  # the average of 101 and 99


def test_shares_that_leave_nothing_make_the_last_level_the_target() -> None:
    result = run([FLAT, (100, 103.0, 100, 103)], {"target_at": (1.0, 2.0), "target_share": (0.5, 0.5)})
    assert result.fills["quantity"].tolist() == [40.0, 20.0, 20.0]
    assert result.trades["target"][0] == 102.0


def test_the_trailing_stop_follows_the_best_price_from_its_activation_on() -> None:
    trailing = {"trailing": 1.0, "trailing_after": 1.0}
    up = [FLAT, (100, 100.9, 100, 100.9), (100.9, 102.5, 100.9, 102.4)]
    assert stopped_at([*up, (102.4, 102.4, 101.0, 101)], trailing) == (ExitReason.TRAILING, 101.5)
    not_yet = [FLAT, (100, 100.9, 100, 100.9), (100.9, 100.9, 98.9, 99)]
    assert stopped_at(not_yet, trailing) == (ExitReason.STOP, 99.0)
    by_atr = {"trailing": 2.0, "trailing_unit": "atr", "trailing_after": 1.0}  # ATR 0.5
    assert stopped_at([*up, (102.4, 102.4, 101.0, 101)], by_atr) == (ExitReason.TRAILING, 101.5)


def test_a_moved_stop_counts_from_the_next_bar_on_and_never_moves_back() -> None:
    trailing = {"trailing": 1.0, "trailing_after": 1.0}
    same_bar = run([FLAT, (100, 102.5, 100.9, 102.0), (102, 102, 101.6, 101.8), (101.8, 102, 101.4, 102)], trailing)
    assert (same_bar.trades["exit_price"][0], same_bar.fills["time"][1] > same_bar.fills["time"][0]) == (101.5, True)


def test_a_level_that_the_close_has_crossed_closes_at_the_next_open() -> None:
    rows = [FLAT, (100, 103.0, 100, 101.0), (101.2, 102, 101, 102)]
    assert stopped_at(rows, {"trailing": 1.0}) == (ExitReason.TRAILING, 101.2)


def test_break_even_is_the_entry_and_its_costs() -> None:
    up = [FLAT, (100, 101.0, 100, 100.9), (100.9, 100.9, 99.0, 99.5)]
    assert stopped_at(up, {"break_even_after": 1.0}) == (ExitReason.TRAILING, 100.0)
    costs = {"costs": {"taker_fee": 0.0005, "maker_fee": 0.0, "spread": 0.0, "impact": 0.0}}
    trade = run(up, {"break_even_after": 1.0}, more=costs).trades[0]
    assert trade["exit_price"] == 100.2  # 100 · 1.0005 / 0.9995 = 100.10005, at the tick that pays for it
    assert 0.0 <= trade["pnl"] < trade["quantity"] * 0.1


def test_at_most_a_share_of_the_best_profit_is_given_back() -> None:
    rows = [FLAT, (100, 102.0, 100, 101.9), (101.9, 101.9, 100.0, 100)]
    assert stopped_at(rows, {"give_back": 0.25, "give_back_after": 1.0}) == (ExitReason.TRAILING, 101.5)
    assert stopped_at(rows, {"give_back": 0.25, "give_back_after": 2.1}) == (ExitReason.END, 100.0)


ADDS = {"adds": 2, "add_after": 1.0, "add_share": 0.5}
SMALL = {"sizing": {"margin_share": 0.03}}  # leaves room under the 8 % that a symbol may bind
CLIMB = [FLAT, (100, 101.0, 100, 101.0), (101, 102.0, 101, 102.0), (102, 102.2, 102, 102.2)]


def test_additions_stay_within_the_first_plans_risk() -> None:
    result = run([*CLIMB, (102.2, 102.2, 95, 95)], ADDS, more=SMALL)
    entries = result.fills[result.fills["purpose"] == Purpose.ENTRY]
    assert entries["quantity"].tolist() == [15.0, 7.5, 7.5]
    assert entries["price"].tolist() == [100.0, 101.0, 102.0]
    assert entries["plan_id"].tolist() == [1, 2, 3] == result.decisions["plan_id"].tolist()
    (trade,) = result.trades
    assert (trade["quantity"], trade["entry_price"], trade["plan_id"]) == (30.0, 100.75, 1)
    assert trade["exit_reason"] == ExitReason.TRAILING
    assert trade["risk_amount"] == pytest.approx(15.0)
    assert -15.0 <= trade["pnl"] < -11.0  # the stop was raised so that all together loses what the first did


def test_a_gap_before_an_addition_makes_it_smaller_or_none() -> None:
    gap = run([FLAT, (100, 101.0, 100, 101.0), (103.5, 103.5, 103.5, 103.5), FLAT], ADDS, more=SMALL)
    entries = gap.fills[gap.fills["purpose"] == Purpose.ENTRY]
    assert 0.0 < entries["quantity"][1] < 7.5


def test_an_addition_is_judged_by_the_gates() -> None:
    result = run([*CLIMB, FLAT], ADDS)  # the first entry binds all the margin that a symbol may
    entries = result.fills[result.fills["purpose"] == Purpose.ENTRY]
    assert entries["quantity"][1:].sum() < 1.0  # only what the profit made room for
    assert (result.decisions["gate_values"][:, 0] <= 0.08 * (1 + 1e-9)).all()
    many = merged(SMALL, {"limits": {"daily_trades": 1}})
    blocked = run([*CLIMB, FLAT], ADDS, more=many)
    assert len(blocked.decisions) > 1 and (blocked.decisions["failed"][1:] != 0).all()
    assert len(blocked.fills[blocked.fills["purpose"] == Purpose.ENTRY]) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"target_at": (1.0,)}, {"target_at": (2.0, 1.0), "target_share": (0.1, 0.1)},
        {"target_at": (0.0,), "target_share": (0.1,)}, {"target_at": (1.0, 2.0), "target_share": (0.6, 0.6)},
    ],
)  # fmt: skip
def test_targets_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, UserError), match="target_"):
        ManagementSettings.model_validate(wrong)


# ---- what the orders show --------------------------------------------------------------------------------------------


def played(rows: Rows, management: Mapping[str, Any], more: Mapping[str, Any] | None = None) -> TradingSession:
    table, chosen = grid_of(rows), config(management, more)
    session = session_of(chosen)
    feed(session, table, features_of(chosen, table, go=[1] + [0] * (len(rows) - 1)))
    return session


def resting(session: TradingSession) -> dict[str, Order]:
    return {order.slot: order for order in session.open_orders()}


def test_f61_the_stop_shrinks_to_what_a_partial_target_left() -> None:
    before = resting(played([FLAT, FLAT], PARTS))
    assert {slot: o.quantity for slot, o in before.items()} == {
        "S": Decimal("40.000"), "T1": Decimal("20.000"), "T2": Decimal("10.000"), "T": Decimal("10.000"),
    }  # fmt: skip
    after = resting(played([FLAT, FLAT, (100, 101.1, 100, 101)], PARTS))
    assert {slot: o.quantity for slot, o in after.items()} == {
        "S": Decimal("20.000"), "T2": Decimal("10.000"), "T": Decimal("10.000"),
    }  # fmt: skip
    assert after["S"].client_id == before["S"].client_id
    assert [words for _, _, words in after["S"].history][-1] == "follows what is held: 20.000 at 99.0"
    assert all(len(o.client_id) <= 32 and o.client_id.isalnum() for o in (*before.values(), *after.values()))


def test_f06_stop_and_target_follow_each_fill_of_an_entry() -> None:
    rest = {"matching": {"entry_rest": "work", "entry_bars": 4}}
    table, chosen = grid_of([FLAT] * 4, volume=[1000, 50.0, 100.0, 100.0]), config({}, rest)
    session = session_of(chosen)
    X = features_of(chosen, table, go=[1, 0, 0, 0])
    for t, held in ((1, 5), (2, 15), (3, 25)):
        feed(session, table, X, 0 if t == 1 else t, t + 1)
        assert {slot: o.quantity for slot, o in resting(session).items()} == {
            "E": Decimal(40 - held), "S": Decimal(held), "T": Decimal(held)
        }  # fmt: skip


def test_a_moved_stop_is_amended_with_its_history() -> None:
    session = played([FLAT, (100, 102.5, 100, 102.4), (102.4, 103.4, 102, 103.4)], {"trailing": 1.0})
    stop = resting(session)["S"]
    assert stop.price == Decimal("102.4")
    assert [words for _, _, words in stop.history][-2:] == ["trailed: 40.000 at 101.5", "trailed: 40.000 at 102.4"]


def test_an_addition_has_an_order_of_its_own_and_raises_the_stop_at_once() -> None:
    session = played(CLIMB[:2], ADDS, SMALL)
    orders = resting(session)
    assert orders["E"].quantity == Decimal("7.500") and orders["E"].client_id.endswith("P2E")
    assert orders["S"].price is not None and orders["S"].price > Decimal("99.0")


def test_a_restart_in_the_middle_of_a_managed_position_changes_nothing() -> None:
    rows = [*CLIMB, (102.2, 103.2, 102, 103), (103, 103, 101, 101.5), (101.5, 101.5, 95, 95)]
    table = grid_of(rows)
    chosen = config({**ADDS, "trailing": 1.0, "target_at": (3.1,), "target_share": (0.4,)}, SMALL)
    X = features_of(chosen, table, go=[1] + [0] * (len(rows) - 1))
    whole = run_fast(chosen, table, X, None)
    for cut in range(1, len(rows)):
        journal = MemoryJournal()
        first = session_of(chosen, journal)
        fills = [o.fills for o in feed(first, table, X, 0, cut)]
        first.flush()
        second = session_of(chosen, journal, checkpoint=journal.checkpoint(1))
        assert second.open_orders() == first.open_orders()
        fills += [o.fills for o in feed(second, table, X, cut)]
        made = b"".join(part.tobytes() for part in fills)
        assert whole.fills.tobytes()[: len(made)] == made
