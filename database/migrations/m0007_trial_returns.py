"""Schema 7: what a tried configuration returned on each day."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils


def add_trial_returns(db: sqlite_utils.Database) -> None:
    """``first_day``: UTC day number; ``daily``: little-endian float64 of that day and those after it, compressed."""
    db.execute("ALTER TABLE trials ADD COLUMN first_day INTEGER")
    db.execute("ALTER TABLE trials ADD COLUMN daily BLOB")
