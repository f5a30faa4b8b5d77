"""``what-if`` on the command line and for the window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.contract.queries import WhatIfQuery
from app.contract.results import WhatIfView
from app.projection_context import Context
from app.projections import build
from app.what_if import committed
from app.wiring import Workplace
from tests.app.said import Command
from trading.risk.limits import GATES


def test_a_plan_is_judged_at_the_newest_bar_of_the_newest_account(ask: Command) -> None:
    said = ask("what-if", "--symbol", "BTCUSDT", "--side", "long")
    assert said.code == 0
    d = said.document
    assert (d["symbol"], d["side"], d["account"], d["time"][:10]) == ("BTC/USDT:USDT", "long", 1, "2024-06-01")
    assert d["stop"] < d["entry"] < d["target"] and 0 < d["liquidation"] < d["stop"]
    assert d["margin"] == pytest.approx(d["notional"] / d["leverage"])
    assert [g["gate"] for g in d["gates"]] == [g.name for g in GATES]
    assert d["after"]["exposure"] > d["before"]["exposure"] == 0.0
    assert d["after"]["var"] is not None and d["before"]["var"] == 0.0
    assert d["fails"] == [g["gate"] for g in d["gates"] if g["verdict"] == "blocked"]


def test_quantity_and_stop_are_taken_and_wrong_ones_refused(ask: Command) -> None:
    plan = ("what-if", "--symbol", "BTCUSDT", "--side", "short")
    d = ask(*plan, "--quantity", 0.05).document
    assert d["quantity"] == pytest.approx(0.05) and d["stop"] > d["entry"]
    own = ask(*plan, "--quantity", 0.05, "--stop", d["entry"] * 1.08).document
    assert own["loss_at_stop"] > d["loss_at_stop"] and "Stop distance" in own["fails"]
    for more, words in (
        (("--stop", 1.0), "no stop of a short"),
        (("--quantity", -1), "cannot be traded"),
        (("--account", 77), "77"),
    ):
        refused = ask(*plan, *more)
        assert refused.code == 1 and words in refused.document["error"]
    assert "not ETHUSDT" in ask("what-if", "--symbol", "ETHUSDT", "--side", "long").document["error"]
    assert "no side" in ask("what-if", "--symbol", "BTCUSDT", "--side", "up").document["error"]


def test_the_window_asks_the_same(market_home: Path, ask: Command) -> None:
    d = ask("what-if", "--symbol", "BTCUSDT", "--side", "long").document
    with Workplace.opened(market_home) as place:
        context = Context(place, place.database.accounts.newest())
        found = build(WhatIfQuery("BTC/USDT:USDT", "long"), context)
        refused = build(WhatIfQuery(quantity=1e-9), context)
    assert isinstance(found, WhatIfView) and isinstance(refused, WhatIfView)
    assert refused.plan is None and "below the least order" in refused.refused
    view = found.plan
    assert view is not None
    assert (view.entry, view.quantity, view.liquidation) == (d["entry"], d["quantity"], d["liquidation"])
    assert {g.tier for g in view.gates} == {"Position", "Day", "System", "Compliance", "Portfolio", "Market"}


def test_a_running_service_answers_by_its_own_state_and_changes_nothing_of_it(market_home: Path) -> None:
    query = WhatIfQuery("BTC/USDT:USDT", "long", 0.05)
    with Workplace.opened(market_home) as place:
        account = place.database.accounts.newest()
        assert account is not None
        context = Context(place, account)
        stored = build(query, context)
        book = committed(place, account.id)
        assert book is not None
        running = replace(context, book=book)
        before = [part.copy() for part in (book.state.account, book.state.positions, book.state.days)]
        assert build(query, running) == stored, "the same state, the same answer"
        after = (book.state.account, book.state.positions, book.state.days)
        assert all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))
        book.state.account["equity"] /= 2.0
        poorer = build(query, running)
    assert isinstance(stored, WhatIfView) and isinstance(poorer, WhatIfView)
    assert stored.plan is not None and poorer.plan is not None
    assert poorer.plan.after.exposure == pytest.approx(2.0 * (stored.plan.after.exposure or 0.0))


def test_without_a_run_the_settings_say_what_would_be_traded(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTAI_RUN__SOURCE", "synthetic")
    assert command("synthetic", "--symbol", "BTCUSDT", "--timeframe", "1m", "--bars", 3000).code == 0
    d = command("what-if", "--symbol", "BTCUSDT", "--side", "long").document
    assert d["account"] is None and d["expected_funding"] is not None
