"""WebSocket connections of a loopback exchange: subscriptions, what is due when, delivery through the faults.

The hub asks each subscribed source for its next moment, and at each moment sends what is due to whoever subscribed.
After every batch it sends a numbered ping; the pong says that the peer has taken everything before it, so simulated
time waits for exactly that long (a peer that never answers is waited for half a second of real time, once).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiohttp import WSCloseCode, WSMsgType, web

from tests.exchange.faults import FaultScript, StreamFault

PATIENCE_S = 0.5
NEVER = 10**18
LONGEST_MS = 24 * 3_600_000  # the exchange closes a socket after a day


class StreamSource(Protocol):
    """What the hub asks of a stream: see ``binance_streams.Source``."""

    def next_after(self, now_ms: int) -> int: ...

    def messages(self, now_ms: int) -> list[Any]: ...


@dataclass(eq=False)
class Connection:
    """One open socket."""

    socket: web.WebSocketResponse
    path: str
    opened_ms: int
    request: web.Request
    wanted: dict[str, None] = field(default_factory=dict)
    silent: bool = True  # it has not said yet what it wants: time waits for that, too
    unmarked: bool = False  # something was sent since the last numbered ping
    sent: int = 0
    taken: int = 0
    waited_since: float = 0.0
    deaf: bool = False

    @property
    def waiting(self) -> bool:
        """Whether the peer still has to take something."""
        return (self.silent or self.unmarked or self.sent > self.taken) and not self.deaf and not self.socket.closed


@dataclass(eq=False)
class Hub:
    """All connections of a server. ``find`` makes the source of a stream name for a path."""

    find: Callable[[str, str], StreamSource | None]
    faults: FaultScript
    now: Callable[[], int]
    connections: list[Connection] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    commands: list[tuple[str, dict[str, Any]]] = field(default_factory=list)  # path and command, as they came
    opened: int = 0
    _closing: int = 0
    _emitting: int = 0
    _sources: dict[str, StreamSource] = field(default_factory=dict)
    _due: dict[str, int] = field(default_factory=dict)
    _later: list[tuple[int, Connection, str]] = field(default_factory=list)
    _kept: dict[tuple[Connection, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.faults.on_change = self.changed.set

    async def serve(self, request: web.Request, streams: Iterable[str] = ()) -> web.WebSocketResponse:
        """Upgrade a request and serve it until it closes; it is subscribed to ``streams`` from the start."""
        socket = web.WebSocketResponse(autoping=False, compress=False, timeout=0.1)
        await socket.prepare(request)
        connection = Connection(socket, request.path, self.now(), request)
        connection.waited_since = asyncio.get_running_loop().time()
        for stream in streams:
            connection.wanted[stream] = None
            connection.silent = False
        self.connections.append(connection)
        self.opened += 1
        try:
            async for message in socket:
                connection.silent = False
                if message.type == WSMsgType.TEXT:
                    await self._command(connection, message.data)
                elif message.type == WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type == WSMsgType.PONG:
                    _taken(connection, message.data)
        finally:
            self._gone(connection)
        return socket

    async def _command(self, connection: Connection, text: str) -> None:
        """SUBSCRIBE, UNSUBSCRIBE and LIST_SUBSCRIPTIONS, acknowledged as the exchange does."""
        try:
            command = json.loads(text)
            method, streams, number = command["method"], command.get("params") or [], command.get("id")
        except (ValueError, KeyError, TypeError):
            await connection.socket.send_json({"error": {"code": 2, "msg": "Invalid request: unknown variant"}})
            return
        self.commands.append((connection.path, command))
        result: Any = None
        if method == "SUBSCRIBE":
            for stream in streams:
                self._subscribe(connection, stream)
        elif method == "UNSUBSCRIBE":
            for stream in streams:
                connection.wanted.pop(stream, None)
            self._forget()
        elif method == "LIST_SUBSCRIPTIONS":
            result = list(connection.wanted)
        await connection.socket.send_json({"result": result, "id": number})
        connection.unmarked = True
        await self._mark(connection)

    def _subscribe(self, connection: Connection, stream: str) -> None:
        source = self.find(connection.path, stream)
        if source is None:
            return
        connection.wanted[stream] = None
        if stream not in self._due:
            self._sources[stream] = source
            self._due[stream] = source.next_after(self.now())
            self.changed.set()

    def _forget(self) -> None:
        wanted = {stream for connection in self.connections for stream in connection.wanted}
        for stream in [stream for stream in self._due if stream not in wanted]:
            del self._due[stream], self._sources[stream]

    def _gone(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
        self._later = [entry for entry in self._later if entry[1] is not connection]
        self._kept = {key: text for key, text in self._kept.items() if key[0] is not connection}
        self._forget()

    def next_due(self) -> int:
        """The next moment at which something is to be sent (server time)."""
        return min(
            min(self._due.values(), default=NEVER),
            min((at for at, _, _ in self._later), default=NEVER),
            min((connection.opened_ms for connection in self.connections), default=NEVER) + LONGEST_MS,
            self.faults.next_action(),
        )

    async def emit(self, moment: int) -> None:
        """Send what is due until ``moment`` (the clock stands there)."""
        self._emitting += 1
        try:
            await self._emit(moment)
        finally:
            self._emitting -= 1

    async def _emit(self, moment: int) -> None:
        await self.faults.act(moment)
        await self._close([c for c in self.connections if c.opened_ms + LONGEST_MS <= moment])
        ready = [entry for entry in self._later if entry[0] <= moment]
        self._later = [entry for entry in self._later if entry[0] > moment]
        for _, connection, text in ready:
            await self._send(connection, text)
        while (due := min(self._due.values(), default=NEVER)) <= moment:
            for stream in [stream for stream, at in self._due.items() if at == due]:
                source = self._sources.get(stream)
                if source is None:  # its last listener left while we were sending
                    continue
                self._due[stream] = source.next_after(due)
                for message in source.messages(due):
                    await self.publish(stream, message)
        for connection in list(self.connections):
            await self._mark(connection)

    async def publish(self, stream: str, message: Any) -> None:
        """Send a message to everybody who listens to a stream, through the faults."""
        text = json.dumps(message, separators=(",", ":"))
        listeners = [connection for connection in self.connections if stream in connection.wanted]
        if not listeners:
            return
        fault = self.faults.for_message(stream, self.now())
        for connection in listeners:
            if self.faults.silences(connection.opened_ms, stream, self.now()):
                continue
            if fault is None:
                await self._send(connection, text)
                kept = self._kept.pop((connection, stream), None)
                if kept is not None:
                    await self._send(connection, kept)
            else:
                await self._misdelivered(connection, stream, text, fault)

    async def _misdelivered(self, connection: Connection, stream: str, text: str, fault: StreamFault) -> None:
        if fault.kind == "delay":
            self._later.append((self.now() + round(1000 * fault.how.get("delay_s", 1.0)), connection, text))
        elif fault.kind == "duplicate":
            for _ in range(2):
                await self._send(connection, text)
        elif fault.kind == "reorder":
            self._kept[connection, stream] = text  # goes out after the next one
        elif fault.kind == "wrong json":
            await self._send(connection, fault.how.get("text", text[: len(text) // 2]))
        elif fault.kind == "flood":
            for _ in range(int(fault.how.get("count", 1000))):
                await self._send(connection, text)
        # the others ("drop", "sequence break") send nothing

    async def _send(self, connection: Connection, text: str) -> None:
        if connection.socket.closed:
            return
        try:
            async with asyncio.timeout(PATIENCE_S):
                await connection.socket.send_str(text)
            connection.unmarked = True
        except TimeoutError:  # it does not read: the exchange does not wait for slow consumers
            self._abort(connection)
        except (ConnectionError, RuntimeError):  # the peer has gone in this moment: its handler ends by itself
            connection.unmarked = False

    def _abort(self, connection: Connection) -> None:
        if connection.request.transport is not None:
            connection.request.transport.abort()
        self._gone(connection)

    async def _mark(self, connection: Connection) -> None:
        if connection.unmarked and not connection.socket.closed:
            connection.unmarked = False
            connection.sent += 1
            connection.waited_since = asyncio.get_running_loop().time()
            try:
                await connection.socket.ping(str(connection.sent).encode())
            except (ConnectionError, RuntimeError):
                connection.deaf = True

    def busy(self) -> bool:
        """Whether a peer still has to take what was sent; one that does not answer in time is given up."""
        found = self._closing > 0 or self._emitting > 0
        for connection in self.connections:
            if connection.waiting:
                if asyncio.get_running_loop().time() - connection.waited_since > PATIENCE_S:
                    connection.deaf = True
                else:
                    found = True
        return found

    async def taken(self) -> None:
        """Return when every peer has taken what was sent, and had a few turns of the loop to act on it."""
        quiet = 0
        while quiet < 10:
            await asyncio.sleep(0)
            quiet = 0 if self.busy() else quiet + 1

    async def drop(self, stream: str | None = None, abort: bool = True) -> int:
        """Close every socket (those that listen to ``stream``); ``abort``: without a farewell. How many there were."""
        found = [c for c in self.connections if stream is None or stream in c.wanted]
        for connection in found if abort else ():
            self._abort(connection)
        await self._close([] if abort else found)
        return len(found)

    async def _close(self, connections: list[Connection]) -> None:
        """Say farewell; the answer is waited for a tenth of a second (the peer may be deaf)."""
        for connection in connections:
            self._gone(connection)
        self._closing += len(connections)
        farewells = (c.socket.close(code=WSCloseCode.GOING_AWAY, drain=False) for c in connections)
        await asyncio.gather(*farewells, return_exceptions=True)
        self._closing -= len(connections)

    async def close(self) -> None:
        """The server goes."""
        await self._close(list(self.connections))


async def run(hub: Hub, sleep: Callable[[float], Awaitable[None]]) -> None:
    """Emit for ever, sleeping from moment to moment on the clock whose ``sleep`` is given."""
    while True:
        hub.changed.clear()
        wait_ms = hub.next_due() - hub.now()
        if wait_ms <= 0:
            await hub.emit(hub.now())
            continue
        changed = asyncio.ensure_future(hub.changed.wait())
        tasks: list[asyncio.Future[Any]] = [changed]
        if hub.next_due() < NEVER:
            tasks.append(asyncio.ensure_future(sleep(wait_ms / 1000)))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


def _taken(connection: Connection, payload: bytes | bytearray) -> None:
    if bytes(payload).isdigit():
        connection.taken = max(connection.taken, int(payload))
        connection.deaf = False
