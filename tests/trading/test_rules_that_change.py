"""Trading rules that an exchange changes during a run, or while nobody runs it."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.grid import Grid
from data.instruments import Instrument
from data.market import Float64Array
from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    SYMBOLS,
    MemoryJournal,
    config_of,
    features_of,
    feed,
    grid_of,
    instrument,
    merged,
    profile,
    random_market,
    session_of,
)  # fmt: skip
from trading.config import TradingConfig, changed_rules
from trading.journal import AuditEvent
from trading.records import Action, ExitReason, Reason
from trading.risk.limits import Gate
from trading.session import TradingSession

CALM = merged(FREE, LOOSE)
FLAT = (100.0, 100.0, 100.0, 100.0)
OLD, NEW = instrument(), instrument(tick="0.5", lot="0.01", min_notional=50.0, max_leverage=6.0)


def started(bars: int = 8, go: Any = 1.0, upto: int = 2) -> tuple[TradingSession, Grid, Float64Array, MemoryJournal]:
    """A session of one symbol after ``upto`` bars; with ``go`` 1 it holds a long position after two."""
    journal = MemoryJournal()
    session = session_of(config_of(settings=CALM, exits=profile(0.01, 2.0, 50), instruments=[OLD]), journal)
    grid = grid_of([FLAT] * bars)
    X = features_of(session.config, grid, go=go)
    feed(session, grid, X, 0, upto)
    return session, grid, X, journal


def notes(journal: MemoryJournal, kind: str) -> list[AuditEvent]:
    return [event for batch in journal.batches for event in batch.events if event.kind == kind]


def test_f25_a_flat_symbol_takes_new_rules_at_once_and_orders_obey_them() -> None:
    session, grid, X, journal = started(go=[0, 0, 1, 1, 1, 1, 1, 1])
    assert session.take_rules(NEW)
    assert session.config.instruments == (NEW,) and session.waiting_rules == ()
    feed(session, grid, X, 2, 5)
    session.flush()
    (note,) = notes(journal, "rules")
    assert note.body["before"] == {"tick": "0.1", "lot": "0.001", "min_notional": 0.0, "max_leverage": 20.0}
    assert note.body["after"] == {"tick": "0.5", "lot": "0.01", "min_notional": 50.0, "max_leverage": 6.0}
    orders = {order.purpose: order for batch in journal.batches for order in batch.orders}
    assert all(Decimal(order.quantity) % NEW.lot == 0 for order in orders.values())
    assert orders["stop"].price == "99.0" and orders["target"].price == "102.0"
    assert session.state.limits[0][Gate.EXCHANGE_LEVERAGE] == 6.0, (
        "the gate of the exchange's leverage still has the old limit"
    )


def test_f25_a_held_position_keeps_its_grid_until_it_is_closed() -> None:
    session, grid, X, journal = started(go=[1, 0, 0, 2, 1, 1, 1, 1])
    entered, before = session.open_orders(), session.state.positions.tobytes()
    assert not session.take_rules(NEW)
    assert session.waiting_rules == (OLD.symbol,) and session.config.instruments == (OLD,)
    assert session.state.positions.tobytes() == before and session.open_orders() == entered
    outcomes = feed(session, grid, X, 2, 5)
    assert [int(o.decisions["reason"][0]) for o in outcomes[:2]] == [Reason.POSITION_OPEN, Reason.EXIT_SIGNAL]
    assert outcomes[2].trades["quantity"].tolist() == [40.0] and outcomes[2].trades["exit_price"].tolist() == [100.0]
    assert session.config.instruments == (NEW,) and session.waiting_rules == ()
    feed(session, grid, X, 5, 7)
    session.flush()
    assert [note.at_ms for note in notes(journal, "rules")] == [int(grid.open_time[4]) + MINUTE]
    assert {str(o.price) for o in session.open_orders()} == {"99.0", "102.0"}


def test_f25_on_the_bar_that_closes_the_position_the_next_plan_is_made_on_the_finer_grid() -> None:
    session = session_of(config_of(settings=CALM, exits=profile(0.01, 2.0, 50), instruments=[OLD]))
    grid = grid_of([FLAT, FLAT, FLAT, (100.0, 100.3, 100.0, 100.26)])
    X = features_of(session.config, grid, go=[1, 0, 2, 1])
    feed(session, grid, X, 0, 2)
    assert not session.take_rules(instrument(tick="0.01"))
    closing, planned = feed(session, grid, X, 2, 4)
    assert (len(closing.trades), len(planned.trades)) == (0, 1)
    assert planned.decisions["action"].tolist() == [Action.LONG]
    assert planned.decisions["entry"].tolist() == [100.26], "100.3 on the old grid"


def test_f25_a_working_entry_of_the_old_rules_is_cancelled() -> None:
    session, grid, X, journal = started(upto=1)
    assert [order.purpose for order in session.open_orders()] == ["entry"]
    assert session.take_rules(NEW) and session.open_orders() == ()
    (outcome,) = feed(session, grid, X, 1, 2)
    assert not len(outcome.fills)
    session.flush()
    (cancelled,) = (o for batch in journal.batches for o in batch.orders if o.status == "cancelled")
    assert cancelled.history[-1][2] == "the trading rules changed"
    assert [o.purpose for o in session.open_orders()] == ["entry"], "the next bar enters under the new rules"


def test_f25_what_orders_do_not_obey_changes_nothing() -> None:
    session, _, _, journal = started()
    other = replace(OLD, status="settling", taker_fee=0.01, inferred=True, tick=Decimal("0.10"))
    assert session.take_rules(other) and session.config.instruments == (other,)
    assert len(session.open_orders()) == 2
    session.flush()
    assert notes(journal, "rules") == []
    assert session.config.identity() == config_of(settings=CALM, exits=profile(0.01, 2.0, 50)).identity()


def test_f25_rules_that_come_back_before_the_position_is_closed_change_nothing() -> None:
    session, grid, X, journal = started()
    assert not session.take_rules(NEW)
    assert session.take_rules(OLD)
    feed(session, grid, X, 2)
    session.flush()
    assert notes(journal, "rules") == [] and session.config.instruments == (OLD,)


def test_the_identity_leaves_the_rules_out_and_the_digest_does_not() -> None:
    old, new = (config_of(instruments=[rules]) for rules in (OLD, NEW))
    assert old.identity() == new.identity() and old.digest() != new.digest()
    assert old.identity() != config_of(instruments=[OLD], seed=8).identity()


# ---- a restart -----------------------------------------------------------------------------------------------------


def under(config: TradingConfig, rules: Instrument) -> TradingConfig:
    return config.with_instrument(0, rules)


def test_f25_rules_that_changed_while_away_go_on_with_the_same_position() -> None:
    session, grid, X, journal = started(go=[1, 0, 0, 2, 1, 1, 1, 1])
    session.flush()
    checkpoint = journal.checkpoint(1)
    again = session_of(under(session.config, NEW), journal, checkpoint=checkpoint)
    assert again.config.instruments == (OLD,) and again.waiting_rules == (OLD.symbol,)
    assert again.state.positions.tobytes() == session.state.positions.tobytes()
    assert again.state.instruments.tobytes() == session.state.instruments.tobytes()
    assert again.state.limits.tobytes() == session.state.limits.tobytes()
    assert again.open_orders() == session.open_orders()
    feed(again, grid, X, 2)
    assert again.config.instruments == (NEW,)
    again.flush()
    assert len(notes(journal, "rules")) == 1


@pytest.mark.parametrize("at", [5, 20, 40, 70])
def test_f25_a_restart_under_other_rules_is_as_a_change_during_the_run(at: int) -> None:
    """Held or flat at that moment: told while running, or read at the start, the rest is the same bit for bit."""
    market = random_market(8, 120, 2)
    new = instrument(tick="0.05", lot="0.01", min_notional=20.0)

    def rest_of(session: TradingSession, journal: MemoryJournal) -> dict[str, Any]:
        feed(session, market.grid, market.X, at)
        session.flush()
        parts = ("decisions", "fills", "trades", "equity")
        rows = {part: b"".join(getattr(batch, part).tobytes() for batch in journal.batches) for part in parts}
        return {**rows, "orders": {o.client_id: o for batch in journal.batches for o in batch.orders},
                "notes": notes(journal, "rules"), "account": session.state.account.tobytes()}  # fmt: skip

    journals = MemoryJournal(), MemoryJournal()
    sessions = [session_of(market.config, journal) for journal in journals]
    for session in sessions:
        feed(session, market.grid, market.X, 0, at)
        session.flush()
    sessions[0].take_rules(new)
    again = session_of(under(market.config, new), journals[1], checkpoint=journals[1].checkpoint(1))
    told, read = rest_of(sessions[0], journals[0]), rest_of(again, journals[1])
    assert told == read
    assert len(told["notes"]) == 1 and len(told["trades"]) > 0


# ---- always --------------------------------------------------------------------------------------------------------

TICKS = st.sampled_from(["0.01", "0.02", "0.05", "0.1", "0.25", "0.5"])
LOTS = st.sampled_from(["0.001", "0.003", "0.01", "0.1", "1"])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50),
    changes=st.lists(st.tuples(st.integers(1, 149), st.integers(0, 1), TICKS, LOTS), min_size=1, max_size=6),
    cut=st.integers(1, 149),
)
def test_f25_quantities_and_prices_are_always_on_the_grid_in_force(
    seed: int, changes: list[tuple[int, int, str, str]], cut: int
) -> None:
    market = random_market(seed, 150, 2, settings={"limits": {"held": "mark"}})
    journal = MemoryJournal()
    session = session_of(market.config, journal)
    grids: dict[str, Instrument] = {}  # of each order, by the rules in force when it was made
    quantities: dict[int, Fraction] = {}
    for t in range(market.grid.bars):
        for at, s, tick, lot in changes:
            if at == t:
                session.take_rules(instrument(SYMBOLS[s], tick, lot, min_notional=10.0))
        if t == cut:
            session.flush()
            newest = list(session.config.instruments)
            for rules in session._coming.values():
                newest[SYMBOLS.index(rules.symbol)] = rules
            config = replace(market.config, instruments=tuple(newest))
            session = session_of(config, journal, checkpoint=journal.checkpoint(1))
        before = session.state.account["cash"][0]
        outcomes = feed(session, market.grid, market.X, t, t + 1)
        account = session.state.account[0]
        spent = outcomes[0].fills["realised"].sum() - outcomes[0].fills["fee"].sum()
        if not outcomes[0].funding_paid:
            assert account["cash"] - before == pytest.approx(spent, abs=1e-6), "a change of rules changed money"
        for order in session.open_orders():
            rules = grids.setdefault(order.client_id, session.config.instruments[order.s])
            assert rules.symbol == order.symbol
            assert order.quantity % rules.lot == 0 and (order.price is None or order.price % rules.tick == 0)
        for s, rules in enumerate(session.config.instruments):
            position = session.state.positions[s]
            if position["side"]:
                quantities[int(position["plan_id"])] = int(position["lots"]) * Fraction(rules.lot)
    session.flush()
    for batch in journal.batches:
        for row in batch.orders:
            rules = grids.get(row.client_id)
            if rules is not None:
                assert Decimal(row.quantity) % rules.lot == 0
        for trade in batch.trades:
            held = quantities.get(int(trade["plan_id"]))
            assert held is None or trade["quantity"] == float(held), "closed another quantity than was held"


# ---- the exchange ends trading -------------------------------------------------------------------------------------


def test_f24_a_symbol_that_ends_is_closed_at_the_next_price() -> None:
    session, grid, X, journal = started(go=[1, 0, 0, 0, 0, 0, 0, 0])
    assert session.end_trading(SYMBOLS[0])
    assert session.end_trading(SYMBOLS[0]), "told twice"
    (outcome,) = feed(session, grid, X, 2, 3)
    assert outcome.trades["exit_reason"].tolist() == [ExitReason.EMERGENCY]
    assert not session.end_trading(SYMBOLS[0])
    session.flush()
    (note,) = notes(journal, "end_trading")
    assert note.body["why"] == "the exchange ends trading" and note.body["closes"] is True
    exits = [o for batch in journal.batches for o in batch.orders if o.purpose == "exit"]
    assert [(o.history[0][2], o.status, o.reduce_only) for o in exits] == [
        ("the exchange ends trading", "filled", True)
    ]


def test_f24_an_entry_that_works_is_cancelled_when_its_symbol_ends() -> None:
    session, grid, X, journal = started(upto=1)
    assert not session.end_trading(SYMBOLS[0])
    assert session.open_orders() == ()
    assert not len(feed(session, grid, X, 1, 2)[0].fills)
    session.flush()
    assert len(notes(journal, "end_trading")) == 1


@pytest.mark.parametrize("gone", [True, False])
def test_f24_without_a_bar_a_delisted_symbol_is_closed_at_its_last_price_and_a_settling_one_waits(gone: bool) -> None:
    rows = [FLAT, FLAT, (100.0, 101.0, 100.0, 101.0), FLAT, FLAT]
    grid = grid_of({SYMBOLS[0]: rows, SYMBOLS[1]: rows})
    grid.present[0, 3:] = False
    journal = MemoryJournal()
    session = session_of(config_of(settings=CALM, exits=profile(0.05, 2.0, 50), symbols=SYMBOLS[:2]), journal)
    X = features_of(session.config, grid, go=np.array([[1.0], [0.0]]))
    feed(session, grid, X, 0, 3)
    assert session.state.positions["side"].tolist() == [1, 0]
    assert session.end_trading(SYMBOLS[0], gone=gone)
    first, second = feed(session, grid, X, 3, 5)
    assert first.trades["exit_price"].tolist() == ([101.0] if gone else [])
    assert len(second.fills) == 0
    assert [o.purpose for o in session.open_orders()] == ([] if gone else ["stop", "target", "exit"])


def test_changed_rules_names_only_what_differs() -> None:
    assert changed_rules(OLD, replace(OLD, status="settling", maker_fee=0.1)) == {}
    assert changed_rules(OLD, replace(OLD, lot=Decimal(1))) == {"before": {"lot": "0.001"}, "after": {"lot": "1"}}
