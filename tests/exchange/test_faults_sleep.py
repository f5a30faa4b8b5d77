"""A machine that sleeps while a market is live, and books whose price runs away from what is known of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from data.bar_notes import Hole
from data.exchange.live_events import Settlement
from data.market import SeriesKey
from data.synthetic import DEFAULT_START_MS, synthetic_market
from data.timeframes import HOUR_MS, MINUTE_MS
from database.candles import Candles
from database.home import Home
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.living import living
from tests.exchange.simulated_time import SimulatedClock

START = DEFAULT_START_MS + 480 * MINUTE_MS
BTC = "BTC/USDT:USDT"
MINUTES, FIVES, HOURS = (SeriesKey("binanceusdm", BTC, timeframe) for timeframe in ("1m", "5m", "1h"))
SLEPT_S = 8 * 3600 + 17.0


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START + 5_000)


@pytest.fixture
async def server(clock: SimulatedClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock, Rhythm(kline_ms=10_000, mark_ms=10_000, depth_ms=5_000)) as running:
        running.market.add(*synthetic_market("BTCUSDT", "1m", 1200, 7))
        yield running


@pytest.fixture
def store(tmp_path: Path, clock: SimulatedClock) -> Iterator[Candles]:
    with Home(tmp_path / "home", clock).open() as database:
        yield database.candles


@pytest.mark.parametrize("timer", [True, False], ids=["the timer went on", "the timer stood still"])
@pytest.mark.parametrize("sockets", ["cut", "dead", "none"])
async def test_f44_a_machine_that_slept_gets_every_bar_of_the_gap_once_and_in_order(
    sockets: str, timer: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    """``dead``: the peer was gone without a farewell, and nobody says so."""
    async with living(server, clock, store, [MINUTES, FIVES, HOURS], streams=sockets != "none") as live:
        await clock.run_until(START + 3 * MINUTE_MS)
        assert live.market.quote(BTC).age_ms("mark") is not None
        if sockets == "dead":
            server.faults.add("silence", at_ms=clock.now_ms() + 1)
        clock.advance(SLEPT_S, timer)
        if sockets == "cut":
            await server.hub.drop()
        assert not live.market.fresh(BTC), "what was known before is too old to act on"
        woke = clock.now_ms()
        await clock.run_for(100)
        live.check_whole(MINUTES, START, 484)
        for key, bars in ((MINUTES, 483), (FIVES, 96), (HOURS, 8)):
            assert live.given(key).known_at[:bars].max() <= woke + 35_000, "not only at the next close"
        await clock.run_until(START + 9 * HOUR_MS + 10_000)
        live.check_whole(MINUTES, START, 540)
        live.check_whole(FIVES, START, 108)
        live.check_whole(HOURS, START, 9)
        assert live.of(Hole) == [] and live.market.fresh(BTC)
        health = live.market.health()
        if sockets != "none":
            assert health.mode == "stream" and health.stream is not None and health.stream.reconnects >= 1
            assert (health.stream.stale, server.hub.opened) == ((), 2)
        assert [s.time_ms for s in live.of(Settlement)] == [DEFAULT_START_MS + 16 * HOUR_MS]


async def test_a_book_whose_price_runs_to_its_end_is_read_anew_and_not_too_often(
    clock: SimulatedClock, store: Candles
) -> None:
    """The prints of this market leave the few levels of a snapshot all the time."""
    async with BinanceServer(clock, Rhythm(kline_ms=10_000, mark_ms=10_000, depth_ms=1_000)) as server:
        names = ("BTC", "ETH", "SOL")
        for name in names:
            server.market.add(*synthetic_market(f"{name}USDT", "1m", 600, 7))
        keys = [SeriesKey("binanceusdm", f"{name}/USDT:USDT", "1m") for name in names]
        async with living(server, clock, store, keys, collect=("book",)) as live:
            await clock.run_for(300)
            health = live.market.health()
            assert all(not market.sync.gaps for market in live.market._markets.values())
            for name in names:
                times = [r.at_ms for r in server.asked("/depth") if r.query["symbol"] == f"{name}USDT"]
                apart = [after - before for before, after in pairwise(times)]
                assert len(times) >= 5, "more than the first: a live book was read again"
                assert min(apart) >= 2_000 * len(names)
            assert health.resyncs >= 12 and health.rest.failures == 0
