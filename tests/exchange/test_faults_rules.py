"""Symbols that settle and go, rules that change: found, named, and prices and quantities rounded anew."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import Retryable, UserError
from data.exchange.rules import RulesChange, RulesWatch
from data.instruments import INSTRUMENTS, Instrument
from data.synthetic import synthetic_market
from tests.exchange.place import NOW, Make, Place, places


@pytest.fixture
async def at() -> AsyncIterator[Make]:
    async with places() as make:
        yield make


# ---------------------------------------------------------------- F24, F25: rules


async def watched(place: Place, *symbols: str) -> RulesWatch:
    watch = RulesWatch(place.session, symbols or ("BTCUSDT",))
    task = asyncio.ensure_future(watch.look())
    assert await place.after(5, task) == [[]]
    return watch


async def looked(place: Place, watch: RulesWatch) -> list[RulesChange]:
    task = asyncio.ensure_future(watch.look())
    await place.clock.run_for(5)
    return task.result()


async def test_f24_a_symbol_that_settles_and_goes_is_said_once_each(at: Make) -> None:
    place = await at()
    place.server.market.add(*synthetic_market("ETHUSDT", "1m", 2100, 7))
    watch = await watched(place, "BTCUSDT", "ETHUSDT")
    place.server.faults.add("delisting", symbol="ETHUSDT", at_ms=NOW + 60_000, gone_ms=NOW + 120_000)
    await place.clock.run_for(60)
    settling = await looked(place, watch)
    assert [(c.symbol, c.after.status, c.ends_trading) for c in settling] == [("ETH/USDT:USDT", "settling", True)]
    assert settling[0].sentence == "ETHUSDT is being settled: no entries, and its position has to be closed."
    assert await looked(place, watch) == []
    await place.clock.run_for(60)
    gone = await looked(place, watch)
    assert [(c.after.status, c.after.tick, c.ends_trading) for c in gone] == [("delisted", Decimal("0.01"), False)]
    assert await looked(place, watch) == []
    asked = asyncio.ensure_future(place.session.instrument("ETHUSDT"))
    assert isinstance((await place.after(1, asked))[0], UserError)


async def test_f24_a_list_that_lacks_a_symbol_once_or_holds_none_delists_nothing(at: Make) -> None:
    place = await at()
    watch = await watched(place)
    whole = asyncio.ensure_future(place.session.ask("read", lambda x: x.fapiPublicGetExchangeInfo()))
    info = (await place.after(0, whole))[0]
    other = {**info["symbols"][0], "symbol": "XYZUSDT", "pair": "XYZUSDT", "baseAsset": "XYZ"}
    place.server.misbehave("/exchangeInfo", body=json.dumps({**info, "symbols": [other]}))
    assert await looked(place, watch) == []
    place.server.misbehave("/exchangeInfo", body=json.dumps({**info, "symbols": []}))
    assert await looked(place, watch) == []
    assert watch.rules["BTC/USDT:USDT"].status == "trading"


async def test_f25_changed_rules_are_found_on_schedule_and_named(at: Make) -> None:
    place = await at()
    rules = {"tick": Decimal("0.5"), "lot": Decimal("0.01"), "min_notional": 50.0}
    place.server.faults.add("changed rules", symbol="BTCUSDT", at_ms=NOW + 100_000, **rules)
    watch, found = RulesWatch(place.session, ["BTCUSDT"]), []

    async def listen() -> None:
        async for change in watch.changes():
            found.append(change)  # noqa: PERF401 - it never ends

    listening = asyncio.ensure_future(listen())
    await place.after(890)
    assert found == []
    await place.after(20)
    (change,) = found
    assert {"tick", "lot", "min_notional"} <= set(change.changed)
    assert change.needs_rounding
    assert not change.ends_trading
    assert watch.rules["BTC/USDT:USDT"] is change.after
    assert (change.after.tick, change.after.lot, change.after.min_notional) == (Decimal("0.5"), Decimal("0.01"), 50.0)
    assert "tick 0.1 → 0.5" in change.sentence
    place.server.faults.add("5xx", path="/exchangeInfo", at_ms=0, until_ms=NOW + 10_000_000)
    await place.after(2000)
    assert not listening.done()


async def test_f25_rules_that_make_no_sense_are_not_taken(at: Make) -> None:
    place = await at(request_attempts=1)
    watch = await watched(place)
    place.server.faults.add("changed rules", symbol="BTCUSDT", at_ms=0, tick=Decimal(0))
    task = asyncio.ensure_future(watch.look())
    (error,) = await place.after(5, task)
    assert isinstance(error, Retryable)
    assert watch.rules["BTC/USDT:USDT"].tick == Decimal("0.1")


STEPS = st.sampled_from([Decimal(s) for s in ("0.00001", "0.001", "0.01", "0.05", "0.1", "0.25", "0.5", "1", "10")])
AMOUNTS = st.floats(0.0, 1e6, allow_nan=False) | st.decimals("0", "1e6", places=6)


@given(tick=STEPS, lot=STEPS, price=AMOUNTS, quantity=AMOUNTS, cap=st.none() | st.decimals("0.1", "1e5", places=3))
def test_f25_what_is_rounded_anew_lies_on_the_new_grid_and_is_never_more_than_asked(
    tick: Decimal, lot: Decimal, price: float | Decimal, quantity: float | Decimal, cap: Decimal | None
) -> None:
    rules = Instrument("BTC/USDT:USDT", tick, lot, min_quantity=2 * lot, max_quantity=cap, market_max_quantity=lot * 50)
    exact_price, exact = (x if isinstance(x, Decimal) else Decimal(repr(x)) for x in (price, quantity))
    rounded = rules.round_price(price)
    assert rounded % tick == 0
    assert rounded >= tick
    assert abs(rounded - exact_price) <= tick / 2 or rounded == tick
    assert rules.round_price(rounded) == rounded
    for market in (False, True):
        amount = rules.round_quantity(quantity, market=market)
        most = min([exact, *([cap] if cap is not None else []), *([lot * 50] if market else [])])
        assert amount % lot == 0
        assert 0 <= amount <= most
        assert amount == 0 or amount >= 2 * lot
        assert most - amount < lot or (amount == 0 and most < 2 * lot)
        assert rules.round_quantity(amount, market=market) == amount


def test_f25_rounding_is_exact_where_floats_are_not() -> None:
    rules = INSTRUMENTS["BTC/USDT:USDT"]
    assert rules.round_quantity(0.1 + 0.2) == Decimal("0.3")
    assert rules.round_quantity(0.3) == Decimal("0.300")
    assert rules.round_quantity(0.0009999) == 0
    assert str(rules.round_price(64_123.45)) == "64123.4"
    assert rules.round_price(Decimal("64123.451")) == Decimal("64123.5")
