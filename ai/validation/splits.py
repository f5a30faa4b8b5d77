"""Walk-forward windows by calendar, from the first stored bar."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from data.errors import UserError
from data.market import Int64Array
from data.timeframes import DAY_MS

_UNITS = {"mo": "month", "y": "month", "d": "day", "w": "day", "b": "bar"}


@dataclass(frozen=True, slots=True)
class Duration:
    """A number of calendar months, days or bars."""

    count: int
    unit: str  # month, day or bar

    @classmethod
    def parse(cls, text: str) -> Duration:
        """``6mo``, ``1y``, ``30d``, ``2w`` or ``5000b``.

        Raises:
            UserError: another form, or zero.
        """
        found = re.fullmatch(r"\s*(\d{1,7})\s*(mo|y|d|w|b)\s*", text.lower())
        if not found or int(found[1]) == 0:
            raise UserError(f"'{text}' is no duration: write for example 6mo, 30d, 2w, 1y or 5000b (bars).")
        factor = {"y": 12, "w": 7}.get(found[2], 1)
        return cls(int(found[1]) * factor, _UNITS[found[2]])

    def __str__(self) -> str:
        return f"{self.count}{ {'month': 'mo', 'day': 'd', 'bar': 'b'}[self.unit] }"


@dataclass(frozen=True, slots=True)
class Window:
    """One fold. Times are ms UTC, half-open; rows are positions in the frame, half-open."""

    train_from: int
    train_to: int
    test_from: int
    test_to: int
    train_rows: tuple[int, int]
    test_rows: tuple[int, int]


def add_months(ms: int, months: int) -> int:
    """The same day and time ``months`` later; a day that the month does not have becomes its last."""
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    index = moment.year * 12 + moment.month - 1 + months
    year, month = divmod(index, 12)
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    rest = ms - round(moment.replace(microsecond=0).timestamp() * 1000)
    return round(moment.replace(year=year, month=month + 1, day=day, microsecond=0).timestamp() * 1000) + rest


def walk_forward_windows(
    open_time: Int64Array, step_ms: int, train: Duration, test: Duration, step: Duration, warmup: int = 0,
    anchored: bool = False,
) -> list[Window]:  # fmt: skip
    """Every fold whose test window is whole.

    Warm-up rows are left out of ``train_rows`` and shift no window. ``step`` may not be shorter than ``test``: a bar
    has one out-of-sample forecast. ``anchored``: every training window begins at the first bar and grows, where a
    rolling one keeps the length ``train``; the test windows are the same.

    Raises:
        UserError: ``step`` shorter than ``test``, bars mixed with calendar units, or too little data for one fold.
    """
    if len(open_time) == 0:
        raise UserError("There are no bars to walk over: import or download some first.")
    if len({d.unit == "bar" for d in (train, test, step)}) == 2:
        raise UserError("Give train, test and step all in bars or all in calendar units.")
    edges = _Edges(open_time, step_ms)
    windows: list[Window] = []
    while True:
        k = len(windows)
        train_from = edges.at(((step, 0 if anchored else k),))
        train_to = edges.at(((step, k), (train, 1)))
        test_to = edges.at(((step, k), (train, 1), (test, 1)))
        if edges.at(((step, k + 1),)) < edges.at(((step, k), (test, 1))):
            raise UserError(f"The step ({step}) is shorter than the test window ({test}): test windows would overlap.")
        if test_to > edges.end:
            break
        first, border, last = (int(r) for r in np.searchsorted(open_time, [train_from, train_to, test_to]))
        windows.append(
            Window(train_from, train_to, train_to, test_to, (min(max(first, warmup), border), border), (border, last))
        )
    if not windows:
        raise UserError(
            f"{len(open_time)} bars are too few for one fold of {train} training and {test} test: "
            "import more data or shorten the windows."
        )
    return windows


class _Edges:
    """Adds durations to the first bar's open time, months first, so that sums of months never lose a day."""

    def __init__(self, open_time: Int64Array, step_ms: int) -> None:
        self.times = open_time
        self.step_ms = step_ms
        self.end = int(open_time[-1]) + step_ms

    def at(self, parts: tuple[tuple[Duration, int], ...]) -> int:
        total = {"month": 0, "day": 0, "bar": 0}
        for duration, times in parts:
            total[duration.unit] += duration.count * times
        if total["bar"]:
            beyond = total["bar"] - len(self.times)
            return self.end + beyond * self.step_ms if beyond >= 0 else int(self.times[total["bar"]])
        return add_months(int(self.times[0]), total["month"]) + total["day"] * DAY_MS


def training_rows(window: Window, end: Int64Array, embargo: int = 0) -> Int64Array:
    """The training rows of a fold whose labels are known ``embargo`` bars and more before its first test bar.

    ``end`` is ``Labels.end`` over the whole frame; nothing of a training label lies in the test window.

    Raises:
        UserError: a negative embargo.
    """
    if embargo < 0:
        raise UserError(f"An embargo of {embargo} bars is negative: give 0 or more.")
    first, last = window.train_rows
    return first + np.flatnonzero(end[first:last] < window.test_rows[0] - embargo)
