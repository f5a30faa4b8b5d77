"""Performance of a run from its trades and equity. ``None`` where a figure is undefined."""

from __future__ import annotations

import math

import numpy as np

from data.market import Float64Array, Record
from data.timeframes import DAY_MS
from trading.records import ExitReason

DAYS_PER_YEAR = 365.0


def daily_returns(open_time: Float64Array, equity: Float64Array, start: float, step_ms: int) -> Float64Array:
    """Returns per UTC day: equity at each 00:00 against the one before; days without bars return 0.

    A value belongs to the day in which its bar closes, a close at 00:00 to the day that ends there.
    """
    if not len(equity):
        return np.empty(0)
    day = (np.asarray(open_time, dtype=np.int64) + step_ms - 1) // DAY_MS
    last = np.flatnonzero(np.append(day[1:] != day[:-1], True))
    levels = np.full(int(day[-1] - day[0]) + 1, np.nan)
    levels[day[last] - day[0]] = equity[last]
    known = np.maximum.accumulate(np.where(np.isnan(levels), 0, np.arange(len(levels))))
    path = np.concatenate([[start], levels[known]])
    with np.errstate(divide="ignore", invalid="ignore"):
        returns: Float64Array = path[1:] / path[:-1] - 1.0
    return returns


def sharpe(returns: Float64Array) -> float | None:
    """Annual Sharpe ratio of daily returns: √365, ddof 1."""
    if len(returns) < 2:
        return None
    return _ratio(float(np.mean(returns)) * math.sqrt(DAYS_PER_YEAR), float(np.std(returns, ddof=1)))


def sortino(returns: Float64Array) -> float | None:
    """As Sharpe, over the root mean square of the negative returns (Sortino and Price 1994, target 0)."""
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0.0) ** 2)))
    return _ratio(float(np.mean(returns)) * math.sqrt(DAYS_PER_YEAR), downside)


def drawdown(equity: Float64Array, start: float, step_ms: int) -> tuple[float, float]:
    """(Deepest fall from a high as a fraction, longest time below a high in days)."""
    path = np.concatenate([[start], equity])
    high = np.maximum.accumulate(path)
    at_high = np.flatnonzero(path >= high)
    longest = int(np.max(np.diff(np.append(at_high, len(path))))) - 1
    return float(np.max(1.0 - path / high)), longest * step_ms / DAY_MS


def _ratio(above: float, below: float) -> float | None:
    if below == 0.0 or not math.isfinite(above) or not math.isfinite(below):
        return None
    return above / below


def _mean(values: Float64Array) -> float | None:
    return float(np.mean(values)) if len(values) else None


def metrics(trades: Record, equity: Record, start: float, step_ms: int) -> dict[str, float | None]:
    """Figures of a run: TRADE rows, EQUITY rows, start equity, bar length.

    Fractions are of equity or price; ``time_in_trade`` is the mean in hours, ``exposure`` the share of bars in the
    market, ``max_drawdown_days`` the longest time below a high. ``exit_<reason>`` counts trades by exit reason.
    """
    values = np.ascontiguousarray(equity["equity"])
    returns = daily_returns(equity["open_time"], values, start, step_ms)
    end = float(values[-1]) if len(values) else start
    deepest, longest = drawdown(values, start, step_ms) if len(values) else (0.0, 0.0)
    years = len(returns) / DAYS_PER_YEAR
    growth = (end / start) ** (1.0 / years) - 1.0 if years > 0 and end > 0 else None
    result: dict[str, float | None] = {
        "net_return": end / start - 1.0,
        "annual_return": growth if growth is not None and math.isfinite(growth) else None,
        "sharpe": sharpe(returns),
        "sortino": sortino(returns),
        "calmar": None if growth is None else _ratio(growth, deepest),
        "max_drawdown": deepest,
        "max_drawdown_days": longest,
        "exposure": float(np.mean(equity["exposure"] > 0.0)) if len(values) else None,
        "recovery_factor": _ratio((end - start) / start, deepest),
    }
    result.update(trade_metrics(trades))
    return result


def trade_metrics(trades: Record) -> dict[str, float | None]:
    """Figures of TRADE rows alone."""
    pnl = np.ascontiguousarray(trades["pnl"])
    won, lost = pnl[pnl > 0.0], pnl[pnl < 0.0]
    held = (trades["exit_time"] - trades["entry_time"]) / 3_600_000
    result: dict[str, float | None] = {
        "trades": float(len(pnl)),
        "win_rate": len(won) / len(pnl) if len(pnl) else None,
        "profit_factor": _ratio(float(won.sum()), float(-lost.sum())) if len(pnl) else None,
        "expectancy": _mean(pnl),
        "average_win": _mean(won),
        "average_loss": _mean(lost),
        "time_in_trade": _mean(held),
        "fees": float(trades["fees"].sum()),
        "funding": float(trades["funding"].sum()),
        "slippage": float(trades["slippage"].sum()),
    }
    for reason in ExitReason:
        result[f"exit_{reason.name.lower()}"] = float(np.count_nonzero(trades["exit_reason"] == reason))
    return result
