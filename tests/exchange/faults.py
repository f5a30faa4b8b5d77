"""A script of faults, by name and by moment, laid over an exchange on loopback.

``server.faults.add(name, at_ms=..., until_ms=..., path=... | stream=..., times=..., **how)``. A fault is due from
``at_ms`` until ``until_ms`` (server time; open ends where not given) and strikes ``times`` times (without limit where
only a span is given). ``path`` is the end of a REST path, ``stream`` a pattern of stream names (``btcusdt@kline_*``).

================  ====================================================================================================
answers           ``delay`` (``delay_s``), ``wrong json``, ``empty``, ``html``, ``null``, ``5xx``, ``maintenance`` (of
                  streams' handshakes too), ``limit`` (429), ``ban`` (418), ``cut``, ``hang``; ``status``, ``body``,
                  ``headers`` replace their defaults
messages          with ``stream``: ``delay`` (``delay_s``), ``duplicate``, ``reorder`` (after the next one), ``drop``,
                  ``sequence break`` (a diff that never comes), ``wrong json`` (``text``), ``flood`` (``count`` times)
sockets           ``silence``: no data; open sockets stay open and answer pings, new ones speak unless ``everyone``
================  ====================================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

FOREVER = 10**9


@dataclass
class RestFault:
    """Misbehaviour of requests whose path ends with ``path`` (empty: of all).

    ``status``/``body``/``headers`` replace the answer; ``cut`` closes the connection in the middle of it; ``hang``
    never answers; ``delay_s`` waits first; ``passes``: the right answer follows the wait.
    """

    path: str = ""
    times: int = 1
    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hang: bool = False
    delay_s: float = 0.0
    passes: bool = False
    at_ms: int = 0
    until_ms: int | None = None

    def due(self, path: str, now_ms: int) -> bool:
        """Whether it strikes a request to ``path`` now."""
        in_time = now_ms >= self.at_ms and (self.until_ms is None or now_ms < self.until_ms)
        return self.times > 0 and in_time and path.endswith(self.path)


@dataclass
class StreamFault:
    """Misbehaviour of messages of the streams that match ``stream``; ``kind`` is the fault's name."""

    kind: str
    stream: str = "*"
    times: int = 1
    at_ms: int = 0
    until_ms: int | None = None
    how: dict[str, Any] = field(default_factory=dict)

    def due(self, stream: str, now_ms: int) -> bool:
        """Whether it strikes a message of ``stream`` now."""
        in_time = now_ms >= self.at_ms and (self.until_ms is None or now_ms < self.until_ms)
        return self.times > 0 and in_time and fnmatchcase(stream, self.stream)


def _error(code: int, message: str) -> str:
    return json.dumps({"code": code, "msg": message})


HTML = "<html><body>Bad gateway</body></html>"
REST: dict[str, dict[str, Any]] = {
    "delay": {"passes": True, "delay_s": 1.0},
    "wrong json": {"body": '[[1704067200000,"1"'},
    "empty": {"body": ""},
    "html": {"body": HTML},
    "null": {"body": "null"},
    "5xx": {"status": 502, "body": HTML},
    "maintenance": {"status": 503, "body": _error(-1001, "Internal error; unable to process your request.")},
    "limit": {"status": 429, "body": _error(-1003, "Too many requests."), "headers": {"Retry-After": "10"}},
    "ban": {"status": 418, "body": _error(-1003, "Way too many requests; IP banned."),
            "headers": {"Retry-After": "120"}},
    "cut": {"cut": True},
    "hang": {"hang": True},
}  # fmt: skip
STREAM = ("delay", "duplicate", "reorder", "drop", "wrong json", "sequence break", "flood")
NEVER = 10**18
Action = Callable[[], Awaitable[object]]


@dataclass
class Silence:
    """No data from ``at_ms`` until ``until_ms``: sockets stay open and pings are answered.

    Sockets opened later speak, unless ``everyone``.
    """

    at_ms: int
    until_ms: int = NEVER
    stream: str = "*"
    everyone: bool = False


class FaultScript:
    """The faults that are laid over a server; whoever serves asks it at every answer and every message."""

    def __init__(self) -> None:
        self.rest: list[RestFault] = []
        self.streams: list[StreamFault] = []
        self.silent: list[Silence] = []
        self.actions: list[tuple[int, Action]] = []
        self.on_change: Callable[[], None] = lambda: None

    def add(
        self,
        name: str,
        *,
        path: str | None = None,
        stream: str | None = None,
        at_ms: int = 0,
        until_ms: int | None = None,
        times: int | None = None,
        **how: Any,
    ) -> None:
        """Add a fault of :data:`REST` or :data:`STREAM`, or ``silence``."""
        count = times if times is not None else FOREVER if until_ms is not None else 1
        if stream is None and name in REST:
            fields = {**REST[name], **how}
            self.rest.append(RestFault(path or "", count, at_ms=at_ms, until_ms=until_ms, **fields))
        elif name == "silence":
            self.silent.append(Silence(at_ms, until_ms or NEVER, stream or "*", **how))
        elif name in STREAM:
            self.streams.append(StreamFault(name, stream or "*", count, at_ms, until_ms, how))
        else:
            raise ValueError(f"no fault is called '{name}'")

    def for_request(self, path: str, now_ms: int, refusals_only: bool = False) -> RestFault | None:
        """The fault that strikes a request now, counted; ``refusals_only`` for the handshake of a stream."""
        found = next((f for f in self.rest if f.due(path, now_ms) and (f.status >= 400 or not refusals_only)), None)
        if found is not None:
            found.times -= 1
        return found

    def for_message(self, stream: str, now_ms: int) -> StreamFault | None:
        """The fault that strikes a message now, counted."""
        found = next((f for f in self.streams if f.due(stream, now_ms)), None)
        if found is not None:
            found.times -= 1
        return found

    def silences(self, opened_ms: int, stream: str, now_ms: int) -> bool:
        """Whether a socket that was opened then gets nothing of a stream now."""
        return any(
            s.at_ms <= now_ms < s.until_ms and (s.everyone or opened_ms < s.at_ms) and fnmatchcase(stream, s.stream)
            for s in self.silent
        )

    def do(self, at_ms: int, action: Action) -> None:
        """Have something done at a moment."""
        self.actions.append((at_ms, action))
        self.actions.sort(key=lambda entry: entry[0])
        self.on_change()

    def next_action(self) -> int:
        """The moment of the next thing to do."""
        return self.actions[0][0] if self.actions else NEVER

    async def act(self, now_ms: int) -> None:
        """Do what is due."""
        while self.next_action() <= now_ms:
            await self.actions.pop(0)[1]()
