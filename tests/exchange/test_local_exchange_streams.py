"""The local exchange's streams through the unmodified ccxt.pro class, and what time and the wire do to them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from data.clock import ManualClock
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import FINE, USUAL
from tests.exchange.recording import read_recording
from tests.exchange.simulated_time import SimulatedClock
from tests.exchange.streaming import client, listening, watching

MINUTE = 60_000
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
BEGIN = START + 100 * MINUTE + 30_000


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


async def test_ccxt_watches_every_market_stream(server: BinanceServer, clock: SimulatedClock) -> None:
    server.rhythm = replace(FINE, liquidation_every=1)
    async with client(server) as x, watching(
        lambda: x.watch_ohlcv(BTC, "1m"),
        lambda: x.watch_ohlcv_for_symbols([[BTC, "5m"], [ETH, "1m"]]),
        lambda: x.watch_order_book(BTC),
        lambda: x.watch_trades(BTC, params={"name": "aggTrade"}),
        lambda: x.watch_trades(ETH, params={"name": "trade"}),
        lambda: x.watch_mark_price(BTC),
        lambda: x.watch_liquidations(BTC),
        lambda: x.watch_bids_asks([BTC]),
        lambda: x.watch_ticker(ETH),
    ) as watchers:  # fmt: skip
        await clock.run_for(60)
        ended = [w.error for w in watchers]
        counts = [len(w.seen) for w in watchers]
    assert ended == [None] * 9
    klines, books, trades, marks, liquidations, tickers = (counts[i] for i in (0, 2, 3, 5, 6, 8))
    assert 230 <= klines <= 240
    assert 590 <= books <= 600
    assert 110 <= trades <= 120
    assert 59 <= marks <= 60
    assert 1 <= liquidations <= 2
    assert 29 <= tickers <= 30
    assert {path.rsplit("/", 1)[0] for path, _ in server.hub.commands} == {"/market/ws", "/public/ws"}


async def test_ccxt_books_equal_the_snapshot_at_every_moment(server: BinanceServer, clock: SimulatedClock) -> None:
    server.rhythm = FINE
    async with client(server) as x, watching(lambda: x.watch_order_book(BTC)) as (watcher,):
        for _ in range(300):
            await clock.run_for(0.1)
            if watcher.seen:
                now = server.snapshot("BTCUSDT", 1000)
                for side in ("bids", "asks"):
                    held = [[float(p), float(q)] for p, q in now[side]]
                    assert [list(level) for level in x.orderbooks[BTC][side]] == held
    assert watcher.error is None
    assert len(watcher.seen) > 280


async def test_each_bar_closes_once_with_its_values_and_forms_before(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    streams = [f"btcusdt@kline_{t}" for t in ("1m", "5m", "15m", "1h")]
    listener = await listening(server, session, "/market/ws/0", *streams)
    await clock.run_until(START + 181 * MINUTE + USUAL.close_lag_ms)
    bars = listener.of("kline")
    for timeframe, step in (("1m", 1), ("5m", 5), ("15m", 15), ("1h", 60)):
        mine = [m for m in bars if m["k"]["i"] == timeframe]
        closed = [m["k"] for m in mine if m["k"]["x"]]
        first = -(-101 // step) * step - step
        assert [k["t"] for k in closed] == [START + i * MINUTE for i in range(first, 181 - step + 1, step)]
        frame = server.market.series("BTCUSDT", timeframe, server.market.candles)
        at = np.searchsorted(frame.open_time, [k["t"] for k in closed])
        for name in ("open", "high", "low", "close", "volume"):
            assert [float(k[name[0]]) for k in closed] == pytest.approx(getattr(frame, name)[at].tolist())
        last_seen: dict[int, tuple[float, float, float]] = {}
        for k in (m["k"] for m in mine):
            high, low, volume = last_seen.get(k["t"], (0.0, 1e9, 0.0))
            assert float(k["h"]) >= high
            assert float(k["l"]) <= low
            assert float(k["v"]) >= volume - 1e-9
            last_seen[k["t"]] = (float(k["h"]), float(k["l"]), float(k["v"]))
        assert [m["k"]["t"] for m in mine] == sorted(m["k"]["t"] for m in mine)  # none forms before the last closed
        assert all(m["k"]["t"] <= m["E"] for m in mine)
        assert all(m["E"] > m["k"]["T"] for m in mine if m["k"]["x"])
        assert all(m["E"] <= m["k"]["T"] for m in mine if not m["k"]["x"])


async def test_streams_and_rest_show_the_same_forming_bar(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    listener = await listening(server, session, "/market/ws/0", "ethusdt@kline_5m")
    for _ in range(10):
        await clock.run_for(20)
        async with session.get(
            f"{server.url}/fapi/v1/klines", params={"symbol": "ETHUSDT", "interval": "5m", "limit": 1}
        ) as response:
            (bar,) = await response.json()
        k = listener.of("kline")[-1]["k"]
        if listener.messages[-1]["E"] == clock.ms:
            assert [k["t"], k["o"], k["h"], k["l"], k["c"], k["v"], k["T"]] == bar[:7]


async def test_diffs_follow_each_other_and_meet_the_snapshot(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    listener = await listening(server, session, "/public/ws/0", "btcusdt@depth@100ms")
    await clock.run_for(5.5)
    taken, at = server.snapshot("BTCUSDT", 50)["lastUpdateId"], clock.ms
    await clock.run_for(30)
    diffs = listener.of("depthUpdate")
    assert len(diffs) == 35
    for before, after in itertools.pairwise(diffs):
        assert after["pu"] == before["u"]
        assert after["pu"] < after["U"] <= after["u"]
        assert after["b"] or after["a"]
    (meeting,) = [d for d in diffs if d["U"] <= taken <= d["u"]]
    assert meeting["E"] > at
    assert next(d for d in diffs if d["E"] > at) == meeting


async def test_what_is_unsubscribed_is_silent_and_every_command_is_acknowledged(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    listener = await listening(server, session, "/market/ws/0", "btcusdt@markPrice@1s", "ethusdt@markPrice@1s")
    await clock.run_for(5)
    await listener.ask("UNSUBSCRIBE", "btcusdt@markPrice@1s")
    await clock.settle()
    before = len(listener.of("markPriceUpdate"))
    await clock.run_for(5)
    later = listener.of("markPriceUpdate")[before:]
    assert {m["s"] for m in later} == {"ETHUSDT"}
    assert len(later) == 5
    await listener.ask("LIST_SUBSCRIPTIONS")
    await listener.socket.send_str("{not json")
    await clock.settle()
    answers = [m for m in listener.messages if "e" not in m]
    assert answers[:3] == [{"result": r, "id": 7} for r in (None, None, ["ethusdt@markPrice@1s"])]
    assert answers[3]["error"]["code"] == 2


async def test_a_stream_on_the_wrong_path_or_of_an_unknown_symbol_says_nothing(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    wrong = await listening(server, session, "/public/ws/0", "btcusdt@kline_1m", "btcusdt@markPrice@1s")
    unknown = await listening(server, session, "/market/ws/0", "pepeusdt@kline_1m", "btcusdt@nothing", "btcusdt@depth")
    right = await listening(server, session, "/market/ws/1", "btcusdt@kline_1m", "btcusdt@markPrice@1s")
    await clock.run_for(150)
    assert len(right.messages) > 150
    assert wrong.messages == unknown.messages == [{"result": None, "id": 7}]


async def test_all_market_streams_hold_every_listed_symbol(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    listener = await listening(server, session, "/market/ws/0", "!markPrice@arr@1s", "!ticker@arr", "!miniTicker@arr")
    await clock.run_for(4)
    lists = [m for m in listener.messages if isinstance(m, list)]
    assert len(lists) == 4 + 2 + 2
    assert all({entry["s"] for entry in m} == {"BTCUSDT", "ETHUSDT"} for m in lists)


async def test_simulated_time_waits_until_a_slow_peer_has_taken_every_message(
    server: BinanceServer, clock: SimulatedClock
) -> None:
    server.rhythm = FINE
    behind: list[int] = []
    async with client(server) as x:
        handled = x.handle_message

        def noticing(connection: Any, message: Any) -> None:
            if "E" in message:
                behind.append(clock.ms - message["E"])
            handled(connection, message)

        x.handle_message = noticing
        async with watching(lambda: x.watch_trades(BTC, params={"name": "aggTrade"}), lambda: x.watch_bids_asks([BTC])):
            await clock.run_for(120)
    assert len(behind) > 1300
    assert max(behind) == 0


async def test_a_peer_that_never_answers_holds_time_only_for_a_moment(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    socket = await session.ws_connect(f"{server.ws_url}/market/ws/0", autoping=False)
    await socket.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@markPrice@1s"], "id": 1})
    await clock.run_for(3600)
    assert clock.ms == BEGIN + 3_600_000
    assert server.hub.connections[0].deaf
    await socket.close()


async def test_a_peer_that_does_not_read_is_dropped_and_the_others_hear_on(
    server: BinanceServer, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    stuck = await session.ws_connect(f"{server.ws_url}/public/ws/0")
    await stuck.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1})
    listener = await listening(server, session, "/market/ws/0", "btcusdt@markPrice@1s")
    server.faults.add("flood", stream="btcusdt@bookTicker", at_ms=BEGIN + 5_000, count=60_000)
    await clock.run_for(30)
    assert len(listener.of("markPriceUpdate")) == 30
    assert [c.path for c in server.hub.connections] == ["/market/ws/0"]
    await stuck.close()


async def test_a_manual_clock_is_moved_from_message_to_message() -> None:
    clock = ManualClock(BEGIN)
    async with BinanceServer(clock) as server, aiohttp.ClientSession() as session:
        server.market.add(*synthetic_market("BTCUSDT", "1m", 300, 7))
        listener = await listening(server, session, "/market/ws/0", "btcusdt@kline_1m", "btcusdt@aggTrade")
        await server.emit_until(BEGIN)
        await server.emit_until(BEGIN + 120_000)
        assert clock.ms == BEGIN + 120_000
        assert [m["k"]["t"] for m in listener.of("kline") if m["k"]["x"]] == [START + i * MINUTE for i in (100, 101)]
        times = [m["E"] for m in listener.messages if "E" in m]
        assert times == sorted(times)
        assert all(m["E"] == m["T"] for m in listener.of("aggTrade"))
        assert len(listener.of("aggTrade")) == pytest.approx(2 * USUAL.trades_a_bar, abs=2)


@pytest.mark.data
async def test_a_recorded_session_is_replayed_word_by_word_and_its_book_is_kept(
    shared_data: Path, clock: SimulatedClock, session: aiohttp.ClientSession
) -> None:
    recording = read_recording(shared_data / "orderbook/binance_usdm_btcusdt_20240808_raw.jsonl.gz")
    clock.advance((recording.first_ms - 500 - clock.ms) / 1000)
    async with BinanceServer(clock) as server:
        server.replay(recording)
        listener = await listening(server, session, "/public/ws/0", "btcusdt@depth@100ms", "btcusdt@trade")
        async with client(server) as x, watching(lambda: x.watch_order_book(BTC)) as (watcher,):
            await clock.run_for(25)
            assert watcher.error is None
            now = server.snapshot("BTCUSDT", 20)
            assert x.orderbooks[BTC]["nonce"] == now["lastUpdateId"]
            assert [list(b) for b in x.orderbooks[BTC]["bids"][:20]] == [[float(p), float(q)] for p, q in now["bids"]]
        until = clock.ms
        for event, channel in (("depthUpdate", "depth"), ("trade", "trade")):
            expected = [line.data for line in recording.lines("BTCUSDT", channel) if line.at_ms <= until]
            assert len(expected) > 400
            assert listener.of(event) == expected
        async with session.get(f"{server.url}/fapi/v1/klines?symbol=BTCUSDT&interval=1m") as response:
            bars = await response.json()
        prices = [float(m["p"]) for m in listener.of("trade") if m["T"] >= bars[-1][0] and float(m["p"]) > 0]
        assert float(bars[-1][2]) == max(prices)
        assert float(bars[-1][4]) == prices[-1]
