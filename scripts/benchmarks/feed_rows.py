"""D6 back-fill over REST and D10 a live market, both at the exchange on loopback in the same process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.benchmarks.bench import SEED, Bench
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import in_turn

if TYPE_CHECKING:
    from tests.exchange.binance_server import BinanceServer

FILLED = 50_000  # bars
SYMBOL = "BTC/USDT:USDT"
TIMEFRAMES = ("1m", "5m", "15m", "1h")
BASES = ("BTC", "ETH", "SOL", "XRP", "BNB", *(f"COIN{n}" for n in range(15)))
WITH_BOOKS = 5  # of these symbols
LIVE_S = 300.0  # of the exchange's time
INGESTION = ("/data/", "/database/", "/ccxt/")  # parts of file names whose turns count


def filling(bench: Bench) -> list[Row]:
    """D6: ours stores what it reads; ccxt's own paging gives lists."""
    import ccxt

    bars = min(FILLED, bench.bars)
    mine, other = in_turn(lambda: asyncio.run(_filled(bars)), lambda: asyncio.run(_paged(bars)), rounds=3)
    what, peer = f"back-fill {bars:,} candles over REST", f"ccxt {ccxt.__version__} fetch_ohlcv, paginate"
    note = "the exchange on loopback works in the same process; ours checks and stores every page, pace not counted"
    return [measured("D6", what, bars / mine, "bars/s", Goal("≥ 0.7×", ratio=0.7), peer, bars / other, note,
                     more_is_better=True)]  # fmt: skip


@asynccontextmanager
async def _past(bars: int) -> AsyncIterator[tuple[BinanceServer, Any, int]]:
    """The exchange with so many closed bars, its clock, and the time of the first one."""
    from data.clock import ManualClock
    from data.synthetic import DEFAULT_START_MS, synthetic_market
    from data.timeframes import MINUTE_MS
    from tests.exchange.binance_server import BinanceServer

    clock = ManualClock(DEFAULT_START_MS + bars * MINUTE_MS + 1)
    async with BinanceServer(clock) as server:
        server.market.add(*synthetic_market("BTCUSDT", "1m", bars + 100, SEED))
        server.weight_limit = 10**9
        yield server, clock, DEFAULT_START_MS


async def _filled(bars: int) -> float:
    from data.backfill import backfill
    from data.exchange.session import ExchangeSession
    from data.market import SeriesKey
    from data.settings import DataSettings
    from data.timeframes import MINUTE_MS
    from database.home import Home

    async with _past(bars) as (server, clock, start):

        async def sleep(seconds: float) -> None:
            clock.advance(seconds)

        with tempfile.TemporaryDirectory(prefix="quantai-bench-") as folder, Home(Path(folder)).open() as database:
            async with ExchangeSession(DataSettings(base_url=server.url), clock, sleep=sleep) as session:
                await session.ping()
                began = perf_counter()
                end = start + bars * MINUTE_MS
                key = SeriesKey("binanceusdm", SYMBOL, "1m")
                assert (await backfill(session, database.candles, key, start, end)).inserted == bars
                return perf_counter() - began


async def _paged(bars: int) -> float:
    import ccxt.async_support

    from data.exchange.binanceusdm import BinanceUsdm
    from data.timeframes import MINUTE_MS

    async with _past(bars) as (server, _, start):
        quirks = BinanceUsdm()
        exchange = ccxt.async_support.binanceusdm({"enableRateLimit": False, "options": dict(quirks.options)})
        quirks.prepare(exchange, server.url)  # its addresses
        try:
            await exchange.load_markets()
            began = perf_counter()
            ask = {"paginate": True, "paginationCalls": bars // 1000 + 1, "until": start + bars * MINUTE_MS}
            rows = await exchange.fetch_ohlcv(SYMBOL, "1m", start, None, {**ask, "maxEntriesPerRequest": 1000})
            took = perf_counter() - began
            assert len(rows) >= bars, f"{len(rows)} bars of {bars} came"
            return took
        finally:
            await exchange.close()


def holding(bench: Bench) -> list[Row]:
    """D10: the longest turn of the loop by what is ours and by ccxt under it, from the first request on."""
    seconds = LIVE_S if bench.bars > 100_000 else 10.0
    cpu, wall, said = asyncio.run(_lived(seconds))
    what = f"longest hold of the loop, {len(BASES)} symbols × {len(TIMEFRAMES)} timeframes, {WITH_BOOKS} books"
    note = f"processor time of {said}; {wall:.0f} ms by the clock on this machine at the time"
    return [measured("D10", what, cpu, "ms", Goal("≤ 50 ms", at_most=50.0), note=note)]


async def _lived(seconds: float) -> tuple[float, float, str]:
    """Milliseconds of the longest turn: of the processor, and by the clock; what was done."""
    from app.pauses import short_collections
    from data.exchange.live_market import LiveMarket
    from data.exchange.session import ExchangeSession
    from data.market import SeriesKey, unified_symbol
    from data.settings import DataSettings
    from data.synthetic import DEFAULT_START_MS, synthetic_market
    from data.timeframes import HOUR_MS
    from database.home import Home
    from scripts.soaks.figures import LoopWatch, watched
    from tests.exchange.binance_server import BinanceServer
    from tests.exchange.binance_streams import FINE
    from tests.exchange.simulated_time import SimulatedClock

    clock = SimulatedClock(DEFAULT_START_MS + 3 * HOUR_MS + 5_000)
    watch = LoopWatch(INGESTION)
    symbols = [unified_symbol(f"{base}USDT") for base in BASES]
    keys = [SeriesKey("binanceusdm", symbol, timeframe) for symbol in symbols for timeframe in TIMEFRAMES]
    minutes = [key for key in keys if key.timeframe == TIMEFRAMES[0]]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(BinanceServer(clock, FINE))
        for symbol in symbols:
            server.market.add(*synthetic_market(symbol, "1m", 600, SEED))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="quantai-bench-"))
        store = stack.enter_context(Home(Path(folder), clock).open()).candles
        settings, rng = DataSettings(base_url=server.url), np.random.default_rng(SEED)
        session = await stack.enter_async_context(ExchangeSession(settings, clock, sleep=clock.sleep, rng=rng))
        bars = LiveMarket(session, keys, store, collect=("premium",))
        books = LiveMarket(session, minutes[:WITH_BOOKS], store, collect=("book", "trades"))
        clock.busy.append(lambda: bars.at_work or books.at_work)
        stack.enter_context(short_collections())  # as in the service
        stack.enter_context(watched(watch))
        messages = await _run(clock, (bars, books), seconds)
    said = f"one turn among {watch.turns:,}, {messages:,} messages in {seconds:.0f} s of the exchange's time"
    return 1e3 * watch.longest_cpu_s, 1e3 * watch.longest_s, f"{said} ({watch.longest_name.split('/')[-1]})"


async def _run(clock: Any, markets: Sequence[Any], seconds: float) -> int:
    """Let both markets live; messages that their streams had."""
    running = [asyncio.create_task(market.run()) for market in markets]
    try:
        await clock.run_for(seconds)
        health = [market.health().stream for market in markets]
        return sum(stream.messages for stream in health if stream is not None)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
