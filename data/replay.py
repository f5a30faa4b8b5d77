"""Stored bars, books, trades and all other observations as one feed, in the order in which they became known.

Of rows known at the same millisecond the order is always: book, trades, liquidations, premium, metrics, funding, index,
mark, candles (a bar comes when everything of its time is known); then the series by timeframe, exchange, symbol and
source; then time and id. It does not depend on the order of the series asked for, nor on how much is read at a time.

A row that was revised comes as it was first known, and again as revised when that was known.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from data.clock import Clock
from data.market import Frame, FundingFrame, Int64Array, SeriesKey
from data.observations import COLUMNS, Observations
from data.observed import Observed, events_of
from data.store import MarketStore
from data.timeframes import MINUTE_MS

KIND_ORDER = ("book", "trades", "liquidations", "premium", "metrics", "funding", "index", "mark", "ohlcv")
ROWS_A_BLOCK = 5_000  # read at a time, about
LATENESS_MS = 60 * MINUTE_MS  # rows that speak of a time so long before the start are looked for
WIDEST_SPAN_MS = 90 * 24 * 60 * MINUTE_MS
YIELD_AFTER_S = 0.005  # the loop is given back this often
BURST_S = 1.0  # a stall is not made up for by a burst of over this


@dataclass(frozen=True, slots=True)
class Settlement:
    """A funding payment: ``rate`` is a fraction of notional (positive: longs pay), ``mark_price`` may be NaN."""

    symbol: str
    rate: float
    mark_price: float
    time_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class ReplayItem:
    """One row at the moment it was known; a bar is a frame of one row."""

    known_at: int
    key: SeriesKey
    value: Frame | Observed | Settlement


class ReplayStore(MarketStore, Protocol):
    """What a replay reads: the store, and the versions of its rows."""

    def read_versions(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> Observations:
        """Every version of the rows with ``start_ms <= time < end_ms``."""
        ...


Rows = Frame | Observations | FundingFrame
Chosen = npt.NDArray[np.bool_] | npt.NDArray[np.intp]


class MarketReplay:
    """Iterates over what was known from ``start_ms`` (inclusive) to ``end_ms``; memory holds a few blocks of rows.

    Args:
        lateness_ms: a row known after the start but of a time more than this (and a bar's length) before it is left
            out; within the span any lateness is right.
    """

    def __init__(
        self, store: ReplayStore, series: Sequence[SeriesKey], start_ms: int, end_ms: int,
        lateness_ms: int = LATENESS_MS, rows_a_block: int = ROWS_A_BLOCK,
    ) -> None:  # fmt: skip
        self._store = store
        self._series = sorted(set(series), key=_rank)
        self._start_ms = start_ms
        self._end_ms = end_ms
        self._lateness_ms = lateness_ms
        self._rows_a_block = rows_a_block

    def __iter__(self) -> Iterator[ReplayItem]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[list[ReplayItem]]:
        """The items in lists, of about ``rows_a_block`` each."""
        waiting: list[list[Rows]] = [[] for _ in self._series]  # read already, known later
        at, span = self._start_ms, MINUTE_MS
        while at < self._end_ms:
            until = min(at + span, self._end_ms)
            read = 0
            ready: list[list[Rows]] = []
            for number, key in enumerate(self._series):
                low = at - self._lead(key) if at == self._start_ms else at
                fresh = [part for part in self._read(key, low, until) if len(part)]
                read += sum(map(len, fresh))
                now, later = _split(waiting[number] + fresh, self._start_ms, until)
                ready.append(now)
                waiting[number] = later
            yield _ordered(self._series, ready)
            at = until
            growth = self._rows_a_block / max(read, self._rows_a_block / 8)
            span = min(max(round(span * growth), 1), WIDEST_SPAN_MS)

    def _lead(self, key: SeriesKey) -> int:
        return self._lateness_ms + (key.step_ms if key.holds_bars else 0)

    def _read(self, key: SeriesKey, low: int, high: int) -> list[Rows]:
        if key.kind in COLUMNS:
            return [self._store.read_versions(key, low, high)]
        if key.kind == "funding":
            return [self._store.read_funding(key.exchange, key.symbol, key.source, low, high)]
        bars = self._store.read(key, low, high)
        return [bars, *self._before_revision(bars, low, high)]

    def _before_revision(self, bars: Frame, low: int, high: int) -> Iterator[Frame]:
        """What stood where bars were known later than a step after their close: the versions that they replaced."""
        step = bars.key.step_ms
        late = np.unique(bars.known_at[bars.known_at > bars.open_time + 2 * step])
        for moment in late.tolist():
            revised = bars.open_time[bars.known_at == moment]
            stood = self._store.read(bars.key, low, high, as_of_ms=moment - 1)
            earlier = _taken(stood, np.isin(stood.open_time, revised))
            assert isinstance(earlier, Frame)
            if len(earlier):
                yield earlier
                yield from self._before_revision(earlier, low, high)


class Pace(Protocol):
    """Says when an item is due."""

    async def wait(self, known_at: int) -> None:
        """Return when the moment has come."""
        ...


class MarketPace:
    """``speed`` seconds of the market in one of ours; ``inf``: as fast as it is worked off, yielding now and then."""

    def __init__(self, speed: float, clock: Clock, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._speed = speed
        self._clock = clock
        self._sleep = sleep
        self._yielded = clock.monotonic()
        self._origin: tuple[float, int] | None = None  # our seconds and the market's moment that belong together

    async def wait(self, known_at: int) -> None:
        """Return when ``known_at`` (ms of the market) is due."""
        now = self._clock.monotonic()
        if not math.isinf(self._speed):
            began, first = self._origin or (now, known_at)
            due = began + (known_at - first) / 1000.0 / self._speed
            if now - due > BURST_S:
                began, due = began + (now - due - BURST_S), now - BURST_S
            self._origin = began, first
            if due > now:
                await self._sleep(due - now)
                self._yielded = self._clock.monotonic()
                return
        if now - self._yielded > YIELD_AFTER_S:
            await self._sleep(0.0)
            self._yielded = self._clock.monotonic()


async def paced(replay: MarketReplay, pace: Pace) -> AsyncGenerator[ReplayItem, None]:
    """The items as they become due; rows are read, and items made, on another thread."""
    blocks = replay.blocks()
    while (block := await asyncio.to_thread(next, blocks, None)) is not None:
        for item in block:
            await pace.wait(item.known_at)
            yield item


def _rank(key: SeriesKey) -> tuple[int, int, str, str, str, str]:
    step = key.step_ms if key.holds_bars else 0
    return KIND_ORDER.index(key.kind), step, key.timeframe, key.exchange, key.symbol, key.source


def _times(rows: Rows) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Known (never before the row's own time), time and id of each row."""
    if isinstance(rows, Observations):
        return np.maximum(rows.known_at, rows.time), rows.time, rows.id
    if isinstance(rows, FundingFrame):
        return rows.time, rows.time, np.zeros_like(rows.time)
    return np.maximum(rows.known_at, rows.open_time), rows.open_time, np.zeros_like(rows.open_time)


def _taken(rows: Rows, which: Chosen) -> Rows:
    if isinstance(rows, Observations):
        return rows.take(which)
    columns: dict[str, Any] = {field.name: getattr(rows, field.name) for field in fields(rows)}
    taken: dict[str, Any] = {name: c[which] for name, c in columns.items() if isinstance(c, np.ndarray)}
    return replace(rows, **taken)


def _split(parts: list[Rows], start_ms: int, until_ms: int) -> tuple[list[Rows], list[Rows]]:
    """Rows known in ``[start, until)``, and those known later."""
    now, later = [], []
    for part in parts:
        known = _times(part)[0]
        due = known < until_ms
        now.append(_taken(part, due & (known >= start_ms)))
        if not due.all():
            later.append(_taken(part, ~due))
    return now, later


def _ordered(series: Sequence[SeriesKey], ready: list[list[Rows]]) -> list[ReplayItem]:
    parts = [(number, part) for number, held in enumerate(ready) for part in held if len(part)]
    if not parts:
        return []
    times = [_times(part) for _, part in parts]
    known, time, id = (np.concatenate([columns[k] for columns in times]) for k in range(3))
    rank = np.concatenate([np.full(len(part), number) for number, part in parts])
    items = [
        ReplayItem(moment, series[number], value)
        for (number, part), columns in zip(parts, times, strict=True)
        for moment, value in zip(columns[0].tolist(), _values(part), strict=True)
    ]
    return [items[k] for k in np.lexsort((id, time, rank, known)).tolist()]


def _values(rows: Rows) -> Sequence[Frame | Observed | Settlement]:
    if isinstance(rows, Observations):
        return events_of(rows)
    if isinstance(rows, FundingFrame):
        columns = (rows.rate.tolist(), rows.mark_price.tolist(), rows.time.tolist())
        return [Settlement(rows.symbol, *row) for row in zip(*columns, strict=True)]
    return [rows.slice(k, k + 1) for k in range(len(rows))]
