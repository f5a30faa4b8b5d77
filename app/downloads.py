"""History of an exchange into the store: what the store lacks of a span, page by page, each page stored at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from app.data_report import series_document
from app.wiring import Workplace
from data.clock import iso
from data.errors import UserError
from data.market import BAR_KINDS, TICK, SeriesKey, WriteReport, unified_symbol
from data.quality import Gap, funding_gaps, gaps
from data.store import MarketStore
from data.timeframes import timeframe_ms

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

DOWNLOADABLE = (*BAR_KINDS, "funding", "premium", "metrics")
FUNDING_TIMEFRAME = "8h"
SHARES = 1000  # steps of the progress
EXCHANGES = ("binanceusdm", "bybit", "okx", "weex")


def download_into_store(
    place: Workplace, *, symbol: str, timeframe: str, start_ms: int, end_ms: int | None, kind: str,
    exchange: str | None, progress: Progress,
) -> Document:  # fmt: skip
    """Fill a span of one series from the exchange; what is stored is not asked for again and stays.

    A download that was cut off is continued by the next one of the same span.

    Raises:
        UserError: a wrong option, or nothing lies in the span.
        Retryable, Rejected: the exchange cannot be reached, or has no such data.
    """
    step = timeframe_ms(timeframe)
    if kind not in DOWNLOADABLE:
        raise UserError(f"Kind '{kind}' cannot be downloaded: use one of {', '.join(DOWNLOADABLE)}.")
    name = exchange or str(place.settings.values.data.exchange)
    if name not in EXCHANGES:
        raise UserError(f"Exchange '{name}' cannot be downloaded from: use one of {', '.join(EXCHANGES)}.")
    now = place.clock.now_ms()
    end = min(now, end_ms) if end_ms is not None else now
    if end <= start_ms:
        raise UserError(f"--since {iso(start_ms)} lies in the future or after --until: give an earlier time.")
    key = SeriesKey(name, unified_symbol(symbol), _timeframe_of(kind, timeframe), kind)
    if kind in BAR_KINDS:
        end = end // step * step
    written = asyncio.run(_download(place, key, start_ms, end, progress))
    return stored_report(place.database.candles, key, written, start_ms, end)


def _timeframe_of(kind: str, timeframe: str) -> str:
    if kind == "funding":
        return FUNDING_TIMEFRAME
    return TICK if kind == "premium" else timeframe


async def _download(place: Workplace, key: SeriesKey, start: int, end: int, progress: Progress) -> WriteReport:
    from data.backfill import backfill
    from data.exchange.session import ExchangeSession

    def told(share: float, rows: int) -> None:
        at = start + round(share * (end - start))
        words = f"{rows:,} rows up to {str(iso(at))[:16].replace('T', ' ')}"
        progress(min(round(share * SHARES), SHARES - 1), SHARES, words)

    settings = place.settings.values.data.model_copy(update={"exchange": key.exchange})
    async with ExchangeSession(settings, place.clock) as session:
        await session.instrument(key.symbol)
        written = await backfill(session, place.database.candles, key, start, end, told)
    progress(SHARES, SHARES, f"{written.rows:,} rows read")
    return written


def stored_report(store: MarketStore, key: SeriesKey, written: WriteReport, start: int, end: int) -> Document:
    """What lies in the span now, and how much of it is new: the keys of COMMANDS.

    Raises:
        UserError: nothing lies in it.
    """
    holes: Sequence[Gap] = ()
    if key.holds_bars:
        frame = store.read(key, start, end)
        times, width, holes = frame.open_time, key.step_ms, gaps(frame)
    elif key.kind == "funding":
        funding = store.read_funding(key.exchange, key.symbol, key.source, start, end)
        times, width, holes = funding.time, 1, funding_gaps(funding)
    else:
        times, width = store.read_observations(key, start, end).time, 1
    if not len(times):
        raise UserError(f"Nothing of {key} lies in that span: give another one.")
    known = max(0, len(times) - written.inserted - written.revised)
    return report(
        key, WriteReport(len(times), written.inserted, written.revised, known), holes, int(times[0]),
        int(times[-1]) + width,
    )  # fmt: skip


def report(key: SeriesKey, written: WriteReport, holes: Sequence[Gap], first: int, last: int) -> Document:
    """The document of ``download`` and ``synthetic``; ``duplicates`` are rows that were stored before."""
    return {
        "series": series_document(key), "rows": written.rows, "inserted": written.inserted,
        "revised": written.revised, "duplicates": written.duplicates, "rejected": 0, "rejections": [],
        "gaps": len(holes), "gap_list": [_gap(g) for g in holes], "span": {"from": iso(first), "to": iso(last)},
    }  # fmt: skip


def _gap(gap: Gap) -> Document:
    return {"from": iso(gap.start_ms), "to": iso(gap.end_ms), "bars": gap.bars}
