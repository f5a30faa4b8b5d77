"""The script of faults: each by its name does what it says, at its moment, so often, and then it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_faults import BARS
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import COARSE
from tests.exchange.faults import REST, STREAM
from tests.exchange.simulated_time import SimulatedClock
from tests.exchange.streaming import Listener, client, listening, watching

MINUTE = 60_000
SECOND = 1000
BEGIN = START + 100 * MINUTE
PING = "/fapi/v1/ping"


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(BEGIN)


@pytest.fixture
async def server(clock: SimulatedClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.market.add(*synthetic_market(symbol, "1m", 3000, 7))
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


@pytest.fixture
async def marks(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> AsyncIterator[Listener]:
    """Somebody who hears BTC's mark price every second."""
    found = await listening(server, session, "/market/ws/0", "btcusdt@markPrice@1s")
    await clock.settle()
    yield found
    await found.close()


def seconds(listener: Listener) -> list[int]:
    """When the heard mark prices were said, in seconds from the begin."""
    return [(m["E"] - BEGIN) // SECOND for m in listener.of("markPriceUpdate")]


async def ask(server: BinanceServer, session: aiohttp.ClientSession, path: str = PING) -> tuple[int, str]:
    async with session.get(server.url + path) as response:
        return response.status, await response.text()


async def bars(server: BinanceServer, session: aiohttp.ClientSession, limit: int = 3, timeframe: str = "1m") -> Any:
    path = f"/fapi/v1/klines?symbol=BTCUSDT&interval={timeframe}&limit={limit}"
    async with session.get(server.url + path) as response:
        return await response.json()


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("wrong json", 200, '[[1704067200000,"1"'),
        ("empty", 200, ""),
        ("null", 200, "null"),
        ("html", 200, "<html>"),
        ("5xx", 502, "<html>"),
        ("maintenance", 503, "-1001"),
        ("limit", 429, "-1003"),
        ("ban", 418, "-1003"),
    ],
)
async def test_an_answer_is_replaced_for_its_path_its_times_and_its_span(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock, name: str, status: int, body: str
) -> None:
    server.faults.add(name, path="/ping", at_ms=BEGIN + 10_000, times=2)
    assert await ask(server, session) == (200, "{}")
    await clock.run_for(10)
    assert (await ask(server, session, "/fapi/v1/time"))[0] == 200
    for _ in range(2):
        found = await ask(server, session)
        assert found[0] == status
        assert body in found[1]
    assert await ask(server, session) == (200, "{}")
    server.faults.add(name, path="/ping", until_ms=clock.ms + 5_000)
    for _ in range(5):
        assert (await ask(server, session))[1] != "{}"
    await clock.run_for(5)
    assert await ask(server, session) == (200, "{}")


async def test_an_answer_is_cut_or_never_comes(server: BinanceServer, session: aiohttp.ClientSession) -> None:
    server.faults.add("cut", path="/ping")
    with pytest.raises(aiohttp.ClientPayloadError):
        await ask(server, session)
    server.faults.add("hang", path="/ping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(ask(server, session), 0.05)
    assert await ask(server, session) == (200, "{}")


async def test_a_late_answer_comes_when_its_time_has_passed(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("delay", path="/ping", delay_s=30.0)
    asked = asyncio.create_task(ask(server, session))
    await clock.run_for(29)
    assert not asked.done()
    await clock.run_for(2)
    assert await asked == (200, "{}")


async def test_maintenance_refuses_new_streams_too(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("maintenance", until_ms=BEGIN + 60_000)
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        await session.ws_connect(f"{server.ws_url}/market/ws/0")
    await clock.run_for(60)
    await (await session.ws_connect(f"{server.ws_url}/market/ws/0")).close()


async def test_messages_are_delayed_repeated_reordered_and_lost(
    server: BinanceServer, marks: Listener, clock: SimulatedClock
) -> None:
    name = "btcusdt@markPrice@1s"
    server.faults.add("delay", stream=name, at_ms=BEGIN + 3_000, delay_s=2.5)
    server.faults.add("duplicate", stream=name, at_ms=BEGIN + 10_000)
    server.faults.add("reorder", stream=name, at_ms=BEGIN + 20_000)
    server.faults.add("drop", stream=name, at_ms=BEGIN + 30_000, times=2)
    await clock.run_for(40)
    expected = [1, 2, 4, 5, 3, *range(6, 11), 10, *range(11, 20), 21, 20, *range(22, 30), *range(32, 41)]
    assert seconds(marks) == expected


async def test_a_broken_frame_and_a_flood(server: BinanceServer, marks: Listener, clock: SimulatedClock) -> None:
    server.faults.add("wrong json", stream="btcusdt@mark*", at_ms=BEGIN + 2_000)
    server.faults.add("flood", stream="btcusdt@mark*", at_ms=BEGIN + 5_000, count=3_000)
    await clock.run_for(6)
    assert len(marks.broken) == 1
    assert seconds(marks) == [1, 3, 4, *[5] * 3_000, 6]


async def test_a_silent_socket_stays_open_and_answers_pings_while_a_new_one_speaks(
    server: BinanceServer, marks: Listener, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("silence", at_ms=BEGIN + 5_000, until_ms=BEGIN + 60_000)
    await clock.run_for(20)
    assert seconds(marks) == [1, 2, 3, 4]
    assert not marks.socket.closed
    await marks.socket.ping()
    fresh = await listening(server, session, "/market/ws/1", "btcusdt@markPrice@1s")
    await clock.run_for(10)
    assert seconds(fresh) == list(range(21, 31))
    await clock.run_for(32)
    assert seconds(marks)[4:] == [60, 61, 62]
    await fresh.close()


async def test_sockets_are_cut_at_a_moment_and_welcome_again(
    server: BinanceServer, marks: Listener, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("disconnect", at_ms=BEGIN + 5_500)
    await clock.run_for(10)
    assert seconds(marks) == [1, 2, 3, 4, 5]
    assert marks.socket.closed
    fresh = await listening(server, session, "/market/ws/0", "btcusdt@markPrice@1s")
    await clock.run_for(3)
    assert seconds(fresh) == [11, 12, 13]
    await fresh.close()


async def test_every_socket_is_closed_after_a_day_with_a_farewell(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.rhythm = COARSE
    listener = await listening(server, session, "/market/ws/0", "btcusdt@kline_1h")
    await clock.run_for(24 * 3600 - 60)
    assert not listener.socket.closed
    await clock.run_for(120)
    assert listener.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
    assert len(server.hub.connections) == 0


async def test_while_the_network_is_gone_nothing_can_be_reached(
    server: BinanceServer, marks: Listener, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("network gone", at_ms=BEGIN + 5_500, until_ms=BEGIN + 100_000)
    url = server.url
    await clock.run_for(10)
    assert marks.socket.closed
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(server, session)
    await clock.run_for(90)
    assert server.url == url
    assert await ask(server, session) == (200, "{}")


async def test_a_break_in_the_books_sequence_makes_ccxt_raise(server: BinanceServer, clock: SimulatedClock) -> None:
    server.faults.add("sequence break", stream="btcusdt@depth*", at_ms=BEGIN + 20_000)
    async with client(server) as x, watching(lambda: x.watch_order_book("BTC/USDT:USDT")) as (watcher,):
        await clock.run_for(19)
        assert watcher.error is None
        await clock.run_for(10)
        assert type(watcher.error).__name__ == "ChecksumError"


async def test_a_missing_candle_is_nowhere_and_may_come_late(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    gone = BEGIN + 2 * MINUTE
    server.faults.add("missing candle", symbol="BTCUSDT", open_ms=gone, bars=2, until_ms=BEGIN + 10 * MINUTE)
    listener = await listening(server, session, "/market/ws/0", "btcusdt@kline_1m", "btcusdt@kline_5m")
    await clock.run_for(6 * 60)
    closed = [m["k"]["t"] for m in listener.of("kline") if m["k"]["x"] and m["k"]["i"] == "1m"]
    expected = [BEGIN + i * MINUTE for i in (-1, 0, 1, 4)]
    assert closed == expected
    assert not {m["k"]["t"] for m in listener.of("kline")} & {gone, gone + MINUTE}
    assert [b[0] for b in await bars(server, session, 7)] == [BEGIN + i * MINUTE for i in (0, 1, 4, 5, 6)]
    assert (await bars(server, session, 2, "5m"))[0][0] == BEGIN
    await clock.run_for(5 * 60)
    assert gone in [b[0] for b in await bars(server, session, 15)]
    await listener.close()


async def test_a_revised_candle_is_first_shown_otherwise(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    frame = server.market.candles["BTCUSDT", "1m"]
    row = 100
    server.faults.add("revised candle", symbol="BTCUSDT", open_ms=BEGIN, until_ms=BEGIN + 90_000)
    await clock.run_for(70)
    first = (await bars(server, session, 2))[0]
    assert float(first[5]) == pytest.approx(frame.volume[row] / 2)
    assert float(first[4]) == pytest.approx((frame.high[row] + frame.low[row]) / 2)
    await clock.run_for(25)
    second = (await bars(server, session, 2))[0]
    assert (float(second[4]), float(second[5])) == (frame.close[row], pytest.approx(frame.volume[row]))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("nan candle", lambda bar: bar[1] == bar[2] == bar[3] == bar[4] == "NaN"),
        ("infinite candle", lambda bar: bar[2] == "Infinity"),
        ("crossed candle", lambda bar: float(bar[2]) < float(bar[3])),
        ("zero candle", lambda bar: float(bar[3]) == 0),
    ],
)
@pytest.mark.parametrize("where", ["rest", "stream", "both"])
async def test_a_broken_candle_is_shown_where_it_was_asked_for(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock, name: str, wrong: Any, where: str
) -> None:
    server.faults.add(name, symbol="BTCUSDT", open_ms=BEGIN, where=where)
    listener = await listening(server, session, "/market/ws/0", "btcusdt@kline_1m")
    await clock.run_for(70)
    (closed,) = [m["k"] for m in listener.of("kline") if m["k"]["x"] and m["k"]["t"] == BEGIN]
    shown = (await bars(server, session, 2))[0]
    assert wrong(shown) == (where != "stream")
    assert wrong([closed[x] for x in "tohlcv"]) == (where != "rest")
    await listener.close()


async def test_a_spike_is_one_print_that_mark_price_and_book_do_not_follow(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("spike", symbol="BTCUSDT", at_ms=BEGIN + 20_000, factor=10)
    listener = await listening(server, session, "/market/ws/0", "btcusdt@aggTrade", "btcusdt@kline_5m")
    quotes = await listening(server, session, "/public/ws/0", "btcusdt@bookTicker")
    marked = await listening(server, session, "/market/ws/1", "btcusdt@markPrice@1s")
    await clock.run_for(70)
    prices = [float(m["p"]) for m in listener.of("aggTrade")]
    usual = sorted(prices)[:-1]
    assert max(prices) > 9 * max(usual)
    assert max(usual) < 1.05 * min(usual)
    assert max(float(m["k"]["h"]) for m in listener.of("kline")) == max(prices)
    assert all(float(m["k"]["c"]) < 1.1 * min(usual) for m in listener.of("kline"))
    assert all(float(m["a"]) < 1.1 * min(usual) for m in quotes.of("bookTicker"))
    assert all(float(m["p"]) < 1.1 * min(usual) for m in marked.of("markPriceUpdate"))
    for timeframe in ("1m", "5m", "1h"):
        shown = await bars(server, session, 2, timeframe)
        assert [float(b[2]) == max(prices) for b in shown] == ([True, False] if timeframe == "1m" else [False, True])
    for listened in (listener, quotes, marked):
        await listened.close()


async def test_a_delisted_symbol_falls_silent(
    server: BinanceServer, session: aiohttp.ClientSession, clock: SimulatedClock
) -> None:
    server.faults.add("delisting", symbol="BTCUSDT", at_ms=BEGIN + 2 * MINUTE)
    listener = await listening(server, session, "/market/ws/0", "btcusdt@kline_1m", "btcusdt@aggTrade")
    quotes = await listening(server, session, "/public/ws/0", "btcusdt@depth@100ms", "btcusdt@bookTicker")
    await clock.run_for(10 * 60)
    assert max(m["E"] for m in listener.messages + quotes.messages if "E" in m) <= BEGIN + 2 * MINUTE + SECOND
    assert [m["k"]["t"] for m in listener.of("kline") if m["k"]["x"]][-1] == BEGIN + MINUTE
    for listened in (listener, quotes):
        await listened.close()


async def test_a_fault_that_is_not_known_is_refused(server: BinanceServer) -> None:
    with pytest.raises(ValueError, match="no fault is called 'meteor'"):
        server.faults.add("meteor")
    for name in (*REST, *STREAM):
        server.faults.add(name, at_ms=10**14)
    for name in BARS:
        server.faults.add(name, symbol="BTCUSDT", open_ms=BEGIN, at_ms=10**14)
