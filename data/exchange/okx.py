"""What is peculiar to OKX's USDT swaps: amounts in contracts, newest rows first, two places for candles.

https://www.okx.com/docs-v5/en/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import numpy as np

from data.exchange import okx_messages
from data.exchange.addresses import redirected
from data.exchange.events import BookSnapshot, MarketEvent, PremiumUpdate, Subscription, TradePrint
from data.exchange.okx_messages import BARS
from data.exchange.payloads import (
    SIDES,
    contract_unit,
    interval_name,
    levels,
    metric_columns,
    number,
    ratio,
    scaled,
    trade_id,
    unreadable,
)
from data.exchange.premium_memory import PremiumMemory
from data.exchange.quirks import Columns, Quirks
from data.exchange.stream_topics import grouped
from data.exchange.windows import Rows, first_bars, first_settlements, in_span
from data.instruments import INSTRUMENTS, MAINTENANCE_RATE, Instrument, LeverageTier, Status
from data.timeframes import DAY_MS, HOUR_MS, timeframe_ms

METRIC_PERIODS = {name: bar for name, bar in BARS.items() if name != "1m"}
PRICE_BARS_A_PAGE = 100  # of mark and index
BOOK_LEVELS = 400
HISTORY = {
    "ohlcv": "publicGetMarketHistoryCandles",
    "mark": "publicGetMarketHistoryMarkPriceCandles",
    "index": "publicGetMarketHistoryIndexCandles",
}
RECENT = {  # the last 1,440 bars, the forming one among them
    "ohlcv": "publicGetMarketCandles",
    "mark": "publicGetMarketMarkPriceCandles",
    "index": "publicGetMarketIndexCandles",
}
RATIOS = {
    "account_ratio": "publicGetRubikStatContractsLongShortAccountRatioContract",
    "top_account_ratio": "publicGetRubikStatContractsLongShortAccountRatioContractTopTrader",
    "top_position_ratio": "publicGetRubikStatContractsLongShortPositionRatioContractTopTrader",
}
STATUS: dict[str, Status] = {"live": "trading", "preopen": "settling", "suspend": "settling", "expired": "delisted"}


class Okx(Quirks):
    """OKX linear swaps; the exchange counts in contracts (0.01 BTC), everything here is base units."""

    name = "okx"
    options: ClassVar[Mapping[str, Any]] = {"defaultType": "swap", "fetchMarkets": {"types": ["swap"]}}
    candles_a_page = 300
    settlements_a_page = 100
    weight_per_minute = 545  # ccxt's own pace: one in 110 ms
    burst_weight = 10.0  # the exchange counts 20 requests in two seconds
    streams_snapshots = True
    consecutive_trades = True  # of the channel that tells each trade by itself
    metrics_a_page = 100
    metrics_span_ms = 180 * DAY_MS  # nobody says how far back; older is not asked for
    codes: ClassVar[Mapping[str, str]] = {"50061": "RateLimitExceeded"}
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
        # what ccxt does at the answer to an unsubscription fails where it has kept no data itself
        exchange.handle_unsubscription = lambda *_: None
        if base_url is not None:
            exchange.urls["api"] = redirected(exchange.urls["api"], base_url)

    def refuse_wrong_shape(self, status: int, url: str, answer: Any) -> None:
        """The envelope must hold a list, of the instrument that was asked for where the rows name one."""
        if status != 200:
            return
        rows = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise unreadable(self.name, url)
        asked = parse_qs(urlsplit(url).query).get("instId", [None])[0]
        named = {row.get("instId") for row in rows if isinstance(row, dict)} - {None}
        if asked and named - {asked}:
            raise unreadable(self.name, url)

    async def server_time(self, exchange: Any) -> int:
        return int((await exchange.publicGetPublicTime())["data"][0]["ts"])

    def instrument_of(self, exchange: Any, market: Mapping[str, Any]) -> Instrument:  # noqa: ARG002
        """Sizes of contracts as base units; a swap with an expiry is taken offline then: no new positions."""
        info, unit = market["info"], contract_unit(market)
        known = INSTRUMENTS.get(market["symbol"])
        status = STATUS.get(info["state"], "settling")
        if status == "trading" and info.get("expTime"):
            status = "settling"
        return Instrument(
            market["symbol"],
            Decimal(info["tickSz"]).normalize(),
            (Decimal(info["lotSz"]) * unit).normalize(),
            min_notional=0.0,  # the least size is the only floor
            max_leverage=float(info["lever"]),
            maintenance_rate=known.maintenance_rate if known else MAINTENANCE_RATE,
            status=status,
            min_quantity=(Decimal(info["minSz"]) * unit).normalize(),
            max_quantity=Decimal(info["maxLmtSz"]) * unit if info.get("maxLmtSz") else None,
            market_max_quantity=Decimal(info["maxMktSz"]) * unit if info.get("maxMktSz") else None,
            taker_fee=market.get("taker"),
            maker_fee=market.get("maker"),
        )

    async def tiers(self, exchange: Any, symbol: str) -> tuple[LeverageTier, ...]:
        """The isolated tiers. They are counted in contracts, so their values hold at the mark price of now."""
        market = exchange.market(symbol)
        query = {"instType": "SWAP", "tdMode": "isolated", "instFamily": market["info"]["instFamily"]}
        rows = (await exchange.publicGetPublicPositionTiers(query))["data"]
        price = await self._mark_price(exchange, symbol)
        unit = contract_unit(market)
        ordered = sorted(rows, key=lambda row: float(row["minSz"]))
        return tuple(
            LeverageTier(
                0.0 if place == 0 else scaled(ordered[place - 1]["maxSz"], unit) * price,
                scaled(row["maxSz"], unit) * price,
                float(row["maxLever"]),
                float(row["mmr"]),
            )
            for place, row in enumerate(ordered)
        )

    async def candles(
        self, exchange: Any, symbol: str, timeframe: str, kind: str, since: int, end: int | None,
        most: int | None = None,  # noqa: ARG002
    ) -> list[list[float]]:  # fmt: skip
        """One page of the history, or of the recent bars where the history ends (it lags behind by some)."""
        interval_name(BARS, timeframe, self.name)
        step, market = timeframe_ms(timeframe), exchange.market(symbol)
        bars_a_page = self.candles_a_page if kind == "ohlcv" else PRICE_BARS_A_PAGE

        async def page(place: Mapping[str, str], of: str, start: int, stop: int) -> Rows:
            query = {
                "instId": market["info"]["instFamily"] if kind == "index" else market["id"],
                "bar": BARS[of], "before": start - 1, "after": stop, "limit": bars_a_page,
            }  # fmt: skip
            answer = await getattr(exchange, place[kind])(query)
            rows = [[int(r[0]), *map(float, r[1:5]), float(r[6]) if kind == "ohlcv" else 0.0] for r in answer["data"]]
            return in_span(rows, start, stop, f"{self.name} {kind} candles")

        async def ask(of: str, start: int, stop: int) -> Rows:
            return await page(HISTORY, of, start, stop) or await page(RECENT, of, start, stop)

        if end is None:
            end = since + bars_a_page * step
            rows = await page(RECENT, timeframe, since, end)
            if rows and rows[0][0] < since + step:
                return rows
        created = int(market.get("created") or 0)
        return await first_bars(ask, timeframe, max(since, created // step * step), end, bars_a_page)

    async def settlements(self, exchange: Any, symbol: str, since: int, end: int) -> list[list[float]]:
        """The rate that was really exchanged; about three months are kept, without mark prices."""
        market = exchange.market(symbol)

        async def ask(start: int, stop: int) -> Rows:
            query = {
                "instId": market["id"], "before": start - 1, "after": stop, "limit": self.settlements_a_page,
            }  # fmt: skip
            answer = await exchange.publicGetPublicFundingRateHistory(query)
            rows = [
                [int(r["fundingTime"]), float(r.get("realizedRate") or r["fundingRate"]), np.nan]
                for r in answer["data"]
            ]
            return in_span(rows, start, stop, f"{self.name} settlements")

        span = (self.settlements_a_page - 1) * 8 * HOUR_MS
        start = max(since, int(market.get("created") or 0))
        return await first_settlements(ask, start, end, span, self.settlements_a_page)

    async def premium(self, exchange: Any, symbol: str, now_ms: int) -> PremiumUpdate:
        """Three answers: the rate being built up, the mark price, the index. The interval lies between two times."""
        market = exchange.market(symbol)
        rate = (await exchange.publicGetPublicFundingRate({"instId": market["id"]}))["data"][0]
        index = (await exchange.publicGetMarketIndexTickers({"instId": market["info"]["instFamily"]}))["data"][0]
        return okx_messages.funding_of(
            symbol, rate, await self._mark_price(exchange, symbol), number(index["idxPx"]), int(index["ts"]), now_ms
        )

    async def metrics(self, exchange: Any, symbol: str, timeframe: str, since: int, end: int) -> Columns:
        """Five answers of one span, joined by time. Both bounds are exclusive at the exchange."""
        period = interval_name(METRIC_PERIODS, timeframe, self.name, "open interest")
        stop = min(end, since + self.metrics_a_page * timeframe_ms(timeframe))
        query = {
            "instId": exchange.market_id(symbol), "period": period, "begin": since - 1, "end": stop,
            "limit": self.metrics_a_page,
        }  # fmt: skip
        interest = (await exchange.publicGetRubikStatContractsOpenInterestHistory(query))["data"]
        columns: dict[str, dict[int, float]] = {
            "open_interest": {int(r[0]): number(r[2]) for r in interest},
            "open_interest_value": {int(r[0]): number(r[3]) for r in interest},
        }
        for name, call in RATIOS.items():
            columns[name] = {int(r[0]): number(r[1]) for r in (await getattr(exchange, call)(query))["data"]}
        taker = (await exchange.publicGetRubikStatTakerVolumeContract(query))["data"]  # time, sold, bought
        columns["taker_ratio"] = {int(r[0]): ratio(r[2], r[1]) for r in taker}
        return metric_columns(columns, since, stop, self.name)

    async def open_interest(self, exchange: Any, symbol: str, now_ms: int) -> tuple[int, float, float]:  # noqa: ARG002
        query = {"instType": "SWAP", "instId": exchange.market_id(symbol)}
        row = (await exchange.publicGetPublicOpenInterest(query))["data"][0]
        return int(row["ts"]), float(row["oiCcy"]), number(row.get("oiUsd"))

    async def recent_trades(self, exchange: Any, symbol: str, limit: int, now_ms: int) -> list[TradePrint]:
        market = exchange.market(symbol)
        answer = await exchange.publicGetMarketTrades({"instId": market["id"], "limit": min(limit, 500)})
        unit = contract_unit(market)
        return [
            TradePrint(
                symbol, trade_id(r["tradeId"]), float(r["px"]), scaled(r["sz"], unit), SIDES[r["side"]], int(r["ts"]),
                now_ms,
            )
            for r in reversed(answer["data"])
        ]  # fmt: skip

    async def book_snapshot(self, exchange: Any, symbol: str, now_ms: int) -> BookSnapshot:
        """A look at the book; the stream's own first message is its snapshot."""
        market = exchange.market(symbol)
        book = (await exchange.publicGetMarketBooks({"instId": market["id"], "sz": BOOK_LEVELS}))["data"][0]
        unit = contract_unit(market)
        bids, asks = levels(book["bids"], unit, bids=True), levels(book["asks"], unit, bids=False)
        return BookSnapshot(symbol, int(book.get("seqId") or 0), bids, asks, int(book["ts"]), now_ms)

    async def watch(self, exchange: Any, subscription: Subscription) -> None:
        await okx_messages.watch_all(exchange, (subscription,))

    def stream_groups(self, subscriptions: Sequence[Subscription]) -> list[tuple[Subscription, ...]]:
        return grouped(subscriptions, okx_messages.socket_of)

    async def watch_all(self, exchange: Any, subscriptions: Sequence[Subscription]) -> None:
        await okx_messages.watch_all(exchange, subscriptions)

    async def unwatch(self, exchange: Any, subscriptions: Sequence[Subscription]) -> bool:
        return await okx_messages.unwatch(exchange, subscriptions)

    def read_message(self, exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
        return self._premium.filled(okx_messages.read_message(exchange, message, received_ms))

    async def _mark_price(self, exchange: Any, symbol: str) -> float:
        query = {"instType": "SWAP", "instId": exchange.market_id(symbol)}
        return float((await exchange.publicGetPublicMarkPrice(query))["data"][0]["markPx"])
