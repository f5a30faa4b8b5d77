"""Where a run's bars come from: stored bars at any speed, or a synthetic market that goes on as long as it is watched
(:mod:`app.live_feed` has the exchange). A feed first gives history for the warm-up, then bars one at a time as
``(grid, index)``.
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
from data.grid import Grid, align
from data.market import Float64Array, Frame, FundingFrame, SeriesKey
from data.store import CandleStore
from data.synthetic import synthetic_market

YIELD_AFTER_S = 0.005  # at full speed the loop is given back this often, so that commands and views get through
SYNTHETIC_CHUNK = 20_000  # bars made at a time, at least; the market is made anew from its first bar each time


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

    def hold(self, _open_time: int) -> Sequence[int]:
        """Why no symbol may be entered on this bar: a ``trading.records.Reason`` per symbol, 0 where it may."""
        ...

    def quotes(self) -> Float64Array | None:
        """The market now, ``[S, 4]`` as ``trading.risk.market.see_quotes`` reads it; ``None``: it has no book."""
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

    def hold(self, _open_time: int) -> Sequence[int]:
        """A replay knows its bars at their close."""
        return ()

    def quotes(self) -> None:
        """Bars alone."""

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
        if before_ms is not None and grid.open_time[-1] < before_ms:
            grid = await self._until((before_ms - int(grid.open_time[0])) // grid.step_ms + 1)
        limit = before_ms if before_ms is not None else int(grid.open_time[self._history_bars])
        return before(grid, limit, bars)

    async def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """Bars without end."""
        grid = await self._until(self._history_bars + 1)
        start = from_ms if from_ms is not None else int(grid.open_time[self._history_bars])
        t = (start - int(grid.open_time[0])) // grid.step_ms
        while True:
            if t >= grid.bars:
                grid = await self._until(t + max(SYNTHETIC_CHUNK, t // 2))
            await self._pace.wait()
            self._last = int(grid.open_time[t])
            yield grid, t
            t += 1

    def hold(self, _open_time: int) -> Sequence[int]:
        """A made-up market is never late."""
        return ()

    def quotes(self) -> None:
        """Bars alone."""

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


def before(grid: Grid, before_ms: int, bars: int) -> Grid:
    """The last ``bars`` columns of a grid that open before a moment."""
    stop = int(np.searchsorted(grid.open_time, before_ms))
    return cut(grid, max(0, stop - bars), stop)
