"""Risk: how far from the limits, and what the gates stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from app.contract.judgement import NamedAmount
from app.contract.queries import RiskQuery
from app.contract.results import BlockedRow, RiskView
from app.contract.views import GateRow
from app.documents import SIDES, number
from app.projection_context import Context, thinned
from app.projections_decision import TIERS, gate_views
from app.projections_ledger import find_decisions
from app.projections_overview import curve
from trading.metrics import daily_returns

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
    held = context.positions
    return RiskView(
        entries, level, gates=_newest_gates(context, account), blocked=_blocked(context, account, found),
        blocked_total=total, exposures=_exposures(context), net_exposure=held.net_exposure,
        gross_exposure=held.exposure, gross_limit=held.exposure_limit,
        day_returns=daily_returns(
            (time - context.step_ms).astype(np.float64), equity, account.start_equity, context.step_ms
        ),
        day_limit=limits.daily_loss, day_now=context.strip.day_pnl_fraction if context.strip else None,
        drawdown_time=time[kept], drawdown=drawdown[kept], drawdown_limit=limits.drawdown,
    )  # fmt: skip


def _entries(context: Context) -> tuple[str, str]:
    if context.strip is None:
        return "the service is stopped", "idle"
    words, level = ENTRIES.get(context.strip.state, ("the service is stopped", "idle"))
    why = context.strip.state_why
    return (f"halted: {why}" if context.strip.state == "HALTED" and why else words), level


def _newest_gates(context: Context, account: Account) -> tuple[GateRow, ...]:
    """Each gate as the newest plan met it; without a plan yet the limits alone."""
    newest: list[tuple[int, Record]] = []
    for action in ("blocked", "traded"):
        newest += find_decisions(context, account, action, None, 1)[0]
    if newest:
        return gate_views(max(newest, key=lambda pair: int(pair[1]["open_time"]))[1])
    from trading.risk.limits import GATES

    return tuple(
        GateRow(
            key=g.name.lower().replace(" ", "_"), label=g.name, tier=TIERS.get(g.tier, g.tier), value=None, limit=None,
            unit="fraction" if g.unit.startswith("fraction") else g.unit, passed=True, measured=False,
            words=f"{g.words}: no plan was made yet.", at_least=g.at_least,
        )
        for g in GATES
    )  # fmt: skip


def _blocked(context: Context, account: Account, found: list[tuple[int, Record]]) -> tuple[BlockedRow, ...]:
    """Plans that a gate stopped: the first gate that failed, with its value and limit."""
    rows = []
    for number_, row in found:
        failed = next((g for g in gate_views(row) if not g.passed), None)
        if failed is None:
            continue
        rows.append(
            BlockedRow(
                str(number_), int(row["open_time"]) + context.step_ms, account.symbol_name(int(row["symbol"])),
                SIDES[int(row["signal"])], f"{failed.tier} · {failed.label}", failed.value, failed.limit, failed.unit,
                number(row["expected_value"]),
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
