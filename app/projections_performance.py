"""Performance of an account: is there an edge."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from ai.validation.overfitting import probabilistic_sharpe, sharpe_moments
from app.backtest_figures import meaning
from app.backtest_verdict import scores as search_scores
from app.contract.queries import PerformanceQuery
from app.contract.results import MonthRow, PerformanceView, Score
from app.contract.views import FloatArray
from app.projection_context import Context, thinned
from app.projections_ledger import in_r
from app.projections_overview import SHARPE_MIN_DAYS, curve, known_sharpe
from app.result_rows import cost_parts, group_rows
from data.timeframes import DAY_MS
from trading.analysis import analysis, bars_of_entry
from trading.metrics import SENT, daily_returns, metrics

if TYPE_CHECKING:
    from data.market import Int64Array, Record
    from database.accounts import Account

FEW_TRADES, FEW_DAYS = 50, SHARPE_MIN_DAYS
HOLES_MS = 7 * DAY_MS  # read besides: bars may be missing where the 90 days begin
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
    parts = analysis(trades, account.symbols, _regimes(context, account, trades) if query.judged else None)
    return PerformanceView(
        title, level, sentence, _scores(figures, chance, returns), time[kept], equity[kept], drawdown[kept],
        account.start_equity, limit, months=months_of(time, equity, account.start_equity),
        by_exit=group_rows(parts["by_exit"]), by_symbol=group_rows(parts["by_symbol"]),
        by_side=group_rows(parts["by_side"]), by_hour=group_rows(parts["by_hour"]),
        by_regime=group_rows(parts["by_regime"]) if query.judged else None,
        costs=cost_parts(parts["costs"]) if len(trades) else (),
        search=_search(context, account, time, equity) if query.judged else (),
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
        passed = None if value is None else value > want
        return Score(label, value, unit, passed=passed, words=words, signed=signed, tip=meaning(key))

    deepest = figures["max_drawdown"]
    return (
        above("net_return", "Net return", "fraction", 0.0, "after fees, slippage and funding", signed=True),
        _sharpe(returns),
        Score("Deepest drawdown", deepest, "fraction", passed=None if deepest is None else deepest < 0.08,
              words="want < 8 %", tip=meaning("max_drawdown")),
        above("win_rate", "Win rate", "fraction", 0.52, "want > 52 %"),
        above("profit_factor", "Profit factor", "ratio", 1.0, "want > 1"),
        Score("Chance of Sharpe > 0", chance, "fraction", passed=None if chance is None else chance >= EVIDENCE,
              words="want > 95 %", tip="Probabilistic Sharpe ratio of the daily returns (Bailey, López de Prado)."),
    )  # fmt: skip


def _sharpe(returns: FloatArray) -> Score:
    value = known_sharpe(returns)
    return Score(
        "Sharpe", value, "ratio", passed=None if value is None else value > 0.8,
        words=f"needs {SHARPE_MIN_DAYS} days" if value is None else "want > 0.8", signed=True, tip=meaning("sharpe"),
    )  # fmt: skip


def months_of(time: Int64Array, equity: FloatArray, start: float) -> tuple[MonthRow, ...]:
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


def _regimes(context: Context, account: Account, trades: Record) -> list[str]:
    """``[n]`` name of the regime at the close that each trade was decided on; ``unknown`` within the first 90 days."""
    from ai.regime import REGIME_NAMES, UNKNOWN, regime_labels, regime_warmup_bars

    names = ["unknown"] * len(trades)
    if not len(trades):
        return names
    step = context.step_ms
    first, last = int(trades["entry_time"].min()), int(trades["entry_time"].max())
    before = regime_warmup_bars(context.timeframe) * step + HOLES_MS
    for s, symbol in enumerate(account.symbols):
        mine = np.flatnonzero(trades["symbol"] == s).tolist()
        frame = context.place.database.candles.read(context.key_of(symbol), first - before, last) if mine else None
        if frame is None or not len(frame):
            continue
        states = [UNKNOWN, *regime_labels(frame).tolist()]
        for row, bar in zip(mine, bars_of_entry(trades, s, frame.open_time, step), strict=True):
            if states[bar + 1] != UNKNOWN:
                names[row] = REGIME_NAMES[states[bar + 1]]
    return names


def _search(context: Context, account: Account, time: Int64Array, equity: FloatArray) -> tuple[Score, ...]:
    """What was tried on the series that the account trades, and what that leaves of its result as evidence."""
    from app.evaluation import search_document
    from app.trials import tried

    trials = {t.digest: t for symbol in account.symbols for t in tried(context.place, context.key_of(symbol))}
    if not trials or not len(time):
        return ()
    step = context.step_ms
    returns = daily_returns((time - step).astype(np.float64), equity, account.start_equity, step)
    first = (int(time[0]) - 1) // DAY_MS
    daily = {first + k: float(r) for k, r in enumerate(returns)}
    return search_scores(search_document(daily, list(trials.values()), "", context.place.settings.values.ai.seed))
