"""What a run says of itself: the documents of ``status`` and of its end, and the words for a fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from app.contract.events import FillEvent
from app.documents import trade_rows
from app.live_feed import ExchangeFeed
from app.live_market_views import feed_rows, series_name
from app.live_views import live_positions, strip
from data.clock import iso
from data.market import short_symbol
from trading.records import ExitReason, Purpose

if TYPE_CHECKING:
    from app.service import TradingService


def status_document(service: TradingService) -> dict[str, Any]:
    """``state positions protected equity day_pnl feeds`` and more, from memory."""
    view, plan = strip(service), service.plan
    return {
        "state": view.state, "why": view.state_why, "mode": view.mode, "source": plan.source if plan else None,
        "account": service.account.id if service.account else None, "bars": service.progress.bars,
        "positions": [
            {
                "symbol": p.symbol, "side": p.side, "qty": p.quantity, "entry_price": p.entry, "last": p.last,
                "pnl": p.pnl, "stop": p.stop, "target": p.target, "protected": p.protected,
            }
            for p in live_positions(service)
        ],
        "protected": view.unprotected == 0, "equity": view.equity, "day_pnl": view.day_pnl,
        "feeds": _feeds(service), "models": service.switching.watch.as_document() if service.switching else [],
        "last_bar": iso(view.bar_ms), "fallback": service.fallback or None,
    }  # fmt: skip


def _feeds(service: TradingService) -> list[dict[str, Any]]:
    """The feed as a whole; on an exchange also its requests, its stream and every series that is followed."""
    health, feed = service.health(), service.feed
    whole = {
        "name": health.name, "state": health.state, "detail": health.detail, "last_bar": iso(health.last_bar_ms)
    }  # fmt: skip
    parts = feed.details()[0] if isinstance(feed, ExchangeFeed) else None
    if parts is None:
        return [whole]
    bars = {series_name(row.key) for row in parts.series}
    found: list[dict[str, Any]] = [whole]
    for row in feed_rows(parts, service.place.clock.now_ms()):
        series = row.name in bars
        detail = f"{row.age_s:,.0f} s {row.detail}" if series and row.state == "Live" else row.detail
        last = iso(row.last_ms) if series else None
        found.append({"name": row.name, "state": row.state.lower(), "detail": detail, "last_bar": last})
    return found


def summary_document(service: TradingService, state: str) -> dict[str, Any]:
    """The account at the end of a run: ``account mode source bars decisions trades[] equity state`` and more."""
    account, plan, database = service.account, service.plan, service.place.database
    assert account is not None and plan is not None
    counts = database.trading.counts(account.id)
    last = database.trading.last_equity(account.id)
    return {
        "account": account.id, "mode": plan.mode, "source": plan.source, "exchange": plan.keys[0].exchange,
        "symbols": list(plan.config.symbols), "timeframe": plan.timeframe, "strategy": plan.config.strategy.name,
        "bars": counts.bars, "bars_now": service.progress.bars, "decisions": counts.decisions,
        "plans": counts.plans, "blocked": counts.blocked,
        "trades": trade_rows(database.trading.trades(account.id), account.symbols),
        "equity_start": account.start_equity,
        "equity": float(last["equity"]) if last is not None else account.start_equity, "state": state,
        "trading_state": database.accounts.get(account.id).state, "fallback": service.fallback or None,
    }  # fmt: skip


def summary_lines(document: Mapping[str, Any]) -> list[str]:
    """The end of a run for a person: a few lines from its document."""
    trades, start, equity = document["trades"], document["equity_start"], document["equity"]
    net = sum(float(t["pnl"]) for t in trades)
    won = sum(float(t["pnl"]) > 0 for t in trades)
    symbols = ", ".join(short_symbol(s) for s in document["symbols"])
    lines = [
        f"{document['state'].capitalize()}: {document['mode']} account {document['account']} on {document['source']} "
        f"data, {symbols} {document['timeframe']}, strategy {document['strategy']}.",
        f"{_counted(document['bars_now'], 'bar')} this time, {document['bars']:,} in all: "
        f"{_counted(document['decisions'], 'decision')}, {_counted(document['plans'], 'plan')}, "
        f"{document['blocked']:,} of them blocked by a gate.",
        f"{_counted(len(trades), 'closed trade')}, {won:,} with a gain: {net:+,.2f} USDT after fees and funding.",
        f"Equity {equity:,.2f} USDT ({equity / start - 1.0:+.2%} of {start:,.2f}).",
    ]
    if document["fallback"]:
        lines.append(f"Synthetic data stood in for the exchange: {document['fallback']}")
    if document["trading_state"] in ("PAUSED", "HALTED"):
        state = document["trading_state"].lower()
        lines.append(f"The account is {state} and stays so until 'resume' is sent to a running service.")
    if document["state"] == "STOPPED":
        lines.append("The same command goes on from here; what is open stays open with its stop.")
    return lines


def _counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def fill_event(fill: Any, symbols: Sequence[str]) -> FillEvent:
    """A FILL row with a sentence for a person."""
    symbol, quantity, price = symbols[int(fill["symbol"])], float(fill["quantity"]), float(fill["price"])
    reason = ExitReason(int(fill["reason"])).name.lower() if fill["reason"] else ""
    side = "buy" if fill["side"] > 0 else "sell"
    entry = int(fill["purpose"]) == Purpose.ENTRY
    words = "opened" if entry else f"closed by {reason}"
    sentence = f"{short_symbol(symbol)} {words}: {side} {quantity:.10g} at {price:,.10g}"
    if not entry:
        sentence += f", {float(fill['realised']):+,.2f} USDT before fees"
    return FillEvent(
        int(fill["time"]), symbol, "entry" if entry else "exit", side, quantity, price, reason,
        float(fill["realised"]), sentence + ".",
    )  # fmt: skip
