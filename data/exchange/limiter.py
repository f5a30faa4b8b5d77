"""A pace for requests in two lanes: market data leave a share of the weight alone, and orders never queue behind them.

Weight drips in evenly. Market data wait in a line of their own and take nothing before it is their turn, so an order
meets only what was really spent. The exchange's own count corrects ours, and when it says so everybody waits.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from data.clock import Clock
from data.timeframes import MINUTE_MS

Sleep = Callable[[float], Awaitable[None]]
BURST_WEIGHT = 100.0  # Binance counts whole minutes, so this much at once is little
ROUNDING = 1e-6  # weight; less than this does not make anybody wait
TURN_OF_MINUTE_MS = 2_000  # clocks differ and answers are late: whose minute a count belongs to is not sure so soon
_ORDERING: ContextVar[bool] = ContextVar("ordering", default=False)


@contextmanager
def ordering() -> Iterator[None]:
    """Requests made inside go in the lane of orders (also those of tasks started inside)."""
    before = _ORDERING.set(True)
    try:
        yield
    finally:
        _ORDERING.reset(before)


def is_ordering() -> bool:
    """Whether the present task's requests go in the lane of orders."""
    return _ORDERING.get()


class Bucket:
    """Weight that drips in at ``per_second`` up to ``capacity``."""

    def __init__(self, per_second: float, capacity: float, at_s: float) -> None:
        self.per_second = per_second
        self.capacity = capacity
        self.level = capacity
        self._at = at_s

    def fill(self, now_s: float) -> None:
        """Let in what dripped since the last look."""
        self.level = min(self.capacity, self.level + (now_s - self._at) * self.per_second)
        self._at = now_s

    def seconds_to(self, weight: float) -> float:
        """Until ``weight`` (or a full bucket, if that is less) is there; 0: it is."""
        missing = min(weight, self.capacity) - self.level
        return missing / self.per_second if missing > ROUNDING else 0.0


class RequestPace:
    """Request weight per minute, shared by two lanes, first come first served within each, on an injected clock.

    Args:
        weight_per_minute: what we allow ourselves.
        order_share: part of it that only orders may use.
        most_per_minute: what the exchange allows in one of its minutes (by ``now_ms``, its clock).
        gate: asked before each wait and each request; raises when nothing may be asked now.
        burst: what may be spent at once after a quiet spell.
    """

    def __init__(
        self,
        weight_per_minute: float,
        clock: Clock,
        sleep: Sleep,
        *,
        order_share: float = 0.0,
        most_per_minute: float = math.inf,
        now_ms: Callable[[], int] | None = None,
        gate: Callable[[], None] = lambda: None,
        burst: float = BURST_WEIGHT,
    ) -> None:
        per_second, capacity, now = weight_per_minute / 60.0, min(burst, weight_per_minute), clock.monotonic()
        self.spent = 0.0
        self._clock = clock
        self._sleep = sleep
        self._now_ms = now_ms or clock.now_ms
        self._gate = gate
        self._share = order_share
        self._most = most_per_minute
        self._all = Bucket(per_second, capacity, now)
        self._market = Bucket(per_second * (1 - order_share), capacity * (1 - order_share), now)
        self._turns = {True: asyncio.Lock(), False: asyncio.Lock()}  # by lane
        self._closed_until = now
        self._minute = self._now_ms() // MINUTE_MS
        self._in_minute = 0.0

    async def __call__(self, cost: float | None = None) -> None:
        """Wait until ``cost`` (request weight) may be spent in the present lane, and spend it."""
        weight = 1.0 if cost is None else float(cost)
        order = is_ordering()
        async with self._turns[order]:
            while True:
                self._gate()
                wait = self._wait(weight, order)
                if wait <= 0:
                    break
                await self._sleep(wait)
            self._spend(weight, order)

    def close_for(self, seconds: float) -> None:
        """Nobody asks before ``seconds`` have passed (a 429 or 418 said so)."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)

    @property
    def closed_for_s(self) -> float:
        """Seconds until anybody may ask again; 0: now."""
        return max(0.0, self._closed_until - self._clock.monotonic())

    @property
    def used(self) -> float:
        """Weight used in the exchange's present minute, as far as known."""
        self._turn_minute()
        return self._in_minute

    def told(self, used: float) -> None:
        """The exchange has counted ``used`` in its present minute: what we did not know of is taken off."""
        if self._now_ms() % MINUTE_MS < TURN_OF_MINUTE_MS:
            return
        unknown = used - self.used
        if unknown > 0:
            self._in_minute += unknown
            self._take(unknown, market=True)

    def _wait(self, weight: float, order: bool) -> float:
        now = self._clock.monotonic()
        self._all.fill(now)
        self._market.fill(now)
        reserve = 0.0 if order else self._share * self._all.capacity
        waits = [self._closed_until - now, self._all.seconds_to(weight + reserve), self._minute_wait(weight, order)]
        if not order:
            waits.append(self._market.seconds_to(weight))
        return max(waits)

    def _minute_wait(self, weight: float, order: bool) -> float:
        """Seconds to the exchange's next minute, if the present one has no room for ``weight``."""
        most = self._most if order else self._most * (1 - self._share)
        if self.used == 0 or self.used + weight <= most:
            return 0.0
        return (MINUTE_MS - self._now_ms() % MINUTE_MS) / 1000

    def _spend(self, weight: float, order: bool) -> None:
        self.spent += weight
        self._turn_minute()
        self._in_minute += weight
        self._take(weight, market=not order)

    def _take(self, weight: float, *, market: bool) -> None:
        self._all.level -= weight
        if market:
            self._market.level -= weight

    def _turn_minute(self) -> None:
        minute = self._now_ms() // MINUTE_MS
        if minute != self._minute:
            self._minute, self._in_minute = minute, 0.0
