"""Any table as CSV or Parquet, streamed; the file appears when it is whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.clock import iso
from data.errors import UserError
from data.market import SeriesKey
from database.connection import Database
from database.export_columns import PART, SERIES, Column, Expand, Query, Row, plain
from database.export_market import KIND_OF_TABLE, TABLE_OF_KIND, UNITS, observation_query, superseded_query
from database.faults import file_faults
from database.jsontext import canonical
from database.ledger_rows import unpack_decisions
from database.series import find_series
from trading.records import DECISION

HIDDEN = {"market_chunk", "forecast_chunk", "batches", "schema_history", "observations"}  # caches, book-keeping, parts
TIMES = {"open_time", "known_at", "time", "entry_time", "exit_time", "time_limit", "valid_until"}
FORMATS = (".csv", ".parquet")
SYMBOL = "coalesce(json_extract(a.about, '$.symbols[' || t.symbol || ']'), '#' || t.symbol)"
DECISION_FIELDS = tuple(n for n in DECISION.names or () if n not in ("symbol", "gate_values", "gate_limits"))


class Export:
    """Writes tables to files outside the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def tables(self) -> list[str]:
        """What can be exported: tables by name, and the observations of each kind (:data:`KIND_OF_TABLE`)."""
        names = [row[0] for row in self._db.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return sorted([n for n in names if n not in HIDDEN and not n.startswith("sqlite_")] + list(KIND_OF_TABLE))

    def write(self, table: str, path: Path, account: int | None = None) -> int:
        """Write a table (one account's rows, if named); how many rows. Times are ISO-8601 UTC in CSV and UTC
        timestamps of milliseconds in Parquet; series and symbol numbers become names, bytes hexadecimal text. Columns
        of market data carry their unit in Parquet's field metadata. What is exported of a series can be imported again.

        Raises:
            UserError: unknown table or suffix, or the file cannot be written.
        """
        known = self.tables()
        if table not in known:
            raise UserError(f"There is no table '{table}': use one of {', '.join(known)}.")
        if account is not None and table in KIND_OF_TABLE:
            raise UserError(f"The table '{table}' belongs to no account: leave --account out.")
        return self._write(table, path, {} if account is None else {"account": account})

    def write_series(self, key: SeriesKey, path: Path) -> int:
        """Write one stored series of any kind; how many rows. The file is as :meth:`write` makes it.

        Raises:
            UserError: nothing of the series is stored, or the file cannot be written.
        """
        with self._db.snapshot() as connection:
            series = find_series(connection, key)
        if series is None:
            raise UserError(f"Nothing of {key} is stored.")
        return self._write(TABLE_OF_KIND[key.kind], path, {"series": series})

    def _write(self, table: str, path: Path, only: dict[str, int]) -> int:
        if path.suffix.lower() not in FORMATS:
            raise UserError(f"'{path.name}' has no format to write: end the file's name with .csv or .parquet.")
        if not path.parent.is_dir() or path.is_dir():
            raise UserError(f"{path} cannot be written: name a file in a folder that exists.")
        save = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
        fresh = path.with_name(f".{path.name}.part")
        try:
            with self._db.snapshot() as connection, file_faults(path):
                query = _market_query(table) or _query(
                    table, connection.execute(f"PRAGMA table_info({table})").fetchall(), "account" in only
                )
                sql = query.sql
                if "series" in only:
                    sql += f" {'AND' if ' WHERE ' in sql else 'WHERE'} t.series = :series"
                rows = save(fresh, query.columns, _parts(connection.execute(sql, only), query))
                fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
        return rows


def _market_query(table: str) -> Query | None:
    if table == "superseded":
        return superseded_query()
    return observation_query(KIND_OF_TABLE[table]) if table in KIND_OF_TABLE else None


def _query(table: str, info: list[Row], one_account: bool) -> Query:
    """The SELECT, with names in place of series and symbol numbers."""
    present = [str(row[1]) for row in info]
    columns: list[Column] = []
    for _, name, kind, *_rest in info:
        if name == "series":
            columns += [Column(n, "TEXT", f"s.{n}") for n in SERIES]
        elif name == "symbol" and kind == "INTEGER":
            columns.append(Column(name, "TEXT", SYMBOL))
        else:
            time = kind == "INTEGER" and (name in TIMES or name.endswith("_ms"))
            unit = UNITS.get(name, "") if table in ("market_data", "funding") else ""
            columns.append(Column(name, "TIME" if time else kind, f't."{name}"', unit))
    expand: Expand | None = None
    if table == "decisions":
        columns, expand = _decision_columns()
    elif table == "feature_data":
        columns, expand = _feature_columns()
    sql = f"SELECT {', '.join(c.sql for c in columns if c.sql)} FROM {table} t"
    if "series" in present:
        sql += " JOIN series s ON s.id = t.series"
    if "account" in present:
        sql += " LEFT JOIN accounts a ON a.id = t.account" + (" WHERE t.account = :account" if one_account else "")
    elif one_account:
        raise UserError(f"The table '{table}' belongs to no account: leave --account out.")
    return Query(sql, columns, expand, PART if expand is None else PART // 100)


def _decision_columns() -> tuple[list[Column], Expand]:
    """The packed row unfolded: one column for each field, gates as JSON lists."""
    columns = [Column("id", "INTEGER", "t.id"), Column("account", "INTEGER", "t.account"),
               Column("symbol", "TEXT", SYMBOL), Column("hash", "BLOB", "t.hash")]  # fmt: skip
    for name in DECISION_FIELDS:
        kind = "TIME" if name in TIMES else "REAL" if DECISION[name].kind == "f" else "INTEGER"
        columns.append(Column(name, kind, "t.row" if name == "open_time" else ""))
    columns += [Column("gate_values", "TEXT"), Column("gate_limits", "TEXT")]

    def expand(part: list[Row]) -> list[Row]:
        rows = unpack_decisions([row[4] for row in part])
        fields: list[list[Any]] = [plain(rows[name]) for name in DECISION_FIELDS]
        for k, name in enumerate(DECISION_FIELDS):
            if name in TIMES:  # 0: there is none
                fields[k] = [time or None for time in fields[k]]
        gates = [[canonical(r) for r in rows[name]] for name in ("gate_values", "gate_limits")]
        heads = [row[:4] for row in part]
        return [(*head, *rest) for head, *rest in zip(heads, *fields, *gates, strict=True)]

    return columns, expand


def _feature_columns() -> tuple[list[Column], Expand]:
    """The chunks unfolded: one row for each bar and feature."""
    columns = [Column(n, "TEXT", f"s.{n}") for n in SERIES]
    columns += [Column("digest", "TEXT", "t.digest"), Column("open_time", "TIME", "t.names"),
                Column("name", "TEXT", "t.rows"), Column("value", "REAL", "t.blob")]  # fmt: skip

    def expand(part: list[Row]) -> list[Row]:
        out: list[Row] = []
        for row in part:
            names, n, blob = json.loads(row[6]), row[7], row[8]
            times = np.frombuffer(blob, dtype="<i8", count=n).tolist()
            x = np.frombuffer(blob, dtype="<f8", offset=8 * n).reshape(len(names), n)
            for name, values in zip(names, x, strict=True):
                out += [(*row[:6], time, name, value) for time, value in zip(times, plain(values), strict=True)]
        return out

    return columns, expand


def _parts(cursor: Any, query: Query) -> Iterator[list[Row]]:
    while part := cursor.fetchmany(query.part):
        yield part if query.expand is None else query.expand(part)


def _write_csv(path: Path, columns: list[Column], parts: Iterator[list[Row]]) -> int:
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


def _write_parquet(path: Path, columns: list[Column], parts: Iterator[list[Row]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TIME": pa.timestamp("ms", tz="UTC")}
    schema = pa.schema(
        [pa.field(c.name, arrow.get(c.kind, pa.string()), metadata={"unit": c.unit} if c.unit else None)
         for c in columns]
    )  # fmt: skip
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
