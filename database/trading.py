"""Reading the ledger: what the command line, the window and the checks show of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from ai.forecast import WIDTH, ModelSchedule, ModelSwitch, widened
from data.market import Float64Array, Int64Array, Record
from database.accounts import Account, Accounts
from database.connection import Database
from database.ledger_rows import EQUITY_CURVE, FILLS, TRADES, LedgerTable, from_tuples, unpack_decisions
from database.reconciliation import Reconciliation, open_positions, reconcile
from trading.journal import OrderRow
from trading.records import DECISION, Action

ORDER_COLUMNS = (
    "client_id, plan_id, symbol, purpose, side, kind, quantity, price, reduce_only, status, created_ms, updated_ms, "
    "history"
)
PLAN_TIMES = ("time_limit", "valid_until", "failed", "unmeasured")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows: half-open in time, of one symbol, one number, the newest ``limit`` of them (given oldest first)."""

    symbol: str | None = None  # unified name
    start_ms: int | None = None
    end_ms: int | None = None
    id: int | None = None
    limit: int | None = None


EVERYTHING = Filter()


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Decisions in time order with their numbers and content hashes."""

    ids: Int64Array  # [N]
    hashes: tuple[str, ...]
    rows: Record  # [N] DECISION

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class PlanRow:
    """A plan as decided; ``blocked`` = a gate stopped it."""

    plan_id: int
    open_time: int
    symbol: int
    side: int
    blocked: bool
    entry: float | None
    stop: float | None
    target: float | None
    quantity: float | None
    leverage: float | None
    risk_amount: float | None
    reward_to_risk: float | None
    expected_value: float | None
    confidence: float | None
    risk_score: float | None
    threshold: float | None
    time_limit: int
    valid_until: int
    failed: int
    unmeasured: int


@dataclass(frozen=True, slots=True)
class OpenPosition:
    """What the fills leave open in one symbol."""

    symbol: int
    side: int  # 1 long, -1 short
    quantity: float  # base units, > 0
    entry_price: float  # average
    entry_time: int
    plan_id: int
    fees: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How many rows an account has."""

    bars: int
    decisions: int
    plans: int
    blocked: int
    orders: int
    fills: int
    trades: int


class Trading:
    """The ledger tables, read only. Every call names the account; ``accounts`` gives them."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._accounts = Accounts(db)

    def accounts(self) -> list[Account]:
        """Every account, newest first."""
        return self._accounts.all()

    def newest(self) -> Account | None:
        """The account that was started last."""
        return self._accounts.newest()

    def account(self, account_id: int) -> Account:
        """One account.

        Raises:
            UserError: there is none with this number.
        """
        return self._accounts.get(account_id)

    def trades(self, account_id: int, which: Filter = EVERYTHING) -> Record:
        """Closed trades [N] TRADE by number; times filter on the exit."""
        return self._records(TRADES, account_id, which, "exit_time")

    def fills(self, account_id: int, which: Filter = EVERYTHING) -> Record:
        """Fills [N] FILL by number."""
        return self._records(FILLS, account_id, which, "time")

    def equity(self, account_id: int, which: Filter = EVERYTHING) -> Record:
        """The equity curve [N] EQUITY by open time (``symbol`` and ``id`` do not apply)."""
        only = Filter(start_ms=which.start_ms, end_ms=which.end_ms, limit=which.limit)
        return self._records(EQUITY_CURVE, account_id, only, "open_time")

    def orders(self, account_id: int, which: Filter = EVERYTHING, *, working: bool = False) -> list[OrderRow]:
        """Orders by creation; ``id`` filters on the plan, ``working`` keeps those that may still fill."""
        where = "account = :account AND (:symbol IS NULL OR symbol = :symbol) AND (:id IS NULL OR plan_id = :id)"
        if working:
            where += " AND status IN ('planned', 'resting', 'unknown')"
        found = self._newest(ORDER_COLUMNS, "orders", where, "created_ms", "created_ms, client_id", account_id, which)
        return [_order(row) for row in found]

    def decisions(
        self, account_id: int, which: Filter = EVERYTHING, *, actions: tuple[Action, ...] | None = None
    ) -> Decisions:
        """Decisions by time and symbol, trade or no trade."""
        where = self._where(account_id, which, "id")
        if actions is not None:
            where += f" AND action IN ({', '.join(str(int(a)) for a in actions)})"
        found = self._newest("id, hash, row", "decisions", where, "open_time", "open_time, symbol", account_id, which)
        if not found:
            return Decisions(np.empty(0, dtype=np.int64), (), np.empty(0, dtype=DECISION))
        ids = np.array([row[0] for row in found], dtype=np.int64)
        return Decisions(ids, tuple(row[1].hex() for row in found), unpack_decisions([row[2] for row in found]))

    def blocked(self, account_id: int, which: Filter = EVERYTHING) -> Decisions:
        """Decisions whose plan a gate stopped, with every gate's value and limit."""
        return self.decisions(account_id, which, actions=(Action.BLOCKED,))

    def plans(self, account_id: int, which: Filter = EVERYTHING, *, blocked: bool | None = None) -> list[PlanRow]:
        """Plans by number."""
        names = ", ".join(PlanRow.__dataclass_fields__)
        where = self._where(account_id, which, "plan_id")
        if blocked is not None:
            where += f" AND blocked = {int(blocked)}"
        found = self._newest(names, "plans", where, "open_time", "plan_id", account_id, which)
        return [_plan(row) for row in found]

    def positions(self, account_id: int) -> list[OpenPosition]:
        """What is open, derived from the fills."""
        return [
            OpenPosition(p.symbol, p.side, p.quantity, p.entry_price, p.entry_time, p.plan_id, p.fees)
            for p in open_positions(self.fills(account_id))
        ]

    def said(self, account: int, open_time: int, symbol: int) -> Float64Array | None:
        """The forecast row ``[WIDTH]`` that a decision was made on; ``None``: no model forecast the bar."""
        row = self._db.one(
            "SELECT row FROM said WHERE account = ? AND open_time = ? AND symbol = ?", (account, open_time, symbol)
        )
        return None if row is None else widened(np.frombuffer(row[0], dtype="<f8")[None])[0]

    def said_rows(self, account: int) -> tuple[Int64Array, Int64Array, Float64Array]:
        """Every forecast row that was decided on: open times, symbols' numbers and rows ``[N, WIDTH]``, by time."""
        found = self._db.rows(
            "SELECT open_time, symbol, row FROM said WHERE account = ? ORDER BY open_time, symbol", (account,)
        )
        time, symbol = (np.array([row[k] for row in found], dtype=np.int64) for k in range(2))
        rows = [widened(np.frombuffer(row[2], dtype="<f8")[None])[0] for row in found]
        return time, symbol, np.array(rows).reshape(len(found), WIDTH)

    def switches(self, account_id: int) -> ModelSchedule:
        """Which model made the forecasts from which bar on."""
        rows = self._db.rows(
            "SELECT from_ms, model_id FROM model_switches WHERE account = ? ORDER BY from_ms", (account_id,)
        )
        return tuple(ModelSwitch(*row) for row in rows)

    def counts(self, account_id: int) -> Counts:
        """How many rows of each kind."""
        with self._db.snapshot() as connection:
            tables = ("equity_curve", "decisions", "plans", "plans WHERE blocked = 1 AND", "orders", "fills", "trades")
            found = [
                connection.execute(
                    f"SELECT count(*) FROM {t} {'' if t.endswith('AND') else 'WHERE'} account = ?", (account_id,)
                ).fetchone()[0]
                for t in tables
            ]
        return Counts(*found)

    def last_equity(self, account_id: int) -> Record | None:
        """The newest equity row, if any."""
        rows = self.equity(account_id, Filter(limit=1))
        return rows[0] if len(rows) else None

    def reconcile(self, account_id: int) -> Reconciliation:
        """Re-derive trades and cash from the fills and hold them against what is stored."""
        with self._db.snapshot():
            account = self.account(account_id)
            return reconcile(
                account.start_equity, self.fills(account_id), self.trades(account_id), self.equity(account_id)
            )

    def equity_series(self, account_id: int) -> tuple[Int64Array, Float64Array]:
        """Open times and equity, for charts."""
        rows = self._db.rows(
            "SELECT open_time, equity FROM equity_curve WHERE account = ? ORDER BY open_time", (account_id,)
        )
        table = np.array(rows, dtype=np.dtype([("t", "<i8"), ("e", "<f8")]))
        return table["t"].copy(), table["e"].copy()

    # ---- queries -------------------------------------------------------------------------------------------------

    def _records(self, table: LedgerTable, account_id: int, which: Filter, time: str) -> Record:
        names = ", ".join(table.columns)
        where = self._where(account_id, which, table.key)
        return from_tuples(table, self._newest(names, table.name, where, time, table.key, account_id, which))

    def _where(self, account_id: int, which: Filter, id_column: str) -> str:
        where = f"account = :account AND (:id IS NULL OR {id_column} = :id)"
        if which.symbol is not None:
            where += f" AND symbol = {self._accounts.get(account_id).symbol_index(which.symbol)}"
        return where

    def _newest(
        self, names: str, table: str, where: str, time: str, order: str, account_id: int, which: Filter
    ) -> list[tuple[Any, ...]]:
        """The newest ``limit`` rows, oldest first."""
        if which.start_ms is not None:
            where += f" AND {time} >= :start"
        if which.end_ms is not None:
            where += f" AND {time} < :end"
        descending = ", ".join(f"{part.strip()} DESC" for part in order.split(","))
        tail = f"ORDER BY {descending} LIMIT :limit" if which.limit is not None else f"ORDER BY {order}"
        rows = self._db.rows(
            f"SELECT {names} FROM {table} WHERE {where} {tail}",
            {"account": account_id, "symbol": which.symbol, "id": which.id, "start": which.start_ms,
             "end": which.end_ms, "limit": which.limit},
        )  # fmt: skip
        return rows[::-1] if which.limit is not None else rows


def _order(row: tuple[Any, ...]) -> OrderRow:
    history = tuple((int(at), str(status), str(words)) for at, status, words in json.loads(row[12]))
    fields = (*row[:8], bool(row[8]), *row[9:12], history)
    return OrderRow(*fields)


def _plan(row: tuple[Any, ...]) -> PlanRow:
    fields = (*row[:4], bool(row[4]), *row[5:])
    return PlanRow(*fields)
