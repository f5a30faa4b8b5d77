"""The audit chain: every entry's hash covers the entry before it, and the newest hash is also kept in a file.

So an edited or deleted entry is found by the chain, a chain cut short by the file ``audit/head`` (or by a hash noted
elsewhere), and a ledger row that was changed or removed by the batch entry that hashes its rows.
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.clock import Clock
from database.connection import Database
from database.jsontext import canonical

_log = logging.getLogger(__name__)
GENESIS = bytes(32)
BATCH = "batch"
FORGOTTEN = "account_forgotten"


@dataclass(frozen=True, slots=True)
class AuditHead:
    """The newest entry: its number (0 = the chain is empty) and hash."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry as stored; ``body`` is canonical JSON text."""

    seq: int
    at_ms: int
    account: int | None
    kind: str
    body: str
    hash: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """Whether the chain holds. ``first_bad`` is the number of the first entry found wrong or missing."""

    entries: int
    ok: bool
    first_bad: int | None
    head: str
    problem: str = ""


def entry_hash(previous: bytes, seq: int, at_ms: int, account: int | None, kind: str, body: str) -> bytes:
    """blake2b-256 over the entry before and this entry's content."""
    text = canonical([seq, at_ms, account, kind, body])
    return hashlib.blake2b(previous + text.encode(), digest_size=32).digest()


def newest(connection: sqlite3.Connection) -> tuple[int, bytes]:
    """Number and hash of the newest entry; ``(0, GENESIS)`` for an empty chain."""
    row = connection.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    return (0, GENESIS) if row is None else (int(row[0]), bytes(row[1]))


def append_entry(
    connection: sqlite3.Connection, at_ms: int, account: int | None, kind: str, body: Mapping[str, object]
) -> AuditHead:
    """Add an entry inside a write transaction; pass the result to ``Audit.note_head`` once it is committed."""
    seq, previous = newest(connection)
    text = canonical(body)
    found = entry_hash(previous, seq + 1, at_ms, account, kind, text)
    connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", (seq + 1, at_ms, account, kind, text, found))
    return AuditHead(seq + 1, found.hex())


class Audit:
    """The chain of one home."""

    def __init__(self, db: Database, head_path: Path, clock: Clock) -> None:
        self._db = db
        self._head_path = head_path
        self._clock = clock
        if not db.read_only and not head_path.exists() and self.head().seq == 0:
            self.note_head(AuditHead(0, GENESIS.hex()))

    def append(self, at_ms: int | None, kind: str, body: Mapping[str, object], account: int | None = None) -> AuditHead:
        """Add one entry, durably. ``at_ms`` None = now."""
        moment = self._clock.now_ms() if at_ms is None else at_ms
        head = self._db.write(lambda c: append_entry(c, moment, account, kind, body), durable=True)
        self.note_head(head)
        return head

    def head(self) -> AuditHead:
        """The newest committed entry."""
        with self._db.snapshot() as connection:
            seq, found = newest(connection)
        return AuditHead(seq, found.hex())

    def note_head(self, head: AuditHead) -> None:
        """Replace the head file by one rename.

        The entry is committed by then, so a failure here is logged and not raised: a head file that lags behind
        still proves every entry up to it, and the next commit brings it up again.
        """
        fresh = self._head_path.with_name(f"{self._head_path.name}.{os.getpid()}-{threading.get_ident()}.new")
        try:
            with fresh.open("w", encoding="ascii") as file:
                file.write(f"{head.seq} {head.hash}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._head_path)
        except OSError:
            _log.exception("The audit head %s could not be written; entries up to the older head stay proved", fresh)

    def entries(
        self, account: int | None = None, kind: str | None = None, limit: int | None = None
    ) -> list[AuditEntry]:
        """Entries, newest first."""
        rows = self._db.rows(
            "SELECT seq, at_ms, account, kind, body, hash FROM audit WHERE (:account IS NULL OR account = :account) "
            "AND (:kind IS NULL OR kind = :kind) ORDER BY seq DESC LIMIT :limit",
            {"account": account, "kind": kind, "limit": -1 if limit is None else limit},
        )
        return [_entry(row) for row in rows]

    def stream(self) -> Iterator[AuditEntry]:
        """All entries in order (inside a ``snapshot`` of the caller, one state)."""
        cursor = self._db.reader().execute("SELECT seq, at_ms, account, kind, body, hash FROM audit ORDER BY seq")
        for row in cursor:
            yield _entry(row)

    def verify(self, head: str | None = None, *, rows: bool = True) -> AuditReport:
        """Check every entry's hash, that the chain still contains the noted head (and ``head``, if given), and
        with ``rows`` that the ledger's rows are those that the batch entries hashed.
        """
        from database.audit_rows import RowCheck  # it reads the ledger, which the chain itself knows nothing of

        noted = self._noted()
        check = RowCheck(self._db)
        last, previous, problem, bad = 0, GENESIS, "", None
        wanted = {head.strip().lower()} if head else set()
        at_noted: str | None = GENESIS.hex()
        with self._db.snapshot():
            for entry in self.stream():
                bad, problem = _check_entry(entry, last + 1, previous)
                if bad is not None:
                    break
                last, previous = entry.seq, bytes.fromhex(entry.hash)
                wanted.discard(entry.hash)
                if noted and entry.seq == noted.seq:
                    at_noted = entry.hash
                check.learn(entry)
            if bad is None:
                bad, problem = _check_head(last, noted, at_noted, wanted)
            if bad is None and not problem and rows:
                bad, problem = check.run()
        return AuditReport(last, not problem, bad, previous.hex(), problem)

    def _noted(self) -> AuditHead | None:
        try:
            seq, found = self._head_path.read_text(encoding="ascii").split()
            return AuditHead(int(seq), found)
        except (OSError, ValueError):
            return None  # reported as a finding by _check_head


def _entry(row: tuple[Any, ...]) -> AuditEntry:
    seq, at_ms, account, kind, body, found = row
    return AuditEntry(seq, at_ms, account, kind, body, bytes(found).hex())


def _check_entry(entry: AuditEntry, expected: int, previous: bytes) -> tuple[int | None, str]:
    if entry.seq != expected:
        return expected, f"entry {expected} is missing"
    found = entry_hash(previous, entry.seq, entry.at_ms, entry.account, entry.kind, entry.body)
    if found.hex() != entry.hash:
        return entry.seq, f"entry {entry.seq} was changed, or one before it was"
    return None, ""


def _check_head(last: int, noted: AuditHead | None, at_noted: str | None, wanted: set[str]) -> tuple[int | None, str]:
    if noted is None:
        return None, "the file audit/head is missing or unreadable: a chain cut short cannot be excluded"
    if noted.seq > last:
        return last + 1, f"the chain was cut short: it ends at entry {last}, the noted head is {noted.seq}"
    if at_noted != noted.hash:
        return noted.seq, f"entry {noted.seq} is not the one that was noted as the head"
    if wanted - {GENESIS.hex()}:
        return last + 1, "the chain does not contain the given head: it was cut short or written anew"
    return None, ""
