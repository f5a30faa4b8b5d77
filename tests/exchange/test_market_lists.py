"""Long lists of symbols, read again while a market is live: off the loop, with the session's own requests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from data.clock import ManualClock
from data.errors import Retryable
from data.exchange.market_lists import LONG_LIST
from data.exchange.session import ExchangeSession
from data.settings import DataSettings
from data.synthetic import DEFAULT_START_MS, synthetic_market
from tests.exchange.conftest import Sleeper
from tests.exchange.places import SERVERS

BTC = "BTC/USDT:USDT"


@pytest.fixture(params=SERVERS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Any, ExchangeSession]]:
    """An exchange with more symbols than are read on the loop, listed once."""
    clock = ManualClock(DEFAULT_START_MS + 600_000)
    async with SERVERS[request.param](clock) as server:
        for name in ("BTC", *(f"COIN{n}" for n in range(LONG_LIST))):
            server.market.add(*synthetic_market(f"{name}USDT", "1m", 20, 7))
        settings = DataSettings(exchange=request.param, base_url=server.url, request_attempts=2)
        async with ExchangeSession(settings, clock, sleep=Sleeper(clock)) as session:
            await session.load_markets()
            yield server, session


async def test_a_long_list_is_read_in_a_thread_and_is_the_same(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server, session = place
    before, threads, kind = dict(await session.load_markets()), set(), type(session._exchange)
    whole = kind.set_markets

    def spied(self: Any, *args: Any) -> Any:
        threads.add(threading.current_thread())
        return whole(self, *args)

    monkeypatch.setattr(kind, "set_markets", spied)
    used, asked = session.pace.spent, len(server.requests)
    assert await session.load_markets(reload=True) == before
    assert threads and threading.main_thread() not in threads
    assert session.pace.spent > used and len(server.requests) > asked, "asked by the session, at its pace"
    server.market.change_rules("BTCUSDT", server.now_ms, tick=Decimal("0.5") if session.quirks.name != "weex" else
                               Decimal("0.001"))  # fmt: skip
    rules = await session.instruments([BTC], reload=True)
    assert rules[BTC].tick == server.market.rules("BTCUSDT", server.now_ms).tick


async def test_what_the_exchange_answers_instead_comes_out_and_the_old_list_stays(place: Any) -> None:
    server, session = place
    server.faults.add("5xx", times=10**6)
    before, failures = await session.load_markets(), session.health.failures
    with pytest.raises(Retryable, match="read its symbols"):
        await session.load_markets(reload=True)
    assert session.health.failures == failures + 2, "each attempt is counted and timed as any other"
    assert await session.load_markets() is before


async def test_nobody_waits_for_a_list_that_is_being_read_again(place: Any) -> None:
    server, session = place
    server.faults.add("hang", times=10**6)
    reading = asyncio.ensure_future(session.load_markets(reload=True))
    while len(server.requests) == 0 or not session._loading.locked():
        await asyncio.sleep(0.01)
    async with asyncio.timeout(2):
        assert BTC in await session.load_markets()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled()
