"""Time that only the test moves: sleepers wake in order, and the loop comes to rest between two moments.

``sleep`` is what the program under test gets instead of ``asyncio.sleep``. ``run_for`` moves the clock from one due
sleeper to the next and lets everything that follows from it (answers over loopback sockets included) happen before
the clock moves on, so a day passes in as long as its messages take.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

QUIET_TURNS = 15  # loop turns without work after which the loop is at rest
BUSY_TURNS = 30  # turns after which a thread is what keeps the loop busy
THREAD_S = 0.0003


class SimulatedClock:
    """A ``data.clock.Clock`` with its own ``sleep``.

    ``busy`` holds questions asked while the loop settles: as long as one of them says True (a request is being
    answered, a message has been sent and not read) time stands still.
    """

    def __init__(self, ms: int = 0) -> None:
        self.ms = ms
        self.seconds = 0.0
        self.busy: list[Callable[[], bool]] = []
        self._start_ms = ms
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float, timer: bool = True) -> None:
        """Jump without waking anybody in between (as a machine that slept; some stop their ``timer`` meanwhile)."""
        if timer:
            self.seconds += seconds
        else:
            self._start_ms += round(seconds * 1000)
        self.ms = self._start_ms + round(self.seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        """Return when the clock has been moved by ``seconds``."""
        due: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.seconds + max(0.0, seconds), next(self._order), due))
        await due

    async def run_for(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        end = self.seconds + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, due = heapq.heappop(self._sleepers)
            if due.done():
                continue
            self.advance(max(0.0, at - self.seconds))
            due.set_result(None)
            if not (self._sleepers and self._sleepers[0][0] <= at):
                await self.settle()
        self.advance(max(0.0, end - self.seconds))
        await self.settle()

    async def step(self) -> bool:
        """Let time pass to the next sleeper and let what follows happen; False where nobody sleeps."""
        await self.settle()
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            return False
        await self.run_for(max(0.0, self._sleepers[0][0] - self.seconds))
        return True

    async def run_until(self, ms: int) -> None:
        """Let the time pass until ``ms``."""
        await self.run_for(max(0.0, (ms - self.ms) / 1000))

    async def settle(self) -> None:
        """Return when the loop is at rest.

        What keeps it busy for long is a thread (a write to the store): turning on and on would take the interpreter
        from it at every step, so the loop then lets real time pass between two looks.
        """
        quiet = busy = 0
        while quiet < QUIET_TURNS:
            await asyncio.sleep(THREAD_S if busy > BUSY_TURNS else 0)
            at_work = any(question() for question in self.busy)
            quiet, busy = (0, busy + 1) if at_work else (quiet + 1, 0)
