"""Cells of imported columns as numbers: empty is NaN, text that is no number is infinite (and so is found out)."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from data.errors import UserError
from data.file_formats import RawTable
from data.market import Float64Array, Int64Array

UNREADABLE = float("inf")
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+\s*")
_SIDES = {"buy": 1.0, "b": 1.0, "bid": 1.0, "1": 1.0, "+1": 1.0, "1.0": 1.0,
          "sell": -1.0, "s": -1.0, "ask": -1.0, "a": -1.0, "-1": -1.0, "-1.0": -1.0}  # fmt: skip


def numbers(table: RawTable, column: str) -> Float64Array:
    """A column as numbers ``[n]``: NaN where a cell is empty, infinite where it is no number.

    Raises:
        UserError: a number is written with a decimal comma.
    """
    import pyarrow as pa

    values = plain(table, column)
    try:
        return np.array(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), dtype=np.float64)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        cells = values.to_pylist()
    found = np.fromiter((_number(cell) for cell in cells), dtype=np.float64, count=len(cells))
    for row in np.flatnonzero(found == UNREADABLE):
        if _DECIMAL_COMMA.fullmatch(str(cells[row])):
            raise UserError(
                f"{table.place(int(row))} writes {cells[row]} with a decimal comma: write numbers with a point."
            )
    return found


def wholes(table: RawTable, column: str) -> tuple[Int64Array, Any]:
    """A column of whole numbers ``[n]`` (0 where a cell is none) and which cells are none ``[n]``."""
    import pyarrow as pa

    values = plain(table, column)
    try:
        exact = values.cast(pa.int64())
        return np.asarray(exact.fill_null(0).to_numpy(), dtype=np.int64), np.asarray(exact.is_null().to_numpy())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        read = [_whole(cell) for cell in values.to_pylist()]
    bad = np.array([cell is None for cell in read], dtype=np.bool_)
    return np.array([cell or 0 for cell in read], dtype=np.int64), bad


def sides(table: RawTable, column: str, maker: bool) -> Float64Array:
    """+1 where the taker bought, −1 where he sold, infinite where the cell says neither.

    ``maker``: the column says instead whether the buyer was the maker.
    """
    cells = plain(table, column).to_pylist()
    meaning = {"true": -1.0, "1": -1.0, "false": 1.0, "0": 1.0} if maker else _SIDES
    known = {cell: meaning.get(str(cell).strip().lower(), UNREADABLE) for cell in set(cells)}
    return np.fromiter((known[cell] for cell in cells), dtype=np.float64, count=len(cells))


def plain(table: RawTable, column: str) -> Any:
    """The arrow column with dictionaries unfolded."""
    import pyarrow as pa

    values = table.columns[column]
    return values.cast(values.type.value_type) if isinstance(values.type, pa.DictionaryType) else values


def _number(cell: Any) -> float:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return float("nan")
    try:
        return float(cell)
    except (TypeError, ValueError):
        return UNREADABLE


def _whole(cell: Any) -> int | None:
    try:
        return int(cell) if not isinstance(cell, float) or cell.is_integer() else None
    except (TypeError, ValueError, OverflowError):
        return None
