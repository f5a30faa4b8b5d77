"""The overview: cards, equity curve, open positions, last decisions, health."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from app.contract.queries import OverviewQuery, SignalsQuery
from app.contract.views import FloatArray, HealthRow, IntArray, MetricCard, OverviewView
from app.projection_context import Context, thinned
from app.projections_ledger import signals
from data.clock import iso
from data.timeframes import DAY_MS
from trading.metrics import daily_returns, sharpe

if TYPE_CHECKING:
    from data.market import Record
    from database.accounts import Account

LAST_DECISIONS = 12
SPARK_POINTS = 120
SPARK_DAYS = 30
SPARK_TRADES = 40
SHARPE_MIN_DAYS = 30
ADVISED_PAPER_DAYS = 90.0
ACCOUNT_WORDS = {"paper": "paper account", "replay": "replay account", "backtest": "back-test", "live": "live account"}

TIPS = {
    "equity": "Cash and the open positions at their last price.",
    "day_pnl": "Equity against equity at 00:00 UTC, open positions included.",
    "win_rate": "Share of closed trades with a net profit after fees and funding.",
    "trades": "Closed trades of this account, flat to flat.",
    "sharpe": "Mean over standard deviation of daily UTC returns, times the root of 365; unknown under 30 days.",
    "drawdown": "Fall of equity from its high, as a share of that high.",
}


def curve(context: Context, account: Account) -> tuple[IntArray, FloatArray, FloatArray]:
    """Bar closes, equity and drawdown of every committed bar, oldest first."""
    rows = context.place.database.rows(
        "SELECT open_time, equity, drawdown FROM equity_curve WHERE account = ? ORDER BY open_time", (account.id,)
    )
    table = np.array(rows, dtype=np.dtype([("t", "<i8"), ("e", "<f8"), ("d", "<f8")]))
    return table["t"] + context.step_ms, np.ascontiguousarray(table["e"]), np.ascontiguousarray(table["d"])


def overview(query: OverviewQuery, context: Context) -> OverviewView:
    """How am I doing, what is open."""
    limits = context.place.settings.values.trading.limits
    account = context.account
    if account is None:
        none = np.empty(0)
        return OverviewView(
            (), np.empty(0, dtype=np.int64), none, none, none, None, limits.drawdown, "no account yet", "USDT",
            health=_health(context),
        )  # fmt: skip
    time, equity, drawdown = curve(context, account)
    kept = thinned(equity, query.points)
    peaks = np.maximum.accumulate(np.concatenate([[account.start_equity], equity]))[1:]
    held = context.positions
    words = ACCOUNT_WORDS.get(account.key.mode, account.key.mode)
    return OverviewView(
        cards=_cards(context, account, time, equity, drawdown), time=time[kept], equity=equity[kept],
        high_water=peaks[kept], drawdown=drawdown[kept], equity_start=account.start_equity,
        drawdown_limit=limits.drawdown,
        account=f"synthetic {words}" if account.key.source == "synthetic" else words, currency="USDT",
        positions=held.positions, exposure=held.exposure, exposure_limit=held.exposure_limit,
        net_exposure=held.net_exposure, loss_at_stops=held.loss_at_stops, waiting=len(held.entries),
        decisions=signals(SignalsQuery(limit=LAST_DECISIONS), context).rows, health=_health(context),
        paper_days=_days(account, time), paper_days_advised=ADVISED_PAPER_DAYS,
    )  # fmt: skip


def _health(context: Context) -> tuple[HealthRow, ...]:
    """The service's rows, and the audit chain by its last verification."""
    if not context.health:
        return ()
    rows = tuple(_model_health(context) if row.name == "Model" else row for row in context.health)
    entries, report = f"{context.place.database.audit.head().seq:,} entries", context.audit
    if report is None or context.audit_ms is None:
        return (*rows, HealthRow("Audit chain", "Kept", "ok", f"{entries} · not verified in this run"))
    at = (iso(context.audit_ms) or "")[11:16]
    if report.ok:
        return (*rows, HealthRow("Audit chain", "Verified", "ok", f"{entries} · at {at} UTC"))
    return (*rows, HealthRow("Audit chain", "Broken", "bad", f"entry {report.first_bad} · at {at} UTC"))


def _model_health(context: Context) -> HealthRow:
    """Who makes the forecasts of the run."""
    account = context.account
    strategy = str(account.about.get("strategy", "")) if account is not None else ""
    if account is not None and account.about.get("schedule"):
        return HealthRow("Model", "By schedule", "ok", "stored walk-forward forecasts")
    switches = context.place.database.trading.switches(account.id) if account is not None else ()
    if switches:
        return HealthRow("Model", switches[-1].model_id, "ok", "makes the forecasts")
    if any(job.state == "running" and job.name == "Training" for job in context.jobs.jobs):
        return HealthRow("Model", "In training", "info", "the rule trades until a model is promoted")
    if strategy == "auto":
        return HealthRow("Model", "None yet", "idle", "the rule trades until a model is promoted")
    return HealthRow("Model", "None", "idle", f"{strategy or 'the rule'} reads no forecasts")


def _days(account: Account, time: IntArray) -> float | None:
    """Days of paper trading on real bars; replays and synthetic markets do not count."""
    if account.key.mode != "paper" or account.key.source == "synthetic" or not len(time):
        return None
    return float(time[-1] - time[0]) / DAY_MS


def _cards(
    context: Context, account: Account, time: IntArray, equity: FloatArray, drawdown: FloatArray
) -> tuple[MetricCard, ...]:
    trades = context.place.database.trading.trades(account.id)
    returns = daily_returns((time - context.step_ms).astype(np.float64), equity, account.start_equity, context.step_ms)
    return (
        _equity_card(context, account, equity), _day_card(context, returns), _win_card(trades),
        _trades_card(time, trades), _sharpe_card(returns), _drawdown_card(context, drawdown),
    )  # fmt: skip


def _spark(values: FloatArray) -> FloatArray:
    return values[thinned(values, SPARK_POINTS)] if len(values) else values


def _equity_card(context: Context, account: Account, equity: FloatArray) -> MetricCard:
    now = context.strip.equity if context.strip is not None else None
    value = now if now is not None else float(equity[-1]) if len(equity) else account.start_equity
    return MetricCard(
        "equity", "Equity", value, "USDT", TIPS["equity"], change=value / account.start_equity - 1.0,
        right="since the start", series=_spark(equity), reference=account.start_equity,
    )  # fmt: skip


def _day_card(context: Context, returns: FloatArray) -> MetricCard:
    strip, limit = context.strip, context.place.settings.values.trading.limits.daily_loss
    return MetricCard(
        "day_pnl", "Day P&L", strip.day_pnl if strip is not None else None, "USDT", TIPS["day_pnl"], signed=True,
        change=strip.day_pnl_fraction if strip is not None else None,
        right=f"limit −{limit * 100:.3g} %", series=returns[-SPARK_DAYS:], reference=0.0, bars=True,
    )  # fmt: skip


def _win_card(trades: Record) -> MetricCard:
    pnl = np.asarray(trades["pnl"], dtype=np.float64)
    won = pnl > 0
    rate = float(won.mean()) if len(pnl) else None
    running = np.cumsum(won) / np.arange(1, len(pnl) + 1) if len(pnl) else np.empty(0)
    return MetricCard(
        "win_rate", "Win rate", rate, "fraction", TIPS["win_rate"], note="target over 52 %", series=_spark(running),
        reference=0.52 if len(pnl) else None,
    )  # fmt: skip


def _trades_card(time: IntArray, trades: Record) -> MetricCard:
    span = max(float(time[-1] - time[0]) / DAY_MS, 0.0) if len(time) else 0.0
    note = f"{len(trades) / span:.1f} a day" if span >= 1.0 else "none closed yet" if not len(trades) else ""
    newest = np.asarray(trades["pnl"], dtype=np.float64)[-SPARK_TRADES:]
    return MetricCard("trades", "Trades", float(len(trades)), "count", TIPS["trades"], suffix="closed", note=note,
                      series=newest, bars=True)  # fmt: skip


def _sharpe_card(returns: FloatArray) -> MetricCard:
    days = len(returns)
    running = np.array([sharpe(returns[:k]) or math.nan for k in range(SHARPE_MIN_DAYS, days + 1)])
    return MetricCard(
        "sharpe", "Sharpe", known_sharpe(returns), "ratio", TIPS["sharpe"],
        suffix=f"{days} d" if days >= SHARPE_MIN_DAYS else "",
        note="target over 0.8" if days >= SHARPE_MIN_DAYS else f"{days} of {SHARPE_MIN_DAYS} days",
        right="" if days >= SHARPE_MIN_DAYS else f"needs {SHARPE_MIN_DAYS} days", signed=True,
        series=_spark(running[np.isfinite(running)]), reference=0.8 if days >= SHARPE_MIN_DAYS else None,
    )  # fmt: skip


def known_sharpe(returns: FloatArray) -> float | None:
    """Sharpe ratio of an account's daily returns; unknown under 30 days, where it is noise."""
    return sharpe(returns) if len(returns) >= SHARPE_MIN_DAYS else None


def _drawdown_card(context: Context, drawdown: FloatArray) -> MetricCard:
    limit = context.place.settings.values.trading.limits.drawdown
    value = float(drawdown[-1]) if len(drawdown) else 0.0
    deepest = float(drawdown.max()) if len(drawdown) else 0.0
    return MetricCard(
        "drawdown", "Drawdown", value, "fraction", TIPS["drawdown"], note=f"deepest {deepest * 100:.2f} %",
        right=f"limit {limit * 100:.3g} %", series=-_spark(drawdown) if len(drawdown) else drawdown, reference=-limit,
    )  # fmt: skip
