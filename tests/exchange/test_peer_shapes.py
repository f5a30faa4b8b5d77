"""The peers' servers answer in the shapes that were recorded, or that ccxt's parsers show as samples."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from data.clock import ManualClock
from data.synthetic import synthetic_market
from data.timeframes import MINUTE_MS
from tests.exchange.bybit_server import BybitServer
from tests.exchange.conftest import START
from tests.exchange.okx_server import OkxServer
from tests.exchange.weex_server import WeexServer


@pytest.fixture
async def servers() -> AsyncIterator[dict[str, str]]:
    """Addresses of the three, each with two symbols."""
    clock = ManualClock(START + 550 * MINUTE_MS)
    async with BybitServer(clock) as bybit, OkxServer(clock) as okx, WeexServer(clock) as weex:
        for server in (bybit, okx, weex):
            for name in ("BTCUSDT", "ETHUSDT"):
                server.market.add(*synthetic_market(name, "1m", 600, 7))
        yield {"bybit": bybit.url, "okx": okx.url, "weex": weex.url}


async def fetched(url: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return await response.json()


def shape(value: Any, loose: bool = False) -> Any:
    """The types of a document, of the first element of a list. ``loose``: numbers and numbers as text are one."""
    if isinstance(value, dict):
        return {key: shape(inner, loose) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner, loose) for inner in value[:1]] if value and isinstance(value[0], (dict, list)) else [
            shape(inner, loose) for inner in value
        ]  # fmt: skip
    if loose and not isinstance(value, bool) and re.fullmatch(r"-?\d+(\.\d+)?", str(value)):
        return "number"
    return type(value).__name__


BYBIT = [  # method of the recorded answers, path
    ("fetchOHLCV", "kline?category=linear&symbol=BTCUSDT&interval=60&limit=3"),
    ("fetchOrderBook", "orderbook?category=linear&symbol=BTCUSDT&limit=2"),
    ("fetchTrades", "recent-trade?category=linear&symbol=BTCUSDT&limit=1"),
    ("fetchTicker", "tickers?category=linear&symbol=BTCUSDT"),
    ("fetchOpenInterest", "open-interest?category=linear&symbol=BTCUSDT&intervalTime=1h&limit=1"),
]


@pytest.mark.data
@pytest.mark.parametrize(("method", "path"), BYBIT, ids=[method for method, _ in BYBIT])
async def test_bybit_answers_as_recorded(shared_data: Path, servers: dict[str, str], method: str, path: str) -> None:
    """The recording wrote whole numbers as text, so those count as one here."""
    recorded = json.loads((shared_data / "fixtures/ccxt_static/response_bybit.json").read_text())
    expected = recorded["methods"][method][0]["httpResponse"]
    answer = await fetched(f"{servers['bybit']}/v5/market/{path}")
    assert shape(answer, loose=True) == shape(expected, loose=True)


@pytest.mark.data
async def test_bybit_lists_its_symbols_as_recorded(shared_data: Path, servers: dict[str, str]) -> None:
    recorded = json.loads((shared_data / "fixtures/ccxt_static/markets_bybit.json").read_text())
    answer = await fetched(f"{servers['bybit']}/v5/market/instruments-info?category=linear")
    expected = recorded["BTC/USDT:USDT"]["info"]
    assert shape(answer["result"]["list"][0], loose=True) == shape(expected, loose=True)


WEEX = [  # method of the samples and its label, path, whether one row of a list is meant
    ("fetchTime", "", "/capi/v3/market/time", False),
    ("parseMarket", "contract", "/capi/v3/market/exchangeInfo", True),
    ("parseMarket", "spot", "/api/v3/exchangeInfo", True),
    ("fetchOrderBook", "", "/capi/v3/market/depth?symbol=BTCUSDT", False),
    ("fetchTrades", "", "/capi/v3/market/trades?symbol=BTCUSDT&limit=1", False),
    ("parseOpenInterest", "", "/capi/v3/market/openInterest?symbol=BTCUSDT", False),
    ("fetchFundingRates", "", "/capi/v3/market/premiumIndex?symbol=BTCUSDT", False),
    ("parseFundingRateHistory", "", "/capi/v3/market/fundingRate?symbol=BTCUSDT&limit=1", True),
]


@pytest.mark.data
@pytest.mark.parametrize(
    ("method", "label", "path", "row"), WEEX, ids=[f"{m} {name}".strip() for m, name, _, _ in WEEX]
)
async def test_weex_answers_as_sampled(
    shared_data: Path, servers: dict[str, str], method: str, label: str, path: str, row: bool
) -> None:
    samples = json.loads((shared_data / "fixtures/weex_payload_samples.json").read_text())["rest"]
    expected = next(s["payload"] for s in samples if s["method"] == method and s["label"] == label)
    answer = await fetched(servers["weex"] + path)
    if row:
        answer = (answer["symbols"] if isinstance(answer, dict) else answer)[0]
    assert shape(answer) == shape(expected)


OKX: dict[str, Any] = {  # the comments of ccxt's parsers, keys that each row holds at least
    "public/time": {"ts": "1621247923668"},
    "public/instruments?instType=SWAP": {
        "alias": "", "baseCcy": "", "category": "1", "ctMult": "", "ctType": "", "ctVal": "", "ctValCcy": "",
        "expTime": "", "instId": "", "instType": "SWAP", "lever": "10", "listTime": "1548133413000", "lotSz": "1",
        "minSz": "1", "optType": "", "quoteCcy": "", "settleCcy": "", "state": "live", "stk": "", "tickSz": "0.1",
        "uly": "",
    },
    "public/funding-rate?instId=BTC-USDT-SWAP": {
        "fundingRate": "0.00027815", "fundingTime": "1634256000000", "instId": "BTC-USD-SWAP", "instType": "SWAP",
        "nextFundingRate": "0.00017", "nextFundingTime": "1634284800000",
    },
    "public/funding-rate-history?instId=BTC-USDT-SWAP": {
        "instType": "SWAP", "instId": "BTC-USDT-SWAP", "fundingRate": "0.018", "realizedRate": "0.017",
        "fundingTime": "1597026383085",
    },
    "public/mark-price?instId=BTC-USDT-SWAP": {
        "instId": "ETH-USDT", "instType": "MARGIN", "markPx": "2403.98", "ts": "1728578500703",
    },
    "market/index-tickers?instId=BTC-USDT": {
        "instId": "LTC-USDT", "idxPx": "65.74", "open24h": "65.37", "high24h": "66.15", "low24h": "64.97",
        "sodUtc0": "65.68", "sodUtc8": "65.54", "ts": "1728467346900",
    },
    "public/open-interest?instId=BTC-USDT-SWAP": {
        "instId": "BTC-USDT-SWAP", "instType": "SWAP", "oi": "2125419", "oiCcy": "21254.19", "oiUsd": "3",
        "ts": "1664005108969",
    },
    "market/trades?instId=BTC-USDT-SWAP&limit=1": {
        "instId": "ETH-BTC", "side": "sell", "sz": "0.119501", "px": "0.07065", "tradeId": "15826757",
        "ts": "1621446178316",
    },
    "public/position-tiers?instFamily=BTC-USDT": {
        "baseMaxLoan": "500", "imr": "0.1", "instId": "ETH-USDT", "maxLever": "10", "maxSz": "500", "minSz": "0",
        "mmr": "0.03", "optMgnFactor": "0", "quoteMaxLoan": "200000", "tier": "1", "uly": "",
    },
}  # fmt: skip


@pytest.mark.parametrize("path", OKX)
async def test_okx_answers_as_ccxt_shows_it(servers: dict[str, str], path: str) -> None:
    answer = await fetched(f"{servers['okx']}/api/v5/{path}")
    assert (answer["code"], answer["msg"]) == ("0", "")
    assert shape(OKX[path]).items() <= shape(answer["data"][0]).items()


async def test_okx_s_candles_and_book_have_the_columns_that_ccxt_shows(servers: dict[str, str]) -> None:
    candles = await fetched(f"{servers['okx']}/api/v5/market/candles?instId=BTC-USDT-SWAP&bar=1m&limit=2")
    sample = ["1678928760000", "24341.4", "24344", "24313.2", "24323", "628", "2.5819", "62800", "0"]
    assert shape(candles["data"]) == [shape(sample)] and candles["data"][0][8] == "0" and candles["data"][1][8] == "1"
    index = await fetched(f"{servers['okx']}/api/v5/market/history-index-candles?instId=BTC-USDT&bar=1H&limit=1")
    assert shape(index["data"]) == [["str"] * 6]
    book = await fetched(f"{servers['okx']}/api/v5/market/books?instId=BTC-USDT-SWAP&sz=2")
    assert shape(book["data"][0]["asks"]) == [["str"] * 4]


ERRORS = {
    "bybit": ("/v5/market/kline?category=linear&symbol=NOUSDT&interval=1", 200, {"retCode", "retMsg", "result"}),
    "okx": ("/api/v5/market/candles?instId=NO-USDT-SWAP", 400, {"code", "msg", "data"}),
    "weex": ("/capi/v3/market/klines?symbol=NOUSDT&interval=1m", 400, {"code", "msg"}),
}


@pytest.mark.parametrize("name", ERRORS)
async def test_errors_come_in_the_exchange_s_own_words(servers: dict[str, str], name: str) -> None:
    path, status, keys = ERRORS[name]
    async with aiohttp.ClientSession() as client, client.get(servers[name] + path) as response:
        assert response.status == status
        assert keys <= set(await response.json())
