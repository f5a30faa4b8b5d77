"""Faults of candles and feeds by their numbers, against the exchange on loopback, with streams and without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from data.bar_notes import Hole, Quarantined, Revision, Suspect
from data.exchange.live_events import Trouble
from data.exchange.rules import RulesChange
from data.market import BarMark, SeriesKey
from data.synthetic import DEFAULT_START_MS, synthetic_market
from database.candles import Candles
from database.home import Home
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.living import living
from tests.exchange.market import BarChange
from tests.exchange.simulated_time import SimulatedClock

MINUTE = 60_000
START = DEFAULT_START_MS + 120 * MINUTE
BTC = "BTC/USDT:USDT"
KEY = SeriesKey("binanceusdm", BTC, "1m")
BOTH = pytest.mark.parametrize("streams", [True, False], ids=["stream", "rest"])


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START + 5_000)


@pytest.fixture
async def server(clock: SimulatedClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock, Rhythm(kline_ms=10_000, mark_ms=10_000)) as running:
        running.market.add(*synthetic_market("BTCUSDT", "1m", 700, 7))
        yield running


@pytest.fixture
def store(tmp_path: Path, clock: SimulatedClock) -> Iterator[Candles]:
    with Home(tmp_path / "home", clock).open() as database:
        yield database.candles


def change(server: BinanceServer, minute: int, values: dict[str, float] | None, **how: object) -> int:
    """Show the bar of a minute after START otherwise; its open time."""
    time = START + minute * MINUTE
    server.market.changes.append(BarChange("BTCUSDT", "1m", time, values, **how))
    return time


@BOTH
async def test_f28_an_impossible_candle_is_quarantined_and_comes_right_over_rest(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    where = "stream" if streams else "both"
    for minute, values in enumerate(({"close": float("nan")}, {"high": float("inf")}, {"low": 0.0}, {"open": -5.0})):
        time = START + minute * MINUTE
        change(server, minute, values, where=where, until_ms=time + MINUTE + 3_000)
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 6 * MINUTE)
        live.check_whole(KEY, START, 5)
        health = live.market.health()
        if streams:  # its reader refuses such a message, and REST is asked because of the gap
            assert health.stream is not None and health.stream.unreadable >= 4
        else:
            broken = {note.bar.open_time for note in live.of(Quarantined)}
            assert broken == {START + minute * MINUTE for minute in range(4)}
            assert health.quarantined >= 4
    assert np.isfinite(live.given(KEY).close).all()


@BOTH
async def test_f28_what_the_exchange_has_broken_for_good_is_a_hole_and_the_rest_goes_on(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    bad = change(server, 1, {"high": float("nan")})
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 5 * MINUTE + 10_000)
        live.check_whole(KEY, START, 5, except_for=[bad])
        assert live.of(Hole) == [Hole(KEY, bad, bad + MINUTE)]


@BOTH
async def test_f29_a_gap_is_filled_from_rest_in_order(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    if streams:
        server.faults.add("drop", stream="btcusdt@kline_1m", at_ms=START + MINUTE, until_ms=START + 4 * MINUTE)
    else:
        server.faults.add("5xx", path="/klines", at_ms=START + MINUTE, until_ms=START + 4 * MINUTE)
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 6 * MINUTE)
        live.check_whole(KEY, START, 5)
        assert live.of(Hole) == []
        delay = live.given(KEY).known_at - live.given(KEY).open_time - MINUTE
        assert (delay <= (5_000 if streams else 4 * MINUTE)).all()


@BOTH
async def test_f29_what_the_exchange_does_not_have_is_told_and_repaired_when_it_comes(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    first, second = (change(server, minute, None, until_ms=START + 20 * MINUTE) for minute in (2, 3))
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 10 * MINUTE)
        live.check_whole(KEY, START, 9, except_for=[first, second])
        assert sum(hole.bars for hole in live.of(Hole)) == 2 == live.market.health().holes
        await clock.run_until(START + 21 * MINUTE)
        live.market.review()
        await clock.run_until(START + 22 * MINUTE + 10_000)
        assert [note.after.open_time for note in live.of(Revision)] == [first, second]
        assert first not in live.given(KEY).open_time, "the order of what was given stays"
        stored = store.read(KEY, START)
    assert stored.open_time.tolist() == [START + i * MINUTE for i in range(22)]
    assert stored.mark[2:4].tolist() == [BarMark.REPAIRED] * 2
    assert (stored.known_at[2:4] >= START + 21 * MINUTE).all()


@BOTH
async def test_f30_repeated_and_reordered_messages_change_nothing(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    server.faults.add("duplicate", stream="btcusdt@kline_1m", until_ms=START + 4 * MINUTE)
    server.faults.add("reorder", stream="btcusdt@kline_1m", at_ms=START + 4 * MINUTE, times=4)
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 8 * MINUTE)
        live.check_whole(KEY, START, 7)
        health = live.market.health()
        assert (health.holes, health.revisions, health.quarantined) == (0, 0, 0)


@BOTH
async def test_f30_a_revised_candle_is_told_once_and_the_store_is_put_right(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 5 * MINUTE)
        before = live.given(KEY)
        time = change(server, 3, {"volume": 4321.0}, from_ms=START + 5 * MINUTE)
        await clock.run_until(START + 8 * MINUTE)
        live.market.review()
        await clock.run_until(START + 9 * MINUTE + 10_000)
        (note,) = live.of(Revision)
        assert note.after.open_time == time and note.after.volume == 4321.0
        assert note.before is not None and note.before.volume == before.volume[3]
        assert np.count_nonzero(live.given(KEY).open_time == time) == 1, "not given twice"
        live.check_whole(KEY, START, 9)
        stored = store.read(KEY, time, time + MINUTE)
        assert stored.volume[0] == 4321.0 and stored.known_at[0] >= START + 5 * MINUTE
        as_known = store.read(KEY, time, time + MINUTE, as_of_ms=START + 5 * MINUTE)
        assert as_known.volume[0] == before.volume[3], "as of then it is what it was then"


async def test_f31_a_print_of_ten_times_the_price_in_the_stream_alone_is_put_right(
    server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    change(server, 2, {"high": 420_000.0}, where="stream")
    async with living(server, clock, store, [KEY]) as live:
        await clock.run_until(START + 5 * MINUTE)
        live.check_whole(KEY, START, 4)
        assert (live.given(KEY).mark == BarMark.REAL).all()
        assert live.of(Suspect) == []


@BOTH
async def test_f31_a_spike_that_the_exchange_confirms_is_suspect_and_stored_so(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    time = change(server, 2, {"high": 420_000.0})
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 5 * MINUTE)
        live.check_whole(KEY, START, 4)
        (note,) = live.of(Suspect)
        assert note.bar.open_time == time and note.mark_high < 60_000
        assert live.given(KEY).mark.tolist() == [0, 0, BarMark.SUSPECT, 0]
        assert live.market.health().suspects == 1
    assert store.read(KEY, time, time + MINUTE).mark.tolist() == [BarMark.SUSPECT]


@BOTH
async def test_f33_a_stale_feed_closes_the_age_gate_until_it_is_back(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    server.faults.add("5xx", path="", at_ms=START + 3 * MINUTE, until_ms=START + 8 * MINUTE)
    server.faults.add("silence", at_ms=START + 3 * MINUTE, until_ms=START + 8 * MINUTE, everyone=True)
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 3 * MINUTE)
        assert live.market.fresh(BTC) and live.market.health().stale == ()
        await clock.run_until(START + 7 * MINUTE)
        health = live.market.health()
        assert not live.market.fresh(BTC) and health.stale == (KEY,)
        assert health.troubles and any(isinstance(e, Trouble) for e in live.events)
        assert health.series[0].age_ms > 2 * MINUTE
        await clock.run_until(START + 12 * MINUTE)
        assert live.market.fresh(BTC) and live.market.health().troubles == ()
        live.check_whole(KEY, START, 11)


async def test_f12_after_a_disconnect_the_gap_is_filled_over_rest(
    server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    server.faults.do(START + 2 * MINUTE + 59_000, server.hub.drop)
    async with living(server, clock, store, [KEY]) as live:
        await clock.run_until(START + 6 * MINUTE)
        live.check_whole(KEY, START, 5)
        health = live.market.health()
        assert health.stream is not None and health.stream.reconnects >= 1 and health.mode == "stream"


async def test_f12_a_stream_that_can_not_be_had_leaves_rest_to_do_it(
    server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    for path in ("/market/ws/0", "/market/ws", "/public/ws/0"):
        server.faults.add("5xx", path=path, until_ms=START + 60 * MINUTE)
    async with living(server, clock, store, [KEY]) as live:
        await clock.run_until(START + 6 * MINUTE)
        live.check_whole(KEY, START, 5)
        assert live.market.health().mode == "rest"


async def test_f24_a_symbol_that_settles_is_told(server: BinanceServer, clock: SimulatedClock, store: Candles) -> None:
    server.market.add(*synthetic_market("ETHUSDT", "1m", 700, 7))  # which stays
    server.market.delist("BTCUSDT", START + 4 * MINUTE, START + 8 * MINUTE)
    async with living(server, clock, store, [KEY], rules_refresh_s=60.0) as live:
        await clock.run_until(START + 4 * MINUTE)
        assert live.market.rules[BTC].status == "trading"
        await clock.run_until(START + 12 * MINUTE)
        assert [event.after.status for event in live.of(RulesChange)] == ["settling", "delisted"]
        live.check_whole(KEY, START, 4)
        assert not live.market.fresh(BTC)


async def test_f25_changed_rules_are_told(server: BinanceServer, clock: SimulatedClock, store: Candles) -> None:
    server.market.change_rules("BTCUSDT", START + 4 * MINUTE, tick="0.5")
    async with living(server, clock, store, [KEY], rules_refresh_s=60.0) as live:
        await clock.run_until(START + 6 * MINUTE)
        (event,) = live.of(RulesChange)
        assert event.needs_rounding and str(live.market.rules[BTC].tick) == "0.5"


@BOTH
async def test_f62_minutes_without_network_leave_no_gap(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, [KEY], streams=streams) as live:
        await clock.run_until(START + 3 * MINUTE)
        await server.stop_listening()
        await clock.run_until(START + 10 * MINUTE)
        assert not live.market.fresh(BTC)
        await server.start_listening()
        await clock.run_until(START + 14 * MINUTE)
        live.check_whole(KEY, START, 13)
        assert live.market.fresh(BTC)
        assert live.market.health().mode == ("stream" if streams else "rest")
