"""Observations in the database: one row for each ``(series, time, id)``, its numbers packed as 64-bit floats.

Packed, because the kinds differ in width (3 to 40 numbers) and a row is always read and written whole.
"""

from __future__ import annotations

import sqlite3

import numpy as np

from data.errors import UserError
from data.market import SeriesKey, WriteReport
from data.observations import COLUMNS, Observations
from data.row_matching import match_observations
from database.bulk import insert_columns
from database.revisions import Versions, pack_rows, supersede, unpack_rows, versions_as_of, where_stood
from database.series import count_in, find_series, series_id

INSERT = "INSERT OR REPLACE INTO observations (series, time, id, known_at, packed)"
SELECT = (
    "SELECT time, id, known_at, packed FROM observations WHERE series = ? AND time >= ? AND time < ? ORDER BY time, id"
)
FETCHED = 1000  # rows made into columns together: of many more, reading takes twice as long
SELECT_REPLACED = (
    "SELECT time, id, known_at, packed FROM superseded WHERE series = ? AND time >= ? AND time < ? ORDER BY number"
)


def check_observations(rows: Observations) -> None:
    """Refuse what cannot be stored.

    Raises:
        UserError: the kind has no columns, rows are not in order or repeated, or a number is infinite.
    """
    if rows.key.kind not in COLUMNS:
        raise UserError(f"Rows of kind '{rows.key.kind}' are no observations: use one of {', '.join(COLUMNS)}.")
    if rows.values.shape != (len(rows), len(rows.columns)):
        raise UserError(f"The rows of {rows.key} cannot be stored: {rows.values.shape} numbers for {len(rows)} times.")
    later = (np.diff(rows.time) > 0) | ((np.diff(rows.time) == 0) & (np.diff(rows.id) > 0))
    if not later.all():
        raise UserError(f"The rows of {rows.key} cannot be stored: their times and ids must rise without repeats.")
    if np.isinf(rows.values).any():
        row, column = np.argwhere(np.isinf(rows.values))[0]
        raise UserError(
            f"The rows of {rows.key} cannot be stored: {rows.columns[column]} at {rows.time[row]} ms is infinite."
        )


def write_observations(connection: sqlite3.Connection, rows: Observations) -> WriteReport:
    """Insert new rows, revise changed ones, leave equal ones (inside a write transaction)."""
    series = series_id(connection, rows.key)
    old = read_rows(connection, rows.key, series, int(rows.time[0]), int(rows.time[-1]) + 1)
    match = match_observations(old, rows)
    replaced, changed = match.replaced, match.changed
    versions = Versions(old.time[replaced], old.id[replaced], old.known_at[replaced], old.values[replaced])
    supersede(connection, series, versions)
    known_at = rows.known_at.copy()
    known_at[changed] = np.maximum(known_at[changed], versions.known_at)
    touched = np.concatenate([np.flatnonzero(match.fresh), changed]) if len(changed) else match.fresh
    columns = (rows.time[touched].tolist(), rows.id[touched].tolist(), known_at[touched].tolist())
    packed = pack_rows(match.values[touched])
    insert_columns(connection, INSERT, ([series] * len(packed), *columns, packed))
    inserted = int(np.count_nonzero(match.fresh))
    count_in(connection, series, inserted, int(rows.time[0]), int(rows.time[-1]))
    return WriteReport(len(rows), inserted, len(changed), len(rows) - inserted - len(changed))


def read_observations(
    connection: sqlite3.Connection, key: SeriesKey, low: int, high: int, as_of_ms: int | None
) -> Observations:
    """Rows with ``low <= time < high``, as they were known at ``as_of_ms`` where it is given."""
    series = find_series(connection, key)
    if series is None:
        return Observations.empty(key)
    rows = read_rows(connection, key, series, low, high)
    if as_of_ms is None or (rows.known_at <= as_of_ms).all():
        return rows
    old = versions_as_of(connection, series, low, high, as_of_ms, len(rows.columns))
    stood = where_stood(rows.time, rows.id, rows.known_at, as_of_ms, old)
    return Observations(
        key,
        np.concatenate([rows.time, old.time])[stood],
        np.concatenate([rows.id, old.id])[stood],
        np.concatenate([rows.known_at, old.known_at])[stood],
        np.concatenate([rows.values, old.values])[stood],
    )


def read_versions(connection: sqlite3.Connection, key: SeriesKey, low: int, high: int) -> Observations:
    """Present rows and all that they replaced, each ``(time, id)`` in the order in which it was written."""
    series = find_series(connection, key)
    if series is None:
        return Observations.empty(key)
    rows, old = read_rows(connection, key, series, low, high), Observations.empty(key)
    replaced = connection.execute(SELECT_REPLACED, (series, low, high)).fetchall()
    if replaced:
        old = _columns(key, replaced)
    parts = [np.concatenate([getattr(old, name), getattr(rows, name)]) for name in ("time", "id", "known_at")]
    order = np.lexsort((parts[1], parts[0]))  # stable: what was replaced stands before what took its place
    time, id, known_at = (part[order] for part in parts)
    return Observations(key, time, id, known_at, np.concatenate([old.values, rows.values])[order])


def read_rows(connection: sqlite3.Connection, key: SeriesKey, series: int, low: int, high: int) -> Observations:
    """The present rows of a series with ``low <= time < high``."""
    found = connection.execute(SELECT, (series, low, high))
    parts = [_columns(key, rows) for rows in iter(lambda: found.fetchmany(FETCHED), [])]
    if not parts:
        return Observations.empty(key)
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in ("time", "id", "known_at", "values"))
    return Observations(key, *columns)


def _columns(key: SeriesKey, rows: list[tuple[int, int, int, bytes]]) -> Observations:
    time, id, known_at, packed = zip(*rows, strict=True)
    values = unpack_rows(list(packed), len(COLUMNS[key.kind]))
    moments, ids, known = (np.array(column, dtype=np.int64) for column in (time, id, known_at))
    return Observations(key, moments, ids, known, values)
