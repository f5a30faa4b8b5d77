"""A live market at every exchange, over REST alone and over its streams: the same bars, quotes, rules everywhere."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from data.exchange.catalogue import quirks_of
from data.exchange.live_events import Trouble
from data.exchange.live_quotes import MarketQuote
from data.market import TICK, SeriesKey
from data.synthetic import DEFAULT_START_MS, synthetic_market
from data.timeframes import HOUR_MS, MINUTE_MS
from database.candles import Candles
from database.home import Home
from tests.exchange.binance_streams import Rhythm
from tests.exchange.living import living
from tests.exchange.places import BTC, SERVERS
from tests.exchange.simulated_time import SimulatedClock

START = DEFAULT_START_MS + 470 * MINUTE_MS
ETH = "ETH/USDT:USDT"
EVERYTHING = ("book", "trades", "premium", "metrics", "liquidations")


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(START + 5_000)


@pytest.fixture(params=SERVERS)
async def server(request: pytest.FixtureRequest, clock: SimulatedClock) -> AsyncIterator[Any]:
    rhythm = Rhythm(kline_ms=10_000, mark_ms=5_000, depth_ms=5_000, liquidation_every=2)
    async with SERVERS[request.param](clock, rhythm) as running:
        running.exchange = request.param
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.market.add(*synthetic_market(symbol, "1m", 600, 7))
        yield running


@pytest.fixture
def store(tmp_path: Path, clock: SimulatedClock) -> Iterator[Candles]:
    with Home(tmp_path / "home", clock).open() as database:
        yield database.candles


def keys_of(server: Any) -> list[SeriesKey]:
    return [SeriesKey(server.exchange, symbol, t) for symbol, t in ((BTC, "1m"), (BTC, "5m"), (ETH, "1m"))]


def check_quote(quote: MarketQuote, server: Any, can: frozenset[str], streams: bool) -> None:
    """Every figure that the exchange gives is there, right, and in base units."""
    book = server.snapshot("BTCUSDT", 10)
    assert quote.bid < quote.microprice < quote.ask
    sizes = [sum(float(size) for _, size in book[side]) for side in ("bids", "asks")]
    if streams:  # the book of this very moment
        assert (quote.bid, quote.ask) == (float(book["bids"][0][0]), float(book["asks"][0][0]))
        assert quote.imbalance == pytest.approx((sizes[0] - sizes[1]) / sum(sizes))
    assert -1 <= quote.flow_imbalance <= 1 and 0 <= quote.buy_pressure <= 1
    assert quote.mark == pytest.approx(server.mark_price("BTCUSDT"), rel=1e-3)
    assert quote.basis == quote.mark / quote.index - 1
    assert quote.funding_rate == pytest.approx(server.market.coming_rate("BTCUSDT", server.now_ms))
    assert (quote.next_funding_ms, quote.interval_ms) == (DEFAULT_START_MS + 8 * HOUR_MS, 8 * HOUR_MS)
    assert quote.open_interest > 0
    assert math.isnan(quote.account_ratio) == ("metrics_history" not in can)


@pytest.mark.parametrize("streams", [True, False])
async def test_bars_quotes_and_rules_are_the_served_ones(
    streams: bool, server: Any, clock: SimulatedClock, store: Candles
) -> None:
    minutes, fives, ether = keys = keys_of(server)
    can = quirks_of(server.exchange).can
    async with living(server, clock, store, keys, streams=streams, collect=EVERYTHING) as live:
        await clock.run_until(START + 6 * MINUTE_MS)
        live.check_whole(minutes, START, 5)
        live.check_whole(ether, START, 5)
        live.check_whole(fives, START, 1)
        check_quote(live.market.quote(BTC), server, can, streams)
        health = live.market.health()
        assert (health.mode, health.stale) == ("stream" if streams else "rest", ())
        assert live.of(Trouble) == [], live.of(Trouble)
        check_what_is_not_given(health.not_given, server.exchange, streams)
        assert live.market.rules[BTC].tick == server.market.rules("BTCUSDT", server.now_ms).tick
        assert set(live.market.rules) == {BTC, ETH}
    check_stored(store, server, can, streams)


def check_what_is_not_given(told: tuple[str, ...], exchange: str, streams: bool) -> None:
    expected = []
    if exchange == "weex":
        expected = ["weex tells no liquidations.", "weex tells open interest, but no ratios of long and short."]
    elif not streams:
        expected = [f"Liquidations of {exchange} are told over streams only, and streams are off."]
    assert list(told) == expected


def check_stored(store: Candles, server: Any, can: frozenset[str], streams: bool) -> None:
    """Trades and open interest are those of the market in base units, whatever the exchange counts in."""
    trades = store.read_observations(SeriesKey(server.exchange, BTC, TICK, "trades"))
    first, last = START + MINUTE_MS, START + 5 * MINUTE_MS
    inside = (trades.time >= first) & (trades.time < last)
    served = server.recent_prints("BTCUSDT", first, last - 1, 10_000, oldest=True)
    assert sorted(trades.column("quantity")[inside]) == pytest.approx(sorted(float(row[3]) for row in served))
    timeframe = "5m" if "metrics_history" in can else TICK
    metrics = store.read_observations(SeriesKey(server.exchange, BTC, timeframe, "metrics"))
    assert len(metrics) >= 2 and (metrics.column("open_interest") > 900).all()
    liquidations = store.read_observations(SeriesKey(server.exchange, BTC, TICK, "liquidations"))
    assert (len(liquidations) > 0) == (streams and "liquidations_stream" in can)


async def test_a_book_whose_diff_never_came_is_whole_again_without_a_new_connection(
    server: Any, clock: SimulatedClock, store: Candles
) -> None:
    async with living(server, clock, store, keys_of(server), collect=("book",)) as live:
        await clock.run_until(START + MINUTE_MS)
        opened = server.hub.opened
        for broken in range(3):
            before = live.market.health().resyncs
            key = next(key for key in server.hub._due if "book" in key or "depth" in key)
            server.faults.add("drop", stream=key.replace("[", "[[]"))
            await clock.run_for(5.1)
            await clock.run_for(5.1)  # the next diff shows it
            await clock.run_for(15)
            assert live.market.health().resyncs > before, broken
        for symbol in (BTC, ETH):
            quote, book = live.market.quote(symbol), server.snapshot(symbol[:3] + "USDT", 10)
            assert (quote.bid, quote.ask) == (float(book["bids"][0][0]), float(book["asks"][0][0]))
        assert server.hub.opened == opened
        depth = [r for r in server.requests if r.path.endswith(("/depth", "/orderbook", "/books"))]
        assert bool(depth) == (server.exchange == "binanceusdm"), "others' streams send the snapshot"
        assert live.of(Trouble) == []
