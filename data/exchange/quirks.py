"""What differs between exchanges: one subclass per exchange, beside this file.

The base class speaks ccxt's unified calls; a subclass overrides what its exchange does differently (``EXCHANGES``
facts). A quirk never waits, retries or counts: that is the session's. It takes the ccxt instance, makes exactly one
request where it is ``async``, and gives the project's types. ccxt errors pass through untouched.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from data.exchange.events import BookSnapshot, MarketEvent, PremiumUpdate, Subscription, TradePrint
from data.instruments import Instrument, LeverageTier
from data.market import Float64Array, Int64Array

Columns = tuple[Int64Array, Float64Array]


class Quirks(abc.ABC):
    """Facts and calls of one exchange's USDT-margined perpetuals."""

    name: ClassVar[str]  # ccxt's id
    options: ClassVar[Mapping[str, Any]]  # constructor ``options``
    candles_a_page: ClassVar[int]
    settlements_a_page: ClassVar[int]
    weight_per_minute: ClassVar[int]  # what the exchange allows
    burst_weight: ClassVar[float] = 100.0  # of it at once, after a quiet spell
    # of: mark_candles index_candles premium metrics_history open_interest trades book liquidations_stream
    # candle_stream book_stream trade_stream premium_stream
    can: ClassVar[frozenset[str]]
    streams_snapshots: ClassVar[bool] = (
        False  # the book's stream begins with a snapshot and reports what comes into view
    )
    consecutive_trades: ClassVar[bool] = False  # a symbol's trades are numbered one by one, over stream and REST alike
    metrics_a_page: ClassVar[int] = 500  # rows of one timeframe
    metrics_span_ms: ClassVar[int | None] = None  # no older metrics are kept
    # error codes that ccxt puts into a wrong class, and the ccxt class whose meaning they have
    codes: ClassVar[Mapping[str, str]] = {}

    @abc.abstractmethod
    def prepare(self, exchange: Any, base_url: str | None) -> None:
        """After construction: point every address at ``base_url`` where one is given, mend error tables, options."""

    @abc.abstractmethod
    def refuse_wrong_shape(self, status: int, url: str, answer: Any) -> None:
        """A successful answer that cannot be what was asked for raises ``Retryable``."""

    @abc.abstractmethod
    async def server_time(self, exchange: Any) -> int:
        """The exchange's clock, ms UTC."""

    async def ping(self, exchange: Any) -> None:
        """The cheapest question that shows that the exchange answers."""
        await self.server_time(exchange)

    async def intervals(self, exchange: Any) -> Mapping[str, int]:  # noqa: ARG002
        """Funding intervals (ms) that are not said with the premium, by the exchange's own symbol id."""
        return {}

    default_interval_ms: ClassVar[int | None] = None  # of symbols that ``intervals`` does not list

    def used_weight(self, headers: Mapping[str, str]) -> float | None:  # noqa: ARG002
        """Request weight that the exchange has counted in its present minute; header names in lower case."""
        return None

    async def tiers(self, exchange: Any, symbol: str) -> tuple[LeverageTier, ...]:  # noqa: ARG002
        """Leverage tiers that can be read without keys (``()``: none)."""
        return ()

    @abc.abstractmethod
    def instrument_of(self, exchange: Any, market: Mapping[str, Any]) -> Instrument:
        """The rules of a ccxt market, quantities in base units."""

    @abc.abstractmethod
    async def candles(
        self, exchange: Any, symbol: str, timeframe: str, kind: str, since: int, end: int | None,
        most: int | None = None,
    ) -> list[list[float]]:  # fmt: skip
        """One page of ``[time, open, high, low, close, volume]`` with ``since <= time`` (< ``end``), oldest first.

        The forming bar may come last. Volume in base units; 0 for ``mark`` and ``index``. ``most``: there cannot be
        more rows than these (an exchange that charges by rows is asked for so many only).
        """

    @abc.abstractmethod
    async def settlements(self, exchange: Any, symbol: str, since: int, end: int) -> list[list[float]]:
        """One page of ``[time, rate, mark price or NaN]`` with ``since <= time < end``, oldest first."""

    @abc.abstractmethod
    async def premium(self, exchange: Any, symbol: str, now_ms: int) -> PremiumUpdate:
        """Mark, index and current funding; the interval where the exchange says it."""

    @abc.abstractmethod
    async def metrics(self, exchange: Any, symbol: str, timeframe: str, since: int, end: int) -> Columns:
        """One page of times ``[n]`` and values ``[n, 6]`` (METRIC_COLUMNS, NaN where not given), oldest first."""

    async def open_interest(self, exchange: Any, symbol: str, now_ms: int) -> tuple[int, float, float]:
        """Time (ms UTC) of the newest figure, open interest in base units, and its value in quote units or NaN."""
        row = await exchange.fetch_open_interest(symbol)
        return int(row["timestamp"] or now_ms), float(row["openInterestAmount"]), float("nan")

    @abc.abstractmethod
    async def recent_trades(self, exchange: Any, symbol: str, limit: int, now_ms: int) -> list[TradePrint]:
        """The newest trades, oldest first."""

    @abc.abstractmethod
    async def book_snapshot(self, exchange: Any, symbol: str, now_ms: int) -> BookSnapshot:
        """The visible book with the update id that the stream's diffs follow."""

    @abc.abstractmethod
    async def watch(self, exchange: Any, subscription: Subscription) -> None:
        """One turn of ccxt.pro's ``watch_*`` for a subscription: keeps it subscribed; what it returns is not used."""

    def stream_groups(self, subscriptions: Sequence[Subscription]) -> list[tuple[Subscription, ...]]:
        """Subscriptions that are kept together by one ``watch_all``: of one channel, unless the exchange can more."""
        channels = dict.fromkeys(s.channel for s in subscriptions)
        return [tuple(s for s in subscriptions if s.channel == channel) for channel in channels]

    async def watch_all(self, exchange: Any, subscriptions: Sequence[Subscription]) -> None:
        """One turn for a group; by default of each subscription by itself, until the first of them ends."""
        turns = [asyncio.ensure_future(self.watch(exchange, s)) for s in subscriptions]
        try:
            done, _ = await asyncio.wait(turns, return_when=asyncio.FIRST_COMPLETED)
            for turn in done:
                turn.result()
        finally:
            for turn in turns:
                turn.cancel()
            await asyncio.gather(*turns, return_exceptions=True)

    async def unwatch(self, exchange: Any, subscriptions: Sequence[Subscription]) -> bool:  # noqa: ARG002
        """End subscriptions of one group; False: the exchange was not told, their messages are to be passed over."""
        return False

    @abc.abstractmethod
    def read_message(self, exchange: Any, message: Any, received_ms: int) -> list[MarketEvent]:
        """Events of one raw stream message (``[]`` for acknowledgements and channels that are not ours).

        Raises:
            ValueError, KeyError, TypeError: the message is not what the exchange documents (the stream counts it).
        """
