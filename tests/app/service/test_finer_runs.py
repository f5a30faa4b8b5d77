"""A paper run on an exchange follows the minutes inside its bars and decides what came first as the back-test does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from data.clock import iso
from data.market import SeriesKey
from data.resample import resample
from data.synthetic import synthetic_market
from tests.app.service.conftest import plain_trades
from tests.app.service.test_exchange_run import BEFORE, BTC, STEP, exchange, stored

__all__ = ["exchange"]  # the fixture

NARROW = {
    "name": "narrow", "meaning": "The side of the middle that the RSI stands on, with narrow levels.",
    "long": {"left": "rsi_14", "op": ">", "right": 50.0}, "short": {"left": "rsi_14", "op": "<=", "right": 50.0},
    "exits": {"swing": {"unit": "price", "stop": 0.0004, "target": 2.5, "time_limit": 6}},
}  # fmt: skip
BARS = 9


@pytest.fixture
def narrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The strategy's file, under gates that let it trade."""
    for name, value in {"DRAWDOWN": "0.9", "SHARPE": "-10", "DAILY_LOSS": "0.9", "LOSS_STREAK": "99"}.items():
        monkeypatch.setenv(f"QUANTAI_TRADING__LIMITS__{name}", value)
    file = tmp_path / "narrow.json"
    file.write_text(json.dumps(NARROW))
    return str(file)


async def test_a_run_on_an_exchange_reads_the_minutes_inside_its_bars(tmp_path, exchange, ask, narrow, monkeypatch):
    minutes, funding = synthetic_market("BTCUSDT", "1m", 15 * (BEFORE + BARS + 20), 2)
    exchange.server.market.add(minutes, funding)
    exchange.server.market.add(resample(minutes, "15m"), funding)
    monkeypatch.setenv("QUANTAI_TRADING__MATCHING__BOTH_TOUCHED", "finer")
    home = tmp_path / "home"
    async with exchange.run(home, bars=BARS, strategy=narrow) as run:
        document = await run.document()
    first = stored(home, lambda d, a: a.about["from_ms"])
    inside = stored(home, lambda d, _: d.candles.read(SeriesKey("binanceusdm", BTC, "1m"), first, first + BARS * STEP))
    assert len(inside) == 15 * BARS
    span = ("--from", iso(first)[:19], "--to", iso(first + BARS * STEP)[:19])
    line = ("backtest", "--symbols", "BTCUSDT", "--timeframe", "15m", "--strategy", narrow, *span)
    test = ask(home, *line)
    assert plain_trades(document) == plain_trades(test) != []
    assert not any("finer" in sentence for sentence in test["assumptions"])
    parity = ask(home, "parity", "--strategy", narrow)
    assert parity["trades_session"] > 3 and set(parity["parts"].values()) == {0.0}
    monkeypatch.setenv("QUANTAI_TRADING__MATCHING__BOTH_TOUCHED", "stop")
    assert plain_trades(ask(home, *line)) != plain_trades(test)
