"""Where a run's bars come from: stored bars at any speed, a synthetic market that goes on as long as it is watched, or
an exchange. Each feed first gives history for the warm-up, then bars one at a time as ``(grid, index)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from app.wiring import cut
from data.clock import Clock
from data.errors import QuantError, Retryable
from data.exchange.follower import follow
from data.exchange.session import ExchangeSession
from data.grid import Grid, align
from data.market import Frame, FundingFrame, SeriesKey
from data.store import CandleStore
from data.synthetic import synthetic_market
from data.timeframes import HOUR_MS

YIELD_AFTER_S = 0.005  # at full speed the loop is given back this often, so that commands and views get through
SYNTHETIC_CHUNK = 20_000  # bars made at a time
RECENT_FUNDING_MS = 40 * 86_400_000


@dataclass(frozen=True, slots=True)
class FeedHealth:
    """What the window and ``status`` say of a feed."""

    name: str
    state: str  # live | replaying | synthetic | stale | ended
    detail: str
    last_bar_ms: int | None


class Feed(Protocol):
    """One source of closed bars. ``prompt``: it waits for nothing but its pace."""

    prompt: bool

    async def history(self, bars: int, before_ms: int | None) -> Grid:
        """The last ``bars`` bars that open before ``before_ms`` (``None``: before the first bar to come)."""
        ...

    def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """Closed bars from ``from_ms`` on, oldest first."""
        ...

    def health(self) -> FeedHealth:
        """How the feed is."""
        ...


class Pace:
    """Lets bars through at ``speed`` per second (``inf``: as fast as they are worked off, yielding now and then).

    A stop ends the wait at once.
    """

    def __init__(self, speed: float, clock: Clock, stop: asyncio.Event) -> None:
        self._gap = 0.0 if math.isinf(speed) else 1.0 / speed
        self._clock = clock
        self._stop = stop
        self._due = clock.monotonic()
        self._yielded = self._due

    async def wait(self) -> None:
        """Return when the next bar is due."""
        now = self._clock.monotonic()
        self._due = max(self._due + self._gap, now - 1.0)  # a stall is not made up for by a burst of over a second
        if self._gap and self._due > now:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._due - now)
            self._yielded = self._clock.monotonic()
        elif now - self._yielded > YIELD_AFTER_S:
            await asyncio.sleep(0)
            self._yielded = self._clock.monotonic()


class StoredFeed:
    """Stored bars of a span, once, at a pace."""

    prompt = True

    def __init__(self, grid: Grid, from_ms: int, pace: Pace, name: str) -> None:
        self._grid = grid
        self._from_ms = from_ms
        self._pace = pace
        self._name = name
        self._last: int | None = None
        self._ended = False

    @property
    def total(self) -> int:
        """Bars of the span."""
        return int(self._grid.bars - np.searchsorted(self._grid.open_time, self._from_ms))

    async def history(self, bars: int, before_ms: int | None) -> Grid:
        """Bars of the grid before the moment."""
        return before(self._grid, before_ms if before_ms is not None else self._from_ms, bars)

    async def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """The span's bars from ``from_ms`` on."""
        first = int(np.searchsorted(self._grid.open_time, max(self._from_ms, from_ms or self._from_ms)))
        for t in range(first, self._grid.bars):
            await self._pace.wait()
            self._last = int(self._grid.open_time[t])
            yield self._grid, t
        self._ended = True

    def health(self) -> FeedHealth:
        """Replaying until the span ends."""
        return FeedHealth(self._name, "ended" if self._ended else "replaying", "stored bars", self._last)


class SyntheticFeed:
    """A seeded synthetic market that is made as far as it is watched, and stored as synthetic."""

    prompt = True

    def __init__(self, keys: Sequence[SeriesKey], seed: int, history_bars: int, store: CandleStore, pace: Pace) -> None:
        self._keys = tuple(keys)
        self._seed = seed
        self._history_bars = history_bars
        self._store = store
        self._pace = pace
        self._made = 0
        self._grid: Grid | None = None
        self._last: int | None = None

    async def history(self, bars: int, before_ms: int | None) -> Grid:
        """The market's first bars; the run starts after ``history_limit`` of them."""
        grid = await self._until(self._history_bars + 1)
        if before_ms is not None:
            while grid.open_time[-1] < before_ms:
                grid = await self._until(self._made + SYNTHETIC_CHUNK)
        limit = before_ms if before_ms is not None else int(grid.open_time[self._history_bars])
        return before(grid, limit, bars)

    async def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """Bars without end."""
        grid = await self._until(self._history_bars + 1)
        start = from_ms if from_ms is not None else int(grid.open_time[self._history_bars])
        t = (start - int(grid.open_time[0])) // grid.step_ms
        while True:
            if t >= grid.bars:
                grid = await self._until(t + SYNTHETIC_CHUNK)
            await self._pace.wait()
            self._last = int(grid.open_time[t])
            yield grid, t
            t += 1

    def health(self) -> FeedHealth:
        """Always there, never real."""
        return FeedHealth("synthetic market", "synthetic", f"seed {self._seed}", self._last)

    async def _until(self, bars: int) -> Grid:
        if self._grid is None or bars > self._made:
            self._grid = await asyncio.to_thread(self._make, bars)
            self._made = bars
        return self._grid

    def _make(self, bars: int) -> Grid:
        frames: list[Frame] = []
        fundings: list[FundingFrame] = []
        for key in self._keys:
            frame, funding = synthetic_market(key.symbol, key.timeframe, bars, self._seed, exchange=key.exchange)
            self._store.write(frame.slice(self._made, bars))
            self._store.write_funding(funding)
            frames.append(frame)
            fundings.append(funding)
        return align(frames, fundings)


class ExchangeFeed:
    """Closed bars of an exchange: back-filled by REST into the store, then followed."""

    prompt = False

    def __init__(
        self, session: ExchangeSession, keys: Sequence[SeriesKey], store: CandleStore, stale_after_bars: float = 2.0
    ) -> None:
        self._session = session
        self._keys = {key.symbol: key for key in keys}
        self._store = store
        self._step = keys[0].step_ms
        self._exchange = keys[0].exchange
        self._timeframe = keys[0].timeframe
        self._stale_ms = int(stale_after_bars * self._step)
        self._last: int | None = None
        self._trouble = ""

    async def history(self, bars: int, before_ms: int | None) -> Grid:
        """Back-fill what the store lacks of the last ``bars`` bars, then read them from it."""
        end = before_ms if before_ms is not None else self._session.now_ms() // self._step * self._step
        start = end - bars * self._step
        frames, fundings = [], []
        for key in self._keys.values():
            await self._backfill(key, start, end)
            frames.append(self._store.read(key, start, end))
            fundings.append(self._store.read_funding(key.exchange, key.symbol, key.source, start, end + 1))
        return align(frames, fundings)

    async def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """Bars as they close, those missed since ``from_ms`` first.

        A bar is given out when every symbol has it; a symbol that stays behind by more than a bar is left out of it.
        """
        start = from_ms if from_ms is not None else self._session.now_ms() // self._step * self._step
        seen = dict.fromkeys(self._keys, start - self._step)
        waiting: dict[str, list[Frame]] = {symbol: [] for symbol in self._keys}
        given = start - self._step
        async for frame in follow(self._session, tuple(self._keys), self._timeframe, seen, self._note_trouble):
            symbol = frame.key.symbol
            self._trouble = ""
            self._store.write(frame)
            waiting[symbol].append(frame)
            seen[symbol] = int(frame.open_time[-1])
            ready = max(min(seen.values()), max(seen.values()) - self._step)
            if ready <= given:
                continue
            grid = await self._grid(waiting, given + self._step, ready + self._step)
            for t in range(grid.bars):
                self._last = int(grid.open_time[t])
                yield grid, t
            given = ready
            for name, frames in waiting.items():
                waiting[name] = [f for f in frames if f.open_time[-1] > ready]

    def health(self) -> FeedHealth:
        """Live, or stale with the reason."""
        age = 0 if self._last is None else self._session.now_ms() - self._last - self._step
        stale = bool(self._trouble) or age > self._stale_ms
        detail = self._trouble or (f"last bar closed {age // 1000} s ago" if self._last is not None else "no bar yet")
        return FeedHealth(self._exchange, "stale" if stale else "live", detail, self._last)

    def _note_trouble(self, _symbol: str, error: QuantError) -> None:
        self._trouble = str(error)

    async def _grid(self, waiting: dict[str, list[Frame]], start: int, end: int) -> Grid:
        frames, fundings = [], []
        for symbol, key in self._keys.items():
            parts = [f.between(start, end) for f in waiting[symbol]] or [Frame.empty(key)]
            frames.append(_joined(key, parts))
            fundings.append(await self._settlements(key, start, end))
        return align(frames, fundings)

    async def _settlements(self, key: SeriesKey, start: int, end: int) -> FundingFrame:
        """Settlements due in the span; the exchange is asked only where one may lie in it (on the hour)."""
        if end // HOUR_MS == start // HOUR_MS:
            return FundingFrame.empty(key.exchange, key.symbol, key.source)
        try:
            funding = await self._session.funding(key.symbol, start + 1, end + 1)
        except Retryable as error:
            self._trouble = str(error)
            return FundingFrame.empty(key.exchange, key.symbol, key.source)
        self._store.write_funding(funding)
        return funding

    async def _backfill(self, key: SeriesKey, start: int, end: int) -> None:
        stored = self._store.read(key, start, end)
        first = start
        if len(stored) and stored.open_time[0] <= start + key.step_ms:
            first = int(stored.open_time[-1]) + key.step_ms
        if first < end:
            self._store.write(await self._session.candles(key.symbol, key.timeframe, first, end))
        self._store.write_funding(await self._session.funding(key.symbol, end - RECENT_FUNDING_MS, end + 1))


def _joined(key: SeriesKey, parts: Sequence[Frame]) -> Frame:
    names = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Frame(key, *columns)


def before(grid: Grid, before_ms: int, bars: int) -> Grid:
    """The last ``bars`` columns of a grid that open before a moment."""
    stop = int(np.searchsorted(grid.open_time, before_ms))
    return cut(grid, max(0, stop - bars), stop)
