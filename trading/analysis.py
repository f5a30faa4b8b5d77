"""Where a run's result came from: by symbol, side, hour, regime and exit; what costs took; how far prices went.

Every grouping is a partition of the trades: the numbers of its groups add up to those of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.market import Float64Array, Int64Array, Record
from data.timeframes import HOUR_MS
from trading.metrics import stop_shares, trade_metrics
from trading.records import ExitReason

Document = dict[str, Any]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SIDES = {1: "long", -1: "short"}
_KEPT = ("win_rate", "profit_factor", "expectancy", "payoff_ratio", "false_signal_rate", "time_in_trade")


def analysis(trades: Record, symbols: Sequence[str], regimes: Sequence[str] | None = None) -> Document:
    """The parts of a result.

    Args:
        trades: TRADE rows.
        symbols: names by index.
        regimes: ``[n]`` name of the state of the market at the close that each trade was decided on; None leaves the
            grouping out.

    Money is in the quote currency; excursions are fractions of the entry price, best and worst while held.
    """
    hours = trades["entry_time"] // HOUR_MS % 24
    document: Document = {
        "costs": costs(trades),
        "excursions": excursions(trades),
        "by_symbol": groups(trades, [symbols[s] for s in trades["symbol"]]),
        "by_side": groups(trades, [SIDES[int(side)] for side in trades["side"]]),
        "by_hour": groups(trades, [f"{int(hour):02d}" for hour in hours]),
        "by_exit": groups(trades, [ExitReason(int(reason)).name.lower() for reason in trades["exit_reason"]]),
    }
    if regimes is not None:
        document["by_regime"] = groups(trades, regimes)
    return document


def costs(trades: Record) -> dict[str, float]:
    """What the moves of the price made (``gross``, at the prices orders were made for) and what was taken off.

    ``net`` = ``gross`` - ``fees`` - ``slippage`` + ``funding``.
    """
    net, fees = float(trades["pnl"].sum()), float(trades["fees"].sum())
    funding, slippage = float(trades["funding"].sum()), float(trades["slippage"].sum())
    return {
        "gross": net + fees + slippage - funding, "fees": fees, "slippage": slippage, "funding": funding, "net": net,
    }  # fmt: skip


def groups(trades: Record, names: Sequence[str]) -> list[Document]:
    """A row for each name, in alphabetical order: how many trades, their money, their figures."""
    found, at = np.unique(np.asarray(names, dtype=object).astype(str), return_inverse=True)
    rows: list[Document] = []
    for k, name in enumerate(found.tolist()):
        part = trades[at == k]
        figures = trade_metrics(part)
        kept = {figure: figures[figure] for figure in _KEPT}
        rows.append({"name": name, "trades": len(part), "wins": int((part["pnl"] > 0.0).sum()), **costs(part), **kept})
    return rows


def excursions(trades: Record) -> Document:
    """Quantiles of the best (``mfe``) and worst (``mae``) price while held, of winners' ``mae`` and losers' ``mfe``,
    and of the best in stop distances (``mfe_r``); None without such a trade. Sweeney 1997, Maximum Adverse Excursion.
    """
    risk = stop_shares(trades)
    won = trades["pnl"] > 0.0
    in_stops = trades["mfe"][risk > 0.0] / risk[risk > 0.0]
    return {
        "quantiles": list(QUANTILES),
        "mfe": _quantiles(trades["mfe"]), "mae": _quantiles(trades["mae"]),
        "mae_of_winners": _quantiles(trades["mae"][won]), "mfe_of_losers": _quantiles(trades["mfe"][~won]),
        "mfe_r": _quantiles(in_stops),
    }  # fmt: skip


def _quantiles(values: Float64Array) -> list[float] | None:
    return [float(value) for value in np.quantile(values, QUANTILES)] if len(values) else None


def bars_of_entry(trades: Record, s: int, open_time: Int64Array, step_ms: int) -> Int64Array:
    """Index of the bar of symbol ``s`` whose close each of its trades was decided on, ``[n of s]``; -1 before all.

    An entry at the open of a bar was decided on the bar before it.
    """
    entries = trades["entry_time"][trades["symbol"] == s]
    bars: Int64Array = np.searchsorted(open_time, entries - step_ms, side="right").astype(np.int64) - 1
    return bars
