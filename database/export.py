"""Any table as CSV or Parquet, streamed, replaced whole at the end."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from data.clock import iso
from data.errors import UserError
from database.connection import Database
from database.faults import file_faults

PART = 50_000
HIDDEN = {"market_chunk", "forecast_chunk", "feature_data", "batches", "schema_history"}  # caches and book-keeping
TIMES = {"open_time", "known_at", "time", "entry_time", "exit_time", "time_limit", "valid_until"}
SERIES_NAMES = ("exchange", "symbol", "timeframe", "kind", "source")
FORMATS = (".csv", ".parquet")


class Export:
    """Writes tables to files outside the database."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def tables(self) -> list[str]:
        """What can be exported."""
        names = [row[0] for row in self._db.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        return [n for n in names if n not in HIDDEN and not n.startswith("sqlite_")]

    def write(self, table: str, path: Path, account: int | None = None) -> int:
        """Write a table (one account's rows, if named); how many rows. Times are ISO-8601 UTC in CSV, UTC
        milliseconds in Parquet; bytes are hexadecimal in both. The file appears when it is whole.

        Raises:
            UserError: unknown table or suffix, or the file cannot be written.
        """
        known = self.tables()
        if table not in known:
            raise UserError(f"There is no table '{table}': use one of {', '.join(known)}.")
        if path.suffix.lower() not in FORMATS:
            raise UserError(f"'{path.name}' has no format to write: end the file's name with .csv or .parquet.")
        writer = _write_csv if path.suffix.lower() == ".csv" else _write_parquet
        fresh = path.with_name(f".{path.name}.part")
        try:
            if not path.parent.is_dir() or path.is_dir():
                raise UserError(f"{path} cannot be written: name a file in a folder that exists.")
            with self._db.snapshot() as connection, file_faults(path):
                columns = [str(row[1]) for row in connection.execute(f"PRAGMA table_info({table})")]
                kinds = [str(row[2]) for row in connection.execute(f"PRAGMA table_info({table})")]
                sql, names, types, parameters = _query(table, columns, kinds, account)
                cursor = connection.execute(sql, parameters)
                rows = writer(fresh, names, types, lambda: cursor.fetchmany(PART))
                fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True) if fresh.parent.is_dir() else None
        return rows


def _query(
    table: str, columns: list[str], kinds: list[str], account: int | None
) -> tuple[str, list[str], list[str], tuple[int, ...]]:
    """The SELECT, with names in place of series and symbol numbers."""
    select: list[str] = []
    names: list[str] = []
    types: list[str] = []
    for name, kind in zip(columns, kinds, strict=True):
        if name == "series":
            select += [f"s.{n}" for n in SERIES_NAMES]
            names += SERIES_NAMES
            types += ["TEXT"] * len(SERIES_NAMES)
            continue
        if name == "symbol" and kind == "INTEGER":
            select.append("coalesce(json_extract(a.about, '$.symbols[' || t.symbol || ']'), '#' || t.symbol)")
            kind = "TEXT"
        else:
            select.append(f't."{name}"')
        names.append(name)
        types.append("TIME" if kind == "INTEGER" and (name in TIMES or name.endswith("_ms")) else kind)
    joins = " JOIN series s ON s.id = t.series" if "series" in columns else ""
    parameters: tuple[int, ...] = ()
    if "account" in columns:
        joins += " LEFT JOIN accounts a ON a.id = t.account"
        if account is not None:
            joins += " WHERE t.account = ?"
            parameters = (account,)
    return f"SELECT {', '.join(select)} FROM {table} t{joins}", names, types, parameters


def _converters(types: list[str]) -> list[Callable[[Any], Any] | None]:
    return [bytes.hex if kind == "BLOB" else iso if kind == "TIME" else None for kind in types]


def _parts(fetch: Callable[[], list[tuple[Any, ...]]]) -> Iterator[list[tuple[Any, ...]]]:
    while part := fetch():
        yield part


def _write_csv(path: Path, names: list[str], types: list[str], fetch: Callable[[], list[tuple[Any, ...]]]) -> int:
    convert = _converters(types)
    rows = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names)
        for part in _parts(fetch):
            out.writerows(
                [v if c is None or v is None else c(v) for v, c in zip(row, convert, strict=True)] for row in part
            )
            rows += len(part)
    return rows


def _write_parquet(path: Path, names: list[str], types: list[str], fetch: Callable[[], list[tuple[Any, ...]]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {"INTEGER": pa.int64(), "REAL": pa.float64(), "TIME": pa.timestamp("ms", tz="UTC")}
    schema = pa.schema([(n, arrow.get(t, pa.string())) for n, t in zip(names, types, strict=True)])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as out:
        for part in _parts(fetch):
            columns = list(zip(*part, strict=True))
            arrays = []
            for values, kind, field in zip(columns, types, schema, strict=True):
                if kind == "BLOB":
                    values = tuple(None if v is None else v.hex() for v in values)
                arrays.append(pa.array(values, type=field.type))
            out.write_table(pa.Table.from_arrays(arrays, schema=schema))
            rows += len(part)
    return rows
