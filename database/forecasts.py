"""Stored walk-forward runs: forecasts made out of sample, and the model schedule that made them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai.forecast import WIDTH, ModelSchedule, ModelSwitch, widened
from data.errors import UserError
from data.market import Float64Array, Int64Array, SeriesKey
from database.connection import Database
from database.jsontext import canonical

PART_ROWS = 4_096
INFO = (
    "run_id, exchange, symbol, timeframe, kind, source, created_ms, from_ms, to_ms, rows, spec, result, schedule, "
    "member_names"
)


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A stored run without its rows."""

    run_id: str
    key: SeriesKey
    created_ms: int
    from_ms: int | None  # first forecast bar's open time; None = no rows
    to_ms: int | None  # last
    bars: int
    spec: Mapping[str, Any]  # what was asked for
    result: Mapping[str, Any]  # folds, overall, members, trading; NaN was stored as None
    schedule: ModelSchedule
    member_names: tuple[str, ...]

    @property
    def model_ids(self) -> tuple[str, ...]:
        """Models in the order that the rows' MODEL column counts: each once, by first use in the schedule."""
        return tuple(dict.fromkeys(switch.model_id for switch in self.schedule))


@dataclass(frozen=True, slots=True, eq=False)
class ForecastRun:
    """A run with its forecast rows."""

    info: RunInfo
    open_time: Int64Array  # [T]
    rows: Float64Array  # [T, WIDTH]


class Forecasts:
    """The ``forecasts`` table and its chunks of rows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def save(
        self, run_id: str, key: SeriesKey, created_ms: int, open_time: Int64Array, rows: Float64Array,
        schedule: ModelSchedule, member_names: tuple[str, ...], spec: Mapping[str, object],
        result: Mapping[str, object],
    ) -> RunInfo:  # fmt: skip
        """Store a run whole, in one transaction; one with the same id is replaced.

        Raises:
            UserError: the shapes do not fit or times do not rise.
        """
        if rows.shape != (len(open_time), WIDTH) or (len(open_time) > 1 and not (np.diff(open_time) > 0).all()):
            raise UserError(
                f"Forecasts of {key} cannot be stored: {rows.shape} values for {len(open_time)} rising times."
            )
        times, values = open_time.astype("<i8"), np.ascontiguousarray(rows, dtype="<f8")
        span = (int(times[0]), int(times[-1])) if len(times) else (None, None)
        head = (
            run_id, key.exchange, key.symbol, key.timeframe, key.kind, key.source, created_ms, *span, len(times),
            canonical(spec), canonical(result), canonical([[s.from_ms, s.model_id] for s in schedule]),
            canonical(member_names),
        )  # fmt: skip

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM forecast_chunk WHERE run_id = ?", (run_id,))
            connection.execute(f"INSERT OR REPLACE INTO forecasts ({INFO}) VALUES ({', '.join('?' * 14)})", head)
            for part, start in enumerate(range(0, len(times), PART_ROWS)):
                piece = slice(start, start + PART_ROWS)
                connection.execute(
                    "INSERT INTO forecast_chunk (run_id, part, rows, blob) VALUES (?, ?, ?, ?)",
                    (run_id, part, len(times[piece]), times[piece].tobytes() + values[piece].tobytes()),
                )

        self._db.write(work)
        return self.info(run_id)

    def runs(self, key: SeriesKey | None = None) -> list[RunInfo]:
        """Stored runs, newest first, of one series if named."""
        rows = self._db.rows(
            f"SELECT {INFO} FROM forecasts WHERE :symbol IS NULL OR (exchange = :exchange AND symbol = :symbol "
            "AND timeframe = :timeframe AND kind = :kind AND source = :source) ORDER BY created_ms DESC, rowid DESC",
            {"exchange": key and key.exchange, "symbol": key and key.symbol, "timeframe": key and key.timeframe,
             "kind": key and key.kind, "source": key and key.source},
        )  # fmt: skip
        return [_info(row) for row in rows]

    def newest(self, key: SeriesKey) -> RunInfo | None:
        """The newest run of a series."""
        found = self.runs(key)
        return found[0] if found else None

    def info(self, run_id: str) -> RunInfo:
        """A run without its rows.

        Raises:
            UserError: no such run.
        """
        row = self._db.one(f"SELECT {INFO} FROM forecasts WHERE run_id = ?", (run_id,))
        if row is None:
            known = ", ".join(r.run_id for r in self.runs()[:5]) or "none yet"
            raise UserError(f"There is no walk-forward run '{run_id}': stored are {known}.")
        return _info(row)

    def load(self, run_id: str) -> ForecastRun:
        """A run with its rows.

        Raises:
            UserError: no such run.
        """
        with self._db.snapshot() as connection:
            info = self.info(run_id)
            parts = connection.execute(
                "SELECT rows, blob FROM forecast_chunk WHERE run_id = ? ORDER BY part", (run_id,)
            ).fetchall()
        open_time, rows = np.empty(info.bars, dtype=np.int64), np.empty((info.bars, WIDTH))
        at = 0
        for n, blob in parts:
            open_time[at : at + n] = np.frombuffer(blob, dtype="<i8", count=n)
            rows[at : at + n] = widened(np.frombuffer(blob, dtype="<f8", offset=8 * n).reshape(n, -1))
            at += n
        return ForecastRun(info, open_time, rows)

    def delete(self, run_id: str) -> None:
        """Remove a run."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM forecast_chunk WHERE run_id = ?", (run_id,))
            connection.execute("DELETE FROM forecasts WHERE run_id = ?", (run_id,))

        self._db.write(work)


def _info(row: tuple[Any, ...]) -> RunInfo:
    schedule = tuple(ModelSwitch(int(at), model) for at, model in json.loads(row[12]))
    return RunInfo(
        row[0], SeriesKey(*row[1:6]), row[6], row[7], row[8], row[9], json.loads(row[10]), json.loads(row[11]),
        schedule, tuple(json.loads(row[13])),
    )  # fmt: skip
