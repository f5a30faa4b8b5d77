"""Performance of an account: is there an edge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.validation.overfitting import probabilistic_sharpe, sharpe_moments
from app.contract.judgement import NamedAmount
from app.contract.queries import PerformanceQuery
from app.contract.results import GroupRow, MonthRow, PerformanceView, Score
from app.contract.views import FloatArray
from app.documents import exit_name
from app.projection_context import Context, thinned
from app.projections_ledger import in_r
from app.projections_overview import SHARPE_MIN_DAYS, curve, known_sharpe
from data.timeframes import HOUR_MS
from trading.metrics import SENT, daily_returns, metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from data.market import Int64Array, Record
    from database.accounts import Account

FEW_TRADES, FEW_DAYS = 50, SHARPE_MIN_DAYS
EVIDENCE = 0.95


def performance(query: PerformanceQuery, context: Context) -> PerformanceView:
    """Curve, months, groups, costs and scores of the account."""
    limit = context.place.settings.values.trading.limits.drawdown
    account = context.account
    if account is None:
        none = np.empty(0)
        return PerformanceView(
            "Nothing to judge yet", "idle", "Start a run: its trades and equity are judged here.", (),
            np.empty(0, dtype=np.int64), none, none, None, limit,
        )  # fmt: skip
    time, equity, drawdown = curve(context, account)
    trades = context.place.database.trading.trades(account.id)
    returns = daily_returns((time - context.step_ms).astype(np.float64), equity, account.start_equity, context.step_ms)
    figures = _figures(context, account, trades)
    chance = _chance(returns)
    title, level, sentence = _verdict(len(trades), len(returns), chance, figures)
    kept = thinned(equity, query.points)
    return PerformanceView(
        title, level, sentence, _scores(figures, chance, returns), time[kept], equity[kept], drawdown[kept],
        account.start_equity, limit, months=_months(time, equity, account.start_equity),
        by_exit=_groups(trades, lambda t: exit_name(int(t["exit_reason"]))),
        by_symbol=_groups(trades, lambda t: account.symbol_name(int(t["symbol"]))),
        by_hour=_groups(trades, lambda t: f"{int(t['entry_time']) // HOUR_MS % 24:02d}"), costs=_costs(trades),
        results_r=in_r(trades),
    )  # fmt: skip


def _figures(context: Context, account: Account, trades: Record) -> dict[str, float | None]:
    ledger = context.place.database.trading
    equity, fills = ledger.equity(account.id), ledger.fills(account.id)
    sent = ledger.decisions(account.id, actions=SENT).rows
    return metrics(trades, equity, account.start_equity, context.step_ms, fills, sent)


def _chance(returns: FloatArray) -> float | None:
    """Probability that the true Sharpe is above zero (one configuration: the account itself)."""
    if len(returns) < FEW_DAYS:
        return None
    sharpe, skew, kurtosis = sharpe_moments(returns)
    value = probabilistic_sharpe(sharpe, 0.0, len(returns), skew, kurtosis)
    return float(value) if np.isfinite(value) else None


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'s' if number != 1 else ''}"


def _verdict(trades: int, days: int, chance: float | None, figures: dict[str, float | None]) -> tuple[str, str, str]:
    if trades < FEW_TRADES or days < FEW_DAYS:
        return (
            "Too early to tell", "idle",
            f"{_count(trades, 'trade')} over {_count(days, 'day')}: at least {FEW_TRADES} trades and {FEW_DAYS} days "
            "are needed.",
        )  # fmt: skip
    net = figures["net_return"] or 0.0
    words = f"{trades} trades over {days} days made {net:+.1%} after costs"
    if chance is not None and chance >= EVIDENCE and net > 0:
        return "There may be an edge", "ok", f"{words}; the chance that the true Sharpe is above zero is {chance:.0%}."
    return "No evidence of an edge", "warn", f"{words}; luck alone could do that."


def _scores(figures: dict[str, float | None], chance: float | None, returns: FloatArray) -> tuple[Score, ...]:
    def above(key: str, label: str, unit: str, want: float, words: str, signed: bool = False) -> Score:
        value = figures[key]
        return Score(label, value, unit, passed=None if value is None else value > want, words=words, signed=signed)

    deepest = figures["max_drawdown"]
    return (
        above("net_return", "Net return", "fraction", 0.0, "after fees, slippage and funding", signed=True),
        _sharpe(returns),
        Score("Deepest drawdown", deepest, "fraction", passed=None if deepest is None else deepest < 0.08,
              words="want < 8 %"),
        above("win_rate", "Win rate", "fraction", 0.52, "want > 52 %"),
        above("profit_factor", "Profit factor", "ratio", 1.0, "want > 1"),
        Score("Chance of Sharpe > 0", chance, "fraction", passed=None if chance is None else chance >= EVIDENCE,
              words="want > 95 %", tip="Probabilistic Sharpe ratio of the daily returns (Bailey, López de Prado)."),
    )  # fmt: skip


def _sharpe(returns: FloatArray) -> Score:
    value = known_sharpe(returns)
    return Score(
        "Sharpe", value, "ratio", passed=None if value is None else value > 0.8,
        words=f"needs {SHARPE_MIN_DAYS} days" if value is None else "want > 0.8", signed=True,
    )  # fmt: skip


def _months(time: Int64Array, equity: FloatArray, start: float) -> tuple[MonthRow, ...]:
    """Return of each UTC month, by the last equity in it."""
    if not len(time):
        return ()
    months = ((time - 1).astype("datetime64[ms]").astype("datetime64[M]")).astype(np.int64)
    last = np.flatnonzero(np.append(months[1:] != months[:-1], True))
    rows, before = [], start
    for k in last:
        moment = datetime.fromtimestamp((int(time[k]) - 1) / 1000, UTC)
        rows.append(MonthRow(moment.year, moment.month, float(equity[k]) / before - 1.0))
        before = float(equity[k])
    return tuple(rows)


def _groups(trades: Record, name: Callable[[Any], str]) -> tuple[GroupRow, ...]:
    sums: dict[str, list[float]] = {}
    for t in trades:
        group = sums.setdefault(name(t), [0.0, 0.0, 0.0])
        pnl = float(t["pnl"])
        group[0] += 1
        group[1] += pnl > 0
        group[2] += pnl
    return tuple(GroupRow(key, int(n), int(wins), pnl) for key, (n, wins, pnl) in sorted(sums.items()))


def _costs(trades: Record) -> tuple[NamedAmount, ...]:
    if not len(trades):
        return ()
    net, fees = float(trades["pnl"].sum()), float(trades["fees"].sum())
    funding, slippage = float(trades["funding"].sum()), float(np.nansum(trades["slippage"]))
    return (
        NamedAmount("Gross", net + fees - funding + slippage), NamedAmount("Fees", -fees),
        NamedAmount("Slippage", -slippage), NamedAmount("Funding", funding), NamedAmount("Net", net),
    )  # fmt: skip
