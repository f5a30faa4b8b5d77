"""Walk-forward windows go by the calendar from the first bar."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from ai.validation.splits import Duration, add_months, walk_forward_windows
from data.errors import UserError

HOUR = 3_600_000


def ms(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


def bars(start: int, end: int, step: int = HOUR) -> np.ndarray:
    return np.arange(start, end, step, dtype=np.int64)


def months(train: int, test: int, step: int) -> tuple[Duration, Duration, Duration]:
    return Duration(train, "month"), Duration(test, "month"), Duration(step, "month")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("6mo", (6, "month")), ("1y", (12, "month")), ("30d", (30, "day")), ("2w", (14, "day")), ("5000b", (5000, "bar"))],
)
def test_durations_are_read(text, expected) -> None:
    assert (Duration.parse(text).count, Duration.parse(text).unit) == expected


@pytest.mark.parametrize("text", ["", "6", "mo", "0mo", "-1d", "1.5d", "6 months", "3x"])
def test_other_durations_are_refused_with_examples(text) -> None:
    with pytest.raises(UserError, match="is no duration: write for example 6mo"):
        Duration.parse(text)


def test_months_keep_the_day_or_take_the_last_one() -> None:
    assert add_months(ms(2020, 1, 31, 5), 1) == ms(2020, 2, 29, 5)
    assert add_months(ms(2020, 1, 31), 2) == ms(2020, 3, 31)
    assert add_months(ms(2019, 9, 8, 17), 66) == ms(2025, 3, 8, 17)


def test_windows_follow_one_another_and_the_last_one_is_whole() -> None:
    times = bars(ms(2020, 1, 31), ms(2021, 1, 15))
    windows = walk_forward_windows(times, HOUR, *months(6, 1, 1))
    assert windows[0].train_from == ms(2020, 1, 31)
    assert windows[0].test_from == ms(2020, 7, 31)
    assert [w.test_to for w in windows][:2] == [ms(2020, 8, 31), ms(2020, 9, 30)]
    for before, after in itertools.pairwise(windows):
        assert before.test_to == after.test_from
        assert before.test_rows[1] == after.test_rows[0]
    assert windows[-1].test_to == ms(2020, 12, 31)  # the next would need 31 January 2021
    for w in windows:
        assert w.train_rows[1] == w.test_rows[0]
        assert times[w.test_rows[0]] == w.test_from
        assert times[w.test_rows[1] - 1] == w.test_to - HOUR


def test_a_test_window_counts_from_the_bar_that_completes_it() -> None:
    start = ms(2020, 1, 1)
    exact = bars(start, ms(2020, 8, 1))
    assert len(walk_forward_windows(exact, HOUR, *months(6, 1, 1))) == 1
    with pytest.raises(UserError, match="too few for one fold"):
        walk_forward_windows(exact[:-1], HOUR, *months(6, 1, 1))


def test_warm_up_rows_leave_the_first_training_window_and_shift_nothing() -> None:
    times = bars(ms(2020, 1, 1), ms(2020, 10, 1))
    plain = walk_forward_windows(times, HOUR, *months(3, 1, 1))
    warmed = walk_forward_windows(times, HOUR, *months(3, 1, 1), warmup=900)
    assert warmed[0].train_rows == (900, plain[0].train_rows[1])
    assert warmed[1].train_rows == (900, plain[1].train_rows[1])  # the second starts at bar 744
    assert warmed[2:] == plain[2:]
    assert [w.test_rows for w in warmed] == [w.test_rows for w in plain]


def test_gaps_do_not_shift_windows() -> None:
    times = bars(ms(2020, 1, 1), ms(2020, 10, 1))
    holed = np.delete(times, slice(1000, 1400))
    assert [w.test_from for w in walk_forward_windows(holed, HOUR, *months(3, 1, 1))] == [
        w.test_from for w in walk_forward_windows(times, HOUR, *months(3, 1, 1))
    ]


def test_windows_in_bars_count_bars() -> None:
    times = bars(ms(2020, 1, 1), ms(2020, 3, 1))
    by_bar = Duration(500, "bar"), Duration(100, "bar"), Duration(100, "bar")
    windows = walk_forward_windows(times, HOUR, *by_bar)
    assert windows[1].train_rows == (100, 600)
    assert windows[1].test_rows == (600, 700)
    assert len(windows) == (len(times) - 500) // 100


def test_overlapping_test_windows_mixed_units_and_no_bars_are_refused() -> None:
    times = bars(ms(2020, 1, 1), ms(2020, 10, 1))
    with pytest.raises(UserError, match="shorter than the test window"):
        walk_forward_windows(times, HOUR, *months(3, 2, 1))
    with pytest.raises(UserError, match="all in bars or all in calendar"):
        walk_forward_windows(times, HOUR, Duration(500, "bar"), *months(1, 1, 1)[1:])
    with pytest.raises(UserError, match="no bars"):
        walk_forward_windows(times[:0], HOUR, *months(3, 1, 1))
