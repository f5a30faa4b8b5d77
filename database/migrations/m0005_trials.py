"""Schema 5: every configuration that was tried on a series."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

TRIALS = """
CREATE TABLE trials (
    series INTEGER NOT NULL, digest TEXT NOT NULL, kind TEXT NOT NULL, configuration TEXT NOT NULL,
    begun_ms INTEGER NOT NULL, ended_ms INTEGER, score REAL, sharpe REAL, failure TEXT,
    number INTEGER PRIMARY KEY, UNIQUE (series, digest)
) STRICT
"""


def add_trials(db: sqlite_utils.Database) -> None:
    """Make the new table; ``number`` counts in the order of begin."""
    db.execute(TRIALS)
