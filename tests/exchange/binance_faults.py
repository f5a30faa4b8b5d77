"""The faults of the local Binance by name: what :mod:`faults` has, and what concerns its market and its network.

=====================  ===============================================================================================
candles                ``revised candle`` (other values until ``until_ms``), ``missing candle`` (``bars`` of them),
                       ``nan candle``, ``infinite candle``, ``crossed candle``, ``zero candle``: ``symbol``,
                       ``open_ms``, ``timeframe``, ``where`` (``rest``, ``stream``, ``both``), shown from ``at_ms``
                       until ``until_ms``; column names set values of their own
``spike``              one print of ``symbol`` at ``at_ms`` is ``factor`` times the price; mark price and book stay
``funding spike``      the first settlement after ``at_ms`` has ``rate``
``funding interval``   from ``at_ms`` on funding of ``symbol`` is settled every ``hours``
``changed rules``      from ``at_ms`` on ``tick``, ``lot``, ``min_notional``, ``order_types``, ``status`` differ
``delisting``          ``symbol`` is SETTLING from ``at_ms`` on and gone from exchangeInfo at ``gone_ms``
``disconnect``         sockets (those with ``stream``) are cut at ``at_ms`` without a farewell
``24h drop``           every socket is closed at ``at_ms`` with a farewell
``network gone``       from ``at_ms`` until ``until_ms`` nobody listens: sockets cut, connections refused
=====================  ===============================================================================================

Things done at a moment (the last three) happen while the server speaks: on a simulated or real clock, or in
``emit_until``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from data.timeframes import timeframe_ms
from tests.exchange.faults import FaultScript
from tests.exchange.market import ALWAYS, BarChange

if TYPE_CHECKING:
    from tests.exchange.binance_server import BinanceServer

BARS = ("revised candle", "missing candle", "nan candle", "infinite candle", "crossed candle", "zero candle")
COLUMNS = ("open", "high", "low", "close", "volume")


class BinanceFaults(FaultScript):
    """``add`` takes every name of the table above and of :mod:`faults`."""

    def __init__(self, server: BinanceServer) -> None:
        super().__init__()
        self._server = server

    def add(
        self,
        name: str,
        *,
        path: str | None = None,
        stream: str | None = None,
        at_ms: int = 0,
        until_ms: int | None = None,
        times: int | None = None,
        **how: Any,
    ) -> None:
        market, hub = self._server.market, self._server.hub
        if name in BARS:
            self._bars(name, at_ms, ALWAYS if until_ms is None else until_ms, **how)
        elif name == "spike":
            self._spike(how["symbol"], at_ms, how.get("factor", 10.0))
        elif name == "funding spike":
            market.spike_funding(how["symbol"], how["rate"], at_ms)
        elif name == "funding interval":
            market.change_funding_interval(how["symbol"], how["hours"], at_ms)
        elif name == "changed rules":
            market.change_rules(how.pop("symbol"), at_ms, **how)
        elif name == "delisting":
            market.delist(how["symbol"], at_ms, how.get("gone_ms"))
        elif name == "disconnect":
            self.do(at_ms, partial(hub.drop, stream))
        elif name == "24h drop":
            self.do(at_ms, partial(hub.drop, stream, abort=False))
        elif name == "network gone":
            self.do(at_ms, self._server.stop_listening)
            if until_ms is not None:
                self.do(until_ms, self._server.start_listening)
        else:
            super().add(name, path=path, stream=stream, at_ms=at_ms, until_ms=until_ms, times=times, **how)

    def _bars(
        self, kind: str, from_ms: int, until_ms: int, *, symbol: str, open_ms: int, timeframe: str = "1m",
        where: str = "both", bars: int = 1, **columns: float,
    ) -> None:  # fmt: skip
        for i in range(bars):
            at = open_ms + i * timeframe_ms(timeframe)
            values = None if kind == "missing candle" else {**self._values(kind, symbol, timeframe, at), **columns}
            self._server.market.changes.append(BarChange(symbol, timeframe, at, values, from_ms, until_ms, where))

    def _values(self, kind: str, symbol: str, timeframe: str, open_ms: int) -> dict[str, float]:
        bar = self._server.market.bar(symbol, timeframe, open_ms, ALWAYS, "rest")
        if bar is None:
            raise ValueError(f"{symbol} has no {timeframe} bar at {open_ms} to change")
        if kind == "nan candle":
            return dict.fromkeys(COLUMNS[:4], float("nan"))
        if kind == "infinite candle":
            return {"high": float("inf")}
        if kind == "zero candle":
            return {"low": 0.0}
        if kind == "crossed candle":
            return {"high": 0.99 * bar.low, "low": 1.01 * bar.high}
        return {"close": (bar.high + bar.low) / 2, "volume": bar.volume / 2}

    def _spike(self, symbol: str, at_ms: int, factor: float) -> None:
        market = self._server.market
        step = timeframe_ms(market.base(symbol).key.timeframe)
        for open_ms in (at_ms // step * step, at_ms // step * step + step):
            prints = market.prints(symbol, open_ms)
            if prints is not None and prints.time[-1] >= at_ms:
                row = int(np.searchsorted(prints.time, at_ms))
                price = round(float(prints.price[row]) * factor, 8)
                market.spikes.setdefault(symbol, []).append((int(prints.time[row]), price))
                return
        raise ValueError(f"{symbol} has no print after {at_ms} that could be a spike")
