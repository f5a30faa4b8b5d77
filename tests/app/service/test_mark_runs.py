"""A paper run on an exchange follows the mark price where its stops are tested on it, and trades as the back-test."""

from __future__ import annotations

from dataclasses import replace

from data.clock import iso
from data.market import Frame, SeriesKey
from data.resample import resample
from data.synthetic import synthetic_market
from tests.app.service.conftest import plain_trades
from tests.app.service.test_exchange_run import BEFORE, BTC, STEP, exchange, stored
from tests.app.service.test_finer_runs import BARS, narrow

__all__ = ["exchange", "narrow"]  # the fixtures


def calmer(bars: Frame) -> Frame:
    """A mark price that moves half as far from the middle of each bar as the last price does."""
    middle = (bars.high + bars.low) / 2.0
    values = ((column + middle) / 2.0 for column in (bars.open, bars.high, bars.low, bars.close))
    return Frame.of(replace(bars.key, kind="mark"), bars.open_time, *values, bars.volume)


async def test_a_run_on_an_exchange_tests_its_stops_on_the_mark_price(tmp_path, exchange, ask, narrow, monkeypatch):
    minutes, funding = synthetic_market("BTCUSDT", "1m", 15 * (BEFORE + BARS + 20), 2)
    bars = resample(minutes, "15m")
    exchange.server.market.add(bars, funding, calmer(bars))
    monkeypatch.setenv("QUANTAI_TRADING__MATCHING__STOP_TRIGGER", "mark")
    home = tmp_path / "home"
    async with exchange.run(home, bars=BARS, strategy=narrow) as run:
        document = await run.document()
    first = stored(home, lambda d, a: a.about["from_ms"])
    key = SeriesKey("binanceusdm", BTC, "15m", "mark")
    marks = stored(home, lambda d, _: d.candles.read(key, first, first + BARS * STEP))
    assert len(marks) == BARS
    span = ("--from", iso(first)[:19], "--to", iso(first + BARS * STEP)[:19])
    line = ("backtest", "--symbols", "BTCUSDT", "--timeframe", "15m", "--strategy", narrow, *span)
    test = ask(home, *line)
    assert plain_trades(document) == plain_trades(test) != []
    monkeypatch.setenv("QUANTAI_TRADING__MATCHING__STOP_TRIGGER", "last")
    assert plain_trades(ask(home, *line)) != plain_trades(test)
