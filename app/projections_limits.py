"""Limits that tightened, what was reduced to them, and since when: from the audit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from app.contract.risk_views import LimitChange, ReductionRow, TighteningView
from app.projection_context import Book, Context, digits
from database.trading import Filter
from trading.records import ExitReason

if TYPE_CHECKING:
    from database.accounts import Account

MOST = 200
WHO = "Only a person may set them back, never the program and no restart. The audit keeps who, when and the reason."
Event = tuple[int, int, str, dict[str, Any]]  # number, ms, kind, body


def limit_events(context: Context, account: Account) -> list[Event]:
    """Tightened, loosened and reduced, newest first."""
    rows = context.place.database.rows(
        "SELECT seq, at_ms, kind, body FROM audit WHERE account = ? AND kind IN ('tighten', 'loosen', 'reduce') "
        "ORDER BY seq DESC LIMIT ?",
        (account.id, MOST),
    )
    return [(int(seq), int(ms), str(kind), json.loads(body)) for seq, ms, kind, body in rows]


def changes(events: Sequence[Event]) -> tuple[LimitChange, ...]:
    """Steps of the limits, newest first."""
    return tuple(
        LimitChange(seq, ms, kind, float(body["left"]) if kind == "tighten" else 1.0, _words(kind, body))
        for seq, ms, kind, body in events
        if kind != "reduce"
    )


def _words(kind: str, body: dict[str, Any]) -> str:
    if kind == "tighten":
        return f"drawdown {float(body['drawdown']):.2%}"
    why = str(body.get("why", ""))
    by = f"by the {body['by']}"
    return by if why in ("", by) else f"{by}: {why}"


def tightening(book: Book, steps: Sequence[LimitChange], blocked: str) -> TighteningView:
    """What is left of the limits; ``steps`` as :func:`changes` gives them."""
    left = float(book.state.account["tightness"][0])
    if left >= 1.0:
        return TighteningView(1.0, who=WHO, blocked="No limit has tightened: they are as set.")
    recent: list[LimitChange] = []
    for step in steps:
        if step.kind == "loosen":
            break
        recent.append(step)
    if not recent:
        return TighteningView(left, why="tightened by itself", who=WHO, blocked=blocked)
    return TighteningView(left, recent[-1].time_ms, recent[0].words, WHO, blocked)


def reductions(context: Context, account: Account, events: Sequence[Event]) -> tuple[ReductionRow, ...]:
    """What was held beyond a limit and was cut, with the fills that did it."""
    rows = [_reduction(seq, ms, body) for seq, ms, kind, body in events if kind == "reduce"]
    if not rows:
        return ()
    fills = context.place.database.trading.fills(account.id, Filter(start_ms=rows[-1].time_ms))
    fills = fills[fills["reason"] == ExitReason.LIMIT]
    return tuple(_filled(row, account, fills) for row in rows)


def _reduction(seq: int, ms: int, body: dict[str, Any]) -> ReductionRow:
    symbol = str(body["symbol"])
    price_digits, quantity_digits = digits(symbol)
    return ReductionRow(
        seq, ms, symbol, str(body["why"]), float(body["share"]), price_digits=price_digits,
        quantity_digits=quantity_digits,
    )  # fmt: skip


def _filled(row: ReductionRow, account: Account, fills: Any) -> ReductionRow:
    """With the first fill of its kind after it; a cut that stop or target forestalled has none."""
    here = fills[(fills["time"] >= row.time_ms) & (fills["symbol"] == account.symbol_index(row.symbol))]
    if not len(here):
        return row
    fill = here[0]
    return replace(
        row, quantity=float(fill["quantity"]), price=float(fill["price"]), result=float(fill["realised"])
    )  # fmt: skip
