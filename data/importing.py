"""Files into the store: a plan that reads and checks everything, and one transaction that writes it.

Formats: parquet, feather, CSV with or without a header, and ZIP archives of CSV as exchanges publish them
(:mod:`data.import_layouts`). Bad rows are left out and listed; too many of them and nothing is imported at all.
What is imported counts as known at the bar's close, the settlement or the row's time, never at the import, unless
the file has a column ``known_at`` of its own (the program's own exports do).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

import numpy as np

from data.clock import Clock, SystemClock
from data.errors import UserError
from data.file_formats import RawTable, read_tables
from data.import_book import holds_updates, read_book, sample_updates
from data.import_cells import numbers, plain
from data.import_checks import Checks, candle_checks, funding_checks, observation_checks, rounded_to_minute
from data.import_layouts import FIELDS, IMPORTABLE, archive_of, refuse_other_archive
from data.import_plan import (
    Content,
    ImportPlan,
    ImportReport,
    ImportRequest,
    content_of,
    numbered,
    preview_import,
    run_import,
)
from data.import_rows import (
    EXPORTED,
    Rejection,
    Rows,
    check_names,
    column_of,
    concatenate,
    read_rows,
    rows_of,
    sort_and_merge,
    split_bad,
)
from data.import_steps import common_step, holes, timeframe_of
from data.import_times import NO_TIME, UNITS, zone
from data.market import BAR_KINDS, KINDS, SOURCES, TICK, Frame, FundingFrame, SeriesKey, unified_symbol
from data.quality import funding_gaps, gaps
from data.quality_findings import Gap
from data.timeframes import timeframe_ms

__all__ = ["ImportPlan", "ImportReport", "ImportRequest", "plan_import", "preview_import", "run_import"]

FUNDING_TIMEFRAME = "8h"
OBSERVED_EVERY = {"metrics": "5m", "premium": "1m"}  # the others are events
MAX_BAD_SHARE = 0.01
SHOWN_BAD_ROWS = 3  # in the sentence of a refused import


def plan_import(paths: Sequence[Path | str], request: ImportRequest, clock: Clock | None = None) -> ImportPlan:
    """Read and check the files of one series; nothing is written.

    Raises:
        UserError: a file or an option is wrong, the data contradicts the request, or over 1 % of the rows are bad.
    """
    files = [Path(p) for p in paths]
    symbol = _checked(request, files)
    now_ms = (clock or SystemClock()).now_ms()
    named = SeriesKey(request.exchange, symbol, request.timeframe or "", request.kind, request.source)
    tables: list[RawTable] = []
    for path in files:
        _agree_with_name(path, request.kind, symbol)
        for table in read_tables(path, request.kind):
            check_names(table, named)
            tables.append(table)
    malformed = [Rejection(table.label, line, why) for table in tables for line, why in table.malformed]
    parts, unread, breaks = _read(tables, request, symbol)
    malformed += unread
    rows = concatenate(parts)
    total = len(rows) + len(malformed)
    if holds_updates(tables[0]) and request.kind == "book":
        total = sum(len(table.lines) + len(table.malformed) for table in tables)
    key = SeriesKey(request.exchange, symbol, _timeframe(request, tables, parts, rows), request.kind, request.source)
    good, bad = split_bad(rows, _checks(key, rows, now_ms))
    if not len(good):
        _refuse_bad_files([*malformed, *bad], total, 0)
    if key.kind == "funding":
        good = replace(good, time=rounded_to_minute(good.time))
    good, behind, repeated, contradictions = sort_and_merge(numbered(good, key.kind))
    rejections = sorted([*malformed, *bad, *contradictions], key=lambda r: (r.file, r.place))
    _refuse_bad_files(rejections, total, len(good))
    content = content_of(key, good)
    return ImportPlan(key, content, total, repeated, behind, tuple(rejections), (*breaks, *_gaps(content)))


def _read(tables: list[RawTable], request: ImportRequest, symbol: str) -> tuple[list[Rows], list[Rejection], list[Gap]]:
    """Rows of every table, with rows that could not become any and breaks between depth updates."""
    tz, unit = zone(request.tz), request.unit
    if request.kind == "book":
        updates = [holds_updates(table) for table in tables]
        if all(updates):
            rows, unread, breaks = sample_updates(tables, symbol, tz, unit)
            return [rows], unread, breaks
        if any(updates):
            raise UserError(f"{tables[updates.index(True)].label} holds depth updates, other files whole books.")
        return [read_book(table, tz, unit) for table in tables], [], []
    if request.kind == "trades":
        _refuse_two_sorts_of_trades(tables)
    if request.kind == "metrics":
        return (
            [_interest(t, tz, unit) if _is_interest(t) else read_rows(t, "metrics", tz, unit) for t in tables],
            [],
            [],
        )
    return [read_rows(table, request.kind, tz, unit) for table in tables], [], []


def _refuse_two_sorts_of_trades(tables: list[RawTable]) -> None:
    """Aggregated trades and single ones tell the same volume twice and are numbered apart."""
    sums = ["agg_trade_id" in table.columns for table in tables]
    if any(sums) and not all(sums):
        raise UserError(
            f"{tables[sums.index(True)].label} holds aggregated trades, {tables[sums.index(False)].label} single ones: "
            "import one sort only."
        )


def _is_interest(table: RawTable) -> bool:
    """Candles of open interest, which only the file's name tells from candles of a price."""
    fields = [name for field in FIELDS["metrics"] for name in field.names]
    return (
        "open_interest" in Path(table.label).name.lower().replace("-", "_")
        and {"open", "close"} <= set(table.columns)
        and not column_of(table, tuple(fields))
    )


def _interest(table: RawTable, tz: tzinfo, unit: str | None) -> Rows:
    """Candles of open interest as the interest at each one's end."""
    time = read_rows(table, "mark", tz, unit).time
    step = common_step(time)
    if step is None:
        raise UserError(f"{table.label} has too few rows to tell how long its candles are.")
    values = np.full((len(time), len(FIELDS["metrics"])), np.nan)
    values[:, 0] = numbers(table, "close")
    return rows_of(table, np.where(time == NO_TIME, NO_TIME, time + step[0]), values)


def _timeframe(request: ImportRequest, tables: list[RawTable], parts: list[Rows], rows: Rows) -> str:
    if request.kind == "funding":
        return FUNDING_TIMEFRAME
    if all(set(EXPORTED) <= set(table.columns) for table in tables):
        said = {str(name) for table in tables for name in plain(table, "timeframe").unique().to_pylist()}
        if len(said) > 1:
            raise UserError(
                f"{tables[0].label} holds bars of {' and '.join(sorted(said))}: export one series at a time."
            )
        return said.pop()
    if request.kind in BAR_KINDS:
        return timeframe_of(parts, rows, request.timeframe)
    return request.timeframe or OBSERVED_EVERY.get(request.kind, TICK)


def _checks(key: SeriesKey, rows: Rows, now_ms: int) -> Checks:
    if key.kind == "funding":
        return funding_checks(rows, now_ms)
    if key.kind in BAR_KINDS:
        return candle_checks(rows, key.step_ms, now_ms)
    return observation_checks(rows, key.kind, now_ms)


def _gaps(content: Content) -> list[Gap]:
    if isinstance(content, Frame):
        return gaps(content)
    if isinstance(content, FundingFrame):
        return funding_gaps(content)
    return holes(content.time) if content.key.kind == "metrics" else []


def _checked(request: ImportRequest, files: list[Path]) -> str:
    """The unified symbol, after every option was looked at."""
    if not files:
        raise UserError("Name at least one file to import.")
    twice = next((f for i, f in enumerate(files) if f in files[:i]), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice.")
    if request.kind not in KINDS:
        raise UserError(f"Unknown kind '{request.kind}': use one of {', '.join(IMPORTABLE)}.")
    if request.unit is not None and request.unit not in UNITS:
        raise UserError(f"Unknown unit '{request.unit}': use one of s, ms, us, ns.")
    if request.source not in SOURCES:
        raise UserError(f"Unknown source '{request.source}': use one of {', '.join(SOURCES)}.")
    zone(request.tz)
    if request.timeframe is not None:
        timeframe_ms(request.timeframe)
        if request.kind == "funding" and request.timeframe != FUNDING_TIMEFRAME:
            raise UserError(f"Funding is stored as {FUNDING_TIMEFRAME}: leave out --timeframe.")
        if request.kind not in (*BAR_KINDS, *OBSERVED_EVERY, "funding"):
            raise UserError(f"{request.kind.capitalize()} are single events: leave out --timeframe.")
    return unified_symbol(request.symbol)


def _agree_with_name(path: Path, kind: str, symbol: str) -> None:
    """An exchange's archive file names its symbol and kind: ``ETHUSDT-1m-2024-01.zip`` is no Bitcoin."""
    archive = archive_of(path)
    if archive is not None and unified_symbol(archive[0]) != symbol:
        raise UserError(f"{path} is an archive of {archive[0]}, but the import is for {symbol}.")
    refuse_other_archive(path, kind)


def _refuse_bad_files(rejections: list[Rejection], total: int, good: int) -> None:
    if good and len(rejections) <= MAX_BAD_SHARE * total:
        return
    shown = "; ".join(f"{r.file} line {r.place} {r.reason}" for r in rejections[:SHOWN_BAD_ROWS])
    if not good:
        raise UserError(f"None of the {total} rows is good, so nothing was imported: {shown or 'there are no rows'}.")
    raise UserError(
        f"{len(rejections)} of {total} rows are bad (over {MAX_BAD_SHARE:.0%}), so nothing was imported: {shown}."
    )
