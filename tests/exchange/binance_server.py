"""A small exchange on loopback that speaks the public REST side of Binance USD-M futures.

It keeps its own clock, candles, mark candles and funding; it counts request weight as the exchange does; and it can be
told to misbehave (``faults``). Further endpoints go into ``ROUTES``; what they serve goes into :class:`Market`.
Payload shapes: https://developers.binance.com/docs/derivatives/usds-margined-futures
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.clock import Clock
from data.instruments import INSTRUMENTS
from data.market import Frame, FundingFrame, short_symbol
from data.timeframes import MINUTE_MS, timeframe_ms
from tests.exchange.loopback import LoopbackServer, Refusal, Request, Route

WEIGHT_LIMIT = 2400  # a minute, per address
MAX_KLINES = 1500
MAX_FUNDING = 1000
ORDER_TYPES = ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"]
PERPETUAL_END = 4133404800000


@dataclass
class Market:
    """What the exchange knows: series by (id, timeframe), and funding by id."""

    candles: dict[tuple[str, str], Frame] = field(default_factory=dict)
    mark: dict[tuple[str, str], Frame] = field(default_factory=dict)
    funding: dict[str, FundingFrame] = field(default_factory=dict)

    def add(self, frame: Frame, funding: FundingFrame | None = None) -> None:
        """Serve a series; its mark prices are the same prices."""
        name = short_symbol(frame.key.symbol)
        self.candles[name, frame.key.timeframe] = frame
        self.mark[name, frame.key.timeframe] = frame
        if funding is not None:
            self.funding[name] = funding

    @property
    def symbols(self) -> list[str]:
        """The ids traded here."""
        return sorted({name for name, _ in self.candles})


class BinanceError(Refusal):
    """An error answer: HTTP 400 with a code and a message."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__({"code": code, "msg": message})


class BinanceServer(LoopbackServer):
    """``async with BinanceServer(clock) as server:`` listens on ``server.url``."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.market = Market()
        self.most_per_page = MAX_KLINES
        self.weight_limit = WEIGHT_LIMIT
        self._weights: dict[int, int] = {}

    def routes(self) -> list[Route]:
        return [
            Route(path, lambda server, request, h=handler: h(server, request.query), _weight if "lines" in path else 1)
            for path, handler in ROUTES.items()
        ]

    def charge(self, request: Request) -> dict[str, str]:
        used = self._spend(request.weight)
        headers = {"X-MBX-USED-WEIGHT-1M": str(used)}
        if used > self.weight_limit:
            wait = 60 - self.now_ms // 1000 % 60
            body = {"code": -1003, "msg": "Too many requests; current limit is 2400 request weight per 1 MINUTE."}
            raise Refusal(body, 429, {**headers, "Retry-After": str(wait)})
        return headers

    def _spend(self, weight: int) -> int:
        minute = self.now_ms // MINUTE_MS
        self._weights[minute] = self._weights.get(minute, 0) + weight
        return self._weights[minute]


def _weight(query: dict[str, str]) -> int:
    limit = int(query.get("limit", 500))
    return 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10


def _ping(_: BinanceServer, __: dict[str, str]) -> dict[str, Any]:
    return {}


def _time(server: BinanceServer, _: dict[str, str]) -> dict[str, Any]:
    return {"serverTime": server.now_ms}


def _exchange_info(server: BinanceServer, _: dict[str, str]) -> dict[str, Any]:
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": WEIGHT_LIMIT}]
    assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-100"}]
    return {
        "timezone": "UTC", "serverTime": server.now_ms, "futuresType": "U_MARGINED", "rateLimits": limits,
        "exchangeFilters": [], "assets": assets, "symbols": [_symbol(name) for name in server.market.symbols],
    }  # fmt: skip


def _symbol(name: str) -> dict[str, Any]:
    rules = next(r for r in INSTRUMENTS.values() if short_symbol(r.symbol) == name)
    base, tick, lot = name.removesuffix("USDT"), str(rules.tick), str(rules.lot)
    return {
        "symbol": name, "pair": name, "contractType": "PERPETUAL", "deliveryDate": PERPETUAL_END,
        "onboardDate": 1569398400000, "status": "TRADING", "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000", "baseAsset": base, "quoteAsset": "USDT", "marginAsset": "USDT",
        "pricePrecision": 2, "quantityPrecision": 3, "baseAssetPrecision": 8, "quotePrecision": 8,
        "underlyingType": "COIN", "underlyingSubType": [], "settlePlan": 0, "triggerProtect": "0.0500",
        "liquidationFee": "0.012500", "marketTakeBound": "0.05",
        "filters": [
            {"minPrice": tick, "maxPrice": "4529764", "filterType": "PRICE_FILTER", "tickSize": f"{tick}0"},
            {"stepSize": lot, "filterType": "LOT_SIZE", "maxQty": "1000", "minQty": lot},
            {"stepSize": lot, "filterType": "MARKET_LOT_SIZE", "maxQty": "120", "minQty": lot},
            {"limit": 200, "filterType": "MAX_NUM_ORDERS"},
            {"limit": 10, "filterType": "MAX_NUM_ALGO_ORDERS"},
            {"notional": f"{rules.min_notional:g}", "filterType": "MIN_NOTIONAL"},
            {"multiplierDown": "0.9500", "multiplierUp": "1.0500", "multiplierDecimal": "4",
             "filterType": "PERCENT_PRICE"},
        ],
        "orderTypes": ORDER_TYPES, "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }  # fmt: skip


def _series_of(server: BinanceServer, query: dict[str, str], held: dict[tuple[str, str], Frame]) -> Frame:
    if query.get("symbol") not in server.market.symbols:
        raise BinanceError(-1121, "Invalid symbol.")
    frame = held.get((query["symbol"], query.get("interval", "")))
    if frame is None:
        raise BinanceError(-1120, "Invalid interval.")
    return frame


def _klines(server: BinanceServer, query: dict[str, str], mark: bool = False) -> list[list[Any]]:
    """Bars from ``startTime`` on (the newest ones without it), the forming bar included, as the exchange has it."""
    frame = _series_of(server, query, server.market.mark if mark else server.market.candles)
    limit = int(query.get("limit", 500))
    if not 1 <= limit <= MAX_KLINES:
        raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
    step = timeframe_ms(frame.key.timeframe)
    end = min(int(query.get("endTime", server.now_ms)), server.now_ms)
    shown = frame.between(int(query.get("startTime", 0)), end + 1)
    limit = min(limit, server.most_per_page)
    shown = shown.slice(0, limit) if "startTime" in query else shown.slice(max(0, len(shown) - limit), len(shown))
    return [_kline(shown, i, step, mark) for i in range(len(shown))]


def _kline(frame: Frame, i: int, step: int, mark: bool) -> list[Any]:
    time = int(frame.open_time[i])
    prices = [f"{getattr(frame, n)[i]:.8f}" for n in ("open", "high", "low", "close")]
    if mark:
        return [time, *prices, "0", time + step - 1, "0", 60, "0", "0", "0"]
    volume = float(frame.volume[i])
    return [time, *prices, f"{volume:.3f}", time + step - 1, f"{volume * float(prices[3]):.5f}", 100,
            f"{volume / 2:.3f}", f"{volume / 2 * float(prices[3]):.5f}", "0"]  # fmt: skip


def _mark_klines(server: BinanceServer, query: dict[str, str]) -> list[list[Any]]:
    return _klines(server, query, mark=True)


def _funding_rate(server: BinanceServer, query: dict[str, str]) -> list[dict[str, Any]]:
    """Settlements in order of time; recorded times lag by some milliseconds."""
    held = server.market.funding.get(query.get("symbol", ""))
    if held is None:
        raise BinanceError(-1121, "Invalid symbol.")
    limit = min(int(query.get("limit", 100)), MAX_FUNDING, server.most_per_page)
    lag = np.arange(len(held)) % 3
    times = held.time + lag
    end = min(int(query.get("endTime", server.now_ms)), server.now_ms)
    inside = np.flatnonzero((times >= int(query.get("startTime", 0))) & (times <= end))
    inside = inside[:limit] if "startTime" in query else inside[-limit:]
    return [
        {
            "symbol": query["symbol"],
            "fundingTime": int(times[i]),
            "fundingRate": f"{held.rate[i]:.8f}",
            "markPrice": f"{held.mark_price[i]:.8f}" if np.isfinite(held.mark_price[i]) else "",
        }
        for i in inside
    ]


def _funding_info(_: BinanceServer, __: dict[str, str]) -> list[dict[str, Any]]:
    return []


def _premium_index(server: BinanceServer, query: dict[str, str]) -> dict[str, Any]:
    if query.get("symbol") not in server.market.symbols:
        raise BinanceError(-1121, "Invalid symbol.")
    frame = next(f for (name, _), f in server.market.candles.items() if name == query["symbol"])
    price = f"{frame.between(0, server.now_ms).close[-1]:.8f}"
    eight = 8 * 60 * MINUTE_MS
    return {
        "symbol": query["symbol"], "markPrice": price, "indexPrice": price, "estimatedSettlePrice": price,
        "lastFundingRate": "0.00010000", "nextFundingTime": (server.now_ms // eight + 1) * eight,
        "interestRate": "0.00010000", "time": server.now_ms,
    }  # fmt: skip


ROUTES: dict[str, Callable[[BinanceServer, dict[str, str]], Any]] = {
    "/fapi/v1/ping": _ping,
    "/fapi/v1/time": _time,
    "/fapi/v1/exchangeInfo": _exchange_info,
    "/fapi/v1/klines": _klines,
    "/fapi/v1/markPriceKlines": _mark_klines,
    "/fapi/v1/fundingRate": _funding_rate,
    "/fapi/v1/fundingInfo": _funding_info,
    "/fapi/v1/premiumIndex": _premium_index,
}


def error_body(code: int, message: str) -> str:
    """The exchange's error document."""
    return json.dumps({"code": code, "msg": message})
