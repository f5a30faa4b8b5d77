"""As-of joins against their definition: nothing known later is ever seen, whatever the order of arrival."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import UserError
from data.market import Frame, SeriesKey
from data.observations import METRIC_COLUMNS, Observations
from data.point_in_time import frame_as_of, join, join_bars, rows_as_of

METRICS = SeriesKey("binanceusdm", "BTC/USDT:USDT", "5m", "metrics")
HOURS = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
HOUR = 3_600_000

# (time, known_at): few values, so that equal times, late arrivals and revisions come often
ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 15)), max_size=30)
MOMENTS = st.lists(st.integers(-2, 18), max_size=20)


def column(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def by_definition(rows: list[tuple[int, int]], moment: int) -> int:
    known = [(time, index) for index, (time, known_at) in enumerate(rows) if known_at <= moment]
    return max(known)[1] if known else -1


def metrics(rows: list[tuple[int, int]], values: np.ndarray) -> Observations:
    """A table with versions: rows of one time stand in order of writing."""
    order = np.argsort([t for t, _ in rows], kind="stable") if rows else np.empty(0, dtype=np.intp)
    time, known = column([t for t, _ in rows])[order], column([k for _, k in rows])[order]
    return Observations(METRICS, time, np.zeros(len(rows), dtype=np.int64), known, values[order])


@given(rows=ROWS, moments=MOMENTS)
@settings(max_examples=300)
def test_the_row_of_each_moment_is_the_one_of_the_definition(rows: list[tuple[int, int]], moments: list[int]) -> None:
    time, known_at = column([t for t, _ in rows]), column([k for _, k in rows])
    found = rows_as_of(time, known_at, column(moments))
    assert found.dtype == np.int64
    assert found.tolist() == [by_definition(rows, m) for m in moments]
    assert all(known_at[row] <= m for row, m in zip(found, moments, strict=True) if row >= 0)


@given(rows=ROWS, moment=st.integers(-2, 18), data=st.data())
@settings(max_examples=200)
def test_changing_what_is_known_later_changes_nothing_before(
    rows: list[tuple[int, int]], moment: int, data: st.DataObject
) -> None:
    """Rows known after the moment are dropped, altered, moved in time, or joined by others: no earlier join differs."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(rows), len(METRIC_COLUMNS)))
    moments = column(sorted(data.draw(st.lists(st.integers(-2, 18), min_size=1, max_size=10))))
    moments = moments[moments <= moment]
    before = join(metrics(rows, values), moments, METRIC_COLUMNS)
    other = data.draw(ROWS)
    kept = [i for i, (_, known) in enumerate(rows) if known <= moment]
    changed = [(data.draw(st.integers(0, 12)), known) for _, known in rows if known > moment]
    added = [(time, known + moment + 1) for time, known in other]
    mixed = [rows[i] for i in kept] + changed + added
    numbers = np.concatenate([values[kept], rng.normal(size=(len(changed) + len(added), len(METRIC_COLUMNS)))])
    assert np.array_equal(join(metrics(mixed, numbers), moments, METRIC_COLUMNS), before, equal_nan=True)


@given(rows=ROWS, moments=MOMENTS, age=st.integers(0, 8))
def test_a_join_gives_values_by_name_and_nothing_that_is_too_old(
    rows: list[tuple[int, int]], moments: list[int], age: int
) -> None:
    values = np.random.default_rng(0).normal(size=(len(rows), len(METRIC_COLUMNS)))
    table = metrics(rows, values)
    found = join(table, column(moments), ("taker_ratio", "open_interest"), age)
    assert found.shape == (len(moments), 2)
    ordered = list(zip(table.time.tolist(), table.known_at.tolist(), strict=True))
    for moment, got in zip(moments, found, strict=True):
        row = by_definition(ordered, moment)
        if row < 0 or moment - ordered[row][0] > age:
            assert np.isnan(got).all()
        else:
            assert got.tolist() == [table.values[row, 5], table.values[row, 0]]


def test_a_wrong_column_is_named() -> None:
    with pytest.raises(UserError, match="no 'price': use one of open_interest"):
        join(Observations.empty(METRICS), column([1]), ["price"])
    with pytest.raises(UserError, match="no 'mark'"):
        join_bars(Frame.empty(HOURS), column([1]), ["mark"])
    assert np.isnan(join(Observations.empty(METRICS), column([1, 2]), ["taker_ratio"], 5)).all()


def hours(count: int, late: dict[int, int]) -> Frame:
    time = HOUR * np.arange(count)
    close = np.arange(count, dtype=np.float64)
    known = time + HOUR
    for bar, lag in late.items():
        known[bar] += lag
    return Frame.of(HOURS, time, close, close + 1, close - 1, close, close, known)


def test_bars_of_a_longer_timeframe_are_seen_from_their_close_never_while_open() -> None:
    frame = hours(5, {2: 7})
    minute = 60_000
    moments = column([HOUR - 1, HOUR, 2 * HOUR - minute, 3 * HOUR + 6, 3 * HOUR + 7, 4 * HOUR, 99 * HOUR])
    assert join_bars(frame, moments, ["close"])[:, 0].tolist()[1:] == [0, 0, 1, 2, 3, 4]
    assert np.isnan(join_bars(frame, moments, ["close"])[0, 0])
    assert np.isnan(join_bars(frame, moments, ["close"], 10 * HOUR)[-1, 0])


@given(late=st.dictionaries(st.integers(0, 9), st.integers(0, 5 * HOUR), max_size=5), moment=st.integers(0, 12 * HOUR))
def test_a_frame_as_of_a_moment_holds_just_the_bars_known_by_then(late: dict[int, int], moment: int) -> None:
    frame = hours(10, late)
    seen = frame_as_of(frame, moment)
    assert seen.open_time.tolist() == [t for t, k in zip(frame.open_time, frame.known_at, strict=True) if k <= moment]
    assert (seen.known_at <= moment).all()
    assert np.array_equal(seen.close, frame.close[frame.known_at <= moment])
