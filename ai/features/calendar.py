"""Hour of the day and day of the week (UTC, at the bar's close) as points on circles."""

from __future__ import annotations

import math

from ai.features.blocks import close_of
from ai.features.spec import FeatureSpec
from ai.features.window import MASK
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
def step_calendar(state: Float64Array, held: int, step_ms: int, out: Float64Array, at: int) -> None:
    """At the closes of the block's bars; weeks begin on Monday 00:00."""
    for k in range(held & MASK):
        close_time = close_of(state, held, step_ms, k)
        day = 2.0 * math.pi * (close_time % _DAY_MS) / _DAY_MS
        week = 2.0 * math.pi * ((close_time - _MONDAY_MS) % _WEEK_MS) / _WEEK_MS
        out[at, k], out[at + 1, k] = math.sin(day), math.cos(day)
        out[at + 2, k], out[at + 3, k] = math.sin(week), math.cos(week)
