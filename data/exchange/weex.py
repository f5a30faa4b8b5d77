"""What is peculiar to WEEX's USDT contracts: base coins as amounts, history and recent candles apart, no metrics.

https://www.weex.com/api-doc
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, NoReturn

from data.errors import Rejected
from data.exchange import weex_messages
from data.exchange.addresses import redirected
from data.exchange.events import BookSnapshot, MarketEvent, PremiumUpdate, Subscription, TradePrint
from data.exchange.payloads import levels, number, trade_id, unreadable
from data.exchange.quirks import Columns, Quirks
from data.exchange.stream_topics import grouped
from data.exchange.windows import Rows, first_bars, first_settlements, in_span
from data.instruments import INSTRUMENTS, MAINTENANCE_RATE, Instrument
from data.timeframes import HOUR_MS, MINUTE_MS, timeframe_ms

BOOK_LEVELS = 200
LISTS = ("Klines", "/klines", "/fundingRate", "/premiumIndex", "/trades")
FIELDS = {  # of the answers that are one object
    "/time": ("serverTime",),
    "/exchangeInfo": ("symbols",),
    "/depth": ("bids", "asks", "lastUpdateId"),
    "/openInterest": ("symbol", "openInterest"),
}
PRICES = {"ohlcv": {}, "mark": {"priceType": "MARK"}, "index": {"priceType": "INDEX"}}
RECENT = {
    "ohlcv": "contractGetCapiV3MarketKlines",
    "mark": "contractGetCapiV3MarketMarkPriceKlines",
    "index": "contractGetCapiV3MarketIndexPriceKlines",
}


class Weex(Quirks):
    """WEEX contracts; amounts are base coins whatever ``contractSize`` says, ids ``BTCUSDT`` as on its spot side."""

    name = "weex"
    options: ClassVar[Mapping[str, Any]] = {"defaultType": "swap"}
    candles_a_page = 100
    settlements_a_page = 1000
    streams_snapshots = True
    weight_per_minute = 3000  # ccxt's own pace: cost 5 a request, so ten requests a second
    codes: ClassVar[Mapping[str, str]] = {"-1046": "InvalidNonce"}
    can = frozenset(
        {
            "mark_candles", "index_candles", "premium", "open_interest", "trades", "book",
            "candle_stream", "book_stream", "trade_stream", "premium_stream",
        }
    )  # fmt: skip

    def prepare(self, exchange: Any, base_url: str | None) -> None:
        exchange.has["fetchCurrencies"] = False  # a list that nothing here needs
        if base_url is not None:
            urls = exchange.urls["api"]
            rest = {key: redirected(value, base_url) for key, value in urls.items() if key != "ws"}
            # ccxt tells its contract stream by the word in the address: without it messages count as spot
            streams = {"ws": redirected(urls["ws"], base_url, keep_host=True)} if "ws" in urls else {}
            exchange.urls["api"] = rest | streams

    def refuse_wrong_shape(self, status: int, url: str, answer: Any) -> None:
        """There is no envelope: lists where rows are due, else an object with its fields."""
        if status != 200:
            return
        path = url.split("?")[0]
        fields = next((names for end, names in FIELDS.items() if path.endswith(end)), ())
        due = list if path.endswith(LISTS) else (list, dict)
        if not isinstance(answer, due) or (fields and any(name not in answer for name in fields)):
            raise unreadable(self.name, url)

    async def server_time(self, exchange: Any) -> int:
        return int((await exchange.contractGetCapiV3MarketTime())["serverTime"])

    def instrument_of(self, exchange: Any, market: Mapping[str, Any]) -> Instrument:  # noqa: ARG002
        """Steps are given as numbers of decimals; no least value, no status: what is delisted is not listed."""
        info = market["info"]
        known = INSTRUMENTS.get(market["symbol"])
        return Instrument(
            market["symbol"],
            Decimal(1).scaleb(-int(info["pricePrecision"])),
            Decimal(1).scaleb(-int(info["quantityPrecision"])),
            min_notional=0.0,
            max_leverage=float(info["maxLeverage"]),
            maintenance_rate=known.maintenance_rate if known else MAINTENANCE_RATE,
            min_quantity=Decimal(info["minOrderSize"]),
            max_quantity=Decimal(info["maxOrderSize"]) if info.get("maxOrderSize") else None,
            market_max_quantity=Decimal(info["marketOpenLimitSize"]) if info.get("marketOpenLimitSize") else None,
            taker_fee=market.get("taker"),
            maker_fee=market.get("maker"),
        )

    async def candles(
        self, exchange: Any, symbol: str, timeframe: str, kind: str, since: int, end: int | None,
        most: int | None = None,  # noqa: ARG002
    ) -> list[list[float]]:  # fmt: skip
        """A page of the history; the newest bars come from the other place, which knows no start."""
        query = {"symbol": exchange.market_id(symbol)}

        async def history(of: str, start: int, stop: int) -> Rows:
            answer = await exchange.contractGetCapiV3MarketHistoryKlines(
                {**query, **PRICES[kind], "interval": of, "startTime": start, "endTime": stop - 1}
            )
            return in_span(_bars(answer, kind), start, stop, f"{self.name} {kind} candles")

        async def recent() -> Rows:
            answer = await getattr(exchange, RECENT[kind])(
                {**query, "interval": timeframe, "limit": self.candles_a_page}
            )
            return sorted(_bars(answer, kind))

        if end is not None:
            return await first_bars(history, timeframe, since, end, self.candles_a_page)
        rows = await recent()
        if rows and rows[0][0] <= since:
            return [row for row in rows if row[0] >= since]
        stop = since + self.candles_a_page * timeframe_ms(timeframe)
        return await history(timeframe, since, stop) or [row for row in rows if row[0] >= since]

    async def settlements(self, exchange: Any, symbol: str, since: int, end: int) -> list[list[float]]:
        async def ask(start: int, stop: int) -> Rows:
            answer = await exchange.contractGetCapiV3MarketFundingRate(
                {
                    "symbol": exchange.market_id(symbol), "startTime": start, "endTime": stop - 1,
                    "limit": self.settlements_a_page,
                }
            )  # fmt: skip
            rows = [[int(r["fundingTime"]), float(r["fundingRate"]), number(r.get("markPrice"))] for r in answer]
            return in_span(rows, start, stop, f"{self.name} settlements")

        span = (self.settlements_a_page - 1) * 8 * HOUR_MS
        return await first_settlements(ask, since, end, span, self.settlements_a_page)

    async def premium(self, exchange: Any, symbol: str, now_ms: int) -> PremiumUpdate:
        """The rate that is being built up is the forecast; ``lastFundingRate`` is the one already paid."""
        answer = await exchange.contractGetCapiV3MarketPremiumIndex({"symbol": exchange.market_id(symbol)})
        row = next(r for r in answer if r["symbol"] == exchange.market_id(symbol))
        minutes = row.get("collectCycle")
        return PremiumUpdate(
            symbol,
            number(row["markPrice"]),
            number(row["indexPrice"]),
            number(row["forecastFundingRate"]),
            int(row["nextFundingTime"] or 0) or None,
            int(minutes) * MINUTE_MS if minutes else None,
            int(row["time"]),
            now_ms,
        )

    async def metrics(self, *_: object) -> Columns:
        self._lacks("history of open interest and ratios")

    async def recent_trades(self, exchange: Any, symbol: str, limit: int, now_ms: int) -> list[TradePrint]:
        """The order in the answer is not documented, so it is made here."""
        rows = await exchange.contractGetCapiV3MarketTrades(
            {"symbol": exchange.market_id(symbol), "limit": min(limit, 1000)}
        )
        prints = [
            TradePrint(
                symbol, trade_id(r["id"]), float(r["price"]), float(r["qty"]), -1 if r["isBuyerMaker"] else 1,
                int(r["time"]), now_ms,
            )
            for r in rows
        ]  # fmt: skip
        return sorted(prints, key=lambda trade: trade.time_ms)

    async def book_snapshot(self, exchange: Any, symbol: str, now_ms: int) -> BookSnapshot:
        book = await exchange.contractGetCapiV3MarketDepth({"symbol": exchange.market_id(symbol), "limit": BOOK_LEVELS})
        bids, asks = levels(book["bids"], bids=True), levels(book["asks"], bids=False)
        return BookSnapshot(symbol, int(book["lastUpdateId"]), bids, asks, now_ms, now_ms)

    async def watch(self, exchange: Any, subscription: Subscription) -> None:
        await weex_messages.watch_all(exchange, (subscription,))

    def stream_groups(self, subscriptions: Sequence[Subscription]) -> list[tuple[Subscription, ...]]:
        return grouped(subscriptions, weex_messages.socket_of)

    async def watch_all(self, exchange: Any, subscriptions: Sequence[Subscription]) -> None:
        await weex_messages.watch_all(exchange, subscriptions)

    async def unwatch(self, exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
        return await weex_messages.unwatch(exchange, subscriptions)

    def read_message(self, exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
        return weex_messages.read_message(exchange, message, received_ms)

    def _lacks(self, what: str) -> NoReturn:
        raise Rejected(f"{self.name} does not offer a {what}.")


def _bars(answer: Any, kind: str) -> Rows:
    return [[int(r[0]), *map(float, r[1:5]), float(r[5]) if kind == "ohlcv" else 0.0] for r in answer]
