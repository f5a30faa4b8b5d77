"""``parity``: a session held against the back-test of the same bars, its difference split into named parts.

The back-test runs in steps from today's bars towards what the session knew and met: bars as each was first known, bars
that did not come, settlements as they were known, the fees that were charged, entries that were never filled or not
allowed, entries that were filled later. Every step's effect is a part; what is then left is split trade by trade
(:mod:`trading.parity`). Forecasts are those that were said at the time, in every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from app.parity_runs import charged_config, inputs_of, known_then, run
from app.parity_session import Session, session_of
from app.wiring import Workplace
from data.clock import iso
from data.market import Record
from trading.backtest import RunResult
from trading.departures import NEVER, Departures, first_fills, sent
from trading.parity import (
    FEE,
    FUNDING,
    LATENCY,
    MISSED,
    PARTS,
    REVISED,
    Attribution,
    Key,
    Side,
    trades_by_plan,
    unfinished,
)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``strategy``: the file of a declared strategy, whose path no account remembers."""

    account: int | str | None = None
    strategy: str | None = None


def perform(place: Workplace, request: Request) -> Document:
    """The document: both profits, the parts in total and by trade, and what the steps found.

    Raises:
        UserError: the account has no bars yet, is no paper or replay account, or its strategy is not known any more.
    """
    place, session = session_of(place, request.account, request.strategy)
    now, told = inputs_of(place, session)
    results, parts, found = [run(place, session, now)], [], dict[str, int]()
    for part, after, count in known_then(place, session, now):
        found[part] = count
        if count:
            now = after
            results.append(run(place, session, now))
            parts.append(part)
    ledger = place.database.trading
    charged = charged_config(now.config, results[-1].fills, ledger.fills(session.account.id))
    if charged is not None:
        now = replace(now, config=charged)
        results.append(run(place, session, now))
        parts.append(FEE)
    unfilled = {key: at for key, at in session.departures.entries.items() if at == NEVER}
    for part, departures in ((MISSED, replace(session.departures, entries=unfilled)), (LATENCY, session.departures)):
        count = _departs(departures, results[-1])
        found["missed_entries" if part == MISSED else "late_entries"] = count
        if count:
            results.append(run(place, session, now, departures))
            parts.append(part)
    sides = [_side(result) for result in results]
    live = trades_by_plan(ledger.trades(session.account.id), session.plans)
    open_now = _open(place, session, session.plans)
    attribution = Attribution(open_now.union(*map(unfinished, sides)))
    for part, before, after_ in zip(parts, sides, sides[1:], strict=False):
        attribution.step(part, before, after_)
    attribution.session(sides[-1], live)
    return _document(session, sides[0], live, attribution, found, told)


def _departs(departures: Departures, result: RunResult) -> int:
    """Entries of a back-test that a session was not allowed, or filled later or never."""
    plans = sent(result.decisions)
    filled = first_fills(plans, result.fills)
    return sum(
        at != NEVER and (departures.entries.get(key, 0) > at or key[:2] in departures.holds)
        for key, at in filled.items()
    )


def _side(result: RunResult) -> Side:
    return trades_by_plan(result.trades, result.decisions)


def _open(place: Workplace, session: Session, plans: Record) -> set[Key]:
    """What the session still holds: its profit is not made yet."""
    decided = {int(row["plan_id"]): int(row["open_time"]) for row in plans}
    held = place.database.trading.positions(session.account.id)
    return {(p.symbol, decided.get(p.plan_id, p.entry_time), p.side) for p in held}


def _document(
    session: Session, first: Side, live: Side, attribution: Attribution, found: Mapping[str, int], notes: list[str]
) -> Document:
    counted = attribution.parts.keys()
    profits = [sum(side[key].pnl for key in counted if key in side) for side in (live, first)]
    totals = attribution.totals()
    left_out = (live.keys() | first.keys()) - counted
    return {
        "account": session.account.id, "mode": session.account.key.mode, "source": session.account.key.source,
        "from": iso(session.span[0]), "to": iso(session.span[1]), "bars": len(session.bars),
        "trades_session": sum(key in live for key in counted), "trades_backtest": sum(key in first for key in counted),
        "open": len(left_out), "pnl_session": profits[0], "pnl_backtest": profits[1],
        "difference": float(sum(totals.values())), "parts": {part: float(money) for part, money in totals.items()},
        "meaning": dict(PARTS), "revised_bars": found[REVISED], "absent_bars": found[MISSED],
        "revised_settlements": found[FUNDING], "missed_entries": found["missed_entries"],
        "late_entries": found["late_entries"],
        "trades": [_trade(session, key, live, first, attribution) for key in sorted(counted, key=lambda k: k[1])],
        "notes": notes,
    }  # fmt: skip


def _trade(session: Session, key: Key, live: Side, first: Side, attribution: Attribution) -> Document:
    parts = attribution.parts[key]
    return {
        "symbol": session.account.symbol_name(key[0]), "side": "long" if key[2] > 0 else "short",
        "decided": iso(key[1] + session.plan.step_ms),
        "pnl_session": live[key].pnl if key in live else None, "pnl_backtest": first[key].pnl if key in first else None,
        "difference": float(sum(parts.values())), "parts": {p: float(parts[p]) for p in PARTS if p in parts},
    }  # fmt: skip
