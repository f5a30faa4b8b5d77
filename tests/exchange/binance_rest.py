"""Binance USD-M futures' public REST: answers in the exchange's shapes, with its request weights.

A route is one line of :data:`ROUTES`. Signed endpoints (orders, account, listenKey) are routes with ``signed=True``
and their method; ``BinanceServer.authenticate`` checks them. Shapes and weights:
https://developers.binance.com/docs/derivatives/usds-margined-futures/market-data/rest-api
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from data.timeframes import DAY_MS, TIMEFRAMES, timeframe_ms
from tests.exchange.loopback import Refusal, Request, Route
from tests.exchange.market import Series, SymbolRules
from tests.exchange.tape import Bar

if TYPE_CHECKING:
    from tests.exchange.binance_server import BinanceServer

WEIGHT_LIMIT = 2400  # a minute, per address
MAX_KLINES = 1500
MAX_FUNDING = 1000
PERPETUAL_END = 4133404800000
DEPTHS = (5, 10, 20, 50, 100, 500, 1000)


class BinanceError(Refusal):
    """An error answer: HTTP 400 with a code and a message."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__({"code": code, "msg": message}, status)
        self.code = code


def number(query: dict[str, str], name: str, default: int | None = None) -> int:
    """An integer parameter.

    Raises:
        BinanceError: -1102 where it is missing, -1100 where it is no integer.
    """
    text = query.get(name)
    if text is None:
        if default is None:
            raise BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
        return default
    try:
        return int(text)
    except ValueError:
        raise BinanceError(-1100, f"Illegal characters found in parameter '{name}'.") from None


def limit_of(query: dict[str, str], default: int, most: int) -> int:
    """The ``limit`` parameter. Raises -1130 outside of 1..most."""
    limit = number(query, "limit", default)
    if not 1 <= limit <= most:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    return limit


def symbol_of(server: BinanceServer, query: dict[str, str]) -> str:
    """The ``symbol`` parameter. Raises -1121 where it is not listed now."""
    name = query.get("symbol", "")
    if name not in server.market.symbols or not server.market.rules(name, server.now_ms).listed:
        raise BinanceError(-1121, "Invalid symbol.")
    return name


def named_or_all(server: BinanceServer, query: dict[str, str], one: Any) -> Any:
    """``one(name)`` of the symbol asked for, or of every listed one."""
    if "symbol" in query:
        return one(symbol_of(server, query))
    return [one(name) for name in server.market.traded(server.now_ms)]


def text(value: float, decimals: int = 8) -> str:
    """A number as the exchange writes it; NaN and infinity as words (a fault)."""
    if math.isfinite(value):
        return f"{value:.8f}" if decimals == 8 else f"{value:.{decimals}f}"
    return "NaN" if math.isnan(value) else "Infinity"


def decimals_of(step: Decimal) -> int:
    """Decimals that a step has."""
    return max(0, -int(step.as_tuple().exponent))


def kline_weight(query: dict[str, str]) -> int:
    """Weight of klines by their limit."""
    limit = number(query, "limit", 500)
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def depth_weight(query: dict[str, str]) -> int:
    """Weight of a depth snapshot by its limit."""
    limit = number(query, "limit", 500)
    return 2 if limit <= 50 else 5 if limit <= 100 else 10 if limit <= 500 else 20


def one_or_all(one: int, every: int, query: dict[str, str]) -> int:
    """Weight of an endpoint that costs more without a symbol."""
    return one if "symbol" in query else every


def _ping(_: BinanceServer, __: Request) -> dict[str, Any]:
    return {}


def _time(server: BinanceServer, _: Request) -> dict[str, Any]:
    return {"serverTime": server.now_ms}


def _exchange_info(server: BinanceServer, _: Request) -> dict[str, Any]:
    now = server.now_ms
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_LIMIT},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ]
    assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-100"}]
    return {
        "timezone": "UTC", "serverTime": now, "futuresType": "U_MARGINED", "rateLimits": limits, "exchangeFilters": [],
        "assets": assets,
        "symbols": [_symbol(name, server.market.rules(name, now)) for name in server.market.traded(now)],
    }  # fmt: skip


def _symbol(name: str, rules: SymbolRules) -> dict[str, Any]:
    base, tick, lot = name.removesuffix("USDT"), f"{rules.tick:f}", f"{rules.lot:f}"
    written = f"{tick}0" if "." in tick else tick  # the exchange writes "0.10"
    return {
        "symbol": name, "pair": name, "contractType": "PERPETUAL", "deliveryDate": PERPETUAL_END,
        "onboardDate": 1569398400000, "status": rules.status, "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000", "baseAsset": base, "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": decimals_of(rules.tick), "quantityPrecision": decimals_of(rules.lot),
        "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "underlyingSubType": [], "settlePlan": 0, "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05",
        "filters": [
            {"minPrice": tick, "maxPrice": "4529764", "filterType": "PRICE_FILTER", "tickSize": written},
            {"stepSize": lot, "filterType": "LOT_SIZE", "maxQty": "1000", "minQty": lot},
            {"stepSize": lot, "filterType": "MARKET_LOT_SIZE", "maxQty": "120", "minQty": lot},
            {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
            {"limit": 10, "filterType": "MAX_NUM_ALGO_ORDERS"},
            {"notional": f"{rules.min_notional:g}", "filterType": "MIN_NOTIONAL"},
            {"multiplierDown": "0.9500", "multiplierUp": "1.0500", "multiplierDecimal": "4",
             "filterType": "PERCENT_PRICE"},
        ],
        "orderTypes": list(rules.order_types), "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }  # fmt: skip


def _klines(series: str, server: BinanceServer, request: Request) -> list[list[Any]]:
    """Bars from ``startTime`` on (the newest ones without it), the forming bar included, as the exchange has it."""
    query = request.query
    name = symbol_of(server, {"symbol": query.get("symbol", query.get("pair", ""))})
    limit = min(limit_of(query, 500, MAX_KLINES), server.most_per_page)
    timeframe = query.get("interval", "")
    held: Series = getattr(server.market, series)
    start = number(query, "startTime") if "startTime" in query else None
    end = number(query, "endTime", server.now_ms)
    shown = None
    if timeframe in TIMEFRAMES:
        shown = server.market.shown(name, timeframe, start, end, limit, server.now_ms, held)
    if shown is None:
        raise BinanceError(-1120, "Invalid interval.")
    step = timeframe_ms(timeframe)
    return [_kline(bar, step, series != "candles") for bar in shown]


def _kline(bar: Bar, step: int, without_volume: bool) -> list[Any]:
    prices = [text(value) for value in (bar.open, bar.high, bar.low, bar.close)]
    close_time = bar.open_ms + step - 1
    if without_volume:
        return [bar.open_ms, *prices, "0", close_time, "0", 60, "0", "0", "0"]
    turnover = bar.volume * bar.close
    return [bar.open_ms, *prices, text(bar.volume), close_time, text(turnover, 5),
            bar.trades, text(bar.bought, 3), text(bar.bought * bar.close, 5), "0"]  # fmt: skip


def _funding_rate(server: BinanceServer, request: Request) -> list[dict[str, Any]]:
    """Settlements in order of time; recorded times lag by some milliseconds."""
    query = request.query
    now = server.now_ms
    held = server.market.settlements(symbol_of(server, query), now)
    if held is None:  # a symbol that was never settled, as in a recording
        return []
    limit = min(number(query, "limit", 100), MAX_FUNDING, server.most_per_page)
    times = held.time + np.arange(len(held)) % 3
    end = min(number(query, "endTime", now), now)
    inside = np.flatnonzero((times >= number(query, "startTime", 0)) & (times <= end))
    inside = inside[:limit] if "startTime" in query else inside[-limit:]
    return [
        {
            "symbol": query["symbol"],
            "fundingTime": int(times[i]),
            "fundingRate": text(held.rate[i]),
            "markPrice": text(held.mark_price[i]) if np.isfinite(held.mark_price[i]) else "",
        }
        for i in inside
    ]


def _funding_info(server: BinanceServer, _: Request) -> list[dict[str, Any]]:
    """Only symbols whose interval was adjusted are listed; others settle every eight hours."""
    hours = {name: server.market.funding_hours(name, server.now_ms) for name in server.market.traded(server.now_ms)}
    return [
        {"symbol": name, "adjustedFundingRateCap": "0.02000000", "adjustedFundingRateFloor": "-0.02000000",
         "fundingIntervalHours": interval, "disclaimer": False}
        for name, interval in hours.items() if interval != 8
    ]  # fmt: skip


def _premium_index(server: BinanceServer, request: Request) -> Any:
    def one(name: str) -> dict[str, Any]:
        now = server.now_ms
        mark, index = server.mark_price(name), server.index_price(name)
        if mark is None or index is None:
            raise BinanceError(-1121, "Invalid symbol.")
        return {
            "symbol": name, "markPrice": text(mark), "indexPrice": text(index), "estimatedSettlePrice": text(index),
            "lastFundingRate": text(server.market.coming_rate(name, now)),
            "nextFundingTime": server.market.next_settlement(name, now), "interestRate": "0.00010000", "time": now,
        }  # fmt: skip

    return named_or_all(server, request.query, one)


def _depth(server: BinanceServer, request: Request) -> dict[str, Any]:
    name = symbol_of(server, request.query)
    limit = number(request.query, "limit", 500)
    if limit not in DEPTHS:
        raise BinanceError(-4021, f"Depth limit {limit} is not valid.")
    return server.snapshot(name, limit)


def _trades(kind: str, server: BinanceServer, request: Request) -> list[dict[str, Any]]:
    query = request.query
    name = symbol_of(server, query)
    limit = limit_of(query, 500, 1000)
    now = server.now_ms
    start = number(query, "startTime", 0)
    stop = min(number(query, "endTime", now), now)
    rows = server.recent_prints(name, start, stop, limit, oldest="startTime" in query)
    if kind == "agg":
        return [
            {"a": id_, "p": p, "q": q, "f": id_, "l": id_, "T": at, "m": not bought} for id_, at, p, q, bought in rows
        ]
    return [
        {"id": id_, "price": p, "qty": q, "quoteQty": text(float(p) * float(q), 2), "time": at,
         "isBuyerMaker": not bought} for id_, at, p, q, bought in rows
    ]  # fmt: skip


def _ticker(server: BinanceServer, request: Request) -> Any:
    def one(name: str) -> dict[str, Any]:
        day = server.day(name)
        change = day.close - day.open
        return {
            "symbol": name, "priceChange": text(change), "priceChangePercent": text(100 * change / day.open, 3),
            "weightedAvgPrice": text(day.close), "lastPrice": text(day.close), "lastQty": "1.000",
            "openPrice": text(day.open), "highPrice": text(day.high), "lowPrice": text(day.low),
            "volume": text(day.volume), "quoteVolume": text(day.volume * day.close),
            "openTime": server.now_ms - DAY_MS, "closeTime": server.now_ms, "firstId": 1, "lastId": day.trades,
            "count": day.trades,
        }  # fmt: skip

    return named_or_all(server, request.query, one)


def _price(server: BinanceServer, request: Request) -> Any:
    def one(name: str) -> dict[str, Any]:
        return {"symbol": name, "price": text(server.last_price(name)), "time": server.now_ms}

    return named_or_all(server, request.query, one)


def _book_ticker(server: BinanceServer, request: Request) -> Any:
    def one(name: str) -> dict[str, Any]:
        top = server.snapshot(name, 5)
        (bid, bid_size), (ask, ask_size) = top["bids"][0], top["asks"][0]
        return {
            "symbol": name, "bidPrice": bid, "bidQty": bid_size, "askPrice": ask, "askQty": ask_size,
            "time": server.now_ms,
        }  # fmt: skip

    return named_or_all(server, request.query, one)


ROUTES: tuple[Route, ...] = (
    Route("/fapi/v1/ping", _ping),
    Route("/fapi/v1/time", _time),
    Route("/fapi/v1/exchangeInfo", _exchange_info),
    Route("/fapi/v1/klines", partial(_klines, "candles"), kline_weight),
    Route("/fapi/v1/markPriceKlines", partial(_klines, "mark"), kline_weight),
    Route("/fapi/v1/indexPriceKlines", partial(_klines, "index"), kline_weight),
    Route("/fapi/v1/fundingRate", _funding_rate),
    Route("/fapi/v1/fundingInfo", _funding_info, 0),
    Route("/fapi/v1/premiumIndex", _premium_index, partial(one_or_all, 1, 10)),
    Route("/fapi/v1/depth", _depth, depth_weight),
    Route("/fapi/v1/trades", partial(_trades, "plain"), 5),
    Route("/fapi/v1/aggTrades", partial(_trades, "agg"), 20),
    Route("/fapi/v1/ticker/24hr", _ticker, partial(one_or_all, 1, 40)),
    Route("/fapi/v1/ticker/price", _price, partial(one_or_all, 1, 2)),
    Route("/fapi/v2/ticker/price", _price, partial(one_or_all, 1, 2)),
    Route("/fapi/v1/ticker/bookTicker", _book_ticker, partial(one_or_all, 2, 5)),
)
