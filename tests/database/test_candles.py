"""Stored bars: idempotent writes, half-open reads, and chunks that always say what the rows say."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import BarMark, Frame, FundingFrame, SeriesInfo, SeriesKey
from data.store import CandleStore
from data.timeframes import DAY_MS, TIMEFRAMES
from database.chunks import chunk_days
from database.connection import Database
from database.home import Home
from database.repositories import Repositories

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
DAY = 19_700 * DAY_MS
COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")


def bars(times: np.ndarray | list[int], seed: int = 0, key: SeriesKey = KEY) -> Frame:
    rng = np.random.default_rng(seed)
    at = np.asarray(times, dtype=np.int64)
    price = 100 + rng.normal(size=len(at))
    return Frame.of(key, at, price, price + 1, price - 1, price + 0.5, rng.random(len(at)))


def minutes(first: int, count: int) -> np.ndarray:
    return DAY + 60_000 * np.arange(first, first + count)


def assert_same(a: Frame, b: Frame) -> None:
    assert a.key == b.key
    for name in COLUMNS:
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert getattr(a, name).dtype == getattr(b, name).dtype, name


def drop_chunks(db: Database) -> None:
    db.write(lambda c: c.execute("DELETE FROM market_chunk"))


def test_the_store_is_what_the_data_floor_asks_for(db: Repositories) -> None:
    store: CandleStore = db.candles
    frame = bars(minutes(0, 3000))
    report = store.write(frame)
    assert (report.rows, report.inserted, report.revised, report.duplicates) == (3000, 3000, 0, 0)
    found = store.read(KEY)
    assert_same(found, frame)
    assert found.close.flags.writeable and found.close.flags.c_contiguous
    assert store.series() == [SeriesInfo(KEY, 3000, int(frame.open_time[0]), int(frame.open_time[-1]))]


def test_the_same_bars_again_are_duplicates_and_keep_their_first_known_time(db: Repositories) -> None:
    frame = bars(minutes(0, 100))
    db.candles.write(frame)
    late = Frame.of(KEY, *(getattr(frame, n) for n in COLUMNS[:6]), known_at=frame.known_at + 999)
    report = db.candles.write(late)
    assert (report.inserted, report.revised, report.duplicates) == (0, 0, 100)
    assert_same(db.candles.read(KEY), frame)


def test_a_changed_bar_is_revised_with_its_new_known_time_and_mark(db: Repositories) -> None:
    frame = bars(minutes(0, 2000))
    db.candles.write(frame)
    changed = frame.slice(700, 702)
    fixed = Frame.of(
        KEY, changed.open_time, changed.open, changed.high, changed.low, changed.close + np.array([0.0, 0.25]),
        changed.volume,
        changed.known_at + 5, np.full(2, BarMark.REPAIRED, dtype=np.uint8),
    )  # fmt: skip
    report = db.candles.write(fixed)
    assert (report.inserted, report.revised, report.duplicates) == (0, 2, 0)
    assert_same(db.candles.read(KEY).slice(700, 702), fixed)
    assert db.candles.series()[0].rows == 2000
    assert db.candles.verify_chunks() == []


WRITES = st.lists(st.tuples(st.integers(0, 2900), st.integers(1, 600), st.integers(0, 3)), min_size=1, max_size=6)


@given(writes=WRITES, span=st.tuples(st.integers(-10, 3600), st.integers(-10, 3600)))
@hypothesis_settings(max_examples=40)
def test_any_writes_give_the_last_word_on_each_bar(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[int, int, int]], span: tuple[int, int]
) -> None:
    """Against a plain dictionary: counts of each write, contents, half-open spans, chunks and rows alike."""
    truth: dict[int, tuple[float, ...]] = {}
    with Home(tmp_path_factory.mktemp("bars")).open() as db:
        for first, count, seed in writes:
            frame = bars(minutes(first, count), seed)
            rows = dict(
                zip(
                    frame.open_time.tolist(),
                    zip(*(getattr(frame, n).tolist() for n in COLUMNS), strict=True),
                    strict=True,
                )
            )
            new = sum(t not in truth for t in rows)
            revised = sum(t in truth and truth[t] != r for t, r in rows.items())
            report = db.candles.write(frame)
            assert (report.inserted, report.revised, report.duplicates) == (new, revised, count - new - revised)
            truth |= rows
        low, high = DAY + 60_000 * span[0], DAY + 60_000 * span[1]
        wanted = [truth[t] for t in sorted(truth) if low <= t < high]

        def check() -> None:
            found = db.candles.read(KEY, low, high)
            assert list(zip(*(getattr(found, n).tolist() for n in COLUMNS), strict=True)) == wanted
            tail = db.candles.tail(KEY, 70, high)
            assert tail.open_time.tolist() == [t for t in sorted(truth) if t < high][-70:]

        check()
        assert db.candles.verify_chunks() == []
        drop_chunks(db)
        check()
        db.candles.compact()
        check()
        assert db.candles.verify_chunks() == []


def test_bars_that_come_one_by_one_end_in_chunks_like_bars_at_once(db: Repositories) -> None:
    frame = bars(minutes(1400, 80))
    for k in range(len(frame)):
        db.candles.write(frame.slice(k, k + 1))
    assert_same(db.candles.read(KEY), frame)
    assert db.rows("SELECT rows FROM market_chunk ORDER BY day") == [(40,)]  # the day that ended has its chunk
    assert db.candles.compact() == 1
    assert_same(db.candles.read(KEY), frame)


@pytest.mark.parametrize("timeframe", TIMEFRAMES)
def test_every_timeframe_keeps_its_bars_in_chunks_of_a_sensible_size(db: Repositories, timeframe: str) -> None:
    key = SeriesKey("bybit", "ETH/USDT:USDT", timeframe)
    frame = bars(DAY + key.step_ms * np.arange(2_500), key=key)
    db.candles.write(frame)
    assert_same(db.candles.read(key), frame)
    assert_same(db.candles.read(key, int(frame.open_time[7]), int(frame.open_time[-3])), frame.slice(7, 2_497))
    assert chunk_days(key.step_ms) * DAY_MS // key.step_ms >= 96
    assert db.candles.verify_chunks() == []


def test_a_changed_row_or_chunk_is_named_by_the_check(db: Repositories) -> None:
    db.candles.write(bars(minutes(0, 3000)))
    db.write(lambda c: c.execute("UPDATE market_data SET close = close + 1 WHERE open_time = ?", (DAY + 60_000,)))
    (finding,) = db.candles.verify_chunks()
    assert (finding.series, finding.day, finding.what) == (KEY, 19_700, "close differ from the table")
    db.write(lambda c: c.execute("DELETE FROM market_data WHERE open_time = ?", (DAY + 60_000,)))
    assert "1440 bars, the table 1439" in db.candles.verify_chunks()[0].what
    db.write(lambda c: c.execute("UPDATE market_chunk SET blob = zeroblob(7) WHERE day = 19701"))
    assert "cut short" in db.candles.verify_chunks()[1].what


def test_series_of_different_source_or_kind_never_mix(db: Repositories) -> None:
    synthetic = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m", "ohlcv", "synthetic")
    mark = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m", "mark")
    for seed, key in enumerate((KEY, synthetic, mark)):
        db.candles.write(bars(minutes(0, 50), seed, key))
    for seed, key in enumerate((KEY, synthetic, mark)):
        assert_same(db.candles.read(key), bars(minutes(0, 50), seed, key))


def test_an_unknown_series_is_empty(db: Repositories) -> None:
    assert len(db.candles.read(KEY)) == len(db.candles.tail(KEY, 5)) == 0
    assert len(db.candles.read_funding("binanceusdm", "BTC/USDT:USDT", "exchange")) == 0
    assert db.candles.series() == []


@pytest.mark.parametrize("field", ["open", "volume"])
def test_numbers_that_are_not_finite_and_times_that_do_not_rise_are_refused(db: Repositories, field: str) -> None:
    frame = bars(minutes(0, 10))
    getattr(frame, field)[4] = np.nan
    with pytest.raises(UserError, match=f"{field} of the bar at {frame.open_time[4]}"):
        db.candles.write(frame)
    for times in ([3, 3], [4, 3]):
        with pytest.raises(UserError, match="rise"):
            db.candles.write(bars(times))
    assert db.candles.series() == []


def test_funding_is_idempotent_and_half_open(db: Repositories) -> None:
    times = DAY + 8 * 3_600_000 * np.arange(9)
    mark = np.where(np.arange(9) < 3, np.nan, 100.0)
    funding = FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", times, np.linspace(-1e-4, 1e-4, 9), mark)
    assert db.candles.write_funding(funding).inserted == 9
    again = db.candles.write_funding(funding)
    assert (again.inserted, again.revised, again.duplicates) == (0, 0, 9)
    changed = FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", times[:1], np.array([0.5]), mark[:1])
    assert db.candles.write_funding(changed).revised == 1
    found = db.candles.read_funding("binanceusdm", "BTC/USDT:USDT", "exchange", int(times[1]), int(times[4]))
    assert found.time.tolist() == times[1:4].tolist()
    assert np.array_equal(found.mark_price, mark[1:4], equal_nan=True)
    (info,) = db.candles.series()
    assert (info.key.kind, info.rows) == ("funding", 9)
    bad = FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", times[:1], np.array([np.inf]), mark[:1])
    with pytest.raises(UserError, match="finite"):
        db.candles.write_funding(bad)


def test_a_reader_sees_whole_writes_only_while_the_writer_works(db: Repositories) -> None:
    """Each write revises all bars to one price: no read may find two prices."""
    times = minutes(0, 2000)
    torn: list[int] = []
    started, stop = threading.Event(), threading.Event()

    def flat(price: float) -> Frame:
        column = np.full(len(times), price)
        return Frame.of(KEY, times, column, column, column, column, column)

    def watch() -> None:
        while not stop.is_set():
            found = db.candles.read(KEY)
            if len(found) != 2000 or len(np.unique(found.close)) != 1:
                torn.append(len(found))
            started.set()

    db.candles.write(flat(1.0))
    reader = threading.Thread(target=watch)
    reader.start()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(reader.join)
        cleanup.callback(stop.set)
        assert started.wait(10)
        for price in range(2, 12):
            db.candles.write(flat(float(price)))
    assert torn == []


def test_real_bars_come_back_as_they_were(db: Repositories, shared_data: Path) -> None:
    import pandas as pd

    table = pd.read_parquet(shared_data / "ohlcv" / "binance_um" / "1h" / "BTCUSDT-1h-20190908_20250602.parquet")
    times = table["timestamp"].dt.tz_convert(None).to_numpy().astype("datetime64[ms]").astype(np.int64)
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
    frame = Frame.of(key, times, *(table[n].to_numpy(dtype=float) for n in ("open", "high", "low", "close", "volume")))
    assert db.candles.write(frame).inserted == len(frame) > 40_000
    assert_same(db.candles.read(key), frame)
    assert db.candles.write(frame).duplicates == len(frame)


def test_features_are_kept_by_schema(db: Repositories) -> None:
    schema = FeatureSchema(("a", "b", "c"))
    times = minutes(100, 2000)
    x = np.random.default_rng(1).normal(size=(3, 2000))
    x[1, :5] = np.nan
    assert db.features.save(KEY, schema, times, x) == 2
    found_times, found = db.features.load(KEY, schema, int(times[5]), int(times[1500]))
    assert np.array_equal(found_times, times[5:1500])
    assert np.array_equal(found, x[:, 5:1500])
    assert db.features.load(KEY, FeatureSchema(("a", "b")))[1].shape == (2, 0)
    with pytest.raises(UserError, match="cannot be stored"):
        db.features.save(KEY, schema, times, x[:, 1:])
    assert db.features.forget(KEY) == 2
    assert len(db.features.load(KEY, schema)[0]) == 0
