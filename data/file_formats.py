"""Files of market data as raw tables: parquet, feather, CSV (with or without a header) and ZIP archives of CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.archive import csv_members
from data.errors import UserError
from data.import_layouts import HEADERLESS
from data.market import Int64Array

FORMATS = ".parquet, .feather, .csv or .zip"
UPDATE_NAMES = {"U": "first_update_id", "u": "last_update_id"}  # of a depth update, where case alone tells them apart

_MAGIC = {".parquet": (b"PAR1",), ".feather": (b"ARROW1", b"FEA1"), ".zip": (b"PK\x03\x04", b"PK\x05\x06")}


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """One table as it lies in a file: arrow columns by normalised name, and where each row came from."""

    label: str  # file, or file!member
    columns: dict[str, Any]  # pyarrow chunked arrays of one length
    lines: Int64Array  # [n] line of a text file (from 1), row number otherwise
    unit_of_place: str  # "line" or "row"
    malformed: tuple[tuple[int, str], ...] = ()  # (line, why) of rows that have no columns

    def place(self, row: int) -> str:
        """Where a row stands, for a person."""
        return f"{self.label} {self.unit_of_place} {self.lines[row]}"


def read_tables(path: Path, kind: str) -> Iterator[RawTable]:
    """The tables of a file; ``kind`` (a key of HEADERLESS) names the columns of a file without a header.

    Raises:
        UserError: the file is missing, empty, unreadable, or not in one of the formats.
    """
    suffix = _format_of(path)
    if suffix == ".zip":
        for member, content in csv_members(path):
            yield _from_csv(f"{path}!{member}", content, kind)
    elif suffix == ".csv":
        yield _from_csv(str(path), path.read_bytes(), kind)
    else:
        yield _from_arrow(path, suffix)


def _format_of(path: Path) -> str:
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder: name the files in it.")
        with path.open("rb") as stream:
            head = stream.read(8)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None
    if not head:
        raise UserError(f"{path} is empty.")
    found = next((s for s, marks in _MAGIC.items() if head.startswith(marks)), None)
    suffix = path.suffix.lower()
    if suffix in _MAGIC and found != suffix:
        raise UserError(f"{path} is not a {suffix[1:]} file, in spite of its name.")
    if suffix not in (*_MAGIC, ".csv", ".txt", "") and found is None:
        raise UserError(f"{path} is in no known format: give {FORMATS}.")
    return found or ".csv"


def _from_arrow(path: Path, suffix: str) -> RawTable:
    import pyarrow as pa

    try:
        if suffix == ".parquet":
            import pyarrow.parquet

            table = pa.parquet.read_table(path)
        else:
            import pyarrow.feather

            table = pa.feather.read_table(path)
    except (pa.ArrowException, OSError, ValueError):
        raise UserError(f"{path} is damaged: it cannot be read as {suffix[1:]}.") from None
    if not table.num_rows:
        raise UserError(f"{path} holds no rows.")
    names = [normalised(name) for name in table.column_names]
    _refuse_twins(str(path), names)
    return RawTable(str(path), dict(zip(names, table.columns, strict=True)), np.arange(1, table.num_rows + 1), "row")


def _from_csv(label: str, content: bytes, kind: str) -> RawTable:
    """Every field stays text here; empty lines are passed over, rows with another number of fields are listed."""
    import pyarrow as pa
    import pyarrow.compute
    import pyarrow.csv

    content = content.removeprefix(b"\xef\xbb\xbf")
    first_line = _first_line(label, content)
    delimiter = next((sign for sign in "\t;|" if sign in first_line), ",")  # a comma may stand in numbers and names
    fields = next(csv.reader([first_line], delimiter=delimiter))
    headed = not _is_number(fields[0])
    names = [normalised(f) for f in fields] if headed else _headerless(label, len(fields), kind)
    _refuse_twins(label, names)
    bad: list[tuple[int, str]] = []

    def remember(row: Any) -> str:
        bad.append((int(row.number), f"has {row.actual_columns} fields instead of {row.expected_columns}"))
        return "skip"

    try:
        table = pa.csv.read_csv(
            io.BytesIO(content),
            read_options=pa.csv.ReadOptions(use_threads=False, column_names=names, skip_rows=1 if headed else 0),
            parse_options=pa.csv.ParseOptions(
                delimiter=delimiter, invalid_row_handler=remember, ignore_empty_lines=False
            ),
            convert_options=pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
    except pa.ArrowException as error:
        where, reason = _unreadable_line(content), str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{label}{where} cannot be read as CSV: {reason}.") from None
    first = 2 if headed else 1
    lines = np.delete(np.arange(first, first + table.num_rows + len(bad)), [number - first for number, _ in bad])
    filled = np.zeros(table.num_rows, dtype=np.bool_)
    for column in table.columns:
        filled |= pa.compute.not_equal(column, "").to_numpy()
    if not filled.any() and not bad:
        raise UserError(f"{label} holds a header but no rows.")
    kept = table.columns if filled.all() else table.filter(pa.array(filled)).columns
    columns = dict(zip(names, kept, strict=True))
    return RawTable(label, columns, lines[filled], "line", tuple(bad))


def _first_line(label: str, content: bytes) -> str:
    if not content.strip():
        raise UserError(f"{label} is empty.")
    head = content[:65536]
    text, damage = "", head.find(b"\x00")
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        text = head[: error.start].decode("utf-8")
        if error.start < len(head) - 3:  # else a sign cut in two
            damage = error.start if damage < 0 else min(damage, error.start)
    if damage >= 0:
        line = head.count(b"\n", 0, damage) + 1
        if line == 1:
            raise UserError(f"{label} is not a text file: give {FORMATS}.")
        raise UserError(f"{label} line {line} is no text: the file is damaged.")
    return text.split("\n", 1)[0].rstrip("\r")


def _unreadable_line(content: bytes) -> str:
    """`` line N`` of the first line that is no text, empty if all of them are."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return f" line {line}"
    return ""


def _headerless(label: str, count: int, kind: str) -> list[str]:
    layouts = {len(names): names for names in HEADERLESS[kind]}
    if count not in layouts:
        known = ", ".join(str(n) for n in sorted(layouts))
        can = f"{kind} files without a header have {known} columns" if known else f"{kind} files need one"
        raise UserError(f"{label} line 1 has no header and {count} columns: {can}.")
    return list(layouts[count])


def _refuse_twins(label: str, names: list[str]) -> None:
    twins = sorted({n for n in names if names.count(n) > 1})
    if twins:
        raise UserError(f"{label} has the column '{twins[0]}' twice.")


def normalised(name: str) -> str:
    """``Open time``, ``openTime`` and ``open_time`` as ``open_time``; ``U`` and ``u`` are first and last update."""
    if name in UPDATE_NAMES:
        return UPDATE_NAMES[name]
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip().strip('"'))
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        # a headerless file may also begin with a date
        return bool(re.match(r"\s*\d{4}-\d{2}", text))
    return True
