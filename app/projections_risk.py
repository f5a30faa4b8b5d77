"""Risk: how far from the limits, and what the gates stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from app.contract.judgement import NamedAmount
from app.contract.queries import RiskQuery
from app.contract.results import BlockedRow, RiskView
from app.contract.views import GateRow
from app.documents import SIDES, number
from app.projection_context import Book, Context, thinned
from app.projections_decision import TIERS, gate_views
from app.projections_held import as_set, correlations, held, held_days, in_force
from app.projections_ledger import find_decisions
from app.projections_limits import changes, limit_events, reductions, tightening
from app.projections_overview import curve
from app.what_if import committed
from trading.metrics import daily_returns
from trading.risk.limits import GATES
from trading.risk.passing import passes

if TYPE_CHECKING:
    from data.market import Record
    from database.accounts import Account

CURVE_POINTS = 2_000
ENTRIES = {
    "RUNNING": ("entries allowed", "ok"), "PAUSED": ("paused: exits go on", "warn"),
    "HALTED": ("halted: only a person resumes", "bad"), "WARMING_UP": ("warming up", "info"),
}  # fmt: skip


def risk(query: RiskQuery, context: Context) -> RiskView:
    """Gates of the newest plan, what was blocked, exposure, day and drawdown against their limits."""
    limits = context.place.settings.values.trading.limits
    account = context.account
    entries, level = _entries(context)
    if account is None:
        return RiskView(entries, level, (), day_limit=limits.daily_loss, drawdown_limit=limits.drawdown)
    found, total = find_decisions(context, account, "blocked", None, query.blocked_limit)
    time, equity, drawdown = curve(context, account)
    kept = thinned(drawdown, CURVE_POINTS)
    positions = context.positions
    book = context.book or committed(context.place, account.id)
    gates, plan, plan_ms = _newest_gates(context, account, book)
    view = RiskView(
        entries, level, gates=gates, plan=plan, plan_ms=plan_ms, blocked=_blocked(context, account, found),
        blocked_total=total, exposures=_exposures(context), net_exposure=positions.net_exposure,
        gross_exposure=positions.exposure, gross_limit=positions.exposure_limit,
        day_returns=daily_returns(
            (time - context.step_ms).astype(np.float64), equity, account.start_equity, context.step_ms
        ),
        day_limit=limits.daily_loss, day_now=context.strip.day_pnl_fraction if context.strip else None,
        drawdown_time=time[kept], drawdown=drawdown[kept], drawdown_limit=limits.drawdown,
    )  # fmt: skip
    return view if book is None else _with_book(view, context, account, book)


def _with_book(view: RiskView, context: Context, account: Account, book: Book) -> RiskView:
    """With what the account's state says: the portfolio, the limits in force, how symbols move together."""
    events = limit_events(context, account)
    steps = changes(events)
    running = context.strip is not None and context.strip.state in ("RUNNING", "PAUSED", "HALTED")
    blocked = "" if running else "The service is stopped: start it first, then loosen."
    return replace(
        view, held=held(book), held_days=held_days(book), correlation=correlations(book),
        tightening=tightening(book, steps, blocked), changes=steps, reductions=reductions(context, account, events),
    )  # fmt: skip


def _entries(context: Context) -> tuple[str, str]:
    if context.strip is None:
        return "the service is stopped", "idle"
    words, level = ENTRIES.get(context.strip.state, ("the service is stopped", "idle"))
    why = context.strip.state_why
    return (f"halted: {why}" if context.strip.state == "HALTED" and why else words), level


def _newest_gates(
    context: Context, account: Account, book: Book | None
) -> tuple[tuple[GateRow, ...], str, int | None]:  # fmt: skip
    """Each gate as the newest plan met it, whose it was and when; without a plan yet the limits alone."""
    newest: list[tuple[int, Record]] = []
    for action in ("blocked", "traded"):
        newest += find_decisions(context, account, action, None, 1)[0]
    if not newest:
        return tuple(_unasked(g, book) for g in range(len(GATES))), "", None
    row = max(newest, key=lambda pair: int(pair[1]["open_time"]))[1]
    symbol = account.symbol_name(int(row["symbol"]))
    gates = gate_views(row)
    if book is not None and symbol in book.config.symbols:
        at = book.config.symbols.index(symbol)
        gates = tuple(_in_force(gate, g, book, at) for g, gate in enumerate(gates))
    return gates, f"{symbol} {SIDES[int(row['signal'])]}", int(row["open_time"]) + context.step_ms


def _unasked(g: int, book: Book | None) -> GateRow:
    spec = GATES[g]
    return GateRow(
        key=spec.name.lower().replace(" ", "_"), label=spec.name, tier=TIERS.get(spec.tier, spec.tier), value=None,
        limit=None if book is None or spec.unit == "by profile" else in_force(book, 0, g),
        unit="fraction" if spec.unit.startswith("fraction") else spec.unit, passed=True, measured=False,
        words=f"{spec.words}: no plan was made yet.", at_least=spec.at_least,
        set_limit=None if book is None else as_set(book, 0, g),
    )  # fmt: skip


def _in_force(gate: GateRow, g: int, book: Book, s: int) -> GateRow:
    """The same value against the limit in force now; words say where the plan was judged against another one."""
    now = in_force(book, s, g)
    gate = replace(gate, set_limit=as_set(book, s, g))
    if gate.limit is None or abs(now - gate.limit) <= 1e-12 * abs(now) or gate.text:
        return gate
    passed = gate.passed if gate.value is None else bool(passes(gate.value, now, gate.at_least))
    words = f"{gate.words} The plan was judged against {gate.limit:.6g}; {now:.6g} is in force now."
    return replace(gate, limit=now, passed=passed, words=words)


def _blocked(context: Context, account: Account, found: list[tuple[int, Record]]) -> tuple[BlockedRow, ...]:
    """Plans that gates stopped: the first that failed with its value and limit, and the names of the others."""
    rows = []
    for number_, row in found:
        stopped = [g for g in gate_views(row) if not g.passed]
        if not stopped:
            continue
        failed = stopped[0]
        rows.append(
            BlockedRow(
                str(number_), int(row["open_time"]) + context.step_ms, account.symbol_name(int(row["symbol"])),
                SIDES[int(row["signal"])], f"{failed.tier} · {failed.label}", failed.value, failed.limit, failed.unit,
                number(row["expected_value"]), tuple(f"{g.tier} · {g.label}" for g in stopped[1:]),
            )
        )  # fmt: skip
    return tuple(rows)


def _exposures(context: Context) -> tuple[NamedAmount, ...]:
    """By symbol, signed fraction of equity."""
    equity = context.strip.equity if context.strip is not None else None
    if not equity:
        return ()
    return tuple(
        NamedAmount(p.symbol, (p.notional if p.side == "long" else -p.notional) / equity)
        for p in context.positions.positions
    )
