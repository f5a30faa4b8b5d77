"""The sockets of a ccxt.pro instance, made to survive: every frame passes here before ccxt sees it.

ccxt's own receive loop ends for good when a frame cannot be decoded or a handler raises, its waits run on the real
clock, and its tasks can outlive ``close()``. The hooks set here catch the first, replace the second, and end the third.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from data.clock import Clock
from data.exchange.limiter import Sleep

SEND_GAP_S = 0.2  # between two messages over one socket (Binance takes ten a second, Bybit and OKX more)
FRAMES_A_TURN = 100  # handled at most before the event loop goes on (some ms)
FAREWELL_S = 1.0  # real seconds that a peer gets to answer a close frame

# Where a turn of ``watch_*`` notes the addresses it uses; each task that keeps subscriptions has its own.
ADDRESSES: ContextVar[set[str]] = ContextVar("ADDRESSES")


@dataclass(slots=True, eq=False)
class Socket:
    """One connection, from its dialling on; times are seconds of the monotonic clock."""

    url: str
    client: Any  # ccxt's
    began_s: float
    heard_s: float | None = None  # last message
    next_send_s: float = 0.0
    gap_told_s: float | None = None  # last time that an unreadable message was told as a gap

    @property
    def alive_s(self) -> float:
        """The last sign of life, else the beginning."""
        return self.began_s if self.heard_s is None else self.heard_s


class StreamSockets:
    """Hooks into ``exchange`` (a ccxt.pro instance that has no socket yet).

    Args:
        on_message: told each decoded frame, with its socket; must not raise.
        on_unreadable: told what was wrong with a frame that could not be decoded.
    """

    def __init__(
        self,
        exchange: Any,
        clock: Clock,
        sleep: Sleep,
        on_message: Callable[[Socket, Any], None],
        on_unreadable: Callable[[Socket, Exception], None],
    ) -> None:
        self.dialling = 0  # sockets that are being opened
        self._exchange = exchange
        self._clock = clock
        self._sleep = sleep
        self._on_message = on_message
        self._on_unreadable = on_unreadable
        self._sockets: dict[str, Socket] = {}
        self._asked_wait_s: dict[str, float] = {}
        self._work: set[asyncio.Task[Any]] = set()  # dialling and sending
        self._farewells: set[asyncio.Task[Any]] = set()
        self._make_client = exchange.client
        self._handle = exchange.handle_message
        exchange.client = self._client
        exchange.handle_message = self._message

    def open(self) -> list[Socket]:
        """Sockets that are connected or being dialled."""
        return list(self._sockets.values())

    def retry_after_s(self, urls: set[str]) -> float:
        """Seconds that the last refused handshakes of these addresses asked to wait."""
        return max((self._asked_wait_s.get(url, 0.0) for url in urls), default=0.0)

    def pass_on(self, socket: Socket, message: Any) -> None:
        """Give a frame to ccxt's own handler (acknowledgements, pongs); what it raises is the caller's."""
        self._handle(socket.client, message)

    def drop(self, socket: Socket) -> None:
        """Give a socket up: who waits on it sees ``CancelledError``, the next turn dials anew."""
        self._forget(socket)
        self._background(_shut(socket.client), self._farewells)

    async def close(self) -> None:
        """Close every socket and the instance; no task is left."""
        for socket in list(self._sockets.values()):
            self.drop(socket)
        await _end(self._work)
        if self._farewells:
            await asyncio.wait(self._farewells, timeout=FAREWELL_S)
        await _end(self._farewells)
        await self._exchange.close()

    def _client(self, url: str) -> Any:
        """ccxt's client of an address, with our hooks if it is new."""
        used = ADDRESSES.get(None)
        if used is not None:
            used.add(url)
        client = self._make_client(url)
        known = self._sockets.get(url)
        if known is None or known.client is not client:
            socket = Socket(url, client, self._clock.monotonic())
            self._sockets[url] = socket
            self._hook(socket)
        return client

    def _hook(self, socket: Socket) -> None:
        client = socket.client
        handle, dial = client.handle_message, client.open

        def handle_frame(frame: Any) -> None:
            if frame.type.name == "PING":
                self._background(_pong(client, frame.data), self._work)
                return
            try:
                handle(frame)
            except Exception as error:  # whatever it is, the loop that calls this must go on
                self._on_unreadable(socket, error)

        async def open_now(session: Any, _backoff_s: float = 0.0) -> None:
            self._track(self._work)
            self.dialling += 1
            try:
                await dial(session, 0)
            finally:
                self.dialling -= 1
            if self._sockets.get(socket.url) is not socket:  # given up while it was being dialled
                await _shut(client)

        async def throttle(_cost: float | None = None) -> None:
            self._track(self._work)
            now = self._clock.monotonic()
            at = max(now, socket.next_send_s)
            socket.next_send_s = at + SEND_GAP_S
            if at > now:
                await self._sleep(at - now)

        def gone(callback: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
            def told(lost: Any, why: Any) -> None:
                if self._sockets.get(socket.url) is socket:  # else ccxt would take the next client of the address out
                    callback(lost, why)
                    self._forget(socket)

            return told

        receive = client.receive_loop
        overhead = getattr(sys.modules[type(client).__module__], "MSG_SIZE_OVERHEAD", 0)

        def receive_some() -> None:
            """ccxt empties its buffer in one go; here everybody else gets a turn after so many frames."""
            buffer = client.buffer
            if client.closed() or not buffer or len(buffer) <= FRAMES_A_TURN:
                receive()
                return
            freed = 0
            for _ in range(FRAMES_A_TURN - 1):
                frame, size = buffer.popleft()
                freed += size + overhead
                client.handle_message(frame)
            buffer[0] = (buffer[0][0], buffer[0][1] + freed)  # aiohttp counts it off when it gives this one out
            client.asyncio_loop.call_soon(client.receive_loop)

        client.handle_message, client.open, client.throttle = handle_frame, open_now, throttle
        client.receive_loop = receive_some
        client.on_close_callback, client.on_error_callback = (
            gone(client.on_close_callback),
            gone(client.on_error_callback),
        )

    def _forget(self, socket: Socket) -> None:
        if self._sockets.get(socket.url) is socket:
            del self._sockets[socket.url]
            self._asked_wait_s[socket.url] = getattr(socket.client, "last_retry_after", None) or 0.0
        clients = self._exchange.clients or {}
        if clients.get(socket.url) is socket.client:
            del clients[socket.url]

    def _message(self, client: Any, message: Any) -> None:
        socket = self._sockets.get(client.url)
        if socket is not None and socket.client is client:
            self._on_message(socket, message)

    def _track(self, tasks: set[asyncio.Task[Any]]) -> None:
        """The running task, which ccxt started and nobody else holds, is ended by ``close``."""
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    def _background(self, work: Coroutine[Any, Any, None], tasks: set[asyncio.Task[Any]]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def _shut(client: Any) -> None:
    with suppress(ConnectionError):  # it was gone already
        await client.close()


async def _pong(client: Any, data: bytes) -> None:
    with suppress(ConnectionError):
        await client.connection.pong(data)


async def _end(tasks: set[asyncio.Task[Any]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
