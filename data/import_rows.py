"""Rows of imported tables: plain columns of one kind, in the order of its fields, every row traceable to its file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.file_formats import RawTable
from data.import_cells import numbers, plain, sides, wholes
from data.import_layouts import (
    EXCHANGE_NAMES,
    EXCHANGE_SPELLINGS,
    FIELDS,
    ID_NAMES,
    MAKER_NAMES,
    SYMBOL_NAMES,
    TIME_NAMES,
    hint_for,
)
from data.import_times import NO_TIME, times_of
from data.market import BAR_KINDS, Float64Array, Int64Array, SeriesKey, unified_symbol

BoolArray = npt.NDArray[np.bool_]

NO_ID = NO_TIME  # a row that should have a number and has none
EXPORTED = ("exchange", "symbol", "timeframe", "kind", "source")  # columns that only the program's own export has


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was left out."""

    file: str
    place: int  # line of a text file (from 1), row number otherwise
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Rows of one or more tables. ``values`` are ``[n, columns]``: the fields of the kind, and the mark of bars."""

    tables: tuple[RawTable, ...]
    table: Int64Array  # [n] index into ``tables``
    line: Int64Array  # [n]
    time: Int64Array  # [n] ms UTC
    id: Int64Array  # [n] number of a trade or an update; 0 where the kind has none
    known_at: Int64Array  # [n] ms UTC; NO_TIME where the file does not say it
    values: Float64Array

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: Any) -> Rows:
        """The rows of an index or a mask."""
        return Rows(
            self.tables, self.table[index], self.line[index], self.time[index], self.id[index], self.known_at[index],
            self.values[index],
        )  # fmt: skip

    def reject(self, row: int, reason: str) -> Rejection:
        """A rejection of one row."""
        return Rejection(self.tables[self.table[row]].label, int(self.line[row]), reason)


def rows_of(
    table: RawTable, time: Int64Array, values: Float64Array, id: Int64Array | None = None,
    known_at: Int64Array | None = None, line: Int64Array | None = None,
) -> Rows:  # fmt: skip
    """Rows of one table."""
    count = len(time)
    none = np.zeros(count, dtype=np.int64)
    return Rows(
        (table,), none, table.lines.astype(np.int64) if line is None else line, time, none if id is None else id,
        np.full(count, NO_TIME, dtype=np.int64) if known_at is None else known_at, values,
    )  # fmt: skip


def check_names(table: RawTable, key: SeriesKey) -> None:
    """The table's own columns of symbol, exchange and series must say what the import is for.

    Raises:
        UserError: a row is of something else.
    """
    _agree(table, SYMBOL_NAMES, key.symbol)
    _agree(table, EXCHANGE_NAMES, key.exchange)
    if set(EXPORTED) <= set(table.columns):
        for name in EXPORTED[2:]:
            if expected := getattr(key, name):
                _agree(table, (name,), expected)


def read_rows(table: RawTable, kind: str, tz: tzinfo, unit: str | None) -> Rows:
    """One table's rows, unchecked but numeric (no number is NaN or infinite, no time is ``NO_TIME``).

    Raises:
        UserError: a column is missing, numbers have decimal commas, or the units or zones of times are mixed.
    """
    time_name = column_of(table, TIME_NAMES)
    if not time_name:
        raise missing(table, "time", kind)
    names = [column_of(table, field.names) for field in FIELDS[kind]]
    for field, name in zip(FIELDS[kind], names, strict=True):
        if not name and field.required and not (field.name == "side" and column_of(table, MAKER_NAMES)):
            raise missing(table, field.name, kind)
    if not any(names):
        raise missing(table, " or ".join(field.name for field in FIELDS[kind]), kind)
    time = times_of(table, time_name, tz, unit)
    columns = [_column(table, field.name, name) for field, name in zip(FIELDS[kind], names, strict=True)]
    if kind in BAR_KINDS:
        columns = [*(np.where(np.isnan(c), 0.0, c) if not n else c for c, n in zip(columns, names, strict=True)),
                   _column(table, "mark", column_of(table, ("mark",)))]  # fmt: skip
    known_at = times_of(table, "known_at", tz, unit) if "known_at" in table.columns else None
    return rows_of(table, time, np.column_stack(columns), ids_of(table, kind), known_at)


def ids_of(table: RawTable, kind: str) -> Int64Array | None:
    """The numbers by which rows of one moment are told apart, ``None`` where the kind or the file has none.

    Raises:
        UserError: trades without a number: the same trade could not be known again.
    """
    name = column_of(table, ID_NAMES.get(kind, ()))
    if not name:
        if kind == "trades":
            raise missing(table, "trade id", kind)
        return None
    found, bad = wholes(table, name)
    return np.where(bad, NO_ID, found).astype(np.int64)


def column_of(table: RawTable, names: tuple[str, ...]) -> str:
    """The first of ``names`` that the table has, empty if it has none."""
    return next((name for name in names if name in table.columns), "")


def missing(table: RawTable, what: str, kind: str) -> UserError:
    """The refusal of a table without a needed column."""
    where = f"{table.label} line 1" if table.unit_of_place == "line" else table.label
    columns = list(table.columns)
    return UserError(
        f"{where} has no column for {what}; its columns are: {', '.join(columns)}.{hint_for(columns, kind)}"
    )


def _column(table: RawTable, field: str, name: str) -> Float64Array:
    if field == "side":
        maker = column_of(table, MAKER_NAMES)
        return sides(table, name or maker, maker=not name)
    return numbers(table, name) if name else np.full(len(table.lines), np.nan)


def _agree(table: RawTable, names: tuple[str, ...], expected: str) -> None:
    column = column_of(table, names)
    if not column:
        return
    cells = plain(table, column)
    for found in cells.unique().to_pylist():
        text = str(found)
        if not (_same_symbol(text, expected) if names is SYMBOL_NAMES else _same_word(text, expected)):
            row = cells.to_pylist().index(found)
            what = "symbol" if names is SYMBOL_NAMES else names[0]
            raise UserError(
                f"{table.place(row)}: the file holds rows of {what} '{text}', but the import is for {expected}."
            )


def _same_symbol(text: str, expected: str) -> bool:
    try:
        return text.upper() == expected.split("/")[0] or unified_symbol(text) == expected
    except UserError:
        return False


def _same_word(text: str, expected: str) -> bool:
    word = EXCHANGE_SPELLINGS.get(text.lower(), text.lower())
    return expected == word or (expected.startswith(word) and word in ("binance", "weex", "okx", "bybit"))


def concatenate(parts: Iterable[Rows]) -> Rows:
    """The rows of several tables, in the order of the tables."""
    rows = list(parts)
    tables = tuple(t for part in rows for t in part.tables)
    first = np.cumsum([0, *(len(part.tables) for part in rows[:-1])])
    return Rows(
        tables,
        np.concatenate([part.table + n for n, part in zip(first, rows, strict=True)]),
        np.concatenate([part.line for part in rows]),
        np.concatenate([part.time for part in rows]),
        np.concatenate([part.id for part in rows]),
        np.concatenate([part.known_at for part in rows]),
        np.concatenate([part.values for part in rows]),
    )


def split_bad(rows: Rows, checks: list[tuple[str, BoolArray]]) -> tuple[Rows, list[Rejection]]:
    """Take out the rows that fail a check; the first failed one is the reason."""
    first = np.full(len(rows), -1, dtype=np.int64)
    for i, (_, failed) in enumerate(checks):
        first[(first < 0) & failed] = i
    rejections = [rows.reject(int(row), checks[first[row]][0]) for row in np.flatnonzero(first >= 0)]
    return rows.take(first < 0), rejections


def sort_and_merge(rows: Rows) -> tuple[Rows, int, int, list[Rejection]]:
    """Rows by time and id, each once: ``(rows, out of order, repeated, contradicting repeats)``.

    A repeated row with equal values is counted; one with other values is rejected and the first one read stays.
    """
    behind = int(np.count_nonzero(np.diff(rows.time) < 0))
    rows = rows.take(np.lexsort((rows.id, rows.time)))
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (np.diff(rows.time) != 0) | (np.diff(rows.id) != 0)
    leader = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    equal = ((rows.values == rows.values[leader]) | (np.isnan(rows.values) & np.isnan(rows.values[leader]))).all(axis=1)
    rejections = []
    for row in np.flatnonzero(~equal):
        kept = rows.reject(int(leader[row]), "")
        rejections.append(rows.reject(int(row), f"contradicts {kept.file} at {kept.place} (same time, other values)"))
    return rows.take(fresh), behind, int(np.count_nonzero(~fresh & equal)), rejections
