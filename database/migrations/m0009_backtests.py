"""Schema 9: back-tests and sweeps that were started from the window."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

BACKTESTS = """
CREATE TABLE backtests (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, made_ms INTEGER NOT NULL, head TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT
"""


def add_backtests(db: sqlite_utils.Database) -> None:
    """Make the new table. ``AUTOINCREMENT``: the number of a result that was put away is never given again."""
    db.execute(BACKTESTS)
