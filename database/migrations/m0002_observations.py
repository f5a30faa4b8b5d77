"""Schema 2: observations, superseded versions of revised rows, and the moment at which a settlement was known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

OBSERVATIONS = """
CREATE TABLE observations (
    series INTEGER NOT NULL, time INTEGER NOT NULL, id INTEGER NOT NULL, known_at INTEGER NOT NULL,
    packed BLOB NOT NULL,
    PRIMARY KEY (series, time, id)
) STRICT, WITHOUT ROWID
"""
SUPERSEDED = """
CREATE TABLE superseded (
    number INTEGER PRIMARY KEY, series INTEGER NOT NULL, time INTEGER NOT NULL, id INTEGER NOT NULL,
    known_at INTEGER NOT NULL, packed BLOB NOT NULL
) STRICT
"""
FUNDING = """
CREATE TABLE funding_with_known_at (
    series INTEGER NOT NULL, time INTEGER NOT NULL, rate REAL NOT NULL, mark_price REAL, known_at INTEGER NOT NULL,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID
"""


def add_observations(db: sqlite_utils.Database) -> None:
    """Make the new tables; stored settlements count as known at their time."""
    db.execute(OBSERVATIONS)
    db.execute(SUPERSEDED)
    db.execute("CREATE INDEX superseded_rows ON superseded (series, time, id)")
    db.execute(FUNDING)
    db.execute("INSERT INTO funding_with_known_at SELECT series, time, rate, mark_price, time FROM funding")
    db.execute("DROP TABLE funding")
    db.execute("ALTER TABLE funding_with_known_at RENAME TO funding")
