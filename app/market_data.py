"""Market data in: files, the exchange's history, a synthetic market; and the report on what is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.wiring import Workplace
from data.clock import iso
from data.errors import UserError
from data.importing import ImportRequest, plan_import, preview_import, run_import
from data.market import BarMark, Frame, FundingFrame, SeriesInfo, SeriesKey, WriteReport, unified_symbol
from data.quality import Gap, funding_gaps, gaps, inspect
from data.timeframes import timeframe_ms

if TYPE_CHECKING:
    from data.store import CandleStore

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

DOWNLOADABLE = ("ohlcv", "mark", "funding")
MAX_REPAIRED_BARS = 3  # a longer gap is a hole in the record, not a hiccup
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


def series_document(key: SeriesKey) -> Document:
    """The five names of a series."""
    return {
        "exchange": key.exchange, "symbol": key.symbol, "timeframe": key.timeframe, "kind": key.kind,
        "source": key.source,
    }  # fmt: skip


# ---- the data report -------------------------------------------------------------------------------------------------


def quality_report(
    place: Workplace, *, symbol: str | None, timeframe: str | None, exchange: str | None, source: str | None,
    repair: bool,
) -> Document:  # fmt: skip
    """Every stored series that fits, with its findings; ``repair`` fills short gaps first with marked bars.

    Raises:
        UserError: nothing stored fits what was named.
    """
    store = place.database.candles
    unified = None if symbol is None else unified_symbol(symbol)
    if timeframe is not None:
        timeframe_ms(timeframe)
    every = store.series()
    found = [
        i for i in every
        if unified in (None, i.key.symbol) and timeframe in (None, i.key.timeframe)
        and exchange in (None, i.key.exchange) and source in (None, i.key.source)
    ]  # fmt: skip
    if not found and (symbol or timeframe or exchange or source):
        stored = "; ".join(str(i.key) for i in every) or "nothing"
        raise UserError(f"No stored series fits: stored are {stored}.")
    return {"series": [_series_report(store, info, repair) for info in found]}


def _series_report(store: CandleStore, info: SeriesInfo, repair: bool) -> Document:
    head = {
        **series_document(info.key), "rows": info.rows, "from": iso(info.first_ms),
        "to": iso(info.last_ms + (info.key.step_ms if info.key.holds_bars else 1)),
    }  # fmt: skip
    if info.key.kind == "funding":
        funding = store.read_funding(info.key.exchange, info.key.symbol, info.key.source)
        return {**head, "repaired": 0, "findings": [{"kind": "gap", **_gap(g), "words": _missing(g)} for g in
                                                    funding_gaps(funding)]}  # fmt: skip
    if not info.key.holds_bars:
        return {**head, "repaired": 0, "findings": []}
    frame = store.read(info.key)
    repaired = 0
    if repair:
        patch = repairs(frame)
        repaired = store.write(patch).inserted if len(patch) else 0
        frame = store.read(info.key) if repaired else frame
    findings = [
        {"kind": f.kind, "from": iso(f.start_ms), "to": iso(f.end_ms), "bars": f.bars,
         "words": f"{_when(f.start_ms)}: {f.detail}"}
        for f in inspect(frame)
    ]  # fmt: skip
    return {**head, "rows": len(frame), "repaired": repaired, "findings": findings}


def _when(ms: int) -> str:
    return str(iso(ms))[:16].replace("T", " ")


def _missing(gap: Gap) -> str:
    return f"{_when(gap.start_ms)}: {gap.bars} settlements are missing"


def repairs(frame: Frame) -> Frame:
    """Bars for gaps of up to three: flat at the last close, without volume, marked as repaired."""
    import numpy as np

    times: list[int] = []
    closes: list[float] = []
    for gap in gaps(frame):
        if gap.bars > MAX_REPAIRED_BARS:
            continue
        before = int(np.searchsorted(frame.open_time, gap.start_ms)) - 1
        for k in range(gap.bars):
            times.append(gap.start_ms + k * frame.key.step_ms)
            closes.append(float(frame.close[before]))
    price = np.array(closes)
    flat = Frame.of(frame.key, np.array(times, dtype=np.int64), price, price, price, price, np.zeros(len(times)))
    return replace(flat, mark=np.full(len(times), BarMark.REPAIRED, dtype=np.uint8))
