"""The one door between the window (or API) and the service.

Threads. The service lives on its own asyncio loop in its own thread. ``start``, ``send``, ``query`` and ``close`` are
coroutines of *that* loop: the window calls them with ``asyncio.run_coroutine_threadsafe(…, service.loop)``. They never
block the loop: SQL and numpy work over a few milliseconds goes to a thread. ``subscribe`` may be called from any
thread; the two callbacks are called on the service's thread and must return at once (the window's bridge emits a
queued signal).

Two lanes come up:

* ``on_latest(topic, view)``: only the newest value counts. The service sends at most 20 a second per topic. The topics
  and their views: ``strip`` StripView, ``jobs`` JobsView, ``positions`` PositionsView, ``bar`` BarView.
* ``on_event(event)``: lossless and in order, one of ``app.contract.events.Event``.

Everything else is asked for: ``StripView.revision`` grows when a tab would show something new, and the window asks
again for the tab in sight, once a second at most.

The window makes its service by ``app.runtime.open_service(arguments)``: the arguments are those of ``app.main run``
(with ``--home`` among them); it only constructs (starts the loop's thread), and ``home`` is the folder in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from app.contract.commands import Command, Outcome
from app.contract.events import Event
from app.contract.queries import Query

TOPICS = ("strip", "jobs", "positions", "bar")
OnLatest = Callable[[str, object], None]
OnEvent = Callable[[Event], None]


class Service(Protocol):
    """What the window knows of the program; ``app.runtime.Runtime`` implements it."""

    @property
    def home(self) -> Path:
        """The home folder; the window keeps its layout in ``window.ini`` there."""
        ...

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The service's loop; it runs from construction to the end of ``close``."""
        ...

    def subscribe(self, on_latest: OnLatest, on_event: OnEvent) -> Callable[[], None]:
        """Begin to receive; the newest value of every topic is sent at once. The result ends the subscription."""
        ...

    async def start(self) -> None:
        """Open the home and begin as the options say.

        Raises:
            data.errors.UserError: the home or an option is wrong.
        """
        ...

    async def send(self, command: Command) -> Outcome:
        """Do what a person asked; a refusal is an ``Outcome`` with ``ok=False`` and one sentence."""
        ...

    async def query(self, query: Query) -> Any:
        """The view that answers the query, as named in its docstring; an empty view where there is nothing yet."""
        ...

    async def close(self) -> None:
        """Entries off, jobs ended, journal flushed; within 10 s. The loop ends afterwards."""
        ...
