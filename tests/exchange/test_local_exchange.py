"""The local exchange over REST: one market seen the same everywhere, weights and bans, rules that change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import ccxt.async_support
import numpy as np
import pytest

from data.clock import ManualClock
from data.instruments import INSTRUMENTS
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import FINE
from tests.exchange.loopback import Request, Route
from tests.exchange.market import resampled
from tests.exchange.streaming import redirected

MINUTE = 60_000
HOUR = 60 * MINUTE
BARS = 3000
SYMBOL = "BTC/USDT:USDT"


@pytest.fixture
def clock() -> ManualClock:
    """Half a minute into a bar, and 13 minutes into an hour."""
    return ManualClock(START + 2473 * MINUTE + 30_000)


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock, FINE) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.market.add(*synthetic_market(symbol, "1m", BARS, 7))
        yield running


@pytest.fixture
async def exchange(server: BinanceServer) -> AsyncIterator[Any]:
    found = ccxt.async_support.binanceusdm({"options": {"fetchCurrencies": False}, "enableRateLimit": False})
    found.urls["api"] = redirected(found.urls["api"], server.url)
    yield found
    await found.close()


async def get(server: BinanceServer, path: str, **query: object) -> Any:
    asked = {name: str(value) for name, value in query.items()}
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}{path}", params=asked) as response:
        return await response.json()


async def test_every_timeframe_is_made_from_the_minutes(server: BinanceServer, clock: ManualClock) -> None:
    minutes = server.market.candles["BTCUSDT", "1m"]
    for timeframe, step in (("5m", 5), ("15m", 15), ("1h", 60), ("4h", 240), ("1d", 1440)):
        rows = await get(server, "/fapi/v1/klines", symbol="BTCUSDT", interval=timeframe, limit=1500)
        whole = len(rows) - 1  # the last one still forms
        for column, made in ((2, np.maximum), (3, np.minimum)):
            source = minutes.high if column == 2 else minutes.low
            expected = made.reduce(source[: whole * step].reshape(whole, step), axis=1)
            assert [float(row[column]) for row in rows[:whole]] == expected.tolist()
        assert [float(row[4]) for row in rows[:whole]] == minutes.close[step - 1 : whole * step : step].tolist()
        assert rows[-1][0] == clock.ms // (step * MINUTE) * step * MINUTE
        assert rows[-1][6] == rows[-1][0] + step * MINUTE - 1


async def test_the_forming_bar_is_what_its_trades_were_so_far(server: BinanceServer, clock: ManualClock) -> None:
    minute = clock.ms // MINUTE * MINUTE
    seen = []
    for _ in range(6):
        (bar,) = await get(server, "/fapi/v1/klines", symbol="BTCUSDT", interval="1m", limit=1)
        trades = await get(server, "/fapi/v1/aggTrades", symbol="BTCUSDT", startTime=minute, limit=1000)
        prices = [float(t["p"]) for t in trades]
        assert [float(x) for x in bar[1:5]] == [prices[0], max(prices), min(prices), prices[-1]]
        assert float(bar[5]) == pytest.approx(sum(float(t["q"]) for t in trades))
        assert bar[8] == len(trades)
        (hour,) = await get(server, "/fapi/v1/klines", symbol="BTCUSDT", interval="1h", limit=1)
        assert hour[4] == bar[4]
        assert float(hour[2]) >= float(bar[2])
        seen.append(float(bar[5]))
        clock.advance(4.9)
    assert seen == sorted(seen)
    assert seen[0] < seen[-1]


async def test_the_trades_of_a_bar_make_the_bar(server: BinanceServer) -> None:
    frame = server.market.candles["ETHUSDT", "1m"]
    for row in range(40):
        start = int(frame.open_time[row])
        trades = await get(
            server, "/fapi/v1/aggTrades", symbol="ETHUSDT", startTime=start, endTime=start + MINUTE - 1, limit=1000
        )
        prices = [float(t["p"]) for t in trades]
        assert prices[0] == frame.open[row]
        assert prices[-1] == frame.close[row]
        assert (max(prices), min(prices)) == (frame.high[row], frame.low[row])
        assert sum(float(t["q"]) for t in trades) == pytest.approx(frame.volume[row])
        assert [t["a"] for t in trades] == sorted({t["a"] for t in trades})
        assert all(start <= t["T"] < start + MINUTE for t in trades)


async def test_the_book_stands_around_the_last_trade(server: BinanceServer, clock: ManualClock, exchange: Any) -> None:
    for _ in range(20):
        book = await get(server, "/fapi/v1/depth", symbol="BTCUSDT", limit=100)
        (last,) = await get(server, "/fapi/v1/trades", symbol="BTCUSDT", limit=1)
        top = await get(server, "/fapi/v1/ticker/bookTicker", symbol="BTCUSDT")
        bids, asks = [float(b[0]) for b in book["bids"]], [float(a[0]) for a in book["asks"]]
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        assert float(last["price"]) in (bids[0], asks[0])
        assert (top["bidPrice"], top["askPrice"]) == (book["bids"][0][0], book["asks"][0][0])
        assert all(float(size) > 0 for _, size in book["bids"] + book["asks"])
        clock.advance(0.1)
    assert (await exchange.fetch_order_book(SYMBOL, 5))["bids"][0][0] > 0
    assert (await get(server, "/fapi/v1/depth", symbol="BTCUSDT", limit=7))["code"] == -4021


async def test_ccxt_reads_every_public_endpoint(exchange: Any, clock: ManualClock) -> None:
    assert set(await exchange.load_markets()) == {SYMBOL, "ETH/USDT:USDT"}
    assert len(await exchange.fetch_ohlcv(SYMBOL, "15m", START, 20)) == 20
    assert len(await exchange.fetch_ohlcv(SYMBOL, "1h", START, 5, {"price": "mark"})) == 5
    assert len(await exchange.fetch_ohlcv(SYMBOL, "1h", START, 5, {"price": "index"})) == 5
    assert len(await exchange.fetch_trades(SYMBOL, limit=50)) == 50
    funding = await exchange.fetch_funding_rate(SYMBOL)
    assert funding["markPrice"] > 0
    assert funding["fundingTimestamp"] == (clock.ms // (8 * HOUR) + 1) * 8 * HOUR
    assert len(await exchange.fetch_funding_rate_history(SYMBOL, START, 3)) == 3
    assert (await exchange.fetch_open_interest(SYMBOL))["openInterestAmount"] > 0
    history = await exchange.fetch_open_interest_history(SYMBOL, "5m", START + HOUR, 10)
    assert [row["timestamp"] for row in history] == [START + HOUR + i * 5 * MINUTE for i in range(10)]
    ratio = await exchange.fetch_long_short_ratio_history(SYMBOL, "5m", START + HOUR, 10)
    assert len(ratio) == 10
    query = {"symbol": "BTCUSDT", "period": "1h", "limit": 5}
    for call in (
        exchange.fapiDataGetTakerlongshortRatio,
        exchange.fapiDataGetTopLongShortPositionRatio,
        exchange.fapiDataGetTopLongShortAccountRatio,
    ):
        assert len(await call(query)) == 5
    assert (await exchange.fetch_ticker(SYMBOL))["last"] > 0
    assert (await exchange.fetch_bids_asks([SYMBOL]))[SYMBOL]["bid"] > 0
    assert await exchange.fetch_time() == clock.ms


async def test_each_endpoint_has_its_weight(server: BinanceServer) -> None:
    weights = {
        "/fapi/v1/ping": 1,
        "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=99": 1,
        "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=499": 2,
        "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1000": 5,
        "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500": 10,
        "/fapi/v1/depth?symbol=BTCUSDT&limit=5": 2,
        "/fapi/v1/depth?symbol=BTCUSDT&limit=100": 5,
        "/fapi/v1/depth?symbol=BTCUSDT&limit=1000": 20,
        "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=5": 20,
        "/fapi/v1/premiumIndex?symbol=BTCUSDT": 1,
        "/fapi/v1/premiumIndex": 10,
        "/fapi/v1/ticker/24hr": 40,
        "/futures/data/openInterestHist?symbol=BTCUSDT&period=5m": 0,
    }
    used = 0
    async with aiohttp.ClientSession() as client:
        for path, weight in weights.items():
            async with client.get(server.url + path) as response:
                assert response.status == 200, path
                used += weight
                if weight:
                    assert int(response.headers["X-MBX-USED-WEIGHT-1M"]) == used, path


async def test_who_goes_on_asking_over_the_limit_is_banned_for_a_while(
    server: BinanceServer, clock: ManualClock
) -> None:
    server.weight_limit = 10
    seen = []
    async with aiohttp.ClientSession() as client:
        for _ in range(40):
            async with client.get(f"{server.url}/fapi/v1/ping") as response:
                seen.append((response.status, int(response.headers.get("Retry-After", 0))))
        assert [status for status, _ in seen] == [200] * 10 + [429] * 21 + [418] * 9
        assert seen[10][1] == 30  # half a minute of this minute is left
        assert seen[-1][1] == 120
        clock.advance(60)
        async with client.get(f"{server.url}/fapi/v1/ping") as response:
            assert response.status == 418
        clock.advance(60)
        async with client.get(f"{server.url}/fapi/v1/ping") as response:
            assert response.status == 200


async def test_rules_and_status_change_at_their_moment(
    server: BinanceServer, clock: ManualClock, exchange: Any
) -> None:
    server.faults.add("changed rules", symbol="BTCUSDT", at_ms=clock.ms + 1000, tick="0.5", lot="0.01", min_notional=50)
    server.faults.add("delisting", symbol="ETHUSDT", at_ms=clock.ms + 2000, gone_ms=clock.ms + 120_000)
    known = INSTRUMENTS[SYMBOL]
    seen = []
    for _ in range(3):
        markets = await exchange.load_markets(True)
        seen.append((markets[SYMBOL]["precision"]["price"], markets[SYMBOL]["limits"]["cost"]["min"]))
        seen.append(markets["ETH/USDT:USDT"]["active"])
        clock.advance(1)
    assert seen == [(float(known.tick), known.min_notional), True, (0.5, 50), True, (0.5, 50), False]
    last = (await get(server, "/fapi/v1/klines", symbol="ETHUSDT", interval="1m", limit=1))[-1][0]
    clock.advance(110)
    assert (await get(server, "/fapi/v1/klines", symbol="ETHUSDT", interval="1m", limit=1))[-1][0] == last
    clock.advance(60)
    assert (await get(server, "/fapi/v1/klines", symbol="ETHUSDT", interval="1m"))["code"] == -1121
    assert set(await exchange.load_markets(True)) == {SYMBOL}
    book = await get(server, "/fapi/v1/depth", symbol="BTCUSDT", limit=20)
    assert all(float(price) % 0.5 == 0 for price, _ in book["bids"])


async def test_funding_follows_its_interval_and_its_spike(server: BinanceServer, clock: ManualClock) -> None:
    four = clock.ms // (4 * HOUR) * 4 * HOUR
    server.faults.add("funding interval", symbol="BTCUSDT", hours=4, at_ms=four)
    server.faults.add("funding interval", symbol="BTCUSDT", hours=1, at_ms=four + 4 * HOUR)
    server.faults.add("funding spike", symbol="BTCUSDT", rate=-0.02, at_ms=four + 1)
    (info,) = await get(server, "/fapi/v1/fundingInfo")
    assert (info["symbol"], info["fundingIntervalHours"]) == ("BTCUSDT", 4)
    coming = await get(server, "/fapi/v1/premiumIndex", symbol="BTCUSDT")
    assert coming["nextFundingTime"] == four + 4 * HOUR
    assert float(coming["lastFundingRate"]) == -0.02
    clock.ms = four + 6 * HOUR + 30_000
    rows = await get(server, "/fapi/v1/fundingRate", symbol="BTCUSDT", startTime=four)
    assert [round(row["fundingTime"] / HOUR) * HOUR for row in rows][-3:] == [four + h * HOUR for h in (4, 5, 6)]
    assert float(rows[-3]["fundingRate"]) == -0.02
    assert abs(float(rows[-2]["fundingRate"])) < 0.02


async def test_open_interest_reaches_back_thirty_days_and_has_its_own_limit(server: BinanceServer) -> None:
    path = "/futures/data/openInterestHist"
    answer = await get(server, path, symbol="BTCUSDT", period="5m", startTime=START - 40 * 24 * HOUR)
    assert answer["code"] == -1130
    assert (await get(server, path, symbol="BTCUSDT", period="7m"))["code"] == -1130
    assert len(await get(server, path, symbol="BTCUSDT", period="5m", limit=500)) > 400
    async with aiohttp.ClientSession() as client:
        statuses = set()
        for _ in range(1000):
            async with client.get(f"{server.url}{path}?symbol=BTCUSDT&period=1d&limit=1") as response:
                statuses.add(response.status)
    assert statuses == {200, 429}


async def test_a_private_side_goes_beside_it(clock: ManualClock) -> None:
    class WithOrders(BinanceServer):
        def routes(self) -> list[Route]:
            return [*super().routes(), Route("/fapi/v1/order", _order, 0, "POST", signed=True)]

        def authenticate(self, request: Request) -> None:
            assert request.headers["X-MBX-APIKEY"] == "key"

    async def _order(server: WithOrders, request: Request) -> dict[str, str]:
        event = {"e": "ORDER_TRADE_UPDATE", "o": {"s": request.query["symbol"]}}
        await server.hub.publish("secret", event)
        return {"symbol": request.query["symbol"]}

    async with (
        WithOrders(clock) as server,
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{server.ws_url}/private/ws?listenKey=secret") as mine,
        client.ws_connect(f"{server.ws_url}/private/ws?listenKey=other") as theirs,
    ):
        placed = client.post(f"{server.url}/fapi/v1/order", data={"symbol": "BTCUSDT"}, headers={"X-MBX-APIKEY": "key"})
        async with placed as response:
            assert await response.json() == {"symbol": "BTCUSDT"}
        assert (await mine.receive_json(timeout=5))["o"]["s"] == "BTCUSDT"
        with pytest.raises(TimeoutError):
            await theirs.receive_json(timeout=0.05)


def test_bars_of_a_longer_timeframe_begin_on_its_grid() -> None:
    minutes = synthetic_market("BTCUSDT", "1m", 1000, 7)[0].slice(7, 1000)
    hours = resampled(minutes, "1h")
    assert (hours.open_time % HOUR == 0).all()
    assert hours.open[0] == minutes.open[0]
    assert hours.volume.sum() == pytest.approx(minutes.volume.sum())
