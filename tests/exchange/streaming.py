"""Clients of a loopback exchange: the unmodified ccxt.pro class with watchers, and plain sockets that keep all."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import ccxt.pro

from tests.exchange.binance_server import BinanceServer


def redirected(node: Any, url: str) -> Any:
    """ccxt's addresses with another host, the paths kept."""
    if isinstance(node, dict):
        return {key: redirected(value, url) for key, value in node.items()}
    if isinstance(node, str):
        return re.sub(r"^(http|ws)s?://[^/]+", lambda m: url.replace("http", "ws", 1) if m[1] == "ws" else url, node)
    return node


@asynccontextmanager
async def client(server: BinanceServer) -> AsyncIterator[Any]:
    """A ``ccxt.pro.binanceusdm`` at the server, without its own pace (it sleeps on the real clock)."""
    exchange = ccxt.pro.binanceusdm(
        {"options": {"fetchCurrencies": False}, "enableRateLimit": False, "newUpdates": True}
    )
    exchange.urls["api"] = redirected(exchange.urls["api"], server.url)
    await exchange.load_markets()
    try:
        yield exchange
    finally:
        await exchange.close()


class Watching:
    """Calls a ``watch_*`` again and again and keeps what it returned; ``error`` is what ended it."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self.seen: list[Any] = []
        self.error: Exception | None = None
        self._task = asyncio.create_task(self._run(call))

    async def _run(self, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            while True:
                self.seen.append(await call())
        except Exception as error:
            self.error = error

    async def stop(self) -> None:
        """End the watching."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@asynccontextmanager
async def watching(*calls: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[Watching]]:
    """Watch several things side by side."""
    watchers = [Watching(call) for call in calls]
    try:
        yield watchers
    finally:
        for watcher in watchers:
            await watcher.stop()


class Listener:
    """A plain socket that keeps every message; those that are no JSON in ``broken``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.messages: list[Any] = []
        self.broken: list[str] = []
        self._task = asyncio.create_task(self._read())

    async def ask(self, method: str, *streams: str) -> None:
        """Send a command."""
        await self.socket.send_json({"method": method, "params": list(streams), "id": 7})

    async def _read(self) -> None:
        async for message in self.socket:
            try:
                self.messages.append(json.loads(message.data))
            except ValueError:
                self.broken.append(message.data)

    def of(self, event: str) -> list[dict[str, Any]]:
        """The messages of an event type."""
        return [m for m in self.messages if isinstance(m, dict) and m.get("e") == event]

    async def close(self) -> None:
        """Leave."""
        await self.socket.close()
        await asyncio.gather(self._task, return_exceptions=True)


async def listening(server: BinanceServer, session: aiohttp.ClientSession, path: str, *streams: str) -> Listener:
    """A plain socket on ``path`` that has subscribed to ``streams``."""
    listener = Listener(await session.ws_connect(server.ws_url + path))
    await listener.ask("SUBSCRIBE", *streams)
    return listener
