"""As-of joins: at a moment only rows that were known by then. The only way in which series are brought together.

A row speaks of a ``time`` and is known from ``known_at`` on; the two need not be in the same order (late arrivals,
revisions). What holds at a moment is the row with the greatest time among those known by then; of rows with equal
times the one that stands last in the table, so a table may hold several versions of a row in the order of writing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.market import Float64Array, Frame, Int64Array
from data.observations import Observations

BAR_COLUMNS = ("open", "high", "low", "close", "volume")


def rows_as_of(time: Int64Array, known_at: Int64Array, moments: Int64Array) -> Int64Array:
    """Which row holds at each moment: the index of the greatest ``time`` among rows with ``known_at <= moment``.

    Args:
        time, known_at: ``[R]`` ms UTC in any order; of equal times the later row stands.
        moments: ``[N]`` ms UTC in any order.

    Returns:
        ``[N]`` indices into the rows, -1 where none was known yet. O((R + N) log R).
    """
    rows = len(time)
    if _rises(time) and _rises(known_at):
        return np.searchsorted(known_at, moments, side="right") - 1
    by_time: Int64Array = np.argsort(time, kind="stable").astype(np.int64)
    if _rises(known_at[by_time]):
        latest, known = by_time, known_at[by_time]
    else:
        rank = np.empty(rows, dtype=np.int64)
        rank[by_time] = np.arange(rows)
        by_known = np.argsort(known_at, kind="stable")
        known = known_at[by_known]
        latest = by_time[np.maximum.accumulate(rank[by_known])]  # the greatest time known so far
    found = np.searchsorted(known, moments, side="right") - 1
    return np.append(latest, -1)[found].astype(np.int64)  # position -1 is the appended -1


def join(
    observations: Observations, moments: Int64Array, columns: Sequence[str], max_age_ms: int | None = None
) -> Float64Array:
    """Values ``[N, k]`` of ``columns`` as known at each of ``moments[N]``; NaN where no row was, or it was too old.

    A row is too old where it speaks of a time over ``max_age_ms`` before the moment.

    Raises:
        UserError: a column that the kind has not.
    """
    for name in columns:
        if name not in observations.columns:
            raise UserError(f"{observations.key} has no '{name}': use one of {', '.join(observations.columns)}.")
    values = observations.values[:, [observations.columns.index(name) for name in columns]]
    row = rows_as_of(observations.time, observations.known_at, moments)
    return _taken(values, observations.time, row, moments, max_age_ms)


def join_bars(
    frame: Frame, moments: Int64Array, columns: Sequence[str] = BAR_COLUMNS, max_age_ms: int | None = None
) -> Float64Array:
    """Values ``[N, k]`` of the newest bar known at each of ``moments[N]``, of any timeframe; NaN where none was.

    This is how bars of a longer timeframe reach a decision on a shorter one: the bar that is still open is never
    seen. A bar is too old where it closed over ``max_age_ms`` before the moment.

    Raises:
        UserError: a column that bars have not.
    """
    for name in columns:
        if name not in BAR_COLUMNS:
            raise UserError(f"Bars have no '{name}': use one of {', '.join(BAR_COLUMNS)}.")
    values = np.column_stack([getattr(frame, name) for name in columns])
    row = rows_as_of(frame.open_time, frame.known_at, moments)
    return _taken(values, frame.open_time + frame.key.step_ms, row, moments, max_age_ms)


def frame_as_of(frame: Frame, moment: int) -> Frame:
    """The bars known at ``moment`` (a view where they are the first ones)."""
    known = frame.known_at <= moment
    count = int(np.count_nonzero(known))
    if known[:count].all():
        return frame.slice(0, count)
    return Frame(
        frame.key, frame.open_time[known], frame.open[known], frame.high[known], frame.low[known], frame.close[known],
        frame.volume[known], frame.known_at[known], frame.mark[known],
    )  # fmt: skip


def _rises(times: Int64Array) -> bool:
    return bool((times[1:] >= times[:-1]).all())


def _taken(
    values: Float64Array, time: Int64Array, row: Int64Array, moments: Int64Array, max_age_ms: int | None
) -> Float64Array:
    if not len(time):
        return np.full((len(moments), values.shape[1]), np.nan)
    missing: npt.NDArray[np.bool_] = row < 0
    if max_age_ms is not None:
        missing |= moments - time[row] > max_age_ms
    out = np.take(values, row, axis=0)
    out[missing] = np.nan
    return out
