"""The service in a terminal: a calm live line, notable events, a summary at the end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from app.contract.events import Event, FillEvent, NoticeEvent, StateEvent
from app.control import ControlServer
from app.event_log import EventLog, both
from app.jobs import Jobs, JobStatus
from app.live_views import headline
from app.options import RunOptions
from app.service import TradingService
from app.wiring import Workplace, load_settings
from data.clock import Clock, iso

if TYPE_CHECKING:
    from app.output import Output

BEAT_S = 1.0
LINE_EVERY_S = 0.5  # on a terminal
QUIET_LINE_EVERY_S = 15.0  # elsewhere
MAX_FILLS_TOLD = 40  # of an unpaced run; the ledger has them all


class Terminal:
    """Writes to stderr: events as lines, and one live line that is rewritten on a terminal."""

    def __init__(self, clock: Clock, stream: TextIO | None = None) -> None:
        self._clock = clock
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._said = clock.monotonic()
        self._shown = 0
        self._fills = 0

    def event(self, event: Event) -> None:
        """One line for what a person should see."""
        if isinstance(event, FillEvent):
            self._fills += 1
            if self._fills > MAX_FILLS_TOLD:
                if self._fills == MAX_FILLS_TOLD + 1:
                    self._line("Further fills are not listed here; 'fills' shows them all.")
                return
            self._line(f"{_minute(event.time_ms)}  {event.sentence}")
        elif isinstance(event, NoticeEvent):
            self._line(f"{event.title}. {event.sentence}")
        elif isinstance(event, StateEvent):
            self._line(f"{event.after.replace('_', ' ').capitalize()}{f': {event.why}' if event.why else ''}.")

    def status(self, text: Callable[[], str]) -> None:
        """Refresh the live line if it is due."""
        now = self._clock.monotonic()
        if now - self._said < (LINE_EVERY_S if self._live else QUIET_LINE_EVERY_S):
            return
        self._said = now
        line = text()
        if self._live:
            self._write("\r" + line.ljust(self._shown))
            self._shown = len(line)
        else:
            self._write(line + "\n")

    def close(self) -> None:
        """Leave the live line."""
        if self._shown:
            self._write("\n")
            self._shown = 0

    def _line(self, text: str) -> None:
        if self._shown:
            self._write("\r" + " " * self._shown + "\r")
            self._shown = 0
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stream.write(text)
            self._stream.flush()


def _minute(ms: int) -> str:
    return str(iso(ms))[:16].replace("T", " ")


def run_headless(options: RunOptions, out: Output) -> dict[str, Any]:
    """Run the service in this thread until it ends; the summary document.

    Ctrl+C and SIGTERM end it cleanly.

    Raises:
        UserError: the home is in use or cannot be used, or the options do not fit.
    """
    with Workplace.opened(options.home, alone=True) as place, EventLog(place.database.logs, place.clock) as log:
        place = replace(place, settings=load_settings(place.home, place.database, options.profile))
        return asyncio.run(_run(place, options, Terminal(out.clock), log))


async def _run(place: Workplace, options: RunOptions, terminal: Terminal, log: EventLog) -> dict[str, Any]:
    loop = asyncio.get_running_loop()

    def show() -> None:
        terminal.status(lambda: headline(service))

    def on_job(_status: JobStatus) -> None:
        loop.call_soon_threadsafe(show)

    jobs = Jobs(on_job, place.clock)
    service = TradingService(place, options, both(terminal.event, log.event), lambda _: show(), jobs)
    control = ControlServer(place.home.path, service.command)
    await control.start()
    restore = _stop_on_signals(loop, service, terminal)
    beat = asyncio.create_task(_beat(show, log))
    try:
        return await service.run()
    finally:
        beat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beat
        restore()
        await control.stop()
        await asyncio.to_thread(jobs.close)
        terminal.close()


async def _beat(show: Callable[[], None], log: EventLog) -> None:
    """Once a second, although no bar comes: the live line goes on and log rows are written."""
    while True:
        await asyncio.sleep(BEAT_S)
        show()
        await asyncio.to_thread(log.flush)


def _stop_on_signals(
    loop: asyncio.AbstractEventLoop, service: TradingService, terminal: Terminal
) -> Callable[[], None]:
    """Ctrl+C and SIGTERM stop the service after the present bar; the call that puts things back."""

    def stop() -> None:
        if service.stopping:
            return
        terminal.event(NoticeEvent(0, "info", "Stopping", "Open positions stay open; a second run goes on from here."))
        service.stop()

    taken = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop)
            taken.append(number)
        except (NotImplementedError, RuntimeError, ValueError):
            continue  # Windows, or not the main thread: KeyboardInterrupt ends the loop instead

    def restore() -> None:
        for number in taken:
            loop.remove_signal_handler(number)

    return restore
