"""A live market at the exchange on loopback, on simulated time; what comes of it is kept for the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from data.exchange.live_market import LiveEvent, LiveMarket
from data.exchange.session import ExchangeSession
from data.market import Frame, SeriesKey, short_symbol
from data.settings import DataSettings
from data.store import MarketStore
from data.timeframes import timeframe_ms
from tests.exchange.binance_server import BinanceServer
from tests.exchange.simulated_time import SimulatedClock


@dataclass
class Living:
    """A running market and what came of it so far."""

    server: BinanceServer
    clock: SimulatedClock
    session: ExchangeSession
    market: LiveMarket
    store: MarketStore
    frames: list[Frame] = field(default_factory=list)
    events: list[LiveEvent] = field(default_factory=list)

    def of(self, kind: type) -> list:
        """The events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def given(self, key: SeriesKey) -> Frame:
        """The bars given of a series, in the order in which they came."""
        parts = [frame for frame in self.frames if frame.key == key]
        columns = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
        if not parts:
            return Frame.empty(key)
        return Frame(key, *(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    def check_whole(self, key: SeriesKey, first_ms: int, bars: int, except_for: Sequence[int] = ()) -> None:
        """Every bar from ``first_ms`` on was given once, in order, as the exchange has it, and is stored so."""
        step = timeframe_ms(key.timeframe)
        times = [t for t in range(first_ms, first_ms + bars * step, step) if t not in except_for]
        given = self.given(key)
        assert given.open_time.tolist() == times
        assert (given.known_at >= given.open_time + step).all()
        stored = self.store.read(key, first_ms)
        assert stored.open_time.tolist() == times
        now, name = self.clock.now_ms(), short_symbol(key.symbol)
        for place, time in enumerate(times):
            bar = self.server.market.bar(name, key.timeframe, time, now, "rest")
            row = [column[place] for column in (stored.open, stored.high, stored.low, stored.close, stored.volume)]
            assert np.allclose(row, [bar.open, bar.high, bar.low, bar.close, bar.volume], rtol=1e-8, atol=1e-8)


@asynccontextmanager
async def living(
    server: BinanceServer,
    clock: SimulatedClock,
    store: MarketStore,
    keys: Sequence[SeriesKey],
    after: Mapping[SeriesKey, int] | None = None,
    **changes: object,
) -> AsyncIterator[Living]:
    """Run a live market; keywords change settings."""
    settings = DataSettings(**{"base_url": server.url, "exchange": keys[0].exchange, **changes})
    session = ExchangeSession(settings, clock, sleep=clock.sleep, rng=np.random.default_rng(1))
    async with session:
        events: list[LiveEvent] = []
        market = LiveMarket(session, keys, store, after=after, on_event=events.append)
        found = Living(server, clock, session, market, store, events=events)
        bars = market.closed_bars()

        async def take() -> None:
            async for frame in bars:
                found.frames.append(frame)

        at_work = lambda: market.at_work
        clock.busy.append(at_work)
        running, taking = asyncio.create_task(market.run()), asyncio.create_task(take())
        try:
            await clock.settle()
            yield found
        finally:
            clock.busy.remove(at_work)
            if not running.done():
                running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await taking
