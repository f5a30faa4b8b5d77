"""backtesting.py: the crossing strategy with stop, target and time exit; no funding."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

DISTRIBUTION = "backtesting"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """The whole run with its statistics, trades and equity curve. It trades whole coins, so it is given more money."""
    import backtesting  # type: ignore[import-not-found, unused-ignore]
    import pandas as pd

    logging.disable(logging.WARNING)
    count = int(len(data["close"]) * options.get("share", 1.0))
    frame = pd.DataFrame(
        {name.title(): data[name][:count] for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime(data["time"][:count], unit="ms"),
    )
    fast, slow = data["fast"][:count], data["slow"][:count]
    stop, limit = options["stops"][0], options["limit_bars"]

    class Crossing(backtesting.Strategy):  # type: ignore[misc, unused-ignore]
        def init(self) -> None:
            self.fast = self.I(lambda: fast, plot=False)
            self.slow = self.I(lambda: slow, plot=False)

        def next(self) -> None:
            for trade in self.trades:
                if len(self.data) - 1 - trade.entry_bar >= limit:
                    trade.close()
            if self.position or len(self.data) < 2:
                return
            before, now = self.fast[-2] - self.slow[-2], self.fast[-1] - self.slow[-1]
            price = self.data.Close[-1]
            if before <= 0 < now:
                self.buy(size=options["share_of_equity"], sl=price * (1 - stop), tp=price * (1 + 2 * stop))
            elif before >= 0 > now:
                self.sell(size=options["share_of_equity"], sl=price * (1 + stop), tp=price * (1 - 2 * stop))

    def run() -> dict[str, Any]:
        began = perf_counter()
        test = backtesting.Backtest(
            frame, Crossing, cash=1000 * options["equity"], commission=options["fee"] + options["slippage"],
            finalize_trades=True,
        )  # fmt: skip
        result = test.run()
        return {"seconds": perf_counter() - began, "trades": len(result["_trades"])}

    return run
