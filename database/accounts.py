"""Whose ledger: the accounts and where each of them stands."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import UserError
from database.connection import Database
from database.jsontext import canonical
from trading.journal import AccountKey

COLUMNS = (
    "id, mode, venue, environment, source, run, start_equity, started_ms, about, state, last_bar_ms, finished"
)  # fmt: skip
FIRST_STATE = "STOPPED"
LEDGER_TABLES = (
    "orders", "fills", "trades", "equity_curve", "decisions", "plans", "checkpoints", "batches", "model_switches",
    "said",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """One ledger."""

    id: int
    key: AccountKey
    start_equity: float
    started_ms: int
    about: Mapping[str, Any]  # what the run is; ``symbols`` names the symbol indices of its rows
    state: str  # as the service set it; STOPPED at first
    last_bar_ms: int | None  # open time of the last committed bar
    finished: bool  # the whole span was replayed

    @property
    def symbols(self) -> tuple[str, ...]:
        """Names of the symbol indices (empty where the run did not say)."""
        return tuple(str(s) for s in self.about.get("symbols", ()))

    def symbol_name(self, index: int) -> str:
        """The name of a symbol index."""
        names = self.symbols
        return names[index] if 0 <= index < len(names) else f"#{index}"

    def symbol_index(self, name: str) -> int:
        """The index of a symbol's name, -1 where this account does not trade it."""
        return self.symbols.index(name) if name in self.symbols else -1


class Accounts:
    """Reading accounts and moving their state."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self) -> list[Account]:
        """Every account, newest first."""
        return [_account(r) for r in self._db.rows(f"SELECT {COLUMNS} FROM accounts ORDER BY started_ms DESC, id DESC")]

    def newest(self) -> Account | None:
        """The account that was started last."""
        row = self._db.one(f"SELECT {COLUMNS} FROM accounts ORDER BY started_ms DESC, id DESC LIMIT 1")
        return None if row is None else _account(row)

    def get(self, account_id: int) -> Account:
        """One account.

        Raises:
            UserError: there is none with this number.
        """
        row = self._db.one(f"SELECT {COLUMNS} FROM accounts WHERE id = ?", (account_id,))
        if row is None:
            known = ", ".join(str(a.id) for a in self.all()) or "none yet"
            raise UserError(f"There is no account {account_id}: use one of {known}, or 'all'.")
        return _account(row)

    def find(self, key: AccountKey) -> Account | None:
        """The account with this key, if it was ever opened."""
        row = self._db.one(
            f"SELECT {COLUMNS} FROM accounts WHERE mode=? AND venue=? AND environment=? AND source=? AND run=?",
            (key.mode, key.venue, key.environment, key.source, key.run),
        )
        return None if row is None else _account(row)

    def chosen(self, text: str | int | None) -> list[Account]:
        """What ``--account`` means: a number, ``all`` (newest first), or nothing = the newest (none: an empty list).

        Raises:
            UserError: the text is neither, or there is no such account.
        """
        if text is None:
            one = self.newest()
            return [] if one is None else [one]
        if isinstance(text, str) and text.strip().lower() == "all":
            return self.all()
        try:
            number = int(text)
        except ValueError:
            raise UserError(f"'{text}' is no account: write its number, or 'all'.") from None
        return [self.get(number)]

    def set_state(self, account_id: int, state: str) -> None:
        """Remember the service's state for the account over a restart, durably."""
        self._set(account_id, "state", state)

    def set_finished(self, account_id: int, finished: bool = True) -> None:
        """Mark the account's span as wholly replayed."""
        self._set(account_id, "finished", int(finished))

    def set_about(self, account_id: int, about: Mapping[str, object]) -> None:
        """Replace what is said about the run."""
        self._set(account_id, "about", canonical(about))

    def _set(self, account_id: int, column: str, value: object) -> None:
        def work(connection: sqlite3.Connection) -> int:
            return connection.execute(f"UPDATE accounts SET {column} = ? WHERE id = ?", (value, account_id)).rowcount

        if not self._db.write(work, durable=True):
            raise UserError(f"There is no account {account_id}.")


def open_in(
    connection: sqlite3.Connection, key: AccountKey, start_equity: float, started_ms: int, about: str
) -> tuple[int, bool]:
    """The account's id and whether it was made now (inside a write transaction)."""
    made = connection.execute(
        "INSERT INTO accounts (mode, venue, environment, source, run, start_equity, started_ms, about, state, finished)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO NOTHING",
        (key.mode, key.venue, key.environment, key.source, key.run, start_equity, started_ms, about, FIRST_STATE),
    ).rowcount
    found = connection.execute(
        "SELECT id FROM accounts WHERE mode=? AND venue=? AND environment=? AND source=? AND run=?",
        (key.mode, key.venue, key.environment, key.source, key.run),
    ).fetchone()
    return int(found[0]), bool(made)


def clear_in(connection: sqlite3.Connection, account_id: int) -> dict[str, int]:
    """Delete every ledger row of an account; how many by table (inside a write transaction)."""
    gone = {
        table: connection.execute(f"DELETE FROM {table} WHERE account = ?", (account_id,)).rowcount
        for table in LEDGER_TABLES
    }
    connection.execute(
        "UPDATE accounts SET last_bar_ms = NULL, finished = 0, state = ? WHERE id = ?", (FIRST_STATE, account_id)
    )
    return gone


def _account(row: tuple[Any, ...]) -> Account:
    key = AccountKey(*row[1:6])
    return Account(row[0], key, row[6], row[7], json.loads(row[8]), row[9], row[10], bool(row[11]))
