"""Bybit's stream messages as events, read before ccxt drops what it does not need (the flag of a closed bar).

https://bybit-exchange.github.io/docs/v5/ws/connect
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data.exchange.events import (
    BookDelta,
    BookSnapshot,
    CandleUpdate,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    Subscription,
    TradePrint,
)
from data.exchange.payloads import SIDES, interval_name, levels, number, perpetual, timeframe_of, trade_id
from data.exchange.stream_topics import Topic, subscribe, topic_name, unsubscribe
from data.timeframes import HOUR_MS

PREMIUM_FIELDS = ("markPrice", "indexPrice", "fundingRate", "nextFundingTime")
# Bybit names the side of the position: a liquidated long is sold.
LIQUIDATED = {"buy": -1, "sell": 1}


async def watch_all(exchange: Any, subscriptions: Sequence[Subscription]) -> None:
    """One turn for subscriptions by a single message: one socket carries every linear topic."""
    await subscribe(exchange, _url(exchange), _topics(exchange, subscriptions), _request)


async def unwatch(exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
    """End subscriptions; False: the socket is not open."""
    return await unsubscribe(exchange, _url(exchange), _topics(exchange, subscriptions), _request)


def socket_of(_: Subscription) -> str:
    """All share one."""
    return "linear"


def _url(exchange: Any) -> str:
    return str(exchange.implode_hostname(exchange.urls["api"]["ws"]["public"]["linear"]))


def _request(what: str, topics: list[Any], number: str) -> dict[str, Any]:
    return {"op": what, "req_id": number, "args": topics}


def _topics(exchange: Any, subscriptions: Sequence[Subscription]) -> list[Topic]:
    return [Topic(topic_name(s), f"{_kind(exchange, s)}.{exchange.market_id(s.symbol)}") for s in subscriptions]


def _kind(exchange: Any, subscription: Subscription) -> str:
    if subscription.channel == "candles":
        return f"kline.{interval_name(exchange.timeframes, subscription.timeframe, 'bybit')}"
    return {
        "book": "orderbook.50",
        "trades": "publicTrade",
        "premium": "tickers",
        "liquidations": "allLiquidation",
    }[subscription.channel]


def read_message(exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
    """Events of one message; see :meth:`data.exchange.quirks.Quirks.read_message`."""
    topic = message.get("topic", "") if isinstance(message, dict) else ""
    kind, *names = topic.split(".")
    read = READERS.get(kind)
    if read is None and kind != "kline":
        return []
    symbol = str(perpetual(exchange, names[-1])["symbol"])
    if read is None:
        return _candles(exchange, message, symbol, received_ms)
    return read(message, symbol, received_ms)


def _candles(exchange: Any, message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    return [
        CandleUpdate(
            symbol, timeframe, int(row["start"]), float(row["open"]), float(row["high"]), float(row["low"]),
            float(row["close"]), float(row["volume"]), bool(row["confirm"]), int(message["ts"]), received_ms,
        )
        for row in message["data"]
        if (timeframe := timeframe_of(exchange.timeframes, str(row["interval"]))) is not None
    ]  # fmt: skip


def _book(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    """``u`` counts the messages of this stream; 1 is a restart of the service and comes as a snapshot."""
    data, event_ms = message["data"], int(message["ts"])
    update, bids, asks = int(data["u"]), levels(data["b"], bids=True), levels(data["a"], bids=False)
    if message["type"] == "snapshot" or update == 1:
        return [BookSnapshot(symbol, update, bids, asks, event_ms, received_ms)]
    return [BookDelta(symbol, update, update, update - 1, bids, asks, event_ms, received_ms)]


def _trades(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    return [
        TradePrint(
            symbol, trade_id(row["i"]), float(row["p"]), float(row["v"]), SIDES[row["S"].lower()], int(row["T"]),
            received_ms,
        )
        for row in message["data"]
    ]  # fmt: skip


def _premium(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    """A ticker; a ``delta`` holds only what changed, and often nothing of this."""
    data = message["data"]
    if not any(data.get(name) for name in PREMIUM_FIELDS):
        return []
    following, hours = data.get("nextFundingTime"), data.get("fundingIntervalHour")
    return [
        PremiumUpdate(
            symbol, number(data.get("markPrice")), number(data.get("indexPrice")), number(data.get("fundingRate")),
            int(following or 0) or None, int(hours) * HOUR_MS if hours else None, int(message["ts"]), received_ms,
        )
    ]  # fmt: skip


def _liquidations(message: Mapping[str, Any], symbol: str, received_ms: int) -> list[MarketEvent]:
    return [
        Liquidation(symbol, float(row["p"]), float(row["v"]), LIQUIDATED[row["S"].lower()], int(row["T"]), received_ms)
        for row in message["data"]
    ]


READERS: dict[str, Callable[[Mapping[str, Any], str, int], list[MarketEvent]]] = {
    "orderbook": _book,
    "publicTrade": _trades,
    "tickers": _premium,
    "allLiquidation": _liquidations,
}
