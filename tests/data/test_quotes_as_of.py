"""A market of the past, as it was known at a moment."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from data.exchange.events import TradePrint
from data.market import SeriesKey
from data.observations import BOOK_COLUMNS, Observations
from data.observed import tick_key
from data.quotes_as_of import quote_as_of
from data.timeframes import HOUR_MS, MINUTE_MS
from data.trade_flow import TradeFlow
from database.home import Home
from database.repositories import Repositories

EXCHANGE, SYMBOL = "binanceusdm", "BTC/USDT:USDT"
START = 1_704_067_200_000


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Repositories]:
    with Home(tmp_path / "home").open() as opened:
        yield opened


def trades(db: Repositories, count: int, late: int = 0) -> Observations:
    rng = np.random.default_rng(3)
    time = START + 1000 * np.arange(count, dtype=np.int64)
    values = np.column_stack(
        [100 + rng.normal(0, 0.1, count), rng.exponential(1.0, count), rng.choice([-1.0, 1.0], count)]
    )
    rows = Observations.of(
        tick_key(EXCHANGE, SYMBOL, "trades"), time, values, known_at=time + late, id=np.arange(count, dtype=np.int64)
    )
    db.candles.write_observations(rows)
    return rows


def test_flow_is_that_of_the_last_thousand_trades_known_by_then(db: Repositories) -> None:
    rows = trades(db, 3000, late=5_000)
    moment = START + 2_000_000
    known = np.flatnonzero(rows.known_at <= moment)[-1000:]
    flow = TradeFlow(SYMBOL)
    for i in known.tolist():
        price, quantity, side = rows.values[i]
        flow.on_trade(TradePrint(SYMBOL, i, price, quantity, int(side), int(rows.time[i]), int(rows.known_at[i])))
    quote = quote_as_of(db.candles, EXCHANGE, SYMBOL, moment)
    assert quote is not None
    assert quote.flow_imbalance == pytest.approx(flow.imbalance)
    assert quote.last == rows.values[known[-1], 0]
    assert quote.age_ms("flow_imbalance") == moment - rows.known_at[known[-1]]


def test_nothing_known_later_is_seen(db: Repositories) -> None:
    trades(db, 1000)
    moment = START + 500_000
    before = quote_as_of(db.candles, EXCHANGE, SYMBOL, moment)
    key = tick_key(EXCHANGE, SYMBOL, "premium")
    times = START + np.array([400_000, 500_001], dtype=np.int64)
    values = np.array([[100.0, 99.0, 1e-4, START + 8 * HOUR_MS, 8 * HOUR_MS]] * 2)
    db.candles.write_observations(Observations.of(key, times, values, known_at=times + 200_000))
    assert quote_as_of(db.candles, EXCHANGE, SYMBOL, moment) == before
    later = quote_as_of(db.candles, EXCHANGE, SYMBOL, moment + 200_000)
    assert later is not None and later.basis == pytest.approx(100 / 99 - 1)


def test_an_old_book_says_nothing(db: Repositories) -> None:
    row = np.full((1, len(BOOK_COLUMNS)), np.nan)
    for name, value in (("bid_price_1", 99.0), ("bid_size_1", 3.0), ("ask_price_1", 101.0), ("ask_size_1", 1.0)):
        row[0, BOOK_COLUMNS.index(name)] = value
    time = np.array([START], dtype=np.int64)
    db.candles.write_observations(Observations.of(tick_key(EXCHANGE, SYMBOL, "book"), time, row, id=time))
    quote = quote_as_of(db.candles, EXCHANGE, SYMBOL, START + MINUTE_MS, last=100.5)
    assert quote is not None
    assert (quote.bid, quote.ask, quote.spread, quote.imbalance) == (99.0, 101.0, 2.0, 0.5)
    assert quote.last == 100.5
    assert quote_as_of(db.candles, EXCHANGE, SYMBOL, START + HOUR_MS) is None


def test_metrics_of_the_day_are_used(db: Repositories) -> None:
    key = SeriesKey(EXCHANGE, SYMBOL, "5m", "metrics")
    values = np.array([[84_000.0, math.nan, math.nan, math.nan, 1.8, 0.9]])
    db.candles.write_observations(Observations.of(key, np.array([START], dtype=np.int64), values))
    quote = quote_as_of(db.candles, EXCHANGE, SYMBOL, START + HOUR_MS)
    assert quote is not None
    assert (quote.open_interest, quote.account_ratio, quote.taker_ratio) == (84_000.0, 1.8, 0.9)
