"""Stored observations and revisions: idempotent writes, and the store as it was known at any moment."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from data.clock import ManualClock
from data.errors import UserError
from data.market import BarMark, Frame, FundingFrame, SeriesInfo, SeriesKey
from data.observations import COLUMNS, METRIC_COLUMNS, Observations
from data.point_in_time import join
from data.store import MarketStore
from database.home import Home
from database.migrations.runner import MIGRATIONS, migrate, schema_version
from database.repositories import Repositories

TRADES = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "trades")
METRICS = SeriesKey("binanceusdm", "BTC/USDT:USDT", "5m", "metrics")
HOURS = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
HOUR = 3_600_000
START = 1_704_067_200_000
FIELDS = ("time", "id", "known_at", "values")
BAR_FIELDS = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")


def trades(count: int, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    time = START + np.sort(rng.integers(0, 50 * count, count))
    values = np.column_stack([100 + rng.random(count), rng.random(count), rng.choice([-1.0, 1.0], count)])
    return Observations.of(TRADES, time, values, time + 40, np.arange(count))


def assert_same(a: Observations, b: Observations) -> None:
    assert a.key == b.key
    for name in FIELDS:
        assert np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True), name
        assert getattr(a, name).dtype == getattr(b, name).dtype, name


@pytest.mark.parametrize("kind", list(COLUMNS))
def test_rows_of_every_kind_come_back_as_they_were(db: Repositories, kind: str) -> None:
    store: MarketStore = db.candles
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", kind)
    rng = np.random.default_rng(1)
    values = rng.normal(size=(500, len(COLUMNS[kind])))
    values[rng.random(values.shape) < 0.2] = np.nan
    rows = Observations.of(key, START + np.repeat(np.arange(100), 5) * 1000, values, id=np.tile(np.arange(5), 100))
    report = store.write_observations(rows)
    assert (report.rows, report.inserted, report.revised, report.duplicates) == (500, 500, 0, 0)
    found = store.read_observations(key)
    assert_same(found, rows)
    assert found.values.flags.writeable and found.values.flags.c_contiguous
    assert store.series() == [SeriesInfo(key, 500, START, START + 99_000)]
    assert_same(store.read_observations(key, START + 3000, START + 7000), rows.between(START + 3000, START + 7000))


def test_the_same_rows_again_are_duplicates_and_keep_their_first_known_time(db: Repositories) -> None:
    rows = trades(300)
    db.candles.write_observations(rows)
    late = Observations(rows.key, rows.time, rows.id, rows.known_at + 999, rows.values)
    report = db.candles.write_observations(late)
    assert (report.inserted, report.revised, report.duplicates) == (0, 0, 300)
    assert_same(db.candles.read_observations(TRADES), rows)


def test_an_unknown_series_and_an_empty_write_give_no_rows(db: Repositories) -> None:
    assert len(db.candles.read_observations(TRADES)) == 0
    assert db.candles.write_observations(Observations.empty(TRADES)).rows == 0
    assert db.candles.series() == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (Observations(TRADES, *(np.array([5, 5]), np.array([1, 1]), np.array([5, 5])), np.ones((2, 3))), "must rise"),
        (Observations(TRADES, *(np.array([5, 5]), np.array([2, 1]), np.array([5, 5])), np.ones((2, 3))), "must rise"),
        (Observations(TRADES, *(np.array([5]),) * 3, np.array([[1, np.inf, 1]])), "quantity at 5 ms is infinite"),
        (Observations(HOURS, *(np.array([5]),) * 3, np.ones((1, 3))), "no observations"),
        (Observations(TRADES, *(np.array([5]),) * 3, np.ones((1, 4))), "4"),
    ],
)
def test_rows_that_cannot_be_right_are_refused(db: Repositories, rows: Observations, words: str) -> None:
    with pytest.raises(UserError, match=words):
        db.candles.write_observations(rows)
    assert db.candles.series() == []


def test_care_of_bars_passes_over_series_without_bars(db: Repositories) -> None:
    db.candles.write_observations(trades(10))
    db.candles.write_funding(FundingFrame("x", "BTC/USDT:USDT", "exchange", np.array([START]), np.ones(1), np.ones(1)))
    assert db.candles.verify_chunks() == []
    assert db.candles.compact() == 0


def test_a_suspect_mark_passes_through(db: Repositories) -> None:
    time = START + HOUR * np.arange(3)
    marks = np.array([0, BarMark.SUSPECT, 1], dtype=np.uint8)
    one = np.ones(3)
    db.candles.write(Frame.of(HOURS, time, one, one, one, one, one, mark=marks))
    assert db.candles.read(HOURS).mark.tolist() == [0, 3, 1]


# --- as it was known at a moment ------------------------------------------------------------------------------------

# a write: rows by number, each with a value and how late it was known
WRITES = st.lists(
    st.dictionaries(st.integers(0, 6), st.tuples(st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)
Version = tuple[float, int]


class Truth:
    """Every version of every row in order of writing; a version is never known before the one that it replaces."""

    def __init__(self) -> None:
        self.versions: dict[int, list[Version]] = {}

    def write(self, rows: dict[int, Version]) -> None:
        for number, (value, known) in rows.items():
            held = self.versions.setdefault(number, [])
            if not held:
                held.append((value, known))
            elif held[-1][0] != value:
                held.append((value, max(known, held[-1][1])))

    def as_of(self, moment: int) -> list[tuple[int, float, int]]:
        found = []
        for number in sorted(self.versions):
            known = [v for v in self.versions[number] if v[1] <= moment]
            if known:
                found.append((number, *known[-1]))
        return found


@given(writes=WRITES)
@hypothesis_settings(max_examples=40)
def test_any_writes_read_as_of_any_moment_give_what_was_known_then(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[int, Version]]
) -> None:
    """Observations, bars and settlements alike, against every version kept in a list."""
    truth = Truth()
    with Home(tmp_path_factory.mktemp("as-of")).open() as db:
        for rows in writes:
            truth.write({n: (float(v), START + HOUR * n + lag) for n, (v, lag) in rows.items()})
            numbers = np.array(sorted(rows))
            value = np.array([float(rows[n][0]) for n in numbers])
            known = START + HOUR * numbers + np.array([rows[n][1] for n in numbers])
            time = START + HOUR * numbers
            six = np.column_stack([value] * 6)
            db.candles.write_observations(Observations.of(METRICS, time, six, known, numbers % 2))
            db.candles.write(Frame.of(HOURS, time, *[value] * 5, known))
            db.candles.write_funding(FundingFrame("x", "BTC/USDT:USDT", "exchange", time, value, value, known))
        ends = {START + HOUR * n + lag for n in range(7) for lag in (-1, 0, 3, 10, 19, 20)}
        for moment in (*sorted(ends), None):
            wanted = truth.as_of(2**62 if moment is None else moment)
            seen = db.candles.read_observations(METRICS, as_of_ms=moment)
            bars = db.candles.read(HOURS, as_of_ms=moment)
            paid = db.candles.read_funding("x", "BTC/USDT:USDT", "exchange", as_of_ms=moment)
            for time, value, known in (
                (seen.time, seen.values[:, 5], seen.known_at),
                (bars.open_time, bars.volume, bars.known_at),
                (paid.time, paid.mark_price, paid.known_at),
            ):
                assert (
                    list(zip(((time - START) // HOUR).tolist(), value.tolist(), known.tolist(), strict=True)) == wanted
                )
        assert db.candles.verify_chunks() == []


@given(writes=WRITES)
@hypothesis_settings(max_examples=30)
def test_a_join_over_all_versions_gives_what_a_read_as_of_each_moment_ends_with(
    tmp_path_factory: pytest.TempPathFactory, writes: list[dict[int, Version]]
) -> None:
    rng = np.random.default_rng(0)
    with Home(tmp_path_factory.mktemp("join")).open() as db:
        for rows in writes:
            numbers = np.array(list(rows))
            rng.shuffle(numbers)
            values = np.array([[float(rows[n][0])] * 6 for n in numbers])
            known = START + np.array([n + rows[n][1] for n in numbers])
            db.candles.write_observations(Observations.of(METRICS, START + numbers, values, known))
        moments = START + np.arange(-1, 28)
        found = join(db.candles.read_versions(METRICS), moments, METRIC_COLUMNS)
        for moment, got in zip(moments.tolist(), found, strict=True):
            seen = db.candles.read_observations(METRICS, as_of_ms=moment)
            assert (seen.known_at <= moment).all()
            assert np.array_equal(got, seen.values[-1] if len(seen) else np.full(6, np.nan), equal_nan=True)


def test_a_repaired_bar_stands_as_it_was_until_its_repair_was_known(db: Repositories) -> None:
    time = START + HOUR * np.arange(50)
    one = np.ones(50)
    whole = Frame.of(HOURS, time, one, one, one, one, one)
    db.candles.write(whole)
    fetched = START + 100 * HOUR
    part = whole.slice(10, 12)
    two = np.full(2, 2.0)
    repaired = np.full(2, BarMark.REPAIRED, dtype=np.uint8)
    db.candles.write(Frame.of(HOURS, part.open_time, two, two, two, two, two, np.full(2, fetched), repaired))
    assert db.candles.read(HOURS).close.tolist() == [1.0] * 10 + [2.0] * 2 + [1.0] * 38
    before = db.candles.read(HOURS, as_of_ms=fetched - 1)
    for name in BAR_FIELDS:
        assert np.array_equal(getattr(before, name), getattr(whole, name)), name
        assert getattr(before, name).dtype == getattr(whole, name).dtype
    middle = db.candles.read(HOURS, START + 11 * HOUR, START + 13 * HOUR, as_of_ms=START + 12 * HOUR)
    assert (middle.open_time.tolist(), middle.close.tolist()) == ([START + 11 * HOUR], [1.0])
    again = np.full(2, 3.0)
    db.candles.write(Frame.of(HOURS, part.open_time, again, again, again, again, again, np.full(2, fetched + HOUR)))
    first = db.candles.read_first(HOURS)
    for name in BAR_FIELDS:
        assert np.array_equal(getattr(first, name), getattr(whole, name)), name
    assert len(db.candles.read_first(SeriesKey("x", "ADA/USDT:USDT", "1h"))) == 0


# --- a home of the first schema -------------------------------------------------------------------------------------


def test_a_home_of_schema_1_opens_and_keeps_everything(home: Home, clock: ManualClock) -> None:
    path = home.database_path
    migrate(path, clock, MIGRATIONS[:1])
    with closing(sqlite3.connect(path)) as old:
        add = "INSERT INTO series VALUES (?, 'binanceusdm', 'BTC/USDT:USDT', ?, ?, 'exchange', ?, ?, ?)"
        old.execute(add, (1, "1h", "ohlcv", 1, START, START))
        old.execute(add, (2, "8h", "funding", 2, START, START + 8 * HOUR))
        old.execute("INSERT INTO market_data VALUES (1, ?, 1, 2, 0.5, 1.5, 9, ?, 0)", (START, START + HOUR))
        old.executemany("INSERT INTO funding VALUES (2, ?, 0.0001, ?)", [(START, None), (START + 8 * HOUR, 99.0)])
        old.commit()
    with home.open() as db:
        assert home.migration is not None and home.migration.applied[0] == "observations"
        assert home.migration.backup is not None and schema_version(home.migration.backup) == 1
        assert [i.rows for i in db.candles.series()] == [1, 2]
        bar = db.candles.read(HOURS)
        assert [getattr(bar, n).tolist() for n in BAR_FIELDS] == [
            [START], [1.0], [2.0], [0.5], [1.5], [9.0], [START + HOUR], [0],
        ]  # fmt: skip
        funding = db.candles.read_funding("binanceusdm", "BTC/USDT:USDT", "exchange")
        assert funding.known_at.tolist() == funding.time.tolist() == [START, START + 8 * HOUR]
        assert np.array_equal(funding.mark_price, [np.nan, 99.0], equal_nan=True)
        assert db.candles.write_funding(funding).duplicates == 2
        assert db.candles.write_observations(trades(5)).inserted == 5
        assert db.integrity() == "ok"


def test_a_reader_sees_observations_of_a_home_that_another_writes(home: Home, tmp_path: Path) -> None:
    with home.open() as writer, home.open_reader() as reader:
        writer.candles.write_observations(trades(20))
        assert len(reader.candles.read_observations(TRADES)) == 20


def test_a_number_that_a_later_source_leaves_out_stays_known_where_sources_complete_each_other(
    db: Repositories,
) -> None:
    nan = np.nan
    first = np.array([[5.0, nan, nan, nan, 1.5, nan]])
    then = np.array([[nan, nan, nan, nan, 1.6, 0.9]])
    db.candles.write_observations(Observations.of(METRICS, np.array([START]), first))
    written = db.candles.write_observations(Observations.of(METRICS, np.array([START]), then))
    assert written.revised == 1
    assert np.array_equal(db.candles.read_observations(METRICS).values, [[5, nan, nan, nan, 1.6, 0.9]], equal_nan=True)
    assert db.candles.write_observations(Observations.of(METRICS, np.array([START]), then)).duplicates == 1


def test_a_level_that_left_the_book_is_gone(db: Repositories) -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "book")
    full, thin = np.ones((1, 40)), np.ones((1, 40))
    thin[0, 9] = np.nan
    db.candles.write_observations(Observations.of(key, np.array([START]), full))
    assert db.candles.write_observations(Observations.of(key, np.array([START]), thin)).revised == 1
    assert np.array_equal(db.candles.read_observations(key).values, thin, equal_nan=True)
