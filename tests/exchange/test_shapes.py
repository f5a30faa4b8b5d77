"""The loopback exchange answers in the shapes that were recorded from the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.exchange.binance_server import BinanceServer

RECORDED = "tests/integration_tests/adapters/binance/resources/http_responses/http_futures_market_{}.json"


def shape(value: Any) -> Any:
    """The types of a document: of every key of an object, of the first element of a list of objects."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


@pytest.mark.data
@pytest.mark.parametrize(
    ("recorded", "path"),
    [
        ("klines", "klines?symbol=BTCUSDT&interval=1m&limit=1"),
        ("mark_price_klines", "markPriceKlines?symbol=BTCUSDT&interval=1m&limit=1"),
        ("premium_index", "premiumIndex?symbol=BTCUSDT"),
    ],
)
async def test_answers_have_the_recorded_shape(
    shared_data: Path, server: BinanceServer, recorded: str, path: str
) -> None:
    expected = json.loads((shared_data / "fixtures/nautilus_binance_futures.json").read_text())
    assert shape(await fetched(server, path)) == shape(expected[RECORDED.format(recorded)])


@pytest.mark.data
async def test_funding_and_symbols_have_at_least_the_recorded_fields(shared_data: Path, server: BinanceServer) -> None:
    recorded = json.loads((shared_data / "fixtures/nautilus_binance_futures.json").read_text())
    funding = await fetched(server, "fundingRate?symbol=BTCUSDT&limit=1")
    assert shape(recorded[RECORDED.format("funding_rate")][0]).items() <= shape(funding[0]).items()
    info = await fetched(server, "exchangeInfo")
    expected = recorded[RECORDED.format("exchange_info")]
    assert info.keys() == expected.keys()
    ours, theirs = info["symbols"][0], expected["symbols"][0]
    assert ours["symbol"] == theirs["symbol"] == "BTCUSDT"
    assert {k: type(v) for k, v in ours.items()} == {k: type(v) for k, v in theirs.items()}
    assert [shape(f) for f in ours["filters"]] == [shape(f) for f in theirs["filters"]]
    assert ours["orderTypes"] == theirs["orderTypes"]


async def fetched(server: BinanceServer, path: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(f"{server.url}/fapi/v1/{path}") as response:
        return await response.json()
