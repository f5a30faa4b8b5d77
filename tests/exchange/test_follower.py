"""Newly closed bars: confirmed, each once, in order, also after an outage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import QuantError, Retryable
from data.exchange.follower import follow
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer

MINUTE = 60_000


async def take(stream, count: int) -> list:
    found = []
    async for frame in stream:
        found.append(frame)
        if len(found) == count:
            break
    await stream.aclose()
    return found


async def test_each_closed_bar_comes_once_and_in_order(server: BinanceServer, session, clock: ManualClock) -> None:
    now = clock.ms // MINUTE * MINUTE
    async with session() as s:
        frames = await take(follow(s, ["BTCUSDT"], "1m"), 10)
    times = np.concatenate([f.open_time for f in frames])
    assert times.tolist() == [now + i * MINUTE for i in range(10)]
    expected = synthetic_market("BTCUSDT", "1m", 2700, 7)[0]
    at = np.searchsorted(expected.open_time, times)
    assert np.array_equal(np.concatenate([f.close for f in frames]), expected.close[at])


async def test_no_bar_comes_before_its_close(server: BinanceServer, session, clock: ManualClock) -> None:
    async with session() as s:
        stream = follow(s, ["BTCUSDT"], "1m")
        async for frame in stream:
            assert frame.open_time[-1] + MINUTE <= clock.ms
            assert clock.ms - (frame.open_time[-1] + MINUTE) < 10_000
            if clock.ms > START + 2605 * MINUTE:
                break
        await stream.aclose()


async def test_two_symbols_are_followed_side_by_side(server: BinanceServer, session) -> None:
    async with session() as s:
        frames = await take(follow(s, ["BTCUSDT", "ETHUSDT"], "1m"), 6)
    assert [f.key.symbol[:3] for f in frames] == ["BTC", "ETH"] * 3


async def test_bars_missed_while_away_come_too(server: BinanceServer, session, clock: ManualClock) -> None:
    known = clock.ms // MINUTE * MINUTE - 1500 * MINUTE
    async with session() as s:
        frames = await take(follow(s, ["BTCUSDT"], "1m", after={"BTC/USDT:USDT": known}), 3)
    times = np.concatenate([f.open_time for f in frames])
    assert times[0] == known + MINUTE
    assert np.all(np.diff(times) == MINUTE)
    assert len(times) > 1499


async def test_a_bar_that_still_changes_is_waited_for(server: BinanceServer, session, clock: ManualClock) -> None:
    full = server.market.candles["BTCUSDT", "1m"]
    start = clock.ms // MINUTE * MINUTE
    last = int(np.searchsorted(full.open_time, start))
    stopped = full.slice(0, last + 1)  # the exchange is late with the next bar
    looks = [5.0, 6.0, 7.0, 7.0]

    def volume(look: float):
        values = stopped.volume.copy()
        values[-1] = look
        return replace(stopped, volume=values)

    server.market.candles["BTCUSDT", "1m"] = volume(looks[0])
    async with session() as s:
        plain = s.sleep

        async def sleep(seconds: float) -> None:
            await plain(seconds)
            asked = len(server.asked("/klines"))
            server.market.candles["BTCUSDT", "1m"] = volume(looks[min(asked, len(looks) - 1)])

        s.sleep = sleep
        (frame,) = await take(follow(s, ["BTCUSDT"], "1m"), 1)
    assert frame.open_time.tolist() == [start]
    assert frame.volume[-1] == 7.0


async def test_an_outage_is_told_and_following_goes_on(server: BinanceServer, session) -> None:
    troubles: list[tuple[str, QuantError]] = []
    server.misbehave("/klines", times=6, status=503)
    async with session(request_attempts=2) as s:
        frames = await take(follow(s, ["BTCUSDT"], "1m", on_trouble=lambda symbol, e: troubles.append((symbol, e))), 3)
    times = np.concatenate([f.open_time for f in frames])
    assert np.all(np.diff(times) == MINUTE)
    assert 2 <= len(troubles) <= 6
    assert troubles[0][0] == "BTC/USDT:USDT"


async def test_without_a_listener_an_outage_is_raised(server: BinanceServer, session) -> None:
    server.misbehave("/klines", times=99, status=503)
    async with session(request_attempts=2) as s:
        with pytest.raises(Retryable):
            await take(follow(s, ["BTCUSDT"], "1m"), 1)
