"""A service that runs inside the test, on the test's own loop, with everything that it tells kept."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.contract.events import Event, NoticeEvent
from app.control import ControlServer, send
from app.jobs import Jobs
from app.options import RunOptions
from app.run_opening import OpenSession
from app.service import TradingService
from app.wiring import Workplace
from data.clock import Clock
from data.exchange.session import ExchangeSession


@dataclass
class Running:
    """``document()`` waits for the end; ``until(test)`` for a state of the service after one of its bars or events."""

    service: TradingService
    home: Path
    told: list[Event] = field(default_factory=list)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[dict[str, Any]] | None = None

    @property
    def notices(self) -> list[str]:
        return [e.title for e in self.told if isinstance(e, NoticeEvent)]

    async def ask(self, command: str) -> dict[str, Any]:
        """As a second program asks, through the control channel."""
        return await asyncio.to_thread(send, self.home, command)

    async def until(self, test: Callable[[TradingService], object]) -> None:
        assert self.task is not None
        while not test(self.service):
            change = asyncio.ensure_future(self._change())
            await asyncio.wait((change, self.task), return_when=asyncio.FIRST_COMPLETED)
            change.cancel()
            if self.task.done() and not test(self.service):
                raise AssertionError(f"the run ended before: {self.task.result()}")

    async def _change(self) -> None:
        async with self.moved:
            await self.moved.wait()

    async def document(self) -> dict[str, Any]:
        assert self.task is not None
        return await self.task

    def touch(self) -> None:
        """Let those who wait look again."""

        async def notify() -> None:
            async with self.moved:
                self.moved.notify_all()

        asyncio.get_running_loop().create_task(notify())


@contextlib.asynccontextmanager
async def running(
    home: Path, *, clock: Clock | None = None, open_session: OpenSession = ExchangeSession,
    at_bar: Callable[[TradingService], None] = lambda _: None, **options: Any,
) -> AsyncIterator[Running]:  # fmt: skip
    """Start a run with its control channel; on leaving, it is stopped."""
    with Workplace.opened(home, clock, alone=True) as place:
        jobs = Jobs(clock=place.clock)
        here: Running

        def tell(event: Event) -> None:
            here.told.append(event)
            here.touch()

        def bar(service: TradingService) -> None:
            at_bar(service)
            here.touch()

        service = TradingService(place, RunOptions(home, **options), tell, bar, jobs, open_session)
        here = Running(service, home)
        control = ControlServer(home, service.command)
        await control.start()
        here.task = asyncio.ensure_future(service.run())
        try:
            yield here
        finally:
            service.stop()
            with contextlib.suppress(Exception):  # the test has what it wanted of it
                await here.task
            await control.stop()
            await asyncio.to_thread(jobs.close)
