"""The parameters that searches found for the members of each series and exit profile."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from ai.tuned import TunedMember
from data.market import SeriesKey
from database.connection import Database
from database.jsontext import canonical
from database.series import series_id

_OF_SERIES = (
    "series = (SELECT id FROM series WHERE exchange = ? AND symbol = ? AND timeframe = ? AND kind = ? AND source = ?)"
)


class Tunings:
    """The ``tunings`` table. Searches on other spans stand side by side; the same span again replaces its own."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def save(self, key: SeriesKey, found: Sequence[TunedMember]) -> None:
        """Store what a search found, all of it or nothing."""

        def work(connection: sqlite3.Connection) -> None:
            series = series_id(connection, key)
            connection.executemany(
                "INSERT OR REPLACE INTO tunings VALUES (?, ?, ?, ?, ?, ?)",
                [(series, t.profile, t.member, t.until_ms, t.found_ms, canonical(t.as_dict())) for t in found],
            )

        self._db.write(work, durable=True)

    def of(self, key: SeriesKey, profile: str | None = None) -> tuple[TunedMember, ...]:
        """Everything that was found for a series, the newest first; of one exit profile, or of all."""
        rows = self._db.rows(
            f"SELECT body FROM tunings WHERE {_OF_SERIES} AND profile = coalesce(?, profile) "
            "ORDER BY found_ms DESC, until_ms DESC, member",
            (key.exchange, key.symbol, key.timeframe, key.kind, key.source, profile),
        )
        return tuple(TunedMember(**json.loads(body)) for (body,) in rows)
