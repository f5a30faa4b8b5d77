"""A live market on simulated time: bars, quotes, funding, books and trades, stored as they come."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest

from data.exchange.live_events import IntervalChanged, Settlement, Trouble
from data.market import SeriesKey
from data.synthetic import DEFAULT_START_MS, synthetic_market
from database.candles import Candles
from database.home import Home
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.living import living
from tests.exchange.simulated_time import SimulatedClock

MINUTE, HOUR = 60_000, 3_600_000
START = DEFAULT_START_MS + 470 * MINUTE
BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
MINUTES, FIVES = (SeriesKey("binanceusdm", BTC, timeframe) for timeframe in ("1m", "5m"))
ETHER = SeriesKey("binanceusdm", ETH, "1m")
EVERYTHING = ("book", "trades", "premium", "metrics", "liquidations")


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START + 5_000)


@pytest.fixture
async def server(clock: SimulatedClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock, Rhythm(kline_ms=10_000, mark_ms=10_000, depth_ms=5_000)) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.market.add(*synthetic_market(symbol, "1m", 1200, 7))
        yield running


@pytest.fixture
def store(tmp_path: Path, clock: SimulatedClock) -> Iterator[Candles]:
    with Home(tmp_path / "home", clock).open() as database:
        yield database.candles


@pytest.mark.parametrize("streams", [True, False])
async def test_bars_of_every_series_come_once_in_order_and_are_stored(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, [MINUTES, FIVES, ETHER], streams=streams) as live:
        await clock.run_until(START + 11 * MINUTE + 20_000)
        live.check_whole(MINUTES, START, 11)
        live.check_whole(ETHER, START, 11)
        live.check_whole(FIVES, START, 2)
        health = live.market.health()
        assert health.mode == ("stream" if streams else "rest")
        assert health.bars == 24 and health.stale == () and health.troubles == ()
        assert live.market.fresh("BTCUSDT")
        delay = live.given(MINUTES).known_at - live.given(MINUTES).open_time - MINUTE
        assert (delay <= (1000 if streams else 2000)).all()


async def test_missed_bars_come_first(server: BinanceServer, clock: SimulatedClock, store: Candles) -> None:
    known = START - 50 * MINUTE
    async with living(server, clock, store, [MINUTES], {MINUTES: known}, streams=False) as live:
        await clock.run_until(START + 3 * MINUTE + 5_000)
        live.check_whole(MINUTES, known + MINUTE, 52)
        assert {request.weight for request in server.asked("/klines")} == {1}, "few bars are asked for by few rows"


async def test_a_look_at_many_bars_asks_for_as_many(
    server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    known = START - 400 * MINUTE
    async with living(server, clock, store, [MINUTES], {MINUTES: known}, streams=False) as live:
        await clock.run_until(START + 3 * MINUTE + 5_000)
        live.check_whole(MINUTES, known + MINUTE, 402)
        assert [request.weight for request in server.asked("/klines")][:2] == [2, 1]


async def test_the_quote_holds_everything_with_its_age(
    server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, [MINUTES], collect=EVERYTHING) as live:
        await clock.run_until(START + 3 * MINUTE)
        quote = live.market.quote("BTCUSDT")
    assert quote.bid < quote.microprice < quote.ask and quote.spread == quote.ask - quote.bid
    assert -1 <= quote.imbalance <= 1 and -1 <= quote.flow_imbalance <= 1 and 0 <= quote.buy_pressure <= 1
    assert abs(quote.last / quote.mark - 1) < 0.01
    assert quote.basis == quote.mark / quote.index - 1
    assert quote.interval_ms == 8 * HOUR and quote.next_funding_ms == DEFAULT_START_MS + 8 * HOUR
    assert quote.open_interest > 0 and quote.account_ratio > 0 and quote.taker_ratio > 0
    for figure in ("last", "bid", "flow_imbalance", "mark", "funding_rate"):
        age = quote.age_ms(figure)
        assert age is not None and 0 <= age <= 11_000, figure
    assert quote.age_ms("open_interest") is not None


async def test_without_collecting_the_quote_says_what_it_does_not_know(
    server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, [MINUTES], streams=False, collect=()) as live:
        await clock.run_until(START + 3 * MINUTE)
        quote = live.market.quote(BTC)
        assert math.isnan(quote.bid) and quote.age_ms("bid") is None
        assert quote.mark > 0, "needed to hold bars against"
        assert not len(store.read_observations(SeriesKey("binanceusdm", BTC, "tick", "premium")))


@pytest.mark.parametrize("streams", [True, False])
async def test_what_is_collected_is_stored_with_the_moment_it_was_known(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, [MINUTES], streams=streams, collect=EVERYTHING) as live:
        await clock.run_until(START + 7 * MINUTE)
        now = clock.now_ms()
    for kind, timeframe, least in (
        ("premium", "tick", 7), ("book", "tick", 10), ("trades", "tick", 50), ("metrics", "5m", 12),
    ):  # fmt: skip
        rows = store.read_observations(SeriesKey("binanceusdm", BTC, timeframe, kind))
        assert len(rows) >= least, kind
        assert (rows.known_at >= rows.time).all() and (rows.known_at <= now).all(), kind
    premium = store.read_observations(SeriesKey("binanceusdm", BTC, "tick", "premium"))
    assert (np.diff(premium.time) <= MINUTE + 11_000).all()
    assert (premium.column("interval_ms") == 8 * HOUR).all()
    assert live.of(Trouble) == []


@pytest.mark.parametrize("streams", [True, False])
async def test_f32_a_funding_spike_is_settled_at_the_real_interval_which_may_change(
    streams: bool, server: BinanceServer, clock: SimulatedClock, store: Candles
) -> None:
    eight = DEFAULT_START_MS + 8 * HOUR
    server.market.spike_funding("BTCUSDT", 0.0125, eight)
    server.market.change_funding_interval("BTCUSDT", 1, eight)
    async with living(server, clock, store, [MINUTES], streams=streams, collect=("premium",)) as live:
        await clock.run_until(eight - MINUTE)
        assert live.market.quote(BTC).interval_ms == 8 * HOUR
        assert live.market.quote(BTC).funding_rate == 0.0125
        await clock.run_until(eight + 2 * MINUTE)
        assert live.market.quote(BTC).interval_ms == HOUR
        assert live.market.quote(BTC).next_funding_ms == eight + HOUR
        await clock.run_until(eight + HOUR + MINUTE)
        assert live.of(IntervalChanged) == [IntervalChanged(BTC, 8 * HOUR, HOUR)]
        assert [(s.time_ms, s.interval_ms) for s in live.of(Settlement)] == [
            (eight, 8 * HOUR), (eight + HOUR, HOUR),
        ]  # fmt: skip
        assert live.of(Settlement)[0].rate == 0.0125
        assert live.market.health().unsettled == ()
    funding = store.read_funding("binanceusdm", BTC, "exchange", eight)
    assert funding.time.tolist() == [eight, eight + HOUR]
    assert funding.rate[0] == 0.0125
