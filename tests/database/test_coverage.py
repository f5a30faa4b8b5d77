"""Coverage of stored series: gaps are seen where they are, and whole series look whole."""

from __future__ import annotations

import numpy as np
import pytest

from data.market import Frame, FundingFrame, SeriesKey
from data.observations import Observations
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, timeframe_ms
from database.repositories import Repositories

START = 1_704_067_200_000 + 5 * HOUR_MS  # no midnight


def bars(timeframe: str, count: int, without: slice | None = None) -> Frame:
    step = timeframe_ms(timeframe)
    times = START // step * step + step * np.arange(count, dtype=np.int64)
    if without is not None:
        times = np.delete(times, without)
    ones = np.ones(len(times))
    return Frame.of(SeriesKey("binanceusdm", "BTC/USDT:USDT", timeframe), times, ones, ones, ones, ones, ones)


def shares(db: Repositories, frame: Frame, bins: int, before: int = 0, after: int = 0) -> np.ndarray:
    info = next(i for i in db.candles.series() if i.key == frame.key)
    end = info.last_ms + frame.key.step_ms
    return db.coverage.shares(info, info.first_ms - before, end + after, bins)


@pytest.mark.parametrize(("timeframe", "count"), [("1m", 20_000), ("15m", 60_000), ("1h", 9_000), ("1d", 900)])
@pytest.mark.parametrize("bins", [7, 120])
def test_a_whole_series_is_whole_in_every_stretch(db: Repositories, timeframe: str, count: int, bins: int) -> None:
    frame = bars(timeframe, count)
    db.candles.write(frame)
    assert (shares(db, frame, bins) == 1.0).all()


@pytest.mark.parametrize(("timeframe", "count"), [("1m", 40_000), ("15m", 60_000), ("1h", 9_000)])
def test_a_gap_shows_in_its_stretch_only(db: Repositories, timeframe: str, count: int) -> None:
    frame = bars(timeframe, count, slice(count // 2, count // 2 + count // 40))
    db.candles.write(frame)
    found = shares(db, frame, 60)
    hurt = np.flatnonzero(found < 1.0)
    assert len(hurt) and set(hurt) <= {29, 30, 31}
    info = next(i for i in db.candles.series())
    assert db.coverage.missing(info) == count // 40


def test_few_rows_fill_the_stretches_between_them(db: Repositories) -> None:
    eight = 8 * HOUR_MS
    times = START // eight * eight + eight * np.arange(10, dtype=np.int64)
    times = np.delete(times, 5)
    rates = np.full(len(times), 1e-4)
    db.candles.write_funding(FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", times, rates, rates))
    info = next(iter(db.candles.series()))
    found = db.coverage.shares(info, info.first_ms, info.last_ms + eight, 120)
    assert (found[:60] == 1.0).all() and (found[60:72] == 0.0).all() and (found[72:] == 1.0).all()


def test_nothing_is_said_of_the_time_before_and_after(db: Repositories) -> None:
    frame = bars("1m", 5_000)
    db.candles.write(frame)
    found = shares(db, frame, 30, before=5_000 * MINUTE_MS, after=5_000 * MINUTE_MS)
    assert np.isnan(found[:10]).all() and np.isnan(found[20:]).all()
    assert (found[10:20] == 1.0).all()


def test_bars_of_a_live_day_count_though_no_chunk_holds_them(db: Repositories) -> None:
    frame = bars("1m", 12 * 1440)
    db.candles.write(frame.slice(0, 10 * 1440))
    for at in range(10 * 1440, len(frame), 20):
        db.candles.write(frame.slice(at, at + 20))
    info = next(i for i in db.candles.series())
    found = db.coverage.shares(info, info.first_ms, info.last_ms + MINUTE_MS, 4)
    assert (found == 1.0).all()


def test_settlements_and_metrics_are_measured_by_their_own_rhythm(db: Repositories) -> None:
    hourly = START // HOUR_MS * HOUR_MS + HOUR_MS * np.arange(500, dtype=np.int64)
    hourly = np.delete(hourly, slice(100, 150))
    rates = np.full(len(hourly), 1e-4)
    db.candles.write_funding(FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", hourly, rates, rates))
    half = START + 30 * MINUTE_MS * np.arange(300, dtype=np.int64)
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "5m", "metrics")
    db.candles.write_observations(Observations.of(key, half, np.ones((300, 6))))
    funding, metrics = (next(i for i in db.candles.series() if i.key.kind == kind) for kind in ("funding", "metrics"))
    assert (db.coverage.step(funding), db.coverage.step(metrics)) == (HOUR_MS, 30 * MINUTE_MS)
    assert db.coverage.missing(metrics) == 0
    found = db.coverage.shares(funding, funding.first_ms, funding.last_ms + HOUR_MS, 10)
    assert (found < 1.0).tolist() == [i in (2,) for i in range(10)]


def test_events_are_there_or_not(db: Repositories) -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "tick", "trades")
    times = START + np.array([0, 1, 2, 3 * DAY_MS], dtype=np.int64)
    db.candles.write_observations(Observations.of(key, times, np.ones((4, 3)), id=np.arange(4, dtype=np.int64)))
    info = next(iter(db.candles.series()))
    found = db.coverage.shares(info, info.first_ms, info.last_ms + 1, 6)
    assert found[0] == found[-1] == 1.0 and np.isnan(found[1:-1]).all()
    assert db.coverage.missing(info) is None


def test_the_newest_check_of_a_series_takes_the_place_of_the_one_before(db: Repositories) -> None:
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
    db.checks.write(key, 10, 0, [{"kind": "gap", "level": "bad"}])
    db.checks.write(key, 20, 3, [])
    found = db.checks.all()
    assert list(found) == [key]
    assert (found[key].checked_ms, found[key].repaired, found[key].findings) == (20, 3, ())
