"""Feeds by themselves: a synthetic market grows as it is watched, stored bars keep their pace."""

from __future__ import annotations

import asyncio
import math

import numpy as np
import pytest

from app.feeds import Pace, StoredFeed, SyntheticFeed
from data.clock import ManualClock
from data.grid import align
from data.market import SeriesKey
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from database.home import Home

STEP = 900_000
KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "15m", "ohlcv", "synthetic")


def unpaced() -> Pace:
    return Pace(math.inf, ManualClock(), asyncio.Event())


async def closes(feed, from_ms: int | None, count: int) -> list[float]:
    found = []
    bars = feed.bars(from_ms)
    async for grid, t in bars:
        found.append(float(grid.close[0, t]))
        if len(found) == count:
            break
    await bars.aclose()
    return found


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.setattr("app.feeds.SYNTHETIC_CHUNK", 50)
    with Home(tmp_path).open() as opened:
        yield opened


async def test_a_synthetic_market_grows_without_a_seam(database):
    feed = SyntheticFeed((KEY,), 3, 100, database.candles, unpaced())
    whole = synthetic_market("BTCUSDT", "15m", 1000, 3)[0]
    before = await feed.history(40, None)
    assert np.array_equal(before.close[0], whole.close[60:100])
    assert await closes(feed, None, 500) == whole.close[100:600].tolist()
    stored = database.candles.read(KEY)
    assert len(stored) >= 600 and np.array_equal(stored.close, whole.close[: len(stored)])


async def test_after_a_restart_it_begins_where_it_was(database):
    whole = synthetic_market("BTCUSDT", "15m", 1000, 3)[0]
    feed = SyntheticFeed((KEY,), 3, 100, database.candles, unpaced())
    history = await feed.history(300, START + 700 * STEP)
    assert np.array_equal(history.close[0], whole.close[400:700])
    assert await closes(feed, START + 700 * STEP, 200) == whole.close[700:900].tolist()


async def test_stored_bars_come_at_their_pace_and_a_stop_ends_the_wait():
    clock, stop = ManualClock(), asyncio.Event()
    grid = align([synthetic_market("BTCUSDT", "15m", 20, 3)[0]], [synthetic_market("BTCUSDT", "15m", 20, 3)[1]])
    feed = StoredFeed(grid, START + 10 * STEP, Pace(0.001, clock, stop), "replay")
    assert feed.total == 10
    bars = feed.bars(None)
    coming = asyncio.ensure_future(anext(bars))
    await asyncio.sleep(0)
    assert not coming.done(), "the first bar did not wait for its turn"
    stop.set()
    _, t = await coming
    assert t == 10
    await bars.aclose()


async def test_a_stored_feed_says_when_it_has_ended():
    frame, funding = synthetic_market("BTCUSDT", "15m", 20, 3)
    feed = StoredFeed(align([frame], [funding]), START, unpaced(), "replay")
    assert [t async for _, t in feed.bars(START + 15 * STEP)] == [15, 16, 17, 18, 19]
    assert feed.health().state == "ended" and feed.health().last_bar_ms == START + 19 * STEP
