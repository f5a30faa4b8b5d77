"""The figures of a back-test as cards, as lines that can stand beside another run's, and as quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.contract.backtest_views import ExcursionRow, Figure
from app.contract.views import MetricCard
from trading.metrics_meaning import MEASURES

Document = Mapping[str, Any]
UNITS = {
    "fraction": "fraction", "fraction a year": "fraction", "probability": "fraction", "fraction of bars": "fraction",
    "a year": "ratio", "ratio": "ratio", "days": "days", "trades": "count", "hours": "h", "quote currency": "USDT",
}  # fmt: skip
LINES = (  # key, label, signed, better
    ("net_return", "Return", True, 1), ("annual_return", "Return a year", True, 1), ("sharpe", "Sharpe", True, 1),
    ("sortino", "Sortino", True, 1), ("calmar", "Calmar", True, 1), ("max_drawdown", "Max drawdown", False, -1),
    ("max_drawdown_days", "Longest fall", False, -1), ("volatility", "Volatility a year", False, 0),
    ("trades", "Trades", False, 0), ("win_rate", "Win rate", False, 1), ("profit_factor", "Profit factor", False, 1),
    ("expectancy", "USDT a trade", True, 1), ("payoff_ratio", "Win / loss", False, 1),
    ("false_signal_rate", "False signals", False, -1), ("time_in_trade", "Time in a trade", False, 0),
    ("exposure", "In the market", False, 0), ("fees", "Fees, USDT", False, -1),
    ("slippage", "Slippage, USDT", False, -1), ("funding", "Funding, USDT", True, 1), ("fill_rate", "Filled", False, 1),
)  # fmt: skip
EXCURSIONS = (
    ("mfe", "Best while held", "fraction", "How far the price went in favour of the position (MFE)."),
    ("mae", "Worst while held", "fraction", "How far the price went against the position (MAE)."),
    ("mae_of_winners", "Worst of winners", "fraction",
     "What winners had to bear: a stop nearer than most of it ends them."),
    ("mfe_of_losers", "Best of losers", "fraction", "What losers gave away: a target nearer than it would have won."),
    ("mfe_r", "Best in stop distances", "R", "How far the price went in favour, in distances to the stop."),
)  # fmt: skip


def meaning(key: str) -> str:
    """Unit and meaning of a figure, and when there is none."""
    measure = MEASURES[key]
    none = f" None where there is {measure.none_when}." if measure.none_when else ""
    return f"{measure.meaning} Unit: {measure.unit}.{none}"


def figures(document: Document) -> tuple[Figure, ...]:
    """The lines of a comparison."""
    values = document["metrics"]
    return tuple(
        Figure(key, label, values[key], UNITS[MEASURES[key].unit], meaning(key), signed, better)
        for key, label, signed, better in LINES
    )


def cards(document: Document, evidence: Document) -> tuple[MetricCard, ...]:
    """Net return, Sharpe with its band, drawdown, trades, costs."""
    m, costs = document["metrics"], document["analysis"]["costs"]
    low, high = evidence.get("sharpe_low"), evidence.get("sharpe_high")
    band = f"95 % band {low:+.2f} to {high:+.2f}" if low is not None and high is not None else "no band: too few days"
    halted = document["halted_at"]
    taken = costs["fees"] + costs["slippage"] - costs["funding"]
    gross = costs["gross"]
    share = f"{taken / abs(gross):.0%} of the gross {gross:+,.0f}" if gross else "nothing was traded"
    won = m["win_rate"]
    return (
        MetricCard("net_return", "Net return", m["net_return"], "fraction", meaning("net_return"), signed=True,
                   note=f"{document['equity_start']:,.0f} → {document['equity_end']:,.0f}"),
        MetricCard("sharpe", "Sharpe", m["sharpe"], "ratio",
                   f"{meaning('sharpe')} The band is from blocks of days drawn again and again.", signed=True,
                   note=band),
        MetricCard("max_drawdown", "Deepest drawdown", m["max_drawdown"], "fraction", meaning("max_drawdown"),
                   note=f"halted {halted[:10]}" if halted else f"longest {m['max_drawdown_days'] or 0.0:,.0f} days"),
        MetricCard("trades", "Trades", m["trades"], "count", meaning("trades"),
                   note="none was closed" if won is None else f"{won:.1%} won"),
        MetricCard("costs", "Costs", taken if document["trades"] else None, "USDT",
                   "Fees and slippage paid, less funding received.", note=share),
    )  # fmt: skip


def excursion_rows(excursions: Document) -> tuple[ExcursionRow, ...]:
    """Quantiles of how far prices went; a line without trades is left out."""
    return tuple(
        ExcursionRow(label, unit, tuple(excursions[key]), tip)
        for key, label, unit, tip in EXCURSIONS if excursions[key] is not None
    )  # fmt: skip
