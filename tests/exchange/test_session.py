"""The unmodified ccxt class against a loopback exchange: paging, pace, errors, and no connection left open."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import QuantError, Rejected, Retryable, UserError
from data.exchange.session import ExchangeSession
from data.instruments import INSTRUMENTS
from data.settings import DataSettings
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer, error_body

MINUTE = 60_000
REPOSITORY = Path(__file__).resolve().parents[2]
HOUR = 60 * MINUTE
COLUMNS = ("open_time", "open", "high", "low", "close", "volume")


def same(a, b) -> bool:
    return all(np.array_equal(getattr(a, c), getattr(b, c)) for c in COLUMNS)


async def test_candles_over_several_pages_come_whole_and_in_order(server: BinanceServer, session) -> None:
    seen: list[float] = []
    async with session() as s:
        frame = await s.candles("BTCUSDT", "1m", START, START + 2500 * MINUTE, progress=seen.append)
    expected = synthetic_market("BTCUSDT", "1m", 2500, 7)[0]
    assert same(frame, expected)
    assert (frame.key.exchange, frame.key.source) == ("binanceusdm", "exchange")
    assert len(server.asked("/klines")) == 3
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


async def test_only_closed_bars_come_out(server: BinanceServer, session, clock: ManualClock) -> None:
    async with session() as s:
        frame = await s.candles("BTCUSDT", "1m", clock.ms - 10 * MINUTE)
        assert frame.open_time[-1] == clock.ms // MINUTE * MINUTE - MINUTE
        clock.advance(30)
        later = await s.candles("BTCUSDT", "1m", clock.ms - 10 * MINUTE, clock.ms + HOUR)
        assert later.open_time[-1] == frame.open_time[-1] + MINUTE


async def test_a_server_with_smaller_pages_loses_nothing(server: BinanceServer, session) -> None:
    server.most_per_page = 130
    async with session() as s:
        frame = await s.candles("ETHUSDT", "1m", START, START + 700 * MINUTE)
        funding = await s.funding("ETHUSDT", START)
    assert same(frame, synthetic_market("ETHUSDT", "1m", 700, 7)[0])
    assert len(funding) == 5


async def test_a_start_off_the_grid_begins_with_the_next_bar(server: BinanceServer, session) -> None:
    async with session() as s:
        frame = await s.candles("BTCUSDT", "1m", START + 1, START + 3 * MINUTE)
    assert frame.open_time.tolist() == [START + MINUTE, START + 2 * MINUTE]


async def test_mark_candles_are_a_series_of_their_own(server: BinanceServer, session) -> None:
    async with session() as s:
        frame = await s.mark_candles("BTCUSDT", "1m", START, START + 1200 * MINUTE)
        again = await s.candles("BTCUSDT", "1m", START, START + 10 * MINUTE, "mark")
    assert same(again, frame.slice(0, 10))
    assert frame.key.kind == "mark"
    assert len(frame) == 1200
    assert np.all(frame.volume == 0)
    assert [r.path for r in server.requests if "lines" in r.path] == ["/fapi/v1/markPriceKlines"] * 3


async def test_nothing_stored_gives_an_empty_frame(server: BinanceServer, session) -> None:
    async with session() as s:
        assert len(await s.candles("BTCUSDT", "1m", START - 100 * MINUTE, START)) == 0
        assert len(await s.funding("BTCUSDT", START - 100 * MINUTE, START)) == 0


async def test_funding_is_paged_by_the_last_time_and_rounded_to_the_minute(
    server: BinanceServer, session, clock: ManualClock
) -> None:
    frame, funding = synthetic_market("BTCUSDT", "1h", 8 * 1300, 7)
    server.market.funding["BTCUSDT"] = funding
    clock.ms = int(frame.open_time[-1]) + HOUR + 10_000
    async with session() as s:
        got = await s.funding("BTC/USDT:USDT", START)
    assert np.array_equal(got.time, funding.time)
    assert np.array_equal(got.rate, funding.rate)
    assert np.allclose(got.mark_price, funding.mark_price)
    assert [r.query["limit"] for r in server.asked("/fundingRate")] == ["1000"] * len(server.asked("/fundingRate"))
    assert len(server.asked("/fundingRate")) == 3


async def test_bounds_of_funding_are_those_of_its_minute_not_of_the_late_record(server: BinanceServer, session) -> None:
    third = int(server.market.funding["BTCUSDT"].time[2])  # recorded two milliseconds late
    async with session() as s:
        assert (await s.funding("BTCUSDT", third, third + 1)).time.tolist() == [third]
        assert third not in (await s.funding("BTCUSDT", third + 1)).time
        assert third not in (await s.funding("BTCUSDT", START, third)).time


async def test_funding_without_a_mark_price_has_none(server: BinanceServer, session) -> None:
    server.market.funding["BTCUSDT"].mark_price[:] = np.nan
    async with session() as s:
        assert np.isnan((await s.funding("BTCUSDT", START)).mark_price).all()


async def test_the_rules_of_a_symbol_are_read_from_the_exchange(server: BinanceServer, session) -> None:
    async with session() as s:
        rules = await s.instrument("BTCUSDT")
        ours = INSTRUMENTS["BTC/USDT:USDT"]
        for name in ("symbol", "tick", "lot", "min_notional", "max_leverage", "maintenance_rate", "liquidation_fee"):
            assert getattr(rules, name) == getattr(ours, name), name
        assert (rules.status, rules.min_quantity) == ("trading", ours.lot)
        assert (rules.max_quantity, rules.market_max_quantity) == (1000, 120)
        assert rules.tick == Decimal("0.1")
        assert str(rules.tick) == "0.1"
        with pytest.raises(UserError, match="does not trade DOGEUSDT"):
            await s.instrument("DOGEUSDT")


async def test_the_clock_offset_is_measured_and_used(server: BinanceServer, session, clock: ManualClock) -> None:
    server.skew_ms = -4000
    async with session() as s:
        assert await s.server_time() == clock.ms - 4000
        assert await s.measure_offset() == -4000
        assert s.now_ms() == clock.ms - 4000
        assert await s.ping() == 0.0


async def test_the_pace_keeps_below_the_limit_of_the_exchange(server: BinanceServer, session, sleeper) -> None:
    async with session(request_weight_per_minute=300) as s:
        start = s.clock.monotonic()
        for _ in range(100):
            await s.candles("BTCUSDT", "1m", START, START + 100 * MINUTE)
        minutes = (s.clock.monotonic() - start) / 60
    assert len(server.asked("/klines")) == 100
    assert minutes == pytest.approx((100 * 2 - 70) / 210, rel=0.05)  # 102 rows weigh 2; three tenths are for orders
    assert max(sleeper.naps) < 10


async def test_without_a_pace_the_exchange_would_have_refused(server: BinanceServer, session) -> None:
    server.weight_limit = 100
    async with session(request_attempts=1) as s:
        s._exchange.throttle = lambda _cost: asyncio.sleep(0)
        with pytest.raises(Retryable, match="slow down"):
            for _ in range(50):
                await s.ask("read", lambda x: x.fetch_ohlcv("BTC/USDT:USDT", "1m", START, 1000))
    assert 19 <= len(server.asked("/klines")) <= 21


async def test_retry_after_is_obeyed_by_the_next_attempt(server: BinanceServer, session) -> None:
    server.misbehave("/klines", status=429, body=error_body(-1003, "Too many"), headers={"Retry-After": "17"})
    async with session() as s:
        assert len(await s.candles("BTCUSDT", "1m", START, START + 5 * MINUTE)) == 5
    first, second = server.asked("/klines")
    assert second.at_ms - first.at_ms >= 17_000


async def test_retry_after_is_obeyed_by_every_other_request_too(server: BinanceServer, session) -> None:
    server.misbehave("/klines", status=429, body=error_body(-1003, "Too many"), headers={"Retry-After": "17"})
    async with session(request_attempts=1) as s:
        with pytest.raises(Retryable, match="slow down"):
            await s.candles("BTCUSDT", "1m", START, START + 5 * MINUTE)
        await s.ping()
        await s.ping()
    refused, first, second = server.asked("/klines") + server.asked("/ping")
    assert first.at_ms - refused.at_ms == 17_000
    assert second.at_ms == first.at_ms


async def test_a_wait_beyond_the_longest_is_told_at_once(server: BinanceServer, session) -> None:
    server.misbehave("/klines", status=418, body=error_body(-1003, "Way too many"), headers={"Retry-After": "3600"})
    async with session() as s:
        with pytest.raises(Retryable) as caught:
            await s.candles("BTCUSDT", "1m", START, START + 5 * MINUTE)
    assert caught.value.retry_after_s == 3600
    assert len(server.asked("/klines")) == 1


HTML = "<html><body>Bad gateway</body></html>"
PASSING = {
    "server error": {"status": 500, "body": HTML},
    "bad gateway": {"status": 502, "body": HTML},
    "unavailable": {"status": 503, "body": '{"code":-1000,"msg":"An unknown error occurred."}'},
    "gateway timeout": {"status": 504, "body": HTML},
    "disconnected": {"status": 400, "body": '{"code":-1001,"msg":"Internal error; unable to process."}'},
    "server busy": {"status": 400, "body": '{"code":-1008,"msg":"Server is currently overloaded."}'},
    "backend timeout": {"status": 408, "body": '{"code":-1007,"msg":"Timeout waiting for response."}'},
    "clock": {"status": 400, "body": '{"code":-1021,"msg":"Timestamp for this request is outside."}'},
    "too many": {"status": 400, "body": '{"code":-1003,"msg":"Too many requests."}'},
    "html": {"body": HTML},
    "half a json": {"body": '[[1704067200000,"1"'},
    "empty": {"body": ""},
    "null": {"body": "null"},
    "object": {"body": "{}"},
    "cut short": {"cut": True},
    "no prices": {"body": '[[1704067200000,"x",null,"1","1","1"]]'},
    "crossed prices": {"body": '[[1704067200000,"10","9","11","10","1",0,"0",0,"0","0","0"]]'},
    "short rows": {"body": '[[1704067200000,"10"]]'},
    "words": {"body": '["a","b"]'},
    "wrong times": {"body": '[[1504067200000,"10","10","10","10","1",0,"0",0,"0","0","0"]]'},
    "off grid": {"body": '[[1704067200001,"10","10","10","10","1",0,"0",0,"0","0","0"]]'},
    "unknown code": {"status": 400, "body": '{"code":-9876,"msg":"Something new."}'},
}


@pytest.mark.parametrize("fault", sorted(PASSING))
async def test_a_passing_fault_is_retried_and_loses_nothing(server: BinanceServer, session, fault: str) -> None:
    server.misbehave("/klines", times=2, **PASSING[fault])
    async with session() as s:
        frame = await s.candles("BTCUSDT", "1m", START, START + 50 * MINUTE)
    assert same(frame, synthetic_market("BTCUSDT", "1m", 50, 7)[0])
    assert len(server.asked("/klines")) == 3


@pytest.mark.parametrize("fault", sorted(PASSING))
async def test_a_lasting_fault_ends_in_one_sentence_after_all_attempts(
    server: BinanceServer, session, fault: str
) -> None:
    server.misbehave("/klines", times=99, **PASSING[fault])
    async with session(request_attempts=3) as s:
        with pytest.raises(Retryable) as caught:
            await s.candles("BTCUSDT", "1m", START, START + 50 * MINUTE)
    assert len(server.asked("/klines")) == (4 if fault == "clock" else 3)  # once more with the clock measured
    assert one_sentence(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, '{"code":-1121,"msg":"Invalid symbol."}'),
        (400, '{"code":-1100,"msg":"Illegal characters found in a parameter."}'),
        (401, '{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}'),
        (451, "<html>Unavailable For Legal Reasons</html>"),
    ],
)
async def test_a_refusal_is_not_repeated(server: BinanceServer, session, status: int, body: str) -> None:
    server.misbehave("/klines", times=99, status=status, body=body)
    async with session() as s:
        with pytest.raises(Rejected) as caught:
            await s.candles("BTCUSDT", "1m", START, START + 50 * MINUTE)
    assert len(server.asked("/klines")) == 1
    assert one_sentence(caught.value)


async def test_a_silent_exchange_is_given_up_after_the_timeout(server: BinanceServer, session) -> None:
    server.misbehave("/ping", times=99, hang=True)
    async with session(request_timeout_s=0.1, request_attempts=2) as s:
        with pytest.raises(Retryable, match="RequestTimeout"):
            await s.ping()
    assert len(server.asked("/ping")) == 2


@pytest.mark.parametrize("body", ["{}", "null", '{"serverTime":"soon"}', "[]"])
async def test_a_clock_that_can_not_be_read_is_no_clock(server: BinanceServer, session, body: str) -> None:
    server.misbehave("/time", times=99, body=body)
    async with session() as s:
        with pytest.raises(Retryable) as caught:
            await s.server_time()
    assert one_sentence(caught.value)


@pytest.mark.parametrize("host", ["http://127.0.0.1:{port}", "http://no-such-host.invalid"])
async def test_an_exchange_that_can_not_be_reached_is_said_in_one_sentence(
    clock: ManualClock, sleeper, host: str
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    settings = DataSettings(base_url=host.format(port=port), request_attempts=3, breaker_failures=100)
    async with ExchangeSession(settings, clock, sleep=sleeper) as s:
        for call in (s.ping(), s.candles("BTCUSDT", "1m", START), s.instrument("BTCUSDT")):
            with pytest.raises(Retryable, match=r"cannot be reached to .*: check the network") as caught:
                await call
            assert one_sentence(caught.value)
    assert len(sleeper.naps) >= 6


async def test_waits_double_and_are_drawn_from_the_injected_generator(server: BinanceServer, session, sleeper) -> None:
    server.misbehave("/ping", times=99, status=500)
    async with session(request_attempts=5, retry_first_delay_s=1.0) as s:
        with pytest.raises(Retryable):
            await s.ping()
    drawn = np.random.default_rng(1)
    assert sleeper.naps == [drawn.uniform(0, longest) for longest in (1.0, 2.0, 4.0, 8.0)]


async def test_a_closed_session_says_so_and_an_error_inside_still_closes(server: BinanceServer, session) -> None:
    s = session()
    with pytest.raises(Rejected, match="is closed"):
        await s.ping()
    with pytest.raises(ZeroDivisionError):
        async with s:
            await s.ping()
            exchange = s._exchange
            raise ZeroDivisionError
    assert exchange.session is None
    with pytest.raises(Rejected, match="is closed"):
        await s.ping()


async def test_an_unknown_symbol_is_refused_before_anything_is_sent(server: BinanceServer, session) -> None:
    async with session() as s:
        with pytest.raises(UserError, match="Unknown symbol"):
            await s.candles("???", "1m", START)
        with pytest.raises(Rejected, match="DOGEUSDT"):
            await s.candles("DOGEUSDT", "1m", START)
    assert not server.asked("/klines")


async def test_health_counts_what_happened(server: BinanceServer, session, clock: ManualClock) -> None:
    server.skew_ms = 1500
    server.misbehave("/ping", status=500)
    async with session() as s:
        assert s.health.last_success_ms is None
        await s.measure_offset()
        await s.ping()
        health = s.health
        assert (health.requests, health.failures, health.consecutive_failures) == (5, 1, 0)
        assert "500" in health.last_error
        assert health.last_failure_ms is not None
        assert health.last_success_ms is not None
        assert clock.ms - 60_000 < health.last_failure_ms - 1500 <= health.last_success_ms - 1500 <= clock.ms
        assert (health.offset_ms, health.skewed, health.latency_ms) == (1500, True, 0.0)
        assert (health.weight_used, health.weight_limit) == (5, 2400)
        assert (health.waiting_until_ms, health.breaker_open, health.alarm) == (None, False, "")


def test_another_exchange_is_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="'kraken' is not supported"):
        ExchangeSession(DataSettings().model_copy(update={"exchange": "kraken"}))


def test_ccxt_is_loaded_by_an_entered_session_only() -> None:
    code = (
        "import sys, data.exchange.follower, data.importing, data.settings; "
        "print(sorted({'ccxt', 'pandas', 'pyarrow', 'aiohttp'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert shown.stdout.strip() == "[]"


def one_sentence(error: QuantError) -> bool:
    text = str(error)
    return (
        "\n" not in text and "<" not in text and "http" not in text.lower().replace("(http ", "") and text.endswith(".")
    )
