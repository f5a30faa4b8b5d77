"""``quality --repair`` against a loopback exchange: the exchange's own bars, marked, known from the repair on."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.data_report import check_series
from app.main import main
from app.wiring import Workplace
from data.clock import SystemClock
from data.market import BarMark, Frame, SeriesKey
from data.synthetic import synthetic_market
from database.home import Home
from tests.exchange.binance_server import BinanceServer

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
BARS = 1_500
LOST = (200, 201, 900)


def recorded() -> tuple[Frame, Frame, Any]:
    """What the exchange has, and what a store holds of it: without three bars, one with hardly any volume."""
    made, funding = synthetic_market("BTCUSDT", "1m", BARS, 7)
    names = ("open_time", "open", "high", "low", "close", "volume")
    whole = Frame.of(KEY, *(getattr(made, name) for name in names))
    volume = whole.volume.copy()
    volume[600] *= 0.002
    return whole, replace(whole, volume=volume).take(~np.isin(np.arange(BARS), LOST)), (made, funding)


async def quality(home: Path, capfd: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capfd.readouterr()
    assert await asyncio.to_thread(main, ["--home", str(home), "--json", "quality", *words]) == 0
    series: dict[str, Any] = json.loads(capfd.readouterr().out)["series"][0]
    return series


async def test_repair_asks_the_exchange_again_and_marks_what_it_gives(
    home: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, held, served = recorded()
    with Home(home).open() as database:
        database.candles.write(held)
    async with BinanceServer(SystemClock()) as server:  # type: ignore[arg-type]  # it only asks for the time
        server.market.add(*served)
        monkeypatch.setenv("QUANTAI_DATA__BASE_URL", server.url)
        before = await quality(home, capfd)
        told = [(f["kind"], f["bars"], f["level"]) for f in before["findings"] if f["level"] != "info"]
        assert told == [("gap", 2, "bad"), ("partial_volume", 1, "warn"), ("gap", 1, "bad"), ("stale", *told[-1][1:])]
        assert (before["repaired"], before["unrepaired"], before["repairs"]) == (0, 0, [])
        after = await quality(home, capfd, "--repair")
    assert (after["repaired"], after["unrepaired"], after["rows"]) == (4, 0, BARS)
    assert all("fetched again from the exchange" in r["words"] for r in after["repairs"])
    assert {f["kind"] for f in after["findings"] if f["level"] != "info"} == {"stale"}
    with Home(home).open() as database:
        stored = database.candles.read(KEY)
        then = database.candles.read(KEY, as_of_ms=int(stored.open_time[-1]) + 60_000)
    assert np.flatnonzero(stored.mark == BarMark.REPAIRED).tolist() == [*LOST[:2], 600, LOST[2]]
    np.testing.assert_allclose(stored.volume, whole.volume, rtol=1e-6)
    assert np.array_equal(then.volume, held.volume)  # who asks what was known then sees it as it was
    assert np.array_equal(then.open_time, held.open_time)


def test_the_window_s_check_is_a_sentence_with_sums(home: Path) -> None:
    _, held, _ = recorded()
    with Home(home).open() as database:
        database.candles.write(held)
    told: list[str] = []
    with Workplace.opened(home) as place:
        result = check_series(place, [KEY], False, lambda done, total, words: told.append(f"{done}/{total} {words}"))
    assert (result["bad"], result["warn"], result["repaired"]) == (2, 2, 0)
    assert result["sentence"] == "1 series checked: 2 bad and 2 doubtful findings."
    assert told == [f"1/1 {KEY}"]
