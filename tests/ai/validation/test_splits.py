"""Walk-forward windows go by the calendar from the first bar."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import numpy as np
import pytest

from ai.validation.splits import Duration, add_months, training_rows, walk_forward_windows
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


def test_anchored_windows_grow_from_the_first_bar_and_test_the_same() -> None:
    times = bars(ms(2020, 1, 31), ms(2021, 1, 15))
    rolling = walk_forward_windows(times, HOUR, *months(6, 1, 1), warmup=100)
    anchored = walk_forward_windows(times, HOUR, *months(6, 1, 1), warmup=100, anchored=True)
    assert anchored[0] == rolling[0]
    assert {w.train_from for w in anchored} == {ms(2020, 1, 31)} and {w.train_rows[0] for w in anchored} == {100}
    assert [(w.train_to, w.test_rows) for w in anchored] == [(w.train_to, w.test_rows) for w in rolling]
    by_bar = walk_forward_windows(times, HOUR, *(Duration(n, "bar") for n in (500, 100, 100)), anchored=True)
    assert [w.train_rows for w in by_bar[:3]] == [(0, 500), (0, 600), (0, 700)]


@pytest.mark.parametrize("anchored", [False, True])
def test_windows_in_bars_are_those_of_scikit_learn(anchored) -> None:
    from sklearn.model_selection import TimeSeriesSplit

    times = bars(ms(2020, 1, 1), ms(2020, 1, 1) + 1000 * HOUR)
    windows = walk_forward_windows(times, HOUR, *(Duration(n, "bar") for n in (300, 50, 50)), anchored=anchored)
    split = TimeSeriesSplit(14, test_size=50, max_train_size=None if anchored else 300)
    for w, (train, test) in zip(windows, split.split(times), strict=True):
        assert (w.train_rows, w.test_rows) == ((train[0], train[-1] + 1), (test[0], test[-1] + 1))


def test_training_rows_end_before_the_test_and_the_embargo() -> None:
    times = bars(ms(2020, 1, 1), ms(2020, 1, 1) + 30 * HOUR)
    (window,) = walk_forward_windows(times, HOUR, *(Duration(n, "bar") for n in (20, 10, 10)), warmup=3)
    end = np.arange(30) + 4
    end[18] = 19  # touched its target at once
    assert training_rows(window, end).tolist() == [*range(3, 16), 18]
    assert training_rows(window, end, embargo=5).tolist() == list(range(3, 11))
    with pytest.raises(UserError, match="negative"):
        training_rows(window, end, -1)
