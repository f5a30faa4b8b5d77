"""The market stream against the exchange on loopback, with its faults: nothing ends in silence, no loss goes untold."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack

import numpy as np
import pytest
from aiohttp import web

from data.errors import Rejected
from data.exchange import binance_messages
from data.exchange.binanceusdm import BinanceUsdm
from data.exchange.events import (
    BookDelta,
    CandleUpdate,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    StreamGap,
    Subscription,
    TradePrint,
)
from data.exchange.quirks import Quirks
from data.exchange.session import ExchangeSession
from data.exchange.stream import MarketStream
from data.exchange.stream_sockets import StreamSockets
from data.settings import DataSettings
from data.synthetic import DEFAULT_START_MS, synthetic_market
from tests.exchange.binance_server import BinanceServer
from tests.exchange.simulated_time import SimulatedClock

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
START = DEFAULT_START_MS + 100 * 60_000 + 5_000
CANDLES = [Subscription("candles", symbol, frame) for symbol in (BTC, ETH) for frame in ("1m", "5m")]
TRADES, PREMIUM, BOOK = (Subscription(channel, BTC) for channel in ("trades", "premium", "book"))  # type: ignore[arg-type]
LIQUIDATIONS = Subscription("liquidations", BTC)
Open = Callable[..., "asyncio.Future[MarketStream]"]


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START)


@pytest.fixture
async def server(clock: SimulatedClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.market.add(*synthetic_market(symbol, "1m", 400, 7))
        yield running


class Streams:
    """Opens streams at the server; time stands while one of them dials."""

    def __init__(self, server: BinanceServer, clock: SimulatedClock) -> None:
        self.server, self.clock = server, clock
        self.stack = AsyncExitStack()

    async def open(self, subscriptions: Iterable[Subscription], seed: int = 0, **changes: object) -> MarketStream:
        settings = DataSettings(**{"base_url": self.server.url, **changes})
        session = ExchangeSession(settings, self.clock, sleep=self.clock.sleep, rng=np.random.default_rng(1))
        await self.stack.enter_async_context(session)
        stream = await self.stack.enter_async_context(
            MarketStream(session, subscriptions, rng=np.random.default_rng(seed))
        )
        self.clock.busy.append(lambda: stream.dialling)
        await self.clock.run_for(1)
        return stream


@pytest.fixture
async def streams(server: BinanceServer, clock: SimulatedClock) -> AsyncIterator[Streams]:
    made = Streams(server, clock)
    async with made.stack:
        yield made
    left = [task for task in asyncio.all_tasks() if "ccxt" in repr(task) or "stream.py" in repr(task)]
    assert left == []


def gaps(events: list[MarketEvent]) -> set[tuple[str, str]]:
    return {(e.channel, e.symbol) for e in events if isinstance(e, StreamGap)}


def ids(events: list[MarketEvent]) -> list[int]:
    return [e.trade_id for e in events if isinstance(e, TradePrint)]


def broken_at(events: list[MarketEvent]) -> list[MarketEvent]:
    """Book changes that do not follow the one before them, with no gap told in between."""
    out: list[MarketEvent] = []
    last: int | None = None
    for event in events:
        if isinstance(event, StreamGap) and event.channel == "book":
            last = None
        elif isinstance(event, BookDelta):
            if last is not None and event.previous_id != last:
                out.append(event)
            last = event.last_id
    return out


async def test_every_channel_speaks_over_two_sockets_with_one_message_each(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([*CANDLES, TRADES, PREMIUM, BOOK, LIQUIDATIONS])
    events: list[MarketEvent] = stream.events_nowait()
    assert stream.health.connected
    for _ in range(60):
        await clock.run_for(60)
        events += await stream.next_batch()
    kinds = {type(event) for event in events}
    assert kinds == {CandleUpdate, TradePrint, PremiumUpdate, BookDelta, Liquidation}
    assert broken_at(events) == []
    assert np.diff(ids(events)).max() == 1
    for symbol, frame, bars in ((BTC, "1m", 60), (ETH, "1m", 60), (BTC, "5m", 12), (ETH, "5m", 12)):
        closed = [
            e
            for e in events
            if isinstance(e, CandleUpdate) and (e.symbol, e.timeframe, e.closed) == (symbol, frame, True)
        ]
        assert len({e.open_time for e in closed}) == len(closed) == bars
    assert [(path, len(command["params"])) for path, command in server.hub.commands] == [
        ("/market/ws/0", 7),
        ("/public/ws/0", 1),
    ]
    assert not server.asked("/depth")  # ccxt would read a snapshot of its own for each book
    assert (stream.health.unreadable, stream.health.dropped, stream.health.reconnects) == (0, 0, 0)
    assert stream.health.stale == ()


async def test_an_exchange_with_nothing_but_ccxts_own_watch_calls_is_served_too(
    server: BinanceServer, streams: Streams, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("watch_all", "stream_groups", "unwatch"):
        monkeypatch.setattr(BinanceUsdm, name, getattr(Quirks, name))
    stream = await streams.open([*CANDLES, TRADES, PREMIUM, BOOK, LIQUIDATIONS])
    await clock.run_for(120)
    server.faults.add("24h drop", at_ms=clock.now_ms() + 1_000)
    await clock.run_for(3_600)
    events = stream.events_nowait()
    kinds = {CandleUpdate, TradePrint, PremiumUpdate, BookDelta, Liquidation, StreamGap}
    assert {type(event) for event in events} == kinds
    assert gaps(events) == {(s.channel, s.symbol) for s in (*CANDLES, TRADES, PREMIUM, BOOK, LIQUIDATIONS)}
    assert stream.health.stale == ()
    assert stream.health.unreadable == 0


async def test_f12_after_the_daily_drop_the_stream_is_back_at_once_and_the_gap_is_told(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([*CANDLES, TRADES, PREMIUM, BOOK])
    server.faults.add("24h drop", at_ms=START + 30_000)
    await clock.run_until(START + 29_000)
    before = stream.events_nowait()
    await clock.run_until(START + 33_000)
    after = stream.events_nowait()
    assert gaps(before) == set()
    assert gaps(after) == {("candles", BTC), ("candles", ETH), ("trades", BTC), ("premium", BTC), ("book", BTC)}
    assert broken_at([*before, *after]) == []
    back = [e for e in after if isinstance(e, BookDelta) and e.event_ms > START + 30_000]
    assert back[0].event_ms <= START + 32_000
    assert stream.health.connected
    assert stream.health.reconnects == 2  # one a socket


async def test_f12_a_cut_without_a_farewell_is_noticed_too(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([BOOK, TRADES])
    server.faults.add("disconnect", stream="btcusdt@depth@100ms", at_ms=START + 30_000)
    await clock.run_until(START + 35_000)
    events = stream.events_nowait()
    assert gaps(events) == {("book", BTC)}
    assert broken_at(events) == []
    assert stream.health.connected


async def test_f13_a_silent_socket_is_given_up_and_opened_anew(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    """The silent socket stays open and answers pings, so that only the time of the last message can tell."""
    stream = await streams.open([*CANDLES, TRADES, PREMIUM], stream_silence_s=20.0)
    server.faults.add("silence", at_ms=START + 30_000)
    await clock.run_until(START + 48_000)
    assert gaps(stream.events_nowait()) == set()
    await clock.run_until(START + 60_000)
    events = stream.events_nowait()
    assert gaps(events) == {("candles", BTC), ("candles", ETH), ("trades", BTC), ("premium", BTC)}
    assert any(isinstance(e, PremiumUpdate) and e.event_ms > START + 50_000 for e in events)
    assert stream.health.connected
    assert stream.health.reconnects == 1
    assert "nothing was heard for 2" in stream.health.last_trouble
    await stream.add([LIQUIDATIONS])  # over the new socket, which the farewell of the old one has left alone
    await clock.run_for(5)
    assert server.hub.opened == 2


async def test_f13_while_everything_is_silent_the_stream_is_stale_and_keeps_trying(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([PREMIUM, TRADES], stream_silence_s=20.0)
    server.faults.add("silence", at_ms=START + 30_000, until_ms=START + 300_000, everyone=True)
    stale = set()
    while clock.now_ms() < START + 280_000:
        await clock.run_for(10)
        stale |= set(stream.health.stale)
    assert stale == {"premium BTCUSDT", "trades BTCUSDT"}
    assert 8 <= server.hub.opened <= 13  # each new socket is given its time
    assert gaps(stream.events_nowait()) == {("trades", BTC), ("premium", BTC)}
    await clock.run_until(START + 330_000)
    assert stream.health.connected
    assert stream.health.stale == ()


async def test_f13_one_deaf_channel_on_a_talking_socket_is_found_and_blamed_once(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([PREMIUM, TRADES, *CANDLES], stream_silence_s=20.0)
    server.faults.add("silence", stream="*@markPrice*", at_ms=START + 30_000, everyone=True)
    await clock.run_until(START + 200_000)
    assert stream.health.reconnects == 1
    assert "premium BTCUSDT" in stream.health.stale
    assert "candles BTCUSDT 1m" not in stream.health.stale


async def test_f14_a_flood_is_bounded_and_its_loss_is_told_once(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([*CANDLES, TRADES, BOOK], stream_queue=500)
    server.faults.add("flood", stream="btcusdt@aggTrade", times=4, at_ms=START + 5_000, count=600)
    await clock.run_for(90)
    events = stream.events_nowait()
    assert gaps(events) == {("trades", BTC)}
    assert sum(isinstance(e, StreamGap) for e in events) == 1
    assert sum(isinstance(e, TradePrint | BookDelta) for e in events) <= 500
    assert stream.health.dropped > 1000
    assert {e.symbol for e in events if isinstance(e, CandleUpdate) and e.closed} == {BTC, ETH}
    assert stream.health.connected
    assert stream.health.reconnects == 0


async def test_f14_a_burst_is_taken_in_slices_so_that_the_loop_goes_on(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    """ccxt would empty its whole buffer before anybody else gets a turn; no message is lost by taking turns."""
    stream = await streams.open([TRADES])
    server.faults.add("flood", stream="btcusdt@aggTrade", at_ms=START + 5_000, count=5000)
    steps: list[int] = []

    async def tick() -> None:
        last = stream.health.messages
        while True:
            await asyncio.sleep(0)
            steps.append(stream.health.messages - last)
            last = stream.health.messages

    ticker = asyncio.create_task(tick())
    await clock.run_for(30)
    ticker.cancel()
    await asyncio.gather(ticker, return_exceptions=True)
    assert sum(steps) > 5000
    assert max(steps) <= 250
    assert sum(isinstance(e, TradePrint) for e in stream.events_nowait()) > 5000
    assert stream.health.dropped == 0


async def test_f62_with_the_network_gone_for_minutes_the_stream_keeps_trying_and_tells_the_gap_on_return(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([*CANDLES, TRADES, BOOK], retry_longest_delay_s=30.0)
    reader = asyncio.create_task(stream.next_batch())
    await clock.run_for(1)
    assert reader.done()
    stream.events_nowait()
    server.faults.add("network gone", at_ms=START + 30_000, until_ms=START + 330_000)
    await clock.run_until(START + 300_000)
    lost = stream.events_nowait()
    assert gaps(lost) == {("candles", BTC), ("candles", ETH), ("trades", BTC), ("book", BTC)}
    assert not stream.health.connected
    assert len(stream.health.stale) == 6
    reader = asyncio.create_task(stream.next_batch())
    await clock.run_until(START + 320_000)
    assert not reader.done()  # waits, and does not raise
    await clock.run_until(START + 365_000)
    back = await reader + stream.events_nowait()
    assert gaps(back) == gaps(lost)
    assert isinstance(back[0], StreamGap)  # what is asked for after it has no hole
    assert broken_at(back) == []
    assert stream.health.connected
    assert stream.health.stale == ()


async def test_f62_a_stream_that_is_begun_without_a_network_begins_when_there_is_one(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    await server.stop_listening()
    stream = await streams.open(CANDLES)
    await clock.run_for(120)
    assert not stream.health.connected
    assert stream.health.last_trouble
    await server.start_listening()
    await clock.run_for(70)
    assert stream.health.connected
    assert any(isinstance(e, CandleUpdate) for e in stream.events_nowait())


@pytest.mark.parametrize("text", ['{"e":"aggTrade","p":', "[1,2", '{"e":"aggTrade","s":"BTCUSDT"}', "{}{", "null"])
async def test_f66_a_malformed_frame_is_counted_told_and_survived(
    text: str, server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES, PREMIUM])
    server.faults.add("wrong json", stream="btcusdt@aggTrade", at_ms=START + 10_000, times=3, text=text)
    await clock.run_for(60)
    events = stream.events_nowait()
    assert stream.health.unreadable == 3
    assert gaps(events) == {("trades", BTC), ("premium", BTC)}
    assert stream.health.reconnects == 0
    assert [e for e in events if isinstance(e, TradePrint) and e.time_ms > START + 40_000]


async def test_f66_a_receive_loop_that_died_is_noticed_by_the_time_of_the_last_message(
    server: BinanceServer, streams: Streams, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in ccxt without our hooks: the handler raises, the loop ends, the socket stays open."""
    stream = await streams.open([TRADES, PREMIUM], stream_silence_s=20.0)
    sockets = stream._sockets
    assert isinstance(sockets, StreamSockets)
    (socket,) = sockets.open()

    def kill(frame: object) -> None:
        monkeypatch.undo()
        socket.client.connection._conn.protocol._payload._buffer.clear()
        socket.client.handle_message = lambda frame: None
        socket.client.receive_loop = lambda: None

    monkeypatch.setattr(socket.client, "handle_message", kill)
    await clock.run_for(5)
    stream.events_nowait()
    heard = stream.health.last_message_ms
    await clock.run_for(10)
    assert stream.health.last_message_ms == heard  # deaf
    await clock.run_for(30)
    events = stream.events_nowait()
    assert gaps(events) == {("trades", BTC), ("premium", BTC)}
    assert stream.health.connected
    assert stream.health.reconnects == 1
    assert ids(events)


async def test_f66_a_handler_of_ccxt_that_raises_is_counted_and_survived(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES])
    sockets = stream._sockets
    assert sockets is not None

    def raising(client: object, message: object) -> None:
        raise AttributeError("no such thing")

    sockets._handle = raising
    await stream.add([PREMIUM])  # its acknowledgement goes to ccxt's handler
    await clock.run_for(30)
    assert stream.health.unreadable == 1
    assert {type(e) for e in stream.events_nowait()} >= {TradePrint, PremiumUpdate}


async def test_f67_a_consumer_that_works_between_reads_gets_every_message(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES, BOOK])
    got: list[MarketEvent] = []

    async def consume() -> None:
        while True:
            got.extend(await stream.next_batch())
            await clock.sleep(7.3)  # work of other rooms

    task = asyncio.create_task(consume())
    await clock.run_for(600)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    got += stream.events_nowait()
    numbers = ids(got)
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert len(numbers) >= 110
    rows = server.recent_prints("BTCUSDT", START + 2_000, clock.now_ms(), 1000, oldest=True)
    assert set(numbers) >= {row[0] for row in rows}
    assert broken_at(got) == []
    assert gaps(got) == set()


async def test_a_symbol_that_the_exchange_has_not_is_named_and_the_others_speak(
    streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES, Subscription("candles", "XRP/USDT:USDT", "1m")])
    await clock.run_for(20)
    assert stream.health.stale == ("candles XRPUSDT 1m",)
    assert "XRPUSDT" in stream.health.last_trouble
    events = stream.events_nowait()
    assert gaps(events) == {("candles", "XRP/USDT:USDT")}
    assert ids(events)


async def test_subscriptions_come_and_go_while_the_socket_stays(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES])
    await stream.add([PREMIUM, TRADES])
    await clock.run_for(10)
    assert {type(e) for e in stream.events_nowait()} == {TradePrint, PremiumUpdate}
    await stream.remove([TRADES])
    stream.events_nowait()
    await clock.run_for(30)
    assert {type(e) for e in stream.events_nowait()} == {PremiumUpdate}
    assert [(path, c["method"], c["params"]) for path, c in server.hub.commands] == [
        ("/market/ws/0", "SUBSCRIBE", ["btcusdt@aggTrade"]),
        ("/market/ws/0", "SUBSCRIBE", ["btcusdt@markPrice@1s"]),
        ("/market/ws/0", "UNSUBSCRIBE", ["btcusdt@aggTrade"]),
    ]
    assert server.hub.opened == 1
    server.faults.add("24h drop", at_ms=clock.now_ms() + 1_000)
    await clock.run_for(20)
    assert server.hub.commands[-1][1]["params"] == ["btcusdt@markPrice@1s"]  # what was removed stays removed
    assert stream.health.connected


async def test_what_was_removed_is_passed_over_where_the_exchange_can_not_be_told(
    streams: Streams, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(exchange: object, subscriptions: Sequence[Subscription]) -> bool:
        return False

    monkeypatch.setattr(binance_messages, "unwatch", nothing)
    stream = await streams.open([TRADES, PREMIUM])
    await stream.remove([TRADES])
    stream.events_nowait()
    await clock.run_for(30)
    assert {type(e) for e in stream.events_nowait()} == {PremiumUpdate}


async def test_a_closed_stream_gives_what_it_has_and_then_says_so(streams: Streams, clock: SimulatedClock) -> None:
    stream = await streams.open([TRADES])
    await clock.run_for(20)
    await stream.close()
    assert ids(await stream.next_batch())
    with pytest.raises(Rejected, match="closed"):
        await stream.next_batch()
    assert not stream.health.connected


async def test_a_reader_is_woken_by_closing_and_a_reader_that_is_cancelled_loses_nothing(
    streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES])
    stream.events_nowait()
    reader = asyncio.create_task(stream.next_batch())
    await clock.settle()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await clock.run_for(30)
    numbers = ids(stream.events_nowait())
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    reader = asyncio.create_task(stream.next_batch())
    await clock.settle()
    await stream.close()
    with pytest.raises(Rejected, match="closed"):
        await reader


async def test_a_subscription_that_the_exchange_refuses_is_found_named_and_left_out(
    server: BinanceServer, streams: Streams, clock: SimulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Binance refuses the whole message: who is meant is found by asking for each alone."""
    errors = importlib.import_module("ccxt.base.errors")
    kept = binance_messages.watch_all

    async def refusing(exchange: object, subscriptions: Sequence[Subscription]) -> None:
        if any(s.symbol == ETH for s in subscriptions):
            raise errors.BadRequest("binanceusdm Invalid request: invalid stream")
        await kept(exchange, subscriptions)

    monkeypatch.setattr(binance_messages, "watch_all", refusing)
    stream = await streams.open([TRADES, PREMIUM, Subscription("trades", ETH)])
    await clock.run_for(40)
    assert stream.health.stale == ("trades ETHUSDT",)
    assert stream.refused.keys() == {Subscription("trades", ETH)}
    assert "invalid stream" in stream.health.last_trouble
    events = stream.events_nowait()
    assert ("trades", ETH) in gaps(events)
    assert {type(e) for e in events} >= {TradePrint, PremiumUpdate}
    assert stream.health.connected


@pytest.mark.parametrize("code", [-1121, 2])
async def test_an_error_answer_to_a_subscription_reaches_the_task_that_asked(
    code: int, server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([TRADES])
    sockets = stream._sockets
    assert sockets is not None
    (socket,) = sockets.open()
    frame = {"error": {"code": code, "msg": "Invalid symbol."}, "id": 1}
    socket.client.on_message_callback(socket.client, frame)
    await clock.run_for(1)
    assert stream.health.stale == ("trades BTCUSDT",)
    assert "Invalid symbol" in stream.health.last_trouble
    await clock.run_for(650)  # it may have been a mood of the exchange
    assert stream.refused == {}
    assert stream.health.connected
    assert stream.health.stale == ()


async def test_a_refused_subscription_is_asked_for_again_over_a_socket_that_others_use(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    stream = await streams.open([PREMIUM])
    await stream.add([TRADES])
    await clock.run_for(5)
    (socket,) = stream._sockets.open()  # type: ignore[union-attr]
    frame = {"error": {"code": 2, "msg": "Invalid request."}, "id": 2}
    socket.client.on_message_callback(socket.client, frame)
    await clock.run_for(30)
    assert stream.health.stale == ("trades BTCUSDT",)
    stream.events_nowait()
    await clock.run_for(620)
    assert stream.health.stale == ()
    assert ids(stream.events_nowait())
    assert server.hub.opened == 1
    asked = [c["params"] for _, c in server.hub.commands if c["method"] == "SUBSCRIBE"]
    assert asked == [["btcusdt@markPrice@1s"], ["btcusdt@aggTrade"], ["btcusdt@aggTrade"]]


async def test_f66_a_turn_that_fails_while_its_socket_stays_open_gets_a_new_socket(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    """So ccxt answers an error of aiohttp's reader: the turn fails, and the deaf socket stays in its list."""
    errors = importlib.import_module("ccxt.base.errors")
    stream = await streams.open([TRADES, PREMIUM])
    (socket,) = stream._sockets.open()  # type: ignore[union-attr]
    socket.client.reject(errors.NetworkError("out of order"))
    await clock.run_for(2)
    assert stream.health.connected
    assert server.hub.opened == 2
    assert len(server.hub.connections) == 1
    assert gaps(stream.events_nowait()) == {("trades", BTC), ("premium", BTC)}


async def test_f62_two_groups_of_one_socket_come_back_each_in_its_own_time(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    """A gap is told when its own subscription stands again: everything after it is there."""
    for seed in range(6):
        stream = await streams.open([PREMIUM], seed=seed)
        await stream.add([TRADES])
        await clock.run_for(20)
        await server.stop_listening()
        await clock.run_for(100)
        await server.start_listening()
        await clock.run_for(150)
        events = stream.events_nowait()
        told = [e.at_ms for e in events if isinstance(e, StreamGap) and e.channel == "trades"]
        rows = server.recent_prints("BTCUSDT", told[-1] + 1, clock.now_ms(), 1000, oldest=True)
        assert {row[0] for row in rows} <= set(ids(events))
        assert stream.health.connected
        await stream.close()


async def test_f62_a_handshake_that_is_answered_after_it_was_given_up_is_closed(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    answering, opened, closed = asyncio.Event(), 0, 0

    async def late(request: web.Request) -> web.WebSocketResponse:
        nonlocal opened, closed
        await answering.wait()
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        opened += 1
        async for _ in socket:
            pass
        closed += 1
        return socket

    app = web.Application()
    app.router.add_get("/market/ws/0", late)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    stream = await streams.open([], stream_silence_s=20.0)
    stream._exchange.urls["api"]["ws"]["linear"] = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    clock.busy.pop()
    await stream.add([TRADES])
    await clock.run_for(90)  # several dials wait for their answer
    answering.set()
    for _ in range(300):
        await asyncio.sleep(0)
    assert opened >= 3
    assert closed == opened - 1
    await stream.close()
    await runner.cleanup()


async def test_f62_a_handshake_that_is_never_answered_is_given_up_and_leaves_nothing_behind(
    server: BinanceServer, streams: Streams, clock: SimulatedClock
) -> None:
    dials = 0
    hanging = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dials
        dials += 1
        await hanging.wait()
        writer.close()

    deaf = await asyncio.start_server(never, "127.0.0.1", 0)
    port = deaf.sockets[0].getsockname()[1]
    stream = await streams.open([], stream_silence_s=20.0)
    stream._exchange.urls["api"]["ws"]["linear"] = f"ws://127.0.0.1:{port}/ws"
    clock.busy.pop()  # time passes while it dials
    await stream.add([TRADES])
    await clock.run_for(300)
    assert not stream.health.connected
    assert stream.health.stale == ("trades BTCUSDT",)
    assert 4 <= dials <= 12
    await stream.close()
    hanging.set()
    deaf.close()
    await deaf.wait_closed()
