"""The distance of neighbouring rows: which timeframe files hold, and where rows are missing."""

from __future__ import annotations

import numpy as np

from data.errors import UserError
from data.import_rows import Rows
from data.import_times import NO_TIME
from data.market import Int64Array, distinct_times
from data.quality_findings import Gap
from data.timeframes import MINUTE_MS, TIMEFRAMES


def timeframe_of(parts: list[Rows], rows: Rows, declared: str | None) -> str:
    """The timeframe by the most common distance of neighbours; it must agree with the request and between files.

    A file may be a scattered part of a series, so it alone contradicts only where nearly all its distances do.
    """
    whole = common_step(rows.time)
    if declared is None:
        if whole is None:
            raise UserError(f"{parts[0].tables[0].label} has too few rows to tell the timeframe: give --timeframe.")
        step = whole[0]
        found = next((name for name, ms in TIMEFRAMES.items() if ms == step), None)
        if found is None:
            raise UserError(
                f"{parts[0].tables[0].label} holds bars {step / MINUTE_MS:g} minutes apart; "
                f"the supported timeframes are {', '.join(TIMEFRAMES)}."
            )
        declared, reason = found, "others of the import hold"
    else:
        reason = "--timeframe says"
    for part, least_count, least_share in [*((p, 10, 0.9) for p in parts), (rows, 2, 0.5)]:
        step_and_share = common_step(part.time)
        if step_and_share is None:
            continue
        step, count, share = step_and_share
        if step != TIMEFRAMES[declared] and share > least_share and count >= least_count:
            name = next((n for n, ms in TIMEFRAMES.items() if ms == step), f"{step / MINUTE_MS:g}-minute")
            raise UserError(f"{part.tables[0].label} holds {name} bars, but {reason} {declared}.")
    return declared


def common_step(time: Int64Array) -> tuple[int, int, float] | None:
    """The most common distance of neighbouring times (ms), how often it comes, and its share."""
    steps = np.sort(np.diff(distinct_times(time[time != NO_TIME])))
    if not len(steps):
        return None
    starts = np.flatnonzero(np.diff(steps, prepend=0))
    counts = np.diff(starts, append=len(steps))
    best = int(np.argmax(counts))
    return int(steps[starts[best]]), int(counts[best]), float(counts[best] / len(steps))


def holes(time: Int64Array) -> list[Gap]:
    """Where rows that come at a regular distance are missing; times rise."""
    step_and_share = common_step(time)
    if step_and_share is None:
        return []
    step, distance = step_and_share[0], np.diff(time)
    return [
        Gap(int(time[row]) + step, int(time[row + 1]), round(int(distance[row]) / step) - 1)
        for row in np.flatnonzero(distance >= 1.5 * step)
    ]
