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
from data.errors import Rejected, Retryable
from data.exchange.catalogue import quirks_of
from data.exchange.limiter import RequestPace, Sleep
from data.exchange.reactions import retry_after_s, translate
from data.exchange.rest import MarketReads
from data.settings import DataSettings

T = TypeVar("T")
OFFSET_SAMPLES = 3
UNREADABLE = (TypeError, ValueError, KeyError, IndexError, AttributeError)  # ccxt's parsers on an odd answer


class ExchangeSession(MarketReads):
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
        super().__init__()
        self.quirks = quirks_of(settings.exchange)
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
        exchange = getattr(library, self.settings.exchange)({**options, "options": dict(self.quirks.options)})
        self.quirks.prepare(exchange, self.settings.base_url)
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
        await self.ask("answer a ping", self.quirks.ping)
        return self.clock.monotonic() - start

    async def server_time(self) -> int:
        """The exchange's clock, ms UTC."""
        return await self.ask("read its clock", self.quirks.server_time)

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

    def _open(self) -> Any:
        if self._exchange is None:
            raise Rejected("The exchange session is closed: use it inside its 'async with' block.")
        return self._exchange

    async def ask(self, action: str, request: Callable[[Any], Awaitable[T]]) -> T:
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
                error.retry_after = retry_after_s(headers)  # type: ignore[attr-defined]
                raise
            self.quirks.refuse_wrong_shape(status, url, answer)
            return handled

        return watched
