"""What stood in the store before it was revised, and how rows stood at an earlier moment.

A revised row moves here with the moment from which it had been known; the row that takes its place is never known
earlier than the one it replaces. So the versions of a row are in order of both writing and knowing, and the row known
at a moment is its newest version with ``known_at`` at or before it. Bars, settlements and observations share one
table: the numbers of a row are packed as 64-bit floats.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.market import Float64Array, Int64Array
from data.row_matching import ranks
from database.bulk import insert_columns

INSERT = "INSERT INTO superseded (series, time, id, known_at, packed)"
# the newest version known at the moment comes last of each (time, id)
SELECT = (
    "SELECT time, id, known_at, packed FROM superseded "
    "WHERE series = ? AND time >= ? AND time < ? AND known_at <= ? ORDER BY time, id, number"
)

FIRST = "SELECT time, id, known_at, packed FROM superseded WHERE series = ? AND time >= ? AND time < ? ORDER BY number"


@dataclass(frozen=True, slots=True, eq=False)
class Versions:
    """Rows of one series as they once stood: each ``(time, id)`` once, in order."""

    time: Int64Array  # [n]
    id: Int64Array  # [n]
    known_at: Int64Array  # [n]
    values: Float64Array  # [n, k]

    def __len__(self) -> int:
        return len(self.time)


def pack_rows(values: Float64Array) -> list[bytes]:
    """``values[n, k]`` as one little-endian blob for each row."""
    size = 8 * values.shape[1]
    whole = np.ascontiguousarray(values, dtype="<f8").tobytes()
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def unpack_rows(blobs: list[bytes], width: int) -> Float64Array:
    """The blobs of :func:`pack_rows` as ``[n, width]`` that owns its memory."""
    return np.frombuffer(b"".join(blobs), dtype="<f8").reshape(len(blobs), width).astype(np.float64)


def supersede(connection: sqlite3.Connection, series: int, rows: Versions) -> None:
    """Keep rows that are about to be replaced (inside a write transaction)."""
    if len(rows):
        columns = (rows.time.tolist(), rows.id.tolist(), rows.known_at.tolist(), pack_rows(rows.values))
        insert_columns(connection, INSERT, ([series] * len(rows), *columns))


def versions_as_of(
    connection: sqlite3.Connection, series: int, low: int, high: int, as_of_ms: int, width: int
) -> Versions:
    """The newest superseded version, known at ``as_of_ms``, of each row with ``low <= time < high``."""
    rows = connection.execute(SELECT, (series, low, high, as_of_ms)).fetchall()
    time, id, known_at = (np.array([row[k] for row in rows], dtype=np.int64) for k in range(3))
    newest = np.ones(len(rows), dtype=np.bool_)
    newest[:-1] = (np.diff(time) != 0) | (np.diff(id) != 0)
    values = unpack_rows([row[3] for row in rows], width)
    return Versions(time[newest], id[newest], known_at[newest], values[newest])


def first_versions(connection: sqlite3.Connection, series: int, low: int, high: int, width: int) -> Versions:
    """How each revised row with ``low <= time < high`` stood before its first revision."""
    first: dict[tuple[int, int], tuple[int, bytes]] = {}
    for time, id, known_at, packed in connection.execute(FIRST, (series, low, high)):
        first.setdefault((time, id), (known_at, packed))
    keys = sorted(first)
    time, id = (np.array([key[k] for key in keys], dtype=np.int64) for k in range(2))
    known_at = np.array([first[key][0] for key in keys], dtype=np.int64)
    return Versions(time, id, known_at, unpack_rows([first[key][1] for key in keys], width))


def where_stood(
    time: Int64Array, id: Int64Array, known_at: Int64Array, as_of_ms: int, old: Versions
) -> npt.NDArray[np.intp]:
    """Which rows of ``[present rows, old versions]``, one after the other, were known at a moment, in order of time.

    A version counts only where the present row was not yet known: else the present row had replaced it.
    """
    present = np.flatnonzero(known_at <= as_of_ms)
    rank, old_rank = ranks(time, id, old.time, old.id)
    replaced = np.isin(old_rank, rank[present])
    chosen = np.concatenate([present, len(time) + np.flatnonzero(~replaced)])
    order = np.argsort(np.concatenate([rank, old_rank])[chosen], kind="stable")
    return np.asarray(chosen[order], dtype=np.intp)
