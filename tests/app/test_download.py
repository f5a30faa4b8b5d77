"""``download`` against a loopback exchange: pages into the store, a second time nothing new, trouble as a sentence."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from app.main import main
from data.clock import SystemClock
from data.market import SeriesKey
from data.synthetic import synthetic_market
from tests.exchange.binance_server import BinanceServer

SPAN = ("--since", "2024-01-01", "--until", "2024-01-02")
SERIES = ("--symbol", "BTCUSDT", "--timeframe", "1m")


async def call(home: Path, capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capfd.readouterr()
    code = await asyncio.to_thread(main, ["--home", str(home), "--json", *words])
    return code, json.loads(capfd.readouterr().out)


async def test_a_download_stores_the_exchange_s_bars_and_funding(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame, funding = synthetic_market("BTCUSDT", "1m", 2000, 7)
    async with BinanceServer(SystemClock()) as server:  # type: ignore[arg-type]  # it only asks for the time
        server.market.add(frame, funding)
        monkeypatch.setenv("QUANTAI_DATA__BASE_URL", server.url)
        code, first = await call(home, capfd, "download", *SERIES, *SPAN)
        assert (code, first["inserted"], first["gaps"]) == (0, 1440, 0)
        assert first["span"] == {"from": "2024-01-01T00:00:00.000Z", "to": "2024-01-02T00:00:00.000Z"}
        code, again = await call(home, capfd, "download", *SERIES, *SPAN)
        assert (again["inserted"], again["duplicates"]) == (0, 1440)
        code, paid = await call(home, capfd, "download", *SERIES, *SPAN, "--kind", "funding")
        assert (code, paid["inserted"]) == (0, int((funding.time < frame.open_time[1440]).sum()))
    from database.home import Home

    with Home(home).open() as database:
        stored = database.candles.read(SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m"))
    assert (stored.close == frame.close[:1440]).all()


async def test_an_exchange_that_cannot_be_reached_is_one_sentence(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTAI_DATA__BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("QUANTAI_DATA__REQUEST_ATTEMPTS", "1")
    code, document = await call(home, capfd, "download", *SERIES, *SPAN)
    assert code == 1
    assert set(document) == {"error"}
    assert "\n" not in document["error"]
