"""What can be read besides candles and funding: index and mark prices, intervals, metrics, trades, the book, rules."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import Rejected, Retryable
from data.exchange.quirks import Quirks
from data.market import Frame
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer

MINUTE = 60_000
HOUR = 60 * MINUTE


async def test_index_candles_are_a_series_of_their_own(server: BinanceServer, session) -> None:
    async with session() as s:
        frame = await s.index_candles("BTCUSDT", "1m", START, START + 1200 * MINUTE)
    assert isinstance(frame, Frame)
    assert (frame.key.kind, len(frame), frame.volume.any()) == ("index", 1200, np.False_)
    assert [r.query["pair"] for r in server.asked("/indexPriceKlines")] == ["BTCUSDT"] * 2


async def test_the_premium_comes_with_the_interval_that_holds_now(
    server: BinanceServer, session, clock: ManualClock
) -> None:
    change = clock.ms + 20 * HOUR
    server.market.change_funding_interval("BTCUSDT", 4, change)
    async with session() as s:
        before = await s.premium("BTCUSDT")
        other = await s.premium("ETHUSDT")
        assert (before.interval_ms, other.interval_ms) == (8 * HOUR, 8 * HOUR)
        assert before.next_funding_ms is not None
        assert before.next_funding_ms > clock.ms
        assert before.mark_price > 0
        for _ in range(5):
            await s.premium("BTCUSDT")
        assert len(server.asked("/fundingInfo")) == 1  # one look serves all while nothing settles
        clock.advance((change - clock.ms) / 1000 + 60)
        after = await s.premium("BTCUSDT")
        assert after.interval_ms == 4 * HOUR
        assert (await s.premium("ETHUSDT")).interval_ms == 8 * HOUR
        assert len(server.asked("/fundingInfo")) == 2


@pytest.mark.parametrize(
    "body",
    [
        '{"symbol":"BTCUSDT","markPrice":"0","indexPrice":"1","lastFundingRate":"0","nextFundingTime":1,"time":1}',
        '{"symbol":"BTCUSDT","markPrice":"1","indexPrice":"1","lastFundingRate":"7","nextFundingTime":1,"time":1}',
        '{"symbol":"BTCUSDT"}',
    ],
)
async def test_a_premium_that_makes_no_sense_is_asked_for_again(server: BinanceServer, session, body: str) -> None:
    server.misbehave("/premiumIndex", body=body)
    async with session() as s:
        assert (await s.premium("BTCUSDT")).mark_price > 1
    assert len(server.asked("/premiumIndex")) == 2


async def test_funding_whose_interval_changes_comes_whole(server: BinanceServer, session, clock: ManualClock) -> None:
    server.market.change_funding_interval("BTCUSDT", 1, START + 16 * HOUR)
    server.most_per_page = 7
    async with session() as s:
        got = await s.funding("BTCUSDT", START, START + 40 * HOUR)
    assert got.time.tolist() == [START + h * HOUR for h in (8, *range(16, 40))]


async def test_metrics_are_joined_by_time_over_all_pages(server: BinanceServer, session, clock: ManualClock) -> None:
    server.most_per_page = 100
    start = clock.ms - 2000 * MINUTE
    async with session() as s:
        got = await s.metrics("BTCUSDT", "5m", start, progress=(seen := []).append)
    expected = np.arange(-(-start // (5 * MINUTE)) * 5 * MINUTE, clock.ms, 5 * MINUTE)
    assert got.time.tolist() == expected.tolist()
    assert (got.known_at - got.time).tolist() == [5 * MINUTE] * len(got.time)
    assert np.isfinite(got.values).all()
    assert (got.key.kind, got.key.timeframe, seen[-1]) == ("metrics", "5m", 1.0)
    ratio = got.column("top_account_ratio")
    assert not np.array_equal(ratio, got.column("account_ratio"))
    last = json.loads(json.dumps(server.asked("/takerlongshortRatio")[0].query))
    assert last["period"] == "5m"


async def test_metrics_older_than_the_exchange_keeps_them_are_not_asked_for(
    server: BinanceServer, session, clock: ManualClock
) -> None:
    frame, funding = synthetic_market("BTCUSDT", "1h", 24 * 60, 7)
    server.market.add(frame, funding)
    clock.ms = int(frame.open_time[-1])
    async with session() as s:
        got = await s.metrics("BTCUSDT", "1h", START)
    assert clock.ms - 30 * 24 * HOUR <= got.time[0] <= clock.ms - 30 * 24 * HOUR + 2 * HOUR
    assert np.all(np.diff(got.time) == HOUR)
    assert np.isfinite(got.values).all()


async def test_a_source_that_lacks_some_times_leaves_nan_and_no_row_is_lost(
    server: BinanceServer, session, clock: ManualClock
) -> None:
    server.misbehave("/takerlongshortRatio", body="[]")
    async with session() as s:
        got = await s.metrics("BTCUSDT", "5m", clock.ms - 100 * MINUTE)
    assert len(got.time) == 20
    assert np.isnan(got.column("taker_ratio")).all()
    assert np.isfinite(got.column("open_interest")).all()


async def test_recent_trades_come_oldest_first_with_the_taker_s_side(server: BinanceServer, session) -> None:
    async with session() as s:
        prints = await s.recent_trades("BTCUSDT", 500)
    assert 0 < len(prints) <= 500
    assert [p.trade_id for p in prints] == sorted({p.trade_id for p in prints})
    assert {p.side for p in prints} == {1, -1}
    assert all(p.time_ms <= p.received_ms for p in prints)


async def test_the_book_snapshot_is_best_first_and_a_crossed_one_is_not_taken(server: BinanceServer, session) -> None:
    crossed = {"lastUpdateId": 1, "E": 1, "T": 1, "bids": [["101", "1"]], "asks": [["100", "1"]]}
    server.misbehave("/depth", body=json.dumps(crossed))
    async with session() as s:
        book = await s.book_snapshot("BTCUSDT")
    assert book.bids[0, 0] < book.asks[0, 0]
    assert (np.diff(book.bids[:, 0]) < 0).all()
    assert (np.diff(book.asks[:, 0]) > 0).all()
    assert book.update_id > 0
    assert len(server.asked("/depth")) == 2


async def test_symbols_are_asked_for_once_however_many_want_them_and_again_when_told(
    server: BinanceServer, session
) -> None:
    async with session() as s:
        await asyncio.gather(*(s.instruments(["BTCUSDT", "ETHUSDT", "XYZUSDT"]) for _ in range(10)))
        assert len(server.asked("/exchangeInfo")) == 1
        rules = await s.instruments(["BTCUSDT", "XYZUSDT"], reload=True)
        assert list(rules) == ["BTC/USDT:USDT"]
        assert len(server.asked("/exchangeInfo")) == 2


async def test_a_stream_client_knows_the_symbols_already(server: BinanceServer, session) -> None:
    async with session() as s:
        await s.load_markets()
        client = s.stream_client()
        try:
            assert client.market("BTC/USDT:USDT")["id"] == "BTCUSDT"
            await client.load_markets()
            before = s.pace.spent
            await client.fapiPublicGetPing()
            assert s.pace.spent == before + 1
        finally:
            await client.close()
    assert len(server.asked("/exchangeInfo")) == 1


async def test_what_an_exchange_does_not_have_is_refused_before_it_is_asked(
    server: BinanceServer, session, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with session() as s:
        monkeypatch.setattr(type(s.quirks), "can", frozenset[str]())
        for call in (s.premium("BTCUSDT"), s.metrics("BTCUSDT", "5m", START), s.mark_candles("BTCUSDT", "1m", START)):
            with pytest.raises(Rejected, match="binanceusdm does not offer"):
                await call
    assert isinstance(s.quirks, Quirks)
    assert {r.path for r in server.requests} == {"/fapi/v1/exchangeInfo"}


async def test_rules_that_can_not_be_read_are_no_rules(server: BinanceServer, session, monkeypatch) -> None:
    async with session() as s:
        await s.load_markets()
        s._markets["BTC/USDT:USDT"]["precision"] = None
        s._markets["BTC/USDT:USDT"]["info"]["filters"] = []
        with pytest.raises(Retryable, match="rules that cannot be read"):
            await s.instrument("BTCUSDT")


@pytest.mark.parametrize(
    ("path", "api", "a_minute"),
    [
        ("openInterestHist", "fapiData", 200), ("takerlongshortRatio", "fapiData", 200),
        ("fundingRate", "fapiPublic", 100), ("fundingInfo", "fapiPublic", 100),
    ],
)  # fmt: skip
async def test_requests_with_limits_of_their_own_cost_so_much_that_the_weight_runs_out_first(
    session, path: str, api: str, a_minute: int
) -> None:
    """Binance: /futures/data takes 1,000 in five minutes, funding 500; neither counts in the weight of a minute."""
    async with session(request_weight_per_minute=2400, order_weight_share=0.0) as s:
        cost = s._exchange.calculate_rate_limiter_cost(api, "GET", path, {}, {"cost": 1})
    assert cost * a_minute >= 2400


async def test_the_cost_of_own_limits_is_really_charged(server: BinanceServer, session, clock: ManualClock) -> None:
    async with session() as s:
        await s.load_markets()
        before = s.pace.spent
        await s.metrics("BTCUSDT", "5m", clock.ms - 4 * MINUTE, clock.ms)
        assert s.pace.spent - before >= 12 * len([r for r in server.requests if r.path.startswith("/futures/data")]) > 0
