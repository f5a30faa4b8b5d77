"""Hour of the day and day of the week (UTC, at the bar's close) as points on circles."""

from __future__ import annotations

import math

from ai.features.spec import FeatureSpec
from data.compiled import kernel_part
from data.market import Float64Array

_T = ("open_time",)
_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS
_MONDAY_MS = 4 * _DAY_MS  # 1970-01-05, the first Monday after the epoch (a Thursday)

CALENDAR: tuple[FeatureSpec, ...] = (
    FeatureSpec("hour_sin", "calendar", 1, "-1..1", "sine of the time of day", _T, "circle of 24 hours"),
    FeatureSpec("hour_cos", "calendar", 1, "-1..1", "cosine of the time of day", _T, "circle of 24 hours"),
    FeatureSpec("weekday_sin", "calendar", 1, "-1..1", "sine of the time of the week", _T, "circle of 7 days"),
    FeatureSpec("weekday_cos", "calendar", 1, "-1..1", "cosine of the time of the week", _T, "circle of 7 days"),
)


@kernel_part
def step_calendar(close_time: int, out: Float64Array, at: int) -> None:
    """``close_time`` in ms UTC; weeks begin on Monday 00:00."""
    day = 2.0 * math.pi * (close_time % _DAY_MS) / _DAY_MS
    week = 2.0 * math.pi * ((close_time - _MONDAY_MS) % _WEEK_MS) / _WEEK_MS
    out[at], out[at + 1], out[at + 2], out[at + 3] = math.sin(day), math.cos(day), math.sin(week), math.cos(week)
