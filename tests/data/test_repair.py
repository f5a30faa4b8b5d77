"""Repair: what the exchange says now, else what finer bars say, else nothing; always marked and known from now on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from data.clock import ManualClock
from data.errors import Rejected, Retryable
from data.market import BarMark, Frame, FundingFrame, SeriesKey
from data.quality import inspect
from data.quality_agreement import compare
from data.quality_findings import Finding
from data.quality_observations import funding_key, inspect_funding
from data.repair import RepairReport, Span, plan_repair, repair, repair_funding
from data.resample import resample
from data.synthetic import random_walk
from tests.data.frame_store import FrameStore

MINUTE = 60_000
KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1m")
NAMES = ("open_time", "open", "high", "low", "close", "volume")


@dataclass
class Exchange:
    """Candles as a session gives them, from a frame of the truth."""

    truth: Frame
    asked: list[Span] = field(default_factory=list)
    trouble: Exception | None = None

    async def candles(
        self, symbol: str, timeframe: str, start_ms: int, end_ms: int | None = None, kind: str = "ohlcv"
    ) -> Frame:
        assert end_ms is not None
        assert (symbol, timeframe, kind) == (self.truth.key.symbol, self.truth.key.timeframe, self.truth.key.kind)
        self.asked.append(Span(start_ms, end_ms))
        if self.trouble is not None:
            raise self.trouble
        return self.truth.between(start_ms, end_ms)


@pytest.fixture
def truth() -> Frame:
    walk = random_walk("BTCUSDT", "1m", 3_000, 11)[0]
    return Frame.of(KEY, *(getattr(walk, n) for n in NAMES))


@pytest.fixture
def clock(truth: Frame) -> ManualClock:
    return ManualClock(int(truth.open_time[-1]) + 3_600_000)


def same_bars(a: Frame, b: Frame) -> bool:
    return all(np.array_equal(getattr(a, n), getattr(b, n)) for n in NAMES)


def put(frame: Frame, name: str, row: int, value: float) -> Frame:
    changed = getattr(frame, name).copy()
    changed[row] = value
    return replace(frame, **{name: changed})


async def mend(
    session: Exchange | None, store: FrameStore, key: SeriesKey, clock: ManualClock, more: list[Finding] | None = None
) -> RepairReport:
    return await repair(session, store, key, [*inspect(store.read(key)), *(more or [])], clock)


async def test_missing_and_broken_bars_come_back_from_the_exchange_marked_and_known_from_now(
    truth: Frame, clock: ManualClock
) -> None:
    broken = put(truth, "high", 2_000, float(truth.low[2_000]) * 0.9).take(
        ~np.isin(np.arange(3_000), [100, 101, 1_000])
    )
    store, exchange = FrameStore().add(broken), Exchange(truth)
    report = await mend(exchange, store, KEY, clock)
    after = store.read(KEY)
    assert same_bars(after, truth)
    changed = [100, 101, 1_000, 2_000]
    assert np.flatnonzero(after.mark == BarMark.REPAIRED).tolist() == changed
    assert (after.known_at[changed] == clock.ms).all()
    untouched = np.setdiff1d(np.arange(3_000), changed)
    assert (after.known_at[untouched] == truth.known_at[untouched]).all()
    assert (report.repaired, report.unrepaired, len(report.spans)) == (4, 0, 3)
    assert "2 bars fetched again from the exchange" in report.spans[0].words
    assert inspect(after) == []
    assert sum(s.end_ms - s.start_ms for s in exchange.asked) == 4 * MINUTE  # only what was named


async def test_a_bar_that_the_exchange_confirms_stays_as_it_is(truth: Frame, clock: ManualClock) -> None:
    silent = put(truth, "volume", 500, 0.0)
    store = FrameStore().add(silent)
    report = await mend(Exchange(silent), store, KEY, clock)
    assert (report.repaired, report.spans[0].unchanged, store.writes) == (0, 1, 1)
    assert "the exchange says the same of 1 bar" in report.spans[0].words
    assert store.read(KEY).mark[500] == BarMark.REAL


async def test_what_the_exchange_does_not_have_stays_a_gap(truth: Frame, clock: ManualClock) -> None:
    holed = truth.take(~np.isin(np.arange(3_000), [40, 41, 42]))
    store = FrameStore().add(holed)
    report = await mend(Exchange(truth.take(np.arange(3_000) != 41).take(np.arange(2_999) != 40)), store, KEY, clock)
    assert (report.repaired, report.unrepaired) == (1, 2)
    assert "2 bars stay missing" in report.spans[0].words
    assert [(f.kind, f.bars) for f in inspect(store.read(KEY))] == [("gap", 2)]


@pytest.mark.parametrize("trouble", [None, Retryable("Nobody answers."), Rejected("No such symbol.")])
async def test_without_the_exchange_bars_are_made_of_finer_ones_that_are_whole(
    truth: Frame, clock: ManualClock, trouble: Exception | None
) -> None:
    hours = resample(truth, "1h")
    fine = truth.take(np.arange(3_000) != 7 * 60 + 5)  # the eighth hour lacks a minute
    holed = hours.take(~np.isin(np.arange(len(hours)), [5, 7, 20]))
    store = FrameStore().add(holed, fine)
    session = None if trouble is None else Exchange(hours, trouble=trouble)
    report = await mend(session, store, hours.key, clock)
    after = store.read(hours.key)
    assert same_bars(after, hours.take(np.arange(len(hours)) != 7))
    assert after.open_time[after.mark == BarMark.REPAIRED].tolist() == hours.open_time[[5, 20]].tolist()
    assert (after.known_at[after.mark == BarMark.REPAIRED] == clock.ms).all()
    assert (report.repaired, report.unrepaired) == (2, 1)
    assert "2 bars made of 1m bars; 1 bar stays missing" in report.spans[0].words
    assert (str(trouble).rstrip(".") if trouble else "the exchange was not asked") in report.spans[0].words
    if session is not None:
        assert len(session.asked) == 1  # one refusal is enough


async def test_what_the_exchange_lacks_is_made_of_finer_bars_too(truth: Frame, clock: ManualClock) -> None:
    hours = resample(truth, "1h")
    holed = hours.take(~np.isin(np.arange(len(hours)), [5, 6]))
    store = FrameStore().add(holed, truth)
    report = await mend(Exchange(hours.take(np.arange(len(hours)) != 6)), store, hours.key, clock)
    assert same_bars(store.read(hours.key), hours)
    assert "1 bar fetched again from the exchange; 1 bar made of 1m bars" in report.spans[0].words


async def test_the_longest_of_the_finer_series_that_is_whole_is_taken(truth: Frame, clock: ManualClock) -> None:
    hours, quarters = resample(truth, "1h"), resample(truth, "15m")
    holed = hours.take(~np.isin(np.arange(len(hours)), [5, 7]))
    store = FrameStore().add(holed, quarters.take(np.arange(len(quarters)) != 22), truth)
    report = await mend(None, store, hours.key, clock)
    assert report.repaired == 2
    assert same_bars(store.read(hours.key), hours)
    assert "2 bars made of 15m and 1m bars" in report.spans[0].words


async def test_finer_bars_replace_only_what_is_missing_impossible_or_short_of_volume(
    truth: Frame, clock: ManualClock
) -> None:
    hours = resample(truth, "1h")
    short = put(hours, "volume", 10, float(hours.volume[10]) * 0.5)
    more = put(short, "volume", 20, float(hours.volume[20]) * 1.5)
    store = FrameStore().add(put(more, "close", 30, np.nan), truth)
    spread = compare(truth, more)
    assert [(f.series, f.start_ms) for f in spread] == [
        (hours.key, int(hours.open_time[10])), (truth.key, int(hours.open_time[20])),
    ]  # fmt: skip
    report = await mend(None, store, hours.key, clock, spread)
    after = store.read(hours.key)
    assert report.repaired == 2
    assert same_bars(after.take(np.arange(len(hours)) != 20), hours.take(np.arange(len(hours)) != 20))
    assert after.volume[20] == more.volume[20]


async def test_suspect_parts_make_no_bar(truth: Frame, clock: ManualClock) -> None:
    hours = resample(truth, "1h")
    mark = truth.mark.copy()
    mark[5 * 60 + 3] = BarMark.SUSPECT
    store = FrameStore().add(hours.take(np.arange(len(hours)) != 5), replace(truth, mark=mark))
    report = await mend(None, store, hours.key, clock)
    assert (report.repaired, report.unrepaired) == (0, 1)


async def test_a_synthetic_series_is_never_mended_with_the_exchanges_bars(truth: Frame, clock: ManualClock) -> None:
    key = replace(KEY, source="synthetic")
    made = Frame.of(key, *(getattr(truth, n) for n in NAMES))
    store, exchange = FrameStore().add(made.take(np.arange(3_000) != 9)), Exchange(truth)
    report = await mend(exchange, store, key, clock)
    assert exchange.asked == []
    assert report.unrepaired == 1
    hours = resample(made, "1h")
    store.add(made, hours.take(np.arange(len(hours)) != 4))
    await mend(None, store, hours.key, clock)
    assert (store.read(hours.key).mark == BarMark.SYNTHETIC).all()


def test_the_plan_joins_near_spans_and_leaves_out_what_no_second_look_changes(truth: Frame) -> None:
    t = truth.open_time
    found = [
        Finding("gap", int(t[10]), int(t[12]), 2, "", "bad", KEY),
        Finding("zero_volume", int(t[20]), int(t[21]), 1, "", "warn", KEY),
        Finding("outlier", int(t[900]), int(t[901]), 1, "", "info", KEY),
        Finding("jump", int(t[950]), int(t[951]), 1, "", "info", KEY),
        Finding("off_grid", int(t[800]) + 5, int(t[801]) + 5, 1, "", "bad", KEY),
        Finding("gap", int(t[500]), int(t[501]), 1, "", "bad", replace(KEY, timeframe="5m")),
        Finding("partial_volume", int(t[700]), int(t[701]), 1, "", "warn", KEY),
    ]
    assert plan_repair(found, truth) == [Span(int(t[10]), int(t[21])), Span(int(t[700]), int(t[701]))]
    assert plan_repair([], truth) == []


async def test_a_cancelled_repair_keeps_what_is_done_and_tells_its_progress(truth: Frame, clock: ManualClock) -> None:
    store = FrameStore().add(truth.take(~np.isin(np.arange(3_000), [100, 500, 900])))
    told: list[float] = []
    report = await repair(
        Exchange(truth), store, KEY, inspect(store.read(KEY)), clock, told.append, lambda: len(told) >= 2
    )
    assert report.cancelled
    assert (len(report.spans), report.repaired) == (2, 2)
    assert told == [0.0, pytest.approx(1 / 3)]


class Payer:
    """Settlements of the exchange."""

    def __init__(self, truth: FundingFrame) -> None:
        self.truth = truth

    async def funding(self, symbol: str, start_ms: int, end_ms: int | None = None) -> FundingFrame:
        assert end_ms is not None
        a, b = np.searchsorted(self.truth.time, [start_ms, end_ms])
        part = slice(int(a), int(b))
        return replace(
            self.truth, time=self.truth.time[part], rate=self.truth.rate[part], mark_price=self.truth.mark_price[part]
        )


async def test_missing_settlements_are_asked_for_again() -> None:
    time = np.arange(60, dtype=np.int64) * 28_800_000
    rate = np.full(60, 1e-4)
    whole = FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", time, rate, np.full(60, np.nan))
    keep = ~np.isin(np.arange(60), [20, 21, 40])
    holed = replace(whole, time=time[keep], rate=rate[keep], mark_price=rate[keep] * np.nan)
    store = FrameStore()
    store.write_funding(holed)
    report = await repair_funding(Payer(whole), store, funding_key(whole), inspect_funding(holed))
    assert (report.repaired, report.unrepaired) == (3, 0)
    assert inspect_funding(store.read_funding("binanceusdm", "BTC/USDT:USDT", "exchange")) == []
    offline = await repair_funding(None, store, funding_key(whole), inspect_funding(holed))
    assert (offline.repaired, offline.unrepaired) == (0, 3)
