"""Results of back-tests and sweeps that a person wants to see again: whole documents, the newest kept."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.clock import Clock
from data.errors import UserError
from database.connection import Database
from database.jsontext import canonical

KEPT = 200  # results; a long one takes about 0.3 MB


@dataclass(frozen=True, slots=True)
class ResultHead:
    """One result without its body. ``head``: what a list shows of it."""

    number: int
    kind: str  # backtest | sweep
    made_ms: int
    head: Mapping[str, Any]


class Backtests:
    """The ``backtests`` table. A result is written whole or not at all, and never changed."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def save(self, kind: str, head: Mapping[str, Any], body: Mapping[str, Any]) -> int:
        """Store a result in one transaction and give its number; beyond ``KEPT`` the oldest go. NaN becomes None."""
        text, packed = canonical(head), zlib.compress(canonical(body).encode(), 6)
        now = self._clock.now_ms()

        def work(connection: sqlite3.Connection) -> int:
            made = connection.execute(
                "INSERT INTO backtests (kind, made_ms, head, body) VALUES (?, ?, ?, ?)", (kind, now, text, packed)
            )
            connection.execute(
                "DELETE FROM backtests WHERE number NOT IN (SELECT number FROM backtests ORDER BY number DESC LIMIT ?)",
                (KEPT,),
            )
            return int(made.lastrowid or 0)

        return int(self._db.write(work, durable=True))

    def heads(self) -> list[ResultHead]:
        """Every stored result, the newest first."""
        rows = self._db.rows("SELECT number, kind, made_ms, head FROM backtests ORDER BY number DESC")
        return [ResultHead(int(number), str(kind), int(made), json.loads(head)) for number, kind, made, head in rows]

    def body(self, number: int) -> dict[str, Any]:
        """A result, whole.

        Raises:
            UserError: there is none of this number.
        """
        row = self._db.one("SELECT body FROM backtests WHERE number = ?", (number,))
        if row is None:
            raise UserError(f"There is no back-test {number}: it was put away, or only the newest {KEPT} are kept.")
        found: dict[str, Any] = json.loads(zlib.decompress(row[0]))
        return found

    def remove(self, number: int) -> None:
        """Put a result away.

        Raises:
            UserError: there is none of this number.
        """

        def work(connection: sqlite3.Connection) -> int:
            return connection.execute("DELETE FROM backtests WHERE number = ?", (number,)).rowcount

        if self._db.write(work) != 1:
            raise UserError(f"There is no back-test {number}: it was put away before.")
