"""The data tab behind the window, at an exchange on loopback: feeds and markets of a live run, and its jobs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from app.contract import commands as c
from app.contract import queries as q
from app.contract.events import JobEvent
from data.clock import SystemClock, iso
from data.timeframes import DAY_MS, MINUTE_MS
from tests.app.service.test_runtime import Seat, Sit, sit
from tests.exchange.binance_server import BinanceServer
from tests.exchange.binance_streams import Rhythm
from tests.exchange.practice import serve_synthetic

__all__ = ["sit"]  # the fixture

pytestmark = pytest.mark.workers
LIVE = ("run", "--source", "exchange", "--symbols", "BTCUSDT", "--timeframe", "1m", "--strategy", "rsi-oversold")
KEY = "binanceusdm|BTC/USDT:USDT|1m|ohlcv|exchange"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BinanceServer]:
    """An exchange on the real clock, in a thread of its own, with two days of made-up minutes behind it."""
    made: list[BinanceServer] = []
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
    ready = threading.Event()

    async def serve() -> None:
        async with BinanceServer(SystemClock(), Rhythm(kline_ms=500, depth_ms=500)) as running:
            serve_synthetic(running, 2, 1)
            made.append(running)
            stop.append((asyncio.get_running_loop(), asyncio.Event()))
            ready.set()
            await stop[0][1].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    monkeypatch.setenv("QUANTAI_DATA__BASE_URL", made[0].url)
    monkeypatch.setenv("QUANTAI_DATA__COLLECT", "book,trades,premium")
    yield made[0]
    loop, event = stop[0]
    loop.call_soon_threadsafe(event.set)
    thread.join(20)


@pytest.fixture
def seat(sit: Sit, server: BinanceServer) -> Seat:
    """A live run that follows the exchange."""
    made = sit(*LIVE)
    made.call(made.runtime.start())
    made.until(lambda: made.state() == "RUNNING")
    return made


def job(seat: Seat, command: c.Command) -> JobEvent:
    """Start a job and wait for its end."""
    before = len(ended(seat))
    outcome = seat.send(command)
    assert outcome.ok, outcome.sentence
    seat.until(lambda: len(ended(seat)) > before)
    return ended(seat)[-1]


def ended(seat: Seat) -> list[JobEvent]:
    return [event for event in seat.events if isinstance(event, JobEvent)]


def test_the_data_tab_shows_the_feeds_and_the_market_of_a_live_run(seat):
    def view():
        return seat.ask(q.DataQuery())

    for _ in range(200):
        shown = view()
        known = bool(shown.quotes) and None not in (shown.quotes[0].bid, shown.quotes[0].mark, shown.quotes[0].last)
        if known and shown.feeds[1].state == "Live":
            break
        threading.Event().wait(0.1)
    rows = {row.name: row for row in shown.feeds}
    assert list(rows) == ["Requests", "Stream", "BTCUSDT 1m"]
    assert [row.state for row in rows.values()] == ["Live"] * 3 and "messages" in rows["Stream"].detail
    (quote,) = shown.quotes
    assert quote.bid < quote.ask and quote.spread == pytest.approx(
        (quote.ask - quote.bid) / (quote.ask + quote.bid) * 2
    )
    assert abs(quote.mark / quote.last - 1) < 0.1 and quote.funding_rate is not None
    assert quote.next_funding_ms > seat.runtime.opened().clock.now_ms() and quote.age_s < 30
    assert {row.kind for row in shown.series} >= {"ohlcv", "funding"}
    feeds = seat.call(seat.runtime.service.command("status", {}))["feeds"]
    assert [row["name"] for row in feeds] == ["binanceusdm", *rows]


def test_check_download_and_export_end_with_their_words_and_the_view_shows_them(seat, server, tmp_path):
    day = server.now_ms // DAY_MS * DAY_MS - DAY_MS
    loaded = job(seat, c.DownloadSeries("ETHUSDT", "5m", iso(day)[:10]))
    assert (loaded.state, loaded.tab) == ("done", "data")
    bars = (server.now_ms - day) // (5 * MINUTE_MS)
    assert loaded.sentence.split()[0].replace(",", "") in (str(bars), str(bars - 1))
    assert "0 gaps" in loaded.sentence
    rows = {row.key: row for row in seat.ask(q.DataQuery()).series}
    assert KEY.replace("BTC", "ETH").replace("1m", "5m") in rows and rows[KEY].worst == "idle"

    checked = job(seat, c.CheckSeries(KEY))
    assert checked.sentence == "1 series checked: 0 bad and 0 doubtful findings."
    row = next(row for row in seat.ask(q.DataQuery()).series if row.key == KEY)
    assert (row.findings, row.worst) == (0, "ok") and row.checked_ms is not None
    assert seat.ask(q.FindingsQuery(KEY)).checked_ms == row.checked_ms

    target = tmp_path / "bars.csv"
    written = seat.send(c.ExportSeries(KEY, str(target)))
    assert written.ok and str(target) in written.sentence
    lines = target.read_text().splitlines()
    assert len(lines) >= row.rows + 1 and "open_time" in lines[0]


def test_a_gap_is_found_repaired_from_the_exchange_and_told(seat, server):
    day = iso(server.now_ms // DAY_MS * DAY_MS - DAY_MS)[:10]
    key = "binanceusdm|ETH/USDT:USDT|5m|ohlcv|exchange"
    for hours in (("00:00", "06:00"), ("07:00", "12:00")):
        loaded = job(seat, c.DownloadSeries("ETHUSDT", "5m", *(f"{day}T{hour}" for hour in hours)))
        assert loaded.sentence.endswith("new rows, 0 revised, 0 gaps")
    row = next(row for row in seat.ask(q.DataQuery()).series if row.key == key)
    assert (row.rows, row.missing) == (132, 12)
    assert job(seat, c.CheckSeries(key)).sentence == "1 series checked: 1 bad and 0 doubtful findings."
    (finding,) = seat.ask(q.FindingsQuery(key)).findings
    assert (finding.kind, finding.level, finding.bars) == ("gap", "bad", 12)
    repaired = job(seat, c.CheckSeries(key, repair=True))
    assert repaired.sentence == "1 series checked: 0 bad and 0 doubtful findings, 12 bars repaired, 0 stay missing."
    assert seat.ask(q.FindingsQuery(key)).repaired == 12


def test_a_download_that_cannot_be_is_refused_or_ends_in_a_sentence(seat):
    refused = seat.send(c.DownloadSeries("ETHUSDT", "5m", "2024-02-01", "2024-01-01"))
    assert not refused.ok and "ends before it starts" in refused.sentence
    failed = job(seat, c.DownloadSeries("NOSUCHUSDT", "5m", "2024-02-01"))
    assert failed.state == "failed" and "does not trade NOSUCHUSDT" in failed.sentence
