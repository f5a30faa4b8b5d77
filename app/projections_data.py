"""The data tab's views: stored series with their coverage and last check, live feeds, and the market now."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from app.contract.market_views import DataView, FindingRow, FindingsView, QuoteRow, SeriesRow
from app.contract.queries import DataQuery, FindingsQuery
from app.projection_context import Context
from data.errors import UserError
from data.market import SeriesInfo, SeriesKey
from data.timeframes import parse_time
from database.coverage import Coverage
from database.data_checks import DataCheck

STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d: ")  # the report's words begin with the time, which has its own cell
LEVELS = ("bad", "warn", "info")  # worst first
NO_EXCHANGE = "A synthetic series is what its seed makes of it: there is nothing to fetch."
NOT_MENDED = "Candles and funding can be repaired; download this series again instead."


def series_text(key: SeriesKey) -> str:
    """A series as one word, for questions and commands."""
    return "|".join((key.exchange, key.symbol, key.timeframe, key.kind, key.source))


def series_of(text: str) -> SeriesKey:
    """The series that :func:`series_text` named.

    Raises:
        UserError: the text names none.
    """
    parts = text.split("|")
    if len(parts) != 5:
        raise UserError(f"'{text}' names no series.")
    return SeriesKey(*parts)


def data(query: DataQuery, context: Context) -> DataView:
    """What is stored, how the feeds are, and the market now."""
    database = context.place.database
    infos = database.candles.series()
    checks = database.checks.all()
    first = min((i.first_ms for i in infos), default=None)
    last = max((end_of(i) for i in infos), default=None)
    rows = tuple(_row(i, checks.get(i.key), database.coverage, first, last, query.bins) for i in infos)
    path = context.place.home.database_path
    settings = context.place.settings.values.data
    return DataView(
        rows, first, last, context.feeds, context.quotes or _replayed_quotes(context), str(settings.exchange),
        path.stat().st_size if path.exists() else None, _blocked(context), tuple(settings.symbols),
    )  # fmt: skip


def _replayed_quotes(context: Context) -> tuple[QuoteRow, ...]:
    """The markets of a replay as they were known at its newest bar, where more than bars is stored of that time."""
    from app.live_market_views import quote_row
    from data.quotes_as_of import quote_as_of

    moment = context.strip.bar_ms if context.strip is not None and context.strip.mode == "replay" else None
    if moment is None:
        return ()
    store = context.place.database.candles
    found = []
    for key in context.keys:
        bar = store.tail(key, 1, moment)
        price = float(bar.close[-1]) if len(bar) else math.nan
        found.append(quote_as_of(store, key.exchange, key.symbol, moment, price))
    return tuple(quote_row(quote) for quote in found if quote is not None)


def _row(
    info: SeriesInfo, check: DataCheck | None, coverage: Coverage, first: int | None, last: int | None, bins: int
) -> SeriesRow:
    assert first is not None and last is not None  # there is a series, so there is a span
    key = info.key
    serious = [f for f in check.findings if f["level"] != "info"] if check is not None else []
    levels = {str(f["level"]) for f in check.findings} if check is not None else set()
    worst = next((level for level in LEVELS if level in levels), "ok") if check is not None else "idle"
    return SeriesRow(
        series_text(key), key.exchange, key.symbol, key.timeframe, key.kind, key.source, info.rows, info.first_ms,
        end_of(info), coverage.missing(info), coverage.shares(info, first, last, bins),
        len(serious) if check is not None else None, worst, check.checked_ms if check is not None else None,
    )  # fmt: skip


def end_of(info: SeriesInfo) -> int:
    """The end of a series' last row, ms UTC."""
    return info.last_ms + (info.key.step_ms if info.key.holds_bars else 1)


def _blocked(context: Context) -> str:
    running = any(job.state == "running" and job.name in ("Data", "Repair") for job in context.jobs.jobs)
    return "A data check runs already." if running else ""


def findings(query: FindingsQuery, context: Context) -> FindingsView:
    """The last check of one series."""
    key = series_of(query.key)
    check = context.place.database.checks.all().get(key)
    mendable = key.holds_bars or key.kind == "funding"
    blocked = NO_EXCHANGE if key.source == "synthetic" else "" if mendable else NOT_MENDED
    if check is None:
        return FindingsView(query.key, (), repair_blocked=blocked)
    rows = tuple(_finding(number, found) for number, found in enumerate(check.findings))
    return FindingsView(query.key, rows, check.checked_ms, check.repaired, blocked)


def _finding(number: int, found: Mapping[str, Any]) -> FindingRow:
    start, end = parse_time(found["from"]), parse_time(found["to"])
    words = STAMP.sub("", str(found["words"]))
    return FindingRow(number, str(found["kind"]), str(found["level"]), start, end, int(found["bars"]), words)
