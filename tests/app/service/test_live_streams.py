"""A paper run on minutes by stream, and what its exchange may do to it: decisions, fills and told words by fault."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import partial

import numpy as np
import pytest

from app.contract.events import NoticeEvent
from data.clock import iso
from data.market import BarMark, SeriesKey
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.app.service.conftest import plain_trades
from tests.app.service.test_exchange_run import BTC, Exchange, stored
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.market import BarChange
from tests.exchange.simulated_time import SimulatedClock
from trading.records import Purpose, Reason

MINUTE = 60_000
BEFORE = 3_000  # minutes that have closed when the run starts: more than the warm-up
FIRST = START + BEFORE * MINUTE  # open time of the run's first bar
KEY = SeriesKey("binanceusdm", BTC, "1m")
ETH = "ETH/USDT:USDT"


@pytest.fixture
async def exchange(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Exchange]:
    clock = SimulatedClock(FIRST + 5_000)
    async with BinanceServer(clock, Rhythm(kline_ms=10_000, mark_ms=10_000)) as server:
        server.market.add(*synthetic_market("BTCUSDT", "1m", BEFORE + 300, 2))
        monkeypatch.setenv("QUANTAI_DATA__BASE_URL", server.url)
        yield Exchange(server, clock)


@pytest.fixture
def minutes(tmp_path, exchange) -> Callable:
    """``minutes(bars=20)``: a run on minutes that buys whenever it holds nothing, for four bars at most."""
    file = tmp_path / "eager.json"
    rule = {"name": "eager", "meaning": "Buys.", "long": {"left": "close", "op": ">", "right": 0.0}}
    file.write_text(json.dumps({**rule, "exits": {"scalp": "even"}}))
    return partial(exchange.run, tmp_path / "home", timeframe="1m", strategy=str(file))


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def decided(home) -> dict[int, np.void]:
    """The run's decisions on BTC by minute since its first bar."""
    rows = stored(home, lambda d, a: d.trading.decisions(a.id).rows)
    assert len(rows) == len({(int(r["symbol"]), int(r["open_time"])) for r in rows}), "a bar was decided on twice"
    return {(int(row["open_time"]) - FIRST) // MINUTE: row for row in rows if row["symbol"] == 0}


def minutes_of(home) -> list[int]:
    """Minutes since the first bar that the account went through."""
    times = np.sort(stored(home, lambda d, a: d.trading.equity(a.id)["open_time"]))
    return ((times - FIRST) // MINUTE).tolist()


def entries(home) -> list[int]:
    """Minutes in which a position was opened."""
    fills = stored(home, lambda d, a: d.trading.fills(a.id))
    return [(int(f["time"]) - FIRST) // MINUTE for f in fills if f["purpose"] == Purpose.ENTRY]


def late(home) -> list[int]:
    return [minute for minute, row in decided(home).items() if row["reason"] == Reason.LATE_BAR]


def bars(home):
    return stored(home, lambda d, _: d.candles.read(KEY, FIRST))


def delays(home):
    """Milliseconds between the close of each bar and its being known."""
    frame = bars(home)
    return frame.known_at - frame.open_time - MINUTE


def said(run, title) -> list[str]:
    return [e.sentence for e in run.told if isinstance(e, NoticeEvent) and e.title == title]


def candle_reads(server: BinanceServer) -> int:
    return sum(request.path.endswith("/klines") for request in server.requests)


class Script:
    """Called after every bar: keeps how the feed was, and does once what is said for a minute."""

    def __init__(self, *, flat_until: int | None = None, **at: Callable[..., object]) -> None:
        self.modes: list[str] = []
        self.reconnects = 0
        self._at = {int(name.removeprefix("minute_")): [work] for name, work in at.items()}
        if flat_until is not None:  # the minute from whose close on positions may be opened
            self._at.setdefault(0, []).append(lambda service: service.act("pause"))
            self._at.setdefault(flat_until, []).append(lambda service: service.act("resume"))

    def __call__(self, service) -> None:
        minute = service.progress.bars - 1
        if minute < 0:
            return
        health = service.feed.details()[0]
        self.modes.append(health.mode)
        self.reconnects = 0 if health.stream is None else health.stream.reconnects
        for work in self._at.pop(minute, ()):
            work(service)


# ---- by stream ---------------------------------------------------------------------------------------------------


async def test_a_run_by_stream_trades_as_the_back_test_over_the_stored_bars(home, tmp_path, exchange, minutes, ask):
    reads: list[int] = []
    count = lambda service: reads.append((candle_reads(exchange.server), service.health().detail))
    script = Script(minute_1=count, minute_39=count)
    async with minutes(bars=40, at_bar=script) as run:
        document = await run.document()
    (before, _), (after, words) = reads
    assert after == before, "bars were asked for although the stream had them"
    assert words.endswith("by stream") and set(script.modes[1:]) == {"stream"}
    assert minutes_of(home) == list(range(40)) and late(home) == []
    span = ("--from", iso(FIRST)[:19], "--to", iso(FIRST + 40 * MINUTE)[:19])
    words = ("--symbols", "BTCUSDT", "--timeframe", "1m", "--strategy", tmp_path / "eager.json", *span)
    assert len(document["trades"]) >= 3
    assert plain_trades(document) == plain_trades(ask(home, "backtest", *words))


async def test_bars_that_closed_during_a_long_warm_up_are_taken_in_first_and_not_entered_on(home, exchange, minutes):
    async with minutes(bars=12) as run:
        prepare = run.service._prepare

        async def slowly(*given):
            first = await prepare(*given)
            exchange.clock.advance(200)
            return first

        run.service._prepare = slowly
        await run.document()
    assert minutes_of(home) == list(range(12)), "a bar of the warm-up was lost"
    assert late(home)[:2] == [0, 1] and min(entries(home)) > max(late(home))


async def test_without_its_stream_the_feed_asks_and_says_so(home, exchange, minutes):
    told: list[dict] = []

    def cut(_service) -> None:
        for path in ("/market/ws/0", "/market/ws", "/public/ws/0"):
            exchange.server.faults.add("5xx", path=path, until_ms=FIRST + 100 * MINUTE)
        exchange.server.faults.add("disconnect", at_ms=exchange.clock.ms + 1_000)

    script = Script(minute_4=cut, minute_11=lambda service: told.append(service.status()))
    async with minutes(bars=12, at_bar=script) as run:
        await run.document()
    feeds = {row["name"]: row for row in told[0]["feeds"]}
    assert feeds["binanceusdm"]["state"] == "live" and feeds["binanceusdm"]["detail"].endswith("by requests")
    assert feeds["Stream"]["state"] == "polling" and feeds["Requests"]["state"] == "live"
    assert feeds["BTCUSDT 1m"]["last_bar"] == iso(FIRST + 11 * MINUTE)
    assert said(run, "The stream is silent") == ["Bars are asked for after each close until it is back."]
    assert minutes_of(home) == list(range(12)) and late(home) == []


# ---- faults by number --------------------------------------------------------------------------------------------


async def test_f12_the_daily_drop_costs_no_bar_and_no_decision(home, exchange, minutes):
    faults = exchange.server.faults
    script = Script(minute_0=lambda _: faults.add("24h drop", at_ms=FIRST + 5 * MINUTE + 59_900))
    async with minutes(bars=12, at_bar=script) as run:
        await run.document()
    assert script.reconnects >= 1 and script.modes[-1] == "stream"
    assert minutes_of(home) == list(range(12)) and sorted(decided(home)) == list(range(12))
    assert delays(home).max() <= 10_000
    assert "The feed is stale" not in run.notices


async def test_f13_a_silent_stream_is_opened_anew_and_no_bar_is_late(home, exchange, minutes):
    exchange.server.faults.add("silence", at_ms=FIRST + 4 * MINUTE, until_ms=FIRST + 9 * MINUTE)
    script = Script()
    async with minutes(bars=12, at_bar=script) as run:
        await run.document()
    assert script.reconnects >= 1 and script.modes[-1] == "stream"
    assert minutes_of(home) == list(range(12))
    assert delays(home).max() <= 10_000


async def test_f27_in_a_maintenance_entries_wait_and_the_run_goes_on_by_itself(home, exchange, minutes):
    begin, end = FIRST + 6 * MINUTE + 10_000, FIRST + 13 * MINUTE + 10_000
    faults = exchange.server.faults
    faults.add("maintenance", path="", at_ms=begin, until_ms=end)
    states: dict[int, str] = {}
    exchange.moved = lambda: states.setdefault((exchange.clock.ms - FIRST) // MINUTE, run.service.health().state)
    script = Script(flat_until=5, minute_1=lambda _: faults.add("disconnect", at_ms=begin))
    async with minutes(bars=25, at_bar=script) as run:
        document = await run.document()
    assert {states[minute] for minute in range(9, 13)} == {"stale"} and states[24] == "live"
    assert document["trading_state"] == "RUNNING" and minutes_of(home) == list(range(25))
    waited = late(home)
    assert set(range(6, 12)) <= set(waited) and max(waited) <= 14
    assert min(entries(home)) > max(waited) + 1 and script.modes[-1] == "stream"
    assert (run.notices.count("The feed is stale"), run.notices.count("The feed is back")) == (1, 1)


async def test_f29_a_candle_missing_from_the_stream_is_asked_for_and_decided_on(home, exchange, minutes):
    begin = FIRST + 5 * MINUTE
    exchange.server.faults.add("drop", stream="btcusdt@kline_1m", at_ms=begin, until_ms=begin + 3 * MINUTE)
    async with minutes(bars=12) as run:
        await run.document()
    assert minutes_of(home) == list(range(12)) and delays(home).max() <= 10_000
    assert "Bars are missing" not in run.notices


async def test_f29_a_candle_that_the_exchange_lacks_is_told_and_filled_when_it_comes(home, exchange, minutes):
    hole = FIRST + 5 * MINUTE
    shown = FIRST + 12 * MINUTE
    exchange.server.faults.add("missing candle", symbol="BTCUSDT", open_ms=hole, until_ms=shown)
    script = Script(minute_13=lambda service: service.feed.live.review())
    async with minutes(bars=18, at_bar=script) as run:
        await run.document()
    words = "BTCUSDT 1m: the exchange does not have 1 of its bars; nothing is made up."
    assert said(run, "Bars are missing") == [words]
    assert minutes_of(home) == [m for m in range(19) if m != 5], "nothing is decided on a bar that was not there"
    assert len(said(run, "A bar was revised")) == 1
    frame = bars(home)
    assert frame.open_time[5] == hole and frame.mark[5] == BarMark.REPAIRED and frame.known_at[5] >= shown


async def test_f30_a_bar_revised_after_its_decision_is_stored_anew_and_the_decision_stays(home, exchange, minutes):
    time = FIRST + 5 * MINUTE
    before: list[float] = []

    def revise(service) -> None:
        before.append(float(service.place.database.candles.read(KEY, time, time + MINUTE).close[0]))
        values = {"close": before[0] * 1.0001, "high": before[0] * 1.01}
        exchange.server.market.changes.append(BarChange("BTCUSDT", "1m", time, values))
        service.feed.live.review()

    async with minutes(bars=14, at_bar=Script(minute_7=revise)) as run:
        await run.document()
    (words,) = said(run, "A bar was revised")
    assert words == "BTCUSDT 1m: the exchange changed a bar that had closed; it is stored anew."
    read = lambda **how: stored(home, lambda d, _: d.candles.read(KEY, time, time + MINUTE, **how).close[0])
    assert read(as_of_ms=FIRST + 8 * MINUTE) == before[0]
    assert read() == pytest.approx(before[0] * 1.0001)
    assert minutes_of(home) == list(range(14)) and sorted(decided(home)) == list(range(14))


async def test_f31_a_bar_with_prints_of_ten_times_the_price_is_stored_and_nothing_is_done_on_it(
    home, exchange, minutes
):
    wild = (6, 11)
    for minute in wild:
        values = {"high": 420_000.0, "low": 4_200.0}
        exchange.server.market.changes.append(BarChange("BTCUSDT", "1m", FIRST + minute * MINUTE, values))
    async with minutes(bars=16) as run:
        await run.document()
    frame = bars(home)
    assert np.flatnonzero(frame.mark == BarMark.SUSPECT).tolist() == list(wild) and frame.high[6] == 420_000.0
    assert len(said(run, "A suspect bar")) == 2
    assert [decided(home)[m]["reason"] for m in wild] == [Reason.BAR_MISSING] * 2
    fills = stored(home, lambda d, a: d.trading.fills(a.id))
    done = (fills["time"] - FIRST - 1) // MINUTE  # a close belongs to the bar before
    assert len(fills) >= 4 and not set(done.tolist()) & set(wild)
    assert (fills["price"] < 60_000).all() and (fills["price"] > 30_000).all()


async def test_f33_a_bar_that_comes_late_opens_nothing_and_its_decision_says_so(home, exchange, minutes):
    begin, end = FIRST + 6 * MINUTE + 30_000, FIRST + 8 * MINUTE + 30_000
    exchange.server.faults.add("drop", stream="btcusdt@kline_1m", at_ms=begin, until_ms=end)
    exchange.server.faults.add("5xx", path="/klines", at_ms=begin, until_ms=end)
    async with minutes(bars=16, at_bar=Script(flat_until=5)) as run:
        await run.document()
    assert minutes_of(home) == list(range(16))
    assert delays(home)[6] > MINUTE, "the bar was not late"
    assert late(home) in ([6], [6, 7])
    assert min(entries(home)) > max(late(home)) + 1


async def test_f62_minutes_without_a_network_leave_every_bar_and_no_late_entry(home, exchange, minutes):
    span = {"at_ms": FIRST + 6 * MINUTE + 10_000, "until_ms": FIRST + 12 * MINUTE}
    script = Script(flat_until=5, minute_1=lambda _: exchange.server.faults.add("network gone", **span))
    async with minutes(bars=24, at_bar=script) as run:
        await run.document()
    assert bars(home).open_time.tolist()[:24] == [FIRST + m * MINUTE for m in range(24)]
    assert minutes_of(home) == list(range(24))
    assert set(range(6, 11)) <= set(late(home))
    assert min(entries(home)) > max(late(home)) + 1
    assert (run.notices.count("The feed is stale"), run.notices.count("The feed is back")) == (1, 1)


async def test_f04_a_clock_more_than_a_second_off_blocks_entries_until_it_is_right(home, exchange, minutes):
    exchange.server.skew_ms = 1_600

    def mend(_service) -> None:
        exchange.server.skew_ms = 0

    async with minutes(bars=26, at_bar=Script(minute_9=mend)) as run:
        await run.document()
    blocked = [minute for minute, row in decided(home).items() if row["reason"] == Reason.CLOCK_SKEW]
    assert blocked == list(range(len(blocked))) and len(blocked) >= 10
    assert min(entries(home)) > max(blocked) + 1
    (words,) = said(run, "The clock is off")
    assert words == "It is 1.6 s behind binanceusdm's: no new positions until it is set right."
    assert len(said(run, "The clock is right again")) == 1


async def test_a_symbol_that_is_shown_later_loses_no_bar_and_one_without_bars_is_left_out(home, exchange, minutes):
    exchange.server.market.add(*synthetic_market("ETHUSDT", "1m", BEFORE + 300, 3))
    for begin, length in ((4, 4), (12, 60)):
        span = {"at_ms": FIRST + begin * MINUTE, "until_ms": FIRST + (begin + length) * MINUTE}
        exchange.server.faults.add("drop", stream="ethusdt@kline_1m", **span)
    changes = (BarChange("ETHUSDT", "1m", FIRST + m * MINUTE, None, where="rest") for m in range(12, 72))
    exchange.server.market.changes.extend(changes)
    async with minutes(bars=20, symbols=(BTC, ETH)) as run:
        await run.document()
    rows = stored(home, lambda d, a: d.trading.decisions(a.id).rows)
    missing = {(int(r["open_time"]) - FIRST) // MINUTE for r in rows if r["reason"] == Reason.BAR_MISSING}
    assert missing == set(range(12, 20)), "only what never came is missing"
    assert sorted(decided(home)) == list(range(20)) and late(home) == []


# ---- held against the back-test ----------------------------------------------------------------------------------


def parity(ask, home, tmp_path) -> dict:
    """The document, and the parts that are more than nothing."""
    document = ask(home, "parity", "--strategy", tmp_path / "eager.json")
    assert document["mode"] == "paper" and document["notes"] == []
    return {**document, "own": {part: money for part, money in document["parts"].items() if money}}


async def test_a_run_by_stream_has_no_difference_from_its_back_test(home, tmp_path, exchange, minutes, ask):
    async with minutes(bars=30) as run:
        await run.document()
    document = parity(ask, home, tmp_path)
    assert document["trades_session"] >= 3 and document["own"] == {}


async def test_a_bar_revised_after_its_decision_is_the_revised_data_of_the_difference(
    home, tmp_path, exchange, minutes, ask
):
    def revise(service) -> None:
        entry = service.trader.session.state.positions["entry_time"][0]
        bar = service.place.database.candles.read(KEY, int(entry), int(entry) + MINUTE)
        values = {"open": float(bar.open[0]) * 1.0005, "high": float(bar.high[0]) * 1.0005}
        exchange.server.market.changes.append(BarChange("BTCUSDT", "1m", int(entry), values))
        service.feed.live.review()

    async with minutes(bars=20, at_bar=Script(minute_7=revise)) as run:
        await run.document()
    document = parity(ask, home, tmp_path)
    assert document["revised_bars"] == 1 and document["absent_bars"] == 0
    assert list(document["own"]) == ["revised_data"] and document["difference"] != 0.0


async def test_what_a_late_bar_did_not_open_is_a_missed_fill(home, tmp_path, exchange, minutes, ask):
    begin, end = FIRST + 6 * MINUTE + 30_000, FIRST + 8 * MINUTE + 30_000
    exchange.server.faults.add("drop", stream="btcusdt@kline_1m", at_ms=begin, until_ms=end)
    exchange.server.faults.add("5xx", path="/klines", at_ms=begin, until_ms=end)
    async with minutes(bars=30, at_bar=Script(flat_until=5)) as run:
        await run.document()
    assert late(home)
    document = parity(ask, home, tmp_path)
    assert document["revised_bars"] == document["absent_bars"] == 0
    assert set(document["own"]) <= {"missed_fill", "size"} and "missed_fill" in document["own"]
