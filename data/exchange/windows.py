"""Paging by windows of time, for exchanges that answer a span with its newest rows first, and so many at most.

A window that is longer than the exchange's page loses its oldest rows without a word, and an empty window does not
mean that nothing follows. Both are handled here, without a clock: what a page may have cut off is asked for again,
and empty windows are stepped over (with the help of daily bars, so that years before a listing cost few requests).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from data.errors import Retryable
from data.timeframes import DAY_MS, timeframe_ms

Rows = list[list[float]]  # the first value of a row is its time, ms UTC
Ask = Callable[[int, int], Awaitable[Rows]]  # rows with start <= time < stop, oldest first
AskBars = Callable[[str, int, int], Awaitable[Rows]]  # the same of a timeframe


def in_span(rows: Rows, start: int, stop: int, what: str) -> Rows:
    """``rows`` in order of time.

    Raises:
        Retryable: a row lies outside ``start <= time < stop``: this is no answer to what was asked.
    """
    ordered = sorted(rows)
    if ordered and (ordered[0][0] < start or ordered[-1][0] >= stop):
        raise Retryable(f"{what}: the answer holds other times than were asked for.")
    return ordered


async def first_bars(ask: AskBars, timeframe: str, since: int, end: int, bars_a_page: int) -> Rows:
    """The bars of the first window of one page that has any, from ``since`` on and before ``end``."""
    step = timeframe_ms(timeframe)
    start = since
    while start < end:
        stop = min(end, start + bars_a_page * step)
        rows = await _with_older(partial(ask, timeframe), start, stop, partial(_begins_before, start + step))
        if rows or stop >= end:
            return rows
        start = stop if step >= DAY_MS else max(stop, await _day_with_bars(ask, stop, end, bars_a_page))
    return []


async def first_settlements(ask: Ask, since: int, end: int, span_ms: int, rows_a_page: int) -> Rows:
    """The rows of the first window of ``span_ms`` that has any; a full page is taken to be cut off."""
    start = since
    while start < end:
        stop = min(end, start + span_ms)
        rows = await _with_older(ask, start, stop, lambda page: len(page) < rows_a_page)
        if rows:
            return rows
        start = stop
    return []


def _begins_before(moment: int, page: Rows) -> bool:
    return page[0][0] < moment


async def _with_older(ask: Ask, start: int, stop: int, whole: Callable[[Rows], bool]) -> Rows:
    """One window, with further pages before the first one until they are ``whole`` or nothing more comes."""
    rows: Rows = []
    while stop > start:
        page = await ask(start, stop)
        rows = page + rows
        if not page or whole(page):
            break
        stop = int(page[0][0])
    return rows


async def _day_with_bars(ask: AskBars, start: int, end: int, bars_a_page: int) -> int:
    """The first day from that of ``start`` on that has a bar; else the last day, whose bar may not be shown yet."""
    day, last = start // DAY_MS * DAY_MS, (end - 1) // DAY_MS * DAY_MS
    while day < last:
        stop = min(day + bars_a_page * DAY_MS, last)
        rows = await _with_older(partial(ask, "1d"), day, stop, partial(_begins_before, day + DAY_MS))
        if rows:
            return int(rows[0][0])
        day = stop
    return last
