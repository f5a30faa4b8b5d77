"""Computed feature matrices, kept by series and feature schema in chunks of whole UTC days."""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import Float64Array, Int64Array, SeriesKey
from data.timeframes import DAY_MS
from database.chunks import chunk_days
from database.connection import Database
from database.series import FOREVER, series_id


class Features:
    """The ``feature_data`` table. It is a cache: what is missing can be computed again from the bars."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def save(self, key: SeriesKey, schema: FeatureSchema, open_time: Int64Array, x: Float64Array) -> int:
        """Store ``x[F, T]`` of the bars at ``open_time[T]``; chunks in that span are replaced. How many chunks.

        Raises:
            UserError: the shapes do not fit, or times do not rise.
        """
        if x.shape != (len(schema), len(open_time)) or (len(open_time) > 1 and not (np.diff(open_time) > 0).all()):
            raise UserError(f"Features of {key} cannot be stored: {x.shape} values for {len(open_time)} rising times.")
        if not len(open_time):
            return 0
        days = chunk_days(key.step_ms)
        numbers = open_time // (days * DAY_MS)
        cuts = np.flatnonzero(np.diff(numbers)) + 1
        spans = list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(open_time)], strict=True))
        names = json.dumps(schema.names)

        def work(connection: sqlite3.Connection) -> int:
            series = series_id(connection, key)
            connection.executemany(
                "INSERT OR REPLACE INTO feature_data (series, digest, day, first_ms, rows, names, blob) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    (series, schema.digest, int(numbers[a]) * days, int(open_time[a]), b - a, names,
                     open_time[a:b].astype("<i8").tobytes() + x[:, a:b].astype("<f8").tobytes())
                    for a, b in spans
                ),
            )  # fmt: skip
            return len(spans)

        return self._db.write(work)

    def load(
        self, key: SeriesKey, schema: FeatureSchema, start_ms: int | None = None, end_ms: int | None = None
    ) -> tuple[Int64Array, Float64Array]:
        """``open_time[T]`` and ``x[F, T]`` of what is stored with ``start_ms <= open_time < end_ms``."""
        low = -FOREVER if start_ms is None else start_ms
        high = FOREVER if end_ms is None else end_ms
        days = chunk_days(key.step_ms)
        rows = self._db.rows(
            "SELECT f.rows, f.blob FROM feature_data f JOIN series s ON s.id = f.series WHERE s.exchange = ? AND "
            "s.symbol = ? AND s.timeframe = ? AND s.kind = ? AND s.source = ? AND f.digest = ? "
            "AND f.day > ? AND f.day < ? ORDER BY f.day",
            (key.exchange, key.symbol, key.timeframe, key.kind, key.source, schema.digest,
             low // DAY_MS - days, -(-high // DAY_MS)),
        )  # fmt: skip
        times = [np.frombuffer(blob, dtype="<i8", count=n) for n, blob in rows]
        parts = [np.frombuffer(blob, dtype="<f8", offset=8 * n).reshape(len(schema), n) for n, blob in rows]
        if not rows:
            return np.empty(0, dtype=np.int64), np.empty((len(schema), 0))
        open_time, x = np.concatenate(times), np.concatenate(parts, axis=1)
        left, right = np.searchsorted(open_time, [low, high])
        return open_time[left:right], np.ascontiguousarray(x[:, left:right])

    def forget(self, key: SeriesKey) -> int:
        """Drop a series' features of every schema (its bars were revised); how many chunks."""

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(
                "DELETE FROM feature_data WHERE series = ?", (series_id(connection, key),)
            ).rowcount

        return self._db.write(work)
