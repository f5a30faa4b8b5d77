"""Chunks: the bars of one span of days as packed columns, the read cache of the rows in ``market_data``.

A chunk is written or deleted in the transaction that touches any row of its span, so it is never older than its rows.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from data.market import Float64Array, Int64Array, UInt8Array
from data.timeframes import DAY_MS

CHUNK_BARS = 1_440
MAX_CHUNK_DAYS = 512
SMALL_WRITE = 32  # fewer bars than this drop their chunk instead of rewriting it
PRICES = ("open", "high", "low", "close", "volume")
SELECT_ROWS = (
    "SELECT open_time, open, high, low, close, volume, known_at, mark FROM market_data "
    "WHERE series = ? AND open_time >= ? AND open_time < ? ORDER BY open_time"
)
ROW = np.dtype([("open_time", "<i8"), *((name, "<f8") for name in PRICES), ("known_at", "<i8"), ("mark", "u1")])


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Bars of any one series as columns (the order of ``Frame`` without the key)."""

    open_time: Int64Array
    open: Float64Array
    high: Float64Array
    low: Float64Array
    close: Float64Array
    volume: Float64Array
    known_at: Int64Array
    mark: UInt8Array

    def __len__(self) -> int:
        return len(self.open_time)

    def take(self, which: slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Columns:
        """The rows of ``which``."""
        return Columns(*(getattr(self, f.name)[which] for f in fields(self)))


def chunk_days(step_ms: int) -> int:
    """How many UTC days one chunk spans: 1 up to 15m bars, else the power of two that holds about a day's 1m bars."""
    if step_ms <= 15 * 60_000:
        return 1
    days = 1
    while days * (DAY_MS // step_ms) < CHUNK_BARS and days < MAX_CHUNK_DAYS:
        days *= 2
    return days


def refresh_chunks(
    connection: sqlite3.Connection, series: int, step: int, rows: Columns, touched: npt.NDArray[np.int64]
) -> None:
    days = chunk_days(step)
    width = days * DAY_MS
    numbers, counts = np.unique(touched, return_counts=True)
    starts = np.searchsorted(rows.open_time, numbers * width)
    stops = np.searchsorted(rows.open_time, (numbers + 1) * width)
    keep: list[tuple[int, int, int, bytes]] = []
    drop: list[tuple[int, int]] = []
    for number, count, start, stop in zip(*(a.tolist() for a in (numbers, counts, starts, stops)), strict=True):
        ends = int(rows.open_time[stop - 1]) + step >= (number + 1) * width
        if count >= SMALL_WRITE or count == stop - start or ends:
            keep.append((series, number * days, stop - start, pack(rows.take(slice(start, stop)))))
        else:
            drop.append((series, number * days))
    connection.executemany("INSERT OR REPLACE INTO market_chunk (series, day, rows, blob) VALUES (?, ?, ?, ?)", keep)
    connection.executemany("DELETE FROM market_chunk WHERE series = ? AND day = ?", drop)


def read_columns(connection: sqlite3.Connection, series: int, step: int, low: int, high: int) -> Columns:
    """Bars of ``low <= open_time < high``: whole chunks, and rows where a span has none."""
    days = chunk_days(step)
    width = days * DAY_MS
    first, last = low // width, -((-high) // width)
    parts: list[Columns] = []
    at = low
    for day, rows, blob in connection.execute(
        "SELECT day, rows, blob FROM market_chunk WHERE series = ? AND day >= ? AND day < ? ORDER BY day",
        (series, first * days, last * days),
    ):
        start = day * DAY_MS
        if start > at:
            parts.append(read_rows(connection, series, at, min(start, high)))
        parts.append(unpack(blob, rows))
        at = start + width
    if at < high:
        parts.append(read_rows(connection, series, at, high))
    whole = join_columns([p for p in parts if len(p)])
    left, right = np.searchsorted(whole.open_time, [low, high])
    return whole if (left, right) == (0, len(whole)) else whole.take(slice(int(left), int(right)))


def read_rows(connection: sqlite3.Connection, series: int, low: int, high: int) -> Columns:
    rows = connection.execute(SELECT_ROWS, (series, low, high)).fetchall()
    table = np.array(rows, dtype=ROW)
    return Columns(*(np.ascontiguousarray(table[f.name]) for f in fields(Columns)))


def join_columns(parts: list[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Columns(*(np.empty(0, dtype=ROW[f.name]) for f in fields(Columns)))
    return Columns(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Columns)))


def pack(rows: Columns) -> bytes:
    return b"".join(np.ascontiguousarray(getattr(rows, f.name), dtype=ROW[f.name]).tobytes() for f in fields(Columns))


def unpack(blob: bytes, rows: int) -> Columns:
    columns = []
    at = 0
    for f in fields(Columns):
        columns.append(np.frombuffer(blob, dtype=ROW[f.name], count=rows, offset=at))
        at += rows * ROW[f.name].itemsize
    return Columns(*columns)


def compare(connection: sqlite3.Connection, series: int, start: int, width: int, rows: int, blob: bytes) -> str:
    truth = read_rows(connection, series, start, start + width)
    if len(truth) != rows:
        return f"the chunk holds {rows} bars, the table {len(truth)}"
    if pack(truth) == blob or len(blob) != rows * ROW.itemsize:
        return "" if len(blob) == rows * ROW.itemsize else "the chunk is cut short"
    chunk = unpack(blob, rows)
    names = [f.name for f in fields(Columns) if not np.array_equal(getattr(truth, f.name), getattr(chunk, f.name))]
    return f"{', '.join(names)} differ from the table" if names else ""


def compact(connection: sqlite3.Connection, series: int, step: int) -> int:
    """Write the chunks that are missing; how many (inside a write transaction)."""
    days = chunk_days(step)
    width = days * DAY_MS
    missing = connection.execute(
        "SELECT DISTINCT open_time / ? FROM market_data WHERE series = ? EXCEPT "
        "SELECT day / ? FROM market_chunk WHERE series = ?",
        (width, series, days, series),
    ).fetchall()
    for (number,) in missing:
        rows = read_rows(connection, series, number * width, (number + 1) * width)
        connection.execute(
            "INSERT INTO market_chunk (series, day, rows, blob) VALUES (?, ?, ?, ?)",
            (series, number * days, len(rows), pack(rows)),
        )
    return len(missing)
