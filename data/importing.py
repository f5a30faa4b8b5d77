"""Files into the store: a plan that reads and checks everything, and one transaction that writes it.

Formats: parquet, feather, CSV with or without a header, and ZIP archives of CSV as exchanges publish them (klines,
markPriceKlines, fundingRate). Bad rows are left out and listed; too many of them and nothing is imported at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.clock import Clock, SystemClock, iso
from data.errors import UserError
from data.file_formats import read_tables
from data.import_rows import (
    Rejection,
    Rows,
    candle_checks,
    concatenate,
    funding_checks,
    read_rows,
    rounded_to_minute,
    sort_and_merge,
    split_bad,
)
from data.import_times import NO_TIME, UNITS, zone
from data.market import (
    KINDS,
    SOURCES,
    Frame,
    FundingFrame,
    Int64Array,
    SeriesKey,
    WriteReport,
    distinct_times,
    unified_symbol,
)
from data.quality import Gap, funding_gaps, gaps
from data.store import CandleStore
from data.timeframes import MINUTE_MS, TIMEFRAMES, timeframe_ms

IMPORTABLE = ("ohlcv", "mark", "funding")
FUNDING_TIMEFRAME = "8h"
MAX_BAD_SHARE = 0.01
SHOWN_BAD_ROWS = 3  # in the sentence of a refused import


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What the files are said to be. ``timeframe`` and ``unit`` are read from the data where ``None``.

    ``tz`` is the zone of written times that name none (``None``: UTC); epochs are always UTC.
    """

    symbol: str
    timeframe: str | None = None
    exchange: str = "binanceusdm"
    kind: str = "ohlcv"
    tz: str | None = None
    unit: str | None = None
    source: str = "exchange"


@dataclass(frozen=True, slots=True, eq=False)
class ImportPlan:
    """What an import would write, and what it leaves out; making it changes nothing."""

    key: SeriesKey
    content: Frame | FundingFrame
    rows: int  # read from the files, bad and repeated ones included
    repeated: int  # rows that say again what another row of the files said
    out_of_order: int  # rows that stood behind a later one; they are sorted in
    rejections: tuple[Rejection, ...]
    gaps: tuple[Gap, ...]

    @property
    def span(self) -> tuple[int, int]:
        """Half-open: the first time, and the end of the last bar (of the last settlement's minute), ms UTC."""
        if isinstance(self.content, FundingFrame):
            return int(self.content.time[0]), int(self.content.time[-1]) + MINUTE_MS
        return int(self.content.open_time[0]), int(self.content.open_time[-1]) + self.key.step_ms


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did; ``duplicates`` counts repeats within the files and rows that the store already held."""

    series: SeriesKey
    rows: int
    inserted: int
    revised: int
    duplicates: int
    rejected: int
    rejections: tuple[Rejection, ...]
    gaps: int
    gap_list: tuple[Gap, ...]
    span: tuple[int, int]
    out_of_order: int = 0
    dry_run: bool = False

    def document(self) -> dict[str, Any]:
        """The report as JSON values, times in ISO-8601."""
        key = self.series
        return {
            "series": {
                "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "kind": key.kind,
                "source": key.source,
            },
            "rows": self.rows, "inserted": self.inserted, "revised": self.revised, "duplicates": self.duplicates,
            "rejected": self.rejected,
            "rejections": [{"file": r.file, "line": r.place, "reason": r.reason} for r in self.rejections],
            "gaps": self.gaps,
            "gap_list": [{"from": iso(g.start_ms), "to": iso(g.end_ms), "bars": g.bars} for g in self.gap_list],
            "span": {"from": iso(self.span[0]), "to": iso(self.span[1])},
            "out_of_order": self.out_of_order, "dry_run": self.dry_run,
        }  # fmt: skip


def plan_import(paths: Sequence[Path | str], request: ImportRequest, clock: Clock | None = None) -> ImportPlan:
    """Read and check the files of one series; nothing is written.

    Raises:
        UserError: a file or an option is wrong, the data contradicts the request, or over 1 % of the rows are bad.
    """
    files = [Path(p) for p in paths]
    symbol = _checked(request, files)
    now_ms = (clock or SystemClock()).now_ms()
    tz = zone(request.tz)
    parts, malformed = [], []
    for path in files:
        _agree_with_name(path, symbol)
        for table in read_tables(path, request.kind):
            parts.append(read_rows(table, request.kind, symbol, request.exchange, tz, request.unit))
            malformed += [Rejection(table.label, line, why) for line, why in table.malformed]
    rows = concatenate(parts)
    total = len(rows) + len(malformed)
    if request.kind == "funding":
        key = SeriesKey(request.exchange, symbol, FUNDING_TIMEFRAME, "funding", request.source)
        good, bad = split_bad(rows, funding_checks(rows, now_ms))
        good = Rows(good.tables, good.table, good.line, rounded_to_minute(good.time), good.values)
    else:
        timeframe = _timeframe_of(parts, rows, request.timeframe)
        key = SeriesKey(request.exchange, symbol, timeframe, request.kind, request.source)
        good, bad = split_bad(rows, candle_checks(rows, key.step_ms, now_ms))
    if not len(good):
        _refuse_bad_files([*malformed, *bad], total, 0)
    good, behind, repeated, contradictions = sort_and_merge(good)
    rejections = sorted([*malformed, *bad, *contradictions], key=lambda r: (r.file, r.place))
    _refuse_bad_files(rejections, total, len(good))
    return _plan(key, good, total, repeated, behind, tuple(rejections))


def run_import(plan: ImportPlan, store: CandleStore) -> ImportReport:
    """Write a plan in one transaction. Running it again changes nothing and reports duplicates."""
    content = plan.content
    written = store.write_funding(content) if isinstance(content, FundingFrame) else store.write(content)
    return _report(plan, written, dry_run=False)


def preview_import(plan: ImportPlan, store: CandleStore) -> ImportReport:
    """What :func:`run_import` would report, held against the store as it is (``--dry-run``)."""
    start, end = plan.span
    if isinstance(plan.content, FundingFrame):
        new = plan.content
        old = store.read_funding(new.exchange, new.symbol, new.source, start, end)
        written = _compared(new.time, np.column_stack([new.rate, new.mark_price]), old.time,
                            np.column_stack([old.rate, old.mark_price]))  # fmt: skip
    else:
        stored = store.read(plan.key, start, end)
        written = _compared(plan.content.open_time, _prices(plan.content), stored.open_time, _prices(stored))
    return _report(plan, written, dry_run=True)


def _prices(frame: Frame) -> Any:
    return np.column_stack([frame.open, frame.high, frame.low, frame.close, frame.volume])


def _compared(new_time: Int64Array, new: Any, old_time: Int64Array, old: Any) -> WriteReport:
    """Count rows that are new, changed and equal; NaN equals NaN."""
    _, at_new, at_old = np.intersect1d(new_time, old_time, assume_unique=True, return_indices=True)
    equal = np.all((new[at_new] == old[at_old]) | (np.isnan(new[at_new]) & np.isnan(old[at_old])), axis=1)
    same = int(np.count_nonzero(equal))
    return WriteReport(len(new_time), len(new_time) - len(at_new), len(at_new) - same, same)


def _checked(request: ImportRequest, files: list[Path]) -> str:
    """The unified symbol, after every option was looked at."""
    if not files:
        raise UserError("Name at least one file to import.")
    twice = next((f for i, f in enumerate(files) if f in files[:i]), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice.")
    if request.kind not in KINDS:
        raise UserError(f"Unknown kind '{request.kind}': use one of {', '.join(IMPORTABLE)}.")
    if request.kind not in IMPORTABLE:
        raise UserError(f"Files of kind '{request.kind}' can not be imported; {', '.join(IMPORTABLE)} can.")
    if request.unit is not None and request.unit not in UNITS:
        raise UserError(f"Unknown unit '{request.unit}': use one of s, ms, us, ns.")
    if request.source not in SOURCES:
        raise UserError(f"Unknown source '{request.source}': use one of {', '.join(SOURCES)}.")
    if request.timeframe is not None:
        timeframe_ms(request.timeframe)
        if request.kind == "funding" and request.timeframe != FUNDING_TIMEFRAME:
            raise UserError(f"Funding is stored as {FUNDING_TIMEFRAME}: leave out --timeframe.")
    return unified_symbol(request.symbol)


def _agree_with_name(path: Path, symbol: str) -> None:
    """An exchange's archive file names its symbol: ``ETHUSDT-1m-2024-01.zip`` is no Bitcoin."""
    named = re.fullmatch(r"([A-Z0-9]+)-[A-Za-z0-9]+-\d{4}-\d{2}(-\d{2})?\.(zip|csv)", path.name)
    if named and unified_symbol(named[1]) != symbol:
        raise UserError(f"{path} is an archive of {named[1]}, but the import is for {symbol}.")


def _timeframe_of(parts: list[Rows], rows: Rows, declared: str | None) -> str:
    """The timeframe by the most common distance of neighbours; it must agree with the request and between files.

    A file may be a scattered part of a series, so it alone contradicts only where nearly all its distances do.
    """
    whole = _common_step(rows.time)
    if declared is None:
        if whole is None:
            raise UserError(f"{parts[0].tables[0].label} has too few rows to tell the timeframe: give --timeframe.")
        step = whole[0]
        found = next((name for name, ms in TIMEFRAMES.items() if ms == step), None)
        if found is None:
            raise UserError(
                f"{parts[0].tables[0].label} holds bars {step / MINUTE_MS:g} minutes apart; "
                f"the supported timeframes are {', '.join(TIMEFRAMES)}."
            )
        declared, reason = found, "others of the import hold"
    else:
        reason = "--timeframe says"
    for part, least_count, least_share in [*((p, 10, 0.9) for p in parts), (rows, 2, 0.5)]:
        step_and_share = _common_step(part.time)
        if step_and_share is None:
            continue
        step, count, share = step_and_share
        if step != TIMEFRAMES[declared] and share > least_share and count >= least_count:
            name = next((n for n, ms in TIMEFRAMES.items() if ms == step), f"{step / MINUTE_MS:g}-minute")
            raise UserError(f"{part.tables[0].label} holds {name} bars, but {reason} {declared}.")
    return declared


def _common_step(time: Int64Array) -> tuple[int, int, float] | None:
    """The most common distance of neighbouring times (ms), how often it comes, and its share."""
    steps = np.sort(np.diff(distinct_times(time[time != NO_TIME])))
    if not len(steps):
        return None
    starts = np.flatnonzero(np.diff(steps, prepend=0))
    counts = np.diff(starts, append=len(steps))
    best = int(np.argmax(counts))
    return int(steps[starts[best]]), int(counts[best]), float(counts[best] / len(steps))


def _refuse_bad_files(rejections: list[Rejection], total: int, good: int) -> None:
    if good and len(rejections) <= MAX_BAD_SHARE * total:
        return
    shown = "; ".join(f"{r.file} line {r.place} {r.reason}" for r in rejections[:SHOWN_BAD_ROWS])
    if not good:
        raise UserError(f"None of the {total} rows is good, so nothing was imported: {shown or 'there are no rows'}.")
    raise UserError(
        f"{len(rejections)} of {total} rows are bad (over {MAX_BAD_SHARE:.0%}), so nothing was imported: {shown}."
    )


def _plan(
    key: SeriesKey, good: Rows, total: int, repeated: int, behind: int, rejections: tuple[Rejection, ...]
) -> ImportPlan:
    if key.kind == "funding":
        rate, mark = good.values.T
        funding = FundingFrame(key.exchange, key.symbol, key.source, good.time, rate.copy(), mark.copy())
        return ImportPlan(key, funding, total, repeated, behind, rejections, tuple(funding_gaps(funding)))
    frame = Frame.of(key, good.time, *good.values.T)
    return ImportPlan(key, frame, total, repeated, behind, rejections, tuple(gaps(frame)))


def _report(plan: ImportPlan, written: WriteReport, dry_run: bool) -> ImportReport:
    return ImportReport(
        plan.key, plan.rows, written.inserted, written.revised, written.duplicates + plan.repeated,
        len(plan.rejections), plan.rejections, len(plan.gaps), plan.gaps, plan.span, plan.out_of_order, dry_run,
    )  # fmt: skip
