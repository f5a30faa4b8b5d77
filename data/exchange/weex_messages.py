"""WEEX's stream messages as events.

https://www.weex.com/api-doc/contract/Websocket/public/Candlesticks-Channel
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from data.exchange.events import (
    BookDelta,
    BookSnapshot,
    CandleUpdate,
    MarketEvent,
    PremiumUpdate,
    Subscription,
    TradePrint,
)
from data.exchange.payloads import levels, number, perpetual, trade_id
from data.timeframes import TIMEFRAMES


async def watch(exchange: Any, subscription: Subscription) -> None:
    """One turn of ccxt.pro for a subscription."""
    symbol = subscription.symbol
    match subscription.channel:
        case "candles":
            await exchange.watch_ohlcv(symbol, subscription.timeframe, None, None, {})
        case "book":
            await exchange.watch_order_book(symbol, None, {})
        case "trades":
            await exchange.watch_trades(symbol, None, None, {})
        case "premium":
            await exchange.watch_ticker(symbol, {})


def read_message(exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
    """Events of one message; see :meth:`data.exchange.quirks.Quirks.read_message`."""
    read = READERS.get(str(message.get("e"))) if isinstance(message, dict) else None
    if read is None:
        return []
    return read(message, str(perpetual(exchange, message["s"])["symbol"]), received_ms)


def _candles(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    """Candles of the last price only; no flag tells that one is closed."""
    if message.get("p", "LAST_PRICE") != "LAST_PRICE":
        return []
    return [
        CandleUpdate(
            symbol, row["i"], int(row["t"]), float(row["o"]), float(row["h"]), float(row["l"]), float(row["c"]),
            float(row["v"]), None, int(message["E"]), received_ms,
        )
        for row in message["d"]
        if row["i"] in TIMEFRAMES
    ]  # fmt: skip


def _snapshot(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    bids, asks = levels(message["b"], bids=True), levels(message["a"], bids=False)
    return [BookSnapshot(symbol, int(message["u"]), bids, asks, int(message["E"]), received_ms)]


def _changes(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    bids, asks = levels(message["b"], bids=True), levels(message["a"], bids=False)
    first, last = int(message["U"]), int(message["u"])
    return [BookDelta(symbol, first, last, None, bids, asks, int(message["E"]), received_ms)]


def _trades(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    return [
        TradePrint(
            symbol, trade_id(row["t"]), float(row["p"]), float(row["q"]), -1 if row["m"] else 1, int(row["T"]),
            received_ms,
        )
        for row in message["d"]
    ]  # fmt: skip


def _premium(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    """The ticker holds the mark and the index price, and nothing of the funding."""
    return [
        PremiumUpdate(
            symbol, number(row.get("m")), number(row.get("i")), math.nan, None, None, int(message["E"]), received_ms
        )
        for row in message["d"]
    ]


READERS: dict[str, Callable[[Mapping[str, Any], str, int], list[MarketEvent]]] = {
    "kline": _candles,
    "depthSnapshot": _snapshot,
    "depth": _changes,
    "trade": _trades,
    "ticker": _premium,
}
