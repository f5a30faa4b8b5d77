"""Strip, positions and waiting entries from a session in memory: what is shown is what its fills and orders say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app import live_views
from data.clock import ManualClock
from tests.trading.cases import (
    FREE,
    LOOSE,
    MINUTE,
    START_MS,
    SYMBOLS,
    config_of,
    features_of,
    feed,
    grid_of,
    merged,
    profile,
    session_of,
)
from trading.session import TradingSession

CALM = merged(FREE, LOOSE)
FLAT = (100.0, 100.0, 100.0, 100.0)
MANAGED = {"management": {"target_at": (1.0, 2.0), "target_share": (0.5, 0.25), "trailing": 1.0, "adds": 1}}


def service_of(session: TradingSession, bars: int) -> Any:
    """As much of a service as the views read, after ``bars`` bars."""
    plan = SimpleNamespace(config=session.config, mode="replay", source="exchange", step_ms=MINUTE)
    last = START_MS + (bars - 1) * MINUTE
    return SimpleNamespace(
        plan=plan, progress=SimpleNamespace(state="RUNNING", why="", revision=1, last_bar_ms=last),
        started_ms=0, place=SimpleNamespace(clock=ManualClock(0)), trader=SimpleNamespace(session=session), fallback="",
        health=lambda: SimpleNamespace(name="binanceusdm", state="replaying", last_bar_ms=0),
    )  # fmt: skip


def traded(rows: list[tuple[float, float, float, float]], settings: Any = None, symbols: int = 1) -> tuple[Any, Any]:
    """A session that goes long (stop 1 %, target 4 %) at the close of bar 0, and what it filled."""
    config = config_of(settings=merged(CALM, settings or {}), exits=profile(0.01, 4.0, 20), symbols=SYMBOLS[:symbols])
    grid = grid_of(dict.fromkeys(SYMBOLS[:symbols], rows))
    session = session_of(config)
    go = [1] + [0] * (len(rows) - 1)
    return session, [f for o in feed(session, grid, features_of(config, grid, go=go)) for f in o.fills]


@pytest.mark.parametrize("symbols", [1, 3])
def test_open_risk_is_what_the_stops_would_lose_summed_and_held_against_one_limit(symbols: int) -> None:
    session, fills = traded([FLAT, FLAT], symbols=symbols)
    session.state.account["tightness"] = 0.5
    view = live_views.strip(service_of(session, 2))
    quantity = sum(float(f["quantity"]) for f in fills)
    assert len(fills) == symbols and view.positions == symbols
    assert view.open_risk == pytest.approx(quantity * 1.0 / 10_000.0)  # entry 100, stop 99, no costs
    assert view.open_risk == pytest.approx(
        sum(r.loss_at_stop or 0.0 for r in live_views.live_positions(service_of(session, 2))) / 10_000.0
    )
    assert view.open_risk_limit == 0.01, "half of it, once it has tightened"


def test_targets_stop_and_protection_are_those_of_the_fills_and_orders() -> None:
    rise = [FLAT, (100, 101.2, 100, 101.1), (101.1, 101.9, 101.1, 101.8)]
    session, fills = traded(rise, MANAGED)
    (row,) = live_views.live_positions(service_of(session, 3))
    entry, *exits = fills
    opened, closed = float(entry["quantity"]), sum(float(f["quantity"]) for f in exits)
    assert [t.price for t in row.targets] == [101.0, 102.0, 104.0]
    assert [t.state for t in row.targets] == ["taken", "next", "waits"]
    assert [t.quantity for t in row.targets] == pytest.approx([opened / 2, opened / 4, opened / 4])
    assert [t.filled for t in row.targets] == pytest.approx([closed, 0.0, 0.0])
    assert row.quantity == pytest.approx(opened - closed) == row.protecting
    assert row.protected and row.protection == "Stop moved"
    assert [(m.price, m.rule) for m in row.stops] == [(100.9, "trailed"), (100.2, "trailed"), (99.0, "as planned")]
    assert [m.time_ms for m in row.stops] == [START_MS + 3 * MINUTE, START_MS + 2 * MINUTE, row.opened_ms]
    assert row.stop == row.stops[0].price and row.loss_at_stop == 0.0, "a stop beyond the entry can lose nothing"
    assert (row.margin_mode, row.adds, row.adds_most) == ("isolated", 0, 1)
    assert row.liquidation is not None and row.last is not None
    assert row.to_liquidation == pytest.approx((row.last - row.liquidation) / row.last)
    left = (row.closes_ms or 0) - (START_MS + 3 * MINUTE)
    assert row.left_s == left / 1000


def test_a_stop_that_is_smaller_than_what_is_held_is_no_protection() -> None:
    session, _ = traded([FLAT, FLAT])
    assert live_views.live_positions(service_of(session, 2))[0].protected
    session.state.positions["lots"] += 5
    (row,) = live_views.live_positions(service_of(session, 2))
    assert not row.protected and row.protection == "Stop missing"
    assert row.protecting == pytest.approx(row.quantity - 0.005)
    assert live_views.strip(service_of(session, 2)).unprotected == 1


def test_entries_that_rest_say_their_level_and_when_they_expire() -> None:
    limit = {"matching": {"entry": "limit", "entry_distance": 0.5, "entry_bars": 3}}
    session, fills = traded([FLAT, FLAT], limit)
    view = live_views.positions_view(service_of(session, 2))
    (order,) = session.open_orders()
    (entry,) = view.entries
    assert not fills and not view.positions
    assert (entry.client_id, entry.price, entry.quantity) == (
        order.client_id,
        float(order.price or 0),
        float(order.quantity),
    )
    assert (entry.side, entry.kind, entry.adds, entry.created_ms) == ("long", "limit", False, START_MS + MINUTE)
    assert entry.to_price == pytest.approx(0.005)
    assert entry.expires_ms == START_MS + MINUTE + 3 * MINUTE and entry.left_s == 120.0


def test_the_copy_for_other_threads_is_no_part_of_the_session() -> None:
    session, _ = traded([FLAT, FLAT])
    book = live_views.book(service_of(session, 2))
    assert book is not None and book.config is session.config
    book.state.positions["lots"][0] = 1
    book.state.days[:] = 7.0
    assert session.state.positions["lots"][0] > 1 and np.isnan(session.state.days).all()
