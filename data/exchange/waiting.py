"""Waiting on an injected sleep that something may cut short."""

from __future__ import annotations

import asyncio

from data.exchange.limiter import Sleep


async def sleep_or(event: asyncio.Event, sleep: Sleep, seconds: float) -> None:
    """Return after ``seconds``, or as soon as ``event`` is set; it is cleared then."""
    if not event.is_set():
        waits = {asyncio.ensure_future(sleep(seconds)), asyncio.ensure_future(event.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
    event.clear()
