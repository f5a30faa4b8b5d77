"""Schema 8: the forecasts that decisions were made on, as they were said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

SAID = """
CREATE TABLE said (
    account INTEGER NOT NULL, open_time INTEGER NOT NULL, symbol INTEGER NOT NULL, row BLOB NOT NULL,
    batch INTEGER NOT NULL, PRIMARY KEY (account, open_time, symbol)
) STRICT, WITHOUT ROWID
"""


def add_said(db: sqlite_utils.Database) -> None:
    """Make the new table."""
    db.execute(SAID)
