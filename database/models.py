"""The registry of trained models: what each is, how it scored, and which one makes the forecasts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from data.clock import Clock
from data.errors import UserError
from data.market import SeriesKey
from database.audit import Audit, AuditHead, append_entry
from database.connection import Database
from database.jsontext import canonical

CANDIDATE, PROMOTED, RETIRED = "candidate", "promoted", "retired"
OVERALL = -1  # the fold number of metrics over all folds
COLUMNS = (
    "model_id, kind, exchange, symbol, timeframe, source, profile, from_ms, to_ms, features, params, seed, scores, "
    "code_version, path, sha256, state, created_ms, promoted_ms"
)
SAME_DESK = "exchange = ? AND symbol = ? AND timeframe = ? AND source = ?"  # one promoted model for each of these


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One registered model."""

    model_id: str
    kind: str  # ensemble | logistic | xgboost | lightgbm | …
    key: SeriesKey  # the bars it was trained on
    profile: str  # exit profile of its labels
    from_ms: int  # training span, half-open on open time
    to_ms: int
    features: str  # digest of the feature schema
    params: Mapping[str, Any]
    seed: int
    scores: Mapping[str, Any]  # keys of DEFINITIONS; None = not defined
    code_version: str
    path: str  # folder of the files, relative to the home's models/
    sha256: str  # of the files' manifest
    created_ms: int
    state: str = CANDIDATE
    promoted_ms: int | None = None

    @property
    def audit(self) -> Mapping[str, Any]:
        """What the leak audit of these very files found; empty where none was made."""
        found = self.scores.get("audit") or {}
        return found if found.get("digest") == self.sha256 else {}

    @property
    def audited(self) -> bool:
        """Whether its leak audit has passed."""
        return bool(self.audit.get("passed"))


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One score of a model or a walk-forward run. ``fold`` is OVERALL for all folds together."""

    owner: str
    fold: int
    name: str
    value: float | None = field(default=None)


class Models:
    """The ``models`` and ``model_metrics`` tables."""

    def __init__(self, db: Database, audit: Audit, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._clock = clock

    def register(self, row: ModelRow) -> None:
        """Add a model.

        Raises:
            UserError: its id is taken.
        """
        values = (
            row.model_id, row.kind, row.key.exchange, row.key.symbol, row.key.timeframe, row.key.source, row.profile,
            row.from_ms, row.to_ms, row.features, canonical(row.params), row.seed, canonical(row.scores),
            row.code_version, row.path, row.sha256, row.state, row.created_ms, row.promoted_ms,
        )  # fmt: skip

        def work(connection: sqlite3.Connection) -> AuditHead:
            if connection.execute("SELECT 1 FROM models WHERE model_id = ?", (row.model_id,)).fetchone():
                raise UserError(f"A model '{row.model_id}' is registered already: train again or use that one.")
            connection.execute(f"INSERT INTO models ({COLUMNS}) VALUES ({', '.join('?' * 19)})", values)
            body = {"model_id": row.model_id, "sha256": row.sha256}
            return append_entry(connection, self._clock.now_ms(), None, "model_registered", body)

        self._write(work)

    def all(self, key: SeriesKey | None = None, state: str | None = None) -> list[ModelRow]:
        """Models, newest first, of one series and one state if named."""
        rows = self._db.rows(
            f"SELECT {COLUMNS} FROM models WHERE (:state IS NULL OR state = :state) AND (:symbol IS NULL OR "
            "(exchange = :exchange AND symbol = :symbol AND timeframe = :timeframe AND source = :source)) "
            "ORDER BY created_ms DESC, model_id",
            {"state": state, "exchange": key and key.exchange, "symbol": key and key.symbol,
             "timeframe": key and key.timeframe, "source": key and key.source},
        )  # fmt: skip
        return [_model(row) for row in rows]

    def get(self, model_id: str) -> ModelRow:
        """One model.

        Raises:
            UserError: no such model.
        """
        row = self._db.one(f"SELECT {COLUMNS} FROM models WHERE model_id = ?", (model_id,))
        if row is None:
            raise UserError(f"There is no model '{model_id}': 'models list' shows the registry.")
        return _model(row)

    def promoted(self, key: SeriesKey) -> ModelRow | None:
        """The model that makes this series' forecasts."""
        found = self.all(key, PROMOTED)
        return found[0] if found else None

    def store_audit(self, model_id: str, found: Mapping[str, Any]) -> ModelRow:
        """Keep what the leak audit of a model found (``passed``, ``digest`` and more) with it.

        Raises:
            UserError: no such model.
        """
        row = self.get(model_id)
        scores = canonical({**row.scores, "audit": dict(found)})

        def work(connection: sqlite3.Connection) -> AuditHead:
            connection.execute("UPDATE models SET scores = ? WHERE model_id = ?", (scores, model_id))
            body = {"model_id": model_id, "passed": bool(found.get("passed")), "sha256": found.get("digest")}
            return append_entry(connection, self._clock.now_ms(), None, "model_audited", body)

        self._write(work)
        return self.get(model_id)

    def promote(self, model_id: str) -> ModelRow:
        """Let this model make its series' forecasts; the one before retires.

        Raises:
            UserError: no such model, or its leak audit has not passed.
        """
        row = self.get(model_id)
        require_audit(row)

        def work(connection: sqlite3.Connection) -> AuditHead:
            before = _promoted_id(connection, row.key)
            if before != model_id:
                _turn(connection, before, model_id, _next_moment(connection, row.key, self._clock.now_ms()))
            body = {"model_id": model_id, "before": before}
            return append_entry(connection, self._clock.now_ms(), None, "model_promoted", body)

        self._write(work)
        return self.get(model_id)

    def rollback(self, key: SeriesKey | None = None) -> ModelRow:
        """Return to the newest model that was promoted before the present one of this series and whose leak audit has
        passed (default: the series whose model was promoted last).

        Raises:
            UserError: there is none.
        """
        chosen = key or self._last_promoted_key()
        sound = {row.model_id for row in self.all(chosen) if row.audited}

        def work(connection: sqlite3.Connection) -> tuple[str, AuditHead]:
            present = _promoted_id(connection, chosen) if chosen else None
            earlier = _former_ids(connection, chosen, present) if chosen and present else []
            if not earlier:
                raise UserError("There is no earlier promoted model to go back to: 'models list' shows the registry.")
            former = next((model_id for model_id in earlier if model_id in sound), None)
            if former is None:
                raise UserError(
                    f"No earlier promoted model has passed its leak audit: 'models audit {earlier[0]}' makes it."
                )
            connection.execute("UPDATE models SET state = ? WHERE model_id = ?", (RETIRED, present))
            connection.execute("UPDATE models SET state = ? WHERE model_id = ?", (PROMOTED, former))
            body = {"model_id": former, "before": present}
            return former, append_entry(connection, self._clock.now_ms(), None, "model_rolled_back", body)

        former, head = self._db.write(work, durable=True)
        self._audit.note_head(head)
        return self.get(former)

    def save_metrics(self, rows: list[MetricRow]) -> None:
        """Store scores; a repeated (owner, fold, name) is replaced. NaN is stored as nothing."""
        values = [(r.owner, r.fold, r.name, r.value) for r in rows]
        self._db.write(
            lambda c: c.executemany(
                "INSERT OR REPLACE INTO model_metrics (owner, fold, name, value) VALUES (?, ?, ?, ?)", values
            )
        )

    def metrics(self, owner: str, fold: int | None = None) -> list[MetricRow]:
        """Scores of a model or run, by fold and name (overall first)."""
        rows = self._db.rows(
            "SELECT owner, fold, name, value FROM model_metrics WHERE owner = :owner "
            "AND (:fold IS NULL OR fold = :fold) ORDER BY fold, name",
            {"owner": owner, "fold": fold},
        )
        return [MetricRow(*row) for row in rows]

    def _last_promoted_key(self) -> SeriesKey | None:
        rows = self.all(state=PROMOTED)
        return max(rows, key=lambda r: r.promoted_ms or 0).key if rows else None

    def _write(self, work: Callable[[sqlite3.Connection], AuditHead]) -> None:
        self._audit.note_head(self._db.write(work, durable=True))


def _desk(key: SeriesKey) -> tuple[str, str, str, str]:
    return key.exchange, key.symbol, key.timeframe, key.source


def _promoted_id(connection: sqlite3.Connection, key: SeriesKey) -> str | None:
    row = connection.execute(
        f"SELECT model_id FROM models WHERE {SAME_DESK} AND state = ?", (*_desk(key), PROMOTED)
    ).fetchone()
    return None if row is None else str(row[0])


def _former_ids(connection: sqlite3.Connection, key: SeriesKey, present: str) -> list[str]:
    rows = connection.execute(
        f"SELECT model_id FROM models WHERE {SAME_DESK} AND promoted_ms < "
        "(SELECT promoted_ms FROM models WHERE model_id = ?) ORDER BY promoted_ms DESC",
        (*_desk(key), present),
    )
    return [str(row[0]) for row in rows]


def require_audit(row: ModelRow) -> None:
    """A model whose leak audit has not passed makes no forecasts.

    Raises:
        UserError: it was not audited, or the audit found something.
    """
    if row.audited:
        return
    if row.audit:
        raise UserError(f"Model '{row.model_id}' has not passed its leak audit ({row.audit['sentence']}): train again.")
    raise UserError(f"Model '{row.model_id}' has no leak audit yet: 'models audit {row.model_id}' makes it.")


def _next_moment(connection: sqlite3.Connection, key: SeriesKey, now_ms: int) -> int:
    """Now, or just after the last promotion where the clock stands: promotions have an order."""
    last = connection.execute(f"SELECT max(promoted_ms) FROM models WHERE {SAME_DESK}", _desk(key)).fetchone()[0]
    return now_ms if last is None else max(now_ms, int(last) + 1)


def _turn(connection: sqlite3.Connection, before: str | None, now: str, at_ms: int) -> None:
    connection.execute("UPDATE models SET state = ? WHERE model_id = ?", (RETIRED, before))
    connection.execute("UPDATE models SET state = ?, promoted_ms = ? WHERE model_id = ?", (PROMOTED, at_ms, now))


def _model(row: tuple[Any, ...]) -> ModelRow:
    return ModelRow(
        model_id=row[0], kind=row[1], key=SeriesKey(row[2], row[3], row[4], "ohlcv", row[5]), profile=row[6],
        from_ms=row[7], to_ms=row[8], features=row[9], params=json.loads(row[10]), seed=row[11],
        scores=json.loads(row[12]), code_version=row[13], path=row[14], sha256=row[15], state=row[16],
        created_ms=row[17], promoted_ms=row[18],
    )  # fmt: skip
