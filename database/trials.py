"""The configurations that were tried on each series: ``ai.validation.trials.TrialLog`` in the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from ai.validation.trials import Trial, configuration_text, known_number, trial_digest, unknown_trial
from data.clock import Clock
from data.market import SeriesKey
from database.connection import Database
from database.series import find_series, series_id

_OF_SERIES = (
    "series = (SELECT id FROM series WHERE exchange = ? AND symbol = ? AND timeframe = ? AND kind = ? AND source = ?)"
)
_COLUMNS = "kind, digest, configuration, begun_ms, ended_ms, score, sharpe, failure"


class Trials:
    """The ``trials`` table. A trial is never taken out: that it was tried stays true."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def begin(self, key: SeriesKey, kind: str, configuration: Mapping[str, Any]) -> str:
        """As ``TrialLog.begin``."""
        digest = trial_digest(kind, configuration)
        row = (digest, kind, configuration_text(configuration), self._clock.now_ms())

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR IGNORE INTO trials (series, digest, kind, configuration, begun_ms) VALUES (?, ?, ?, ?, ?)",
                (series_id(connection, key), *row),
            )

        self._db.write(work)
        return digest

    def finish(self, key: SeriesKey, digest: str, score: float | None, sharpe: float | None = None) -> None:
        """As ``TrialLog.finish``."""
        values = (self._clock.now_ms(), known_number(score), known_number(sharpe))
        self._end(key, digest, "ended_ms = ?, score = ?, sharpe = ?, failure = NULL", values)

    def fail(self, key: SeriesKey, digest: str, why: str) -> None:
        """As ``TrialLog.fail``."""
        kept = "ended_ms IS NOT NULL AND failure IS NULL"  # it has a result from before
        self._end(
            key, digest, f"ended_ms = iif({kept}, ended_ms, ?), failure = iif({kept}, NULL, ?)",
            (self._clock.now_ms(), why),
        )  # fmt: skip

    def _end(self, key: SeriesKey, digest: str, change: str, values: tuple[Any, ...]) -> None:
        def work(connection: sqlite3.Connection) -> None:
            series = find_series(connection, key)
            done = connection.execute(
                f"UPDATE trials SET {change} WHERE series = ? AND digest = ?", (*values, series, digest)
            )
            if done.rowcount != 1:
                raise unknown_trial(key, digest)

        self._db.write(work)

    def of(self, key: SeriesKey, kind: str | None = None) -> tuple[Trial, ...]:
        """As ``TrialLog.of``."""
        place = (key.exchange, key.symbol, key.timeframe, key.kind, key.source)
        rows = self._db.rows(
            f"SELECT {_COLUMNS} FROM trials WHERE {_OF_SERIES} AND kind = coalesce(?, kind) ORDER BY number",
            (*place, kind),
        )
        return tuple(Trial(key, row[0], row[1], json.loads(row[2]), *row[3:]) for row in rows)
