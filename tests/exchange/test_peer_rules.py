"""States and pages of the peers' rules: symbols before their launch, announced ends, lists longer than a page."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from data.clock import ManualClock
from data.exchange.catalogue import quirks_of
from data.exchange.session import ExchangeSession
from data.settings import DataSettings
from data.synthetic import synthetic_market
from data.timeframes import MINUTE_MS
from tests.exchange.bybit_server import BybitServer
from tests.exchange.conftest import START, Sleeper
from tests.exchange.okx_server import OkxServer

ALL = ["BTC/USDT:USDT", "ETH/USDT:USDT", "SOL/USDT:USDT"]


def serve(server: Any) -> ExchangeSession:
    """A session at a server with three symbols, the last one not launched yet."""
    for symbol in ALL:
        server.market.add(*synthetic_market(symbol, "1m", 60, 7))
    server.market.change_rules("SOLUSDT", status="PENDING_TRADING")
    name = "okx" if isinstance(server, OkxServer) else "bybit"
    settings = DataSettings(exchange=name, base_url=server.url)
    return ExchangeSession(settings, server.clock, sleep=Sleeper(server.clock), rng=np.random.default_rng(1))


@pytest.mark.parametrize("kind", [BybitServer, OkxServer])
async def test_a_symbol_before_its_launch_takes_no_positions(kind: type[Any]) -> None:
    async with kind(ManualClock(START + 30 * MINUTE_MS)) as server, serve(server) as s:
        rules = await s.instruments(ALL)
    assert [rules[name].status for name in ALL] == ["trading", "trading", "settling"]


async def test_bybit_s_symbols_are_read_to_the_last_page() -> None:
    async with BybitServer(ManualClock(START + 30 * MINUTE_MS)) as server:
        server.symbols_a_page = 1
        async with serve(server) as s:
            assert list(await s.instruments(ALL)) == ALL
        assert len(server.asked("/instruments-info")) == 3


BYBIT = {
    "status": "Trading", "deliveryTime": "0", "priceFilter": {"tickSize": "0.10"},
    "lotSizeFilter": {
        "qtyStep": "0.001", "minOrderQty": "0.001", "maxOrderQty": "1190.000", "maxMktOrderQty": "119.000",
        "minNotionalValue": "5",
    },
    "leverageFilter": {"maxLeverage": "100.00"},
}  # fmt: skip
OKX = {
    "state": "live", "expTime": "", "tickSz": "0.1", "lotSz": "0.01", "minSz": "0.01", "maxLmtSz": "100000000",
    "maxMktSz": "12000", "lever": "100", "ctVal": "0.01", "ctMult": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "info", "status"),
    [
        ("bybit", BYBIT, "trading"),
        ("bybit", {**BYBIT, "deliveryTime": "1790000000000"}, "settling"),
        ("bybit", {**BYBIT, "status": "Settling"}, "settling"),
        ("bybit", {**BYBIT, "status": "Closed"}, "delisted"),
        ("bybit", {**BYBIT, "status": "SomethingNew"}, "settling"),
        ("okx", OKX, "trading"),
        ("okx", {**OKX, "expTime": "1790000000000"}, "settling"),
        ("okx", {**OKX, "state": "suspend"}, "settling"),
        ("okx", {**OKX, "state": "expired"}, "delisted"),
    ],
)
def test_an_announced_end_and_every_other_state_stop_new_positions(name: str, info: Any, status: str) -> None:
    rules = quirks_of(name).instrument_of(None, {"symbol": ALL[0], "info": info, "taker": 0.0006, "maker": 0.0001})
    assert rules.status == status
    assert (rules.tick, rules.max_leverage) == (Decimal("0.1"), 100.0)
    lot, most = {"bybit": ("0.001", "119"), "okx": ("0.0001", "120")}[name]
    assert (rules.lot, rules.min_quantity, rules.market_max_quantity) == (Decimal(lot), Decimal(lot), Decimal(most))
    assert rules.min_notional == (5.0 if name == "bybit" else 0.0)
