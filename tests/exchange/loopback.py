"""What every exchange on loopback has: an address, a log of requests, a front of faults, refusals in its own words.

A subclass gives its endpoints as :class:`Route` objects and, where it limits requests, overrides ``charge``::

    class BybitServer(LoopbackServer):
        def routes(self):
            return [Route("/v5/market/time", _time), Route("/v5/market/kline", _klines, weight=1)]

    def _time(server: BybitServer, request: Request) -> Any:          # what it returns is sent as JSON
        return {"retCode": 0, "result": {"timeSecond": str(server.now_ms // 1000)}}

A handler raises :class:`Refusal` for an error answer (Bybit answers errors with HTTP 200: ``Refusal(body, 200)``).
WebSocket paths are ``Socket`` objects. Tests use ``url``, ``requests``, ``asked``, ``misbehave``, ``faults``,
``skew_ms`` and ``stop_listening``/``start_listening`` (a network that is gone). The server takes any clock; on a
``SimulatedClock`` it says when a request is being answered, so that time waits for it.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

from data.clock import Clock
from tests.exchange.faults import FaultScript, RestFault

JSON_KIND = "application/json"


@dataclass
class Request:
    """One request as it came. ``query`` also holds the fields of a form body; ``body`` a JSON body."""

    path: str
    query: dict[str, str]
    at_ms: int
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    weight: int = 0


class Refusal(Exception):
    """An error answer: a JSON body, a status and headers."""

    def __init__(self, body: Any, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.body = body
        self.status = status
        self.headers = headers or {}


@dataclass(frozen=True)
class Route:
    """One endpoint: ``handler(server, request)`` returns (or awaits) the JSON answer.

    ``weight`` is the request weight, or a function of the query; ``signed`` endpoints pass ``server.authenticate``.
    """

    path: str
    handler: Callable[[Any, Request], Any]
    weight: int | Callable[[dict[str, str]], int] = 1
    method: str = "GET"
    signed: bool = False

    def cost(self, query: dict[str, str]) -> int:
        """The weight of a request with this query."""
        return self.weight(query) if callable(self.weight) else self.weight


@dataclass(frozen=True)
class Socket:
    """A WebSocket path (aiohttp pattern): ``handler(server, request)`` upgrades and serves it."""

    path: str
    handler: Callable[[Any, web.Request], Awaitable[web.StreamResponse]]


class LoopbackServer:
    """``async with Server(clock) as server:`` listens on ``server.url`` (and ``server.ws_url``)."""

    def __init__(self, clock: Clock, port: int = 0) -> None:
        self.clock = clock
        self.requests: list[Request] = []
        self.faults = FaultScript()
        self.skew_ms = 0  # the server's clock against ours
        self.url = ""
        self._port = port
        self._answering = 0
        self._hanging = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None

    def routes(self) -> Iterable[Route]:
        """The REST endpoints."""
        return ()

    def sockets(self) -> Iterable[Socket]:
        """The WebSocket paths."""
        return ()

    def charge(self, request: Request) -> dict[str, str]:
        """Count a request's weight; headers for its answer. Raises :class:`Refusal` over the limit."""
        return {}

    def authenticate(self, request: Request) -> None:
        """Check key and signature of a signed request; raises :class:`Refusal`."""

    def not_found(self, request: Request) -> web.Response:
        """The answer to a path that is not there."""
        return web.Response(text="<html><body>404</body></html>", status=404, content_type="text/html")

    async def __aenter__(self) -> Self:
        app = web.Application()
        table: dict[tuple[str, str], Route] = {(r.method, r.path): r for r in self.routes()}

        async def answer(request: web.Request) -> web.StreamResponse:
            return await self._answered(request, table.get((request.method, request.path)))

        for socket in self.sockets():
            app.router.add_get(socket.path, self._upgrading(socket))
        app.router.add_route("*", "/{path:.*}", answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self.start_listening()
        busy = getattr(self.clock, "busy", None)
        if busy is not None:
            busy.append(self.busy)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hanging.set()
        busy = getattr(self.clock, "busy", None)
        if busy is not None and self.busy in busy:
            busy.remove(self.busy)
        assert self._runner is not None
        await self._runner.cleanup()

    async def start_listening(self) -> None:
        """Listen (again) on the same port."""
        assert self._runner is not None
        if self._site is None:
            self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
            await self._site.start()
            self._port = int(self._runner.addresses[0][1])
            self.url = f"http://127.0.0.1:{self._port}"

    async def stop_listening(self) -> None:
        """The network is gone: every connection is cut and new ones are refused."""
        assert self._runner is not None
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
            for connection in list(self._runner.server.connections if self._runner.server else ()):
                if connection.transport is not None:
                    connection.transport.abort()

    @property
    def ws_url(self) -> str:
        """The address of the streams."""
        return self.url.replace("http", "ws", 1)

    @property
    def now_ms(self) -> int:
        """The exchange's own clock."""
        return self.clock.now_ms() + self.skew_ms

    def busy(self) -> bool:
        """Whether something is on its way that time must wait for."""
        return self._answering > 0

    def asked(self, path: str) -> list[Request]:
        """The requests so far whose path ends with ``path``."""
        return [r for r in self.requests if r.path.endswith(path)]

    def misbehave(self, path: str, times: int = 1, **how: Any) -> None:
        """The next ``times`` requests whose path ends with ``path`` go wrong: see :class:`RestFault`."""
        self.faults.rest.append(RestFault(path=path, times=times, **how))

    async def sleep(self, seconds: float) -> None:
        """Let time pass on the server's clock: a simulated one wakes us, a manual one is moved, else really."""
        sleeping = getattr(self.clock, "sleep", None)
        if sleeping is not None:
            await sleeping(seconds)
        elif hasattr(self.clock, "advance"):
            self.clock.advance(seconds)
        else:
            await asyncio.sleep(seconds)

    def _upgrading(self, socket: Socket) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def upgrade(request: web.Request) -> web.StreamResponse:
            fault = self.faults.for_request(request.path, self.now_ms, refusals_only=True)
            if fault is not None:
                return _plain(fault)
            return await socket.handler(self, request)

        return upgrade

    async def _answered(self, raw: web.Request, route: Route | None) -> web.StreamResponse:
        """What happens before and around every endpoint: log, faults, weight, errors."""
        self._answering += 1
        try:
            request = await self._logged(raw)
            request.weight = route.cost(request.query) if route is not None else 1
            fault = self.faults.for_request(request.path, self.now_ms)
            if fault is not None and not fault.passes:
                return await self._misbehaved(raw, fault)
            if fault is not None:
                await self._waiting(self.sleep(fault.delay_s))
            headers = {}
            try:
                headers = self.charge(request)
                if route is None:
                    response = self.not_found(request)
                else:
                    if route.signed:
                        self.authenticate(request)
                    made = route.handler(self, request)
                    response = web.json_response(await made if inspect.isawaitable(made) else made)
            except Refusal as refusal:
                response = web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
            response.headers.update(headers)
            return response
        finally:
            self._answering -= 1

    async def _logged(self, raw: web.Request) -> Request:
        query, body = dict(raw.query), None
        text = await raw.text() if raw.can_read_body else ""
        if raw.content_type == JSON_KIND and text:
            body = json.loads(text)
        elif text:
            query.update({name: str(value) for name, value in (await raw.post()).items()})
        request = Request(raw.path, query, self.clock.now_ms(), raw.method, dict(raw.headers), body)
        self.requests.append(request)
        return request

    async def _waiting(self, what: Awaitable[Any]) -> None:
        """Wait without holding the simulated time."""
        self._answering -= 1
        try:
            await what
        finally:
            self._answering += 1

    async def _misbehaved(self, raw: web.Request, fault: RestFault) -> web.StreamResponse:
        if fault.delay_s:
            await self._waiting(self.sleep(fault.delay_s))
        if fault.hang:
            await self._waiting(self._hanging.wait())
        if fault.cut:
            response = web.StreamResponse(headers={"Content-Length": "1000", "Content-Type": JSON_KIND})
            await response.prepare(raw)
            await response.write(b'[[1499040000000, "0.0163')
            assert raw.transport is not None
            raw.transport.close()
            return response
        return _plain(fault)


def _plain(fault: RestFault) -> web.Response:
    kind = JSON_KIND if fault.body[:1] in ("{", "[") else "text/html"
    return web.Response(text=fault.body, status=fault.status, headers=fault.headers, content_type=kind)
