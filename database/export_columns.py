"""What an exported table is made of: a query, its columns by name and kind, and how packed rows unfold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SERIES = ("exchange", "symbol", "timeframe", "kind", "source")

PART = 20_000

Row = tuple[Any, ...]
Expand = Callable[[list[Row]], list[Row]]


@dataclass(frozen=True, slots=True)
class Column:
    """``kind``: INTEGER, REAL, TEXT, BLOB (hexadecimal text) or TIME (milliseconds); ``sql`` empty: made by expand."""

    name: str
    kind: str
    sql: str = ""
    unit: str = ""  # of its numbers, where the name does not say it


@dataclass(frozen=True, slots=True)
class Query:
    """A SELECT, the columns that come out, and what makes rows of them where its own are packed."""

    sql: str
    columns: list[Column]
    expand: Expand | None = None
    part: int = PART  # rows read at a time


def plain(values: Any) -> list[Any]:
    """A column as Python numbers; NaN is nothing."""
    return [None if v != v else v for v in values.tolist()]
