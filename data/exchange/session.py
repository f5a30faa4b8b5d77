"""An exchange's public market data over REST: the one import of ccxt, its pace, its retries, its errors.

Only closed bars come out. Every call either returns whole, checked data or raises one of ``data.errors``.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import tenacity

from data.clock import Clock, SystemClock
from data.errors import Rejected, Retryable, UserError
from data.exchange import binanceusdm
from data.exchange.limiter import RequestPace, Sleep
from data.exchange.reactions import translate
from data.instruments import Instrument
from data.market import Float64Array, Frame, FundingFrame, Int64Array, SeriesKey, short_symbol, unified_symbol
from data.settings import DataSettings
from data.timeframes import MINUTE_MS, timeframe_ms

T = TypeVar("T")
Progress = Callable[[float], None]
OFFSET_SAMPLES = 3
UNREADABLE = (TypeError, ValueError, KeyError, IndexError, AttributeError)  # ccxt's parsers on an odd answer


class ExchangeSession:
    """Public market data of one exchange.

    ``async with ExchangeSession(settings, clock) as session:`` opens no connection by itself; the first call does,
    and leaving always closes. ``sleep`` and ``rng`` are injected by tests.

    Raises (every call):
        Retryable: not reached, or no readable answer, after all attempts.
        Rejected: the exchange understood and refused.
    """

    def __init__(
        self,
        settings: DataSettings,
        clock: Clock | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
        rng: np.random.Generator | None = None,
    ) -> None:
        if settings.exchange != binanceusdm.NAME:
            raise UserError(f"The exchange '{settings.exchange}' is not supported: use {binanceusdm.NAME}.")
        self.settings = settings
        self.clock = clock or SystemClock()
        self.sleep = sleep
        self.offset_ms = 0
        self.pace = RequestPace(settings.request_weight_per_minute, self.clock, sleep)
        self._rng = rng if rng is not None else np.random.default_rng(0)
        self._exchange: Any = None

    def stream_client(self) -> Any:
        """A ccxt.pro instance of its own for streams, prepared as ours is; whoever takes it closes it."""
        return self._prepared(importlib.import_module("ccxt.pro"))

    def _prepared(self, library: Any) -> Any:
        options = {"enableRateLimit": True, "timeout": round(self.settings.request_timeout_s * 1000)}
        exchange = getattr(library, self.settings.exchange)({**options, "options": dict(binanceusdm.OPTIONS)})
        if self.settings.base_url is not None:
            binanceusdm.redirect(exchange, self.settings.base_url)
        binanceusdm.use_linear_errors(exchange)
        return exchange

    async def __aenter__(self) -> Self:
        exchange = self._prepared(await asyncio.to_thread(importlib.import_module, "ccxt.async_support"))
        exchange.throttle = self.pace
        exchange.handle_errors = self._watch_answers(exchange.handle_errors)
        self._exchange = exchange
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    def now_ms(self) -> int:
        """The exchange's time by our clock and the measured offset, ms UTC."""
        return self.clock.now_ms() + self.offset_ms

    async def ping(self) -> float:
        """Seconds that the exchange took to answer; raises if it can not be reached."""
        start = self.clock.monotonic()
        await self._call("answer a ping", lambda exchange: exchange.fapiPublicGetPing())
        return self.clock.monotonic() - start

    async def server_time(self) -> int:
        """The exchange's clock, ms UTC."""
        answer = await self._call("read its clock", lambda exchange: exchange.fapiPublicGetTime())
        return _integer(answer, "serverTime", self.settings.exchange)

    async def measure_offset(self) -> int:
        """Exchange time minus ours, ms, taken at the middle of the quickest of several round trips; it is kept."""
        best: tuple[int, int] | None = None
        for _ in range(OFFSET_SAMPLES):
            before = self.clock.now_ms()
            theirs = await self.server_time()
            after = self.clock.now_ms()
            sample = after - before, theirs - (before + after) // 2
            best = sample if best is None or sample[0] < best[0] else best
        assert best is not None
        self.offset_ms = best[1]
        self._open().options["timeDifference"] = -best[1]
        return self.offset_ms

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

        ``kind`` is ``ohlcv`` or ``mark`` (mark prices, volume 0); ``progress`` is told the share that is done.
        """
        return await self._pages(symbol, timeframe, kind, start_ms, end_ms, progress)

    async def mark_candles(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int | None = None, *, progress: Progress | None = None
    ) -> Frame:
        """Closed bars of the mark price (volume 0), as :meth:`candles`."""
        return await self._pages(symbol, timeframe, "mark", start_ms, end_ms, progress)

    async def funding(
        self, symbol: str, start_ms: int, end_ms: int | None = None, *, progress: Progress | None = None
    ) -> FundingFrame:
        """Settlements with ``start_ms <= time < end_ms``, paged by the last time seen (intervals differ by symbol).

        The bounds are those of the settlement's minute: the exchange records it some milliseconds later.
        """
        name = unified_symbol(symbol)
        now = self.now_ms()
        end = now + 1 if end_ms is None else min(end_ms, now + 1)
        since, stop = start_ms - MINUTE_MS // 2, end + MINUTE_MS // 2
        pages: list[Float64Array] = []
        times: list[Int64Array] = []
        while since < stop:
            time, values = await self._attempts(partial(self._settlements, name, since, stop))
            if not len(time):
                break
            times.append(time)
            pages.append(values)
            since = int(time[-1]) + 1
            _tell(progress, start_ms, since, end)
        _tell(progress, start_ms, end, end)
        if not times:
            return FundingFrame.empty(self.settings.exchange, name)
        rounded = (np.concatenate(times) + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS
        distinct, first = np.unique(rounded, return_index=True)
        inside = (distinct >= start_ms) & (distinct < end)
        rate, mark = np.concatenate(pages)[first[inside]].T
        return FundingFrame(self.settings.exchange, name, "exchange", distinct[inside].astype(np.int64), rate, mark)

    async def instrument(self, symbol: str) -> Instrument:
        """The exchange's own rules of a symbol.

        Raises:
            UserError: the exchange does not trade it.
        """
        name = unified_symbol(symbol)
        markets = await self._call("read its symbols", lambda exchange: exchange.load_markets())
        market = markets.get(name)
        if market is None or market.get("active") is False:
            raise UserError(f"{self.settings.exchange} does not trade {short_symbol(name)}.")
        return binanceusdm.instrument_of(market)

    async def recent(self, symbol: str, timeframe: str, since_ms: int) -> tuple[Frame, int]:
        """One page of bars from ``since_ms``: the closed ones, and how many that still form follow them."""
        name = unified_symbol(symbol)
        time, values = await self._attempts(partial(self._bars, name, timeframe, "ohlcv", since_ms, None))
        frame = _frame(SeriesKey(self.settings.exchange, name, timeframe), time, values)
        closed = int(np.searchsorted(time, self.now_ms() - timeframe_ms(timeframe), side="right"))
        return frame.slice(0, closed), len(frame) - closed

    async def _pages(
        self, symbol: str, timeframe: str, kind: str, start_ms: int, end_ms: int | None, progress: Progress | None
    ) -> Frame:
        name, step = unified_symbol(symbol), timeframe_ms(timeframe)
        last_closed = self.now_ms() // step * step
        end = last_closed if end_ms is None else min(end_ms, last_closed)
        since = -(-start_ms // step) * step
        first = since
        times: list[Int64Array] = []
        pages: list[Float64Array] = []
        while since < end:
            time, values = await self._attempts(partial(self._bars, name, timeframe, kind, since, end))
            if not len(time):
                break
            times.append(time)
            pages.append(values)
            since = int(time[-1]) + step
            _tell(progress, first, since, end)
        _tell(progress, first, end, end)
        key = SeriesKey(self.settings.exchange, name, timeframe, kind)
        if not times:
            return Frame.empty(key)
        return _frame(key, np.concatenate(times), np.concatenate(pages))

    async def _bars(
        self, symbol: str, timeframe: str, kind: str, since: int, end: int | None
    ) -> tuple[Int64Array, Float64Array]:
        """One page of candles, checked: times ``[n]`` on the grid and in order, values ``[n, 5]``."""
        params: dict[str, Any] = {"price": "mark"} if kind == "mark" else {}
        if end is not None:
            params["until"] = end - 1
        what = f"read {'mark ' if kind == 'mark' else ''}candles of {short_symbol(symbol)}"
        rows = await self._once(
            what,
            lambda exchange: exchange.fetch_ohlcv(symbol, timeframe, since, binanceusdm.CANDLES_A_PAGE, params),
        )
        table = _table(rows, 6, what, self.settings.exchange)
        time, values = table[:, 0].astype(np.int64), table[:, 1:].copy()
        if kind == "mark":
            values[:, 4] = 0.0
        o, h, lo, c, v = values.T
        sound = (
            np.isfinite(values).all()
            and (values[:, :4] > 0).all()
            and (h >= np.maximum(o, c)).all()
            and (lo <= np.minimum(o, c)).all()
            and (v >= 0).all()
            and (time % timeframe_ms(timeframe) == 0).all()
        )
        if not sound or not _in_order(time, since, end):
            raise Retryable(f"{self.settings.exchange} sent candles of {short_symbol(symbol)} that make no sense.")
        return time, values

    async def _settlements(self, symbol: str, since: int, end: int) -> tuple[Int64Array, Float64Array]:
        """One page of funding, checked: times ``[n]``, rate and mark price ``[n, 2]``."""
        what = f"read funding of {short_symbol(symbol)}"
        rows = await self._once(
            what,
            lambda exchange: exchange.fetch_funding_rate_history(
                symbol, since, binanceusdm.SETTLEMENTS_A_PAGE, {"until": end - 1}
            ),
        )
        listed = [[r["timestamp"], r["fundingRate"], r["info"].get("markPrice") or np.nan] for r in rows]
        table = _table(listed, 3, what, self.settings.exchange)
        time, values = table[:, 0].astype(np.int64), table[:, 1:].copy()
        if not (np.isfinite(values[:, 0]) & (np.abs(values[:, 0]) <= 1)).all() or not _in_order(time, since, end):
            raise Retryable(f"{self.settings.exchange} sent funding of {short_symbol(symbol)} that makes no sense.")
        return time, values

    def _open(self) -> Any:
        if self._exchange is None:
            raise Rejected("The exchange session is closed: use it inside its 'async with' block.")
        return self._exchange

    async def _call(self, action: str, request: Callable[[Any], Awaitable[T]]) -> T:
        return await self._attempts(partial(self._once, action, request))

    async def _once(self, action: str, request: Callable[[Any], Awaitable[T]]) -> T:
        """One attempt; whatever goes wrong comes out as one of ``data.errors``."""
        exchange = self._open()
        try:
            return await request(exchange)
        except UNREADABLE as error:
            raise Retryable(f"{self.settings.exchange} sent an answer that can not be read ({action}).") from error
        except Exception as error:
            translated = translate(error, self.settings.exchange, action)
            if isinstance(translated, Retryable) and translated.retry_after_s is not None:
                self.pace.close_for(translated.retry_after_s)
            raise translated from error

    async def _attempts(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat what may be repeated after a random wait that doubles; the pace adds what the exchange asked for."""
        settings = self.settings

        def wait(state: tenacity.RetryCallState) -> float:
            longest = min(
                settings.retry_first_delay_s * 2.0 ** (state.attempt_number - 1), settings.retry_longest_delay_s
            )
            return float(self._rng.uniform(0.0, longest))

        def again(error: BaseException) -> bool:
            if not isinstance(error, Retryable):
                return False
            return error.retry_after_s is None or error.retry_after_s <= settings.retry_longest_delay_s

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(settings.request_attempts),
            wait=wait,
            retry=tenacity.retry_if_exception(again),
            sleep=self.sleep,
            reraise=True,
        )
        return await retrying(attempt)

    def _watch_answers(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """ccxt's error hook, with Retry-After put on the error and answers of a wrong shape refused."""

        def watched(status: int, reason: str, url: str, method: str, headers: Any, body: Any, answer: Any,
                    *rest: Any) -> Any:  # fmt: skip
            try:
                handled = original(status, reason, url, method, headers, body, answer, *rest)
            except Exception as error:
                error.retry_after = binanceusdm.retry_after_s(headers)  # type: ignore[attr-defined]
                raise
            binanceusdm.refuse_wrong_shape(status, url, answer)
            return handled

        return watched


def _frame(key: SeriesKey, time: Int64Array, values: Float64Array) -> Frame:
    return Frame.of(key, time, *values.T)


def _table(rows: Any, width: int, what: str, exchange: str) -> Float64Array:
    """Rows as ``[n, width]``; a missing value is NaN."""
    try:
        table = np.array([[np.nan if x is None else x for x in row] for row in rows], dtype=np.float64)
        return table.reshape(len(rows), width)
    except (TypeError, ValueError):
        raise Retryable(f"{exchange} sent an answer that can not be read ({what}).") from None


def _in_order(time: Int64Array, since: int, end: int | None) -> bool:
    inside = not len(time) or (time[0] >= since and (end is None or time[-1] < end))
    return bool(inside and (np.diff(time) > 0).all())


def _integer(answer: Any, name: str, exchange: str) -> int:
    try:
        return int(answer[name])
    except (KeyError, TypeError, ValueError):
        raise Retryable(f"{exchange} sent an answer without {name}.") from None


def _tell(progress: Progress | None, start: int, at: int, end: int) -> None:
    if progress is not None and end > start:
        progress(min(1.0, (at - start) / (end - start)))
