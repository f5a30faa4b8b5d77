"""What every figure of a run means, its unit, and when there is too little data for it."""

from __future__ import annotations

from dataclasses import dataclass

from trading.records import ExitReason


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure. ``none_when``: when it is ``None``; empty where it never is."""

    unit: str
    meaning: str
    none_when: str = ""


_DAYS = "fewer than two days"
_TRADES = "no trade"

MEASURES: dict[str, Measure] = {
    "net_return": Measure("fraction", "Equity at the end over the start equity, less 1; after all costs."),
    "annual_return": Measure(
        "fraction a year", "Growth rate that gives the net return in the days of the run: 365 days a year.",
        "no day, or equity at or below nought",
    ),
    "volatility": Measure("fraction a year", "Standard deviation (ddof 1) of daily returns times √365.", _DAYS),
    "sharpe": Measure(
        "a year", "Mean over standard deviation (ddof 1) of daily returns times √365; free rate 0. Sharpe 1994.",
        f"{_DAYS}, or returns that do not vary",
    ),
    "probabilistic_sharpe": Measure(
        "probability", "Probability that the true Sharpe ratio is above 0, by length, skewness and kurtosis of the "
        "daily returns; one configuration. Bailey & López de Prado 2012.", f"{_DAYS}, or returns that do not vary",
    ),
    "sortino": Measure(
        "a year", "Mean of daily returns over the root mean square of the negative ones (target 0, over all days) "
        "times √365. Sortino & Price 1994.", f"{_DAYS}, or no losing day",
    ),
    "calmar": Measure("a year", "Annual return over the deepest drawdown. Young 1991.", "no drawdown"),
    "max_drawdown": Measure("fraction", "Deepest fall of equity from its highest value before, bar by bar."),
    "max_drawdown_days": Measure("days", "Longest time that equity stayed below an earlier high, to the end at most."),
    "exposure": Measure("fraction of bars", "Share of bars at whose close a position was held.", "no bar"),
    "recovery_factor": Measure("ratio", "Net return over the deepest drawdown.", "no drawdown"),
    "trades": Measure("trades", "Closed trades."),
    "win_rate": Measure("fraction", "Share of trades with a profit after costs; nought is no win.", _TRADES),
    "profit_factor": Measure("ratio", "Sum of all profits over the sum of all losses.", "no trade, or none that lost"),
    "expectancy": Measure("quote currency", "Mean profit of a trade after costs.", _TRADES),
    "average_win": Measure("quote currency", "Mean profit of the trades that won.", "no win"),
    "average_loss": Measure("quote currency", "Mean profit of the trades that lost (below nought).", "no loss"),
    "payoff_ratio": Measure("ratio", "Average win over the size of the average loss.", "no win or no loss"),
    "false_signal_rate": Measure(
        "fraction", "Share of trades that lost and never stood in profit by as much as their stop distance.", _TRADES
    ),
    "time_in_trade": Measure("hours", "Mean time from the entry fill to the exit fill.", _TRADES),
    "fees": Measure("quote currency", "Fees paid, taker and maker."),
    "funding": Measure("quote currency", "Funding received (+) or paid (-)."),
    "slippage": Measure("quote currency", "Paid against the reference prices: half spread and market impact."),
    "fill_rate": Measure(
        "fraction", "Filled share of the planned quantity, mean over all entries that were sent.",
        "no entry was sent, or the orders are not at hand",
    ),
    **{
        f"exit_{reason.name.lower()}": Measure("trades", f"Trades that ended by {reason.name.lower()}.")
        for reason in ExitReason
    },
}  # fmt: skip
"""By the key of :func:`trading.metrics.metrics`."""
