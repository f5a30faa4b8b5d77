"""What was known beside a bar at its close: as stored, as recorded, and never what came later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.beside import BESIDE, Beside
from data.beside_rows import LATE_MS, METRICS_AGE_MS, QUIET_MS, beside_of, cross_keys
from data.exchange.events import BookDelta, BookSnapshot, TradePrint
from data.market import TICK, BarMark, Frame, SeriesKey
from data.observations import BOOK_COLUMNS, COLUMNS, Observations
from data.observed import books_of, sampled, tick_key, trades_of
from data.orderbook import DepthSync
from data.recorded import recorded_events, recorder_offset_ms
from database.home import Home
from database.repositories import Repositories

BTC, ETH, SOL = ("BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT")
KEY = SeriesKey("binanceusdm", BTC, "1m")
MINUTE = 60_000
OPENS = MINUTE * np.arange(100, 160, dtype=np.int64)
CLOSES = OPENS + MINUTE
NAN = float("nan")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Repositories]:
    with Home(tmp_path / "home").open() as opened:
        yield opened


def observations(kind: str, *rows: tuple[int, int, dict[str, float]]) -> Observations:
    """``(time, known at, values)``; what is not said is NaN; ids count up."""
    key = SeriesKey(KEY.exchange, BTC, TICK, kind)
    values = [[told.get(name, NAN) for name in COLUMNS[kind]] for _, _, told in rows]
    times, known = (np.array([row[k] for row in rows], dtype=np.int64) for k in (0, 1))
    ids = np.arange(len(rows), dtype=np.int64) if kind in ("trades", "liquidations") else None
    return Observations.of(key, times, np.array(values), known, ids)


def candles(key: SeriesKey, known_at: np.ndarray | None = None, mark: np.ndarray | None = None) -> Frame:
    close = 50.0 + np.arange(len(OPENS))
    return Frame.of(key, OPENS, close, close, close, close, close, known_at, mark)


def row(beside: Beside | None, name: str) -> np.ndarray:
    assert beside is not None
    return beside.values[BESIDE.index(name)]


def test_where_nothing_is_stored_there_is_nothing(database: Repositories) -> None:
    assert beside_of(database.candles, KEY, OPENS, (ETH,)) is None
    database.candles.write(candles(KEY))
    assert beside_of(database.candles, KEY, OPENS, (BTC, ETH)) is None, "the own bars do not stand beside themselves"


def test_open_interest_counts_from_when_it_was_known_and_goes_stale(database: Repositories) -> None:
    t = int(CLOSES[10])
    database.candles.write_observations(observations(
        "metrics", (t - 300_000, t, {"open_interest": 5.0, "account_ratio": 2.0}),
        (t, t + 90_000, {"open_interest": 6.0}),
    ))  # fmt: skip
    hours = MINUTE * np.arange(100, 300, dtype=np.int64)
    beside = beside_of(database.candles, KEY, hours)
    interest, ratio = row(beside, "open_interest"), row(beside, "account_ratio")
    assert np.isnan(interest[:10]).all()
    assert interest[10:14].tolist() == [5.0, 5.0, 6.0, 6.0], "the second row is of the close of 10, and told in bar 12"
    last = 10 + METRICS_AGE_MS // MINUTE
    assert interest[last] == 6.0
    assert np.isnan(interest[last + 1 :]).all()
    assert ratio[12] == 2.0, "a row that tells a part does not hide what another told"
    assert np.isnan(ratio[last - 4 :]).all()
    assert np.isnan(row(beside, "mark_price")).all()


def test_a_late_arrival_changes_nothing_before_it(database: Repositories) -> None:
    t = int(CLOSES[30])
    before = observations("metrics", *((int(c), int(c), {"open_interest": float(c)}) for c in CLOSES[:30]))
    database.candles.write_observations(before)
    first = beside_of(database.candles, KEY, OPENS[:31])
    late = observations("metrics", (int(CLOSES[20]), t, {"open_interest": 7.0}), (int(CLOSES[25]) + 1, t + 1, {}))
    database.candles.write_observations(late)
    again = beside_of(database.candles, KEY, OPENS[:31])
    assert np.array_equal(row(first, "open_interest"), row(again, "open_interest"), equal_nan=True)
    assert row(again, "open_interest")[20] == float(CLOSES[20]), "what stood then, not what replaced it"


def test_mark_and_index_come_from_observations_else_from_candles_of_that_very_moment(database: Repositories) -> None:
    seen = observations("premium", (int(CLOSES[5]) - 1, int(CLOSES[5]), {"mark_price": 9.0}))
    database.candles.write_observations(seen)
    database.candles.write(candles(SeriesKey(KEY.exchange, BTC, "1m", "index")))
    quarter = SeriesKey(KEY.exchange, BTC, "5m", "mark")
    fives = OPENS[::5]
    close = np.arange(len(fives), dtype=np.float64) + 200.0
    database.candles.write(Frame.of(quarter, fives, close, close, close, close, close))
    beside = beside_of(database.candles, KEY, OPENS)
    mark, index = row(beside, "mark_price"), row(beside, "index_price")
    assert mark[4:7].tolist() == [200.0, 9.0, 9.0], "a candle of that moment, then what was told"
    assert mark[9] == mark[11] == 201.0
    assert np.isnan(mark[[7, 8, 12]]).all(), "told, or closed, over two minutes before"
    assert np.array_equal(index, 50.0 + np.arange(len(OPENS)))


def test_trades_count_in_their_bar_if_they_were_known_by_its_close(database: Repositories) -> None:
    t = int(OPENS[3])
    told = {"price": 100.0, "quantity": 2.0, "side": 1.0}
    database.candles.write_observations(observations(
        "trades", (t, t, told), (t + 1, t + 5, {**told, "quantity": 1.0, "side": -1.0}),
        (t + MINUTE - 1, t + MINUTE, told), (t + MINUTE - 1, t + MINUTE + 1, told), (t + MINUTE, t + MINUTE, told),
    ))  # fmt: skip
    beside = beside_of(database.candles, KEY, OPENS)
    bought, sold, count = (row(beside, name) for name in ("taker_buy", "taker_sell", "trades"))
    assert bought[3:5].tolist() == [4.0, 2.0]
    assert sold[3:5].tolist() == [1.0, 0.0]
    assert count[3:5].tolist() == [3.0, 1.0]
    assert np.isnan(bought[[2, 5]]).all(), "a bar without recorded trades was not watched"


def test_no_liquidation_is_zero_only_while_somebody_listened(database: Repositories) -> None:
    t = int(OPENS[3])
    database.candles.write_observations(observations(
        "liquidations", (t + 1, t + 2, {"price": 1.0, "quantity": 3.0, "side": -1.0}),
        (t + MINUTE, t + MINUTE, {"price": 1.0, "quantity": 5.0, "side": 1.0}),
    ))  # fmt: skip
    opens = MINUTE * np.arange(100, 2_000, dtype=np.int64)
    beside = beside_of(database.candles, KEY, opens)
    longs, shorts = row(beside, "liquidated_long"), row(beside, "liquidated_short")
    assert np.isnan(longs[:3]).all()
    assert longs[3:6].tolist() == [3.0, 0.0, 0.0]
    assert shorts[3:6].tolist() == [0.0, 5.0, 0.0]
    last = 3 + QUIET_MS // MINUTE
    assert longs[last] == 0.0
    assert np.isnan(longs[last + 1 :]).all()


def test_another_symbols_bar_of_the_same_moment_counts_unless_it_came_late(database: Repositories) -> None:
    known = CLOSES.copy()
    known[7] += LATE_MS
    known[8] += LATE_MS + 1
    marks = np.zeros(len(OPENS), dtype=np.uint8)
    marks[9] = BarMark.SUSPECT
    database.candles.write(candles(SeriesKey(KEY.exchange, ETH, "1m"), known, marks))
    beside = beside_of(database.candles, KEY, OPENS, (BTC, ETH, SOL))
    close = row(beside, "cross_1_close")
    assert close[5:8].tolist() == [55.0, 56.0, 57.0]
    assert np.isnan(close[8:10]).all()
    assert close[10] == 60.0
    assert np.isnan(row(beside, "cross_2_close")).all()
    assert cross_keys(database.candles, KEY, (SOL, BTC, ETH)) == (None, SeriesKey(KEY.exchange, ETH, "1m"))


def test_synthetic_bars_have_nothing_recorded_beside_them(database: Repositories) -> None:
    database.candles.write(candles(SeriesKey(KEY.exchange, ETH, "1m")))
    database.candles.write_observations(observations("metrics", (int(CLOSES[0]), int(CLOSES[0]), {"open_interest": 1})))
    assert beside_of(database.candles, SeriesKey(KEY.exchange, BTC, "1m", source="synthetic"), OPENS, (ETH,)) is None


def test_only_what_is_wanted_is_read(database: Repositories) -> None:
    database.candles.write(candles(SeriesKey(KEY.exchange, ETH, "1m")))
    database.candles.write_observations(observations("metrics", (int(CLOSES[0]), int(CLOSES[0]), {"open_interest": 1})))
    read: list[str] = []

    class Watched:
        series = staticmethod(database.candles.series)

        @staticmethod
        def read(key: SeriesKey, *span: int) -> Frame:
            read.append(key.kind)
            return database.candles.read(key, *span)

        @staticmethod
        def read_versions(key: SeriesKey, *span: int) -> Observations:
            read.append(key.kind)
            return database.candles.read_versions(key, *span)

    beside_of(Watched, KEY, OPENS, (ETH,), {"bid", "mark_price"})  # type: ignore[arg-type]
    assert read == []
    beside_of(Watched, KEY, OPENS, (ETH,), {"open_interest", "cross_1_close"})  # type: ignore[arg-type]
    assert read == ["metrics", "ohlcv"]


def test_bars_one_by_one_are_the_bars_together(database: Repositories) -> None:
    generator = np.random.default_rng(3)
    for kind in ("premium", "metrics", "trades", "liquidations", "book"):
        time = np.sort(generator.integers(int(OPENS[0]) - 200_000, int(CLOSES[-1]), 900))
        known = time + generator.choice([0, 20, 900, 70_000], len(time))
        values = np.exp(generator.normal(0, 1, (len(time), len(COLUMNS[kind]))))
        if kind in ("trades", "liquidations"):
            values[:, 2] = generator.choice([-1.0, 1.0], len(time))
        key = SeriesKey(KEY.exchange, BTC, TICK, kind)
        database.candles.write_observations(Observations.of(key, time, values, known, np.arange(len(time))))
    whole = beside_of(database.candles, KEY, OPENS)
    assert whole is not None
    for t in range(len(OPENS)):
        alone = beside_of(database.candles, KEY, OPENS[t : t + 1])
        assert alone is not None
        assert np.array_equal(alone.values[:, 0], whole.values[:, t], equal_nan=True)
    assert (np.isfinite(whole.values).sum(axis=1) > 5)[:18].all()


def test_rows_of_bars_that_it_does_not_hold_are_missing() -> None:
    beside = Beside(OPENS, np.ones((len(BESIDE), len(OPENS))))
    at = beside.at(np.array([OPENS[3], OPENS[-1] + MINUTE], dtype=np.int64))
    assert at[:, 0].tolist() == [1.0] * len(BESIDE)
    assert np.isnan(at[:, 1]).all()
    assert np.isnan(Beside.nothing(OPENS[:0]).at(OPENS)).all()


@pytest.mark.data
def test_a_recorded_session_gives_the_minutes_flow_and_the_book_at_their_closes(
    database: Repositories, shared_data: Path
) -> None:
    name = "orderbook/binance_usdm_btcusdt_20240808"
    raw = [shared_data / f"{name}_raw.jsonl.gz"]
    events = list(recorded_events(raw, recorder_offset_ms(raw)))
    prints = [e for e in events if isinstance(e, TradePrint)]
    tops = list(sampled([e for e in events if isinstance(e, BookDelta | BookSnapshot)], 1000, DepthSync(BTC)))
    database.candles.write_observations(trades_of(tick_key(KEY.exchange, BTC, "trades"), prints))
    database.candles.write_observations(books_of(tick_key(KEY.exchange, BTC, "book"), tops))
    minute = pd.Timestamp("2024-08-08 23:54", tz="UTC").value // 10**6
    opens = minute + MINUTE * np.arange(6, dtype=np.int64)
    beside = beside_of(database.candles, KEY, opens)

    table = pd.read_parquet(shared_data / f"{name}_trades.parquet")
    bar = (table["exch_ms"] - minute) // MINUTE
    bought = table["qty"].where(~table["buyer_is_maker"], 0.0).groupby(bar).sum()
    count = table.groupby(bar).size()
    late = 1.0 - row(beside, "trades")[:5] / count.to_numpy()[:5]
    assert (late >= 0).all() and (late < 0.02).all(), "a few trades of the last moment are told after the close"
    np.testing.assert_allclose(row(beside, "taker_buy")[:5], bought.to_numpy()[:5], rtol=0.05)

    ticker = pd.read_parquet(shared_data / f"{name}_bookticker.parquet")
    assert len(BOOK_COLUMNS) == 40
    assert np.isnan(row(beside, "bid")[3]), "the recorded diffs have a gap there: the book was 8 s old"
    for t in (1, 2, 4, 5):
        bid, ask = (row(beside, side)[t] for side in ("bid", "ask"))
        near = ticker[(ticker["exch_ms"] - int(opens[t]) - MINUTE).abs() < 2_500]
        assert bid < ask
        assert near["bid"].min() <= bid <= near["bid"].max()
        assert -1.0 <= row(beside, "imbalance_10")[t] <= 1.0
        assert bid <= row(beside, "microprice")[t] <= ask
