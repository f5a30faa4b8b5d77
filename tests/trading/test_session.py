"""The session: checkpoints, orders, commands."""

from __future__ import annotations

import numpy as np
import pytest

from data.errors import UserError
from data.grid import Grid
from data.market import Float64Array
from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    Market,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    merged,
    profile,
    random_market,
    session_of,
)  # fmt: skip
from trading.bar import bar_at
from trading.execution.orders import MOVES, IllegalMove, Order, Status
from trading.records import ExitReason, Reason
from trading.session import TradingSession
from trading.state import Trading

CALM = merged(FREE, LOOSE)
FLAT = (100.0, 100.0, 100.0, 100.0)


def rows_of(journal: MemoryJournal) -> dict[str, bytes]:
    parts = ("decisions", "fills", "trades", "equity")
    return {part: b"".join(getattr(batch, part).tobytes() for batch in journal.batches) for part in parts}


def orders_of(journal: MemoryJournal) -> dict[str, object]:
    return {order.client_id: order for batch in journal.batches for order in batch.orders}


@pytest.mark.parametrize("modelled", [False, True])
def test_a_restart_at_any_bar_gives_exactly_the_uninterrupted_run(modelled: bool) -> None:
    market: Market = random_market(8, 90, 2, modelled)
    whole = MemoryJournal()
    session = session_of(market.config, whole)
    feed(session, market.grid, market.X, forecasts=market.forecasts)
    session.flush()
    assert len(rows_of(whole)["trades"]) > 0
    for cut in range(1, market.grid.bars):
        journal = MemoryJournal()
        first = session_of(market.config, journal)
        feed(first, market.grid, market.X, 0, cut, market.forecasts)
        first.flush()
        second = session_of(market.config, journal, checkpoint=journal.checkpoint(1))
        assert second.last_bar_ms == market.grid.open_time[cut - 1]
        feed(second, market.grid, market.X, cut, None, market.forecasts)
        second.flush()
        assert rows_of(journal) == rows_of(whole), cut
        assert orders_of(journal) == orders_of(whole), cut


def test_what_was_not_committed_is_done_again_after_a_restart() -> None:
    """Bars after the last commit are lost with the process and come again: the ledger is that of one run."""
    market = random_market(9, 60, 1)
    journal, whole = MemoryJournal(), MemoryJournal()
    reference = session_of(market.config, whole)
    feed(reference, market.grid, market.X)
    reference.flush()
    first = session_of(market.config, journal)
    feed(first, market.grid, market.X, 0, 20)
    first.flush()
    feed(first, market.grid, market.X, 20, 33)  # never flushed
    second = session_of(market.config, journal, checkpoint=journal.checkpoint(1))
    feed(second, market.grid, market.X, 20)
    second.flush()
    assert rows_of(journal) == rows_of(whole)


def test_a_checkpoint_keeps_what_the_caller_adds() -> None:
    journal = MemoryJournal()
    session = session_of(config_of(settings=CALM), journal)
    grid = grid_of([FLAT] * 2)
    session.extra = b"\x00weights"
    feed(session, grid, features_of(session.config, grid))
    session.flush()
    assert session_of(session.config, journal, checkpoint=journal.checkpoint(1)).extra == b"\x00weights"


def test_a_damaged_or_foreign_checkpoint_is_refused() -> None:
    journal = MemoryJournal()
    config = config_of(settings=CALM)
    session = session_of(config, journal)
    grid = grid_of([FLAT] * 2)
    feed(session, grid, features_of(config, grid))
    session.flush()
    checkpoint = journal.checkpoint(1)
    assert checkpoint is not None
    with pytest.raises(UserError, match="other settings"):
        session_of(config_of(settings=CALM, seed=8), checkpoint=checkpoint)
    broken = checkpoint.state[:-9] + b"x" + checkpoint.state[-8:]
    checkpoint = type(checkpoint)(1, checkpoint.last_bar_ms, broken)
    with pytest.raises(UserError, match="damaged"):
        session_of(config, checkpoint=checkpoint)


def test_bars_must_come_in_order() -> None:
    session = session_of(config_of(settings=CALM))
    grid = grid_of([FLAT] * 2)
    X = features_of(session.config, grid)
    feed(session, grid, X)
    with pytest.raises(ValueError, match="not newer"):
        feed(session, grid, X, 1)


def held(bars: int = 6) -> tuple[TradingSession, Grid, Float64Array, MemoryJournal]:
    """A session that holds a long position after two bars and wants more on every bar."""
    journal = MemoryJournal()
    session = session_of(config_of(settings=CALM, exits=profile(0.01, 2.0, 50)), journal)
    grid = grid_of([FLAT] * bars)
    X = features_of(session.config, grid, go=1.0)
    feed(session, grid, X, 0, 2)
    assert session.state.positions["side"][0] == 1
    return session, grid, X, journal


def test_orders_follow_their_position() -> None:
    session, _, _, journal = held()
    assert {(o.purpose, o.status, str(o.quantity), str(o.price)) for o in session.open_orders()} == {
        ("stop", Status.RESTING, "40.000", "99.0"),
        ("target", Status.RESTING, "40.000", "102.0"),
    }
    session.flush()
    entry = next(order for order in journal.batches[-1].orders if order.purpose == "entry")
    assert [status for _, status, _ in entry.history] == ["planned", "resting", "filled"]
    assert len(entry.client_id) <= 32 and entry.client_id.isalnum()
    assert entry.side == "buy" and {o.side for o in session.open_orders()} == {"sell"}
    assert not entry.reduce_only and all(o.reduce_only for o in session.open_orders())


def test_flatten_closes_at_the_next_open_and_pauses() -> None:
    session, grid, X, journal = held()
    assert session.flatten() == 1
    outcome = feed(session, grid, X, 2, 3)[0]
    assert outcome.trades["exit_reason"].tolist() == [ExitReason.EMERGENCY]
    assert outcome.decisions["reason"].tolist() == [Reason.PAUSED]
    session.flush()
    closing = {o.purpose: o.status for o in journal.batches[-1].orders if o.purpose != "entry"}
    assert closing == {"stop": "cancelled", "target": "cancelled", "exit": "filled"}


def test_pausing_cancels_entries_and_resuming_takes_new_ones() -> None:
    session = session_of(config_of(settings=CALM))
    grid = grid_of([FLAT] * 5)
    X = features_of(session.config, grid, go=1.0)
    feed(session, grid, X, 0, 1)
    assert [o.purpose for o in session.open_orders()] == ["entry"]
    session.pause()
    assert session.open_orders() == ()
    assert feed(session, grid, X, 1, 2)[0].decisions["reason"].tolist() == [Reason.PAUSED]
    session.resume()
    outcomes = feed(session, grid, X, 2, 4)
    assert len(outcomes[1].fills) == 1


def test_a_halt_by_a_person_outlives_a_restart() -> None:
    session, grid, X, journal = held()
    session.halt("looks wrong")
    session.flush()
    again = session_of(session.config, journal, checkpoint=journal.checkpoint(1))
    assert again.trading is Trading.HALTED and again.halt_words == "halted by the operator"
    assert {o.purpose for o in again.open_orders()} == {"stop", "target"}
    again.resume()
    assert again.trading is Trading.RUNNING
    feed(again, grid, X, 2)


def test_an_expired_entry_is_shown_as_expired() -> None:
    from dataclasses import replace

    journal = MemoryJournal()
    session = session_of(config_of(settings=CALM), journal)
    grid = grid_of([FLAT] * 3)
    late = grid.open_time + np.array([0, 9, 9]) * MINUTE
    grid = replace(grid, open_time=late)
    feed(session, grid, features_of(session.config, grid, go=[1, 0, 0]))
    session.flush()
    assert [o.status for o in journal.batches[0].orders] == ["expired"]


def any_order() -> Order:
    from decimal import Decimal

    return Order.planned("Q1", 1, 0, "BTC", "entry", "buy", "market", Decimal(1), None, False, 0, "")


@pytest.mark.parametrize("start", list(Status))
@pytest.mark.parametrize("end", list(Status))
def test_orders_make_only_legal_moves(start: Status, end: Status) -> None:
    from dataclasses import replace

    order = replace(any_order(), status=start)
    if end in MOVES[start]:
        assert order.moved(end, 5, "x").history[-1] == (5, end.value, "x")
    else:
        with pytest.raises(IllegalMove):
            order.moved(end, 5, "x")


def test_what_is_done_stays_done_and_unknown_is_neither() -> None:
    done = {Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.EXPIRED}
    assert all(not MOVES[status] for status in done)
    assert Status.PLANNED not in MOVES[Status.UNKNOWN] and done < MOVES[Status.UNKNOWN]


@pytest.mark.parametrize("client_id", ["", "a" * 33, "a-b", "ä"])
def test_client_ids_have_1_to_32_letters_and_digits(client_id: str) -> None:
    from decimal import Decimal

    with pytest.raises(IllegalMove):
        Order.planned(client_id, 1, 0, "BTC", "entry", "buy", "market", Decimal(1), None, False, 0, "")


def test_client_ids_never_repeat() -> None:
    market = random_market(11, 300, 2)
    journal = MemoryJournal()
    session = session_of(market.config, journal)
    feed(session, market.grid, market.X)
    session.flush()
    orders = [(o.client_id, o.plan_id, o.purpose) for batch in journal.batches for o in batch.orders]
    assert len({client_id for client_id, _, _ in orders}) == len(set(orders)) > 10
    assert max(len(client_id) for client_id, _, _ in orders) <= 32


def test_equal_commands_on_one_bar_are_different_batches() -> None:
    """Pause, resume, pause: a journal that drops what was said before must still learn of the last pause."""
    session, _, _, journal = held()
    session.flush()
    for command in (session.pause, session.resume, session.pause):
        command()
        session.flush()
    said = [tuple((event.kind, event.body["number"]) for event in batch.events) for batch in journal.batches[1:]]
    assert said == [(("pause", 1),), (("resume", 2),), (("pause", 3),)]
    assert session_of(session.config, journal, checkpoint=journal.checkpoint(1)).trading is Trading.PAUSED


def test_flushing_with_nothing_new_commits_nothing() -> None:
    session, _, _, journal = held()
    session.flush()
    session.flush()
    assert len(journal.batches) == 1


def test_a_symbol_that_is_held_back_is_not_entered_and_says_why() -> None:
    config = config_of(settings=CALM)
    grid = grid_of([FLAT] * 4)
    X = features_of(config, grid, go=1.0)
    session = session_of(config)
    for t in range(2):
        before = X[:, :, t - 1] if t else np.full(X.shape[:2], np.nan)
        window = np.stack([before, X[:, :, t]], axis=2)
        outcome = session.on_bar(bar_at(grid, t), window, hold=[Reason.LATE_BAR])
        assert outcome.decisions["reason"][0] == Reason.LATE_BAR
        assert not len(session.open_orders())
    feed(session, grid, X, 2, 4)
    assert session.state.positions["side"][0] == 1, "the next bar that may be acted on opens it"


def test_a_position_of_a_symbol_that_is_held_back_still_ends_at_its_stop() -> None:
    config = config_of(settings=CALM)
    grid = grid_of([FLAT, FLAT, (100.0, 100.0, 50.0, 50.0), (50.0, 50.0, 50.0, 50.0)])
    X = features_of(config, grid, go=1.0)
    session = session_of(config)
    feed(session, grid, X, 0, 2)
    assert session.state.positions["side"][0] == 1
    window = np.stack([X[:, :, 1], X[:, :, 2]], axis=2)
    outcome = session.on_bar(bar_at(grid, 2), window, hold=[Reason.NOT_TRADING])
    assert outcome.trades["exit_reason"].tolist() == [ExitReason.STOP]
    assert outcome.decisions["reason"][0] == Reason.NOT_TRADING
