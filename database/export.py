"""Any table as CSV or Parquet, streamed; the file appears when it is whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.clock import iso
from data.errors import UserError
from database.connection import Database
from database.faults import file_faults
from database.jsontext import canonical
from database.ledger_rows import unpack_decisions
from trading.records import DECISION

PART = 20_000
HIDDEN = {"market_chunk", "forecast_chunk", "batches", "schema_history"}  # caches and book-keeping
TIMES = {"open_time", "known_at", "time", "entry_time", "exit_time", "time_limit", "valid_until"}
SERIES = ("exchange", "symbol", "timeframe", "kind", "source")
FORMATS = (".csv", ".parquet")
SYMBOL = "coalesce(json_extract(a.about, '$.symbols[' || t.symbol || ']'), '#' || t.symbol)"
DECISION_FIELDS = tuple(n for n in DECISION.names or () if n not in ("symbol", "gate_values", "gate_limits"))

Row = tuple[Any, ...]
Expand = Callable[[list[Row]], list[Row]]


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    kind: str  # INTEGER | REAL | TEXT | BLOB | TIME (milliseconds)
    sql: str = ""


@dataclass(frozen=True, slots=True)
class _Query:
    sql: str
    columns: list[_Column]
    expand: Expand | None = None


class Export:
    """Writes tables to files outside the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def tables(self) -> list[str]:
        """What can be exported."""
        names = [row[0] for row in self._db.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return [n for n in names if n not in HIDDEN and not n.startswith("sqlite_")]

    def write(self, table: str, path: Path, account: int | None = None) -> int:
        """Write a table (one account's rows, if named); how many rows. Times are ISO-8601 UTC in CSV and UTC
        timestamps in Parquet; series and symbol numbers become names, bytes hexadecimal text.

        Raises:
            UserError: unknown table or suffix, or the file cannot be written.
        """
        known = self.tables()
        if table not in known:
            raise UserError(f"There is no table '{table}': use one of {', '.join(known)}.")
        if path.suffix.lower() not in FORMATS:
            raise UserError(f"'{path.name}' has no format to write: end the file's name with .csv or .parquet.")
        if not path.parent.is_dir() or path.is_dir():
            raise UserError(f"{path} cannot be written: name a file in a folder that exists.")
        save = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
        fresh = path.with_name(f".{path.name}.part")
        try:
            with self._db.snapshot() as connection, file_faults(path):
                query = _query(table, connection.execute(f"PRAGMA table_info({table})").fetchall(), account)
                cursor = connection.execute(query.sql, () if account is None else {"account": account})
                rows = save(fresh, query.columns, _parts(cursor, query.expand))
                fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        return rows


def _query(table: str, info: list[Row], account: int | None) -> _Query:
    """The SELECT, with names in place of series and symbol numbers."""
    present = [str(row[1]) for row in info]
    columns: list[_Column] = []
    for _, name, kind, *_rest in info:
        if name == "series":
            columns += [_Column(n, "TEXT", f"s.{n}") for n in SERIES]
        elif name == "symbol" and kind == "INTEGER":
            columns.append(_Column(name, "TEXT", SYMBOL))
        else:
            time = kind == "INTEGER" and (name in TIMES or name.endswith("_ms"))
            columns.append(_Column(name, "TIME" if time else kind, f't."{name}"'))
    expand: Expand | None = None
    if table == "decisions":
        columns, expand = _decision_columns()
    elif table == "feature_data":
        columns, expand = _feature_columns()
    sql = f"SELECT {', '.join(c.sql for c in columns if c.sql)} FROM {table} t"
    if "series" in present:
        sql += " JOIN series s ON s.id = t.series"
    if "account" in present:
        sql += " LEFT JOIN accounts a ON a.id = t.account" + ("" if account is None else " WHERE t.account = :account")
    elif account is not None:
        raise UserError(f"The table '{table}' belongs to no account: leave --account out.")
    return _Query(sql, columns, expand)


def _decision_columns() -> tuple[list[_Column], Expand]:
    """The packed row unfolded: one column for each field, gates as JSON lists."""
    columns = [_Column("id", "INTEGER", "t.id"), _Column("account", "INTEGER", "t.account"),
               _Column("symbol", "TEXT", SYMBOL), _Column("hash", "BLOB", "t.hash")]  # fmt: skip
    for name in DECISION_FIELDS:
        kind = "TIME" if name in TIMES else "REAL" if DECISION[name].kind == "f" else "INTEGER"
        columns.append(_Column(name, kind, "t.row" if name == "open_time" else ""))
    columns += [_Column("gate_values", "TEXT"), _Column("gate_limits", "TEXT")]

    def expand(part: list[Row]) -> list[Row]:
        rows = unpack_decisions([row[4] for row in part])
        plain: list[list[Any]] = [_plain(rows[name]) for name in DECISION_FIELDS]
        gates = [[canonical(r) for r in rows[name]] for name in ("gate_values", "gate_limits")]
        heads = [row[:4] for row in part]
        return [(*head, *rest) for head, *rest in zip(heads, *plain, *gates, strict=True)]

    return columns, expand


def _feature_columns() -> tuple[list[_Column], Expand]:
    """The chunks unfolded: one row for each bar and feature."""
    columns = [_Column(n, "TEXT", f"s.{n}") for n in SERIES]
    columns += [_Column("digest", "TEXT", "t.digest"), _Column("open_time", "TIME", "t.names"),
                _Column("name", "TEXT", "t.rows"), _Column("value", "REAL", "t.blob")]  # fmt: skip

    def expand(part: list[Row]) -> list[Row]:
        out: list[Row] = []
        for row in part:
            names, n, blob = json.loads(row[6]), row[7], row[8]
            times = np.frombuffer(blob, dtype="<i8", count=n).tolist()
            x = np.frombuffer(blob, dtype="<f8", offset=8 * n).reshape(len(names), n)
            for name, values in zip(names, x, strict=True):
                out += [(*row[:6], time, name, value) for time, value in zip(times, _plain(values), strict=True)]
        return out

    return columns, expand


def _plain(values: Any) -> list[Any]:
    """A column as Python numbers; NaN is nothing."""
    return [None if v != v else v for v in values.tolist()]


def _parts(cursor: Any, expand: Expand | None) -> Iterator[list[Row]]:
    while part := cursor.fetchmany(PART if expand is None else PART // 100):
        yield part if expand is None else expand(part)


def _write_csv(path: Path, columns: list[_Column], parts: Iterator[list[Row]]) -> int:
    convert = [bytes.hex if c.kind == "BLOB" else iso if c.kind == "TIME" else None for c in columns]
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow([c.name for c in columns])
        for part in parts:
            out.writerows(
                [v if c is None or v is None else c(v) for v, c in zip(row, convert, strict=True)] for row in part
            )
            rows += len(part)
    return rows


def _write_parquet(path: Path, columns: list[_Column], parts: Iterator[list[Row]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TIME": pa.timestamp("ms", tz="UTC")}
    schema = pa.schema([(c.name, arrow.get(c.kind, pa.string())) for c in columns])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        for part in parts:
            arrays = []
            for values, column, field in zip(zip(*part, strict=True), columns, schema, strict=True):
                if column.kind == "BLOB":
                    values = tuple(None if v is None else v.hex() for v in values)
                arrays.append(pa.array(values, type=field.type))
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows += len(part)
    return rows
