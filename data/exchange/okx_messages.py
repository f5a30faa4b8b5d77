"""OKX's stream messages as events, read before ccxt drops what it does not need (the flag of a closed bar).

https://www.okx.com/docs-v5/en/#overview-websocket
"""

from __future__ import annotations

import math
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
from data.exchange.payloads import (
    SIDES,
    contract_unit,
    interval_name,
    levels,
    number,
    perpetual,
    scaled,
    timeframe_of,
    trade_id,
)
from data.exchange.stream_topics import Topic, subscribe, topic_name, unsubscribe

Market = Mapping[str, Any]
INDEX = "index-tickers"
# Days are asked for by UTC (a plain 1D opens at 16:00 UTC); ccxt does so over REST and not in its streams.
BARS = {"1m": "1m", "5m": "5m", "15m": "15m", "1h": "1H", "4h": "4H", "1d": "1Dutc"}


async def watch_all(exchange: Any, subscriptions: Sequence[Subscription]) -> None:
    """One turn for subscriptions of one socket by a single message."""
    await subscribe(exchange, _url(exchange, subscriptions[0]), _topics(exchange, subscriptions), _request)


async def unwatch(exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
    """End subscriptions of one socket; False: it is not open."""
    return await unsubscribe(exchange, _url(exchange, subscriptions[0]), _topics(exchange, subscriptions), _request)


def socket_of(subscription: Subscription) -> str:
    """Candles and single trades come over another socket than the rest."""
    return "business" if subscription.channel in ("candles", "trades") else "public"


def _url(exchange: Any, subscription: Subscription) -> str:
    return f"{exchange.urls['api']['ws']}/{socket_of(subscription)}"


def _request(what: str, topics: list[Any], _number: str) -> dict[str, Any]:
    return {"op": what, "args": topics}


def _topics(exchange: Any, subscriptions: Sequence[Subscription]) -> list[Topic]:
    """Mark price, index and funding are three channels; liquidations of all swaps are one."""
    topics: dict[str, Topic] = {}
    for s in subscriptions:
        market = exchange.market(s.symbol)
        if s.channel == "liquidations":
            found = [Topic("ours:liquidations", {"channel": "liquidation-orders", "instType": "SWAP"})]
        else:
            index = market["info"]["instFamily"]
            found = [
                Topic(topic_name(s, name), {"channel": name, "instId": index if name == INDEX else market["id"]})
                for name in _channels(s)
            ]
        topics.update({topic.name: topic for topic in found})
    return list(topics.values())


def _channels(subscription: Subscription) -> tuple[str, ...]:
    """Of trades each one by itself: a row of the plain channel sums up several and has the number of the last."""
    if subscription.channel == "candles":
        return (f"candle{interval_name(BARS, subscription.timeframe, 'okx')}",)
    return {"book": ("books",), "trades": ("trades-all",), "premium": ("mark-price", "funding-rate", INDEX)}[
        subscription.channel
    ]


def read_message(exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
    """Events of one message; see :meth:`data.exchange.quirks.Quirks.read_message`."""
    if not isinstance(message, dict) or "arg" not in message or "event" in message:
        return []
    channel = message["arg"]["channel"]
    if channel == "liquidation-orders":
        return _liquidations(exchange, message, received_ms)
    if channel.startswith("candle"):
        timeframe = timeframe_of(BARS, channel.removeprefix("candle"))
        market = perpetual(exchange, message["arg"]["instId"])
        return [] if timeframe is None else _candles(message, market, timeframe, received_ms)
    read = READERS.get(channel)
    if read is None:
        return []
    name = message["arg"]["instId"]
    return read(message, perpetual(exchange, f"{name}-SWAP" if channel == INDEX else name), received_ms)


def funding_of(
    symbol: str, row: Mapping[str, Any], mark: float, index: float, event_ms: int, received_ms: int
) -> PremiumUpdate:
    """A row of funding: ``fundingTime`` is the next settlement, ``nextFundingTime`` the one after it."""
    following, after = int(row.get("fundingTime") or 0), int(row.get("nextFundingTime") or 0)
    interval = after - following if 0 < following < after else None
    return PremiumUpdate(
        symbol, mark, index, number(row["fundingRate"]), following or None, interval, event_ms, received_ms
    )


def _candles(message: Mapping[str, Any], market: Market, timeframe: str, received_ms: int) -> list[MarketEvent]:
    """Rows ``[time, open, high, low, close, contracts, base, quote, confirm]``; no time of the message is given."""
    return [
        CandleUpdate(
            market["symbol"], timeframe, int(row[0]), float(row[1]), float(row[2]), float(row[3]), float(row[4]),
            float(row[6]), {"0": False, "1": True}[row[8]], received_ms, received_ms,
        )
        for row in message["data"]
    ]  # fmt: skip


def _book(message: Mapping[str, Any], market: Market, received_ms: int) -> list[MarketEvent]:
    """``seqId`` follows ``prevSeqId``; both are equal where nothing changed."""
    unit, symbol = contract_unit(market), market["symbol"]
    events: list[MarketEvent] = []
    for row in message["data"]:
        bids, asks = levels(row["bids"], unit, bids=True), levels(row["asks"], unit, bids=False)
        number_of, event_ms = int(row["seqId"]), int(row["ts"])
        if message["action"] == "snapshot":
            events.append(BookSnapshot(symbol, number_of, bids, asks, event_ms, received_ms))
        else:
            before = int(row["prevSeqId"])
            events.append(BookDelta(symbol, number_of, number_of, before, bids, asks, event_ms, received_ms))
    return events


def _trades(message: Mapping[str, Any], market: Market, received_ms: int) -> list[MarketEvent]:
    unit = contract_unit(market)
    return [
        TradePrint(
            market["symbol"], trade_id(row["tradeId"]), float(row["px"]), scaled(row["sz"], unit), SIDES[row["side"]],
            int(row["ts"]), received_ms,
        )
        for row in message["data"]
    ]  # fmt: skip


def _mark(message: Mapping[str, Any], market: Market, received_ms: int) -> list[MarketEvent]:
    return [
        PremiumUpdate(market["symbol"], float(r["markPx"]), math.nan, math.nan, None, None, int(r["ts"]), received_ms)
        for r in message["data"]
    ]


def _index(message: Mapping[str, Any], market: Market, received_ms: int) -> list[MarketEvent]:
    return [
        PremiumUpdate(market["symbol"], math.nan, float(r["idxPx"]), math.nan, None, None, int(r["ts"]), received_ms)
        for r in message["data"]
    ]


def _funding(message: Mapping[str, Any], market: Market, received_ms: int) -> list[MarketEvent]:
    return [
        funding_of(market["symbol"], r, math.nan, math.nan, int(r.get("ts") or received_ms), received_ms)
        for r in message["data"]
    ]


def _liquidations(exchange: Any, message: Mapping[str, Any], received_ms: int) -> list[MarketEvent]:
    """The channel holds every swap of the exchange; those that are no linear perpetual are left out."""
    events: list[MarketEvent] = []
    for row in message["data"]:
        try:
            market = perpetual(exchange, row["instId"])
        except KeyError:
            continue
        unit = contract_unit(market)
        events.extend(
            Liquidation(
                market["symbol"], float(d["bkPx"]), scaled(d["sz"], unit), SIDES[d["side"]], int(d["ts"]), received_ms
            )
            for d in row["details"]
        )
    return events


READERS: dict[str, Callable[[Mapping[str, Any], Market, int], list[MarketEvent]]] = {
    "books": _book,
    "trades-all": _trades,
    "mark-price": _mark,
    INDEX: _index,
    "funding-rate": _funding,
}
