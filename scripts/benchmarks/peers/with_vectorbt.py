"""vectorbt: the crossing strategy, entered at the open after the signal, stop and target; no time exit, no funding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

DISTRIBUTION = "vectorbt"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """One portfolio of every target ratio in ``ratios`` (a column each): trades and equity are read."""
    import vectorbt as vbt  # type: ignore[import-not-found, unused-ignore]

    opens, high, low, close = (data[name] for name in ("open", "high", "low", "close"))
    fast, slow = data["fast"], data["slow"]
    stops = np.asarray(options["stops"], dtype=float)

    def run() -> dict[str, Any]:
        began = perf_counter()
        over, under = fast > slow, fast < slow
        up, down = np.zeros(len(close), dtype=bool), np.zeros(len(close), dtype=bool)
        up[2:] = over[1:-1] & ~over[:-2]
        down[2:] = under[1:-1] & ~under[:-2]
        wide = len(stops)

        def columns(values: Any) -> Any:
            return values if wide == 1 else np.broadcast_to(values[:, None], (len(values), wide))

        portfolio = vbt.Portfolio.from_signals(
            columns(close), entries=columns(up), short_entries=columns(down), price=columns(opens), open=columns(opens),
            high=columns(high), low=columns(low), sl_stop=stops if wide > 1 else float(stops[0]),
            tp_stop=2.0 * stops if wide > 1 else 2.0 * float(stops[0]), fees=options["fee"],
            slippage=options["slippage"], size=options["notional"], size_type="value", init_cash=options["equity"],
            accumulate=False, upon_opposite_entry="ignore", freq="1min",
        )  # fmt: skip
        trades = len(portfolio.trades.records)
        equity = np.asarray(portfolio.value())
        return {"seconds": perf_counter() - began, "trades": trades, "bars": len(equity)}

    return run
