"""The table of series: the number under which each one's rows stand, and how much of it there is."""

from __future__ import annotations

import sqlite3

from data.market import SeriesKey

FOREVER = 2**62


def find_series(connection: sqlite3.Connection, key: SeriesKey) -> int | None:
    """The number of a series, ``None`` if nothing of it was ever stored."""
    row = connection.execute(
        "SELECT id FROM series WHERE exchange = ? AND symbol = ? AND timeframe = ? AND kind = ? AND source = ?",
        (key.exchange, key.symbol, key.timeframe, key.kind, key.source),
    ).fetchone()
    return None if row is None else int(row[0])


def series_id(connection: sqlite3.Connection, key: SeriesKey) -> int:
    """The number of a series, made if it is new (inside a write transaction)."""
    found = find_series(connection, key)
    if found is None:
        connection.execute(
            "INSERT INTO series (exchange, symbol, timeframe, kind, source, rows) VALUES (?, ?, ?, ?, ?, 0)",
            (key.exchange, key.symbol, key.timeframe, key.kind, key.source),
        )
        found = find_series(connection, key)
        assert found is not None
    return found


def count_in(connection: sqlite3.Connection, series: int, inserted: int, first: int, last: int) -> None:
    """Add rows to a series' count and widen its span (inside a write transaction)."""
    connection.execute(
        "UPDATE series SET rows = rows + ?, first_ms = min(coalesce(first_ms, ?), ?), "
        "last_ms = max(coalesce(last_ms, ?), ?) WHERE id = ?",
        (inserted, first, first, last, last, series),
    )


def half_open(start_ms: int | None, end_ms: int | None) -> tuple[int, int]:
    """A span with its open ends filled in."""
    return -FOREVER if start_ms is None else start_ms, FOREVER if end_ms is None else end_ms
