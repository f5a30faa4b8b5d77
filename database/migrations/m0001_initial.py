"""Schema 1: every table of the first program.

Ledger tables carry the account and the number of the audit entry (``batch``) that covers the row. Times are integer
milliseconds UTC. ``symbol`` is the index into the account's ``about["symbols"]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite_utils

Columns = dict[str, Any]

MARKET_DATA = """
CREATE TABLE market_data (
    series INTEGER NOT NULL, open_time INTEGER NOT NULL,
    open REAL NOT NULL, high REAL NOT NULL, low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL,
    known_at INTEGER NOT NULL, mark INTEGER NOT NULL,
    PRIMARY KEY (series, open_time)
) STRICT, WITHOUT ROWID
"""
FUNDING = """
CREATE TABLE funding (
    series INTEGER NOT NULL, time INTEGER NOT NULL, rate REAL NOT NULL, mark_price REAL,
    PRIMARY KEY (series, time)
) STRICT, WITHOUT ROWID
"""
FILLS = """
CREATE TABLE fills (
    account INTEGER NOT NULL, fill_id INTEGER NOT NULL, plan_id INTEGER NOT NULL, symbol INTEGER NOT NULL,
    purpose INTEGER NOT NULL, reason INTEGER NOT NULL, maker INTEGER NOT NULL, side INTEGER NOT NULL,
    time INTEGER NOT NULL, price REAL, quantity REAL, fee REAL, realised REAL, slippage REAL, batch INTEGER NOT NULL,
    PRIMARY KEY (account, fill_id)
) STRICT, WITHOUT ROWID
"""
TRADES = """
CREATE TABLE trades (
    account INTEGER NOT NULL, trade_id INTEGER NOT NULL, plan_id INTEGER NOT NULL, symbol INTEGER NOT NULL,
    side INTEGER NOT NULL, exit_reason INTEGER NOT NULL, entry_time INTEGER NOT NULL, exit_time INTEGER NOT NULL,
    entry_price REAL, exit_price REAL, quantity REAL, fees REAL, funding REAL, pnl REAL, stop REAL, target REAL,
    risk_amount REAL, mfe REAL, mae REAL, slippage REAL, batch INTEGER NOT NULL,
    PRIMARY KEY (account, trade_id)
) STRICT, WITHOUT ROWID
"""
EQUITY_CURVE = """
CREATE TABLE equity_curve (
    account INTEGER NOT NULL, open_time INTEGER NOT NULL, equity REAL, cash REAL, unrealised REAL, drawdown REAL,
    exposure REAL, batch INTEGER NOT NULL,
    PRIMARY KEY (account, open_time)
) STRICT, WITHOUT ROWID
"""
BATCHES = """
CREATE TABLE batches (
    account INTEGER NOT NULL, digest BLOB NOT NULL, batch INTEGER NOT NULL, PRIMARY KEY (account, digest)
) STRICT, WITHOUT ROWID
"""


def create_tables(db: sqlite_utils.Database) -> None:
    """Make every table and index."""
    _create(db, "schema_history", {"number": int, "name": str, "applied_ms": int}, "number")
    _market(db)
    _ledger(db)
    _models(db)
    _house(db)


def _market(db: sqlite_utils.Database) -> None:
    series: Columns = {
        "id": int, "exchange": str, "symbol": str, "timeframe": str, "kind": str, "source": str,
        "rows": int, "first_ms": int, "last_ms": int,
    }  # fmt: skip
    _create(db, "series", series, "id", optional={"first_ms", "last_ms"})
    _index(db, "series", ["exchange", "symbol", "timeframe", "kind", "source"], unique=True)
    db.execute(MARKET_DATA)
    db.execute(FUNDING)
    chunk: Columns = {"series": int, "day": int, "rows": int, "blob": bytes}
    _create(db, "market_chunk", chunk, ("series", "day"))
    feature: Columns = {
        "series": int, "digest": str, "day": int, "first_ms": int, "rows": int, "names": str, "blob": bytes,
    }  # fmt: skip
    _create(db, "feature_data", feature, ("series", "digest", "day"))


def _ledger(db: sqlite_utils.Database) -> None:
    account: Columns = {
        "id": int, "mode": str, "venue": str, "environment": str, "source": str, "run": str, "start_equity": float,
        "started_ms": int, "about": str, "state": str, "last_bar_ms": int, "finished": int,
    }  # fmt: skip
    _create(db, "accounts", account, "id", optional={"last_bar_ms"})
    _index(db, "accounts", ["mode", "venue", "environment", "source", "run"], unique=True)
    order: Columns = {
        "account": int, "client_id": str, "plan_id": int, "symbol": str, "purpose": str, "side": str, "kind": str,
        "quantity": str, "price": str, "reduce_only": int, "status": str, "created_ms": int, "updated_ms": int,
        "history": str,
    }  # fmt: skip
    _create(db, "orders", order, ("account", "client_id"), optional={"price"})
    _index(db, "orders", ["account", "created_ms"])
    for sql in (FILLS, TRADES, EQUITY_CURVE, BATCHES):
        db.execute(sql)
    decision: Columns = {
        "id": int, "account": int, "open_time": int, "symbol": int, "action": int, "plan_id": int, "hash": bytes,
        "row": bytes, "batch": int,
    }  # fmt: skip
    _create(db, "decisions", decision, "id")
    _index(db, "decisions", ["account", "open_time", "symbol"], unique=True)
    plan: Columns = {"account": int, "plan_id": int, "open_time": int, "symbol": int, "side": int, "blocked": int}
    plan |= dict.fromkeys(
        ("entry", "stop", "target", "quantity", "leverage", "risk_amount", "reward_to_risk", "expected_value",
         "confidence", "risk_score", "threshold"), float,
    )  # fmt: skip
    plan |= {"time_limit": int, "valid_until": int, "failed": int, "unmeasured": int}
    numbers = {name for name, kind in plan.items() if kind is float}
    _create(db, "plans", plan, ("account", "plan_id"), optional=numbers)
    checkpoint: Columns = {"account": int, "last_bar_ms": int, "state": bytes, "batch": int}
    _create(db, "checkpoints", checkpoint, "account")
    switch: Columns = {"account": int, "from_ms": int, "model_id": str, "asked_ms": int}
    _create(db, "model_switches", switch, ("account", "from_ms"), optional={"asked_ms"})


def _models(db: sqlite_utils.Database) -> None:
    model: Columns = {
        "model_id": str, "kind": str, "exchange": str, "symbol": str, "timeframe": str, "source": str, "profile": str,
        "from_ms": int, "to_ms": int, "features": str, "params": str, "seed": int, "scores": str, "code_version": str,
        "path": str, "sha256": str, "state": str, "created_ms": int, "promoted_ms": int,
    }  # fmt: skip
    _create(db, "models", model, "model_id", optional={"promoted_ms"})
    metric: Columns = {"owner": str, "fold": int, "name": str, "value": float}
    _create(db, "model_metrics", metric, ("owner", "fold", "name"), optional={"value"})
    forecast: Columns = {
        "run_id": str, "exchange": str, "symbol": str, "timeframe": str, "kind": str, "source": str,
        "created_ms": int, "from_ms": int, "to_ms": int, "rows": int, "spec": str, "result": str, "schedule": str,
        "member_names": str,
    }  # fmt: skip
    _create(db, "forecasts", forecast, "run_id", optional={"from_ms", "to_ms"})
    chunk: Columns = {"run_id": str, "part": int, "rows": int, "blob": bytes}
    _create(db, "forecast_chunk", chunk, ("run_id", "part"))


def _house(db: sqlite_utils.Database) -> None:
    _create(db, "settings", {"key": str, "value": str, "changed_ms": int}, "key")
    log: Columns = {"id": int, "at_ms": int, "level": int, "source": str, "message": str, "fields": str}
    _create(db, "logs", log, "id")
    _index(db, "logs", ["at_ms"])
    audit: Columns = {"seq": int, "at_ms": int, "account": int, "kind": str, "body": str, "hash": bytes}
    _create(db, "audit", audit, "seq", optional={"account"})


def _create(
    db: sqlite_utils.Database, name: str, columns: Columns, pk: str | tuple[str, ...], optional: set[str] | None = None
) -> None:
    required = set(columns) - (optional or set()) - ({pk} if isinstance(pk, str) else set())
    db.table(name).create(columns, pk=pk, not_null=required, strict=True)


def _index(db: sqlite_utils.Database, table: str, columns: list[str], unique: bool = False) -> None:
    db.table(table).create_index(columns, unique=unique)
