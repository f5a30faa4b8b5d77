"""What every exchange may do wrong, and what it must come to: retried, obeyed, never taken for "nothing there"."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from data.errors import Retryable
from data.timeframes import MINUTE_MS
from tests.exchange.conftest import START
from tests.exchange.places import BTC, SERVERS, Place, place_at, same_bars


@pytest.fixture(params=SERVERS)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    async with place_at(request.param) as found:
        yield found


KLINES = {
    "binanceusdm": "/klines",
    "bybit": "/kline",
    "okx": "/history-candles",
    "weex": "/historyKlines",
}
HTML = "<html><body>Bad gateway</body></html>"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_5xx_passes_and_loses_nothing(place: Place, status: int) -> None:
    place.server.misbehave(KLINES[place.name], times=2, status=status, body=HTML)
    async with place.session() as s:
        got = await s.candles(BTC, "1m", START, START + 50 * MINUTE_MS)
    same_bars(got, place.served("BTCUSDT", "1m").slice(0, 50))
    assert len(place.server.asked(KLINES[place.name])) == 3


LIMITS = {
    "binanceusdm": {"status": 429, "body": '{"code":-1003,"msg":"Too many requests."}'},
    "bybit": {"body": '{"retCode":10006,"retMsg":"Too many visits. Exceeded the API Rate Limit.","result":{}}'},
    "okx": {"status": 429, "body": '{"code":"50011","msg":"Too Many Requests","data":[]}'},
    "weex": {"status": 429, "body": '{"code":-1003,"msg":"Too many requests."}'},
}


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "41"}])
async def test_a_limit_is_obeyed(place: Place, headers: dict[str, str]) -> None:
    place.server.misbehave(KLINES[place.name], headers=headers, **LIMITS[place.name])
    async with place.session() as s:
        got = await s.candles(BTC, "1m", START, START + 5 * MINUTE_MS)
    first, second = place.server.asked(KLINES[place.name])
    assert len(got) == 5
    assert second.at_ms - first.at_ms >= (41_000 if headers else 30_000)


MOST = {"binanceusdm": (2000, 80), "bybit": (5000, 600), "okx": (2000, 20), "weex": (1000, 20)}  # ms, requests


async def test_a_long_back_fill_stays_within_what_the_exchange_allows(place: Place) -> None:
    span, most = MOST[place.name]
    async with place.session(request_weight_per_minute=2400) as s:
        for _ in range(3 if place.name == "weex" else 8):
            await s.candles(BTC, "1m", START)
    times = [request.at_ms for request in place.server.requests]
    assert len(times) > 20
    assert max(sum(at <= other < at + span for other in times) for at in times) <= most


ANYWHERE = {"html": HTML, "nothing": "", "null": "null", "number": "7", "half": '{"retCode":0,"result":{"list":[["17'}
RUBBISH: dict[str, dict[str, str]] = {
    "binanceusdm": {"object": "{}"},
    "bybit": {
        "object": "{}",
        "list": "[]",
        "no result": '{"retCode":0,"retMsg":"OK"}',
        "null result": '{"retCode":0,"retMsg":"OK","result":null}',
        "no rows": '{"retCode":0,"retMsg":"OK","result":{}}',
        "null rows": '{"retCode":0,"retMsg":"OK","result":{"list":null}}',
        "another symbol": '{"retCode":0,"result":{"symbol":"ETHUSDT","category":"linear","list":[]}}',
        "other times": '{"retCode":0,"result":{"symbol":"BTCUSDT","list":[["1500000000000","9","9","9","9","1","9"]]}}',
        "words": '{"retCode":0,"result":{"symbol":"BTCUSDT","list":["a","b"]}}',
    },
    "okx": {
        "object": "{}",
        "list": "[]",
        "no rows": '{"code":"0","msg":""}',
        "null rows": '{"code":"0","msg":"","data":null}',
        "other times": '{"code":"0","data":[["1500000000000","9","9","9","9","1","1","9","1"]]}',
        "short rows": '{"code":"0","data":[["1704067200000","9","9"]]}',
    },
    "weex": {
        "object": "{}",
        "words": '["a","b"]',
        "other times": '[[1500000000000,"9","9","9","9","1"]]',
        "short rows": '[[1704067200000,"9"]]',
    },
}


@pytest.mark.parametrize("what", sorted({*ANYWHERE, *(kind for kinds in RUBBISH.values() for kind in kinds)}))
async def test_rubbish_is_never_taken_for_nothing_there(place: Place, what: str) -> None:
    body = {**ANYWHERE, **RUBBISH[place.name]}.get(what)
    if body is None:
        return
    place.server.misbehave(KLINES[place.name], times=2, body=body)
    async with place.session(request_attempts=2) as s:
        with pytest.raises(Retryable, match=place.name) as caught:
            await s.candles(BTC, "1m", START, START + 50 * MINUTE_MS)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and "<" not in text
