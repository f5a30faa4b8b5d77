"""A pace for requests: weight drips in evenly, and everybody waits when the exchange says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from data.clock import Clock

Sleep = Callable[[float], Awaitable[None]]
BURST_WEIGHT = 100.0  # may be spent at once after a quiet spell


class RequestPace:
    """A token bucket over request weight, first come first served, on an injected clock."""

    def __init__(self, weight_per_minute: float, clock: Clock, sleep: Sleep) -> None:
        self._per_second = weight_per_minute / 60.0
        self._clock = clock
        self._sleep = sleep
        self._burst = min(BURST_WEIGHT, weight_per_minute)
        self._left = self._burst
        self._at = clock.monotonic()
        self._closed_until = self._at
        self.spent = 0.0

    async def __call__(self, cost: float | None = None) -> None:
        """Wait until ``cost`` (request weight) may be spent, and spend it."""
        weight = 1.0 if cost is None else float(cost)
        now = self._clock.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        self._left -= weight  # reserved before waiting, so that later callers queue behind
        self.spent += weight
        wait = max(0.0, -self._left / self._per_second, self._closed_until - now)
        if wait > 0:
            await self._sleep(wait)

    def close_for(self, seconds: float) -> None:
        """Nobody asks before ``seconds`` have passed (a 429 or 418 said so)."""
        self._closed_until = max(self._closed_until, self._clock.monotonic() + seconds)
