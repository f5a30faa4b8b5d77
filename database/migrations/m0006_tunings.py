"""Schema 6: what searches for hyper-parameters found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

TUNINGS = """
CREATE TABLE tunings (
    series INTEGER NOT NULL, profile TEXT NOT NULL, member TEXT NOT NULL, until_ms INTEGER NOT NULL,
    found_ms INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (series, profile, member, until_ms)
) STRICT
"""


def add_tunings(db: sqlite_utils.Database) -> None:
    """Make the new table."""
    db.execute(TUNINGS)
