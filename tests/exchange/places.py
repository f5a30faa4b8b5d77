"""Every exchange of the contract suite: its server with the same market, and sessions there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data.clock import ManualClock
from data.exchange.session import ExchangeSession
from data.market import Frame, FundingFrame
from data.settings import DataSettings
from data.synthetic import synthetic_market
from data.timeframes import HOUR_MS, MINUTE_MS
from tests.exchange.binance_server import BinanceServer
from tests.exchange.bybit_server import BybitServer
from tests.exchange.conftest import BARS, START, Sleeper
from tests.exchange.okx_server import OkxServer
from tests.exchange.weex_server import WeexServer

SERVERS: dict[str, type[BinanceServer]] = {
    "binanceusdm": BinanceServer,
    "bybit": BybitServer,
    "okx": OkxServer,
    "weex": WeexServer,
}
BTC, ETH, SOL = "BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"
NOW = START + (BARS - 1) * MINUTE_MS + 30_000
HOURS = {"BTCUSDT": 8, "ETHUSDT": 4, "SOLUSDT": 1}
FUNDED_DAYS = 60


@dataclass
class Place:
    """An exchange, its server, and how to make a session there."""

    name: str
    server: Any
    session: Callable[..., ExchangeSession]
    sleeper: Sleeper

    def served(self, name: str, timeframe: str, kind: str = "candles") -> Frame:
        """The series as the server has it."""
        frame = self.server.market.series(name, timeframe, getattr(self.server.market, kind))
        assert frame is not None
        return frame

    def can(self, what: str) -> bool:
        return what in self.session().quirks.can


@asynccontextmanager
async def place_at(exchange: str) -> AsyncIterator[Place]:
    """The exchange with three symbols, whose funding is settled every eight, four hours and every hour."""
    clock = ManualClock(NOW)
    sleeper = Sleeper(clock)
    async with SERVERS[exchange](clock) as server:
        for name in HOURS:
            frame = synthetic_market(name, "1m", BARS + 50, 7)[0]
            server.market.add(frame, funding_of(name), mark=moved(frame, 1.0004), index=moved(frame, 0.9997))
            if HOURS[name] != 8:
                server.market.change_funding_interval(name, HOURS[name])

        def session(**changes: object) -> ExchangeSession:
            settings = DataSettings(**{"exchange": exchange, "base_url": server.url, **changes})
            return ExchangeSession(settings, clock, sleep=sleeper, rng=np.random.default_rng(1))

        yield Place(exchange, server, session, sleeper)


def funding_of(name: str) -> FundingFrame:
    """Settlements of two months on the symbol's own interval, rates that tell each one apart."""
    step = HOURS[name] * HOUR_MS
    time = np.arange(NOW - FUNDED_DAYS * 24 * HOUR_MS, NOW + 1, step) // step * step
    rate = np.round(1e-4 + 1e-7 * (np.arange(len(time)) % 997), 7)
    return FundingFrame("any", name, "exchange", time, rate, np.round(40_000.0 + np.arange(len(time)), 1))


def moved(frame: Frame, factor: float) -> Frame:
    """The same bars at other prices."""
    prices = {n: np.round(getattr(frame, n) * factor, 4) for n in ("open", "high", "low", "close")}
    return replace(frame, **prices)


def same_bars(got: Frame, served: Frame, volume: bool = True) -> None:
    assert got.open_time.tolist() == served.open_time.tolist()
    for column in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(got, column), getattr(served, column)), column
    expected = served.volume if volume else np.zeros(len(served))
    np.testing.assert_allclose(got.volume, expected, rtol=0, atol=1e-8)
