"""What the store lacks of a series' past, asked from the exchange page by page, each page written at once.

A run that is cut off at any page is continued by the next one, because what is lacking is read from the store. Bars
that the exchange gives as impossible even at a second and third look are left out: they stay a gap for the data report.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.bar_notes import possible_rows
from data.errors import UserError
from data.exchange.candle_looks import candle_page
from data.exchange.session import ExchangeSession
from data.market import Frame, Int64Array, SeriesKey, WriteReport
from data.observations import PREMIUM_COLUMNS, Observations
from data.store import MarketStore
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS

LOOKS = 3  # at a page that holds impossible bars
FUNDING_SPAN_MS = 300 * DAY_MS  # of settlements between two writes: a page at eight hours
PREMIUM_STEP = "1m"
Progress = Callable[[float, int], None]  # share of the span that is settled, rows offered so far
Span = tuple[int, int]


@dataclass(slots=True)
class _Tally:
    """Sums of the pages' reports, told on after each."""

    start_ms: int
    end_ms: int
    progress: Progress | None
    rows: int = 0
    inserted: int = 0
    revised: int = 0
    duplicates: int = 0

    def add(self, report: WriteReport, at_ms: int) -> None:
        self.rows += report.rows
        self.inserted += report.inserted
        self.revised += report.revised
        self.duplicates += report.duplicates
        if self.progress is not None and self.end_ms > self.start_ms:
            self.progress(min(1.0, (at_ms - self.start_ms) / (self.end_ms - self.start_ms)), self.rows)

    def report(self) -> WriteReport:
        return WriteReport(self.rows, self.inserted, self.revised, self.duplicates)


async def backfill(
    session: ExchangeSession,
    store: MarketStore,
    key: SeriesKey,
    start_ms: int,
    end_ms: int,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> WriteReport:
    """Fill ``start_ms <= time < end_ms`` of a series (``end_ms`` at most now), and say what was written.

    Candles (``ohlcv``, ``mark``, ``index``), ``funding``, ``metrics`` and ``premium`` (mark and index price at the
    close of each minute, made of their candles) have a past that can be asked for.

    Args:
        progress: told ``(share, rows)`` after every page; ends at 1.0 unless cancelled.
        cancelled: asked between two pages; what was written by then stays.

    Raises:
        UserError: the kind has no past at the exchange.
        Retryable, Rejected: the exchange did not answer, or refused; the pages before are stored.
    """
    pages = _PAGES.get(key.kind)
    if pages is None:
        raise UserError(f"Nothing can be downloaded for {key}: an exchange keeps no past of its {key.kind}.")
    tally = _Tally(start_ms, end_ms, progress)
    async for report, at_ms in pages(session, store, key, start_ms, min(end_ms, session.now_ms())):
        tally.add(report, at_ms)
        if cancelled is not None and cancelled():
            return tally.report()
    tally.add(WriteReport(0, 0, 0, 0), end_ms)
    return tally.report()


Pages = AsyncIterator[tuple[WriteReport, int]]


async def _candles(session: ExchangeSession, store: MarketStore, key: SeriesKey, start: int, end: int) -> Pages:
    step = key.step_ms
    first, stop = -(-start // step) * step, end // step * step
    stored = await asyncio.to_thread(store.read, key, first, stop)
    for gap_start, gap_end in lacking(stored.open_time, first, stop, step, session.quirks.candles_a_page):
        since = gap_start
        while since < gap_end:
            page, last_ms = await _sound_page(session, key, since, gap_end)
            if last_ms is None:
                break
            yield await asyncio.to_thread(store.write, page), last_ms + step
            since = last_ms + step


async def _sound_page(session: ExchangeSession, key: SeriesKey, since: int, end: int) -> tuple[Frame, int | None]:
    """The possible bars of a page, and the time of its last row (``None``: nothing is there)."""
    for _ in range(LOOKS):
        page, _forming = await candle_page(session, key, since, end)
        possible = possible_rows(page)
        if possible.all():
            break
        await session.sleep(session.settings.confirm_delay_s)
    last = int(page.open_time[-1]) if len(page) else None
    return page if possible.all() else _rows(page, possible), last


def _rows(page: Frame, which: npt.NDArray[np.bool_]) -> Frame:
    return Frame.of(
        page.key, page.open_time[which], page.open[which], page.high[which], page.low[which], page.close[which],
        page.volume[which],
    )  # fmt: skip


async def _funding(session: ExchangeSession, store: MarketStore, key: SeriesKey, start: int, end: int) -> Pages:
    stored = await asyncio.to_thread(store.read_funding, key.exchange, key.symbol, key.source, start, end)
    for gap_start, gap_end in lacking_settlements(stored.time, start, end):
        for since in range(gap_start, gap_end, FUNDING_SPAN_MS):
            until = min(since + FUNDING_SPAN_MS, gap_end)
            settled = await session.funding(key.symbol, since, until)
            yield await asyncio.to_thread(store.write_funding, settled), until


async def _metrics(session: ExchangeSession, store: MarketStore, key: SeriesKey, start: int, end: int) -> Pages:
    step, kept = key.step_ms, session.quirks.metrics_span_ms
    oldest = start if kept is None else max(start, session.now_ms() - kept + step)
    first, stop = -(-oldest // step) * step, end // step * step
    stored = await asyncio.to_thread(store.read_observations, key, first, stop)
    page = session.quirks.metrics_a_page
    for gap_start, gap_end in lacking(stored.time, first, stop, step, page):
        for since in range(gap_start, gap_end, page * step):
            until = min(since + page * step, gap_end)
            rows = await session.metrics(key.symbol, key.timeframe, since, until)
            yield await asyncio.to_thread(store.write_observations, rows), until


async def _premium(session: ExchangeSession, store: MarketStore, key: SeriesKey, start: int, end: int) -> Pages:
    """Mark and index price as of each minute's close; the rate being built up then is not kept by the exchange."""
    candles = {kind: SeriesKey(key.exchange, key.symbol, PREMIUM_STEP, kind) for kind in ("mark", "index")}
    first, stop = -(-start // MINUTE_MS) * MINUTE_MS, end // MINUTE_MS * MINUTE_MS
    stored = await asyncio.to_thread(store.read_observations, key, first, stop + 1)
    closes = np.unique(stored.time // MINUTE_MS * MINUTE_MS)
    page = session.quirks.candles_a_page
    for gap_start, gap_end in lacking(closes, first, stop, MINUTE_MS, page):
        for since in range(gap_start, gap_end, page * MINUTE_MS):
            until = min(since + page * MINUTE_MS, gap_end)
            mark, index = [await session.candles(k.symbol, k.timeframe, since - MINUTE_MS, until - MINUTE_MS, k.kind)
                           for k in candles.values()]  # fmt: skip
            times, in_mark, in_index = np.intersect1d(mark.open_time, index.open_time, return_indices=True)
            values = np.full((len(times), len(PREMIUM_COLUMNS)), np.nan)
            values[:, 0], values[:, 1] = mark.close[in_mark], index.close[in_index]
            rows = Observations.of(key, times + MINUTE_MS, values)
            yield await asyncio.to_thread(store.write_observations, rows), until


_PAGES: dict[str, Callable[[ExchangeSession, MarketStore, SeriesKey, int, int], Pages]] = {
    "ohlcv": _candles, "mark": _candles, "index": _candles,
    "funding": _funding, "metrics": _metrics, "premium": _premium,
}  # fmt: skip


def lacking(stored: Int64Array, start_ms: int, end_ms: int, step_ms: int, page: int) -> list[Span]:
    """Half-open spans of grid times that ``stored`` (rising) lacks; near ones are joined if one page holds them."""
    grid = np.arange(start_ms, end_ms, step_ms, dtype=np.int64)
    missing = grid[~np.isin(grid, stored, assume_unique=True)]
    if not len(missing):
        return []
    edges = np.flatnonzero(np.diff(missing) != step_ms)
    starts = missing[np.concatenate([[0], edges + 1])].tolist()
    ends = (missing[np.concatenate([edges, [len(missing) - 1]])] + step_ms).tolist()
    spans: list[Span] = []
    for start, end in zip(starts, ends, strict=True):
        if spans and end - spans[-1][0] <= page * step_ms:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    return spans


def lacking_settlements(stored: Int64Array, start_ms: int, end_ms: int) -> list[Span]:
    """Spans in which a settlement may be missing: before the first, after the last, and where the rhythm skips."""
    if not len(stored):
        return [(start_ms, end_ms)] if end_ms > start_ms else []
    spans: list[Span] = []
    distance = np.diff(stored)
    if stored[0] - start_ms >= (distance[0] if len(distance) else HOUR_MS):
        spans.append((start_ms, int(stored[0])))
    for i in np.flatnonzero(distance > HOUR_MS):
        around = np.concatenate([distance[max(0, i - 1) : i], distance[i + 1 : i + 2]])
        if not len(around) or distance[i] > 1.5 * around.min():
            spans.append((int(stored[i]) + MINUTE_MS, int(stored[i + 1])))
    if end_ms - stored[-1] > HOUR_MS:
        spans.append((int(stored[-1]) + MINUTE_MS, end_ms))
    return spans
