"""Schema 4: the trading rules of exchanges, each version with the moment from which it was known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite_utils

INSTRUMENT_RULES = """
CREATE TABLE instrument_rules (
    exchange TEXT NOT NULL, symbol TEXT NOT NULL, known_at INTEGER NOT NULL, rules TEXT NOT NULL,
    PRIMARY KEY (exchange, symbol, known_at)
) STRICT, WITHOUT ROWID
"""


def add_instrument_rules(db: sqlite_utils.Database) -> None:
    """Make the new table."""
    db.execute(INSTRUMENT_RULES)
