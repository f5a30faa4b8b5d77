"""The log of a running program: events and library messages go to the ``logs`` table, in batches, off the loop."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable

from app.contract.events import Event, FillEvent, JobEvent, NoticeEvent, StateEvent
from data.clock import Clock
from data.errors import QuantError
from database.logs import LogRow, Logs

_LEVELS = {"info": 20, "ok": 20, "warn": 30, "bad": 40}
BATCH = 200  # rows at most between two writes


class EventLog(logging.Handler):
    """Collects rows from any thread; :meth:`flush` writes them. Messages of the standard library arrive by handler."""

    def __init__(self, logs: Logs, clock: Clock) -> None:
        super().__init__(logging.WARNING)
        self._logs = logs
        self._clock = clock
        self._rows: list[LogRow] = []
        self._rows_lock = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """A message of a library or of our own code."""
        fields = {}
        if record.exc_info and record.exc_info[0] is not None:
            fields["trace"] = "".join(traceback.format_exception(*record.exc_info))
        self._add(LogRow(self._clock.now_ms(), record.levelno, record.name, record.getMessage(), fields))

    def event(self, event: Event) -> None:
        """What the window or the terminal is told."""
        now = self._clock.now_ms()
        if isinstance(event, FillEvent):
            self._add(LogRow(now, 20, "trading", event.sentence, {"symbol": event.symbol, "reason": event.reason}))
        elif isinstance(event, NoticeEvent):
            self._add(LogRow(now, _LEVELS.get(event.level, 20), "service", f"{event.title}. {event.sentence}", {}))
        elif isinstance(event, StateEvent):
            why = f": {event.why}" if event.why else ""
            self._add(LogRow(now, 20, "service", f"{event.before} to {event.after}{why}", {}))
        elif isinstance(event, JobEvent):
            level = 20 if event.state == "done" else 30
            self._add(LogRow(now, level, "jobs", f"{event.name}: {event.state}. {event.sentence}".strip(), {}))

    def flush(self) -> None:
        """Write what is waiting; a full disk loses log lines, never the run."""
        with self._rows_lock:
            rows, self._rows = self._rows, []
        if rows:
            try:
                self._logs.append(rows)
            except QuantError:
                return

    def __enter__(self) -> EventLog:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)
        self.flush()

    def _add(self, row: LogRow) -> None:
        with self._rows_lock:
            self._rows.append(row)
            full = len(self._rows) >= BATCH
        if full:
            self.flush()


def both(one: Callable[[Event], None], other: Callable[[Event], None]) -> Callable[[Event], None]:
    """Tell two listeners."""

    def tell(event: Event) -> None:
        one(event)
        other(event)

    return tell
