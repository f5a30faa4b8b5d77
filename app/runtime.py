"""The service behind the window: its own loop in its own thread, commands in, views and events out.

Implements ``app.contract.facade.Service``; which thread calls what is written there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.contract import commands as c
from app.contract.events import Event, NoticeEvent
from app.contract.facade import OnEvent, OnLatest
from app.contract.queries import Query
from app.contract.results import JobsView
from app.contract.views import HealthRow
from app.control import ControlServer
from app.event_log import EventLog
from app.job_tray import JobTray
from app.jobs import Jobs, JobStatus
from app.live_views import book, positions_view, strip
from app.options import RunOptions
from app.runtime_commands import NOT_OPEN, RuntimeCommands
from app.service import STOPPED, TradingService
from app.wiring import Workplace, load_settings
from data.errors import QuantError, UserError

if TYPE_CHECKING:
    from app.contract.market_views import FeedRow, QuoteRow
    from app.contract.model_views import LiveLine
    from app.projection_context import Context
    from database.audit import AuditReport

log = logging.getLogger(__name__)
PUBLISH_EVERY_S = 0.05  # a topic at most 20 times a second
HEARTBEAT_S = 1.0
CLOSE_WITHIN_S = 8.0


def open_service(arguments: Sequence[str]) -> Runtime:
    """The service for these arguments of ``run`` (with ``--home`` among them). Constructs only.

    Raises:
        UserError: an option is wrong.
    """
    from app.cli.tree import UsageError, invoke
    from app.main import WrongUsage, read_call
    from app.output import Output

    taken: list[RunOptions] = []
    try:
        call = read_call(list(arguments))
        invoke(call.rest, call.home, Output(debug=call.debug), taken.append)
    except (UsageError, WrongUsage) as error:
        words = getattr(error, "format_message", None)
        raise UserError(str(words() if words is not None else error)) from None
    if not taken:
        raise UserError("The window takes the options of 'run' only; give other commands to 'python -m app.main'.")
    return Runtime(taken[0])


class Runtime:
    """One home, opened; runs of the service one after another; jobs; and who listens."""

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self.service: TradingService | None = None
        self.tray: JobTray | None = None
        self.audit: tuple[AuditReport, int] | None = None  # the last verification and when it was
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.ExitStack()
        self._place: Workplace | None = None
        self._commands = RuntimeCommands(self)
        self._run: asyncio.Task[None] | None = None
        self._beat: asyncio.Task[None] | None = None
        self._log: EventLog | None = None
        self._control: ControlServer | None = None
        self._listeners: list[tuple[OnLatest, OnEvent]] = []
        self._newest: dict[str, object] = {}
        self._due: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._live, name="service", daemon=True)
        self._thread.start()

    @property
    def home(self) -> Path:
        """The home folder."""
        return self.options.home

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The service's loop."""
        return self._loop

    @property
    def busy(self) -> bool:
        """Whether a run goes on."""
        return self._run is not None and not self._run.done()

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    # ---- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the home and begin the run that the options describe.

        Raises:
            UserError: the home is in use or cannot be used.
        """
        opening = Workplace.opened(self.options.home, alone=True)
        self._place = place = await asyncio.to_thread(self._stack.enter_context, opening)
        self.tray = JobTray(Jobs(self._job_changed, place.clock))
        self._log = self._stack.enter_context(EventLog(place.database.logs, place.clock))
        self._control = ControlServer(place.home.path, self._controlled)
        await self._control.start()
        self.begin()
        self._beat = self._loop.create_task(self._heartbeat())

    async def close(self) -> None:
        """End the run, the jobs and the loop; within 10 s."""
        if self.service is not None:
            self.service.stop()
        if self._run is not None:
            await asyncio.wait((self._run,), timeout=CLOSE_WITHIN_S)
        left = [task for task in (self._run, self._beat) if task is not None and not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if self.tray is not None:
            await asyncio.to_thread(self.tray.jobs.close, 2.0)
        if self._control is not None:
            await self._control.stop()
        if self._due is not None:
            self._due.cancel()
        await asyncio.to_thread(self._stack.close)
        self._place = None
        self._loop.call_soon(self._loop.stop)

    def begin(self) -> None:
        """Begin a run with the options and the settings of this moment; ``--fresh`` holds for one run only."""
        place = self.opened()
        assert self.tray is not None
        self._place = place = replace(place, settings=load_settings(place.home, place.database, self.options.profile))
        self.service = TradingService(place, self.options, self._tell, self._bar, self.tray.jobs)
        self.options = replace(self.options, fresh=False)
        self._run = self._loop.create_task(self._run_service(self.service))

    async def _run_service(self, service: TradingService) -> None:
        """One run to its end; whatever ends it early is said, and the window goes on."""
        try:
            await service.run()
        except QuantError as error:
            self._fail(service, str(error))
        except Exception as error:
            log.exception("the service ended")
            self._fail(service, f"The service ended unexpectedly ({type(error).__name__}); the log says more.")
        self._publish()

    def _fail(self, service: TradingService, sentence: str) -> None:
        service.progress.state, service.progress.why = STOPPED, sentence
        service.progress.revision += 1
        self._tell(NoticeEvent(service.place.clock.now_ms(), "bad", "The service has stopped", sentence, "logs"))

    async def _heartbeat(self) -> None:
        """Once a second: staleness, job times and log rows move on although no bar comes."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._publish()
            if self._log is not None:
                await asyncio.to_thread(self._log.flush)

    def opened(self) -> Workplace:
        """The opened home.

        Raises:
            UserError: not open yet, or closed.
        """
        if self._place is None:
            raise UserError(NOT_OPEN)
        return self._place

    # ---- what comes up -----------------------------------------------------------------------------------------------

    def subscribe(self, on_latest: OnLatest, on_event: OnEvent) -> Callable[[], None]:
        """Begin to receive; the result ends it. Any thread."""
        listener = (on_latest, on_event)

        def begin() -> None:
            self._listeners.append(listener)
            for topic, view in self._newest.items():
                on_latest(topic, view)

        def end() -> None:
            with contextlib.suppress(ValueError):
                self._listeners.remove(listener)

        self._on_loop(begin)
        return lambda: self._on_loop(end)

    def _on_loop(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody listens any more
            self._loop.call_soon_threadsafe(work)

    def _tell(self, event: Event) -> None:
        if self._log is not None:
            self._log.event(event)
        for _, on_event in list(self._listeners):
            try:
                on_event(event)
            except Exception:
                log.exception("a listener of events raised")

    def _bar(self, _service: TradingService) -> None:
        """After each bar: publish at once or, at full speed, when the next slot comes."""
        if self._due is None:
            self._due = self._loop.call_later(PUBLISH_EVERY_S, self._publish)

    def _publish(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        service = self.service
        if service is None:
            return
        for topic, view in (
            ("strip", strip(service)), ("positions", positions_view(service)), ("jobs", self._jobs_view()),
        ):  # fmt: skip
            self._send_latest(topic, view)
        if service.newest is not None:
            self._send_latest("bar", service.newest)

    def _send_latest(self, topic: str, view: object) -> None:
        self._newest[topic] = view
        for on_latest, _ in list(self._listeners):
            try:
                on_latest(topic, view)
            except Exception:
                log.exception("a listener of %s raised", topic)

    def _job_changed(self, status: JobStatus) -> None:
        """On a follower thread of the jobs."""
        self._on_loop(lambda: self._job_on_loop(status))

    def _job_on_loop(self, status: JobStatus) -> None:
        if self._due is None:
            self._due = self._loop.call_later(PUBLISH_EVERY_S, self._publish)
        if status.state == "running":
            return
        if self.service is not None:
            self.service.progress.revision += 1
        if self.tray is not None and self._place is not None:
            self._tell(self.tray.event(status, self._place.clock.now_ms()))

    def _jobs_view(self) -> JobsView:
        return JobsView(()) if self.tray is None else self.tray.view()

    # ---- questions ---------------------------------------------------------------------------------------------------

    async def query(self, query: Query) -> Any:
        """The view that answers; built in a thread."""
        from app.projections import build

        context = self.context()
        return await asyncio.to_thread(build, query, context)

    def context(self) -> Context:
        """What views are built from, as of now.

        Raises:
            UserError: the service is not open.
        """
        from app.projection_context import Context

        place, service = self.opened(), self.service
        if service is None:
            raise UserError(NOT_OPEN)
        account = service.account and place.database.accounts.get(service.account.id)
        feeds, quotes = self._market(service)
        return Context(
            place=place, account=account or place.database.accounts.newest(),
            keys=service.plan.keys if service.plan is not None else (), strip=strip(service),
            positions=positions_view(service), jobs=self._jobs_view(), health=self._health(service),
            audit=self.audit[0] if self.audit else None, audit_ms=self.audit[1] if self.audit else None, feeds=feeds,
            quotes=quotes, live_models=self._live_models(service), book=book(service),
        )  # fmt: skip

    @staticmethod
    def _live_models(service: TradingService) -> tuple[LiveLine, ...]:
        """How the run's models fare; nothing where none forecasts."""
        from app.live_model_views import live_lines

        if service.trader is None or service.switching is None:
            return ()
        return live_lines(service.trader, service.switching.watch)

    def _market(self, service: TradingService) -> tuple[tuple[FeedRow, ...], tuple[QuoteRow, ...]]:
        """Feeds and markets of a run on an exchange."""
        from app.live_feed import ExchangeFeed
        from app.live_market_views import feed_rows, quote_row

        feed = service.feed
        health, quotes = feed.details() if isinstance(feed, ExchangeFeed) else (None, ())
        if health is None:
            return (), ()
        return feed_rows(health, service.place.clock.now_ms()), tuple(quote_row(quote) for quote in quotes)

    def _health(self, service: TradingService) -> tuple[HealthRow, ...]:
        feed = service.health()
        levels = {"live": "ok", "replaying": "ok", "synthetic": "warn", "stale": "bad", "ended": "idle"}
        place = self.opened()
        size = place.home.database_path.stat().st_size / 1e6
        ids = service.trader.model_ids if service.trader is not None else []
        state = place.database.state
        return (
            HealthRow("Feed", feed.state.capitalize(), levels.get(feed.state, "idle"), f"{feed.name} · {feed.detail}"),
            HealthRow("Paper venue", "Ready", "ok", "fills at the next open + spread + impact"),
            HealthRow(
                "Model", ids[-1] if ids else "None yet", "ok" if ids else "idle",
                "makes the forecasts" if ids else "the rule trades until a model is promoted",
            ),
            HealthRow("Database", state.capitalize(), "ok" if state == "running" else "bad", f"{size:,.0f} MB"),
        )  # fmt: skip

    # ---- commands ----------------------------------------------------------------------------------------------------

    async def send(self, command: c.Command) -> c.Outcome:
        """Do it; a refusal is an outcome with its sentence."""
        try:
            outcome = await self._commands.do(command)
        except QuantError as error:
            return c.Outcome(False, str(error))
        except OSError as error:
            return c.Outcome(False, f"{error.strerror or error}: check the path and the free space.")
        if self.service is not None:
            self.service.progress.revision += 1
        self._publish()
        return outcome

    async def _controlled(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """A command of the control channel."""
        if self.service is None:
            raise UserError("The service is starting: ask again in a moment.")
        answer = await self.service.command(name, args)
        self._publish()
        return answer
