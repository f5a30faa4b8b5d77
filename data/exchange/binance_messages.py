"""Messages of Binance's public USD-M futures streams as events, and how its streams are subscribed to.

https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf, nan
from typing import Any

import numpy as np

from data.errors import UserError
from data.exchange.events import (
    BookDelta,
    CandleUpdate,
    Channel,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    Subscription,
    TradePrint,
)
from data.market import Float64Array, unified_symbol

STREAMS_A_SOCKET = 200
# Books come over one family of sockets, everything else over the other.
CATEGORIES: dict[Channel, str] = {
    "candles": "market",
    "trades": "market",
    "premium": "market",
    "liquidations": "market",
    "book": "public",
}
NO_LEVELS = np.empty((0, 2), dtype=np.float64)
TRADE_KINDS = ("MARKET", None)  # ``X`` of a raw trade; insurance fund, ADL and "NA" are no trades of the market


def read_message(exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
    """Events of one frame; ``[]`` for acknowledgements, errors and channels that are not ours.

    Args:
        exchange: the ccxt instance whose markets give the symbols; without loaded markets the id itself does.

    Raises:
        ValueError, KeyError, TypeError: the frame is not what Binance documents.
    """
    if isinstance(message, dict):
        if "stream" in message:
            return read_message(exchange, message["data"], received_ms)
        reader = READERS.get(message.get("e"))  # type: ignore[arg-type]
        if reader is None:
            return []
        event = reader(exchange, message, received_ms)
        return [] if event is None else [event]
    if isinstance(message, list):
        return [event for entry in message for event in read_message(exchange, entry, received_ms)]
    raise ValueError(f"a frame that is no object: {str(message)[:80]!r}")


def _candle(exchange: Any, message: dict[str, Any], received_ms: int) -> CandleUpdate:
    bar = message["k"]
    o, h, low, c = float(bar["o"]), float(bar["h"]), float(bar["l"]), float(bar["c"])
    volume, closed = float(bar["v"]), bar["x"]
    if not (0 < low <= o <= h < inf and low <= c <= h and 0 <= volume < inf and isinstance(closed, bool)):
        raise ValueError(f"a candle that makes no sense: {bar}")
    return CandleUpdate(
        _symbol(exchange, message["s"]), str(bar["i"]), int(bar["t"]), o, h, low, c, volume, closed, int(message["E"]),
        received_ms,
    )  # fmt: skip


def _book(exchange: Any, message: dict[str, Any], received_ms: int) -> BookDelta:
    return BookDelta(
        _symbol(exchange, message["s"]), int(message["U"]), int(message["u"]), int(message["pu"]),
        _levels(message["b"]), _levels(message["a"]), int(message["T"]), received_ms,
    )  # fmt: skip


def _levels(rows: list[list[str]]) -> Float64Array:
    """Levels ``[n, 2]`` (price, size); anything but two sound numbers a level raises."""
    if not rows:
        return NO_LEVELS
    prices, sizes = zip(*rows, strict=True)
    levels = np.empty((len(rows), 2), dtype=np.float64)
    levels[:, 0] = list(map(float, prices))
    levels[:, 1] = list(map(float, sizes))
    if not levels.min() >= 0.0:  # so that NaN is refused too
        raise ValueError(f"a book level that makes no sense: {rows}")
    return levels


def _trade(exchange: Any, message: dict[str, Any], received_ms: int) -> TradePrint | None:
    if message.get("X") not in TRADE_KINDS:
        return None
    number = message["a"] if message["e"] == "aggTrade" else message["t"]
    price, quantity, maker = float(message["p"]), float(message["q"]), message["m"]
    if not (0 < price < inf and 0 < quantity < inf and isinstance(maker, bool)):
        raise ValueError(f"a trade that makes no sense: {message}")
    symbol = _symbol(exchange, message["s"])
    return TradePrint(symbol, int(number), price, quantity, -1 if maker else 1, int(message["T"]), received_ms)


def _premium(exchange: Any, message: dict[str, Any], received_ms: int) -> PremiumUpdate:
    mark = float(message["p"])
    if not 0 < mark < inf:
        raise ValueError(f"a mark price that makes no sense: {message}")
    index, rate = message.get("i"), message.get("r")  # delivery contracts have no rate: an empty text, time 0
    return PremiumUpdate(
        _symbol(exchange, message["s"]), mark, float(index) if index else nan, float(rate) if rate else nan,
        int(message.get("T") or 0) or None, None, int(message["E"]), received_ms,
    )  # fmt: skip


def _liquidation(exchange: Any, message: dict[str, Any], received_ms: int) -> Liquidation | None:
    order = message["o"]
    quantity, price = float(order["z"]), float(order["ap"])
    if quantity == 0:
        return None  # nothing of it was filled yet
    if not (0 < price < inf and 0 < quantity < inf and order["S"] in ("BUY", "SELL")):
        raise ValueError(f"a liquidation that makes no sense: {order}")
    side = 1 if order["S"] == "BUY" else -1
    return Liquidation(_symbol(exchange, order["s"]), price, quantity, side, int(order["T"]), received_ms)


READERS: dict[str, Callable[[Any, dict[str, Any], int], MarketEvent | None]] = {
    "kline": _candle,
    "depthUpdate": _book,
    "aggTrade": _trade,
    "trade": _trade,
    "markPriceUpdate": _premium,
    "forceOrder": _liquidation,
}


def _symbol(exchange: Any, name: str) -> str:
    markets = getattr(exchange, "markets_by_id", None)
    if markets and name in markets:
        return str(next((m for m in markets[name] if m.get("swap")), markets[name][0])["symbol"])
    return _unified(name)


@lru_cache(maxsize=4096)
def _unified(name: str) -> str:
    try:
        return unified_symbol(name)
    except UserError as error:
        raise ValueError(str(error)) from None


async def watch(exchange: Any, subscription: Subscription) -> None:
    """One turn of ccxt's ``watch_*``; it returns when ccxt's own handler has seen a message of the subscription."""
    symbols = [subscription.symbol]
    if subscription.channel == "candles":
        await exchange.watch_ohlcv_for_symbols([[subscription.symbol, subscription.timeframe]])
    elif subscription.channel == "book":
        await exchange.watch_order_book_for_symbols(symbols)
    elif subscription.channel == "trades":
        await exchange.watch_trades_for_symbols(symbols, params={"name": "aggTrade"})
    elif subscription.channel == "premium":
        await exchange.watch_mark_prices(symbols)
    else:
        await exchange.watch_liquidations_for_symbols(symbols)


def stream_groups(subscriptions: Sequence[Subscription]) -> list[tuple[Subscription, ...]]:
    """What one socket carries and one message subscribes to: books apart, 200 streams at most."""
    groups = []
    for category in ("market", "public"):
        held = [s for s in subscriptions if CATEGORIES[s.channel] == category]
        groups += [tuple(held[i : i + STREAMS_A_SOCKET]) for i in range(0, len(held), STREAMS_A_SOCKET)]
    return groups


async def watch_all(exchange: Any, subscriptions: Sequence[Subscription]) -> None:
    """One turn for subscriptions of one category by a single SUBSCRIBE message.

    ccxt's ``watch_*_for_symbols`` take one channel each, pause a quarter of a second between messages, open a socket
    for every book, and fetch a book's snapshot by themselves; its ``watch_multiple`` below them does none of it.
    """
    names = {_hash(s): _stream(exchange, s) for s in subscriptions}
    url = _socket(exchange, CATEGORIES[subscriptions[0].channel], list(names.values()))
    number = exchange.request_id(url)
    request = {"method": "SUBSCRIBE", "params": list(names.values()), "id": number}
    await exchange.watch_multiple(url, list(names), request, list(names), {"id": number})


async def unwatch(exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
    """Tell the exchange that subscriptions of one category are not wanted any more; False: no socket is open."""
    category = CATEGORIES[subscriptions[0].channel]
    names = [_stream(exchange, s) for s in subscriptions]
    url = _socket(exchange, category, names)
    _sockets(exchange, category)[int(url.rsplit("/", 1)[1])].difference_update(names)
    client = (exchange.clients or {}).get(url)
    if client is None or client.closed():
        return False
    for subscription in subscriptions:
        client.subscriptions.pop(_hash(subscription), None)
    await client.send({"method": "UNSUBSCRIBE", "params": names, "id": exchange.request_id(url)})
    return True


def _hash(subscription: Subscription) -> str:
    """What ccxt calls the subscription."""
    symbol = subscription.symbol
    return {
        "candles": f"ohlcv::{symbol}::{subscription.timeframe}",
        "book": f"orderbook::{symbol}",
        "trades": f"trade::{symbol}",
        "premium": f"markPrice:markPrice@{symbol}",
        "liquidations": f"liquidations::{symbol}",
    }[subscription.channel]


def _stream(exchange: Any, subscription: Subscription) -> str:
    """What Binance calls the subscription."""
    name = exchange.market(subscription.symbol)["lowercaseId"]
    return {
        "candles": f"{name}@kline_{subscription.timeframe}",
        "book": f"{name}@depth@100ms",
        "trades": f"{name}@aggTrade",
        "premium": f"{name}@markPrice@1s",
        "liquidations": f"{name}@forceOrder",
    }[subscription.channel]


def _sockets(exchange: Any, category: str) -> list[set[str]]:
    """The streams of each socket of a category, by its number."""
    held: list[set[str]] = exchange.options.setdefault("sockets", {}).setdefault(category, [])
    return held


def _socket(exchange: Any, category: str, names: list[str]) -> str:
    """Address of the socket that carries the streams already, or of the first one with room for them."""
    sockets = _sockets(exchange, category)
    at = next((i for i, held in enumerate(sockets) if not held.isdisjoint(names)), None)
    if at is None:
        room = (i for i, held in enumerate(sockets) if len(held) + len(names) <= STREAMS_A_SOCKET)
        at = next(room, len(sockets))
    if at == len(sockets):
        sockets.append(set())
    sockets[at].update(names)
    return f"{exchange.get_ws_url('linear', category)}/{at}"
