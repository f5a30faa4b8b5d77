"""Notable events of the program as rows, for the window and the command line."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from database.connection import Database
from database.jsontext import canonical


@dataclass(frozen=True, slots=True)
class LogRow:
    """One event; ``level`` as in the standard library (20 information, 30 warning, 40 error)."""

    at_ms: int
    level: int
    source: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0


class Logs:
    """The ``logs`` table; the oldest rows go when there are more than the settings keep."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def append(self, rows: Sequence[LogRow]) -> None:
        """Add rows in one transaction."""
        if not rows:
            return
        offered = [(r.at_ms, r.level, r.source, r.message, canonical(r.fields)) for r in rows]
        keep = self._db.storage.log_rows

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "INSERT INTO logs (at_ms, level, source, message, fields) VALUES (?, ?, ?, ?, ?)", offered
            )
            connection.execute("DELETE FROM logs WHERE id <= (SELECT max(id) FROM logs) - ?", (keep,))

        self._db.write(work)

    def newest(
        self, limit: int = 200, *, level: int = 0, source: str | None = None, text: str | None = None,
        start_ms: int | None = None, end_ms: int | None = None,
    ) -> list[LogRow]:  # fmt: skip
        """Rows, newest first; ``text`` is searched for in the message, whatever its case."""
        rows = self._db.rows(
            "SELECT at_ms, level, source, message, fields, id FROM logs WHERE level >= :level "
            "AND (:source IS NULL OR source = :source) "
            "AND (:text IS NULL OR instr(lower(message), lower(:text)) > 0) "
            "AND (:start IS NULL OR at_ms >= :start) AND (:end IS NULL OR at_ms < :end) ORDER BY id DESC LIMIT :limit",
            {"level": level, "source": source, "text": text, "start": start_ms, "end": end_ms, "limit": limit},
        )
        return [LogRow(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5]) for row in rows]
