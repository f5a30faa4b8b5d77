"""Lists of the ledger for the window: decisions, orders, trades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from app.contract.queries import OrdersQuery, SignalsQuery, TradesQuery
from app.contract.results import TradeRow, TradesView
from app.contract.views import OrderRow, OrdersView, SignalRow, SignalsView
from app.documents import SIDES, exit_name, number, why
from app.projection_context import Context, base, digits
from database.ledger_rows import unpack_decisions
from database.trading import Filter
from trading.records import Action

if TYPE_CHECKING:
    from data.market import Record
    from database.accounts import Account

ACTIONS = {Action.ABSTAIN: "abstain", Action.BLOCKED: "blocked", Action.LONG: "long", Action.SHORT: "short"}
WORKING = ("planned", "resting", "unknown")


def signals(query: SignalsQuery, context: Context) -> SignalsView:
    """Decisions, newest first."""
    account = context.account
    if account is None:
        return SignalsView((), 0, context.symbols)
    symbol = account.symbol_index(query.symbol) if query.symbol else None
    found, total = find_decisions(context, account, query.action, symbol, query.limit)
    return SignalsView(signal_rows(context, account, found), total, account.symbols)


def signal_rows(context: Context, account: Account, found: list[tuple[int, Record]]) -> tuple[SignalRow, ...]:
    """Decisions as rows, with what became of their trades."""
    plans = [int(row["plan_id"]) for _, row in found if row["action"] in (Action.LONG, Action.SHORT)]
    results = _results(context, account, plans)
    opened = {p.plan_id for p in context.place.database.trading.positions(account.id)} if plans else set()
    rows = []
    for number_, row in found:
        plan = int(row["plan_id"])
        pnl, risk = results.get(plan, (None, None)) if plan else (None, None)
        rows.append(
            SignalRow(
                decision_id=str(number_), time_ms=int(row["open_time"]) + context.step_ms,
                symbol=account.symbol_name(int(row["symbol"])), action=ACTIONS[Action(int(row["action"]))],
                expected_value=number(row["expected_value"]), why=why(row), outcome=pnl,
                outcome_r=pnl / risk if pnl is not None and risk else None, open=bool(plan) and plan in opened,
            )
        )  # fmt: skip
    return tuple(rows)


def find_decisions(
    context: Context, account: Account, action: str, symbol: int | None, limit: int
) -> tuple[list[tuple[int, Record]], int]:
    """``(id, DECISION)`` newest first, and how many there are. Plans are found by their own small table."""
    place = context.place.database
    values: dict[str, Any] = {"account": account.id, "symbol": symbol, "limit": limit}
    here = "account = :account AND (:symbol IS NULL OR symbol = :symbol)"
    if action in ("traded", "blocked"):
        values["blocked"] = int(action == "blocked")
        rows = place.rows(
            "SELECT d.id, d.row FROM plans p JOIN decisions d ON d.account = p.account AND d.open_time = p.open_time "
            "AND d.symbol = p.symbol WHERE p.account = :account AND (:symbol IS NULL OR p.symbol = :symbol) "
            "AND p.blocked = :blocked ORDER BY p.plan_id DESC LIMIT :limit",
            values,
        )
        count = place.one(f"SELECT count(*) FROM plans WHERE {here} AND blocked = :blocked", values)
    else:
        only = " AND action = 0" if action == "abstained" else ""
        rows = place.rows(
            f"SELECT id, row FROM decisions WHERE {here}{only} ORDER BY open_time DESC, symbol DESC LIMIT :limit",
            values,
        )
        less = f" - (SELECT count(*) FROM plans WHERE {here})" if only else ""
        count = place.one(f"SELECT (SELECT count(*) FROM decisions WHERE {here}){less}", values)
    records = unpack_decisions([row[1] for row in rows]) if rows else ()
    return [(int(row[0]), record) for row, record in zip(rows, records, strict=True)], int(count[0]) if count else 0


def _results(context: Context, account: Account, plans: list[int]) -> dict[int, tuple[float, float | None]]:
    """Net profit and risk of the closed trades of these plans."""
    if not plans:
        return {}
    rows = context.place.database.rows(
        "SELECT plan_id, pnl, risk_amount FROM trades WHERE account = ? AND plan_id BETWEEN ? AND ?",
        (account.id, min(plans), max(plans)),
    )
    return {int(plan): (float(pnl), risk) for plan, pnl, risk in rows if pnl is not None}


def orders(query: OrdersQuery, context: Context) -> OrdersView:
    """Orders, newest first."""
    account = context.account
    if account is None:
        return OrdersView((), 0, 0)
    place = context.place.database
    found = place.trading.orders(account.id, Filter(limit=query.limit))[::-1]
    counted = place.one(
        "SELECT count(*), sum(status IN ('planned', 'resting', 'unknown')) FROM orders WHERE account = ?",
        (account.id,),
    )  # fmt: skip
    total, working = (int(counted[0]), int(counted[1] or 0)) if counted else (0, 0)
    return OrdersView(tuple(_order(row) for row in found), total, working)


def _order(row: Any) -> OrderRow:
    price_digits, quantity_digits = digits(row.symbol)
    return OrderRow(
        client_id=row.client_id, plan_id=row.plan_id, symbol=row.symbol, purpose=row.purpose, side=row.side,
        kind=row.kind, quantity=float(row.quantity), price=None if row.price is None else float(row.price),
        reduce_only=row.reduce_only, status=row.status, created_ms=row.created_ms, updated_ms=row.updated_ms,
        history=row.history, price_digits=price_digits, quantity_digits=quantity_digits,
    )  # fmt: skip


def trades(query: TradesQuery, context: Context) -> TradesView:
    """Closed trades, newest first, with the sums over all of them."""
    account = context.account
    if account is None:
        return TradesView((), 0, 0.0, 0.0, 0.0, 0)
    place = context.place.database
    found = place.trading.trades(account.id, Filter(limit=query.limit))[::-1]
    sums = place.one(
        "SELECT count(*), sum(pnl), sum(fees), sum(funding), sum(pnl > 0) FROM trades WHERE account = ?", (account.id,)
    ) or (0, 0.0, 0.0, 0.0, 0)
    deciders = dict(
        place.rows(
            "SELECT p.plan_id, d.id FROM plans p JOIN decisions d ON d.account = p.account "
            "AND d.open_time = p.open_time AND d.symbol = p.symbol WHERE p.account = ? AND p.blocked = 0",
            (account.id,),
        )
    )
    rows = tuple(trade_row(account, t, str(deciders.get(int(t["plan_id"]), ""))) for t in found)
    return TradesView(
        rows, int(sums[0]), float(sums[1] or 0.0), float(sums[2] or 0.0), float(sums[3] or 0.0), int(sums[4] or 0)
    )


def trade_row(account: Account, trade: Record, decision_id: str = "") -> TradeRow:
    """One closed trade."""
    symbol = account.symbol_name(int(trade["symbol"]))
    risk, pnl = number(trade["risk_amount"]), float(trade["pnl"])
    price_digits, quantity_digits = digits(symbol)
    return TradeRow(
        trade_id=int(trade["trade_id"]), symbol=symbol, side=SIDES[int(trade["side"])],
        quantity=float(trade["quantity"]), base=base(symbol), entry_ms=int(trade["entry_time"]),
        entry=float(trade["entry_price"]), exit_ms=int(trade["exit_time"]), exit=float(trade["exit_price"]),
        exit_reason=exit_name(int(trade["exit_reason"])), fees=float(trade["fees"]), funding=float(trade["funding"]),
        slippage=number(trade["slippage"]) or 0.0, pnl=pnl, pnl_r=pnl / risk if risk else None,
        mfe=number(trade["mfe"]), mae=number(trade["mae"]), decision_id=decision_id, price_digits=price_digits,
        quantity_digits=quantity_digits,
    )  # fmt: skip


def in_r(trades_: Record) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Net results in multiples of the risk at the stop, where a risk is known."""
    risk = np.asarray(trades_["risk_amount"], dtype=np.float64)
    known = np.isfinite(risk) & (risk > 0)
    return np.asarray(trades_["pnl"][known] / risk[known], dtype=np.float64)
