"""Market data in: files, the exchange's history, a synthetic market."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from app.data_report import check_series as check_series
from app.data_report import series_document
from app.wiring import Workplace
from data.clock import iso
from data.errors import UserError
from data.importing import ImportRequest, plan_import, preview_import, run_import
from data.market import Frame, FundingFrame, SeriesKey, WriteReport, unified_symbol
from data.quality import Gap, funding_gaps, gaps
from data.timeframes import timeframe_ms

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

DOWNLOADABLE = ("ohlcv", "mark", "funding")
FUNDING_TIMEFRAME = "8h"
PAGES_AT_ONCE = 6_000  # bars between two writes: what was fetched is stored if the rest fails


def import_into_store(
    place: Workplace, files: Sequence[str], *, symbol: str, timeframe: str | None, exchange: str | None,
    kind: str | None, zone: str | None, unit: str | None, dry_run: bool,
) -> Document:  # fmt: skip
    """Files of one series into the store; the keys of COMMANDS.

    Raises:
        UserError: a file or an option is wrong, or too many rows are bad; nothing is imported.
    """
    request = ImportRequest(
        symbol=unified_symbol(symbol), timeframe=timeframe, exchange=exchange or place.settings.values.data.exchange,
        kind=kind or "ohlcv", tz=zone, unit=unit,
    )  # fmt: skip
    plan = plan_import([Path(f).expanduser() for f in files], request, place.clock)
    work = preview_import if dry_run else run_import
    return work(plan, place.database.candles).document()


def synthesise_into_store(place: Workplace, *, symbol: str, timeframe: str, bars: int, seed: int | None) -> Document:
    """A seeded synthetic series and its funding into the store.

    Raises:
        UserError: unknown symbol or timeframe.
    """
    from data.synthetic import synthetic_market

    chosen = place.settings.values.ai.seed if seed is None else seed
    frame, funding = synthetic_market(
        unified_symbol(symbol), timeframe, bars, chosen, exchange=place.settings.values.data.exchange
    )
    store = place.database.candles
    written = store.write(frame)
    store.write_funding(funding)
    return {**_candle_report(frame, written), "seed": chosen, "settlements": len(funding)}


def download_into_store(
    place: Workplace, *, symbol: str, timeframe: str, start_ms: int, end_ms: int | None, kind: str,
    exchange: str | None, progress: Progress,
) -> Document:  # fmt: skip
    """Closed bars (or settlements) of the exchange into the store, page by page; what is stored stays.

    Raises:
        UserError: a wrong option, or nothing lies in the span.
        Retryable: the exchange cannot be reached.
    """
    step = timeframe_ms(timeframe)
    if kind not in DOWNLOADABLE:
        raise UserError(f"Kind '{kind}' cannot be downloaded: use one of {', '.join(DOWNLOADABLE)}.")
    now = place.clock.now_ms()
    end = min(now, end_ms) if end_ms is not None else now
    if end <= start_ms:
        raise UserError(f"--since {iso(start_ms)} lies in the future or after --until: give an earlier time.")
    name = exchange or place.settings.values.data.exchange
    coroutine = _download(place, unified_symbol(symbol), timeframe, start_ms, end // step * step, kind, name, progress)
    return asyncio.run(coroutine)


async def _download(
    place: Workplace, symbol: str, timeframe: str, start: int, end: int, kind: str, exchange: str, progress: Progress
) -> Document:
    from data.exchange.session import ExchangeSession

    store = place.database.candles
    settings = place.settings.values.data
    if exchange != settings.exchange:
        raise UserError(f"Exchange '{exchange}' cannot be downloaded from: use {settings.exchange}.")
    async with ExchangeSession(settings, place.clock) as session:
        if kind == "funding":
            funding = await session.funding(symbol, start, end)
            return _funding_report(funding, store.write_funding(funding))
        total = WriteReport(0, 0, 0, 0)
        key = SeriesKey(exchange, symbol, timeframe, kind)
        span = PAGES_AT_ONCE * key.step_ms
        fetch = session.mark_candles if kind == "mark" else session.candles
        for at in range(start, end, span):
            progress(at - start, end - start, f"{kind} from {str(iso(at))[:16]}")
            page = await fetch(symbol, timeframe, at, min(at + span, end))
            total = _sum(total, store.write(page))
        progress(end - start, end - start, "stored")
    return _candle_report(store.read(key, start, end), total)


def _sum(a: WriteReport, b: WriteReport) -> WriteReport:
    return WriteReport(a.rows + b.rows, a.inserted + b.inserted, a.revised + b.revised, a.duplicates + b.duplicates)


def _candle_report(frame: Frame, written: WriteReport) -> Document:
    if not len(frame):
        raise UserError(f"No bar of {frame.key} lies in that span: give another one.")
    last = int(frame.open_time[-1]) + frame.key.step_ms
    return _report(frame.key, written, gaps(frame), int(frame.open_time[0]), last)


def _funding_report(funding: FundingFrame, written: WriteReport) -> Document:
    if not len(funding):
        raise UserError(f"No settlement of {funding.symbol} lies in that span: give another one.")
    key = SeriesKey(funding.exchange, funding.symbol, FUNDING_TIMEFRAME, "funding", funding.source)
    return _report(key, written, funding_gaps(funding), int(funding.time[0]), int(funding.time[-1]) + 1)


def _report(key: SeriesKey, written: WriteReport, holes: Sequence[Gap], first: int, last: int) -> Document:
    return {
        "series": series_document(key), "rows": written.rows, "inserted": written.inserted,
        "revised": written.revised, "duplicates": written.duplicates, "rejected": 0, "rejections": [],
        "gaps": len(holes), "gap_list": [_gap(g) for g in holes], "span": {"from": iso(first), "to": iso(last)},
    }  # fmt: skip


def _gap(gap: Gap) -> Document:
    return {"from": iso(gap.start_ms), "to": iso(gap.end_ms), "bars": gap.bars}
