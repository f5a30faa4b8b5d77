"""Which rows of one table another one holds already: new, changed, equal. The store and a dry run ask the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.market import Float64Array, Int64Array
from data.observations import Observations

# in these a number that a later source does not give leaves the one that is known: sources differ in what they tell
COMPLETED_KINDS = ("premium", "metrics")


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """How new rows meet old ones."""

    fresh: npt.NDArray[np.bool_]  # [new] not there yet
    changed: npt.NDArray[np.intp]  # rows of the new table that say something else …
    replaced: npt.NDArray[np.intp]  # … than these rows of the old one
    values: Float64Array  # [new, k] what is to stand


def match_observations(old: Observations, new: Observations) -> Match:
    """Rows of ``new`` against the stored ones of the same series, by ``(time, id)``; NaN equals NaN."""
    if not len(old):
        none = np.empty(0, dtype=np.intp)
        return Match(np.ones(len(new), dtype=np.bool_), none, none, new.values)
    rank, old_rank = ranks(new.time, new.id, old.time, old.id)
    at = np.minimum(np.searchsorted(old_rank, rank), len(old) - 1)
    known = old_rank[at] == rank
    both = np.flatnonzero(known)
    was, now = old.values[at[both]], new.values[both]
    values = new.values
    if new.key.kind in COMPLETED_KINDS:
        now = np.where(np.isnan(now), was, now)
        values = new.values.copy()
        values[both] = now
    changed = both[~equal_rows(was, now)]
    return Match(~known, changed, at[changed], values)


def equal_rows(one: Float64Array, other: Float64Array) -> npt.NDArray[np.bool_]:
    """Which rows ``[n, k]`` say the same; NaN equals NaN."""
    same: npt.NDArray[np.bool_] = ((one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)
    return same


def ranks(time: Int64Array, id: Int64Array, other_time: Int64Array, other_id: Int64Array) -> tuple[Int64Array, ...]:
    """Numbers that order the rows of two tables by ``(time, id)``; equal pairs have equal numbers."""
    times, ids = np.concatenate([time, other_time]), np.concatenate([id, other_id])
    order = np.lexsort((ids, times))
    fresh = np.zeros(len(order), dtype=np.int64)
    fresh[1:] = (np.diff(times[order]) != 0) | (np.diff(ids[order]) != 0)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.cumsum(fresh)
    return rank[: len(time)], rank[len(time) :]
