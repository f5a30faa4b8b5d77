"""A long list of symbols, read by the library in a thread of its own: 600 of them hold the loop for 20 to 100 ms."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Any

LONG_LIST = 100  # symbols; shorter lists are read in less time than a thread takes to begin


async def read_again(exchange: Any, options: dict[str, Any], prepare: Callable[[Any], None]) -> dict[str, Any]:
    """The markets of ``exchange`` (a ccxt instance) as they are now, also set there.

    A second instance without keys reads the answers; its requests are made by ``exchange``, on the running loop, in
    the present context (pace, lane, measured time). What a request raises comes out of here.
    """
    loop = asyncio.get_running_loop()
    asked: list[concurrent.futures.Future[Any]] = []

    async def request(
        path: str, api: Any = "public", method: str = "GET", params: Any = None, config: Any = None
    ) -> Any:  # fmt: skip
        answer = exchange.request(path, api, method, params or {}, config or {})
        asked.append(asyncio.run_coroutine_threadsafe(answer, loop))
        return await asyncio.wrap_future(asked[-1])

    async def read() -> Any:
        reader = type(exchange)({"options": options})
        prepare(reader)
        reader.request = request
        await reader.load_markets(True)
        return reader

    try:
        reader = await asyncio.to_thread(asyncio.run, read())
    finally:
        for answer in asked:  # we were cancelled: nobody waits for it
            answer.cancel()
    exchange.set_markets_from_exchange(reader)
    markets: dict[str, Any] = exchange.markets
    return markets
