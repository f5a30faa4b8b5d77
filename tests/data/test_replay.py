"""Replay of what is stored: everything once, in the order in which it became known, at any speed, in flat memory."""

from __future__ import annotations

import asyncio
import gc
import itertools
import math
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.clock import ManualClock, SystemClock
from data.exchange.events import BookDelta, BookSnapshot, Liquidation, PremiumUpdate, TradePrint
from data.market import Frame, FundingFrame, SeriesKey
from data.observations import BOOK_COLUMNS, COLUMNS, Observations
from data.observed import MetricsUpdate, books_of, sampled, tick_key, trades_of
from data.orderbook import BookTop, DepthSync
from data.recorded import recorded_events, recorder_offset_ms
from data.replay import KIND_ORDER, MarketPace, MarketReplay, ReplayItem, Settlement, paced
from database.home import Home
from database.repositories import Repositories
from tests.exchange.simulated_time import SimulatedClock

EXCHANGE, BTC = "binanceusdm", "BTC/USDT:USDT"
START = 1_704_067_200_000
MINUTE = 60_000
EXAMPLES = itertools.count()  # every example has symbols of its own in the one store
MINUTES = SeriesKey(EXCHANGE, BTC, "1m")
FUNDING = SeriesKey(EXCHANGE, BTC, "8h", "funding")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Repositories]:
    with Home(tmp_path / "home", ManualClock(START)).open() as database:
        yield database


def bars(
    key: SeriesKey, count: int, start: int = START, known_at: np.ndarray | None = None, scale: float = 1.0
) -> Frame:
    close = scale * (100.0 + np.arange(count) % 7)
    times = start + np.arange(count) * key.step_ms
    return Frame.of(key, times, close, close + 1, close - 1, close, np.ones(count), known_at)


def observed(kind: str, time: np.ndarray, known_at: np.ndarray | None = None) -> Observations:
    width = len(COLUMNS[kind])
    values = 1.0 + np.arange(len(time) * width, dtype=np.float64).reshape(-1, width)
    if kind in ("trades", "liquidations"):
        values[:, 2] = np.where(np.arange(len(time)) % 2, 1.0, -1.0)
    return Observations.of(tick_key(EXCHANGE, BTC, kind), time, values, known_at, np.arange(len(time)))


def outline(item: ReplayItem) -> tuple[int, str, int]:
    value = item.value
    if isinstance(value, Frame):
        return item.known_at, item.key.kind, int(value.open_time[0])
    moment = value.event_ms if isinstance(value, PremiumUpdate) else value.time_ms
    return item.known_at, item.key.kind, moment


def test_rows_of_every_kind_come_as_what_they_were_in_the_order_of_knowing(db: Repositories) -> None:
    store = db.candles
    moment = START + MINUTE
    kinds = [kind for kind in KIND_ORDER if kind in COLUMNS]
    for kind in kinds:
        store.write_observations(observed(kind, np.array([moment])))
    for kind in ("ohlcv", "mark", "index"):
        store.write(bars(SeriesKey(EXCHANGE, BTC, "1m", kind), 1))
    store.write(bars(SeriesKey(EXCHANGE, BTC, "5m"), 1, moment - 5 * MINUTE))
    store.write_funding(FundingFrame(EXCHANGE, BTC, "exchange", np.array([moment]), np.array([1e-4]), np.array([99.0])))
    keys = [info.key for info in store.series()]
    items = list(MarketReplay(store, keys, START, START + 2 * MINUTE))
    assert [item.key.kind for item in items] == [*KIND_ORDER, "ohlcv"]
    assert [item.key.timeframe for item in items[-2:]] == ["1m", "5m"]
    assert {item.known_at for item in items} == {moment}
    values = [type(item.value) for item in items]
    events = [BookTop, TradePrint, Liquidation, PremiumUpdate, MetricsUpdate, Settlement]
    assert values == [*events, Frame, Frame, Frame, Frame]
    assert items[1].value == TradePrint(BTC, 0, 1.0, 2.0, -1, moment, moment)
    assert items[3].value == PremiumUpdate(BTC, 1.0, 2.0, 3.0, 4, 5, moment, moment)
    assert items[4].value == MetricsUpdate(BTC, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, moment, moment)
    assert items[5].value == Settlement(BTC, 1e-4, 99.0, moment)
    bar = items[-1].value
    assert isinstance(bar, Frame) and len(bar) == 1 and bar.key.timeframe == "5m"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(0, 5 * MINUTE))
def test_the_feed_is_the_same_however_much_is_read_at_a_time(
    db: Repositories, seed: int, block: int, lateness: int
) -> None:
    rng = np.random.default_rng(seed)
    keys = [SeriesKey(EXCHANGE, f"T{next(EXAMPLES)}/USDT:USDT", "tick", kind) for kind in ("trades", "premium")]
    expected = []
    assert keys[0].symbol != keys[1].symbol
    for key in keys:
        times = START + np.sort(rng.choice(20 * MINUTE, 60, replace=False))
        known = times + rng.integers(0, lateness + 1, 60)
        values = rng.random((60, len(COLUMNS[key.kind])))
        db.candles.write_observations(Observations.of(key, times, values, known))
        rank = KIND_ORDER.index(key.kind)
        expected += [(int(k), rank, int(t)) for k, t in zip(known, times, strict=True)]
    low, high = START + 3 * MINUTE, START + 15 * MINUTE
    replay = MarketReplay(
        db.candles, rng.permutation(np.array(keys, dtype=object)).tolist(), low, high, 5 * MINUTE, block
    )
    got = [(i.known_at, KIND_ORDER.index(i.key.kind), outline(i)[2]) for i in replay]
    assert got == sorted(row for row in expected if low <= row[0] < high)


def test_a_bar_is_not_seen_before_its_close_and_one_that_came_late_not_before_it_came(db: Repositories) -> None:
    known = START + np.arange(1, 11) * MINUTE
    known[3] += 3 * 60 * MINUTE
    db.candles.write(bars(MINUTES, 10, known_at=known))
    items = list(MarketReplay(db.candles, [MINUTES], START, START + 5 * 60 * MINUTE, rows_a_block=3))
    assert [outline(i) for i in items] == sorted(
        (int(k), "ohlcv", START + n * MINUTE) for n, k in enumerate(known.tolist())
    )
    shorter = list(MarketReplay(db.candles, [MINUTES], START, START + 60 * MINUTE))
    assert len(shorter) == 9


def test_a_revised_bar_comes_as_it_was_and_again_as_it_became(db: Repositories) -> None:
    db.candles.write(bars(MINUTES, 5))
    for hours, scale in ((1, 2.0), (3, 3.0)):
        at = np.array([START + hours * 60 * MINUTE])
        db.candles.write(bars(MINUTES, 1, START + 2 * MINUTE, at, scale))
    items = list(MarketReplay(db.candles, [MINUTES], START, START + 4 * 60 * MINUTE))
    of_bar = [(i.known_at, float(i.value.close[0])) for i in items if outline(i)[2] == START + 2 * MINUTE]  # type: ignore[union-attr]
    assert of_bar == [
        (START + 3 * MINUTE, 102.0),
        (START + 60 * MINUTE, 200.0),
        (START + 180 * MINUTE, 300.0),
    ]
    assert len(items) == 7


def test_a_revised_observation_comes_as_it_was_and_again_as_it_became(db: Repositories) -> None:
    key = SeriesKey(EXCHANGE, BTC, "5m", "metrics")
    for known, value in ((START + 1000, 5.0), (START + 9000, 7.0)):
        db.candles.write_observations(
            Observations.of(key, np.array([START]), np.full((1, 6), value), np.array([known]))
        )
    items = list(MarketReplay(db.candles, [key], START, START + MINUTE))
    assert [(i.known_at, i.value.open_interest) for i in items] == [(START + 1000, 5.0), (START + 9000, 7.0)]  # type: ignore[union-attr]


def test_what_was_known_before_the_start_or_after_the_end_is_left_out(db: Repositories) -> None:
    db.candles.write(bars(MINUTES, 10))
    items = list(MarketReplay(db.candles, [MINUTES], START + 2 * MINUTE, START + 5 * MINUTE))
    assert [i.known_at for i in items] == [START + k * MINUTE for k in (2, 3, 4)]


def test_clocks_that_differ_do_not_let_a_row_be_known_before_it_happened(db: Repositories) -> None:
    times = START + np.arange(5) * 10
    db.candles.write_observations(observed("trades", times, times - 1200))
    items = list(MarketReplay(db.candles, [tick_key(EXCHANGE, BTC, "trades")], START, START + MINUTE))
    assert [i.known_at for i in items] == times.tolist()


async def test_a_pace_follows_the_markets_time(db: Repositories) -> None:
    db.candles.write(bars(MINUTES, 4))
    clock = SimulatedClock(START)
    seen: list[tuple[float, int]] = []

    async def watch() -> None:
        replay = MarketReplay(db.candles, [MINUTES], START, START + 10 * MINUTE)
        feed = paced(replay, MarketPace(30.0, clock, clock.sleep))
        seen.extend([(clock.monotonic(), item.known_at) async for item in feed])

    task = asyncio.create_task(watch())
    while not task.done():
        await asyncio.sleep(0.001)  # rows are read on another thread
        await clock.run_for(0.5)
    await task
    began = seen[0][0]
    assert [t - began for t, _ in seen] == pytest.approx([0.0, 2.0, 4.0, 6.0], abs=0.51)
    assert [k for _, k in seen] == [START + n * MINUTE for n in range(1, 5)]


async def test_a_stall_is_not_made_up_for_by_a_burst() -> None:
    clock = SimulatedClock(0)
    pace = MarketPace(1.0, clock, clock.sleep)
    await pace.wait(0)
    clock.advance(100.0)
    for late in (1000, 2000):  # due long since
        due = asyncio.create_task(pace.wait(late))
        await clock.run_for(0.0)
        assert due.done()
    held = asyncio.create_task(pace.wait(3001))
    await clock.run_for(0.0)
    assert not held.done()
    await clock.run_for(2.0)
    assert held.done()


async def test_at_full_speed_the_loop_is_given_back_every_few_milliseconds() -> None:
    clock, sleeps = ManualClock(), 0

    async def sleep(seconds: float) -> None:
        nonlocal sleeps
        assert seconds == 0.0
        sleeps += 1

    pace = MarketPace(math.inf, clock, sleep)
    for item in range(600):
        clock.advance(0.001)  # what is done with an item
        await pace.wait(item * 1000)
    assert 100 <= sleeps <= 120


async def test_at_full_speed_the_loop_is_never_held(db: Repositories) -> None:
    count = 60_000
    db.candles.write_observations(observed("trades", START + np.arange(count) * 100))
    longest, last, done = 0.0, time.perf_counter(), False

    async def beat() -> None:
        nonlocal longest, last
        while not done:
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
            await asyncio.sleep(0)

    beating = asyncio.create_task(beat())
    pace = MarketPace(math.inf, SystemClock(), asyncio.sleep)
    replay = MarketReplay(db.candles, [tick_key(EXCHANGE, BTC, "trades")], START, START + count * 100)
    seen = 0
    gc.freeze()  # as a program does once it has started: a full collection would look through all that is imported
    try:
        async for _ in paced(replay, pace):
            seen += 1
    finally:
        gc.unfreeze()
    done = True
    await beating
    assert seen == count
    assert longest < 0.25  # 0.05 on an idle machine; other tests run beside this one


def test_memory_stays_flat_over_a_long_replay(db: Repositories) -> None:
    key = tick_key(EXCHANGE, BTC, "trades")
    for part in range(2):
        times = START + (np.arange(50_000) + part * 50_000) * 20
        db.candles.write_observations(
            Observations.of(key, times, np.ones((50_000, 3)), times + 30, np.arange(50_000) + part * 50_000)
        )
    replay = MarketReplay(db.candles, [key], START, START + 100_000 * 20 + 100, rows_a_block=2000)
    heights = []
    tracemalloc.start()
    seen = 0
    for seen, _ in enumerate(replay, 1):
        if seen % 10_000 == 0:
            heights.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert seen == 100_000
    assert max(heights) < 3_000_000  # the trades together are some thirty


@pytest.mark.data
def test_a_recorded_session_that_was_stored_comes_back_as_it_was(db: Repositories, shared_data: Path) -> None:
    raw = [shared_data / "orderbook/binance_usdm_btcusdt_20240808_raw.jsonl.gz"]
    events = list(recorded_events(raw, recorder_offset_ms(raw)))
    prints = [e for e in events if isinstance(e, TradePrint)]
    tops = list(sampled((e for e in events if isinstance(e, BookDelta | BookSnapshot)), 250, DepthSync(BTC)))
    trades, books = (tick_key(EXCHANGE, BTC, kind) for kind in ("trades", "book"))
    db.candles.write_observations(trades_of(trades, prints))
    db.candles.write_observations(books_of(books, tops))
    begin = min(e.received_ms for e in prints) - MINUTE
    items = list(MarketReplay(db.candles, [trades, books], begin, begin + 60 * MINUTE, rows_a_block=500))
    known = [i.known_at for i in items]
    assert known == sorted(known)
    again = {i.value.trade_id: i.value for i in items if isinstance(i.value, TradePrint)}
    assert list(again) == sorted(again) and len(again) == 21_313
    assert [(t.price, t.quantity, t.side, t.time_ms) for t in again.values()] == [
        (t.price, t.quantity, t.side, t.time_ms) for t in prints
    ]
    shown = [i.value for i in items if isinstance(i.value, BookTop)]
    assert len(shown) == len(tops) > 1000
    for top, stored in zip(tops, shown, strict=True):
        np.testing.assert_array_equal(top.values(), stored.values())
        assert len(stored.values()) == len(BOOK_COLUMNS)
