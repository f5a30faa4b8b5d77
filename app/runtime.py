"""The service behind the window: its own loop in its own thread, commands in, views and events out.

Implements ``app.contract.facade.Service``; which thread calls what is written there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.contract import commands as c
from app.contract.events import Event, JobEvent, NoticeEvent
from app.contract.facade import OnEvent, OnLatest
from app.contract.queries import Query
from app.contract.results import JobsView, JobView
from app.contract.views import HealthRow
from app.control import ControlServer
from app.event_log import EventLog
from app.jobs import Jobs, JobStatus
from app.live_views import positions_view, strip
from app.options import RunOptions
from app.service import FINISHED, STOPPED, TradingService
from app.wiring import Workplace, load_settings
from data.errors import QuantError, UserError
from data.market import SeriesKey, unified_symbol

if TYPE_CHECKING:
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
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.ExitStack()
        self._place: Workplace | None = None
        self._service: TradingService | None = None
        self._run: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._jobs: Jobs | None = None
        self._log: EventLog | None = None
        self._control: ControlServer | None = None
        self._listeners: list[tuple[OnLatest, OnEvent]] = []
        self._newest: dict[str, object] = {}
        self._due: asyncio.TimerHandle | None = None
        self._dismissed: set[int] = set()
        self._results: dict[int, tuple[str, str]] = {}  # job: words, tab
        self._audit: tuple[AuditReport, int] | None = None
        self._failure = ""
        self._thread = threading.Thread(target=self._live, name="service", daemon=True)
        self._thread.start()

    @property
    def home(self) -> Path:
        """The home folder."""
        return self._options.home

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The service's loop."""
        return self._loop

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    # ---- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the home and begin the run that the options describe.

        Raises:
            UserError: the home is in use or cannot be used.
        """
        place = await asyncio.to_thread(self._stack.enter_context, Workplace.opened(self._options.home))
        self._stack.enter_context(place.home.lock())
        self._place = place
        self._jobs = Jobs(self._job_changed, place.clock)
        self._log = self._stack.enter_context(EventLog(place.database.logs, place.clock))
        self._control = ControlServer(place.home.path, self._controlled)
        await self._control.start()
        self._begin()
        self._keep(self._heartbeat())

    async def close(self) -> None:
        """End the run, the jobs and the loop; within 10 s."""
        if self._service is not None:
            self._service.stop()
        if self._run is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._run), CLOSE_WITHIN_S)
        for task in self._background:
            task.cancel()
        if self._jobs is not None:
            await asyncio.to_thread(self._jobs.close, 2.0)
        if self._control is not None:
            await self._control.stop()
        if self._due is not None:
            self._due.cancel()
        await asyncio.to_thread(self._stack.close)
        self._place = None
        self._loop.call_soon(self._loop.stop)

    def _begin(self) -> None:
        place = self._opened()
        assert self._jobs is not None
        self._place = place = replace(place, settings=load_settings(place.home, place.database))
        self._failure = ""
        self._service = TradingService(place, self._options, self._tell, self._bar, self._jobs)
        self._run = self._loop.create_task(self._run_service(self._service))

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
        self._failure = sentence
        service.progress.state, service.progress.why = STOPPED, sentence
        service.progress.revision += 1
        self._tell(NoticeEvent(service.place.clock.now_ms(), "bad", "The service has stopped", sentence, "logs"))

    def _keep(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _heartbeat(self) -> None:
        """Once a second: staleness, job times and log rows move on although no bar comes."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            self._publish()
            if self._log is not None:
                await asyncio.to_thread(self._log.flush)

    def _opened(self) -> Workplace:
        if self._place is None:
            raise UserError("The service is not open.")
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
        service = self._service
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
        if self._service is not None:
            self._service.progress.revision += 1
        words, tab = self._results.get(status.job_id, ("", "models"))
        self._tell(
            JobEvent(
                self._opened().clock.now_ms(), str(status.job_id), status.name, status.state,
                status.error or words or status.words, tab,
            )
        )  # fmt: skip

    def _jobs_view(self) -> JobsView:
        if self._jobs is None:
            return JobsView(())
        rows = []
        for status in reversed(self._jobs.statuses()):
            if status.job_id in self._dismissed:
                continue
            words, tab = self._results.get(status.job_id, ("", "models"))
            name, _, about = status.name.partition(" ")
            rows.append(
                JobView(
                    str(status.job_id), name, about, status.words, status.fraction if status.total else None,
                    status.remaining_s, status.state, status.state == "running", status.error or "",
                    words or status.words, tab,
                )
            )  # fmt: skip
        return JobsView(tuple(rows))

    # ---- questions ---------------------------------------------------------------------------------------------------

    async def query(self, query: Query) -> Any:
        """The view that answers; built in a thread."""
        from app.projections import build

        context = self._context()
        return await asyncio.to_thread(build, query, context)

    def _context(self) -> Context:
        from app.projection_context import Context

        service = self._service
        place = self._opened()
        assert service is not None
        account = service.account and place.database.accounts.get(service.account.id)
        return Context(
            place=place, account=account or place.database.accounts.newest(),
            keys=service.plan.keys if service.plan is not None else (), strip=strip(service),
            positions=positions_view(service), jobs=self._jobs_view(), health=self._health(service),
            audit=self._audit[0] if self._audit else None, audit_ms=self._audit[1] if self._audit else None,
        )  # fmt: skip

    def _health(self, service: TradingService) -> tuple[HealthRow, ...]:
        feed = service.health()
        levels = {"live": "ok", "replaying": "ok", "synthetic": "warn", "stale": "bad", "ended": "idle"}
        place = self._opened()
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
            outcome = await self._do(command)
        except QuantError as error:
            return c.Outcome(False, str(error))
        except OSError as error:
            return c.Outcome(False, f"{error.strerror or error}: check the path and the free space.")
        if self._service is not None:
            self._service.progress.revision += 1
        self._publish()
        return outcome

    async def _controlled(self, name: str, args: Any) -> dict[str, Any]:
        """A command of the control channel."""
        service = self._service
        if service is None:
            raise UserError("The service is starting: ask again in a moment.")
        answer = await service.command(name, args)
        self._publish()
        return answer

    async def _do(self, command: c.Command) -> c.Outcome:
        match command:
            case c.Start():
                return await self._start_again()
            case c.Pause():
                return self._running().act("pause")
            case c.Resume():
                return self._running().act("resume")
            case c.Stop():
                self._running().stop()
                return c.Outcome(True, "Stopping: open positions stay open.")
            case c.EmergencyStop(reason):
                return self._running().emergency_stop(reason)
            case c.ClosePosition(symbol):
                return self._running().close_position(unified_symbol(symbol))
            case _:
                return await self._do_house(command)

    async def _do_house(self, command: c.Command) -> c.Outcome:
        from app import settings

        place = self._opened()
        match command:
            case c.SetSetting(key, value):
                await asyncio.to_thread(settings.change, place.database, place.home.path, key, value)
                return c.Outcome(True, f"{key} is now {value}; a run that goes on takes it at its next start.")
            case c.ResetSetting(key):
                await asyncio.to_thread(settings.reset, place.database, place.home.path, key)
                return c.Outcome(True, f"{key} is back to its default.")
            case c.UseExchangeData():
                await asyncio.to_thread(settings.change, place.database, place.home.path, "run.source", "exchange")
                self._options = replace(self._options, source=None)
                return c.Outcome(True, "From the next start on the bars come from the exchange: Stop, then Start.")
            case c.VerifyAudit():
                report = await asyncio.to_thread(place.database.audit.verify)
                self._audit = (report, place.clock.now_ms())
                words = "The audit chain is whole" if report.ok else f"The audit chain is broken: {report.problem}"
                return c.Outcome(report.ok, f"{words} ({report.entries:,} entries).")
            case c.ExportTable(table, path):
                service = self._service
                account = service.account.id if service is not None and service.account is not None else None
                rows = await asyncio.to_thread(place.database.export.write, table, Path(path), account)
                return c.Outcome(True, f"{rows:,} rows of {table} written to {path}.")
            case _:
                return await self._do_research(command)

    async def _do_research(self, command: c.Command) -> c.Outcome:
        place = self._opened()
        assert self._jobs is not None
        match command:
            case c.RunWalkForward(symbol, timeframe):
                return self._walk_forward(symbol, timeframe)
            case c.ImportFiles(paths, symbol, timeframe, kind):
                return self._import(paths, symbol, timeframe, kind)
            case c.PromoteModel(model_id):
                row = await asyncio.to_thread(place.database.models.promote, model_id)
                if self._service is not None and self._service.switching is not None:
                    self._service.switching.want(row)
                    return c.Outcome(True, f"Model {model_id} takes over at the next bar.")
                return c.Outcome(True, f"Model {model_id} is promoted; the next run that reads forecasts uses it.")
            case c.RollbackModel():
                row = await asyncio.to_thread(place.database.models.rollback)
                if self._service is not None and self._service.switching is not None:
                    self._service.switching.want(row)
                return c.Outcome(True, f"Back to model {row.model_id}.")
            case c.CancelJob(job_id):
                done = self._jobs.cancel(int(job_id))
                return c.Outcome(done, "Cancelled." if done else "That job has ended already.")
            case c.DismissJob(job_id):
                self._dismissed.add(int(job_id))
                return c.Outcome(True, "")
            case _:
                return c.Outcome(False, f"{type(command).__name__} is not known.")

    def _running(self) -> TradingService:
        if self._service is None or self._service.progress.state in (STOPPED, FINISHED):
            raise UserError("The service is stopped: start it first.")
        return self._service

    async def _start_again(self) -> c.Outcome:
        service = self._service
        if service is not None and service.progress.state in ("HALTED", "PAUSED"):
            return service.act("resume")
        if self._run is not None and not self._run.done():
            return c.Outcome(False, "The service runs already.")
        self._begin()
        return c.Outcome(True, "Starting.")

    def _walk_forward(self, symbol: str, timeframe: str) -> c.Outcome:
        key = self._key(symbol, timeframe)
        arguments = {
            "home": str(self.home), "symbol": key.symbol, "timeframe": key.timeframe, "exchange": key.exchange,
            "source": key.source, "seed": self._options.seed,
        }  # fmt: skip
        from app.workers import WALK_FORWARD

        return self._job(
            f"Walk-forward {key.symbol.split(':')[0].replace('/', '')} {key.timeframe}", WALK_FORWARD, arguments,
            lambda result: (str(result["verdict"]), "models"),
        )  # fmt: skip

    def _import(self, paths: Sequence[str], symbol: str, timeframe: str, kind: str) -> c.Outcome:
        from app.workers import IMPORT

        name = unified_symbol(symbol)
        arguments = {
            "home": str(self.home), "paths": list(paths), "symbol": name, "timeframe": timeframe or None, "kind": kind,
        }  # fmt: skip
        return self._job(
            f"Import {symbol}", IMPORT, arguments,
            lambda r: (f"{r['inserted']:,} new rows, {r['revised']:,} revised, {r['gaps']} gaps", "chart"),
        )  # fmt: skip

    def _job(
        self, name: str, work: str, arguments: dict[str, Any], words: Callable[[Any], tuple[str, str]]
    ) -> c.Outcome:
        assert self._jobs is not None
        job_id, future = self._jobs.start(name, work, arguments)

        def ended(_future: object) -> None:
            if future.exception() is None:
                self._results[job_id] = words(future.result())

        future.add_done_callback(ended)
        return c.Outcome(True, f"{name} has started.")

    def _key(self, symbol: str, timeframe: str) -> SeriesKey:
        context = self._context()
        name = unified_symbol(symbol) if symbol else context.symbols[0]
        return context.key_of(name, timeframe)
