"""Settings that a person changed while the program ran: one JSON value for each dotted key."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from data.clock import Clock
from database.audit import Audit, append_entry
from database.connection import Database
from database.jsontext import canonical


class Preferences:
    """The ``settings`` table. Whether a key exists and a value is in range is the application's to check."""

    def __init__(self, db: Database, audit: Audit, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._clock = clock

    def all(self) -> dict[str, Any]:
        """Every stored value by key, in order."""
        return {key: json.loads(value) for key, value in self._db.rows("SELECT key, value FROM settings ORDER BY key")}

    def get(self, key: str, default: Any = None) -> Any:
        """The stored value, or ``default`` where none is stored."""
        row = self._db.one("SELECT value FROM settings WHERE key = ?", (key,))
        return default if row is None else json.loads(row[0])

    def set(self, values: Mapping[str, object]) -> None:
        """Store all of ``values`` or none, durably, with one audit entry that says what they were before."""
        if not values:
            return
        now = self._clock.now_ms()

        def work(connection: sqlite3.Connection) -> Any:
            before = _stored(connection, tuple(values))
            connection.executemany(
                "INSERT OR REPLACE INTO settings (key, value, changed_ms) VALUES (?, ?, ?)",
                [(key, canonical(value), now) for key, value in values.items()],
            )
            return append_entry(connection, now, None, "settings", {"before": before, "after": dict(values)})

        self._audit.note_head(self._db.write(work, durable=True))

    def reset(self, key: str) -> bool:
        """Forget a stored value, so that file, environment and default hold again; whether there was one."""
        now = self._clock.now_ms()

        def work(connection: sqlite3.Connection) -> Any:
            before = _stored(connection, (key,))
            if not connection.execute("DELETE FROM settings WHERE key = ?", (key,)).rowcount:
                return None
            return append_entry(connection, now, None, "settings", {"before": before, "after": {}})

        head = self._db.write(work, durable=True)
        if head is not None:
            self._audit.note_head(head)
        return head is not None


def _stored(connection: sqlite3.Connection, keys: tuple[str, ...]) -> dict[str, Any]:
    marks = ", ".join("?" * len(keys))
    rows = connection.execute(f"SELECT key, value FROM settings WHERE key IN ({marks})", keys)
    return {key: json.loads(value) for key, value in rows}
