"""An exchange on loopback that speaks WEEX's public contract REST (v3) and shows the same market.

Shapes: the samples in ccxt's parsers; https://www.weex.com/api-doc/contract/Market_API
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from data.timeframes import TIMEFRAMES, timeframe_ms
from tests.exchange.loopback import Refusal, Request, Route
from tests.exchange.peer_server import PeerServer, text, uuid_of
from tests.exchange.peer_streams import Command, Topic, weex_command, weex_topic
from tests.exchange.tape import Bar

HISTORY_BARS = 100
RECENT_BARS = 1000
MAX_FUNDING = 1000
CONTRACT = "0.001"  # said to be the size of a contract; amounts are base coins all the same
PRICE_TYPES = {"LAST_PRICE": "candles", "MARK": "mark", "INDEX": "index"}


class WeexServer(PeerServer):
    """``async with WeexServer(clock) as server:`` listens on ``server.url``."""

    def routes(self) -> Iterable[Route]:
        return ROUTES

    socket_path = "/ws-contract/{path:.*}"

    def command(self, text: str) -> Command:
        return weex_command(text)

    def topic(self, key: str) -> Topic | None:
        return weex_topic(self, uuid_of, key)

    def refusal(self, code: int, message: str) -> Refusal:
        """An error answer."""
        return Refusal({"code": code, "msg": message}, 400)

    def unknown_symbol(self) -> Refusal:
        return self.refusal(-1121, "Invalid symbol.")

    def asked_for(self, request: Request) -> str:
        """The symbol of a request."""
        return self.known(request.query.get("symbol", ""))


def _time(server: WeexServer, _: Request) -> dict[str, Any]:
    return {"serverTime": server.now_ms}


def _contracts(server: WeexServer, _: Request) -> dict[str, Any]:
    now = server.now_ms
    names = [name for name in server.market.traded(now) if server.market.rules(name, now).status == "TRADING"]
    return {"symbols": [_contract(server, name) for name in names]}


def _contract(server: WeexServer, name: str) -> dict[str, Any]:
    rules = server.market.rules(name, server.now_ms)
    tick, lot = (str(-int(step.as_tuple().exponent)) for step in (rules.tick, rules.lot))
    return {
        "symbol": name, "baseAsset": name.removesuffix("USDT"), "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": tick, "quantityPrecision": lot, "baseAssetPrecision": tick, "quotePrecision": "8",
        "contractVal": CONTRACT, "delivery": ["00:00:00", "08:00:00", "16:00:00"], "forwardContractFlag": True,
        "minLeverage": "1", "maxLeverage": "400", "buyLimitPriceRatio": "0.01", "sellLimitPriceRatio": "0.01",
        "makerFeeRate": "0.0002", "takerFeeRate": "0.0008", "minOrderSize": str(rules.lot), "maxOrderSize": "1000000",
        "maxPositionSize": "5000000", "marketOpenLimitSize": "2300",
    }  # fmt: skip


def _spot(server: WeexServer, _: Request) -> dict[str, Any]:
    """The spot side, under the same ids."""
    return {
        "symbols": [
            {
                "symbol": name, "status": "TRADING", "baseAsset": name.removesuffix("USDT"), "baseAssetPrecision": "8",
                "quoteAsset": "USDT", "quoteAssetPrecision": "8", "tickSize": "0.01", "stepSize": "0.00001",
                "minTradeAmount": "0.0001", "maxTradeAmount": "99999", "takerFeeRate": "0.001",
                "makerFeeRate": "0.001", "buyLimitPriceRatio": "0.1", "sellLimitPriceRatio": "0.1",
                "marketBuyLimitSize": "99999", "marketSellLimitSize": "99999", "marketFallbackPriceRatio": "0",
                "enableTrade": True, "enableDisplay": True, "displayDigitMerge": "0.01,0.1,0.5,1,5",
                "displayNew": False, "displayHot": False,
            }
            for name in server.market.traded(server.now_ms)
        ]
    }  # fmt: skip


def _row(bar: Bar, timeframe: str, volume: bool) -> list[Any]:
    prices = [text(value) for value in (bar.open, bar.high, bar.low, bar.close)]
    amount = bar.volume if volume else 0.0
    return [
        bar.open_ms, *prices, text(amount), bar.open_ms + timeframe_ms(timeframe), text(amount * bar.close), 100,
        text(amount / 2), text(amount / 2 * bar.close),
    ]  # fmt: skip


def _recent(series: str, server: WeexServer, request: Request) -> list[list[Any]]:
    """The newest bars, oldest first, the forming one too; no start and no end are heeded."""
    name, timeframe = server.asked_for(request), _timeframe(server, request)
    limit = min(int(request.query.get("limit", 100)), RECENT_BARS)
    return [_row(b, timeframe, series == "candles") for b in server.bars(series, name, timeframe, None, None)[-limit:]]


def _history(server: WeexServer, request: Request) -> list[list[Any]]:
    """Closed bars of a span, at most the newest 100 of it, newest first."""
    query = request.query
    name, timeframe = server.asked_for(request), _timeframe(server, request)
    series = PRICE_TYPES[query.get("priceType", "LAST_PRICE")]
    if "startTime" not in query or "endTime" not in query:
        raise server.refusal(-1141, "startTime and endTime must not be empty")
    bars = server.bars(series, name, timeframe, int(query["startTime"]), int(query["endTime"]))
    closed = [b for b in bars if server.is_closed(b, timeframe)][-HISTORY_BARS:]
    return [_row(b, timeframe, series == "candles") for b in reversed(closed)]


def _timeframe(server: WeexServer, request: Request) -> str:
    timeframe = request.query.get("interval", "")
    if timeframe not in TIMEFRAMES:
        raise server.refusal(-1142, "Invalid interval.")
    return timeframe


def _funding(server: WeexServer, request: Request) -> list[dict[str, Any]]:
    query = request.query
    name = server.asked_for(request)
    held, rows = server.paid(name, int(query.get("startTime", 0)), int(query.get("endTime", server.now_ms)))
    limit = min(int(query.get("limit", 100)), MAX_FUNDING)
    return [
        {"symbol": name, "fundingRate": text(held.rate[i]), "fundingTime": int(held.time[i]),
         "markPrice": text(held.mark_price[i])}
        for i in reversed(rows[-limit:])
    ]  # fmt: skip


def _premium(server: WeexServer, request: Request) -> list[dict[str, Any]]:
    now = server.now_ms
    names = [server.asked_for(request)] if "symbol" in request.query else server.market.traded(now)
    rows = []
    for name in names:
        held, paid = server.paid(name, 0, now)
        rows.append(
            {"symbol": name, "markPrice": text(server.mark_price(name) or 0.0),
             "indexPrice": text(server.index_price(name) or 0.0),
             "forecastFundingRate": text(server.market.coming_rate(name, now)),
             "lastFundingRate": text(held.rate[paid[-1]]) if paid else "0", "interestRate": "0.001",
             "nextFundingTime": server.market.next_settlement(name, now), "time": now,
             "collectCycle": 60 * server.market.funding_hours(name, now)}
        )  # fmt: skip
    return rows


def _open_interest(server: WeexServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    now = server.now_ms
    return {"symbol": name, "openInterest": text(server.metric(name, "open_interest", now)), "time": now}


def _trades(server: WeexServer, request: Request) -> list[dict[str, Any]]:
    name = server.asked_for(request)
    return [
        {"id": uuid_of(id_), "price": p, "qty": q, "quoteQty": text(float(p) * float(q)), "time": at,
         "isBuyerMaker": not bought, "isBestMatch": True}
        for id_, at, p, q, bought in reversed(server.prints(name, min(int(request.query.get("limit", 100)), 1000)))
    ]  # fmt: skip


def _depth(server: WeexServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    book: Any = server.snapshot(name, 200 if request.query.get("limit") == "200" else 15)
    return {"asks": book["asks"], "bids": book["bids"], "lastUpdateId": book["lastUpdateId"]}


MARKET = "/capi/v3/market"
ROUTES = (
    Route("/api/v3/exchangeInfo", _spot),
    Route(f"{MARKET}/time", _time),
    Route(f"{MARKET}/exchangeInfo", _contracts),
    Route(f"{MARKET}/klines", partial(_recent, "candles")),
    Route(f"{MARKET}/markPriceKlines", partial(_recent, "mark")),
    Route(f"{MARKET}/indexPriceKlines", partial(_recent, "index")),
    Route(f"{MARKET}/historyKlines", _history),
    Route(f"{MARKET}/fundingRate", _funding),
    Route(f"{MARKET}/premiumIndex", _premium),
    Route(f"{MARKET}/openInterest", _open_interest),
    Route(f"{MARKET}/trades", _trades),
    Route(f"{MARKET}/depth", _depth),
)
