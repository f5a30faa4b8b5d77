"""Times of imported rows: epochs in s, ms, us or ns, and written dates with or without a zone, as UTC milliseconds."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from data.errors import UserError
from data.file_formats import RawTable
from data.market import Int64Array

UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}  # nanoseconds in one
NO_TIME = np.iinfo(np.int64).min  # a cell that holds no time
EARLIEST_MS = 1_230_768_000_000  # 2009: before the first coin
LATEST_MS = 4_102_444_800_000  # 2100
_ZONE = re.compile(r"(?:[Zz]|UTC|[+-]\d{2}:?\d{2})\s*$")
_MAGNITUDES = (("s", 1e8, 1e11), ("ms", 1e11, 1e14), ("us", 1e14, 1e17), ("ns", 1e17, 1e19))


def zone(name: str | None) -> tzinfo:
    """The time zone called ``name`` (``None`` is UTC).

    Raises:
        UserError: no such zone.
    """
    if name is None or name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(f"Unknown time zone '{name}': write for example UTC or Europe/Berlin.") from None


def times_of(table: RawTable, column: str, tz: tzinfo, unit: str | None) -> Int64Array:
    """The times of a column in UTC milliseconds, ``NO_TIME`` where a cell holds none.

    Epochs are UTC by definition; ``tz`` is the zone of written dates that name none.

    Raises:
        UserError: units are mixed in one table, or the declared unit gives impossible dates.
    """
    import pyarrow as pa

    values = table.columns[column]
    if isinstance(values.type, pa.DictionaryType):
        values = values.cast(values.type.value_type)
    if pa.types.is_date(values.type):
        values = values.cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(values.type):
        return _from_timestamps(values, tz)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        numbers = _integers(values)
        if numbers is None:
            texts = values.to_pylist()
            _refuse_mixed_zones(table, texts)
            return _each(texts, lambda text: _written(text, tz))
    elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        numbers = _each(values.to_pylist(), _whole) if values.null_count else _cast_whole(values)
    else:
        raise UserError(f"{table.label} has no times in its column '{column}' (it holds {values.type}).")
    return _scaled(table, numbers, unit)


def _refuse_mixed_zones(table: RawTable, texts: list[str | None]) -> None:
    named = np.array([bool(_ZONE.search(text or "")) for text in texts], dtype=np.bool_)
    written = np.array([bool(text) and ":" in str(text) for text in texts], dtype=np.bool_)
    with_zone, without = np.flatnonzero(named & written), np.flatnonzero(~named & written)
    if len(with_zone) and len(without):
        raise UserError(
            f"{table.place(int(without[0]))} names no time zone, but {table.unit_of_place} "
            f"{table.lines[with_zone[0]]} does: one file must keep to one way of writing times."
        )


def _cast_whole(values: Any) -> Int64Array:
    import pyarrow as pa

    if pa.types.is_integer(values.type):
        return np.asarray(values.cast(pa.int64()).to_numpy(), dtype=np.int64)
    return _each(values.to_pylist(), _whole)


def _from_timestamps(values: Any, tz: tzinfo) -> Int64Array:
    import pyarrow as pa

    if values.type.tz is None and tz is not UTC:
        return _each(values.cast(pa.timestamp("us")).to_pylist(), lambda moment: _localised(moment, tz))
    per_ms = UNITS["ms"] // UNITS[values.type.unit]
    numbers = values.cast(pa.int64())
    missing = np.asarray(values.is_null().to_numpy(), dtype=np.bool_)
    raw = np.asarray(numbers.fill_null(0).to_numpy(), dtype=np.int64)
    ms = raw // per_ms if per_ms else raw * 1000
    return np.where(missing, NO_TIME, ms).astype(np.int64)


def _integers(values: Any) -> Int64Array | None:
    """Text as integers if it is all epochs (cells that are not become ``NO_TIME``), ``None`` if it is written dates."""
    import pyarrow as pa

    try:
        return np.asarray(values.cast(pa.int64()).to_numpy(), dtype=np.int64)
    except pa.ArrowInvalid:
        texts = values.to_pylist()
    numbers = _each(texts, _whole)
    return numbers if np.count_nonzero(numbers != NO_TIME) * 2 > len(numbers) else None


def _each(cells: list[Any], read: Callable[[Any], int]) -> Int64Array:
    return np.fromiter((NO_TIME if cell is None else read(cell) for cell in cells), dtype=np.int64, count=len(cells))


def _whole(cell: Any) -> int:
    """A cell as an integer: ``1609459200000``, ``1609459200000.0`` and ``1.6094592e12`` are the same."""
    try:
        return int(cell) if isinstance(cell, str) and cell.strip().isdigit() else int(float(cell))
    except (ValueError, OverflowError):
        return NO_TIME


def _written(text: str, tz: tzinfo) -> int:
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        return NO_TIME
    return _localised(moment, tz)


def _localised(moment: datetime | None, tz: tzinfo) -> int:
    """UTC milliseconds; a local time that comes twice or never (clocks changed) has none."""
    if moment is None:
        return NO_TIME
    if moment.tzinfo is None:
        first, second = (moment.replace(tzinfo=tz, fold=fold) for fold in (0, 1))
        if first.utcoffset() != second.utcoffset():
            return NO_TIME
        moment = first
    return int(moment.timestamp() * 1000)


def _scaled(table: RawTable, numbers: Int64Array, unit: str | None) -> Int64Array:
    """Epochs as milliseconds; without a declared unit the magnitude tells it, and all rows must agree."""
    good = numbers != NO_TIME
    if unit is None:
        unit = _detected(table, numbers, good)
        if unit is None:
            return np.full(len(numbers), NO_TIME, dtype=np.int64)
    if unit == "s":
        in_range = np.abs(numbers) < np.iinfo(np.int64).max // 1000
        ms = np.where(in_range, numbers, 0) * 1000
        ms = np.where(in_range, ms, LATEST_MS)
    else:
        ms = numbers // (UNITS["ms"] // UNITS[unit])
    plausible = (ms >= EARLIEST_MS) & (ms < LATEST_MS)
    if good.any() and np.count_nonzero(good & plausible) * 2 < np.count_nonzero(good):
        row = int(np.flatnonzero(good & ~plausible)[0])
        raise UserError(f"{table.place(row)}: the time {numbers[row]} is no date between 2009 and 2100 in {unit}.")
    return np.where(good & plausible, ms, NO_TIME).astype(np.int64)


def _detected(table: RawTable, numbers: Int64Array, good: Any) -> str | None:
    found: dict[str, int] = {}
    for unit, low, high in _MAGNITUDES:
        rows = np.flatnonzero(good & (numbers >= low) & (numbers < high))
        if len(rows):
            found[unit] = int(rows[0])
    if len(found) > 1:
        (one, first), (other, second) = sorted(found.items(), key=lambda item: item[1])[:2]
        raise UserError(
            f"{table.place(second)} has a time in {other} after one in {one} ({table.unit_of_place} "
            f"{table.lines[first]}): one file must keep to one unit."
        )
    return next(iter(found), None)
