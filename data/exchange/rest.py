"""The public market data of any exchange over REST: pages put together, every row checked.

Only closed bars come out. Every call either returns whole, checked data or raises one of ``data.errors``.
"""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from data.errors import Rejected, Retryable, UserError
from data.exchange.events import BookSnapshot, PremiumUpdate, TradePrint
from data.exchange.funding_intervals import FundingIntervals
from data.exchange.market_lists import LONG_LIST, read_again
from data.exchange.quirks import Columns, Quirks
from data.exchange.reactions import UNREADABLE
from data.instruments import Instrument
from data.market import TICK, Float64Array, Frame, FundingFrame, Int64Array, SeriesKey, short_symbol, unified_symbol
from data.observations import METRIC_COLUMNS, Observations
from data.settings import DataSettings
from data.timeframes import MINUTE_MS, timeframe_ms

T = TypeVar("T")
Progress = Callable[[float], None]
CAPABILITY = {"mark": "mark_candles", "index": "index_candles"}


class MarketReads(abc.ABC):
    """What can be read of a market; the session gives the asking.

    Raises (every call):
        Retryable: not reached, or no readable answer, after all attempts.
        Rejected: the exchange understood and refused, or does not offer it.
    """

    settings: DataSettings
    quirks: Quirks
    _exchange: Any

    def __init__(self) -> None:
        self._intervals = FundingIntervals()
        self._loading = asyncio.Lock()
        self._markets: dict[str, Any] = {}

    @abc.abstractmethod
    async def ask(self, action: str, request: Callable[[Any], Awaitable[T]]) -> T:
        """The answer to ``request(ccxt instance)``, repeated as far as that is allowed.

        ``action`` completes the sentence "<exchange> could not …".
        """

    @abc.abstractmethod
    def now_ms(self) -> int:
        """The exchange's time, ms UTC."""

    async def candles(
        self,
        symbol: str,
        timeframe: str,
        start_ms: int,
        end_ms: int | None = None,
        kind: str = "ohlcv",
        *,
        progress: Progress | None = None,
    ) -> Frame:
        """Closed bars with ``start_ms <= open_time < end_ms`` (to now where ``None``), all pages of them.

        ``kind`` is ``ohlcv``, ``mark`` or ``index`` (volume 0); ``progress`` is told the share that is done.
        """
        name, step = await self._listed(symbol), timeframe_ms(timeframe)
        last_closed = self.now_ms() // step * step
        end = last_closed if end_ms is None else min(end_ms, last_closed)
        since = first = -(-start_ms // step) * step
        pages: list[Columns] = []
        while since < end:
            time, values = await self._bars(name, timeframe, kind, since, end)
            if not len(time):
                break
            pages.append((time, values))
            since = int(time[-1]) + step
            _tell(progress, first, since, end)
        _tell(progress, first, end, end)
        return _frame(SeriesKey(self.settings.exchange, name, timeframe, kind), pages)

    async def mark_candles(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int | None = None, *, progress: Progress | None = None
    ) -> Frame:
        """Closed bars of the mark price (volume 0), as :meth:`candles`."""
        return await self.candles(symbol, timeframe, start_ms, end_ms, "mark", progress=progress)

    async def index_candles(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int | None = None, *, progress: Progress | None = None
    ) -> Frame:
        """Closed bars of the index price (volume 0), as :meth:`candles`."""
        return await self.candles(symbol, timeframe, start_ms, end_ms, "index", progress=progress)

    async def recent(self, symbol: str, timeframe: str, since_ms: int) -> tuple[Frame, int]:
        """One page of bars from ``since_ms``: the closed ones, and how many that still form follow them."""
        name = await self._listed(symbol)
        time, values = await self._bars(name, timeframe, "ohlcv", since_ms, None)
        frame = _frame(SeriesKey(self.settings.exchange, name, timeframe), [(time, values)])
        closed = int(np.searchsorted(time, self.now_ms() - timeframe_ms(timeframe), side="right"))
        return frame.slice(0, closed), len(frame) - closed

    async def funding(
        self, symbol: str, start_ms: int, end_ms: int | None = None, *, progress: Progress | None = None
    ) -> FundingFrame:
        """Settlements with ``start_ms <= time < end_ms``, paged by the last time seen (intervals differ by symbol).

        The bounds are those of the settlement's minute: the exchange records it some milliseconds later.
        """
        name = await self._listed(symbol)
        now = self.now_ms()
        end = now + 1 if end_ms is None else min(end_ms, now + 1)
        since, stop = start_ms - MINUTE_MS // 2, end + MINUTE_MS // 2
        pages: list[Columns] = []
        while since < stop:
            time, values = await self._settlements(name, since, stop)
            if not len(time):
                break
            pages.append((time, values))
            since = int(time[-1]) + 1
            _tell(progress, start_ms, since, end)
        _tell(progress, start_ms, end, end)
        if not pages:
            return FundingFrame.empty(self.settings.exchange, name)
        times, rates = (np.concatenate(column) for column in zip(*pages, strict=True))
        rounded = (times + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
        distinct, seen = np.unique(rounded, return_index=True)
        inside = (distinct >= start_ms) & (distinct < end)
        rate, mark = rates[seen[inside]].T
        return FundingFrame(self.settings.exchange, name, "exchange", distinct[inside].astype(np.int64), rate, mark)

    async def premium(self, symbol: str) -> PremiumUpdate:
        """Mark and index price and the funding being built up, with the interval that holds now."""
        self._offers("premium", "mark prices")
        name = await self._listed(symbol)
        now = self.now_ms()
        what = f"read the mark price of {short_symbol(name)}"
        update = await self.ask(what, lambda exchange: self._sound_premium(exchange, name, now))
        if update.interval_ms is not None:
            return update
        if self._intervals.outdated(name, update.next_funding_ms, now):
            listed = await self.ask("read its funding intervals", self.quirks.intervals)
            self._intervals.learn(listed, now)
        own = self._intervals.of(self._markets[name]["id"])
        self._intervals.saw(name, update.next_funding_ms)
        return replace(update, interval_ms=own if own is not None else self.quirks.default_interval_ms)

    async def metrics(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int | None = None, *,
        progress: Progress | None = None,
    ) -> Observations:  # fmt: skip
        """Open interest and ratios with ``start_ms <= time < end_ms``, joined by time, as far back as they are kept.

        A row speaks of the moment at which its period began or ended (exchanges differ); it counts as known one
        period later, so that it is never used too soon.
        """
        self._offers("metrics_history", "a history of open interest and ratios")
        name, step = await self._listed(symbol), timeframe_ms(timeframe)
        key = SeriesKey(self.settings.exchange, name, timeframe, "metrics")
        now, span = self.now_ms(), self.quirks.metrics_span_ms
        end = now if end_ms is None else min(end_ms, now)
        since = first = start_ms if span is None else max(start_ms, now - span + step)
        pages: list[Columns] = []
        while since < end:
            time, values = await self._metrics(name, timeframe, since, end)
            if len(time):
                pages.append((time, values))
                since = int(time[-1]) + 1
            else:
                since += self.quirks.metrics_a_page * step
            _tell(progress, first, since, end)
        if not pages:
            return Observations.empty(key)
        times, table = (np.concatenate(column) for column in zip(*pages, strict=True))
        return Observations.of(key, times, table, known_at=times + step)

    async def open_interest(self, symbol: str) -> Observations:
        """Open interest now: one row of metrics, the ratios NaN (for exchanges that give no history, too)."""
        self._offers("open_interest", "open interest")
        name = await self._listed(symbol)
        now = self.now_ms()

        async def checked(exchange: Any) -> tuple[int, float, float]:
            time, amount, value = await self.quirks.open_interest(exchange, name, now)
            if not 0 <= amount < np.inf or value < 0 or time > now + MINUTE_MS:
                raise self._senseless("open interest", name)
            return time, amount, value

        time, amount, value = await self.ask(f"read open interest of {short_symbol(name)}", checked)
        row = np.full((1, len(METRIC_COLUMNS)), np.nan)
        row[0, :2] = amount, value
        key = SeriesKey(self.settings.exchange, name, TICK, "metrics")
        return Observations.of(key, np.array([time]), row, known_at=np.array([max(time, self.now_ms())]))

    async def recent_trades(self, symbol: str, limit: int = 1000) -> list[TradePrint]:
        """The newest trades of the market, oldest first."""
        self._offers("trades", "recent trades")
        name = await self._listed(symbol)

        async def checked(exchange: Any) -> list[TradePrint]:
            prints = await self.quirks.recent_trades(exchange, name, limit, self.now_ms())
            table = np.array([[p.price, p.quantity] for p in prints], dtype=np.float64)
            if not (np.isfinite(table) & (table > 0)).all():
                raise self._senseless("trades", name)
            return prints

        return await self.ask(f"read trades of {short_symbol(name)}", checked)

    async def book_snapshot(self, symbol: str) -> BookSnapshot:
        """The visible order book, with the update id that the stream's changes follow."""
        self._offers("book", "an order book")
        name = await self._listed(symbol)

        async def checked(exchange: Any) -> BookSnapshot:
            book = await self.quirks.book_snapshot(exchange, name, self.now_ms())
            if not _sound_book(book):
                raise self._senseless("an order book", name)
            return book

        return await self.ask(f"read the order book of {short_symbol(name)}", checked)

    async def load_markets(self, reload: bool = False) -> dict[str, Any]:
        """ccxt's markets by unified symbol; asked for once, and again on ``reload``."""

        def prepare(reader: Any) -> None:
            self.quirks.prepare(reader, self.settings.base_url)

        async def whole(exchange: Any) -> dict[str, Any]:
            markets: dict[str, Any]
            if len(self._markets) > LONG_LIST:
                markets = await read_again(exchange, dict(self.quirks.options), prepare)
            else:
                markets = await exchange.load_markets(True)
            if not markets:
                raise Retryable(f"{self.settings.exchange} sent a list without symbols.")
            return markets

        if self._markets and not reload:
            return self._markets  # also while somebody reads them again
        async with self._loading:  # one asks, the others wait (ccxt's own sharing breaks when the first is cancelled)
            if not self._markets or reload:
                self._markets = await self.ask("read its symbols", whole)
        return self._markets

    async def instrument(self, symbol: str) -> Instrument:
        """The exchange's own rules of a symbol, those of its leverage too where they are public.

        Raises:
            UserError: the exchange does not trade it.
        """
        name = unified_symbol(symbol)
        rules = (await self.instruments([name])).get(name)
        if rules is None or rules.status == "delisted":
            raise UserError(f"{self.settings.exchange} does not trade {short_symbol(name)}.")
        tiers = await self.ask(
            f"read the leverage tiers of {short_symbol(name)}", lambda exchange: self.quirks.tiers(exchange, name)
        )
        return replace(rules, tiers=tiers) if tiers else rules

    async def instruments(self, symbols: Sequence[str], *, reload: bool = False) -> dict[str, Instrument]:
        """The rules of those of ``symbols`` that the exchange lists, by unified symbol; tiers not among them."""
        markets = await self.load_markets(reload)
        names = [unified_symbol(symbol) for symbol in symbols]
        listed = [name for name in names if name in markets]

        try:
            rules = {name: self.quirks.instrument_of(self._exchange, markets[name]) for name in listed}
        except UNREADABLE as error:
            raise Retryable(f"{self.settings.exchange} sent trading rules that cannot be read.") from error
        for name, its in rules.items():
            if not (its.tick > 0 and its.lot > 0 and its.contract_size > 0 and its.min_notional >= 0):
                raise self._senseless("trading rules", name)
        return rules

    async def _listed(self, symbol: str) -> str:
        """The unified symbol; Rejected if the exchange does not have it."""
        name = unified_symbol(symbol)
        if name not in await self.load_markets():
            raise Rejected(f"{self.settings.exchange} does not trade {short_symbol(name)}.")
        return name

    def _offers(self, capability: str, words: str) -> None:
        if capability not in self.quirks.can:
            raise Rejected(f"{self.settings.exchange} does not offer {words}.")

    def _senseless(self, what: str, symbol: str) -> Retryable:
        return Retryable(f"{self.settings.exchange} sent {what} of {short_symbol(symbol)} that make no sense.")

    async def _bars(self, symbol: str, timeframe: str, kind: str, since: int, end: int | None) -> Columns:
        """One page of candles, checked: times ``[n]`` on the grid and in order, values ``[n, 5]``."""
        words, step = "candles" if kind == "ohlcv" else f"{kind} candles", timeframe_ms(timeframe)
        if kind != "ohlcv":
            self._offers(CAPABILITY[kind], words)

        async def checked(exchange: Any) -> Columns:
            most = bars_within(since, self.now_ms() if end is None else end, step)
            rows = await self.quirks.candles(exchange, symbol, timeframe, kind, since, end, most)
            time, values = _columns(rows, 6)
            if not (_sound_bars(time, values, step) and _in_order(time, since, end)):
                raise self._senseless("candles", symbol)
            return time, values

        return await self.ask(f"read {words} of {short_symbol(symbol)}", checked)

    async def _settlements(self, symbol: str, since: int, end: int) -> Columns:
        """One page of funding, checked: times ``[n]``, rate and mark price ``[n, 2]``."""

        async def checked(exchange: Any) -> Columns:
            time, values = _columns(await self.quirks.settlements(exchange, symbol, since, end), 3)
            if not (np.abs(values[:, 0]) <= 1).all() or not _in_order(time, since, end):
                raise self._senseless("settlements", symbol)
            return time, values

        return await self.ask(f"read funding of {short_symbol(symbol)}", checked)

    async def _metrics(self, symbol: str, timeframe: str, since: int, end: int) -> Columns:
        """One page of open interest and ratios, checked."""

        async def checked(exchange: Any) -> Columns:
            time, values = await self.quirks.metrics(exchange, symbol, timeframe, since, end)
            sound = values.shape == (len(time), len(METRIC_COLUMNS)) and not (np.isinf(values) | (values < 0)).any()
            if not sound or not _in_order(time, since, end):
                raise self._senseless("figures of open interest", symbol)
            return time, values

        return await self.ask(f"read open interest of {short_symbol(symbol)}", checked)

    async def _sound_premium(self, exchange: Any, symbol: str, now: int) -> PremiumUpdate:
        update = await self.quirks.premium(exchange, symbol, now)
        if not update.mark_price > 0 or abs(update.funding_rate) > 1 or update.index_price <= 0:
            raise self._senseless("mark prices", symbol)
        return update


def bars_within(since_ms: int, until_ms: int, step_ms: int) -> int:
    """How many bars can open from ``since_ms`` to ``until_ms``: the forming one, and one more if clocks differ."""
    return max(0, until_ms - since_ms) // step_ms + 2


def _frame(key: SeriesKey, pages: Sequence[Columns]) -> Frame:
    if not pages:
        return Frame.empty(key)
    time, values = (np.concatenate(column) for column in zip(*pages, strict=True))
    return Frame.of(key, time, *values.T)


def _columns(rows: Any, width: int) -> Columns:
    """Rows as times ``[n]`` and values ``[n, width − 1]``; a missing value is NaN."""
    table = np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=np.float64)
    table = table.reshape(len(rows), width)
    if not np.isfinite(table[:, 0]).all():
        raise ValueError("a row without a time")
    return table[:, 0].astype(np.int64), table[:, 1:].copy()


def _sound_bars(time: Int64Array, values: Float64Array, step: int) -> bool:
    o, h, lo, c, v = values.T
    return bool(
        np.isfinite(values).all()
        and (values[:, :4] > 0).all()
        and (h >= np.maximum(o, c)).all()
        and (lo <= np.minimum(o, c)).all()
        and (v >= 0).all()
        and (time % step == 0).all()
    )


def _sound_book(book: BookSnapshot) -> bool:
    """Both sides there, best first, prices and sizes positive, not crossed."""
    if not len(book.bids) or not len(book.asks):
        return False
    positive = all((np.isfinite(side) & (side > 0)).all() for side in (book.bids, book.asks))
    ordered = (np.diff(book.bids[:, 0]) < 0).all() and (np.diff(book.asks[:, 0]) > 0).all()
    return bool(positive and ordered and book.bids[0, 0] < book.asks[0, 0])


def _in_order(time: Int64Array, since: int, end: int | None) -> bool:
    inside = not len(time) or (time[0] >= since and (end is None or time[-1] < end))
    return bool(inside and (np.diff(time) > 0).all())


def _tell(progress: Progress | None, start: int, at: int, end: int) -> None:
    if progress is not None and end > start:
        progress(min(1.0, (at - start) / (end - start)))
