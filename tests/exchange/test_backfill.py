"""What the store lacks is asked for, page by page, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.backfill import backfill, lacking, lacking_settlements
from data.clock import ManualClock
from data.errors import Retryable, UserError
from data.exchange.session import ExchangeSession
from data.market import SeriesKey
from data.synthetic import DEFAULT_START_MS as START
from data.timeframes import HOUR_MS
from database.candles import Candles
from database.home import Home
from tests.exchange.binance_server import BinanceServer
from tests.exchange.market import BarChange

MINUTE = 60_000
SYMBOL = "BTC/USDT:USDT"
KEY = SeriesKey("binanceusdm", SYMBOL, "1m")
END = START + 2600 * MINUTE


@pytest.fixture
def store(tmp_path: Path, clock: ManualClock) -> Iterator[Candles]:
    with Home(tmp_path / "home", clock).open() as database:
        yield database.candles


def served(server: BinanceServer, start: int, end: int):
    return replace(server.market.candles["BTCUSDT", "1m"].between(start, end), key=KEY)


async def test_a_span_comes_in_pages_with_progress(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles
) -> None:
    told: list[tuple[float, int]] = []
    async with session() as s:
        report = await backfill(s, store, KEY, START, END, lambda share, rows: told.append((share, rows)))
    assert (report.rows, report.inserted) == (2599, 2599), "the last bar still forms"
    assert np.array_equal(store.read(KEY).close, served(server, START, END - MINUTE).close)
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1.0 and told[0] == (1000 / 2600, 1000)
    assert store.read(KEY).known_at[0] == START + MINUTE


async def test_only_what_is_lacking_is_asked(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles
) -> None:
    frame = served(server, START, END - MINUTE)
    keep = frame.between(START, START + 900 * MINUTE)
    store.write(keep)
    store.write(frame.between(START + 930 * MINUTE, END))
    async with session() as s:
        report = await backfill(s, store, KEY, START, END)
        (asked,) = server.asked("/klines")
        assert int(asked.query["startTime"]) == START + 900 * MINUTE
        assert int(asked.query["endTime"]) < START + 930 * MINUTE
        assert report.inserted == 30 and report.revised == 0
        assert (await backfill(s, store, KEY, START, END)).rows == 0
        assert len(server.asked("/klines")) == 1, "nothing lacking, nothing asked"


async def test_a_run_that_was_cut_off_goes_on_where_it_stopped(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles
) -> None:
    pages = 0

    def tell(share: float, rows: int) -> None:
        nonlocal pages
        pages += 1
        if pages == 2:
            server.misbehave("/klines", times=4, status=500)

    async with session() as s:
        with pytest.raises(Retryable):
            await backfill(s, store, KEY, START, END, tell)
        assert len(store.read(KEY)) == 2000, "both pages are stored"
        before = len(server.asked("/klines"))
        report = await backfill(s, store, KEY, START, END)
    assert report.inserted == 599 and len(server.asked("/klines")) - before == 1


async def test_it_stops_between_two_pages_when_told(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles
) -> None:
    async with session() as s:
        report = await backfill(s, store, KEY, START, END, cancelled=lambda: True)
    assert report.inserted == 1000 == len(store.read(KEY))


async def test_f28_impossible_bars_are_left_out_and_the_rest_is_stored(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles
) -> None:
    bad = START + 40 * MINUTE
    server.market.changes.append(BarChange("BTCUSDT", "1m", bad, {"high": float("nan")}))
    async with session() as s:
        report = await backfill(s, store, KEY, START, START + 100 * MINUTE)
    assert report.inserted == 99
    assert bad not in store.read(KEY).open_time


async def test_f29_a_hole_of_the_exchange_stays_one_and_the_rest_is_stored(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles
) -> None:
    for minute in range(50, 60):
        server.market.changes.append(BarChange("BTCUSDT", "1m", START + minute * MINUTE, None))
    async with session() as s:
        report = await backfill(s, store, KEY, START, START + 100 * MINUTE)
    assert report.inserted == 90


async def test_mark_index_premium_funding_and_metrics_likewise(
    server: BinanceServer, session: Callable[..., ExchangeSession], store: Candles, clock: ManualClock
) -> None:
    end = START + 40 * HOUR_MS
    async with session() as s:
        for kind in ("mark", "index"):
            key = SeriesKey("binanceusdm", SYMBOL, "1m", kind)
            assert (await backfill(s, store, key, START, end)).inserted == 2400
            assert np.array_equal(store.read(key).close, served(server, START, end).close)
        funding = SeriesKey("binanceusdm", SYMBOL, "8h", "funding")
        assert (await backfill(s, store, funding, START + 1, end + 1)).inserted == 5
        asked = len(server.asked("/fundingRate"))
        assert (await backfill(s, store, funding, START + 1, end + 1)).rows == 0
        assert len(server.asked("/fundingRate")) == asked
        premium = SeriesKey("binanceusdm", SYMBOL, "tick", "premium")
        assert (await backfill(s, store, premium, START + MINUTE, end)).inserted == 2399
        rows = store.read_observations(premium)
        assert rows.time[0] == START + MINUTE == rows.known_at[0]
        assert np.array_equal(rows.column("mark_price"), served(server, START, end - MINUTE).close)
        assert (await backfill(s, store, premium, START + MINUTE, end)).rows == 0
        with pytest.raises(UserError, match="no past"):
            await backfill(s, store, SeriesKey("binanceusdm", SYMBOL, "tick", "trades"), START, end)


def test_near_gaps_share_a_page() -> None:
    stored = np.setdiff1d(np.arange(0, 1000), [10, 11, 40, 900]) * 10
    assert lacking(stored, 0, 10_000, 10, page=50) == [(100, 410), (9000, 9010)]
    assert lacking(np.arange(0, 1000) * 10, 0, 10_000, 10, page=50) == []


def test_a_skipped_settlement_is_noticed_at_any_interval() -> None:
    hours = np.array([0, 8, 16, 24, 28, 32, 40, 44, 48], dtype=np.int64) * HOUR_MS
    spans = lacking_settlements(hours, 0, 48 * HOUR_MS + 1)
    assert spans == [(16 * HOUR_MS + MINUTE, 24 * HOUR_MS), (32 * HOUR_MS + MINUTE, 40 * HOUR_MS)], (
        "between two rhythms one may be missing too"
    )
    assert lacking_settlements(np.empty(0, dtype=np.int64), 5, 9) == [(5, 9)]
