"""An exchange on loopback that speaks Bybit's public REST (v5, linear) and shows the same market.

Shapes: the recorded answers of ccxt's static tests and the comments of its parsers;
https://bybit-exchange.github.io/docs/v5/intro
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from data.timeframes import timeframe_ms
from tests.exchange.loopback import Refusal, Request, Route
from tests.exchange.peer_server import LISTED_MS, MAX_LEVERAGE, PeerServer, text, uuid_of
from tests.exchange.peer_streams import Command, Topic, bybit_command, bybit_topic

INTERVALS = {"1": "1m", "5": "5m", "15": "15m", "60": "1h", "240": "4h", "D": "1d"}
PERIODS = {"5min": "5m", "15min": "15m", "1h": "1h", "4h": "4h", "1d": "1d"}
MAX_BARS = 1000
MAX_FUNDING = 200
TIERS = (
    (2_000_000, "0.005", "100.00", "0"),
    (2_600_000, "0.0056", "90.00", "1200"),
    (5_000_000, "0.01", "50.00", "12640"),
)
STATUS = {"TRADING": "Trading", "SETTLING": "Settling", "PENDING_TRADING": "PreLaunch", "CLOSE": "Closed"}


class BybitServer(PeerServer):
    """``async with BybitServer(clock) as server:`` listens on ``server.url``."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.symbols_a_page = 1000

    def routes(self) -> Iterable[Route]:
        return ROUTES

    socket_path = "/v5/public/{category}"

    def command(self, text: str) -> Command:
        return bybit_command(text)

    def topic(self, key: str) -> Topic | None:
        return bybit_topic(self, INTERVALS, uuid_of, key)

    def answer(self, result: Any) -> dict[str, Any]:
        """The envelope."""
        return {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": self.now_ms}

    def refusal(self, code: int, message: str) -> Refusal:
        """Bybit answers errors with HTTP 200."""
        return Refusal({"retCode": code, "retMsg": message, "result": {}, "retExtInfo": {}, "time": self.now_ms}, 200)

    def unknown_symbol(self) -> Refusal:
        return self.refusal(10001, "params error: Symbol Is Invalid")

    def asked_for(self, request: Request) -> str:
        """The symbol of a request."""
        if request.query.get("category") != "linear":
            raise self.refusal(10001, "params error: Category is invalid")
        return self.known(request.query.get("symbol", ""))


def _time(server: BybitServer, _: Request) -> dict[str, Any]:
    now = server.now_ms
    return server.answer({"timeSecond": str(now // 1000), "timeNano": str(now * 1_000_000)})


def _instruments(server: BybitServer, request: Request) -> dict[str, Any]:
    """Pages by cursor; symbols before their launch are listed only when they are asked for."""
    now = server.now_ms
    wanted = request.query.get("status")
    status = {name: STATUS[server.market.rules(name, now).status] for name in server.market.traded(now)}
    names = [name for name, held in status.items() if (held == "PreLaunch") == (wanted == "PreLaunch")]
    first = int(request.query.get("cursor") or 0)
    shown = names[first : first + server.symbols_a_page]
    more = first + len(shown) < len(names)
    rows = [_instrument(server, name, status[name]) for name in shown]
    return server.answer(
        {"category": "linear", "list": rows, "nextPageCursor": str(first + len(shown)) if more else ""}
    )


def _instrument(server: BybitServer, name: str, status: str) -> dict[str, Any]:
    rules = server.market.rules(name, server.now_ms)
    return {
        "symbol": name, "contractType": "LinearPerpetual", "status": status, "baseCoin": name.removesuffix("USDT"),
        "quoteCoin": "USDT", "launchTime": str(LISTED_MS), "deliveryTime": "0", "deliveryFeeRate": "",
        "priceScale": "2",
        "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{MAX_LEVERAGE}.00", "leverageStep": "0.01"},
        "priceFilter": {"minPrice": str(rules.tick), "maxPrice": "1999999.80", "tickSize": f"{rules.tick}0"},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000", "minOrderQty": str(rules.lot), "qtyStep": str(rules.lot),
            "postOnlyMaxOrderQty": "1190.000", "maxMktOrderQty": "119.000",
            "minNotionalValue": f"{rules.min_notional:g}",
        },
        "unifiedMarginTrade": True, "fundingInterval": 60 * server.market.funding_hours(name, server.now_ms),
        "settleCoin": "USDT", "copyTrading": "both", "upperFundingRate": "0.005", "lowerFundingRate": "-0.005",
        "isPreListing": False, "preListingInfo": None,
        "riskParameters": {"priceLimitRatioX": "0.01", "priceLimitRatioY": "0.02"}, "displayName": "",
    }  # fmt: skip


def _klines(series: str, server: BybitServer, request: Request) -> dict[str, Any]:
    """A span's newest rows, newest first; from a start alone its oldest ones."""
    query = request.query
    name = server.asked_for(request)
    timeframe = INTERVALS.get(query.get("interval", ""))
    if timeframe is None:
        raise server.refusal(10001, "params error: Invalid period!")
    start, end = (int(query[key]) if key in query else None for key in ("start", "end"))
    limit = min(int(query.get("limit", 200)), MAX_BARS)
    bars = server.bars(series, name, timeframe, start, end)
    bars = bars[:limit] if start is not None and end is None else bars[-limit:]
    rows = [
        [str(b.open_ms), text(b.open), text(b.high), text(b.low), text(b.close)]
        + ([text(b.volume), text(b.volume * b.close)] if series == "candles" else [])
        for b in reversed(bars)
    ]
    return server.answer({"symbol": name, "category": "linear", "list": rows})


def _funding(server: BybitServer, request: Request) -> dict[str, Any]:
    query = request.query
    name = server.asked_for(request)
    if "startTime" in query and "endTime" not in query:
        raise server.refusal(10001, "params error: EndTime is required")
    limit = min(int(query.get("limit", MAX_FUNDING)), MAX_FUNDING)
    held, rows = server.paid(name, int(query.get("startTime", 0)), int(query.get("endTime", server.now_ms)))
    listed = [
        {"symbol": name, "fundingRate": text(held.rate[i]), "fundingRateTimestamp": str(held.time[i])}
        for i in reversed(rows[-limit:])
    ]
    return server.answer({"category": "linear", "list": listed})


def _tickers(server: BybitServer, request: Request) -> dict[str, Any]:
    names = [server.asked_for(request)] if "symbol" in request.query else server.market.traded(server.now_ms)
    return server.answer({"category": "linear", "list": [_ticker(server, name) for name in names]})


def _ticker(server: BybitServer, name: str) -> dict[str, Any]:
    now = server.now_ms
    last, mark, index = server.last_price(name), server.mark_price(name) or 0.0, server.index_price(name) or 0.0
    top: Any = server.snapshot(name, 5)
    interest = server.metric(name, "open_interest", now)
    return {
        "symbol": name, "lastPrice": text(last), "indexPrice": text(index), "markPrice": text(mark),
        "prevPrice24h": text(last), "price24hPcnt": "0", "highPrice24h": text(last), "lowPrice24h": text(last),
        "prevPrice1h": text(last), "openInterest": text(interest), "openInterestValue": text(interest * mark),
        "turnover24h": "1", "volume24h": "1", "fundingRate": text(server.market.coming_rate(name, now)),
        "nextFundingTime": str(server.market.next_settlement(name, now)), "predictedDeliveryPrice": "",
        "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0", "ask1Size": top["asks"][0][1],
        "bid1Price": top["bids"][0][0], "ask1Price": top["asks"][0][0], "bid1Size": top["bids"][0][1], "basis": "",
    }  # fmt: skip


def _interest(server: BybitServer, request: Request) -> dict[str, Any]:
    """Walks back from ``endTime``; a lone ``startTime`` is ignored."""
    query = request.query
    name = server.asked_for(request)
    end = int(query.get("endTime", server.now_ms))
    times = _metric_times(server, PERIODS[query["intervalTime"]], query, end, 200)
    rows = [
        {"openInterest": f"{server.metric(name, 'open_interest', t):.8f}", "timestamp": str(t)} for t in reversed(times)
    ]
    return server.answer({"symbol": name, "category": "linear", "list": rows, "nextPageCursor": ""})


def _account_ratio(server: BybitServer, request: Request) -> dict[str, Any]:
    query = request.query
    name = server.asked_for(request)
    times = _metric_times(server, PERIODS[query["period"]], query, int(query.get("endTime", server.now_ms)), 500)
    rows = []
    for t in reversed(times):
        share = server.metric(name, "account_ratio", t) / 2
        rows.append({"symbol": name, "buyRatio": text(share), "sellRatio": text(1 - share), "timestamp": str(t)})
    return server.answer({"list": rows, "nextPageCursor": ""})


def _metric_times(server: BybitServer, timeframe: str, query: dict[str, str], end: int, most: int) -> list[int]:
    limit = min(int(query.get("limit", 50)), most)
    start = int(query.get("startTime", end - limit * timeframe_ms(timeframe)))
    return server.metric_times(timeframe, start, end)[-limit:]


def _trades(server: BybitServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    rows = [
        {"execId": uuid_of(id_), "symbol": name, "price": p, "size": q, "side": "Buy" if bought else "Sell",
         "time": str(at), "isBlockTrade": False}
        for id_, at, p, q, bought in reversed(server.prints(name, min(int(request.query.get("limit", 500)), 1000)))
    ]  # fmt: skip
    return server.answer({"category": "linear", "list": rows})


def _book(server: BybitServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    book: Any = server.snapshot(name, min(int(request.query.get("limit", 25)), 500))
    number = book["lastUpdateId"]
    return server.answer(
        {"s": name, "b": book["bids"], "a": book["asks"], "ts": server.now_ms, "u": number, "seq": 7 * number}
    )


def _risk_limit(server: BybitServer, request: Request) -> dict[str, Any]:
    name = server.asked_for(request)
    rows = [
        {"id": i + 1, "symbol": name, "riskLimitValue": str(cap), "maintenanceMargin": rate, "initialMargin": "0.01",
         "isLowestRisk": int(i == 0), "maxLeverage": leverage, "mmDeduction": deduction}
        for i, (cap, rate, leverage, deduction) in enumerate(TIERS)
    ]  # fmt: skip
    return server.answer({"category": "linear", "list": rows, "nextPageCursor": ""})


ROUTES = (
    Route("/v5/market/time", _time),
    Route("/v5/market/instruments-info", _instruments),
    Route("/v5/market/kline", partial(_klines, "candles")),
    Route("/v5/market/mark-price-kline", partial(_klines, "mark")),
    Route("/v5/market/index-price-kline", partial(_klines, "index")),
    Route("/v5/market/funding/history", _funding),
    Route("/v5/market/tickers", _tickers),
    Route("/v5/market/open-interest", _interest),
    Route("/v5/market/account-ratio", _account_ratio),
    Route("/v5/market/recent-trade", _trades),
    Route("/v5/market/orderbook", _book),
    Route("/v5/market/risk-limit", _risk_limit),
)
