"""Performance of a run from its trades and equity. ``None`` where a figure is undefined.

What each figure means, its unit and when it is ``None`` stands in :mod:`trading.metrics_meaning`. Crypto trades every
day: a year has 365 days, and returns are daily, from 00:00 UTC to 00:00 UTC.
"""

from __future__ import annotations

import math

import numpy as np

from ai.validation.overfitting import probabilistic_sharpe, sharpe_moments
from data.compiled import kernel
from data.market import Float64Array, Int64Array, Record
from data.timeframes import DAY_MS
from trading.records import Action, ExitReason, Purpose

DAYS_PER_YEAR = 365.0
SENT = (Action.LONG, Action.SHORT)  # actions of decisions whose plan became an order
_FLAT = 1e-12  # a spread below this share of the mean is rounding: the returns are constant


@kernel
def _last_of_days(open_time: Int64Array, equity: Float64Array, step_ms: int, first: int, levels: Float64Array) -> None:
    """Fill the last equity of each UTC day from day ``first`` on."""
    for t in range(len(open_time)):
        levels[(open_time[t] + step_ms - 1) // DAY_MS - first] = equity[t]


@kernel
def _falls(equity: Float64Array, start: float) -> tuple[float, int]:
    """(Deepest fall from a high, most bars in a row below one)."""
    high, at, deepest, longest = start, -1, 0.0, 0
    for t in range(len(equity)):
        if equity[t] >= high:
            high, at = equity[t], t
        else:
            deepest, longest = max(deepest, 1.0 - equity[t] / high), max(longest, t - at)
    return deepest, longest


def daily_returns(open_time: Float64Array, equity: Float64Array, start: float, step_ms: int) -> Float64Array:
    """Returns per UTC day: equity at each 00:00 against the one before; days without bars return 0.

    A value belongs to the day in which its bar closes, a close at 00:00 to the day that ends there.
    """
    if not len(equity):
        return np.empty(0)
    times = np.asarray(open_time, dtype=np.int64)
    first, last = ((int(times[k]) + step_ms - 1) // DAY_MS for k in (0, -1))
    levels = np.full(last - first + 1, np.nan)
    _last_of_days(times, equity, step_ms, first, levels)
    known = np.maximum.accumulate(np.where(np.isnan(levels), 0, np.arange(len(levels))))
    path = np.concatenate([[start], levels[known]])
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: Float64Array = path[1:] / path[:-1] - 1.0
    return returns


def volatility(returns: Float64Array) -> float | None:
    """Standard deviation (ddof 1) of daily returns, a year: √365."""
    if len(returns) < 2:
        return None
    value = float(np.std(returns, ddof=1)) * math.sqrt(DAYS_PER_YEAR)
    return value if math.isfinite(value) else None


def sharpe(returns: Float64Array) -> float | None:
    """Annual Sharpe ratio of daily returns: √365, ddof 1; the free rate is 0 (Sharpe 1994)."""
    if len(returns) < 2:
        return None
    return _annual(float(np.mean(returns)), float(np.std(returns, ddof=1)))


def sortino(returns: Float64Array) -> float | None:
    """As Sharpe, over the root mean square of the negative returns (Sortino and Price 1994, target 0)."""
    if len(returns) < 2:
        return None
    return _annual(float(np.mean(returns)), math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2))))


def _annual(mean: float, spread: float) -> float | None:
    if not spread > _FLAT * abs(mean):
        return None
    return _ratio(mean * math.sqrt(DAYS_PER_YEAR), spread)


def drawdown(equity: Float64Array, start: float, step_ms: int) -> tuple[float, float]:
    """(Deepest fall from a high as a fraction, longest time below a high in days)."""
    deepest, longest = _falls(equity, start)
    return deepest, longest * step_ms / DAY_MS


def _ratio(above: float, below: float) -> float | None:
    if below == 0.0 or not math.isfinite(above) or not math.isfinite(below):
        return None
    return above / below


def _mean(values: Float64Array) -> float | None:
    return float(np.mean(values)) if len(values) else None


def metrics(
    trades: Record, equity: Record, start: float, step_ms: int, fills: Record | None = None,
    decisions: Record | None = None,
) -> dict[str, float | None]:  # fmt: skip
    """Figures of a run: TRADE rows, EQUITY rows, start equity, bar length; FILL and DECISION rows for the fill rate.

    Keys as in :data:`trading.metrics_meaning.MEASURES`; ``exit_<reason>`` counts trades by exit reason.
    """
    values = equity["equity"]
    returns = daily_returns(equity["open_time"], values, start, step_ms)
    end = float(values[-1]) if len(values) else start
    deepest, longest = drawdown(values, start, step_ms) if len(values) else (0.0, 0.0)
    years = len(returns) / DAYS_PER_YEAR
    growth = _growth(end / start, years)
    result: dict[str, float | None] = {
        "net_return": end / start - 1.0,
        "annual_return": growth,
        "volatility": volatility(returns),
        "sharpe": sharpe(returns),
        "probabilistic_sharpe": _chance(returns),
        "sortino": sortino(returns),
        "calmar": None if growth is None else _ratio(growth, deepest),
        "max_drawdown": deepest,
        "max_drawdown_days": longest,
        "exposure": float(np.mean(equity["exposure"] > 0.0)) if len(values) else None,
        "recovery_factor": _ratio(end / start - 1.0, deepest),
    }
    result.update(trade_metrics(trades))
    result["fill_rate"] = None if fills is None or decisions is None else fill_rate(fills, decisions)
    return result


def _growth(factor: float, years: float) -> float | None:
    if not (years > 0.0 and factor > 0.0) or math.log(factor) / years > 700.0:  # beyond what a float holds
        return None
    return math.exp(math.log(factor) / years) - 1.0


def _chance(returns: Float64Array) -> float | None:
    """Probability that the true Sharpe ratio is above 0."""
    moments = sharpe_moments(returns)
    value = probabilistic_sharpe(moments[0], 0.0, len(returns), moments[1], moments[2])
    return value if math.isfinite(value) else None


def fill_rate(fills: Record, decisions: Record) -> float | None:
    """Share of the planned quantity that was filled, over all entries that were sent."""
    sent = decisions[np.isin(decisions["action"], [int(action) for action in SENT])]
    if not len(sent):
        return None
    entries = fills[fills["purpose"] == Purpose.ENTRY]
    filled = dict.fromkeys(sent["plan_id"].tolist(), 0.0)
    for plan, quantity in zip(entries["plan_id"].tolist(), entries["quantity"].tolist(), strict=True):
        if plan in filled:
            filled[plan] += quantity
    got = np.array(list(filled.values()))
    return float(np.mean(np.minimum(1.0, got / sent["quantity"])))


def false_signals(trades: Record) -> Float64Array:
    """1.0 for each TRADE row that lost without ever standing in profit by its own stop distance, else 0.0, ``[n]``."""
    out: Float64Array = ((trades["pnl"] < 0.0) & (trades["mfe"] < stop_shares(trades))).astype(np.float64)
    return out


def stop_shares(trades: Record) -> Float64Array:
    """Stop distance of each TRADE row as a fraction of its entry price, ``[n]``."""
    entry = np.where(trades["entry_price"] > 0.0, trades["entry_price"], 1.0)
    shares: Float64Array = np.abs(trades["entry_price"] - trades["stop"]) / entry
    return shares


def trade_metrics(trades: Record) -> dict[str, float | None]:
    """Figures of TRADE rows alone."""
    pnl = np.ascontiguousarray(trades["pnl"])
    won, lost = pnl[pnl > 0.0], pnl[pnl < 0.0]
    held = (trades["exit_time"] - trades["entry_time"]) / 3_600_000
    win, loss = _mean(won), _mean(lost)
    result: dict[str, float | None] = {
        "trades": float(len(pnl)),
        "win_rate": len(won) / len(pnl) if len(pnl) else None,
        "profit_factor": _ratio(float(won.sum()), float(-lost.sum())) if len(pnl) else None,
        "expectancy": _mean(pnl),
        "average_win": win,
        "average_loss": loss,
        "payoff_ratio": None if win is None or loss is None else win / -loss,
        "false_signal_rate": _mean(false_signals(trades)),
        "time_in_trade": _mean(held),
        "fees": float(trades["fees"].sum()),
        "funding": float(trades["funding"].sum()),
        "slippage": float(trades["slippage"].sum()),
    }
    for reason in ExitReason:
        result[f"exit_{reason.name.lower()}"] = float(np.count_nonzero(trades["exit_reason"] == reason))
    return result
