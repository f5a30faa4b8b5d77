"""Faults of an exchange as they meet its REST side, against the local one, by their numbers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import QuantError, Rejected, Retryable
from data.exchange.breaker import Paused
from data.exchange.reactions import DEFAULT_BAN_WAIT_S
from data.exchange.session import ExchangeSession
from data.settings import DataSettings
from tests.exchange.binance_server import error_body
from tests.exchange.place import MINUTE, NOW, START, Make, places

LIMIT = {"status": 429, "body": error_body(-1003, "Too many"), "headers": {"Retry-After": "17"}}
BAN = {"status": 418, "body": error_body(-1003, "Way too many requests"), "headers": {"Retry-After": "3600"}}


@pytest.fixture
async def at() -> AsyncIterator[Make]:
    async with places() as make:
        yield make


# ---------------------------------------------------------------- F2, F3: limits and bans


async def test_f02_retry_after_is_obeyed_by_everybody(at: Make) -> None:
    place = await at()
    place.server.misbehave("/klines", **LIMIT)
    tasks = [place.bars(), asyncio.ensure_future(place.session.ping())]
    await place.clock.run_for(0)
    asked = len(place.server.requests)
    late = [place.bars(), asyncio.ensure_future(place.session.ping())]
    with place.session.ordering():
        late.append(asyncio.ensure_future(place.session.server_time()))
    assert await place.after(16.9, *late) == [None] * 3
    assert len(place.server.requests) == asked
    assert place.session.health.waiting_until_ms == pytest.approx(NOW + 17_000, abs=1)
    done = await place.after(2, *tasks, *late)
    assert not any(isinstance(result, Exception) or result is None for result in done)
    assert place.session.health.waiting_until_ms is None


async def test_f02_an_order_does_not_wait_behind_heavy_market_data(at: Make) -> None:
    """The library alone made an order wait 5.2 s behind ten candle requests of 1,500 rows."""
    place = await at()
    heavy = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1500}
    tasks = [
        asyncio.ensure_future(place.session.ask("read", lambda x: x.fapiPublicGetKlines(dict(heavy))))
        for _ in range(30)
    ]
    await place.clock.run_for(1)
    served = len(place.server.asked("/klines"))
    assert served < 12
    with place.session.ordering():
        order = asyncio.ensure_future(place.session.ask("place an order", lambda x: x.fapiPublicGetPing()))
    assert await place.after(0, order) == [{}]
    assert len(place.server.asked("/klines")) == served
    await place.after(60, *tasks)
    assert len(place.server.asked("/klines")) == 30
    late = place.server.asked("/klines")[-1].at_ms - NOW
    assert late > 10_000  # so long an order at the end of the line would have waited


async def test_f02_weight_that_somebody_else_used_slows_us_down_before_the_exchange_has_to(at: Make) -> None:
    place = await at()
    await place.clock.run_for(10)
    place.server._weights[place.server.now_ms // MINUTE] = 2300
    first = place.bars()
    await place.after(0, first)
    assert place.session.health.weight_used >= 2300
    later = [place.bars() for _ in range(20)]
    with place.session.ordering():
        order = asyncio.ensure_future(place.session.server_time())
    await place.after(15, order)
    assert len(place.server.asked("/klines")) == 1
    assert not any("429" in place.session.health.last_error for _ in later)
    await place.after(300, *later)
    assert len(place.server.asked("/klines")) == 21
    assert place.session.health.failures == 0


async def test_f02_our_count_of_weight_is_never_below_the_exchange_s(at: Make) -> None:
    place = await at()
    s = place.session
    calls = (
        s.ping(), s.server_time(), s.candles("BTCUSDT", "1m", START), s.index_candles("BTCUSDT", "1m", START),
        s.mark_candles("BTCUSDT", "5m", START), s.funding("BTCUSDT", START), s.premium("BTCUSDT"),
        s.recent_trades("BTCUSDT"), s.book_snapshot("BTCUSDT"), s.metrics("BTCUSDT", "5m", NOW - 1000 * MINUTE),
        s.load_markets(True),
    )  # fmt: skip
    for call in calls:
        spent, seen = s.pace.spent, len(place.server.requests)
        task = asyncio.ensure_future(call)
        await place.after(120, task)
        task.result()
        asked = place.server.requests[seen:]
        assert asked
        assert s.pace.spent - spent >= sum(request.weight for request in asked), asked[0].path


async def test_f03_a_ban_stops_every_request_until_it_ends_and_raises_the_alarm(at: Make) -> None:
    place = await at()
    place.server.misbehave("/klines", **BAN)
    banned = await place.after(1, place.bars())
    assert isinstance(banned[0], Retryable)
    assert banned[0].retry_after_s == 3600
    asked = len(place.server.requests)
    with place.session.ordering():
        order = asyncio.ensure_future(place.session.server_time())
    refused = await place.after(0, place.bars(), asyncio.ensure_future(place.session.ping()), order)
    assert all(isinstance(error, Paused) and "has banned this address until" in str(error) for error in refused)
    health = place.session.health
    assert health.alarm == str(refused[0])
    assert health.banned_until_ms == pytest.approx(NOW + 3600_000, abs=1)
    assert len(place.server.requests) == asked
    await place.after(3500)
    assert isinstance((await place.after(0, place.bars()))[0], Retryable)
    assert len(place.server.requests) == asked
    await place.after(100)
    assert len((await place.after(1, place.bars()))[0]) == 5
    assert (place.session.health.alarm, place.session.health.banned_until_ms) == ("", None)


async def test_f03_the_end_of_a_ban_is_also_read_from_its_text(at: Make) -> None:
    place = await at()
    text = f"Way too many requests; IP(10.0.0.1) banned until {NOW + 900_000}. Please use the websocket."
    place.server.misbehave("/klines", status=418, body=error_body(-1003, text))
    place.server.misbehave("/ping", status=418, body=error_body(-1003, "Way too many requests."))
    first = (await place.after(0, place.bars()))[0]
    assert first.retry_after_s == pytest.approx(900)
    await place.after(901)
    second = (await place.after(0, asyncio.ensure_future(place.session.ping())))[0]
    assert second.retry_after_s == DEFAULT_BAN_WAIT_S


# ---------------------------------------------------------------- F4: the clock


async def test_f04_a_refused_time_is_measured_once_and_the_request_repeated(at: Make) -> None:
    place = await at()
    place.server.skew_ms = 3000
    place.server.misbehave("/klines", status=400, body=error_body(-1021, "Timestamp outside of the recvWindow."))
    tasks = [place.bars()]
    assert len((await place.after(1, *tasks))[0]) == 5
    assert place.session.offset_ms == 3000
    assert len(place.server.asked("/time")) == 3
    assert len(place.server.asked("/klines")) == 2


async def test_f04_many_refusals_of_our_time_measure_it_once(at: Make) -> None:
    place = await at()
    place.server.misbehave("/klines", times=10, status=400, body=error_body(-1021, "Timestamp outside."))
    tasks = [place.bars() for _ in range(10)]
    done = await place.after(10, *tasks)
    assert all(len(frame) == 5 for frame in done)
    assert len(place.server.asked("/time")) == 3
    assert place.session.health.breaker_open is False


@pytest.mark.parametrize(("skew", "skewed"), [(0, False), (-1000, False), (1001, True), (-4000, True)])
async def test_f04_a_skew_over_one_second_is_seen_and_said(at: Make, skew: int, skewed: bool) -> None:
    place = await at()
    place.server.skew_ms = skew
    task = asyncio.ensure_future(place.session.measure_offset())
    assert await place.after(1, task) == [skew]
    assert place.session.skewed is skewed
    assert place.session.health.skewed is skewed
    assert place.session.now_ms() == place.server.now_ms


async def test_f04_waiting_for_the_pace_does_not_bend_the_measurement(at: Make) -> None:
    place = await at()
    place.server.skew_ms = 700
    heavy = {"symbol": "BTCUSDT", "interval": "1m", "limit": 1500}
    tasks = [
        asyncio.ensure_future(place.session.ask("read", lambda x: x.fapiPublicGetKlines(dict(heavy))))
        for _ in range(20)
    ]
    measured = asyncio.ensure_future(place.session.measure_offset())
    await place.after(60, *tasks)
    assert measured.result() == 700
    assert place.server.asked("/time")[-1].at_ms > NOW + 5000


async def test_f04_the_offset_is_measured_on_schedule_and_after_a_jump_of_our_clock(at: Make) -> None:
    place = await at()
    keeper = asyncio.ensure_future(place.session.keep_clock())
    await place.after(1)
    assert len(place.server.asked("/time")) == 3
    place.server.skew_ms = 2000
    await place.after(890)
    assert place.session.offset_ms == 0
    await place.after(70)
    assert place.session.offset_ms == 2000
    place.clock.ms += 5000  # somebody set our clock; the exchange's stands as it was
    place.clock._start_ms += 5000
    place.server.skew_ms -= 5000
    await place.after(61)
    assert place.session.offset_ms == -3000
    place.server.skew_ms += 3000  # our clock is put right: entries need not wait for the quarter of an hour
    await place.after(61)
    assert place.session.offset_ms == 0 and not place.session.skewed
    place.server.misbehave("/time", times=99, status=500)
    await place.after(2000)
    assert not keeper.done()
    assert "read its clock" in place.session.health.last_error


# ---------------------------------------------------------------- F27: maintenance


async def test_f27_maintenance_is_named_and_asked_after_with_growing_pauses(at: Make) -> None:
    place = await at()
    end = NOW + 600_000
    place.server.faults.add("maintenance", until_ms=end)
    first = place.bars()
    await place.after(0)
    assert place.session.health.maintenance
    assert place.session.health.breaker_open
    (refused,) = await place.after(0, place.bars())
    assert isinstance(refused, Paused)
    assert "is under maintenance" in str(refused)
    asked = len(place.server.requests)
    errors: list[QuantError] = []
    while place.server.now_ms < end:
        (result,) = await place.after(1, place.bars())
        if isinstance(result, QuantError):
            errors.append(result)
    during = [request.at_ms for request in place.server.requests[asked:]]
    assert len(during) < 20  # of 600 that wanted to
    assert max(np.diff(during)) >= 60_000
    assert all("maintenance" in str(error) for error in errors)
    assert isinstance(first.exception(), Retryable)
    (frame,) = await place.after(61, place.bars())
    if isinstance(frame, QuantError):
        (frame,) = await place.after(1, place.bars())
    assert len(frame) == 5
    health = place.session.health
    assert (health.maintenance, health.breaker_open, health.consecutive_failures) == (False, False, 0)


async def test_f27_one_probe_decides_and_the_others_fail_at_once(at: Make) -> None:
    place = await at(request_attempts=1, breaker_failures=3, breaker_pause_s=10)
    place.server.misbehave("", times=3, status=500)
    failed = [place.bars() for _ in range(3)]
    await place.after(1, *failed)
    assert place.session.health.breaker_open
    asked = len(place.server.requests)
    (held,) = await place.after(8, place.bars())
    assert isinstance(held, Retryable)
    await place.after(1.5)
    place.server.faults.add("delay", times=1, delay_s=3.0)
    probe, other = place.bars(), place.bars()
    results = await place.after(1, probe, other)
    assert results[0] is None
    assert isinstance(results[1], Paused)
    assert len(place.server.requests) == asked + 1
    done = await place.after(3, probe)
    assert len(done[0]) == 5
    assert not place.session.health.breaker_open


async def test_f27_a_probe_that_is_cancelled_leaves_its_place(at: Make) -> None:
    place = await at(request_attempts=1, breaker_failures=1, breaker_pause_s=1)
    place.server.misbehave("", status=500)
    await place.after(2, place.bars())
    place.server.faults.add("delay", times=1, delay_s=3.0)
    probe = place.bars()
    await place.after(0.5)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    (frame,) = await place.after(1, place.bars())
    assert len(frame) == 5


async def test_f27_market_data_that_fail_do_not_hold_back_an_order(at: Make) -> None:
    place = await at(request_attempts=1, breaker_failures=2)
    place.server.misbehave("/klines", times=9, body="{}")
    await place.after(1, place.bars(), place.bars())
    assert place.session.health.breaker_open
    with place.session.ordering():
        order = asyncio.ensure_future(place.session.server_time())
    assert await place.after(0, order) == [place.server.now_ms]


async def test_f27_a_refusal_is_an_answer_and_no_failure(at: Make) -> None:
    place = await at(breaker_failures=2)
    for _ in range(5):
        place.server.misbehave("/klines", status=400, body=error_body(-1121, "Invalid symbol."))
        (refused,) = await place.after(1, place.bars())
        assert isinstance(refused, Rejected)
    assert place.session.health.failures == 0
    assert not place.session.health.breaker_open


# ---------------------------------------------------------------- F62: the network is gone


async def test_f62_names_gone_for_minutes_end_in_a_whole_series_without_a_storm(at: Make) -> None:
    place = await at()
    await place.server.stop_listening()
    stored: list[int] = []
    errors: list[str] = []

    async def poll() -> None:
        """What a feed does: ask from the last bar on, again and again."""
        since = START
        while True:
            try:
                frame = await place.session.candles("BTCUSDT", "1m", since, START + 50 * MINUTE)
                stored.extend(frame.open_time.tolist())
                since = stored[-1] + MINUTE if stored else since
            except Retryable as error:
                errors.append(str(error))
            await place.session.sleep(1.0)

    feeds = [asyncio.ensure_future(poll()) for _ in range(8)]
    await place.clock.run_for(300)
    tried = place.session.health.requests
    assert tried < 60  # 8 feeds, 300 seconds
    assert all("cannot be reached" in error for error in errors)
    assert place.session.health.breaker_open
    await place.server.start_listening()
    await place.clock.run_for(65)
    for feed in feeds:
        feed.cancel()
    await asyncio.gather(*feeds, return_exceptions=True)
    assert sorted(stored) == sorted([START + i * MINUTE for i in range(50)] * 8)
    assert place.session.health.requests - tried < 30
    assert not place.session.health.breaker_open


def test_f62_a_clock_of_the_old_kind_still_serves() -> None:
    session = ExchangeSession(DataSettings(), ManualClock(NOW))
    assert session.now_ms() == NOW
    assert session.health.last_success_ms is None
