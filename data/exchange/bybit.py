"""What is peculiar to Bybit's USDT perpetuals: envelopes, newest rows first, windows instead of pages.

https://bybit-exchange.github.io/docs/v5/intro
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import numpy as np

from data.exchange import bybit_messages
from data.exchange.addresses import redirected
from data.exchange.events import BookSnapshot, MarketEvent, PremiumUpdate, Subscription, TradePrint
from data.exchange.payloads import SIDES, interval_name, levels, metric_columns, number, ratio, trade_id, unreadable
from data.exchange.premium_memory import PremiumMemory
from data.exchange.quirks import Columns, Quirks
from data.exchange.stream_topics import grouped
from data.exchange.windows import Rows, first_bars, first_settlements, in_span
from data.instruments import INSTRUMENTS, MAINTENANCE_RATE, Instrument, LeverageTier, Status
from data.timeframes import HOUR_MS, MINUTE_MS, timeframe_ms

BOOK_LEVELS = 200
NO_LIST = ("/time", "/orderbook")  # answers whose result is one object
METRIC_PERIODS = {"5m": "5min", "15m": "15min", "1h": "1h", "4h": "4h", "1d": "1d"}
KLINES = {
    "ohlcv": "publicGetV5MarketKline",
    "mark": "publicGetV5MarketMarkPriceKline",
    "index": "publicGetV5MarketIndexPriceKline",
}
STATUS: dict[str, Status] = {"Trading": "trading", "PreLaunch": "settling", "Settling": "settling",
                             "Delivering": "settling", "Closed": "delisted"}  # fmt: skip


class Bybit(Quirks):
    """Bybit linear perpetuals; amounts are base units, ids ``BTCUSDT``."""

    name = "bybit"
    options: ClassVar[Mapping[str, Any]] = {"defaultType": "swap", "fetchMarkets": {"types": ["linear"]}}
    candles_a_page = 1000
    settlements_a_page = 200
    weight_per_minute = 3000  # ccxt's own pace: cost 5 a request, so ten requests a second
    streams_snapshots = True
    metrics_a_page = 200
    can = frozenset(
        {
            "mark_candles", "index_candles", "premium", "metrics_history", "open_interest", "trades", "book",
            "liquidations_stream", "candle_stream", "book_stream", "trade_stream", "premium_stream",
        }
    )  # fmt: skip

    def __init__(self) -> None:
        self._premium = PremiumMemory()

    def prepare(self, exchange: Any, base_url: str | None) -> None:
        exchange.has["fetchCurrencies"] = False  # wants keys
        if base_url is not None:
            exchange.urls["api"] = redirected(exchange.urls["api"], base_url)

    def refuse_wrong_shape(self, status: int, url: str, answer: Any) -> None:
        """The envelope must hold what was asked for, and of the symbol that was asked for."""
        if status != 200:
            return
        result = answer.get("result") if isinstance(answer, dict) else None
        if not isinstance(result, dict):
            raise unreadable(self.name, url)
        parts = urlsplit(url)
        asked = parse_qs(parts.query).get("symbol", [None])[0]
        if parts.path.endswith(NO_LIST):
            return
        if not isinstance(result.get("list"), list) or (asked and result.get("symbol") not in (None, asked)):
            raise unreadable(self.name, url)

    async def server_time(self, exchange: Any) -> int:
        return int((await exchange.publicGetV5MarketTime())["time"])

    def instrument_of(self, exchange: Any, market: Mapping[str, Any]) -> Instrument:  # noqa: ARG002
        """A perpetual with a delivery time is to be delisted at that time: no new positions."""
        info = market["info"]
        lots, known = info["lotSizeFilter"], INSTRUMENTS.get(market["symbol"])
        status = STATUS.get(info["status"], "settling")
        if status == "trading" and int(info.get("deliveryTime") or 0):
            status = "settling"
        return Instrument(
            market["symbol"],
            Decimal(info["priceFilter"]["tickSize"]).normalize(),
            Decimal(lots["qtyStep"]).normalize(),
            min_notional=float(lots.get("minNotionalValue") or (known.min_notional if known else 5.0)),
            max_leverage=float(info["leverageFilter"]["maxLeverage"]),
            maintenance_rate=known.maintenance_rate if known else MAINTENANCE_RATE,
            status=status,
            min_quantity=Decimal(lots["minOrderQty"]),
            max_quantity=Decimal(lots["maxOrderQty"]),
            market_max_quantity=Decimal(lots["maxMktOrderQty"]) if lots.get("maxMktOrderQty") else None,
            taker_fee=market.get("taker"),
            maker_fee=market.get("maker"),
        )

    async def tiers(self, exchange: Any, symbol: str) -> tuple[LeverageTier, ...]:
        """The risk limits, by value; ``mmDeduction`` is the amount that makes margin grow without steps."""
        result = await self._result(exchange.publicGetV5MarketRiskLimit, exchange, symbol)
        rows = sorted(result["list"], key=lambda row: float(row["riskLimitValue"]))
        caps = [float(row["riskLimitValue"]) for row in rows]
        return tuple(
            LeverageTier(
                floor, float(row["riskLimitValue"]), float(row["maxLeverage"]), float(row["maintenanceMargin"]),
                float(row.get("mmDeduction") or 0.0),
            )
            for floor, row in zip([0.0, *caps], rows, strict=False)
        )  # fmt: skip

    async def candles(
        self, exchange: Any, symbol: str, timeframe: str, kind: str, since: int, end: int | None,
        most: int | None = None,  # noqa: ARG002
    ) -> list[list[float]]:  # fmt: skip
        """One page; more requests only where the exchange shows nothing, or less than the whole span."""
        interval_name(exchange.timeframes, timeframe, self.name)

        async def ask(of: str, start: int, stop: int) -> Rows:
            result = await self._result(
                getattr(exchange, KLINES[kind]), exchange, symbol,
                interval=exchange.timeframes[of], start=start, end=stop - 1, limit=self.candles_a_page,
            )  # fmt: skip
            rows = [[int(r[0]), *map(float, r[1:5]), float(r[5]) if kind == "ohlcv" else 0.0] for r in result["list"]]
            return in_span(rows, start, stop, f"{self.name} {kind} candles")

        created = int(exchange.market(symbol).get("created") or 0)
        step = timeframe_ms(timeframe)
        if end is None:
            return await ask(timeframe, since, since + self.candles_a_page * step)
        return await first_bars(ask, timeframe, max(since, created // step * step), end, self.candles_a_page)

    async def settlements(self, exchange: Any, symbol: str, since: int, end: int) -> list[list[float]]:
        """Settlements hold no mark price here. The window fits the 8 h rhythm; a faster one fills several pages."""

        async def ask(start: int, stop: int) -> Rows:
            result = await self._result(
                exchange.publicGetV5MarketFundingHistory, exchange, symbol,
                startTime=start, endTime=stop - 1, limit=self.settlements_a_page,
            )  # fmt: skip
            rows = [[int(r["fundingRateTimestamp"]), float(r["fundingRate"]), np.nan] for r in result["list"]]
            return in_span(rows, start, stop, f"{self.name} settlements")

        created = int(exchange.market(symbol).get("created") or 0)
        span = (self.settlements_a_page - 1) * 8 * HOUR_MS
        return await first_settlements(ask, max(since, created), end, span, self.settlements_a_page)

    async def premium(self, exchange: Any, symbol: str, now_ms: int) -> PremiumUpdate:
        answer = await exchange.publicGetV5MarketTickers(self._query(exchange, symbol))
        row = answer["result"]["list"][0]
        minutes = exchange.market(symbol)["info"].get("fundingInterval")
        hours = row.get("fundingIntervalHour")  # newer than the market's own figure where both are there
        interval = int(hours) * HOUR_MS if hours else int(minutes) * MINUTE_MS if minutes else None
        return PremiumUpdate(
            symbol,
            number(row["markPrice"]),
            number(row["indexPrice"]),
            number(row["fundingRate"]),
            int(row["nextFundingTime"] or 0) or None,
            interval,
            int(answer["time"]),
            now_ms,
        )

    async def metrics(self, exchange: Any, symbol: str, timeframe: str, since: int, end: int) -> Columns:
        """Open interest (base units) and the ratio of accounts, joined by time; the other ratios are not given."""
        period = interval_name(METRIC_PERIODS, timeframe, self.name, "open interest")
        stop = min(end, since + self.metrics_a_page * timeframe_ms(timeframe))
        span = {"startTime": since, "endTime": stop - 1, "limit": self.metrics_a_page}
        interest = await self._result(
            exchange.publicGetV5MarketOpenInterest, exchange, symbol, intervalTime=period, **span
        )
        accounts = await self._result(exchange.publicGetV5MarketAccountRatio, exchange, symbol, period=period, **span)
        return metric_columns(
            {
                "open_interest": {int(r["timestamp"]): number(r["openInterest"]) for r in interest["list"]},
                "account_ratio": {int(r["timestamp"]): ratio(r["buyRatio"], r["sellRatio"]) for r in accounts["list"]},
            },
            since,
            stop,
            self.name,
        )

    async def open_interest(self, exchange: Any, symbol: str, now_ms: int) -> tuple[int, float, float]:  # noqa: ARG002
        answer = await exchange.publicGetV5MarketTickers(self._query(exchange, symbol))
        row = answer["result"]["list"][0]
        return int(answer["time"]), float(row["openInterest"]), number(row.get("openInterestValue"))

    async def recent_trades(self, exchange: Any, symbol: str, limit: int, now_ms: int) -> list[TradePrint]:
        result = await self._result(exchange.publicGetV5MarketRecentTrade, exchange, symbol, limit=min(limit, 1000))
        return [
            TradePrint(
                symbol, trade_id(r["execId"]), float(r["price"]), float(r["size"]), SIDES[r["side"].lower()],
                int(r["time"]), now_ms,
            )
            for r in reversed(result["list"])
        ]  # fmt: skip

    async def book_snapshot(self, exchange: Any, symbol: str, now_ms: int) -> BookSnapshot:
        """A look at the book. Its ``u`` counts another stream than ours, whose own first message is its snapshot."""
        book = await self._result(exchange.publicGetV5MarketOrderbook, exchange, symbol, limit=BOOK_LEVELS)
        bids, asks = levels(book["b"], bids=True), levels(book["a"], bids=False)
        return BookSnapshot(symbol, int(book["u"]), bids, asks, int(book["ts"]), now_ms)

    async def watch(self, exchange: Any, subscription: Subscription) -> None:
        await bybit_messages.watch_all(exchange, (subscription,))

    def stream_groups(self, subscriptions: Sequence[Subscription]) -> list[tuple[Subscription, ...]]:
        return grouped(subscriptions, bybit_messages.socket_of)

    async def watch_all(self, exchange: Any, subscriptions: Sequence[Subscription]) -> None:
        await bybit_messages.watch_all(exchange, subscriptions)

    async def unwatch(self, exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
        return await bybit_messages.unwatch(exchange, subscriptions)

    def read_message(self, exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
        return self._premium.filled(bybit_messages.read_message(exchange, message, received_ms))

    def _query(self, exchange: Any, symbol: str, **more: Any) -> dict[str, Any]:
        return {"category": "linear", "symbol": exchange.market_id(symbol), **more}

    async def _result(self, call: Any, exchange: Any, symbol: str, **more: Any) -> Any:
        return (await call(self._query(exchange, symbol, **more)))["result"]
