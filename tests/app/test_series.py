"""Stored series into grids: the span, its warm-up, and mark prices for funding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.wiring import cut, feature_cube, first_bar, market_for, with_marks
from data.errors import UserError
from data.market import BarMark, Frame, FundingFrame, SeriesKey
from data.timeframes import HOUR_MS
from database.home import Home
from database.repositories import Repositories

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
EIGHT = 8 * HOUR_MS


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Repositories]:
    with Home(tmp_path / "home").open() as opened:
        yield opened


def bars(key: SeriesKey, count: int, start: int = 0, level: float = 100.0) -> Frame:
    close = level + np.arange(count, dtype=np.float64)
    times = start + key.step_ms * np.arange(count, dtype=np.int64)
    return Frame.of(key, times, close - 0.5, close + 1, close - 1, close, np.ones(count))


def test_the_grid_begins_with_the_warm_up_and_says_where_the_span_starts(database: Repositories) -> None:
    database.candles.write(bars(KEY, 100))
    span = (40 * HOUR_MS, 60 * HOUR_MS)
    grid, frames, _ = market_for(database.candles, [KEY.symbol], "1h", span, warmup=10)
    assert (grid.bars, len(frames[0]), first_bar(grid, span)) == (30, 30, 10)
    part = cut(grid, 10)
    assert part.open_time[0] == span[0]
    assert part.open.flags.c_contiguous
    assert part.funding_start.shape == (1, 21)


def test_an_empty_span_says_what_is_stored(database: Repositories) -> None:
    database.candles.write(bars(KEY, 100))
    with pytest.raises(UserError, match="stored are 1970-01-01"):
        market_for(database.candles, [KEY.symbol], "1h", (500 * HOUR_MS, 600 * HOUR_MS))


def test_a_missing_timeframe_names_those_that_are_stored(database: Repositories) -> None:
    database.candles.write(bars(KEY, 100))
    with pytest.raises(UserError, match=r"stored of BTCUSDT: 1h binanceusdm \(exchange\)"):
        market_for(database.candles, [KEY.symbol], "4h")


def test_settlements_take_the_open_of_the_mark_candle_else_the_close_of_the_one_before(database: Repositories) -> None:
    mark = SeriesKey(KEY.exchange, KEY.symbol, "1h", "mark")
    candles = bars(mark, 17, level=200.0)  # opens 0 h to 16 h, the last one ends at 17 h
    keep = np.array([k for k in range(17) if k != 8])
    database.candles.write(
        Frame.of(mark, candles.open_time[keep], candles.open[keep], candles.high[keep], candles.low[keep],
                 candles.close[keep], candles.volume[keep])
    )  # fmt: skip
    times = EIGHT * np.arange(1, 4, dtype=np.int64)
    funding = FundingFrame(KEY.exchange, KEY.symbol, KEY.source, times, np.full(3, 1e-4), np.array([np.nan] * 3))
    filled = with_marks(database.candles, KEY, funding)
    assert filled.mark_price[0] == candles.close[7]  # 8 h is missing: the close of the candle that ends there
    assert filled.mark_price[1] == candles.open[16]
    assert math.isnan(filled.mark_price[2])


def test_a_stored_mark_price_is_kept(database: Repositories) -> None:
    database.candles.write(bars(SeriesKey(KEY.exchange, KEY.symbol, "1h", "mark"), 20, level=200.0))
    funding = FundingFrame(
        KEY.exchange, KEY.symbol, KEY.source, np.array([EIGHT], dtype=np.int64), np.array([1e-4]), np.array([7.0])
    )
    assert with_marks(database.candles, KEY, funding).mark_price[0] == 7.0


def test_features_stand_on_the_grid_and_are_missing_where_the_bar_is(database: Repositories) -> None:
    from ai.features.registry import schema_of

    other = SeriesKey(KEY.exchange, "ETH/USDT:USDT", "1h")
    database.candles.write(bars(KEY, 50))
    database.candles.write(bars(other, 40, start=10 * HOUR_MS))
    grid, frames, fundings = market_for(database.candles, [KEY.symbol, other.symbol], "1h")
    cube = feature_cube(schema_of(["close", "rsi_14"]), grid, frames, fundings)
    assert cube.shape == (2, 2, 50)
    assert np.isnan(cube[1, 0, :10]).all()
    assert (cube[1, 0, 10:] == frames[1].close).all()


def test_bars_have_the_sound_candles_of_the_mark_price_beside_them(database: Repositories) -> None:
    """None of another exchange; of the own timeframe, else made of shorter candles where all of them are there."""
    eth = SeriesKey(KEY.exchange, "ETH/USDT:USDT", "1h")
    database.candles.write(bars(KEY, 6))
    database.candles.write(bars(eth, 6))
    database.candles.write(bars(SeriesKey("other", KEY.symbol, "1h", "mark"), 6, level=500.0))
    assert market_for(database.candles, [KEY.symbol], "1h", exchange=KEY.exchange)[0].mark_price.shape == (1, 4, 0)
    quarters = bars(SeriesKey(KEY.exchange, KEY.symbol, "15m", "mark"), 24, level=200.0)
    database.candles.write(quarters.take(np.arange(24) != 9))
    symbols = [KEY.symbol, eth.symbol]
    grid, _, _ = market_for(database.candles, symbols, "1h", (HOUR_MS, 6 * HOUR_MS), exchange=KEY.exchange)
    assert grid.mark_price.shape == (2, 4, 5)
    assert np.isnan(grid.mark_price[1]).all()  # none is stored of it
    assert np.isnan(grid.mark_price[0, :, 1]).all()  # a quarter of that hour is missing
    assert grid.mark_price[0, :, 2].tolist() == [211.5, 216.0, 211.0, 215.0]  # open, high, low, close of 12 to 15
    hours = bars(SeriesKey(KEY.exchange, KEY.symbol, "1h", "mark"), 6, level=300.0)
    doubted = np.where(np.arange(6) == 4, BarMark.SUSPECT, BarMark.REAL).astype(np.uint8)
    database.candles.write(replace(hours, mark=doubted))
    grid, _, _ = market_for(database.candles, symbols, "1h", (HOUR_MS, 6 * HOUR_MS), exchange=KEY.exchange)
    assert grid.mark_price[0, 3, :3].tolist() == [301.0, 302.0, 303.0]
    assert np.isnan(grid.mark_price[0, :, 3]).all()
    part = cut(grid, 2)
    assert part.mark_price.flags.c_contiguous
    assert part.mark_price[0, 3, 0] == 303.0
