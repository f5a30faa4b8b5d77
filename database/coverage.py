"""How much of a stored series is there, by stretches of time: read from the counts of chunks where they exist."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import numpy as np

from data.market import Float64Array, Int64Array, SeriesInfo
from data.timeframes import DAY_MS
from database.chunks import chunk_days
from database.connection import Database
from database.series import FOREVER, find_series

SAMPLE = 1000  # rows that tell the usual distance
TABLES = {"funding": "funding"}  # of kinds that are no bars; the others lie in ``observations``


class Coverage:
    """Counts of stored rows by stretches of time."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def shares(self, info: SeriesInfo, from_ms: int, to_ms: int, bins: int) -> Float64Array:
        """Share of the rows that are there ``[bins]``, over ``from_ms <= time < to_ms``.

        NaN in stretches before the first and after the last row. Series of events have no share: 1 where there are
        rows, NaN where not.
        """
        edges = np.linspace(from_ms, to_ms, bins + 1)
        by_day = info.key.holds_bars and chunk_days(info.key.step_ms) == 1 and edges[1] - edges[0] >= 2 * DAY_MS
        if by_day:  # the counts of chunks are those of whole days
            edges = np.round(edges / DAY_MS) * DAY_MS
        times, counts = self._counts(info, edges, by_day)
        held, _ = np.histogram(np.maximum(times, info.first_ms), bins=edges, weights=counts)
        step = self.step(info)
        if step is None:
            return np.where(held > 0, 1.0, np.nan)
        if edges[1] - edges[0] < 2 * step:
            return _held(times, step, edges, info)
        inside = np.minimum(edges[1:], info.last_ms + step) - np.maximum(edges[:-1], info.first_ms)
        due = np.maximum(0.0, inside) / step
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.minimum(1.0, held / due)
        share[(held >= np.floor(due) - 1) & (due > 1)] = 1.0  # a stretch does not begin and end on the grid
        share[due <= 0] = np.nan
        return np.asarray(share, dtype=np.float64)

    def missing(self, info: SeriesInfo) -> int | None:
        """Rows absent between the first and the last; ``None`` for kinds without a fixed step."""
        step = self.step(info)
        if step is None or info.key.kind == "funding":
            return None
        return max(0, (info.last_ms - info.first_ms) // step + 1 - info.rows)

    def step(self, info: SeriesInfo) -> int | None:
        """The usual distance of rows, ms; ``None`` for events.

        Settlements and metrics come as the exchange or a file has them: theirs is the most common distance of the
        newest rows.
        """
        key = info.key
        if key.holds_bars:
            return key.step_ms
        if key.kind not in ("funding", "metrics"):
            return None
        with self._db.snapshot() as connection:
            series = find_series(connection, key)
            rows = connection.execute(
                f"SELECT time FROM {TABLES.get(key.kind, 'observations')} WHERE series = ? ORDER BY time DESC LIMIT ?",
                (series, SAMPLE),
            ).fetchall()
        distance, count = np.unique(-np.diff(np.array(rows, dtype=np.int64).ravel()), return_counts=True)
        return int(distance[np.argmax(count)]) if len(distance) else None

    def _counts(self, info: SeriesInfo, edges: Float64Array, by_day: bool) -> tuple[Int64Array, Float64Array]:
        """Moments and how many rows stand for each."""
        start, width = int(edges[0]), max(1, int(edges[1] - edges[0]))
        bars = info.key.holds_bars
        with self._db.snapshot() as connection:
            series = find_series(connection, info.key)
            if series is None:
                return np.empty(0, dtype=np.int64), np.empty(0)
            if by_day:
                return _columns(_by_day(connection, series, info.first_ms))
            time = "open_time" if bars else "time"
            table = "market_data" if bars else TABLES.get(info.key.kind, "observations")
            return _columns(
                connection.execute(
                    f"SELECT min({time}), count(*) FROM {table} WHERE series = ? GROUP BY ({time} - ?) / ?",
                    (series, start, width),
                ).fetchall()
            )


def _held(times: Int64Array, step: int, edges: Float64Array, info: SeriesInfo) -> Float64Array:
    """Stretches hardly longer than a step: there if a row's own span reaches into them, else missing."""
    before = np.searchsorted(times, edges[1:], side="left") - 1
    reached = (before >= 0) & (times[np.maximum(before, 0)] + step > edges[:-1])
    share = np.where(reached, 1.0, 0.0)
    share[(edges[1:] <= info.first_ms) | (edges[:-1] >= info.last_ms + step)] = np.nan
    return share


def _columns(rows: Sequence[tuple[int, int]]) -> tuple[Int64Array, Float64Array]:
    table = np.array(rows, dtype=np.int64).reshape(len(rows), 2)
    return table[:, 0], table[:, 1].astype(np.float64)


def _by_day(connection: sqlite3.Connection, series: int, first_ms: int) -> list[tuple[int, int]]:
    """Rows by day: the counts of the chunks, and of the stretches that have none."""
    counts: list[tuple[int, int]] = []
    at = first_ms
    chunks = connection.execute("SELECT day, rows FROM market_chunk WHERE series = ? ORDER BY day", (series,))
    for day, rows in [*chunks.fetchall(), (FOREVER // DAY_MS, 0)]:
        start = day * DAY_MS
        if start > at:
            counts += connection.execute(
                "SELECT min(open_time), count(*) FROM market_data WHERE series = ? AND open_time >= ? "
                "AND open_time < ? GROUP BY open_time / ?",
                (series, at, start, DAY_MS),
            ).fetchall()
        counts.append((start, rows))
        at = start + DAY_MS
    return counts[:-1]
