"""A loopback exchange, and a session at it whose sleeping only moves a clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from data.clock import ManualClock
from data.exchange.session import ExchangeSession
from data.settings import DataSettings
from data.synthetic import DEFAULT_START_MS, synthetic_market
from tests.exchange.binance_server import BinanceServer

BARS = 2600
START = DEFAULT_START_MS


@dataclass
class Sleeper:
    """A sleep that passes at once and moves the clock."""

    clock: ManualClock
    naps: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.clock.advance(seconds)


@pytest.fixture
def clock() -> ManualClock:
    """The middle of the bar after the last one but one of the served minutes."""
    return ManualClock(START + (BARS - 1) * 60_000 + 30_000)


@pytest.fixture
def sleeper(clock: ManualClock) -> Sleeper:
    return Sleeper(clock)


@pytest.fixture
async def server(clock: ManualClock) -> AsyncIterator[BinanceServer]:
    async with BinanceServer(clock) as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            running.market.add(*synthetic_market(symbol, "1m", BARS + 50, 7))
        yield running


@pytest.fixture
def session(server: BinanceServer, clock: ManualClock, sleeper: Sleeper) -> Callable[..., ExchangeSession]:
    """Make a session at the loopback exchange; keywords change settings."""

    def make(**changes: object) -> ExchangeSession:
        settings = DataSettings(**{"base_url": server.url, **changes})
        return ExchangeSession(settings, clock, sleep=sleeper, rng=np.random.default_rng(1))

    return make
