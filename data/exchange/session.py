"""The way to an exchange: the one import of ccxt, its pace, its retries, its errors, its clock and its health.

What can be read is in :mod:`data.exchange.rest`; what differs between exchanges in their :class:`Quirks`.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import tenacity

from data.clock import Clock, SystemClock, iso
from data.errors import QuantError, Rejected, Retryable
from data.exchange.breaker import Breaker, Paused
from data.exchange.catalogue import quirks_of
from data.exchange.credentials import Credentials
from data.exchange.health import RestHealth
from data.exchange.limiter import RequestPace, Sleep, is_ordering, ordering
from data.exchange.reactions import (
    UNREADABLE,
    ClockRefused,
    Reaction,
    banned_until_ms,
    reaction_to,
    retry_after_s,
    translate,
)
from data.exchange.rest import MarketReads
from data.settings import DataSettings

T = TypeVar("T")
OFFSET_SAMPLES = 3
OFFSET_EVERY_S = 900.0
CLOCK_LOOK_S = 60.0  # a machine that slept, or whose clock was set, is noticed so soon
CLOCK_JUMP_MS = 500
SKEW_LIMIT_MS = 1000
LATENCY_MEMORY = 0.9


@dataclass(slots=True, eq=False)
class Trip:
    """One attempt: when its (last) request really went out, after all waiting."""

    order: bool
    sent_ms: int = 0
    sent_s: float = 0.0


_TRIP: ContextVar[Trip | None] = ContextVar("trip", default=None)


class ExchangeSession(MarketReads):
    """One exchange's public market data, and the place from which orders will go out.

    ``async with ExchangeSession(settings, clock) as session:`` opens no connection by itself; the first call does,
    and leaving always closes. ``sleep`` and ``rng`` are injected by tests. ``credentials`` are held for signed
    requests; no error, log line or figure of health contains them.

    Market data and orders fail apart: a breaker that market data opened does not hold back an order
    (:meth:`ordering`). A ban holds back both.

    Raises (every call):
        Retryable: not reached, or no readable answer, after all attempts; ``Paused``: not even asked.
        Rejected: the exchange understood and refused.
    """

    def __init__(
        self,
        settings: DataSettings,
        clock: Clock | None = None,
        *,
        sleep: Sleep = asyncio.sleep,
        rng: np.random.Generator | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        super().__init__()
        self.quirks = quirks_of(settings.exchange)
        self.settings = settings
        self.clock = clock or SystemClock()
        self.sleep = sleep
        self.offset_ms = 0
        self._measurements = 0
        self._measuring = asyncio.Lock()
        self._credentials = credentials
        self._health = RestHealth(weight_limit=self.quirks.weight_per_minute)
        self._banned_until_s = 0.0
        self.pace = RequestPace(
            min(settings.request_weight_per_minute, self.quirks.weight_per_minute),
            self.clock,
            sleep,
            order_share=settings.order_weight_share,
            most_per_minute=self.quirks.weight_per_minute,
            now_ms=self.now_ms,
            gate=self._gate,
            burst=self.quirks.burst_weight,
        )
        breaker = settings.breaker_failures, settings.breaker_pause_s, settings.retry_longest_delay_s
        self._breakers = {order: Breaker(self.clock, *breaker) for order in (False, True)}
        self._rng = rng if rng is not None else np.random.default_rng(0)
        self._exchange: Any = None

    def stream_client(self) -> Any:
        """A ccxt.pro instance of its own for streams, keyless, prepared as ours is; whoever takes it closes it.

        What it asks over REST goes through our pace; symbols that we know need not be asked for again.
        """
        exchange = self._prepared(importlib.import_module("ccxt.pro"))
        if self._exchange is not None and self._markets:
            exchange.set_markets_from_exchange(self._exchange)
        return exchange

    def ordering(self) -> AbstractContextManager[None]:
        """``with session.ordering():`` — requests made inside use the share of weight that is kept for orders."""
        return ordering()

    def _prepared(self, library: Any) -> Any:
        options = {"enableRateLimit": True, "timeout": round(self.settings.request_timeout_s * 1000)}
        exchange = getattr(library, self.settings.exchange)({**options, "options": dict(self.quirks.options)})
        self.quirks.prepare(exchange, self.settings.base_url)
        exchange.throttle = self._throttle
        exchange.handle_errors = self._watch_answers(exchange)
        return exchange

    async def __aenter__(self) -> Self:
        exchange = self._prepared(await asyncio.to_thread(importlib.import_module, "ccxt.async_support"))
        if self._credentials is not None:
            # ccxt writes the headers of signed requests into its debug log.
            exchange.logger = logging.Logger(exchange.logger.name, logging.WARNING)
            exchange.apiKey, exchange.secret = self._credentials.key, self._credentials.secret
            exchange.password = self._credentials.password or None
        self._exchange = exchange
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    # ------------------------------------------------------------------ clock

    def now_ms(self) -> int:
        """The exchange's time by our clock and the measured offset, ms UTC."""
        return self.clock.now_ms() + self.offset_ms

    @property
    def skewed(self) -> bool:
        """Our clock is more than a second off: no entries (the offset is applied all the same)."""
        return abs(self.offset_ms) > SKEW_LIMIT_MS

    async def ping(self) -> float:
        """Seconds that the exchange took to answer; raises if it cannot be reached."""
        start = self.clock.monotonic()
        await self.ask("answer a ping", self.quirks.ping)
        return self.clock.monotonic() - start

    async def server_time(self) -> int:
        """The exchange's clock, ms UTC."""
        return (await self._attempts(self._time_sample))[0]

    async def measure_offset(self) -> int:
        """Exchange time minus ours, ms, taken at the middle of the quickest of several round trips; it is kept."""
        samples = [await self._attempts(self._time_sample) for _ in range(OFFSET_SAMPLES)]
        theirs, sent, back = min(samples, key=lambda sample: sample[2] - sample[1])
        self.offset_ms = theirs - (sent + back) // 2
        self._measurements += 1
        self._open().options["timeDifference"] = -self.offset_ms
        return self.offset_ms

    async def keep_clock(self) -> None:
        """Measure the offset on schedule and after a jump of our clock, without end; failures show in ``health``."""
        due = self.clock.monotonic()
        while True:
            wall, timer = self.clock.now_ms(), self.clock.monotonic()
            if timer >= due:
                try:
                    await self.measure_offset()
                    due = self.clock.monotonic() + (CLOCK_LOOK_S if self.skewed else OFFSET_EVERY_S)
                except (Retryable, Rejected) as error:
                    self._health.last_error = str(error)
            await self.sleep(CLOCK_LOOK_S)
            slept_ms = (self.clock.monotonic() - timer) * 1000
            if abs(self.clock.now_ms() - wall - slept_ms) > CLOCK_JUMP_MS:
                due = self.clock.monotonic()

    async def _time_sample(self) -> tuple[int, int, int]:
        """Their time, and ours when the request went out and when the answer was there (waiting for the pace apart)."""

        async def sample(exchange: Any) -> tuple[int, int, int]:
            theirs = await self.quirks.server_time(exchange)
            trip = _TRIP.get()
            assert trip is not None
            return int(theirs), trip.sent_ms, self.clock.now_ms()

        return await self._once("read its clock", sample)

    async def _resync(self, known: int) -> None:
        """Measure, unless somebody did after the ``known``-th measurement."""
        async with self._measuring:
            if self._measurements == known:
                await self.measure_offset()

    # ----------------------------------------------------------------- health

    @property
    def health(self) -> RestHealth:
        """The present figures."""
        health, now_ms = self._health, self.now_ms()
        breaker = self._breakers[False]
        banned = self._banned_until_s - self.clock.monotonic()
        waiting = max(self.pace.closed_for_s, breaker.pause_left_s)
        health.weight_used = self.pace.used
        health.offset_ms, health.skewed = self.offset_ms, self.skewed
        health.breaker_open = breaker.is_open
        health.consecutive_failures = breaker.failures
        health.maintenance = health.maintenance and breaker.is_open
        health.waiting_until_ms = now_ms + round(waiting * 1000) if waiting > 0 else None
        health.banned_until_ms = now_ms + round(banned * 1000) if banned > 0 else None
        health.alarm = self._ban_sentence() if banned > 0 else ""
        return health

    def _ban_sentence(self) -> str:
        until = self.now_ms() + round((self._banned_until_s - self.clock.monotonic()) * 1000)
        return (
            f"{self.settings.exchange} has banned this address until {iso(until)}: nothing is asked before; stops that "
            "rest on the exchange stay."
        )

    # ------------------------------------------------------- one attempt, many

    def _open(self) -> Any:
        if self._exchange is None:
            raise Rejected("The exchange session is closed: use it inside its 'async with' block.")
        return self._exchange

    async def ask(self, action: str, request: Callable[[Any], Awaitable[T]]) -> T:
        clock_mended = False

        async def attempt() -> T:
            nonlocal clock_mended
            known = self._measurements
            try:
                return await self._once(action, request)
            except ClockRefused:
                if clock_mended:
                    raise
                clock_mended = True
                await self._resync(known)
                return await self._once(action, request)

        return await self._attempts(attempt)

    async def _once(self, action: str, request: Callable[[Any], Awaitable[T]]) -> T:
        """One attempt; whatever goes wrong comes out as one of ``data.errors``."""
        exchange = self._open()
        trip = Trip(is_ordering())
        before = _TRIP.set(trip)
        breaker = self._breakers[trip.order]
        try:
            answer = await request(exchange)
        except Exception as error:
            raise self._judged(error, action, trip, breaker) from error
        finally:
            _TRIP.reset(before)
            breaker.left(trip)
        if trip.sent_ms:
            self._answered(trip, breaker)
        return answer

    def _answered(self, trip: Trip, breaker: Breaker) -> None:
        breaker.succeeded()
        health, took = self._health, (self.clock.monotonic() - trip.sent_s) * 1000
        health.last_success_ms = self.now_ms()
        memory = LATENCY_MEMORY if health.latency_ms is not None else 0.0
        health.latency_ms = memory * (health.latency_ms or 0.0) + (1 - memory) * took

    def _judged(self, error: Exception, action: str, trip: Trip, breaker: Breaker) -> QuantError:
        """The project's error for what an attempt met; breaker, pace and health learn of it."""
        if isinstance(error, Paused):
            return error
        name = self.settings.exchange
        reaction = Reaction.UNCLEAR
        if isinstance(error, UNREADABLE):
            judged: QuantError = Retryable(f"{name} sent an answer that cannot be read ({action}).")
        else:
            until = banned_until_ms(error)
            if until is not None and not getattr(error, "retry_after", None):
                error.retry_after = max(1.0, (until - self.now_ms()) / 1000)  # type: ignore[attr-defined]
            judged = translate(error, name, action, codes=self.quirks.codes)
            if isinstance(judged, Rejected):
                reaction = Reaction.REFUSED
            elif judged is not error:
                reaction = reaction_to(error, self.quirks.codes)
        if reaction is Reaction.REFUSED:
            if trip.sent_ms:
                breaker.succeeded()
            return judged
        self._failed(str(judged))
        wait = getattr(judged, "retry_after_s", None)
        if reaction in (Reaction.LIMITED, Reaction.BANNED):
            self.pace.close_for(wait or 0.0)
            if reaction is Reaction.BANNED:
                self._banned_until_s = self.clock.monotonic() + (wait or 0.0)
        elif reaction is not Reaction.CLOCK:
            maintained = reaction is Reaction.MAINTENANCE
            breaker.failed(trip, str(judged), at_once=maintained)
            self._health.maintenance = maintained
            if maintained and isinstance(judged, Retryable):
                judged.retry_after_s = breaker.pause_left_s
        return judged

    def _failed(self, sentence: str) -> None:
        health = self._health
        health.failures += 1
        health.last_failure_ms, health.last_error = self.now_ms(), sentence

    async def _attempts(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat what may be repeated, after what the exchange asked for and a random wait that doubles."""
        settings = self.settings

        def wait(state: tenacity.RetryCallState) -> float:
            doubled = settings.retry_first_delay_s * 2.0 ** (state.attempt_number - 1)
            error = state.outcome.exception() if state.outcome is not None else None
            asked = getattr(error, "retry_after_s", None) or 0.0
            return float(asked + self._rng.uniform(0.0, min(doubled, settings.retry_longest_delay_s)))

        def again(error: BaseException) -> bool:
            if not isinstance(error, Retryable) or isinstance(error, Paused):
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

    # ------------------------------------------------------- inside of ccxt

    def _gate(self) -> None:
        """Refuse what may not be asked now: in a ban or a limit longer than we wait, or while the breaker is open."""
        name, closed = self.settings.exchange, self.pace.closed_for_s
        if closed > self.settings.retry_longest_delay_s:
            banned = self._banned_until_s > self.clock.monotonic()
            until = iso(self.now_ms() + round(closed * 1000))
            raise Paused(self._ban_sentence() if banned else f"{name} wants to be left alone until {until}.", closed)
        breaker = self._breakers[is_ordering()]
        if not breaker.lets(_TRIP.get()):
            pause = breaker.pause_left_s
            raise Paused(f"{breaker.why.rstrip('.')}; nothing is asked for another {pause:.0f} s.", pause)

    async def _throttle(self, cost: float | None = None) -> None:
        """ccxt calls this before every request."""
        await self.pace(cost)
        self._health.requests += 1
        trip = _TRIP.get()
        if trip is not None:
            self._breakers[trip.order].enter(trip)
            trip.sent_ms, trip.sent_s = self.clock.now_ms(), self.clock.monotonic()

    def _watch_answers(self, exchange: Any) -> Callable[..., Any]:
        """ccxt's error hook: puts status and Retry-After on the error, reads the used weight, checks the shape."""
        original, by_status = exchange.handle_errors, exchange.handle_http_status_code

        def watched(status: int, reason: str, url: str, method: str, headers: Any, body: Any, answer: Any,
                    *rest: Any) -> Any:  # fmt: skip
            lowered = {str(name).lower(): value for name, value in (headers or {}).items()}
            used = self.quirks.used_weight(lowered)
            if used is not None:
                self.pace.told(used)
            try:
                handled = original(status, reason, url, method, headers, body, answer, *rest)
                by_status(status, reason, url, method, body)
            except Exception as error:
                error.retry_after = retry_after_s(lowered)  # type: ignore[attr-defined]
                error.status = status  # type: ignore[attr-defined]
                raise
            self.quirks.refuse_wrong_shape(status, url, answer)
            return handled

        return watched
