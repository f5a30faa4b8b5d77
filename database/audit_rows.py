"""Holding the ledger's rows against the hashes in the audit chain's batch entries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from data.errors import QuantError
from database.audit import BATCH, FORGOTTEN, AuditEntry
from database.connection import Database
from database.ledger_rows import (
    EQUITY_CURVE,
    FILLS,
    HASH_BYTES,
    TRADES,
    LedgerTable,
    decision_hashes,
    from_tuples,
    unpack_decisions,
)  # fmt: skip

PART = 10_000


class RowCheck:
    """Learns from the chain what each batch wrote, then re-reads the tables."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._expected: dict[int, dict[int, dict[str, str]]] = {}  # account → entry number → table → digest

    def learn(self, entry: AuditEntry) -> None:
        """Take note of a batch entry, or of an account that was begun anew."""
        if entry.account is None:
            return
        if entry.kind == FORGOTTEN:
            self._expected.pop(entry.account, None)
        elif entry.kind == BATCH:
            self._expected.setdefault(entry.account, {})[entry.seq] = json.loads(entry.body)["rows"]

    def run(self) -> tuple[int | None, str]:
        """The first batch entry whose rows were changed, and words; ``(None, "")`` if there is none."""
        worst: tuple[int, str] | None = None
        known = {int(row[0]) for row in self._db.rows("SELECT id FROM accounts")}
        for account in sorted(known | set(self._expected)):
            batches = self._expected.get(account, {})
            for table in ("decisions", "fills", "trades", "equity_curve"):
                try:
                    found = self._digests(table, account)
                except QuantError as error:
                    return min(batches, default=1), str(error)
                for seq in sorted(set(batches) | set(found)):
                    if batches.get(seq, {}).get(table, "") != found.get(seq, "") and (worst is None or seq < worst[0]):
                        worst = (seq, f"rows of {table} that entry {seq} wrote (account {account}) were changed")
        return worst or (None, "")

    def _digests(self, table: str, account: int) -> dict[int, str]:
        running: dict[int, hashlib.blake2b] = {}
        for batch, data in self._bytes(table, account):
            running.setdefault(batch, hashlib.blake2b(digest_size=HASH_BYTES)).update(data)
        return {batch: state.hexdigest() for batch, state in running.items()}

    def _bytes(self, table: str, account: int) -> Iterator[tuple[int, bytes]]:
        if table == "decisions":
            cursor = self._db.reader().execute(
                "SELECT batch, row FROM decisions WHERE account = ? ORDER BY open_time, symbol", (account,)
            )
            while part := cursor.fetchmany(PART):
                hashes = decision_hashes(unpack_decisions([r[1] for r in part]))
                yield from zip((r[0] for r in part), hashes, strict=True)
            return
        ledger: LedgerTable = {"fills": FILLS, "trades": TRADES, "equity_curve": EQUITY_CURVE}[table]
        cursor = self._db.reader().execute(
            f"SELECT batch, {', '.join(ledger.columns)} FROM {table} WHERE account = ? ORDER BY {ledger.key}",
            (account,),
        )
        while part := cursor.fetchmany(PART):
            records = from_tuples(ledger, [r[1:] for r in part])
            yield from zip((r[0] for r in part), (record.tobytes() for record in records), strict=True)
