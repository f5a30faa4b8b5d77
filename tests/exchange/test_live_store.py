"""Writes of a live market: bars are given on when they are stored, and a busy store loses nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import Retryable, UserError
from data.exchange import live_store
from data.exchange.live_store import LiveStore
from data.market import Frame, SeriesKey, WriteReport
from data.synthetic import synthetic_market
from database.candles import Candles
from database.home import Home

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
TRADES = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "trades")


def bars(first: int, count: int) -> Frame:
    frame = synthetic_market("BTCUSDT", "1m", 100, 3)[0].slice(first, first + count)
    return Frame.of(KEY, frame.open_time, frame.open, frame.high, frame.low, frame.close, frame.volume)


class Busy(Candles):
    """A store that fails some times before it writes."""

    failures: list[Exception]

    def write(self, frame: Frame) -> WriteReport:
        if self.failures:
            raise self.failures.pop(0)
        return super().write(frame)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Busy]:
    with Home(tmp_path / "home", ManualClock(1)).open() as database:
        busy = Busy(database)
        busy.failures = []
        yield busy


async def test_bars_are_given_when_they_are_stored_and_rows_of_one_series_are_one_write(store: Busy) -> None:
    given: list[Frame] = []
    live = LiveStore(store, given.append, lambda _: None)
    live.bars(bars(0, 2))
    live.bars(bars(2, 1))
    for number in (3, 1, 2):
        live.observe(TRADES, 1000 + number, number, 2000 + number, (10.0, 1.0, -1.0))
    assert given == [] and live.wake.is_set()
    await live.flush()
    assert [len(frame) for frame in given] == [2, 1]
    assert len(store.read(KEY)) == 3
    rows = store.read_observations(TRADES)
    assert rows.id.tolist() == [1, 2, 3] and rows.known_at.tolist() == [2001, 2002, 2003]
    assert not live.writing


async def test_a_busy_store_keeps_bars_back_and_loses_none(store: Busy) -> None:
    given: list[Frame] = []
    troubles: list[str] = []
    live = LiveStore(store, given.append, troubles.append)
    store.failures = [Retryable("The database is busy."), Retryable("The database is busy.")]
    live.bars(bars(0, 2))
    await live.flush()
    live.bars(bars(2, 2))
    await live.flush()
    assert given == [] and set(troubles) == {"The database is busy."} and live.filled.is_set()
    await live.flush()
    assert np.concatenate([frame.open_time for frame in given]).tolist() == bars(0, 4).open_time.tolist()
    assert len(store.read(KEY)) == 4 and troubles[-1] == ""


async def test_while_a_store_can_not_be_written_observations_stay_bounded(
    store: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_store, "MOST_ROWS", 10)
    live = LiveStore(store, lambda _: None, lambda _: None)
    store.failures = [Retryable("busy")] * 3
    live.bars(bars(0, 1))
    await live.flush()
    for number in range(12):
        live.observe(TRADES, number, number, number, (10.0, 1.0, 1.0))
    await live.flush()
    assert live.lost == 6
    for _ in range(2):
        await live.flush()
    assert store.read_observations(TRADES).id.tolist() == list(range(6, 12)), "the newest stay"


async def test_a_refusal_of_the_store_is_raised(store: Busy) -> None:
    live = LiveStore(store, lambda _: None, lambda _: None)
    store.failures = [UserError("The bars cannot be stored.")]
    live.bars(bars(0, 1))
    with pytest.raises(UserError):
        await live.flush()
