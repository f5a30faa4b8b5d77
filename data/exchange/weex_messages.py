"""WEEX's stream messages as events.

https://www.weex.com/api-doc/contract/Websocket/public/Candlesticks-Channel
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data.errors import Rejected
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
from data.exchange.stream_topics import Topic, subscribe, topic_name, unsubscribe
from data.timeframes import TIMEFRAMES


async def watch_all(exchange: Any, subscriptions: Sequence[Subscription]) -> None:
    """One turn for subscriptions by a single message: one socket carries every topic of contracts."""
    await subscribe(exchange, _url(exchange), _topics(exchange, subscriptions), _request)


async def unwatch(exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
    """End subscriptions; False: the socket is not open."""
    return await unsubscribe(exchange, _url(exchange), _topics(exchange, subscriptions), _request)


def socket_of(_: Subscription) -> str:
    """All share one."""
    return "contract"


def _url(exchange: Any) -> str:
    return f"{exchange.urls['api']['ws']['contract']}/public"


def _request(what: str, topics: list[Any], number: str) -> dict[str, Any]:
    return {"id": number, "method": what.upper(), "params": topics}


def _topics(exchange: Any, subscriptions: Sequence[Subscription]) -> list[Topic]:
    return [Topic(topic_name(s), f"{exchange.market_id(s.symbol)}@{_kind(s)}") for s in subscriptions]


def _kind(subscription: Subscription) -> str:
    if subscription.channel == "candles":
        return f"kline_{subscription.timeframe}_LAST_PRICE"
    if subscription.channel == "liquidations":
        raise Rejected("weex does not offer a stream of liquidations.")
    return {"book": "depth200", "trades": "trade", "premium": "ticker"}[subscription.channel]


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
    "klineSnapshot": _candles,
    "depthSnapshot": _snapshot,
    "depth": _changes,
    "trade": _trades,
    "tradeSnapshot": _trades,
    "ticker": _premium,
}
