"""Schema 3: the newest data check of each series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

DATA_CHECKS = """
CREATE TABLE data_checks (
    series INTEGER PRIMARY KEY, checked_ms INTEGER NOT NULL, repaired INTEGER NOT NULL, findings TEXT NOT NULL
) STRICT
"""


def add_data_checks(db: sqlite_utils.Database) -> None:
    """Make the new table."""
    db.execute(DATA_CHECKS)
