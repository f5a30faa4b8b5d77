"""The configurations that were tried on each series: ``ai.validation.trials.TrialLog`` in the database."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai.validation.trials import (
    Trial,
    by_day,
    configuration_text,
    known_number,
    trial_digest,
    unknown_trial,
    whole_days,
)
from data.clock import Clock
from data.market import Float64Array, SeriesKey
from database.connection import Database
from database.series import find_series, series_id

_OF_SERIES = (
    "series = (SELECT id FROM series WHERE exchange = ? AND symbol = ? AND timeframe = ? AND kind = ? AND source = ?)"
)
_COLUMNS = "kind, digest, configuration, begun_ms, ended_ms, score, sharpe, failure, first_day, daily"


@dataclass(frozen=True, slots=True)
class Searched:
    """The trials of one kind of search over one series, counted."""

    key: SeriesKey
    kind: str
    tried: int
    failed: int
    running: int  # begun and not ended
    best_sharpe: float | None  # per day, not annualised
    best_score: float | None
    newest_ms: int


class Trials:
    """The ``trials`` table. A trial is never taken out: that it was tried stays true."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def begin(self, key: SeriesKey, kind: str, configuration: Mapping[str, Any]) -> str:
        """As ``TrialLog.begin``."""
        return self.begin_all(key, kind, [configuration])[0]

    def begin_all(self, key: SeriesKey, kind: str, configurations: Sequence[Mapping[str, Any]]) -> list[str]:
        """:meth:`begin` of many in one transaction."""
        texts = [configuration_text(c) for c in configurations]
        digests = [trial_digest(kind, c) for c in configurations]
        now = self._clock.now_ms()

        def work(connection: sqlite3.Connection) -> None:
            series = series_id(connection, key)
            connection.executemany(
                "INSERT OR IGNORE INTO trials (series, digest, kind, configuration, begun_ms) VALUES (?, ?, ?, ?, ?)",
                [(series, digest, kind, text, now) for digest, text in zip(digests, texts, strict=True)],
            )

        self._db.write(work)
        return digests

    def finish(
        self, key: SeriesKey, digest: str, score: float | None, sharpe: float | None = None,
        daily: Mapping[int, float] | None = None,
    ) -> None:  # fmt: skip
        """As ``TrialLog.finish``."""
        first, values = whole_days(daily or {})
        packed = zlib.compress(values.astype("<f8").tobytes()) if len(values) else None
        self._end(
            key, digest, "ended_ms = ?, score = ?, sharpe = ?, first_day = ?, daily = ?, failure = NULL",
            (self._clock.now_ms(), known_number(score), known_number(sharpe), first if packed else None, packed),
        )  # fmt: skip

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
        return tuple(
            Trial(
                key,
                row[0],
                row[1],
                json.loads(row[2]),
                row[3],
                row[4],
                row[5],
                row[6],
                row[7],
                by_day(row[8] or 0, _returns(row[9])),
            )
            for row in rows
        )

    def summary(self) -> list[Searched]:
        """Every kind of search of every series, the newest first; without the days' returns, so it is quick."""
        rows = self._db.rows(
            "SELECT s.exchange, s.symbol, s.timeframe, s.kind, s.source, t.kind, count(*), "
            "sum(t.failure IS NOT NULL), sum(t.ended_ms IS NULL), max(t.sharpe), max(t.score), "
            "max(coalesce(t.ended_ms, t.begun_ms)) AS newest "
            "FROM trials t JOIN series s ON s.id = t.series GROUP BY t.series, t.kind ORDER BY newest DESC"
        )
        return [Searched(SeriesKey(*row[:5]), *row[5:]) for row in rows]


def _returns(packed: bytes | None) -> Float64Array:
    return np.frombuffer(zlib.decompress(packed), dtype="<f8") if packed else np.empty(0)
