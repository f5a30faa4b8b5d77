"""The trading rules that exchanges gave, as they were known at any moment."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from data.instruments import Instrument
from data.market import unified_symbol
from database.connection import Database
from database.jsontext import canonical

NEWEST = "SELECT rules FROM instrument_rules WHERE exchange = ? AND symbol = ? AND known_at <= ?"
LAST_FIRST = " ORDER BY known_at DESC LIMIT 1"
EVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class KnownRules:
    """The rules of one symbol, valid from ``known_at`` (ms UTC) until the next of the same symbol."""

    exchange: str
    known_at: int
    instrument: Instrument


class Instruments:
    """The ``instrument_rules`` table. A version stays; a change is a further one."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def write(self, exchange: str, instrument: Instrument, known_at: int) -> bool:
        """Store rules read at ``known_at`` (ms UTC), unless they were known by then; whether they are new."""
        text = canonical(instrument.document())

        def work(connection: sqlite3.Connection) -> bool:
            known = connection.execute(NEWEST + LAST_FIRST, (exchange, instrument.symbol, known_at)).fetchone()
            if known is not None and known[0] == text:
                return False
            connection.execute(
                "INSERT OR REPLACE INTO instrument_rules VALUES (?, ?, ?, ?)",
                (exchange, instrument.symbol, known_at, text),
            )
            return True

        return self._db.write(work)

    def newest(self, exchange: str, symbol: str, as_of_ms: int | None = None) -> Instrument | None:
        """The newest rules of a symbol (any spelling), or those known at ``as_of_ms``; ``None``: none are stored."""
        moment = EVER if as_of_ms is None else as_of_ms
        rows = self._db.rows(NEWEST + LAST_FIRST, (exchange, unified_symbol(symbol), moment))
        return Instrument.of(json.loads(rows[0][0])) if rows else None

    def all(self) -> tuple[KnownRules, ...]:
        """Every version, in order of exchange, symbol and time."""
        rows = self._db.rows(
            "SELECT exchange, known_at, rules FROM instrument_rules ORDER BY exchange, symbol, known_at"
        )
        return tuple(KnownRules(row[0], row[1], Instrument.of(json.loads(row[2]))) for row in rows)
