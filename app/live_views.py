"""Views of a running service from its own state in memory: the strip, open positions, the newest bar."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from app.contract.views import BarView, PositionRow, PositionsView, StripView
from app.live_position_parts import by_slot, entries, stop_moves, targets
from app.projection_context import Book, base, decimals
from data.market import Record, short_symbol
from trading.costs import price_of, quantity_of
from trading.records import ExitReason
from trading.risk.portfolio import loss_to_stop, open_risk

if TYPE_CHECKING:
    from app.service import TradingService
    from data.grid import Grid

NO_SYMBOL = -1  # is left out of the sum
SYNTHETIC_BANNER = (
    "Synthetic data: a made-up market to look around in; it says nothing about a real one. "
    "Import recorded bars, or take them from the exchange."
)


def live_positions(service: TradingService) -> list[PositionRow]:
    """Open positions, valued at the mark price of the last close, where unknown at the last price."""
    if service.trader is None or service.plan is None:
        return []
    config, state = service.trader.session.config, service.trader.session.state  # with the trading rules in force
    equity = float(state.account["equity"][0])
    bar_ms = service.progress.last_bar_ms
    close_ms = None if bar_ms is None else bar_ms + config.step_ms
    orders = by_slot(service.trader.session.open_orders())
    tightness = service.trader.session.tightness
    mode = "cross" if state.rules["cross"][0] else "isolated"
    rows = []
    for s, symbol in enumerate(config.symbols):
        p, instrument, rules = state.positions[s], state.instruments[s], config.instruments[s]
        side = int(p["side"])
        if side == 0:
            continue
        entry = float(p["cost"] / p["lots"] * instrument["tick_num"] / instrument["tick_den"])  # of all its fills
        last, mark = price_of(p["last"], instrument), price_of(p["mark"], instrument)
        stop, target = price_of(p["stop"], instrument), price_of(p["next_target"], instrument)
        liquidation = price_of(p["liquidation"], instrument) if p["liquidation"] else None
        quantity = quantity_of(p["lots"], instrument)
        pnl = side * (mark - entry) * quantity
        risk = float(p["risk_amount"])
        leaving = int(p["exit_at_open"]) != 0
        resting = orders.get((s, "S"))
        protecting = 0.0 if resting is None else float(resting.quantity)
        whole = abs(protecting - quantity) < 0.5 * float(rules.lot)
        rows.append(
            PositionRow(
                symbol=symbol, side="long" if side > 0 else "short", quantity=quantity, base=base(symbol),
                entry=entry, last=last, pnl=pnl, pnl_r=pnl / risk if risk > 0 else None, stop=stop, target=target,
                to_stop=abs(last - stop) / last, to_target=abs(target - last) / last,
                to_liquidation=None if liquidation is None else abs(mark - liquidation) / mark,
                opened_ms=int(p["entry_time"]), closes_ms=int(p["deadline"]),
                left_s=None if close_ms is None else max(0.0, (int(p["deadline"]) - close_ms) / 1000),
                notional=quantity * mark, margin=float(p["margin"]) / equity if equity > 0 else None,
                margin_limit=config.settings.limits.margin_share * tightness,
                loss_at_stop=float(loss_to_stop(p, instrument, state.rules[0])),
                leverage=quantity * entry / float(p["margin"]) if p["margin"] > 0 else None,
                protected=whole or leaving, protection=_protection(p, leaving, whole),
                price_digits=decimals(rules.tick), quantity_digits=decimals(rules.lot), liquidation=liquidation,
                margin_mode=mode, protecting=protecting, stops=stop_moves(p, instrument, resting),
                targets=targets(p, instrument, state.rules[0]), adds=int(p["adds"]),
                adds_most=int(state.rules["adds"][0]),
            )
        )  # fmt: skip
    return rows


def _protection(p: Record, leaving: bool, whole: bool) -> str:
    """What stands between the position and a loss."""
    if leaving:
        return "Closing at the next price"
    if not whole:
        return "Stop missing"
    return "Stop moved" if int(p["stop_reason"]) == ExitReason.TRAILING else "Stop resting"


def positions_view(service: TradingService) -> PositionsView:
    """Everything held, with its sums as fractions of equity."""
    rows = live_positions(service)
    if service.trader is None or service.plan is None:
        return PositionsView((), None, None, None, None, None)
    equity = float(service.trader.session.state.account["equity"][0])
    gross = sum(r.notional for r in rows)
    session = service.trader.session
    limit = session.config.settings.limits.exposure * session.tightness
    net = sum(r.notional if r.side == "long" else -r.notional for r in rows)
    bar_ms = service.progress.last_bar_ms
    waiting = entries(
        session.config, session.state, by_slot(session.open_orders()),
        None if bar_ms is None else bar_ms + session.config.step_ms,
    )  # fmt: skip
    return PositionsView(
        tuple(rows), sum(r.pnl or 0.0 for r in rows), gross / equity, limit, net / equity,
        sum(r.loss_at_stop or 0.0 for r in rows), entries=waiting,
    )  # fmt: skip


def book(service: TradingService) -> Book | None:
    """A copy of the account's state between two bars: views are built from it in other threads."""
    if service.trader is None or service.plan is None:
        return None
    session = service.trader.session
    return Book(session.config, copy.deepcopy(session.state))


def strip(service: TradingService) -> StripView:
    """The status strip."""
    plan, progress, clock = service.plan, service.progress, service.place.clock
    health = service.health()
    now = clock.now_ms()
    base: dict[str, Any] = {
        "mode": "paper" if plan is None else plan.mode, "state": progress.state, "state_why": progress.why,
        "running_since_ms": service.started_ms, "now_ms": now, "revision": progress.revision,
        "feed": "synthetic" if plan is not None and plan.source == "synthetic" else health.name,
        "feed_state": _feed_state(service), "currency": "USDT",
        "stale_s": (now - health.last_bar_ms) / 1000 if health.state == "stale" and health.last_bar_ms else None,
        "banner": _banner(service), "start_blocked": _start_blocked(progress.state),
        "pause_blocked": "" if progress.state in ("RUNNING", "PAUSED") else "Nothing runs that could be paused.",
        "stop_blocked": "" if progress.state not in ("STOPPED", "FINISHED") else "The service is stopped.",
    }  # fmt: skip
    if service.trader is None or plan is None:
        return StripView(
            **base, bar_ms=None, equity=None, day_pnl=None, day_pnl_fraction=None, open_risk=None,
            open_risk_limit=None, drawdown=None, drawdown_limit=None, positions=0, orders=0, exposure=None,
            unprotected=0,
        )  # fmt: skip
    account = service.trader.session.state.account[0]
    rows = live_positions(service)
    equity, day_start = float(account["equity"]), float(account["day_start"])
    state = service.trader.session.state
    risk = float(open_risk(state.positions, state.instruments, state.rules[0], NO_SYMBOL))
    limits = plan.config.settings.limits
    return StripView(
        **base, bar_ms=None if progress.last_bar_ms is None else progress.last_bar_ms + plan.step_ms, equity=equity,
        day_pnl=equity - day_start, day_pnl_fraction=equity / day_start - 1.0 if day_start > 0 else None,
        open_risk=risk / equity if equity > 0 else None,
        open_risk_limit=limits.open_risk * service.trader.session.tightness,
        drawdown=float(account["drawdown"]), drawdown_limit=limits.drawdown, positions=len(rows),
        orders=len(service.trader.session.open_orders()), exposure=sum(r.notional for r in rows),
        unprotected=sum(not r.protected for r in rows),
    )  # fmt: skip


def newest_bar(grid: Grid, t: int) -> BarView:
    """The newest closed bar of the first symbol."""
    return BarView(
        grid.symbols[0], grid.timeframe, int(grid.open_time[t]), float(grid.open[0, t]), float(grid.high[0, t]),
        float(grid.low[0, t]), float(grid.close[0, t]), float(grid.volume[0, t]),
    )  # fmt: skip


def _feed_state(service: TradingService) -> str:
    state = service.health().state
    if service.plan is not None and service.plan.source == "synthetic" and state != "none":
        return "synthetic"
    return {"replaying": "replay", "ended": "replay", "live": "live", "stale": "stale"}.get(state, "none")


def _banner(service: TradingService) -> str:
    if service.plan is None or service.plan.source != "synthetic":
        return ""
    return f"{service.fallback} {SYNTHETIC_BANNER}".strip()


def _start_blocked(state: str) -> str:
    return "" if state in ("STOPPED", "FINISHED", "HALTED", "PAUSED") else "The service runs already."


def headline(service: TradingService) -> str:
    """One line for the terminal: where the run stands."""
    view = strip(service)
    parts = [view.state.replace("_", " ").lower()]
    if view.state == "WARMING_UP" and view.state_why:
        parts[0] += f": {view.state_why}"
    if view.feed_state == "stale":
        parts.append("feed stale")
    progress = service.progress
    if progress.last_bar_ms is not None:
        from data.clock import iso

        parts.append(str(iso(progress.last_bar_ms))[:16].replace("T", " "))
        total = f"/{progress.total:,}" if progress.total else ""
        parts.append(f"bar {progress.account_bars:,}{total}")
    if view.equity is not None:
        parts.append(f"equity {view.equity:,.2f} USDT")
        parts.append(f"today {view.day_pnl:+,.2f}" if view.day_pnl is not None else "")
        parts.append(f"drawdown {100 * (view.drawdown or 0.0):.2f} %")
    held = [f"{short_symbol(p.symbol)} {p.side} {p.pnl:+,.2f}" for p in live_positions(service)]
    parts.append(", ".join(held) if held else "flat")
    running = [j for j in service.jobs.statuses() if j.state == "running"]
    parts += [f"{j.name} {100 * j.fraction:.0f} %" for j in running]
    return " · ".join(p for p in parts if p)
