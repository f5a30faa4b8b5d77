"""A day of a live market on simulated time: many symbols and timeframes, faults on; sound if nothing is lost.

The exchange on loopback and the market share one process and one simulated clock, so a day takes minutes. At the end
every stored bar is held against the exchange's, and what was given against what was told.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.bar_notes import Hole, Revision
from data.exchange.live_events import LiveHealth
from data.exchange.live_market import LiveEvent, LiveMarket
from data.exchange.session import ExchangeSession
from data.market import Frame, SeriesKey, short_symbol, unified_symbol
from data.settings import DataSettings
from data.store import MarketStore
from data.synthetic import DEFAULT_START_MS, synthetic_market
from data.timeframes import HOUR_MS, MINUTE_MS
from database.home import Home
from scripts.soaks.day_faults import lay_faults
from scripts.soaks.figures import LoopWatch, resident_mib, watched
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.simulated_time import SimulatedClock

TIMEFRAMES = ("1m", "5m", "15m", "1h")
BASES = ("BTC", "ETH", "SOL", "XRP", "BNB", "ADA", "DOGE", "LTC")
LEAD_MS = 3 * HOUR_MS  # of the market before the session begins
SLICES = 20  # looks at memory
RHYTHM = Rhythm(kline_ms=60_000, mark_ms=60_000, trades_a_bar=4)
INGESTION = ("/data/", "/database/")
FLAT = 1.10  # memory at the end against that at a quarter


@dataclass(frozen=True)
class Plan:
    """What is run."""

    hours: float = 24.0
    symbols: int = 20
    timeframes: tuple[str, ...] = TIMEFRAMES
    seed: int = 7
    streams: bool = True
    faults: bool = True
    trace: bool = False

    @property
    def keys(self) -> list[SeriesKey]:
        """The series."""
        names = [*BASES, *(f"COIN{n}" for n in range(self.symbols))][: self.symbols]
        symbols = [unified_symbol(f"{name}USDT") for name in names]
        return [SeriesKey("binanceusdm", symbol, timeframe) for symbol in symbols for timeframe in self.timeframes]


class Witness:
    """Sees every bar as it is given: in order, once, with no step left out that was not told as a hole."""

    def __init__(self, keys: list[SeriesKey], start_ms: int) -> None:
        self.last = {key: start_ms // key.step_ms * key.step_ms - key.step_ms for key in keys}
        self.bars: Counter[str] = Counter()
        self.repeated = 0
        self.skipped: set[tuple[SeriesKey, int]] = set()
        self.told: set[tuple[SeriesKey, int]] = set()
        self.events: Counter[str] = Counter()
        self.latest_s = 0.0

    def see(self, frame: Frame) -> None:
        """A frame of ``closed_bars``."""
        key, step = frame.key, frame.key.step_ms
        for time_ms in frame.open_time.tolist():
            if time_ms <= self.last[key]:
                self.repeated += 1
                continue
            self.skipped.update((key, t) for t in range(self.last[key] + step, time_ms, step))
            self.last[key] = time_ms
        self.bars[key.timeframe] += len(frame)
        self.latest_s = max(self.latest_s, float((frame.known_at - frame.open_time).max() - step) / 1000)

    def hear(self, event: LiveEvent) -> None:
        """An event of the market."""
        self.events[type(event).__name__] += 1
        if isinstance(event, Hole):
            self.told.update((event.key, t) for t in range(event.start_ms, event.end_ms, event.key.step_ms))


async def live_day(plan: Plan, folder: Path, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Run the plan with a home in ``folder``; a document of figures, ``sound`` among them."""
    start = DEFAULT_START_MS + LEAD_MS
    end = start + round(plan.hours * HOUR_MS)
    clock = SimulatedClock(start + 5_000)
    watch = LoopWatch(INGESTION)
    began = time.perf_counter()
    async with BinanceServer(clock, RHYTHM) as server:
        keys = plan.keys
        for symbol in dict.fromkeys(key.symbol for key in keys):
            server.market.add(*synthetic_market(symbol, "1m", (end - DEFAULT_START_MS) // MINUTE_MS + 120, plan.seed))
        rng = np.random.default_rng(plan.seed)
        laid = lay_faults(server, keys, start, end, rng) if plan.faults else {}
        settings = DataSettings(base_url=server.url, streams=plan.streams, stream_silence_s=100.0)
        witness = Witness(keys, start)
        with Home(folder / "home", clock).open() as database:
            session = ExchangeSession(settings, clock, sleep=clock.sleep, rng=np.random.default_rng(plan.seed))
            async with session:
                market = LiveMarket(session, keys, database.candles, on_event=witness.hear)
                clock.busy.append(lambda: market.at_work)
                with watched(watch):
                    memory, health = await _run(plan, server, clock, market, witness, (start, end), tell)
            wrong = _compared(server, database.candles, keys, start, clock.now_ms())
    wall = time.perf_counter() - began
    flat = memory[-1] <= FLAT * memory[len(memory) // 4] if plan.hours >= 4 else True
    stream = health.stream
    unseen = witness.skipped - witness.told
    return {
        "sound": not wrong and not witness.repeated and not unseen and flat and not watch.over,
        "wall_s": round(wall, 1), "hours": plan.hours, "series": len(keys), "streams": plan.streams,
        "bars_given": dict(witness.bars), "repeated": witness.repeated, "untold_gaps": len(unseen),
        "stored_bars_wrong": wrong, "latest_bar_s": round(witness.latest_s, 1),
        "holes_told": len(witness.told), "revisions": witness.events[Revision.__name__],
        "quarantined": health.quarantined, "suspects": health.suspects, "events": dict(witness.events),
        "reconnects": None if stream is None else stream.reconnects,
        "stream_messages": None if stream is None else stream.messages,
        "unreadable": None if stream is None else stream.unreadable,
        "requests": health.rest.requests, "failed_requests": health.rest.failures,
        "loop_turns": watch.turns, "longest_turn_ms": round(1000 * watch.longest_s, 1),
        "longest_turn_cpu_ms": round(1000 * watch.longest_cpu_s, 1), "longest_turn": watch.longest_name[-60:],
        "turns_over_50_ms": len(watch.over), "memory_mib": [round(value, 1) for value in memory],
        "memory_flat": flat, "faults": laid,
    }  # fmt: skip


async def _run(
    plan: Plan, server: BinanceServer, clock: SimulatedClock, market: LiveMarket, witness: Witness,
    span: tuple[int, int], tell: Callable[[str], None],
) -> tuple[list[float], LiveHealth]:  # fmt: skip
    """Let the day pass; memory after each slice of it, and the market's health at its end."""
    bars = market.closed_bars()

    async def take() -> None:
        async for frame in bars:
            witness.see(frame)

    running, taking = asyncio.create_task(market.run()), asyncio.create_task(take())
    memory: list[float] = []
    if plan.trace:
        tracemalloc.start()
    start, end = span
    for number in range(1, SLICES + 1):
        await clock.run_until(start + (end - start) * number // SLICES)
        server.requests.clear()
        server.hub.commands.clear()
        gc.collect()
        memory.append(tracemalloc.get_traced_memory()[0] / 2**20 if plan.trace else resident_mib())
        tell(f"{100 * number // SLICES:3d} %  {sum(witness.bars.values())} bars, {memory[-1]:.0f} MiB")
        if running.done():
            running.result()
    market.review()
    await clock.run_for(45)
    health = market.health()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await taking
    if plan.trace:
        tracemalloc.stop()
    return memory, health


def _compared(
    server: BinanceServer, store: MarketStore, keys: list[SeriesKey], start_ms: int, now_ms: int
) -> list[str]:
    """Stored bars that are not the exchange's: the first twenty."""
    wrong: list[str] = []
    for key in keys:
        step, name = key.step_ms, short_symbol(key.symbol)
        first = start_ms // step * step
        stored = store.read(key, first)
        expected = list(range(first, now_ms // step * step, step))
        if now_ms % step < 5_000:
            expected = expected[: len(stored)]  # the newest has just closed
        if stored.open_time.tolist() != expected:
            lacking = sorted(set(expected) ^ set(stored.open_time.tolist()))
            wrong.append(f"{key}: bars at {lacking[:5]} lack or are too many")
            continue
        table = np.column_stack([stored.open, stored.high, stored.low, stored.close, stored.volume])
        for row, time_ms in zip(table, expected, strict=True):
            bar = server.market.bar(name, key.timeframe, time_ms, now_ms, "rest")
            values = None if bar is None else (bar.open, bar.high, bar.low, bar.close, bar.volume)
            if values is None or not np.allclose(row, values, rtol=1e-8, atol=1e-8):
                wrong.append(f"{key} at {time_ms}: stored {row.tolist()}, the exchange has {values}")
    return wrong[:20]
