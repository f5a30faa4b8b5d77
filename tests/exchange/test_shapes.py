"""The local exchange answers in the shapes that were recorded from the real one: every key, every JSON type.

No recorded key is left away. The ``assets`` of exchangeInfo are fewer (lists of objects are compared by the first).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.simulated_time import SimulatedClock
from tests.exchange.streaming import listening

RESPONSES = "tests/integration_tests/adapters/binance/resources/http_responses/http_futures_market_{}.json"
STREAMS = "crates/adapters/binance/test_data/futures/market_data_json/{}.json"
MESSAGES = "tests/integration_tests/adapters/binance/resources/ws_messages/{}.json"
HISTORY = "symbol=BTCUSDT&period=5m&limit=2"
REST = {
    "exchange_info": "/fapi/v1/exchangeInfo",
    "klines": "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1",
    "mark_price_klines": "/fapi/v1/markPriceKlines?symbol=BTCUSDT&interval=1m&limit=1",
    "index_price_klines": "/fapi/v1/indexPriceKlines?pair=BTCUSDT&interval=1m&limit=1",
    "premium_index": "/fapi/v1/premiumIndex?symbol=BTCUSDT",
    "funding_rate": "/fapi/v1/fundingRate?symbol=BTCUSDT&limit=2",
    "depth": "/fapi/v1/depth?symbol=BTCUSDT&limit=5",
    "trades": "/fapi/v1/trades?symbol=BTCUSDT&limit=1",
    "agg_trades": "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1",
    "book_ticker": "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT",
    "ticker_24hr": "/fapi/v1/ticker/24hr?symbol=BTCUSDT",
    "ticker_price": "/fapi/v1/ticker/price?symbol=BTCUSDT",
    "open_interest": "/fapi/v1/openInterest?symbol=BTCUSDT",
    "open_interest_historical": f"/futures/data/openInterestHist?{HISTORY}",
    "global_long_short_account_ratio": f"/futures/data/globalLongShortAccountRatio?{HISTORY}",
    "top_long_short_account_ratio": f"/futures/data/topLongShortAccountRatio?{HISTORY}",
    "top_long_short_position_ratio": f"/futures/data/topLongShortPositionRatio?{HISTORY}",
    "taker_long_short_ratio": f"/futures/data/takerlongshortRatio?{HISTORY}",
}
STREAMED = {
    STREAMS.format("agg_trade_stream"): "btcusdt@aggTrade",
    STREAMS.format("book_ticker_stream"): "btcusdt@bookTicker",
    STREAMS.format("depth_update_stream"): "btcusdt@depth@100ms",
    STREAMS.format("kline_stream_closed"): "btcusdt@kline_1m",
    STREAMS.format("kline_stream_open"): "btcusdt@kline_1m",
    STREAMS.format("liquidation_stream"): "btcusdt@forceOrder",
    STREAMS.format("mark_price_stream"): "btcusdt@markPrice@1s",
    STREAMS.format("ticker_stream"): "btcusdt@ticker",
    STREAMS.format("trade_stream"): "btcusdt@trade",
    MESSAGES.format("ws_futures_depth_update"): "btcusdt@depth@100ms",
    MESSAGES.format("ws_futures_book_ticker"): "btcusdt@bookTicker",
    MESSAGES.format("ws_futures_ticker_24hr"): "btcusdt@ticker",
}


def differences(recorded: Any, ours: Any, where: str = "") -> Iterator[str]:
    """What of a recorded document is missing in ours or of another JSON type, key by key.

    Lists of objects are compared by their first element, rows (lists of scalars) element by element.
    """
    if type(recorded) is not type(ours):
        yield f"{where}: {type(ours).__name__} instead of {type(recorded).__name__}"
    elif isinstance(recorded, dict):
        for key, value in recorded.items():
            if key not in ours:
                yield f"{where}.{key} is missing"
            else:
                yield from differences(value, ours[key], f"{where}.{key}")
    elif isinstance(recorded, list) and recorded:
        if not ours:
            yield f"{where} is empty"
        elif isinstance(recorded[0], dict | list) and not _named(recorded):
            yield from differences(recorded[0], ours[0], f"{where}[]")
        elif _named(recorded):
            yield from _by_name(recorded, ours, where)
        elif len(recorded) != len(ours) and not where.endswith(("orderTypes", "timeInForce")):
            yield f"{where}: a row of {len(ours)} instead of {len(recorded)}"
        else:
            for i, (a, b) in enumerate(zip(recorded, ours, strict=False)):
                yield from differences(a, b, f"{where}[{i}]")


def _named(rows: list[Any]) -> bool:
    return isinstance(rows[0], dict) and "filterType" in rows[0]


def _by_name(recorded: list[Any], ours: list[Any], where: str) -> Iterator[str]:
    held = {row["filterType"]: row for row in ours}
    for row in recorded:
        name = row["filterType"]
        if name in held:
            yield from differences(row, held[name], f"{where}.{name}")
        else:
            yield f"{where}.{name} is missing"


def recordings(shared_data: Path) -> dict[str, Any]:
    return json.loads((shared_data / "fixtures/nautilus_binance_futures.json").read_text())


async def fetched(server: BinanceServer, path: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(server.url + path) as response:
        assert response.status == 200
        return await response.json()


@pytest.mark.data
@pytest.mark.parametrize("name", sorted(REST))
async def test_an_answer_has_every_recorded_key_and_type(shared_data: Path, server: BinanceServer, name: str) -> None:
    recorded = recordings(shared_data)[RESPONSES.format(name)]
    assert list(differences(recorded, await fetched(server, REST[name]))) == []


@pytest.mark.data
async def test_a_kline_row_has_the_recorded_length_and_exchange_info_the_recorded_words(
    shared_data: Path, server: BinanceServer
) -> None:
    info = await fetched(server, REST["exchange_info"])
    recorded = recordings(shared_data)[RESPONSES.format("exchange_info")]
    ours, theirs = info["symbols"][0], recorded["symbols"][0]
    assert ours["symbol"] == theirs["symbol"] == "BTCUSDT"
    for same in ("orderTypes", "timeInForce", "contractType", "status", "baseAsset", "marginAsset"):
        assert ours[same] == theirs[same]
    assert ours["filters"][0]["tickSize"] == theirs["filters"][0]["tickSize"]


async def streamed(streams: list[str], minutes: int = 3) -> dict[str, list[Any]]:
    """Messages of some minutes by event type."""
    clock = SimulatedClock(START + 100 * 60_000 + 500)
    async with BinanceServer(clock, Rhythm(liquidation_every=1)) as server, aiohttp.ClientSession() as session:
        server.market.add(*synthetic_market("BTCUSDT", "1m", 1000, 7))
        heard = [await listening(server, session, path, *streams) for path in ("/market/ws/0", "/public/ws/0")]
        await clock.run_for(60 * minutes)
        found: dict[str, list[Any]] = {}
        for listener in heard:
            for message in listener.messages:
                found.setdefault(message.get("e", ""), []).append(message)
            await listener.close()
        return found


@pytest.mark.data
async def test_a_stream_message_has_every_recorded_key_and_type(shared_data: Path) -> None:
    recorded = recordings(shared_data)
    heard = await streamed(sorted(set(STREAMED.values())))
    for name in STREAMED:
        expected = recorded[name]
        ours = [m for m in heard[expected["e"]] if expected["e"] != "kline" or m["k"]["x"] == expected["k"]["x"]]
        assert ours, name
        for message in [m for m in ours if m.get("a") != [] and m.get("b") != []][:20]:  # a side may stand still
            assert list(differences(expected, message, name.rsplit("/", 1)[-1])) == []


@pytest.mark.data
async def test_messages_have_the_shape_of_the_recorded_session_too(shared_data: Path) -> None:
    text = gzip.decompress((shared_data / "fixtures/cryptofeed/BINANCE_FUTURES.ws.1.0.txt.gz").read_bytes()).decode()
    lines = [line.partition(": ")[2] for line in text.splitlines()[1:]]
    recorded = {m["e"]: m for m in (json.loads(line)["data"] for line in lines if line.startswith("{"))}
    assert sorted(recorded) == ["aggTrade", "bookTicker", "depthUpdate", "kline"]
    channels = ["aggTrade", "bookTicker", "depth@100ms", "kline_1m"]
    heard = await streamed([f"btcusdt@{channel}" for channel in channels])
    for event, message in recorded.items():
        assert list(differences(message, heard[event][-1], event)) == []


@pytest.mark.data
async def test_the_snapshot_and_rules_have_the_shape_of_the_recorded_session_too(
    shared_data: Path, server: BinanceServer
) -> None:
    folder = shared_data / "fixtures/cryptofeed"
    text = gzip.decompress((folder / "BINANCE_FUTURES.http.0.0.txt.gz").read_bytes()).decode()
    snapshot = next(json.loads(line.partition(": {")[1][2:] + line.partition(": {")[2]) for line in text.splitlines())
    assert list(differences(snapshot, await fetched(server, REST["depth"]))) == []
    text = gzip.decompress((folder / "BINANCE_FUTURES.0.txt.gz").read_bytes()).decode()
    info = json.loads("{" + text.splitlines()[0].partition(": {")[2])
    assert list(differences(info, await fetched(server, REST["exchange_info"]))) == []


@pytest.mark.data
async def test_trades_have_the_shape_of_the_recorded_raw_feed(shared_data: Path) -> None:
    path = shared_data / "orderbook/binance_usdm_btcusdt_20240808_raw.jsonl.gz"
    recorded: dict[str, Any] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            payload = json.loads(line.partition(" ")[2])
            recorded.setdefault(payload.get("data", {}).get("e", "snapshot"), payload.get("data", payload))
            if len(recorded) == 4:
                break
    assert sorted(recorded) == ["bookTicker", "depthUpdate", "snapshot", "trade"]
    heard = await streamed(["btcusdt@trade", "btcusdt@bookTicker", "btcusdt@depth@100ms"], minutes=1)
    for event in ("bookTicker", "depthUpdate", "trade"):
        assert list(differences(recorded[event], heard[event][0], event)) == []


def test_the_comparison_finds_a_missing_key_another_type_and_a_shorter_row() -> None:
    recorded = {"a": "1", "b": [{"c": 1}], "d": [1, "2"]}
    assert list(differences(recorded, {"a": "1", "b": [{"c": 1}], "d": [1, "2"]})) == []
    assert list(differences(recorded, {"a": 1, "b": [{}], "d": [1]})) == [
        ".a: int instead of str", ".b[].c is missing", ".d: a row of 1 instead of 2"
    ]  # fmt: skip
