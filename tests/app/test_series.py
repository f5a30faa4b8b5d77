"""Stored series into grids: the span, its warm-up, and mark prices for funding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.wiring import cut, feature_cube, first_bar, market_for, with_marks
from data.errors import UserError
from data.market import Frame, FundingFrame, SeriesKey
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
