"""talipp: the same sixteen indicators, one new bar at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

DISTRIBUTION = "talipp"


def prepare(data: Mapping[str, Any], options: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """A run takes the next ``calls`` bars; its seconds are of one of them."""
    from talipp import indicators as ta  # type: ignore[import-not-found, import-untyped, unused-ignore]
    from talipp.ohlcv import OHLCV  # type: ignore[import-not-found, import-untyped, unused-ignore]

    columns = [data[name].tolist() for name in ("open", "high", "low", "close", "volume")]
    bars = [OHLCV(*row) for row in zip(*columns, strict=True)]
    of_close = [
        ta.EMA(9),
        ta.EMA(20),
        ta.EMA(50),
        ta.EMA(200),
        ta.SMA(20),
        ta.MACD(12, 26, 9),
        ta.BB(20, 2),
        ta.RSI(14),
    ]
    of_bars = [ta.Stoch(14, 3), ta.CCI(20), ta.ATR(14), ta.ADX(14, 14), ta.OBV()]
    more = [ta.ROC(12), ta.StdDev(20), ta.DonchianChannels(20)]
    of_close, of_bars = of_close + more[:2], of_bars + more[2:]
    at = 0

    def take(bar: Any) -> None:
        for one in of_close:
            one.add(bar.close)
        for one in of_bars:
            one.add(bar)

    for bar in bars[:500]:
        take(bar)
    at = 500

    def run() -> dict[str, Any]:
        nonlocal at
        calls = options["calls"]
        part = [bars[i % len(bars)] for i in range(at, at + calls)]
        at += calls
        began = perf_counter()
        for bar in part:
            take(bar)
        return {"seconds": (perf_counter() - began) / calls, "indicators": len(of_close) + len(of_bars)}

    return run
