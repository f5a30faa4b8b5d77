"""What is peculiar to Binance USD-M futures.

https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import numpy as np

from data.errors import Retryable
from data.exchange import binance_messages
from data.exchange.addresses import redirected
from data.exchange.events import BookSnapshot, MarketEvent, PremiumUpdate, Subscription, TradePrint
from data.exchange.quirks import Columns, Quirks
from data.instruments import INSTRUMENTS, LIQUIDATION_FEE, MAINTENANCE_RATE, MIN_NOTIONAL, Instrument, Status
from data.timeframes import MINUTE_MS, timeframe_ms

HOUR_MS = 60 * MINUTE_MS
BOOK_LEVELS = 1000
LIST_ANSWERS = (
    "lines", "/fundingRate", "/fundingInfo", "/aggTrades", "/openInterestHist", "LongShortAccountRatio",
    "LongShortPositionRatio", "/takerlongshortRatio",
)  # fmt: skip
METRICS = (  # call, {field: column of METRIC_COLUMNS}
    ("fapiDataGetOpenInterestHist", {"sumOpenInterest": 0, "sumOpenInterestValue": 1}),
    ("fapiDataGetTopLongShortAccountRatio", {"longShortRatio": 2}),
    ("fapiDataGetTopLongShortPositionRatio", {"longShortRatio": 3}),
    ("fapiDataGetGlobalLongShortAccountRatio", {"longShortRatio": 4}),
    ("fapiDataGetTakerlongshortRatio", {"buySellRatio": 5}),
)
# Requests a minute that have limits of their own beside the weight: they are charged so much weight that the weight
# runs out first. 500 in five minutes for funding, 1,000 in five minutes for /futures/data.
OWN_LIMITS = {"fundingRate": 100, "fundingInfo": 100}
FUTURES_DATA_LIMIT = 200
STATUS: dict[str, Status] = {"TRADING": "trading", "PENDING_TRADING": "trading", "CLOSE": "delisted"}


class BinanceUsdm(Quirks):
    """Binance USD-M futures; amounts are base units, ids ``BTCUSDT``."""

    name = "binanceusdm"
    options: ClassVar[Mapping[str, Any]] = {"fetchCurrencies": False, "warnOnFetchOpenOrdersWithoutSymbol": False}
    candles_a_page = 1000
    settlements_a_page = 1000
    weight_per_minute = 2400
    consecutive_trades = True  # aggregated ones
    metrics_a_page = 500
    metrics_span_ms = 30 * 24 * HOUR_MS
    default_interval_ms = 8 * HOUR_MS
    codes: ClassVar[Mapping[str, str]] = {"-5028": "InvalidNonce"}  # the time, as the matching engine sees it
    can = frozenset(
        {
            "mark_candles", "index_candles", "premium", "metrics_history", "open_interest", "trades", "book",
            "liquidations_stream", "candle_stream", "book_stream", "trade_stream", "premium_stream",
        }
    )  # fmt: skip

    def prepare(self, exchange: Any, base_url: str | None) -> None:
        if base_url is not None:
            exchange.urls["api"] = redirected(exchange.urls["api"], base_url)
        # The futures table of errors whatever the host is called (ccxt looks at the real host name).
        table = exchange.exceptions["linear"]
        exchange.get_exceptions_by_url = lambda _url, kind: table.get(kind, {})
        exchange.calculate_rate_limiter_cost = _costs(exchange.calculate_rate_limiter_cost, self.weight_per_minute)

    def refuse_wrong_shape(self, status: int, url: str, answer: Any) -> None:
        if status != 200:
            return
        path = url.split("?")[0]
        due = list if path.endswith(LIST_ANSWERS) else (list, dict)
        if not isinstance(answer, due) or (isinstance(answer, list) and not _rows_fit(path, url, answer)):
            endpoint = path.rsplit("/", 1)[-1]
            raise Retryable(f"binanceusdm sent an answer to {endpoint} that cannot be read.")

    def used_weight(self, headers: Mapping[str, str]) -> float | None:
        written = headers.get("x-mbx-used-weight-1m")
        return float(written) if written is not None else None

    async def ping(self, exchange: Any) -> None:
        await exchange.fapiPublicGetPing()

    async def server_time(self, exchange: Any) -> int:
        return int((await exchange.fapiPublicGetTime())["serverTime"])

    async def intervals(self, exchange: Any) -> Mapping[str, int]:
        rows = await exchange.fapiPublicGetFundingInfo()
        return {str(row["symbol"]): int(row["fundingIntervalHours"]) * HOUR_MS for row in rows}

    def instrument_of(self, exchange: Any, market: Mapping[str, Any]) -> Instrument:  # noqa: ARG002
        """Maintenance comes from our table, because the public answer holds no tiers."""
        symbol = str(market["symbol"])
        known = INSTRUMENTS.get(symbol)
        info = market.get("info") or {}
        filters = {f.get("filterType"): f for f in info.get("filters", ())}
        lots, market_lots = filters.get("LOT_SIZE", {}), filters.get("MARKET_LOT_SIZE", {})
        least = ((market.get("limits") or {}).get("cost") or {}).get("min")
        fee = info.get("liquidationFee")
        return Instrument(
            symbol,
            _decimal(filters.get("PRICE_FILTER", {}).get("tickSize") or market["precision"]["price"]),
            _decimal(lots.get("stepSize") or market["precision"]["amount"]),
            min_notional=float(least) if least else (known.min_notional if known else MIN_NOTIONAL),
            maintenance_rate=known.maintenance_rate if known else MAINTENANCE_RATE,
            liquidation_fee=float(fee) if fee else LIQUIDATION_FEE,
            contract_size=float(market.get("contractSize") or 1.0),
            status=STATUS.get(str(info.get("status", "TRADING")), "settling"),
            min_quantity=_decimal(lots.get("minQty") or 0),
            max_quantity=_decimal(lots["maxQty"]) if lots.get("maxQty") else None,
            market_max_quantity=_decimal(market_lots["maxQty"]) if market_lots.get("maxQty") else None,
            taker_fee=market.get("taker"),
            maker_fee=market.get("maker"),
        )

    async def candles(
        self, exchange: Any, symbol: str, timeframe: str, kind: str, since: int, end: int | None,
        most: int | None = None,
    ) -> list[list[float]]:  # fmt: skip
        params: dict[str, Any] = {} if kind == "ohlcv" else {"price": kind}
        if end is not None:
            params["until"] = end - 1
        limit = self.candles_a_page if most is None else min(self.candles_a_page, most)  # below 100 rows weigh 1, not 5
        rows: list[list[float]] = await exchange.fetch_ohlcv(symbol, timeframe, since, limit, params)
        return rows if kind == "ohlcv" else [[*row[:5], 0.0] for row in rows]

    async def settlements(self, exchange: Any, symbol: str, since: int, end: int) -> list[list[float]]:
        rows = await exchange.fetch_funding_rate_history(symbol, since, self.settlements_a_page, {"until": end - 1})
        return [[r["timestamp"], r["fundingRate"], r["info"].get("markPrice") or np.nan] for r in rows]

    async def premium(self, exchange: Any, symbol: str, now_ms: int) -> PremiumUpdate:
        row = await exchange.fapiPublicGetPremiumIndex({"symbol": exchange.market_id(symbol)})
        return PremiumUpdate(
            symbol,
            _number(row["markPrice"]),
            _number(row["indexPrice"]),
            _number(row["lastFundingRate"]),
            int(row["nextFundingTime"]) or None,
            None,
            int(row["time"]),
            now_ms,
        )

    async def metrics(self, exchange: Any, symbol: str, timeframe: str, since: int, end: int) -> Columns:
        """Five answers of one span, joined by time: the exchange has no single one."""
        last = min(end, since + self.metrics_a_page * timeframe_ms(timeframe)) - 1
        query = {
            "symbol": exchange.market_id(symbol), "period": timeframe, "limit": self.metrics_a_page,
            "startTime": since, "endTime": last,
        }  # fmt: skip
        rows: dict[int, list[float]] = {}
        for call, fields in METRICS:
            for answer in await getattr(exchange, call)(query):
                row = rows.setdefault(int(answer["timestamp"]), [np.nan] * 6)
                for field, column in fields.items():
                    row[column] = _number(answer[field])
        times = sorted(rows)
        table = np.array([rows[time] for time in times], dtype=np.float64).reshape(len(times), 6)
        return np.array(times, dtype=np.int64), table

    async def recent_trades(self, exchange: Any, symbol: str, limit: int, now_ms: int) -> list[TradePrint]:
        rows = await exchange.fapiPublicGetAggTrades({"symbol": exchange.market_id(symbol), "limit": min(limit, 1000)})
        return [
            TradePrint(
                symbol, int(r["a"]), float(r["p"]), float(r["q"]), -1 if r["m"] in (True, "true") else 1,
                int(r["T"]), now_ms,
            )
            for r in rows
        ]  # fmt: skip

    async def book_snapshot(self, exchange: Any, symbol: str, now_ms: int) -> BookSnapshot:
        row = await exchange.fapiPublicGetDepth({"symbol": exchange.market_id(symbol), "limit": BOOK_LEVELS})
        bids, asks = (np.array(row[side], dtype=np.float64).reshape(-1, 2) for side in ("bids", "asks"))
        return BookSnapshot(symbol, int(row["lastUpdateId"]), bids, asks, int(row.get("T") or now_ms), now_ms)

    async def watch(self, exchange: Any, subscription: Subscription) -> None:
        await binance_messages.watch(exchange, subscription)

    def stream_groups(self, subscriptions: Sequence[Subscription]) -> list[tuple[Subscription, ...]]:
        return binance_messages.stream_groups(subscriptions)

    async def watch_all(self, exchange: Any, subscriptions: Sequence[Subscription]) -> None:
        await binance_messages.watch_all(exchange, subscriptions)

    async def unwatch(self, exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
        return await binance_messages.unwatch(exchange, subscriptions)

    def read_message(self, exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
        return binance_messages.read_message(exchange, message, received_ms)


def _costs(original: Any, weight_per_minute: int) -> Any:
    def cost(api: Any, method: Any, path: str, params: Any, config: Any = None) -> float:
        if "fapiData" in (api if isinstance(api, list) else [api]):
            return weight_per_minute / FUTURES_DATA_LIMIT
        if path in OWN_LIMITS:
            return weight_per_minute / OWN_LIMITS[path]
        return float(original(api, method, path, params, config or {}))

    return cost


def _rows_fit(path: str, url: str, rows: list[Any]) -> bool:
    """Do the rows carry times of the span that was asked for? ccxt would drop others without a word."""
    time: str | int
    if path.endswith("lines"):
        time = 0
    elif path.endswith("/fundingRate"):
        time = "fundingTime"
    elif "/futures/data/" in path:
        time = "timestamp"
    else:
        return True
    query = parse_qs(urlsplit(url).query)
    start, end = int(query.get("startTime", ["0"])[0]), int(query.get("endTime", ["9" * 18])[0])
    try:
        return all(start <= int(row[time]) <= end for row in rows)
    except (TypeError, ValueError, KeyError, IndexError):
        return False


def _number(written: Any) -> float:
    """A number, NaN where the exchange says nothing."""
    return float(written) if written not in (None, "") else float("nan")


def _decimal(written: Any) -> Decimal:
    """An exact decimal (``0.10`` is ``0.1``, ``1000`` stays)."""
    try:
        return Decimal(f"{Decimal(str(written)).normalize():f}")
    except InvalidOperation:
        raise Retryable(f"binanceusdm sent a rule that is no number: {written!r}.") from None
