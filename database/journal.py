"""The crash-safe ledger: a batch of bars is one durable transaction, and a batch said twice changes nothing."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from data.clock import Clock, SystemClock
from data.errors import Halt, UserError
from data.market import Record
from database.accounts import clear_in, open_in
from database.audit import BATCH, FORGOTTEN, Audit, AuditHead, append_entry
from database.connection import Database
from database.jsontext import canonical as json_text
from database.ledger_rows import (
    EQUITY_CURVE,
    FILLS,
    HASH_BYTES,
    TRADES,
    LedgerTable,
    canonical,
    decision_hashes,
    decision_order,
    digest,
    from_tuples,
    new_rows,
    pack_decisions,
    to_tuples,
)  # fmt: skip
from trading.journal import AccountKey, AuditEvent, Batch, Checkpoint, OrderRow
from trading.records import Action

Hook = Callable[[str], None]
MODEL_SWITCH = "model_switch"  # an event of this kind (body: from_ms, model_id) also stands in model_switches

UPSERT_ORDER = """
INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (account, client_id) DO UPDATE SET
    status = excluded.status, quantity = excluded.quantity, price = excluded.price,
    updated_ms = excluded.updated_ms, history = excluded.history
WHERE excluded.updated_ms > updated_ms
   OR (excluded.updated_ms = updated_ms AND json_array_length(excluded.history) >= json_array_length(history))
"""
INSERT_DECISION = (
    "INSERT INTO decisions (account, open_time, symbol, action, plan_id, hash, row, batch) VALUES (?,?,?,?,?,?,?,?)"
)
PLAN_NUMBERS = (
    "entry", "stop", "target", "quantity", "leverage", "risk_amount", "reward_to_risk", "expected_value",
    "confidence", "risk_score", "threshold",
)  # fmt: skip
PLAN_COLUMNS = (*PLAN_NUMBERS, "time_limit", "valid_until", "failed", "unmeasured")
INSERT_PLAN = (
    f"INSERT INTO plans (account, plan_id, open_time, symbol, side, blocked, {', '.join(PLAN_COLUMNS)}) "
    f"VALUES ({', '.join('?' * (6 + len(PLAN_COLUMNS)))})"
)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A batch made ready in the caller's thread; the writer only compares and inserts."""

    batch: Batch
    digest: bytes
    orders: list[tuple[object, ...]]
    fills: Record
    trades: Record
    equity: Record
    decisions: Record
    hashes: list[bytes]


class SqliteJournal:
    """``trading.journal.Journal`` over the database.

    ``hook(step)`` is called at each of ``JOURNAL_STEPS``: after the step's rows are written, ``committed`` after the
    commit (in the caller's thread; all others in the writer's).
    """

    def __init__(
        self, db: Database, hook: Hook | None = None, *, audit: Audit | None = None, clock: Clock | None = None
    ) -> None:
        self._db = db
        self._hook: Hook = hook or (lambda _step: None)
        self._clock: Clock = clock or SystemClock()
        self._audit = audit or Audit(db, db.path.parent / "audit" / "head", self._clock)

    def open_account(self, key: AccountKey, start_equity: float, started_ms: int, about: Mapping[str, object]) -> int:
        """The id of the account with this key, made if it does not exist. ``about`` (JSON) describes the run."""

        def work(connection: sqlite3.Connection) -> tuple[int, AuditHead | None]:
            account, made = open_in(connection, key, start_equity, started_ms, json_text(about))
            if not made:
                return account, None
            body = {"mode": key.mode, "venue": key.venue, "environment": key.environment, "source": key.source,
                    "run": key.run, "start_equity": start_equity}  # fmt: skip
            return account, append_entry(connection, self._clock.now_ms(), account, "account_opened", body)

        account, head = self._db.write(work, durable=True)
        self._note(head)
        return account

    def commit(self, batch: Batch) -> None:
        """Write one batch in one durable transaction, with a decision-content hash and an audit-chain entry.

        Rows that are stored already change nothing, nor does a whole batch that was committed before.

        Raises:
            Halt: a row is stored with other content, or the disk is full or damaged; nothing was written.
            Retryable: another program kept the database busy; nothing was written.
            UserError: the account does not exist.
        """
        prepared = _prepare(batch)
        head = self._db.write(lambda connection: self._write(connection, prepared), durable=True)
        self._note(head)
        self._hook("committed")

    def checkpoint(self, account_id: int) -> Checkpoint | None:
        """The newest committed checkpoint, if any."""
        row = self._db.one("SELECT account, last_bar_ms, state FROM checkpoints WHERE account = ?", (account_id,))
        return None if row is None else Checkpoint(*row)

    def forget(self, account_id: int) -> None:
        """Start this account anew (``--fresh``): its rows go, and the audit says so.

        Raises:
            UserError: the account does not exist.
        """

        def work(connection: sqlite3.Connection) -> AuditHead:
            _require_account(connection, account_id)
            gone = clear_in(connection, account_id)
            return append_entry(connection, self._clock.now_ms(), account_id, FORGOTTEN, {"rows": gone})

        self._note(self._db.write(work, durable=True))

    # ---- one batch, inside the writer's transaction ----------------------------------------------------------------

    def _write(self, connection: sqlite3.Connection, new: _Prepared) -> AuditHead | None:
        batch, account = new.batch, new.batch.account_id
        self._hook("begin")
        _require_account(connection, account)
        if connection.execute(
            "SELECT 1 FROM batches WHERE account = ? AND digest = ?", (account, new.digest)
        ).fetchone():
            return None
        seq = int(connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM audit").fetchone()[0])
        connection.executemany(UPSERT_ORDER, new.orders)
        self._hook("orders")
        written: dict[str, tuple[int, str]] = {}
        for table, rows, step in (
            (FILLS, new.fills, "fills"), (TRADES, new.trades, "trades"), (EQUITY_CURVE, new.equity, "equity"),
        ):  # fmt: skip
            written[table.name] = _insert(connection, table, account, rows, seq)
            self._hook(step)
        written["decisions"] = _insert_decisions(connection, account, new, seq)
        self._hook("decisions")
        written["said"] = _insert_said(connection, account, batch.said, seq)
        self._hook("said")
        head = append_entry(connection, self._clock.now_ms(), account, BATCH, _body(new, written))
        head = self._write_events(connection, batch, head)
        connection.execute("INSERT INTO batches VALUES (?, ?, ?)", (account, new.digest, seq))
        self._hook("audit")
        _write_checkpoint(connection, batch, seq)
        self._hook("checkpoint")
        self._hook("before_commit")
        return head

    def _write_events(self, connection: sqlite3.Connection, batch: Batch, head: AuditHead) -> AuditHead:
        for event in batch.events:
            head = append_entry(connection, event.at_ms, batch.account_id, event.kind, event.body)
            if event.kind == MODEL_SWITCH:
                connection.execute(
                    "INSERT OR REPLACE INTO model_switches (account, from_ms, model_id, asked_ms) VALUES (?, ?, ?, ?)",
                    (batch.account_id, event.body["from_ms"], event.body["model_id"], event.at_ms),
                )
        return head

    def _note(self, head: AuditHead | None) -> None:
        if head is not None:
            self._audit.note_head(head)


def _prepare(batch: Batch) -> _Prepared:
    orders = [_order(batch.account_id, order) for order in batch.orders]
    fills, trades = canonical(FILLS, batch.fills), canonical(TRADES, batch.trades)
    equity, decisions = canonical(EQUITY_CURVE, batch.equity), decision_order(batch.decisions)
    whole = hashlib.blake2b(digest_size=HASH_BYTES)
    whole.update(json_text([batch.last_bar_ms, orders, [_event(e) for e in batch.events]]).encode())
    for rows in (fills, trades, equity, decisions, batch.said):
        whole.update(len(rows).to_bytes(8, "little"))
        whole.update(rows.tobytes())
    whole.update(batch.checkpoint)
    return _Prepared(
        batch, whole.digest(), orders, fills, trades, equity, decisions, decision_hashes(decisions)
    )  # fmt: skip


def _event(event: AuditEvent) -> list[object]:
    return [event.at_ms, event.kind, event.body]


def _order(account: int, order: OrderRow) -> tuple[object, ...]:
    return (
        account, order.client_id, order.plan_id, order.symbol, order.purpose, order.side, order.kind, order.quantity,
        order.price, int(order.reduce_only), order.status, order.created_ms, order.updated_ms, json_text(order.history),
    )  # fmt: skip


def _body(new: _Prepared, written: dict[str, tuple[int, str]]) -> dict[str, object]:
    return {
        "last_bar_ms": new.batch.last_bar_ms,
        "counts": {name: count for name, (count, _) in written.items()} | {"orders": len(new.orders)},
        "rows": {name: found for name, (count, found) in written.items() if count},
        "batch": new.digest.hex(),
        "checkpoint": hashlib.blake2b(new.batch.checkpoint, digest_size=HASH_BYTES).hexdigest(),
    }


def _require_account(connection: sqlite3.Connection, account: int) -> None:
    if connection.execute("SELECT 1 FROM accounts WHERE id = ?", (account,)).fetchone() is None:
        raise UserError(f"There is no account {account} to write to.")


def _insert(
    connection: sqlite3.Connection, table: LedgerTable, account: int, rows: Record, seq: int
) -> tuple[int, str]:
    """Insert what is new of the canonical ``rows``; how many, and their digest."""
    if not len(rows):
        return 0, ""
    span = (account, int(rows[table.key][0]), int(rows[table.key][-1]))
    stored = connection.execute(
        f"{table.select} WHERE account = ? AND {table.key} BETWEEN ? AND ? ORDER BY {table.key}", span
    ).fetchall()
    fresh = new_rows(table, rows, from_tuples(table, stored))
    connection.executemany(table.insert, to_tuples(table, account, fresh, seq))
    return len(fresh), digest(fresh)


def _insert_decisions(connection: sqlite3.Connection, account: int, new: _Prepared, seq: int) -> tuple[int, str]:
    rows, hashes = new.decisions, new.hashes
    if not len(rows):
        return 0, ""
    span = (account, int(rows["open_time"][0]), int(rows["open_time"][-1]))
    stored = {
        (time, symbol): found
        for time, symbol, found in connection.execute(
            "SELECT open_time, symbol, hash FROM decisions WHERE account = ? AND open_time BETWEEN ? AND ?", span
        )
    }
    if stored:
        keys = list(zip(rows["open_time"].tolist(), rows["symbol"].tolist(), strict=True))
        for key, found in zip(keys, hashes, strict=True):
            if stored.get(key, found) != found:
                raise Halt(f"The journal holds another decision for the bar at {key[0]} ms: nothing was written.")
        fresh = np.array([key not in stored for key in keys])
        rows, hashes = rows[fresh], [h for h, keep in zip(hashes, fresh, strict=True) if keep]
    n = len(rows)
    columns = (rows[name].tolist() for name in ("open_time", "symbol", "action", "plan_id"))
    connection.executemany(
        INSERT_DECISION, zip([account] * n, *columns, hashes, pack_decisions(rows), [seq] * n, strict=True)
    )
    _insert_plans(connection, account, rows)
    return n, hashlib.blake2b(b"".join(hashes), digest_size=HASH_BYTES).hexdigest() if n else ""


def _insert_said(connection: sqlite3.Connection, account: int, said: Record, seq: int) -> tuple[int, str]:
    """Insert what is new; how many, and their digest. What is stored stays: decisions hold which rows there must be."""
    if not len(said):
        return 0, ""
    before = connection.total_changes
    connection.executemany(
        "INSERT OR IGNORE INTO said (account, open_time, symbol, row, batch) VALUES (?, ?, ?, ?, ?)",
        [(account, int(r["open_time"]), int(r["symbol"]), r["row"].tobytes(), seq) for r in said],
    )
    return connection.total_changes - before, digest(said)


def _insert_plans(connection: sqlite3.Connection, account: int, decisions: Record) -> None:
    plans = decisions[decisions["plan_id"] > 0]
    if not len(plans):
        return
    n = len(plans)
    blocked = (plans["action"] == Action.BLOCKED).astype(np.int64).tolist()
    heads = (plans[name].tolist() for name in ("plan_id", "open_time", "symbol", "signal"))
    rest = ([None if v != v else v for v in plans[name].tolist()] for name in PLAN_COLUMNS)
    connection.executemany(INSERT_PLAN, zip([account] * n, *heads, blocked, *rest, strict=True))


def _write_checkpoint(connection: sqlite3.Connection, batch: Batch, seq: int) -> None:
    """The newest state wins; an older batch that comes late moves nothing back."""
    if batch.checkpoint:
        connection.execute(
            "INSERT INTO checkpoints VALUES (?, ?, ?, ?) ON CONFLICT (account) DO UPDATE SET "
            "last_bar_ms = excluded.last_bar_ms, state = excluded.state, batch = excluded.batch "
            "WHERE excluded.last_bar_ms >= last_bar_ms",
            (batch.account_id, batch.last_bar_ms, batch.checkpoint, seq),
        )
    connection.execute(
        "UPDATE accounts SET last_bar_ms = max(coalesce(last_bar_ms, ?), ?) WHERE id = ?",
        (batch.last_bar_ms, batch.last_bar_ms, batch.account_id),
    )
