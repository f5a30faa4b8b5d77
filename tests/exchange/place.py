"""A local Binance, its simulated clock and a session at it, for tests in which several things happen at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from data.exchange.session import ExchangeSession
from data.settings import DataSettings
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer
from tests.exchange.simulated_time import SimulatedClock

MINUTE = 60_000
NOW = START + 2000 * MINUTE + 30_000
PATIENCE_S = 0.5  # an answer on its way over loopback takes less, also on a busy machine


@dataclass
class Place:
    """An exchange, its simulated clock, and a session at it."""

    clock: SimulatedClock
    server: BinanceServer
    session: ExchangeSession

    def bars(self, count: int = 5) -> asyncio.Task[object]:
        """Begin to read ``count`` minutes."""
        return asyncio.ensure_future(self.session.candles("BTCUSDT", "1m", START, START + count * MINUTE))

    async def after(self, seconds: float, *tasks: asyncio.Task[object]) -> list[object]:
        """What came of ``tasks`` after ``seconds``: results and errors; what still runs is None."""
        await self.clock.run_for(seconds)
        return [None if not task.done() else task.exception() or task.result() for task in tasks]


class InFlight:
    """Tells the simulated clock to stand still while a request of ``session`` is on its way.

    A request that the exchange holds back on purpose is recognised by nothing happening for a while.
    """

    def __init__(self, session: ExchangeSession) -> None:
        self._count = 0
        self._since = 0.0
        self._fetch = session._exchange.fetch
        session._exchange.fetch = self._counted

    async def _counted(self, *args: object, **named: object) -> object:
        self._count, self._since = self._count + 1, time.monotonic()
        try:
            return await self._fetch(*args, **named)
        finally:
            self._count, self._since = self._count - 1, time.monotonic()

    def __call__(self) -> bool:
        return self._count > 0 and time.monotonic() - self._since < PATIENCE_S


Make = Callable[..., Awaitable[Place]]


@asynccontextmanager
async def places() -> AsyncIterator[Make]:
    """Make places, keywords change settings; at the end tasks are ended and everything is closed."""
    before = asyncio.all_tasks()
    async with AsyncExitStack() as stack:

        async def make(**changes: object) -> Place:
            clock = SimulatedClock(NOW)
            server = await stack.enter_async_context(BinanceServer(clock))
            server.market.add(*synthetic_market("BTCUSDT", "1m", 2100, 7))
            settings = DataSettings(**{"base_url": server.url, **changes})
            session = ExchangeSession(settings, clock, sleep=clock.sleep, rng=np.random.default_rng(1))
            await stack.enter_async_context(session)
            clock.busy.append(InFlight(session))
            place = Place(clock, server, session)
            assert (await place.after(0, asyncio.ensure_future(session.load_markets())))[0]
            return place

        try:
            yield make
        finally:
            ours = asyncio.all_tasks() - before - {asyncio.current_task()}
            ours = {task for task in ours if "session" in repr(task) or "test_" in repr(task)}
            for task in ours:
                task.cancel()
            await asyncio.gather(*ours, return_exceptions=True)
