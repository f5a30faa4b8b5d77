"""The newest data check of each series: when it was, what it found, what it repaired."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.market import SeriesKey
from database.connection import Database
from database.jsontext import canonical
from database.series import series_id

COLUMNS = "exchange, symbol, timeframe, kind, source, checked_ms, repaired, findings"


@dataclass(frozen=True, slots=True)
class DataCheck:
    """``findings`` are those of the ``quality`` command, in order of time."""

    key: SeriesKey
    checked_ms: int
    repaired: int
    findings: tuple[Mapping[str, Any], ...]


class DataChecks:
    """The ``data_checks`` table; a new check of a series takes the place of the one before."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def write(self, key: SeriesKey, checked_ms: int, repaired: int, findings: Sequence[Mapping[str, Any]]) -> None:
        """Store a check."""
        text = canonical(list(findings))

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO data_checks VALUES (?, ?, ?, ?)",
                (series_id(connection, key), checked_ms, repaired, text),
            )

        self._db.write(work)

    def all(self) -> dict[SeriesKey, DataCheck]:
        """Every series' newest check."""
        rows = self._db.rows(f"SELECT {COLUMNS} FROM data_checks JOIN series ON series.id = data_checks.series")
        checks = (DataCheck(SeriesKey(*row[:5]), row[5], row[6], tuple(json.loads(row[7]))) for row in rows)
        return {check.key: check for check in checks}
