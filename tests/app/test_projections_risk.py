"""The Risk view: figures reckoned again by numpy, limits in force, and what the audit and the fills say was reduced."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from app.contract.commands import LoosenLimits
from app.contract.queries import RiskQuery
from app.contract.results import RiskView
from app.projection_context import Book, Context
from app.projections import build
from app.projections_held import correlations, held, held_days
from app.projections_limits import changes, tightening
from app.runtime_commands import RuntimeCommands
from app.wiring import Workplace
from tests.trading.cases import (
    FREE,
    LOOSE,
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
from trading.journal import AccountKey
from trading.records import ExitReason
from trading.risk.gates import GATES, Gate
from trading.risk.limits import TIGHTENS

FLAT = (100.0, 100.0, 100.0, 100.0)
WIDE = {"limits": {"value_at_risk": 1.0, "shortfall": 1.0, "open_risk": 1.0, "exposure": 9.0}}


def moves(symbols: int, days: int = 300) -> Any:
    """Daily returns ``[S, days]``: the second goes with the first, the third alone."""
    rng = np.random.default_rng(5)
    first = rng.normal(0, 0.02, days)
    rows = [first, 0.95 * first + rng.normal(0, 0.004, days), rng.normal(0, 0.03, days)]
    return np.array(rows[:symbols])


def book_of(sides: tuple[int, ...], days: int = 300, **settings: Any) -> tuple[Book, Any]:
    """A portfolio of these sides after two flat bars, and the returns it is measured on."""
    returns = moves(len(sides), days)
    history = 100.0 * np.cumprod(np.concatenate([np.ones((len(sides), 1)), 1.0 + returns], axis=1), axis=1)
    symbols = SYMBOLS[: len(sides)]
    config = config_of(
        settings=merged(FREE, LOOSE, WIDE, {"sizing": {"correlation_above": 1.0}}, settings),
        exits=profile(0.01, 4.0, 20), symbols=symbols,
    )  # fmt: skip
    session = session_of(config, history=history)
    grid = grid_of({symbol: [FLAT] * 2 for symbol in symbols})
    feed(session, grid, features_of(config, grid, go=np.array(sides, dtype=float)[:, None]))
    return Book(session.config, session.state), returns


def test_what_is_held_is_measured_as_numpy_measures_it() -> None:
    book, returns = book_of((1, 0, -1))
    p = book.state.positions
    weights = p["side"] * p["lots"] * 0.001 * 100.0 / 10_000.0
    assert (np.sign(weights) == [1, 0, -1]).all()
    made = weights @ returns[:, -250:]
    values = {row.label: row.value for row in held(book)}
    ordered = np.sort(made)
    assert values["VaR"] == pytest.approx(-np.quantile(made, 0.01))
    assert values["Expected shortfall"] == pytest.approx(-(ordered[:6].sum() + 0.25 * ordered[6]) / 6.25)
    assert values["Exposure"] == pytest.approx(np.abs(weights).sum())
    assert values["Concentration"] == pytest.approx(np.abs(weights).max())
    assert values["Open risk"] == pytest.approx(np.abs(weights).sum() * 0.01)
    assert held_days(book) == pytest.approx(made)


def test_nothing_held_is_nought_and_too_few_days_are_unknown() -> None:
    flat, _ = book_of((0, 0))
    assert [row.value for row in held(flat)] == [0.0] * 5 and held_days(flat).size == 0
    young, _ = book_of((1, 1), days=40)
    rows = {row.label: row for row in held(young)}
    assert rows["VaR"].value is None and not rows["VaR"].measured and "too few days" in rows["VaR"].words
    assert rows["Exposure"].measured


def test_correlations_are_those_of_the_last_ninety_days() -> None:
    book, returns = book_of((1, 1, -1))
    book.state.positions["side"] = (1, 1, -1)  # the gate itself would have kept the second out
    view = correlations(book)
    assert np.allclose(np.array(view.rho, dtype=float), np.corrcoef(returns[:, -90:]))
    assert view.together == ((SYMBOLS[1], SYMBOLS[0]),), "the third is apart and on the other side"
    apart, _ = book_of((1, -1))
    assert correlations(apart).together == (), "opposite sides share nothing"
    few, _ = book_of((1, 1), days=20)
    assert correlations(few).rho[0][1] is None and correlations(few).rho[0][0] == 1.0


def test_a_tightened_limit_is_shown_with_the_one_that_was_set() -> None:
    book, _ = book_of((1,))
    assert all(row.set_limit is None for row in held(book))
    book.state.account["tightness"] = 0.5
    for row in held(book):
        assert row.limit == pytest.approx(0.5 * (row.set_limit or 0.0))
    assert next(r for r in held(book) if r.label == "Exposure").set_limit == 9.0


def test_since_when_and_why_the_limits_are_tight_is_that_of_the_steps_since_a_person_looked() -> None:
    book, _ = book_of((1,))
    steps = changes(
        [
            (9, 900, "tighten", {"left": 0.25, "drawdown": 0.03}),
            (8, 800, "reduce", {}),
            (7, 700, "tighten", {"left": 0.5, "drawdown": 0.028}),
            (6, 600, "loosen", {"by": "operator", "from": 0.5, "why": "feed was late"}),
            (5, 500, "tighten", {"left": 0.5, "drawdown": 0.026}),
        ]
    )
    assert [(s.kind, s.left) for s in steps] == [("tighten", 0.25), ("tighten", 0.5), ("loosen", 1.0), ("tighten", 0.5)]
    assert steps[2].words == "by the operator: feed was late"
    assert tightening(book, steps, "").blocked == "No limit has tightened: they are as set."
    book.state.account["tightness"] = 0.25
    view = tightening(book, steps, "")
    assert (view.left, view.since_ms, view.why, view.blocked) == (0.25, 700, "drawdown 3.00%", "")
    assert "Only a person" in view.who


@pytest.fixture
def reduced(home: Path) -> Any:
    """A stored account whose long grew beyond the exposure limit and was cut; its session and what it filled."""
    rise = [FLAT, FLAT, (100, 300, 100, 300), (300, 300, 300, 300), (300, 300, 300, 300)]
    config = config_of(settings=merged(FREE, LOOSE, {"limits": {"exposure": 0.45}}), exits=profile(0.01, 900.0, 50))
    grid = grid_of(rise)
    with Workplace.opened(home) as place:
        journal = place.database.journal
        key = AccountKey("replay", "test", "simulated", "exchange", "abc")
        number = journal.open_account(key, 10_000.0, START_MS, {"symbols": list(config.symbols), "timeframe": "1m"})
        session = session_of(config, journal)  # type: ignore[arg-type]
        session.account_id = number
        fills = [f for o in feed(session, grid, features_of(config, grid, go=[1, 0, 0, 0, 0])) for f in o.fills]
        session.state.account["tightness"] = 0.5
        session.loosen("looked at it")
        session.flush()
        account = place.database.accounts.get(number)
        yield Context(place, account, book=Book(session.config, session.state)), fills


def test_a_reduction_is_listed_with_its_limit_and_the_fill_that_did_it(reduced: Any) -> None:
    context, fills = reduced
    view = build(RiskQuery(), context)
    assert isinstance(view, RiskView)
    (row,) = view.reductions
    fill = next(f for f in fills if f["reason"] == ExitReason.LIMIT)
    assert (row.symbol, row.gates, row.price) == (SYMBOLS[0], "Exposure", float(fill["price"]))
    assert row.quantity == pytest.approx(float(fill["quantity"]))
    assert row.share == pytest.approx(float(fill["quantity"]) / 40.0)
    assert row.result == pytest.approx(float(fill["quantity"]) * 200.0), "bought at 100, sold at 300"
    assert [(c.kind, c.words) for c in view.changes] == [("loosen", "by the operator: looked at it")]
    exposure = next(r for r in view.held if r.label == "Exposure")
    assert exposure.value == pytest.approx((40.0 - row.quantity) * 300.0 / 18_000.0)


def test_gates_are_held_against_the_limits_in_force_and_say_what_the_plan_was_judged_by(reduced: Any) -> None:
    context, _ = reduced
    before = {g.label: g for g in build(RiskQuery(), context).gates}  # type: ignore[attr-defined]
    assert set(before) == {g.name for g in GATES} and all(g.set_limit is None for g in before.values())
    context.book.state.account["tightness"] = 0.5
    after = build(RiskQuery(), context)
    assert isinstance(after, RiskView) and after.plan == f"{SYMBOLS[0]} long" and after.plan_ms == START_MS + 60_000
    for g, gate in enumerate(after.gates):
        if not TIGHTENS[g]:
            assert gate == before[gate.label]
            continue
        set_limit = before[gate.label].limit or 0.0
        assert (gate.limit, gate.set_limit) == (pytest.approx(0.5 * set_limit), pytest.approx(set_limit))
        assert "in force now" in gate.words
        assert gate.passed == (gate.value is None or gate.value <= 0.5 * set_limit)
    assert not next(g for g in after.gates if g.label == GATES[Gate.EXPOSURE].name).passed, "0.4 against 0.225"


async def test_a_reason_for_loosening_goes_from_the_window_to_the_session() -> None:
    asked: list[tuple[str, ...]] = []
    service = SimpleNamespace(progress=SimpleNamespace(state="RUNNING"), act=lambda *words: asked.append(words))
    commands = RuntimeCommands(SimpleNamespace(service=service, opened=lambda: None))  # type: ignore[arg-type]
    await commands.do(LoosenLimits("the feed was late"))
    await commands.do(LoosenLimits())
    assert asked == [("loosen", "the feed was late"), ("loosen", "by the operator")]


def test_before_the_first_plan_the_limits_are_known_and_nothing_else(home: Path) -> None:
    book, _ = book_of((0,))
    with Workplace.opened(home) as place:
        key = AccountKey("replay", "test", "simulated", "exchange", "abc")
        number = place.database.journal.open_account(key, 1e4, 0, {"symbols": [SYMBOLS[0]], "timeframe": "1m"})
        view = build(RiskQuery(), Context(place, place.database.accounts.get(number), book=book))
    assert isinstance(view, RiskView) and view.plan == "" and len(view.gates) == len(GATES)
    assert all(not g.measured and g.value is None for g in view.gates)
    assert next(g for g in view.gates if g.label == "Exposure").limit == 9.0
