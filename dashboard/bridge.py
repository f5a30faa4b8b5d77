"""The only crossing between the window's thread and the service's.

Commands and queries go down with ``run_coroutine_threadsafe``; views come up by queued signals in two lanes: *latest
wins* (a newer value of a topic replaces an older one that was not shown yet) and *lossless* (every event, in order).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from PyQt6.QtCore import QObject, Qt, pyqtSignal

from app.contract.commands import Command, Outcome
from app.contract.events import Event
from app.contract.facade import Service
from app.contract.queries import Query

log = logging.getLogger(__name__)


class Bridge(QObject):
    """Lives on the window's thread; its slots run there."""

    latest = pyqtSignal(str, object)  # topic, view
    happened = pyqtSignal(object)  # an event of the contract
    failed = pyqtSignal(str)  # one sentence
    told = pyqtSignal(object)  # Outcome of a command nobody else waits for
    _woken = pyqtSignal()
    _came = pyqtSignal(object)
    _answered = pyqtSignal(int, object)

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service
        self._lock = Lock()
        self._waiting: dict[str, object] = {}
        self._awake = False
        self._serial = 0
        self._asked: dict[int, tuple[str, Callable[[Any], None]]] = {}
        self._newest: dict[str, int] = {}
        queued = Qt.ConnectionType.QueuedConnection
        self._woken.connect(self._drain, queued)  # type: ignore[call-arg]
        self._came.connect(self.happened, queued)  # type: ignore[call-arg]
        self._answered.connect(self._deliver, queued)  # type: ignore[call-arg]
        self._leave = service.subscribe(self._on_latest, self._on_event)

    @property
    def home(self) -> str:
        """The home folder, as text."""
        return str(self._service.home)

    def ask(self, query: Query, then: Callable[[Any], None], lane: str = "") -> None:
        """Ask for a view; ``then`` runs on this thread. An answer overtaken in its lane is dropped."""
        name = lane or type(query).__name__
        number = self._remember(name, then)
        self._newest[name] = number
        self._run(self._service.query(query), number)

    def send(self, command: Command, then: Callable[[Outcome], None] | None = None) -> None:
        """Send a command; without ``then`` its outcome is told as a notice."""
        number = self._remember("", then or self.told.emit)
        self._run(self._service.send(command), number)

    def start(self, then: Callable[[Any], None]) -> None:
        """Start the service."""
        self._run(self._service.start(), self._remember("", then))

    def close(self) -> Future[None] | None:
        """End the subscription and begin to close the service; the result is done when it is closed."""
        self._leave()
        self._asked.clear()
        if not self._service.loop.is_running():
            return None
        return asyncio.run_coroutine_threadsafe(_closing(self._service), self._service.loop)

    def _remember(self, lane: str, then: Callable[[Any], None]) -> int:
        self._serial += 1
        self._asked[self._serial] = (lane, then)
        return self._serial

    def _run(self, work: Any, number: int) -> None:
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._service.loop)
        except RuntimeError as problem:  # the service's loop has ended
            work.close()
            self._asked.pop(number, None)
            self.failed.emit(f"The service has stopped: {problem}")
            return
        future.add_done_callback(lambda done: self._answered.emit(number, done))

    def _deliver(self, number: int, done: Future[Any]) -> None:
        lane, then = self._asked.pop(number, ("", None))
        if then is None or done.cancelled() or (lane and self._newest.get(lane) != number):
            return
        problem = done.exception()
        if problem is not None:
            log.error("the service failed", exc_info=problem)
            self.failed.emit(str(problem) or type(problem).__name__)
            return
        then(done.result())

    def _on_latest(self, topic: str, view: object) -> None:
        with self._lock:
            self._waiting[topic] = view
            wake, self._awake = not self._awake, True
        if wake:
            self._woken.emit()

    def _on_event(self, event: Event) -> None:
        self._came.emit(event)

    def _drain(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._awake = False
        for topic, view in waiting.items():
            self.latest.emit(topic, view)


async def _closing(service: Service) -> None:
    await service.close()
