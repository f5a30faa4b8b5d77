"""Checked rows: raw tables as plain columns of candles or funding, with every bad row named and explained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.file_formats import RawTable
from data.import_times import NO_TIME, times_of
from data.market import Float64Array, Int64Array, unified_symbol
from data.timeframes import MINUTE_MS

BoolArray = npt.NDArray[np.bool_]

TIME_NAMES = ("open_time", "timestamp", "time", "datetime", "date", "calc_time", "funding_time", "start_time", "ts")
SYMBOL_NAMES = ("symbol", "pair", "instrument", "coin")
EXCHANGE_NAMES = ("exchange", "venue")
PRICES = ("open", "high", "low", "close")
RATE_NAMES = ("funding_rate", "last_funding_rate", "rate")
MAX_SETTLEMENT_SHIFT_MS = 5_000  # recorded settlement times lag by milliseconds, never by seconds


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that was left out."""

    file: str
    place: int  # line of a text file (from 1), row number otherwise
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Checked rows of one or more tables. ``values`` are ``[n, columns]`` in the order of the kind's columns."""

    tables: tuple[RawTable, ...]
    table: Int64Array  # [n] index into ``tables``
    line: Int64Array  # [n]
    time: Int64Array  # [n] ms UTC
    values: Float64Array

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: Any) -> Rows:
        """The rows of an index or a mask."""
        return Rows(self.tables, self.table[index], self.line[index], self.time[index], self.values[index])

    def reject(self, row: int, reason: str) -> Rejection:
        """A rejection of one row."""
        return Rejection(self.tables[self.table[row]].label, int(self.line[row]), reason)


def read_rows(table: RawTable, kind: str, symbol: str, exchange: str, tz: tzinfo, unit: str | None) -> Rows:
    """One table's rows, unchecked but numeric (what is no number is NaN, no time is ``NO_TIME``).

    Raises:
        UserError: a column is missing, the symbol or exchange column contradicts, or the time units are mixed.
    """
    names = _columns_of(table, kind)
    _agree(table, SYMBOL_NAMES, symbol, "symbol")
    _agree(table, EXCHANGE_NAMES, exchange, "exchange")
    time = times_of(table, names[0], tz, unit)
    count = len(time)
    values = np.column_stack([_numbers(table.columns[n]) if n else np.zeros(count) for n in names[1:]])
    if kind == "funding" and not names[2]:
        values[:, 1] = np.nan
    return Rows((table,), np.zeros(count, dtype=np.int64), table.lines.astype(np.int64), time, values)


def _columns_of(table: RawTable, kind: str) -> tuple[str, ...]:
    """The file's names for time and values; an empty name is a column that may be absent and is."""
    have = table.columns
    wanted: tuple[tuple[str, ...], ...]
    if kind == "funding":
        wanted, optional = (TIME_NAMES, RATE_NAMES, ("mark_price",)), {"mark_price"}
    else:
        wanted = (TIME_NAMES, *((name,) for name in PRICES), ("volume",))
        optional = {"volume"} if kind == "mark" else set()
    names = []
    for choices in wanted:
        name = next((n for n in choices if n in have), "")
        if not name and choices[0] not in optional:
            what = "time" if choices is TIME_NAMES else choices[0]
            other = " Is it a funding file (--kind funding)?" if kind != "funding" and "funding_rate" in have else ""
            raise UserError(f"{table.label} has no column for {what}; its columns are: {', '.join(have)}.{other}")
        names.append(name)
    return tuple(names)


def _agree(table: RawTable, names: tuple[str, ...], expected: str, what: str) -> None:
    column = next((n for n in names if n in table.columns), None)
    if column is None:
        return
    for found in table.columns[column].unique().to_pylist():
        text = str(found)
        if what == "symbol":
            try:
                agrees = text.upper() == expected.split("/")[0] or unified_symbol(text) == expected
            except UserError:
                agrees = False
        else:
            agrees = expected.startswith(text.lower())
        if not agrees:
            raise UserError(f"{table.label} holds rows of {what} '{text}', but the import is for {expected}.")


def _numbers(column: Any) -> Float64Array:
    import pyarrow as pa

    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    try:
        return np.array(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return np.fromiter((_number(cell) for cell in column.to_pylist()), dtype=np.float64, count=len(column))


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def concatenate(parts: Iterable[Rows]) -> Rows:
    """The rows of several tables, in the order of the tables."""
    rows = list(parts)
    tables = tuple(t for part in rows for t in part.tables)
    index = np.concatenate([part.table + i for i, part in enumerate(rows)])
    return Rows(
        tables, index, np.concatenate([p.line for p in rows]), np.concatenate([p.time for p in rows]),
        np.concatenate([p.values for p in rows]),
    )  # fmt: skip


def split_bad(rows: Rows, checks: list[tuple[str, BoolArray]]) -> tuple[Rows, list[Rejection]]:
    """Take out the rows that fail a check; the first failed one is the reason."""
    first = np.full(len(rows), -1, dtype=np.int64)
    for i, (_, failed) in enumerate(checks):
        first[(first < 0) & failed] = i
    rejections = [rows.reject(int(row), checks[first[row]][0]) for row in np.flatnonzero(first >= 0)]
    return rows.take(first < 0), rejections


def candle_checks(rows: Rows, step_ms: int, now_ms: int) -> list[tuple[str, BoolArray]]:
    """What must not be true of a candle (values are open, high, low, close, volume)."""
    o, h, lo, c, v = rows.values.T
    prices = rows.values[:, :4]
    time = rows.time
    return [
        ("has no readable time", time == NO_TIME),
        ("has a price that is no number", ~np.isfinite(prices).all(axis=1)),
        ("has a price of zero or less", (prices <= 0).any(axis=1)),
        ("has a high below its low", h < lo),
        ("has a high below its open or close", h < np.maximum(o, c)),
        ("has a low above its open or close", lo > np.minimum(o, c)),
        ("has a volume that is no number", ~np.isfinite(v)),
        ("has a negative volume", v < 0),
        ("does not open on the timeframe's grid", time % step_ms != 0),
        ("lies in the future", time + step_ms > now_ms),
    ]


def funding_checks(rows: Rows, now_ms: int) -> list[tuple[str, BoolArray]]:
    """What must not be true of a settlement (values are rate, mark price; times not yet rounded)."""
    rate, mark = rows.values.T
    shift = np.abs(rows.time - rounded_to_minute(rows.time))
    return [
        ("has no readable time", rows.time == NO_TIME),
        ("has a rate that is no number", ~np.isfinite(rate)),
        ("has a rate beyond 100 %", np.abs(rate) > 1.0),
        ("has a mark price of zero or less", mark <= 0),
        ("is not at a whole minute", shift > MAX_SETTLEMENT_SHIFT_MS),
        ("lies in the future", rows.time > now_ms),
    ]


def rounded_to_minute(time: Int64Array) -> Int64Array:
    """Times rounded to the nearest minute."""
    return ((np.where(time == NO_TIME, 0, time) + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS).astype(np.int64)


def sort_and_merge(rows: Rows) -> tuple[Rows, int, int, list[Rejection]]:
    """Rows by time, each time once: ``(rows, out of order, repeated, contradicting repeats)``.

    A repeated time with equal values is counted; one with other values is rejected and the first one read stays.
    """
    behind = int(np.count_nonzero(np.diff(rows.time) < 0))
    order = np.argsort(rows.time, kind="stable")
    rows = rows.take(order)
    fresh = np.concatenate([[True], np.diff(rows.time) != 0])
    leader = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    equal = ((rows.values == rows.values[leader]) | (np.isnan(rows.values) & np.isnan(rows.values[leader]))).all(axis=1)
    rejections = []
    for row in np.flatnonzero(~equal):
        kept = rows.reject(int(leader[row]), "")
        rejections.append(rows.reject(int(row), f"contradicts {kept.file} at {kept.place} (same time, other values)"))
    return rows.take(fresh), behind, int(np.count_nonzero(~fresh & equal)), rejections
