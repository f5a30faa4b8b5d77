"""A paper run on an exchange: ccxt's own classes against a loopback server, requests and streams, on simulated time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from data.clock import iso
from data.exchange.session import ExchangeSession
from data.market import Frame, FundingFrame, SeriesKey
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.app.service.conftest import plain_trades
from tests.app.service.running import running
from tests.exchange.binance_server import BinanceServer
from tests.exchange.simulated_time import SimulatedClock

STEP = 900_000
BTC = "BTC/USDT:USDT"
KEY = SeriesKey("binanceusdm", BTC, "15m")
BEFORE = 2800  # bars that have closed when the run starts: more than the warm-up
RUN = {"symbols": (BTC,), "timeframe": "15m", "source": "exchange", "strategy": "rsi-oversold"}


@dataclass
class Exchange:
    """A loopback exchange with its clock; ``moved`` is called after every step of the time."""

    server: BinanceServer
    clock: SimulatedClock
    moved: Callable[[], None] = lambda: None

    def session(self, settings, clock) -> ExchangeSession:
        return ExchangeSession(settings, clock, sleep=self.clock.sleep, rng=np.random.default_rng(1))

    @contextlib.asynccontextmanager
    async def run(self, home: Path, **options):
        """A run whose time goes on whenever nothing else is to be done."""
        made = {**RUN, **options}
        async with running(home, clock=self.clock, open_session=self.session, **made) as here:
            self.clock.busy.append(lambda: at_work(here.service))
            time = asyncio.ensure_future(self._pass_time(here.task))
            try:
                yield here
            finally:
                here.service.stop()
                await time
                self.clock.busy.pop()

    async def _pass_time(self, run: asyncio.Task) -> None:
        try:
            while not run.done():
                if not await self.clock.step():
                    await asyncio.wait((run,), timeout=0.002)  # a thread is at work: time stands still
                self.moved()
        finally:
            run.cancel()  # without time it would never end


def at_work(service) -> bool:
    """Whether the run's market does something that time has to wait for."""
    live = getattr(service.feed, "live", None)
    return live is not None and live.at_work


@pytest.fixture
async def exchange(monkeypatch) -> AsyncIterator[Exchange]:
    clock = SimulatedClock(START + BEFORE * STEP + 30_000)
    async with BinanceServer(clock) as server:
        server.market.add(*synthetic_market("BTCUSDT", "15m", BEFORE + 700, 2))
        monkeypatch.setenv("QUANTAI_DATA__BASE_URL", server.url)
        monkeypatch.setenv("QUANTAI_DATA__REQUEST_ATTEMPTS", "2")
        monkeypatch.setenv("QUANTAI_DATA__STREAMS", "false")  # a day of mark prices by the second is left out
        yield Exchange(server, clock)


def stored(home: Path, run):
    """What ``run(database, account)`` reads of a closed home."""
    from database.home import Home

    with Home(home).open_reader() as database:
        return run(database, database.accounts.newest())


async def test_it_back_fills_follows_and_trades_as_the_back_test_over_the_same_bars(tmp_path, exchange, ask):
    async with exchange.run(tmp_path, bars=200) as run:
        document = await run.document()
        assert run.service.health().state == "live"
    assert (document["state"], document["source"], document["bars"]) == ("STOPPED", "exchange", 200)
    frame = stored(tmp_path, lambda d, _: d.candles.read(KEY))
    served = exchange.server.market.candles["BTCUSDT", "15m"].between(int(frame.open_time[0]), 1 << 62)
    assert np.array_equal(frame.close, served.close[: len(frame)])
    assert (np.diff(frame.open_time) == STEP).all()
    first = stored(tmp_path, lambda d, a: a.about["from_ms"])
    assert int(frame.open_time[-1]) == first + 199 * STEP
    assert exchange.clock.ms >= first + 200 * STEP, "a bar was traded before it closed"
    span = ("--from", iso(first)[:19], "--to", iso(first + 200 * STEP)[:19])
    test = ask(tmp_path, "backtest", "--symbols", "BTCUSDT", "--timeframe", "15m", "--strategy", "rsi-oversold", *span)
    assert document["fallback"] is None and len(document["trades"]) >= 2
    assert plain_trades(document) == plain_trades(test)


async def test_every_settlement_since_the_start_is_stored_though_it_is_shown_late(tmp_path, exchange):
    shown = exchange.server.market.funding["BTCUSDT"]
    hidden = [0]

    def late() -> None:
        """A settlement appears three naps after its moment."""
        due = shown.time[shown.time <= exchange.clock.ms]
        held = exchange.server.market.funding["BTCUSDT"]
        if len(due) and (not len(held) or held.time[-1] < due[-1]):
            hidden[0] += 1
            if hidden[0] % 4 == 0:
                exchange.server.market.funding["BTCUSDT"] = cut(shown, exchange.clock.ms)

    exchange.server.market.funding["BTCUSDT"] = cut(shown, exchange.clock.ms)
    exchange.moved = late
    async with exchange.run(tmp_path, bars=100) as run:
        await run.document()
    first = stored(tmp_path, lambda d, a: a.about["from_ms"])
    found = stored(tmp_path, lambda d, _: d.candles.read_funding("binanceusdm", BTC, "exchange", first, 1 << 62))
    inside = shown.time[(shown.time > first) & (shown.time <= first + 100 * STEP)]
    assert len(inside) >= 3
    assert hidden[0] > len(inside), "no settlement was late"
    assert found.time.tolist()[: len(inside)] == inside.tolist()


def cut(funding: FundingFrame, until_ms: int) -> FundingFrame:
    held = funding.time <= until_ms
    return replace(funding, time=funding.time[held], rate=funding.rate[held], mark_price=funding.mark_price[held])


async def test_a_server_that_dies_makes_the_feed_stale_until_it_is_back(tmp_path, exchange):
    seen: list[tuple[str, int]] = []

    def outage() -> None:
        seen.append((here.service.health().state, here.service.progress.bars))

    def break_down(service) -> None:
        if service.progress.bars == 5 and not seen:
            exchange.server.misbehave("lines", times=60, status=503, body="down")
            exchange.moved = outage

    async with exchange.run(tmp_path, bars=20, at_bar=break_down) as here:
        document = await here.document()
    assert ("stale", 5) in seen
    assert seen[-1][0] == "live"
    assert document["bars"] == 20
    assert here.notices.count("The feed is stale") == here.notices.count("The feed is back") == 1
    times = stored(tmp_path, lambda d, a: d.trading.equity(a.id)["open_time"])
    assert (np.diff(np.sort(times)) == STEP).all(), "a bar of the outage is missing"


async def test_a_settlement_that_can_not_be_read_holds_its_bar_back(tmp_path, exchange):
    states: list[str] = []

    def break_down(service) -> None:
        if service.progress.bars == 5:
            exchange.server.misbehave("fundingRate", times=60, status=503, body="down")
            exchange.moved = lambda: states.append(service.health().state)

    async with exchange.run(tmp_path, bars=80, at_bar=break_down) as run:
        assert (await run.document())["bars"] == 80
    assert "stale" in states and states[-1] == "live"
    first = stored(tmp_path, lambda d, a: a.about["from_ms"])
    found = stored(tmp_path, lambda d, _: d.candles.read_funding("binanceusdm", BTC, "exchange", first, 1 << 62))
    shown = exchange.server.market.funding["BTCUSDT"].time
    assert found.time.tolist() == shown[(shown >= first) & (shown <= first + 80 * STEP)].tolist()


async def test_a_restart_takes_the_bars_it_missed(tmp_path, exchange):
    async with exchange.run(tmp_path, bars=20) as run:
        first = await run.document()
    exchange.clock.advance(40 * STEP / 1000)
    async with exchange.run(tmp_path, bars=60) as run:
        second = await run.document()
    assert (first["account"], second["bars"]) == (second["account"], 80)
    times = np.sort(stored(tmp_path, lambda d, a: d.trading.equity(a.id)["open_time"]))
    assert (np.diff(times) == STEP).all()


async def test_an_exchange_that_cannot_be_reached_is_said_and_nothing_is_mixed(tmp_path, exchange, monkeypatch):
    monkeypatch.setenv("QUANTAI_AI__HISTORY_LIMIT", "2500")
    async with exchange.run(tmp_path, bars=30) as run:
        real = await run.document()
    exchange.server.misbehave("time", times=100, status=503, body="down")
    async with exchange.run(tmp_path, bars=30, speed=float("inf")) as run:
        stand_in = await run.document()
        assert run.service.status()["fallback"]
    assert "The exchange cannot be reached" in run.notices
    assert (real["source"], stand_in["source"]) == ("exchange", "synthetic")
    assert stand_in["fallback"] and stand_in["account"] != real["account"]
    exchange.server.faults.rest.clear()
    async with exchange.run(tmp_path, bars=30) as run:
        again = await run.document()
    assert (again["account"], again["bars"], again["fallback"]) == (real["account"], 60, None)
    series = stored(tmp_path, lambda d, _: {i.key.source: i for i in d.candles.series()})
    assert set(series) == {"exchange", "synthetic"}
    frame = stored(tmp_path, lambda d, _: d.candles.read(KEY))
    served = exchange.server.market.candles["BTCUSDT", "15m"]
    assert np.isin(frame.close, served.close).all()


async def test_an_exchange_that_fails_in_the_first_back_fill_is_as_good_as_not_there(tmp_path, exchange, monkeypatch):
    monkeypatch.setenv("QUANTAI_AI__HISTORY_LIMIT", "2500")
    exchange.server.misbehave("klines", times=100, status=503, body="down")
    async with exchange.run(tmp_path, bars=30, speed=float("inf")) as run:
        document = await run.document()
    assert (document["source"], document["bars"]) == ("synthetic", 30)
    assert document["fallback"] and "The exchange cannot be reached" in run.notices


async def test_a_hole_in_the_stored_bars_is_filled(tmp_path, exchange):
    async with exchange.run(tmp_path, bars=3) as run:
        await run.document()
    whole = stored(tmp_path, lambda d, _: d.candles.read(KEY))
    other = tmp_path / "other"
    from database.home import Home

    with Home(other).open() as database:
        database.candles.write(whole.slice(0, 500))
        database.candles.write(whole.slice(900, len(whole)))
    async with exchange.run(other, bars=3) as run:
        await run.document()
    assert (np.diff(stored(other, lambda d, _: d.candles.read(KEY)).open_time) == STEP).all()


HOURS = SeriesKey("binanceusdm", BTC, "1h")


async def test_other_timeframes_go_on_where_the_run_before_left_them(tmp_path, exchange, monkeypatch):
    monkeypatch.setenv("QUANTAI_DATA__FOLLOW_TIMEFRAMES", '["1h"]')
    async with exchange.run(tmp_path, bars=10) as run:
        await run.document()
    first = stored(tmp_path, lambda d, _: d.candles.read(HOURS))
    exchange.clock.advance(40 * STEP / 1000)
    async with exchange.run(tmp_path, bars=50) as run:
        await run.document()
    hours = stored(tmp_path, lambda d, _: d.candles.read(HOURS))
    assert len(hours) >= len(first) + 10
    assert (np.diff(hours.open_time) == 4 * STEP).all()


async def test_a_kept_series_that_ended_long_ago_begins_anew(tmp_path, exchange, monkeypatch):
    from database.home import Home

    monkeypatch.setenv("QUANTAI_DATA__FOLLOW_TIMEFRAMES", '["1h"]')
    one = np.ones(1)
    old = START - 6_000 * 4 * STEP
    with Home(tmp_path).open() as database:
        database.candles.write(Frame.of(HOURS, np.array([old], dtype=np.int64), one, one, one, one, one))
    async with exchange.run(tmp_path, bars=10) as run:
        await run.document()
    times = stored(tmp_path, lambda d, _: d.candles.read(HOURS)).open_time
    assert times[0] == old
    assert times[1] >= START + (BEFORE - 8) * STEP
    assert (np.diff(times[1:]) == 4 * STEP).all()
