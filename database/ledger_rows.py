"""Ledger records as database rows and back, without losing a bit that means something.

A record's canonical form has NaN as the one quiet NaN, no negative zero and zero padding: what SQLite gives back.
Hashes are taken over canonical bytes in key order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.errors import Halt
from data.market import Record
from trading.records import DECISION, EQUITY, FILL, TRADE

HASH_BYTES = 16
_HEAD = DECISION.fields["gate_values"][1] if DECISION.fields else 0  # bytes before the gates
_WORDS = DECISION.itemsize // 8
_NAN_WORD = np.array([np.nan]).view(np.uint64)[0]


@dataclass(frozen=True, slots=True)
class LedgerTable:
    """A table whose rows are the fields of one record type after ``account`` and before ``batch``."""

    name: str
    dtype: np.dtype[np.void]
    key: str  # unique within an account

    @property
    def columns(self) -> tuple[str, ...]:
        """The record's fields, padding left out."""
        return tuple(n for n in self.dtype.names or () if not n.startswith("_"))

    @property
    def insert(self) -> str:
        """The INSERT of one row: account, fields, batch."""
        names = ", ".join(("account", *self.columns, "batch"))
        marks = ", ".join("?" * (len(self.columns) + 2))
        return f"INSERT INTO {self.name} ({names}) VALUES ({marks})"

    @property
    def select(self) -> str:
        """``SELECT fields FROM table`` to be continued with a WHERE."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"


FILLS = LedgerTable("fills", FILL, "fill_id")
TRADES = LedgerTable("trades", TRADE, "trade_id")
EQUITY_CURVE = LedgerTable("equity_curve", EQUITY, "open_time")


def canonical(table: LedgerTable, rows: Record) -> Record:
    """Canonical copies of ``rows`` in key order, each once.

    Raises:
        Halt: two rows have one key and differ.
    """
    clean = np.zeros(len(rows), dtype=table.dtype)
    for name in table.columns:
        column = rows[name]
        if column.dtype.kind == "f":
            column = np.where(np.isnan(column), np.nan, column + 0.0)
        clean[name] = column
    order = np.argsort(clean[table.key], kind="stable")
    clean = clean[order]
    again = np.flatnonzero(np.diff(clean[table.key]) == 0) + 1
    for k in again.tolist():
        if clean[k].tobytes() != clean[k - 1].tobytes():
            raise _conflict(table.name, table.key, int(clean[table.key][k]))
    return _without(clean, again)


def new_rows(table: LedgerTable, rows: Record, stored: Record) -> Record:
    """Those of the canonical ``rows`` that are not ``stored`` yet.

    Raises:
        Halt: a stored row has the same key and other content.
    """
    if not len(stored) or not len(rows):
        return rows
    at = np.minimum(np.searchsorted(stored[table.key], rows[table.key]), len(stored) - 1)
    known = stored[table.key][at] == rows[table.key]
    for k in np.flatnonzero(known).tolist():
        if rows[k].tobytes() != stored[at[k]].tobytes():
            raise _conflict(table.name, table.key, int(rows[table.key][k]))
    fresh: Record = rows[~known]
    return fresh


def to_tuples(table: LedgerTable, account: int, rows: Record, batch: int) -> list[tuple[object, ...]]:
    """Rows for ``table.insert``; NaN is NULL."""
    columns: list[list[object]] = []
    for name in table.columns:
        values = rows[name].tolist()
        if rows[name].dtype.kind == "f" and np.isnan(rows[name]).any():
            values = [None if v != v else v for v in values]
        columns.append(values)
    n = len(rows)
    return list(zip([account] * n, *columns, [batch] * n, strict=True))


def from_tuples(table: LedgerTable, rows: list[tuple[object, ...]]) -> Record:
    """The records of rows of ``table.select``; NULL is NaN."""
    out = np.zeros(len(rows), dtype=table.dtype)
    if rows:
        for name, values in zip(table.columns, zip(*rows, strict=True), strict=True):
            out[name] = np.array(values, dtype=out.dtype[name])
    return out


def digest(rows: Record) -> str:
    """Hash over rows in their order; empty for none."""
    return hashlib.blake2b(rows.tobytes(), digest_size=HASH_BYTES).hexdigest() if len(rows) else ""


# ---- decisions: the row's bytes with the gates left out where nothing was measured ----------------------------------


def decision_order(rows: Record) -> Record:
    """Decisions by (open_time, symbol), contiguous, each once.

    Raises:
        Halt: two decisions of one bar and symbol differ.
    """
    rows = np.ascontiguousarray(rows, dtype=DECISION)
    order = np.lexsort((rows["symbol"], rows["open_time"]))
    if (np.diff(order) != 1).any():
        rows = rows[order]
    again = np.flatnonzero((np.diff(rows["open_time"]) == 0) & (np.diff(rows["symbol"]) == 0)) + 1
    for k in again.tolist():
        if rows[k].tobytes() != rows[k - 1].tobytes():
            raise _conflict("decisions", "open_time", int(rows["open_time"][k]))
    return _without(rows, again)


def decision_hashes(rows: Record) -> list[bytes]:
    """The content hash of each row: blake2b over its bytes."""
    data, size, blake = rows.tobytes(), DECISION.itemsize, hashlib.blake2b
    return [blake(data[k : k + size], digest_size=HASH_BYTES).digest() for k in range(0, len(data), size)]


def pack_decisions(rows: Record) -> list[bytes]:
    """Each row's bytes; gates that are all NaN are left out, gates that are all zero become one byte."""
    words = np.ascontiguousarray(rows).view(np.uint64).reshape(len(rows), _WORDS)
    gates = words[:, _HEAD // 8 :]
    empty = (gates == _NAN_WORD).all(axis=1).tolist()
    zero = (gates == 0).all(axis=1).tolist()
    data, size = rows.tobytes(), DECISION.itemsize
    packed = []
    for k in range(len(rows)):
        at = k * size
        if empty[k]:
            packed.append(data[at : at + _HEAD])
        elif zero[k]:
            packed.append(data[at : at + _HEAD] + b"\0")
        else:
            packed.append(data[at : at + size])
    return packed


def unpack_decisions(packed: list[bytes]) -> Record:
    """The rows of ``pack_decisions``, bit for bit.

    Raises:
        Halt: a stored row has no length that this program writes.
    """
    nan = np.full((DECISION.itemsize - _HEAD) // 8, np.nan).tobytes()
    zero = bytes(DECISION.itemsize - _HEAD)
    whole = []
    for data in packed:
        if len(data) == DECISION.itemsize:
            whole.append(data)
        elif len(data) == _HEAD:
            whole.append(data + nan)
        elif len(data) == _HEAD + 1:
            whole.append(data[:_HEAD] + zero)
        else:
            raise Halt(f"A stored decision has {len(data)} bytes, which this program never writes: run 'audit verify'.")
    return np.frombuffer(bytearray(b"".join(whole)), dtype=DECISION)


def _without(rows: Record, which: npt.NDArray[np.intp]) -> Record:
    keep = np.ones(len(rows), dtype=np.bool_)
    keep[which] = False
    return rows[keep]


def _conflict(table: str, key: str, value: int) -> Halt:
    return Halt(
        f"The journal holds other content for {table} with {key} {value}: nothing was written; "
        "run 'reconcile' before going on."
    )
