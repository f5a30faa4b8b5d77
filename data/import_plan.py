"""What an import is asked for, what it would do and what it did."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.clock import iso
from data.import_rows import Rejection, Rows
from data.import_times import NO_TIME
from data.market import (
    BAR_KINDS,
    BarMark,
    Float64Array,
    Frame,
    FundingFrame,
    Int64Array,
    SeriesKey,
    WriteReport,
)
from data.observations import Observations
from data.quality_findings import Gap
from data.row_matching import equal_rows, match_observations
from data.store import MarketStore
from data.timeframes import MINUTE_MS

Content = Frame | FundingFrame | Observations


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
    content: Content
    rows: int  # read from the files, bad and repeated ones included
    repeated: int  # rows that say again what another row of the files said
    out_of_order: int  # rows that stood behind a later one; they are sorted in
    rejections: tuple[Rejection, ...]
    gaps: tuple[Gap, ...]

    @property
    def span(self) -> tuple[int, int]:
        """Half-open: the first time, and the end of the last bar (settlement's minute, row's millisecond), ms UTC."""
        if isinstance(self.content, Frame):
            return int(self.content.open_time[0]), int(self.content.open_time[-1]) + self.key.step_ms
        last = MINUTE_MS if isinstance(self.content, FundingFrame) else 1
        return int(self.content.time[0]), int(self.content.time[-1]) + last


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


def run_import(plan: ImportPlan, store: MarketStore) -> ImportReport:
    """Write a plan in one transaction. Running it again changes nothing and reports duplicates."""
    content = plan.content
    if isinstance(content, Frame):
        written = store.write(content)
    elif isinstance(content, FundingFrame):
        written = store.write_funding(content)
    else:
        written = store.write_observations(content)
    return _report(plan, written, dry_run=False)


def preview_import(plan: ImportPlan, store: MarketStore) -> ImportReport:
    """What :func:`run_import` would report, held against the store as it is (``--dry-run``)."""
    start, end = plan.span
    new = plan.content
    if isinstance(new, Frame):
        stored = store.read(plan.key, start, end)
        written = _compared(new.open_time, _numbers(new), stored.open_time, _numbers(stored))
    elif isinstance(new, FundingFrame):
        old = store.read_funding(new.exchange, new.symbol, new.source, start, end)
        written = _compared(new.time, np.column_stack([new.rate, new.mark_price]), old.time,
                            np.column_stack([old.rate, old.mark_price]))  # fmt: skip
    else:
        match = match_observations(store.read_observations(plan.key, start, end), new)
        inserted, revised = int(np.count_nonzero(match.fresh)), len(match.changed)
        written = WriteReport(len(new), inserted, revised, len(new) - inserted - revised)
    return _report(plan, written, dry_run=True)


def content_of(key: SeriesKey, good: Rows) -> Content:
    """Checked rows as what the store takes; known at the close or at their time where the file does not say it."""
    if key.kind in BAR_KINDS:
        open_, high, low, close, volume, mark = good.values.T
        known_at = _known(good, good.time + key.step_ms)
        usual = BarMark.SYNTHETIC if key.source == "synthetic" else BarMark.REAL
        said = np.where(np.isnan(mark), usual, mark).astype(np.uint8)
        return Frame.of(key, good.time, open_, high, low, close, volume, known_at, said)
    known_at = _known(good, good.time)
    if key.kind == "funding":
        rate, mark = good.values.T
        return FundingFrame(key.exchange, key.symbol, key.source, good.time, rate.copy(), mark.copy(), known_at)
    return Observations(key, good.time, good.id, known_at, np.ascontiguousarray(good.values))


def numbered(rows: Rows, kind: str) -> Rows:
    """Liquidations without a number get one from their content, as the live feed's do: told twice is stored once."""
    if kind != "liquidations" or rows.id.any():
        return rows
    ids = [zlib.crc32(repr(tuple(values)).encode()) for values in rows.values.tolist()]
    return replace(rows, id=np.array(ids, dtype=np.int64))


def _known(rows: Rows, default: Int64Array) -> Int64Array:
    return np.where(rows.known_at == NO_TIME, default, rows.known_at).astype(np.int64)


def _numbers(frame: Frame) -> Float64Array:
    return np.column_stack([frame.open, frame.high, frame.low, frame.close, frame.volume, frame.mark])


def _compared(new_time: Int64Array, new: Float64Array, old_time: Int64Array, old: Float64Array) -> WriteReport:
    """Count rows that are new, changed and equal."""
    _, at_new, at_old = np.intersect1d(new_time, old_time, assume_unique=True, return_indices=True)
    same = int(np.count_nonzero(equal_rows(new[at_new], old[at_old])))
    return WriteReport(len(new_time), len(new_time) - len(at_new), len(at_new) - same, same)


def _report(plan: ImportPlan, written: WriteReport, dry_run: bool) -> ImportReport:
    return ImportReport(
        plan.key, plan.rows, written.inserted, written.revised, written.duplicates + plan.repeated,
        len(plan.rejections), plan.rejections, len(plan.gaps), plan.gaps, plan.span, plan.out_of_order, dry_run,
    )  # fmt: skip
