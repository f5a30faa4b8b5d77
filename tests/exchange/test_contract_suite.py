"""One contract for market data, held by every exchange: each ccxt class at a server of its own, all of one market."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from data.errors import Rejected, UserError
from data.exchange.catalogue import quirks_of
from data.market import Frame
from data.timeframes import HOUR_MS, MINUTE_MS, timeframe_ms
from tests.exchange import binance_statistics
from tests.exchange.conftest import START
from tests.exchange.peer_server import PeerServer
from tests.exchange.places import BTC, ETH, FUNDED_DAYS, HOURS, NOW, SERVERS, SOL, Place, place_at, same_bars


@pytest.fixture(params=SERVERS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with place_at(request.param) as found:
        yield found


@pytest.mark.parametrize("timeframe", ["1m", "5m", "15m", "1h", "4h", "1d"])
async def test_candles_of_a_span_are_the_served_ones_and_closed(place: Place, timeframe: str) -> None:
    shares: list[float] = []
    async with place.session() as s:
        got = await s.candles(BTC, timeframe, START, progress=shares.append)
    step = timeframe_ms(timeframe)
    same_bars(got, place.served("BTCUSDT", timeframe).between(START, NOW - step + 1))
    assert got.key.exchange == place.name and got.key.timeframe == timeframe
    assert shares == sorted(shares) and shares[-1] == 1.0


async def test_a_timeframe_that_is_not_there_is_refused(place: Place) -> None:
    async with place.session() as s:
        if place.name in ("bybit", "okx"):
            with pytest.raises(Rejected, match=f"{place.name} gives no candles of 8h: choose one of 1m"):
                await s.candles(BTC, "8h", START)
        else:
            same_bars(await s.candles(BTC, "8h", START), place.served("BTCUSDT", "8h").slice(0, 5))


async def test_a_span_inside_has_its_bounds(place: Place) -> None:
    start, end = START + 777 * MINUTE_MS, START + 1999 * MINUTE_MS
    async with place.session() as s:
        got = await s.candles(BTC, "1m", start, end)
    same_bars(got, place.served("BTCUSDT", "1m").between(start, end))


async def test_years_before_a_listing_cost_few_requests_and_lose_nothing(place: Place) -> None:
    async with place.session() as s:
        got = await s.candles(BTC, "1m", START - 900 * 24 * HOUR_MS, START + 50 * MINUTE_MS)
    same_bars(got, place.served("BTCUSDT", "1m").between(START, START + 50 * MINUTE_MS))
    assert len(place.server.requests) < 60


async def test_bars_after_a_long_halt_are_found(place: Place) -> None:
    whole = place.served("BTCUSDT", "1m")
    rows = np.r_[0:300, 1750:2600]
    place.server.market.add(Frame.of(
        whole.key, *(getattr(whole, n)[rows] for n in ("open_time", "open", "high", "low", "close", "volume"))
    ))  # fmt: skip
    async with place.session() as s:
        got = await s.candles(BTC, "1m", START, START + 2500 * MINUTE_MS)
    same_bars(got, place.served("BTCUSDT", "1m").between(START, START + 2500 * MINUTE_MS))


async def test_the_newest_bars_come_with_the_forming_one_apart(place: Place) -> None:
    async with place.session() as s:
        got, forming = await s.recent(BTC, "1m", NOW // MINUTE_MS * MINUTE_MS - 5 * MINUTE_MS)
        older, none = await s.recent(BTC, "1m", START)
    same_bars(got, place.served("BTCUSDT", "1m").between(NOW - 6 * MINUTE_MS + 1, NOW - MINUTE_MS + 1))
    assert forming == 1
    assert older.open_time[0] == START and none == 0


@pytest.mark.parametrize("kind", ["mark", "index"])
async def test_mark_and_index_candles_where_the_exchange_has_them(place: Place, kind: str) -> None:
    async with place.session() as s:
        if not place.can(f"{kind}_candles"):
            with pytest.raises(Rejected, match=f"{place.name} does not offer {kind} candles"):
                await s.candles(BTC, "1m", START, kind=kind)
            return
        got = await s.candles(BTC, "1m", START, kind=kind)
    same_bars(got, place.served("BTCUSDT", "1m", kind).between(START, NOW - MINUTE_MS + 1), volume=False)


@pytest.mark.parametrize("symbol", [BTC, ETH, SOL])
async def test_funding_history_is_whole_at_every_interval(place: Place, symbol: str) -> None:
    name = symbol.split("/")[0] + "USDT"
    held = place.server.market.settlements(name, NOW)
    async with place.session() as s:
        got = await s.funding(symbol, int(held.time[0]))
    assert len(got) >= FUNDED_DAYS * 24 // HOURS[name]
    assert got.time.tolist() == held.time.tolist()
    assert np.array_equal(got.rate, held.rate)
    told = place.name in ("binanceusdm", "weex")
    assert np.array_equal(got.mark_price, held.mark_price) if told else np.isnan(got.mark_price).all()


@pytest.mark.parametrize("symbol", [BTC, ETH, SOL])
async def test_the_premium_holds_prices_rate_time_and_interval(place: Place, symbol: str) -> None:
    name, market = symbol.split("/")[0] + "USDT", place.server.market
    async with place.session() as s:
        now = await s.premium(symbol)
    assert now.mark_price == pytest.approx(place.server.mark_price(name), rel=1e-9)
    assert now.index_price == pytest.approx(place.server.index_price(name), rel=1e-9)
    assert now.funding_rate == pytest.approx(market.coming_rate(name, NOW), rel=1e-9)
    assert now.next_funding_ms == market.next_settlement(name, NOW)
    assert now.interval_ms == HOURS[name] * HOUR_MS


async def test_recent_trades_are_in_base_units_and_in_order(place: Place) -> None:
    async with place.session() as s:
        got = await s.recent_trades(BTC, 40)
        served = place.server.recent_prints("BTCUSDT", 0, s.clock.now_ms(), 40, oldest=False)
    assert [(t.price, t.quantity, t.side, t.time_ms) for t in got] == [
        (float(p), float(q), 1 if bought else -1, at) for _, at, p, q, bought in served
    ]
    assert len({t.trade_id for t in got}) == 40


async def test_the_book_is_in_base_units_and_best_first(place: Place) -> None:
    async with place.session() as s:
        got = await s.book_snapshot(BTC)
        served = place.server.snapshot("BTCUSDT", 15)
    for side in ("bids", "asks"):
        assert getattr(got, side)[:15].tolist() == [[float(p), float(q)] for p, q in served[side]]
    assert got.update_id == served["lastUpdateId"]


async def test_metrics_where_the_exchange_has_them(place: Place) -> None:
    if not place.can("metrics_history"):
        async with place.session() as s:
            with pytest.raises(Rejected, match=f"{place.name} does not offer a history of open interest"):
                await s.metrics(BTC, "5m", START)
        assert not place.server.requests
        return
    if not isinstance(place.server, PeerServer):
        return  # Binance's own figures are held in test_session_metrics
    async with place.session() as s:
        got = await s.metrics(BTC, "5m", START)
    expected = place.server.metric_times("5m", START, NOW)
    assert got.time.tolist() == expected
    assert got.column("open_interest").tolist() == [
        place.server.metric("BTCUSDT", "open_interest", t) for t in expected
    ]
    given = {n for n in got.columns if not np.isnan(got.column(n)).any()}
    assert given == GIVEN[place.name]
    for name in given & {"top_account_ratio", "top_position_ratio", "taker_ratio"}:
        assert got.column(name).tolist() == [place.server.metric("BTCUSDT", name, t) for t in expected]


async def test_open_interest_now_is_in_base_units(place: Place) -> None:
    async with place.session() as s:
        got = await s.open_interest(BTC)
        at = s.clock.now_ms()
    if isinstance(place.server, PeerServer):
        expected = place.server.metric("BTCUSDT", "open_interest", at)
    else:
        expected = binance_statistics.open_interest("BTCUSDT", at)
    assert got.key.kind == "metrics" and got.time.tolist() == [at]
    assert got.column("open_interest").tolist() == [expected]
    told = place.name in ("bybit", "okx")
    value = expected * place.server.mark_price("BTCUSDT") if told else float("nan")
    assert got.column("open_interest_value")[0] == pytest.approx(value, nan_ok=True)


GIVEN = {
    "bybit": {"open_interest", "account_ratio"},
    "okx": {"open_interest", "open_interest_value", "account_ratio", "top_account_ratio", "top_position_ratio",
            "taker_ratio"},
}  # fmt: skip


MARKET_MOST = {"binanceusdm": "120", "bybit": "119", "okx": "850", "weex": "2300"}
LEAST_VALUE = {"binanceusdm": 100.0, "bybit": 100.0, "okx": 0.0, "weex": 0.0}


async def test_rules_are_the_exchange_s_own_in_base_units(place: Place) -> None:
    place.server.market.change_rules("BTCUSDT", lot="0.002")
    async with place.session() as s:
        rules = await s.instrument(BTC)
        eth = await s.instrument(ETH)
    assert (rules.tick, eth.tick) == (Decimal("0.1"), Decimal("0.01"))
    # WEEX gives decimals, not steps
    assert rules.lot == (Decimal("0.001") if place.name == "weex" else Decimal("0.002"))
    assert rules.min_quantity == Decimal("0.002")
    assert eth.lot == Decimal("0.001")
    assert rules.market_max_quantity == Decimal(MARKET_MOST[place.name])
    assert rules.min_notional == LEAST_VALUE[place.name]
    assert rules.contract_size == 1.0 and rules.status == "trading" and not rules.inferred


async def test_leverage_tiers_where_they_are_public(place: Place) -> None:
    async with place.session() as s:
        tiers = (await s.instrument(BTC)).tiers
    if place.name in ("binanceusdm", "weex"):
        assert tiers == ()
        return
    assert [t.floor for t in tiers[1:]] == [t.cap for t in tiers[:-1]] and tiers[0].floor == 0.0
    rates = {"bybit": [0.005, 0.0056, 0.01], "okx": [0.004, 0.005, 0.01]}[place.name]
    assert [t.maintenance_rate for t in tiers] == rates
    mark = place.server.mark_price("BTCUSDT")
    assert tiers[0].cap == pytest.approx({"bybit": 2_000_000, "okx": 5000 * 0.01 * mark}[place.name])


async def test_a_delisting_is_seen_in_the_rules(place: Place) -> None:
    place.server.market.delist("ETHUSDT", NOW + HOUR_MS, gone_ms=NOW + 3 * HOUR_MS)
    async with place.session() as s:
        assert (await s.instruments([ETH]))[ETH].status == "trading"
        s.clock.advance(2 * 3600)
        settling = await s.instruments([ETH], reload=True)
        assert [r.status for r in settling.values()] == ([] if place.name == "weex" else ["settling"])
        s.clock.advance(2 * 3600)
        assert await s.instruments([ETH], reload=True) == {}
        with pytest.raises(UserError, match=f"{place.name} does not trade ETHUSDT"):
            await s.instrument(ETH)


async def test_a_symbol_that_is_not_there_is_said_before_it_is_asked_for(place: Place) -> None:
    async with place.session() as s:
        with pytest.raises(UserError, match=f"{place.name} does not trade DOGEUSDT"):
            await s.instrument("DOGEUSDT")
        for call in (s.candles("DOGEUSDT", "1m", START), s.funding("DOGEUSDT", START), s.premium("DOGEUSDT")):
            with pytest.raises((Rejected, UserError), match=f"{place.name} does not trade DOGEUSDT"):
                await call
    assert not [r for r in place.server.requests if "DOGE" in str(r.query)]


async def test_the_clock_is_measured(place: Place) -> None:
    place.server.skew_ms = 4321
    async with place.session() as s:
        assert await s.measure_offset() == 4321
        assert s.now_ms() == NOW + 4321


async def test_the_servers_speak_as_ccxt_itself_understands_them(place: Place) -> None:
    """Its own unified calls, which the session does not use everywhere, read the same market."""
    since = START + 100 * MINUTE_MS
    params = {"historical": True, "until": since + 60 * MINUTE_MS} if place.name == "weex" else {}
    async with place.session() as s:
        exchange = s._open()
        bars = await exchange.fetch_ohlcv(BTC, "1m", since, 50, params)
        trades = await exchange.fetch_trades(BTC, None, 30)
        prints = place.server.recent_prints("BTCUSDT", 0, s.clock.now_ms(), 30, oldest=False)
        book = await exchange.fetch_order_book(BTC)
        best = place.server.snapshot("BTCUSDT", 5)["bids"][0]
        paid = await exchange.fetch_funding_rate_history(BTC, NOW - 20 * 24 * HOUR_MS, 100)
        time = await exchange.fetch_time({"type": "swap"} if place.name == "weex" else {})
        assert time == s.clock.now_ms()
    served = place.served("BTCUSDT", "1m").slice(100, 150)
    assert [[bar[0], bar[4]] for bar in bars] == [
        [t, c] for t, c in zip(served.open_time.tolist(), served.close.tolist(), strict=True)
    ]
    unit = 0.01 if place.name == "okx" else 1.0
    assert [t["price"] for t in trades] == [float(p) for _, _, p, _, _ in prints]
    assert [t["amount"] * unit for t in trades] == pytest.approx([float(q) for _, _, _, q, _ in prints])
    assert book["bids"][0][:2] == pytest.approx([float(best[0]), float(best[1]) / unit])
    held = place.server.market.settlements("BTCUSDT", NOW)
    assert [p["fundingRate"] for p in paid] == held.rate[held.time >= NOW - 20 * 24 * HOUR_MS].tolist()


TABLE = Path(__file__).parents[2] / "docs/decisions/0015-four-exchanges-one-contract.md"


def test_the_table_of_what_each_exchange_offers_is_true() -> None:
    rows = [line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("|")]
    names = [name.strip() for name in rows[0][-4:]]
    assert names == list(SERVERS)
    told = {name: {row[0] for row in rows[2:] if row[1 + i] == "yes"} for i, name in enumerate(names)}
    assert told == {name: set(quirks_of(name).can) for name in names}
    assert [row[0] for row in rows[2:]] == sorted(set().union(*told.values()))
