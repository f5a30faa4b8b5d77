"""What happened and why: ledger rows, performance, exports, the audit chain, the reconciliation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.documents import decision_row, fill_rows, gate_rows, number, order_rows, trade_rows
from app.settings_kept import SETTINGS
from app.wiring import Workplace
from data.clock import iso
from data.errors import UserError
from data.market import SeriesKey, unified_symbol
from data.timeframes import timeframe_ms
from database.trading import Filter

if TYPE_CHECKING:
    from database.accounts import Account
    from database.repositories import Repositories
    from database.trading import OpenPosition
    from trading.journal import OrderRow

Document = dict[str, Any]
Chosen = int | str | None


def rows(
    place: Workplace, table: str, account: Chosen, symbol: str | None, start: int | None, end: int | None, limit: int
) -> Document:
    """``{table: rows, accounts, more}`` of trades, orders, fills or decisions, oldest first, the newest ``limit``.

    Raises:
        UserError: no such account, or the account does not trade the symbol.
    """
    found: list[dict[str, Any]] = []
    more = False
    accounts = place.database.accounts.chosen(account)
    for one in reversed(accounts):
        which = Filter(_symbol_of(one, symbol, len(accounts)), start, end, None, limit + 1)
        part = [{"account": one.id, **row} for row in _rows_of(place.database, table, one, which)]
        more |= len(part) > limit
        found += part[-limit:]
    more |= len(found) > limit
    return {table: found[-limit:], "accounts": [account_document(a) for a in accounts], "more": more}


def _rows_of(database: Repositories, table: str, account: Account, which: Filter) -> list[dict[str, Any]]:
    ledger, names = database.trading, _names(account)
    if table == "trades":
        return trade_rows(ledger.trades(account.id, which), names)
    if table == "fills":
        return fill_rows(ledger.fills(account.id, which), names)
    if table == "orders":
        return order_rows(ledger.orders(account.id, which))
    found = ledger.decisions(account.id, which)
    step = account_step(account)
    return [
        decision_row(row, names, step, int(number_), digest)
        for row, number_, digest in zip(found.rows, found.ids, found.hashes, strict=True)
    ]


def _symbol_of(account: Account, symbol: str | None, accounts: int) -> str | None:
    if symbol is None:
        return None
    unified = unified_symbol(symbol)
    if unified not in account.symbols and accounts == 1:
        traded = ", ".join(account.symbols) or "nothing"
        raise UserError(f"Account {account.id} does not trade {unified}: it trades {traded}.")
    return unified


def _names(account: Account) -> Sequence[str]:
    return account.symbols or [account.symbol_name(i) for i in range(64)]


def account_step(account: Account) -> int:
    """Length of a bar of the account's run in milliseconds."""
    return timeframe_ms(str(account.about.get("timeframe", "1m")))


def account_document(account: Account) -> Document:
    """Whose rows these are."""
    return {
        "account": account.id, "mode": account.key.mode, "venue": account.key.venue,
        "environment": account.key.environment, "source": account.key.source, "run": account.key.run,
        "started": iso(account.started_ms), "state": account.state, "last_bar": iso(account.last_bar_ms),
        "finished": account.finished,
        "about": {name: value for name, value in account.about.items() if name != SETTINGS},
    }  # fmt: skip


def decision(place: Workplace, account: Chosen, text: str) -> Document:
    """One decision by its number, with every gate's verdict.

    Raises:
        UserError: there is none.
    """
    if not text.isdigit():
        raise UserError(f"'{text}' is no decision: give its number, as 'decisions' lists it.")
    named = place.database.accounts.chosen(account) if account is not None else place.database.accounts.all()
    for one in named:
        found = place.database.trading.decisions(one.id, Filter(id=int(text)))
        if len(found):
            row = found.rows[0]
            shown = decision_row(row, _names(one), account_step(one), int(found.ids[0]), found.hashes[0])
            return {"decision": {"account": one.id, **shown, "gates": gate_rows(row)}}
    raise UserError(f"There is no decision {text}: 'decisions --account all' lists them.")


def positions(place: Workplace, account: Chosen, symbol: str | None) -> Document:
    """What is open by the fills, with the stop that rests, its plan's target and the last stored price."""
    accounts = place.database.accounts.chosen(account)
    found: list[dict[str, Any]] = []
    for one in accounts:
        wanted = _symbol_of(one, symbol, len(accounts))
        for position in place.database.trading.positions(one.id):
            name = one.symbol_name(position.symbol)
            if wanted in (None, name):
                found.append({"account": one.id, **_position(place.database, one, name, position)})
    return {"positions": found, "accounts": [account_document(a) for a in accounts]}


def _position(database: Repositories, account: Account, name: str, position: OpenPosition) -> dict[str, Any]:
    plans = database.trading.plans(account.id, Filter(id=position.plan_id))
    stops = [o for o in database.trading.orders(account.id, Filter(symbol=name), working=True) if o.purpose == "stop"]
    last = _last_close(database, account, name)
    moved = None if last is None else position.side * position.quantity * (last - position.entry_price)
    return {
        "symbol": name, "side": "long" if position.side > 0 else "short", "qty": position.quantity,
        "entry_price": position.entry_price, "entry_time": iso(position.entry_time), "plan_id": position.plan_id,
        "stop": _resting(stops, plans[0].stop if plans else None), "target": plans[0].target if plans else None,
        "time_limit": iso(plans[0].time_limit) if plans else None, "last_price": last, "unrealised": moved,
        "fees": position.fees, "protected": bool(stops),
    }  # fmt: skip


def _resting(stops: list[OrderRow], planned: float | None) -> float | None:
    """Where the stop stands now: it may have been moved since the plan."""
    price = stops[0].price if stops else None
    return float(price) if price is not None else planned


def _last_close(database: Repositories, account: Account, name: str) -> float | None:
    key = SeriesKey(
        account.key.venue, name, str(account.about.get("timeframe", "1m")), "ohlcv", account.key.source
    )  # fmt: skip
    before = None if account.last_bar_ms is None else account.last_bar_ms + 1
    frame = database.candles.tail(key, 1, before)
    return float(frame.close[-1]) if len(frame) else None


def performance(place: Workplace, account: Chosen, start: int | None, end: int | None) -> Document:
    """What each account made in the span, by its trades and equity curve."""
    return {"performance": [_performance(place, one, start, end) for one in place.database.accounts.chosen(account)]}


def _performance(place: Workplace, account: Account, start: int | None, end: int | None) -> Document:
    from trading.metrics import SENT, metrics

    which = Filter(start_ms=start, end_ms=end)
    ledger = place.database.trading
    trades, equity, fills = ledger.trades(account.id, which), ledger.equity(account.id, which), ledger.fills(account.id)
    sent = ledger.decisions(account.id, which, actions=SENT).rows
    return {
        **account_document(account),
        "equity_start": account.start_equity,
        "equity_end": number(equity[-1]["equity"]) if len(equity) else account.start_equity,
        "trades": len(trades), "fees": float(trades["fees"].sum()), "funding": float(trades["funding"].sum()),
        "pnl": float(trades["pnl"].sum()),
        "metrics": metrics(trades, equity, account.start_equity, account_step(account), fills, sent),
    }  # fmt: skip


def export(place: Workplace, table: str, to: str) -> Document:
    """A table into a file.

    Raises:
        UserError: unknown table or suffix, or the file cannot be written.
    """
    path = Path(to).expanduser().absolute()
    return {"table": table, "path": str(path), "rows": place.database.export.write(table, path)}


def verify_audit(place: Workplace, head: str | None) -> Document:
    """The chain's verdict."""
    report = place.database.audit.verify(head)
    return {
        "entries": report.entries, "ok": report.ok, "first_bad": report.first_bad, "head": report.head,
        "problem": report.problem,
    }  # fmt: skip


def reconcile(place: Workplace, account: Chosen) -> Document:
    """Fills against trades, equity, checkpoint and the venue's resting orders."""
    accounts = place.database.accounts.chosen(account)
    differences: list[dict[str, Any]] = []
    checked: list[dict[str, Any]] = []
    for one in accounts:
        result = place.database.trading.reconcile(one.id)
        differences += [
            {"account": one.id, "what": d.what, "id": d.id, "expected": number(d.expected), "found": number(d.found)}
            for d in result.differences
        ]
        differences += [{"account": one.id, **d} for d in _checkpoint_differences(place.database, one)]
        checked.append(
            {"account": one.id, "realised": result.realised, "fees": result.fees, "funding": result.funding,
             "open_funding": result.open_funding, "cash": result.cash}
        )  # fmt: skip
    return {"differences": differences, "accounts": checked}


def _checkpoint_differences(database: Repositories, account: Account) -> list[dict[str, Any]]:
    """The checkpoint stands on the last committed bar, and each open position has its resting stop."""
    found: list[dict[str, Any]] = []
    checkpoint = database.journal.checkpoint(account.id)
    last = account.last_bar_ms
    if last is not None and (checkpoint is None or checkpoint.last_bar_ms != last):
        held = None if checkpoint is None else checkpoint.last_bar_ms
        found.append({"what": "checkpoint is not of the last bar", "id": None, "expected": last, "found": held})
    for position in database.trading.positions(account.id):
        name = account.symbol_name(position.symbol)
        working = database.trading.orders(account.id, Filter(symbol=name), working=True)
        if not any(o.purpose == "stop" for o in working):
            found.append(
                {"what": f"{name} is open without a resting stop", "id": position.plan_id, "expected": 1, "found": 0}
            )
    return found
