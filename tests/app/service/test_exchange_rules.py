"""Trading rules in a run on an exchange: read, stored, obeyed, changed, and a symbol that ends."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from app.contract.events import NoticeEvent
from data.clock import iso
from data.errors import UserError
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from tests.app.service.conftest import plain_trades
from tests.app.service.test_exchange_run import BEFORE, BTC, STEP, exchange, stored

__all__ = ["exchange"]  # the fixture

ETH = "ETH/USDT:USDT"
FIRST = START + BEFORE * STEP  # open time of the first bar of a run


def known(home, symbol=BTC):
    return [k.instrument for k in stored(home, lambda d, _: d.instruments.all()) if k.instrument.symbol == symbol]


def audited(home, kind):
    return [json.loads(entry.body) for entry in stored(home, lambda d, _: d.audit.entries(kind=kind))]


def orders(home):
    return stored(home, lambda d, a: d.trading.orders(a.id))


def working(home):
    return stored(home, lambda d, a: d.trading.orders(a.id, working=True))


def said(run, title):
    return [e.sentence for e in run.told if isinstance(e, NoticeEvent) and e.title == title]


def held(service, s=0):
    return service.trader is not None and bool(service.trader.session.state.positions["side"][s])


def on_grid(order, tick, lot):
    return Decimal(order.quantity) % Decimal(lot) == 0 and (
        order.price is None or Decimal(order.price) % Decimal(tick) == 0
    )


@pytest.fixture
def eager(tmp_path):
    """Always in the market: four bars at most, then again."""
    file = tmp_path / "eager.json"
    rule = {"name": "eager", "meaning": "Buys.", "long": {"left": "close", "op": ">", "right": 0.0}}
    file.write_text(json.dumps({**rule, "exits": {"swing": "even"}}))
    return str(file)


@pytest.fixture(autouse=True)
def rules_every_minute(monkeypatch):
    monkeypatch.setenv("QUANTAI_DATA__RULES_REFRESH_S", "60")


# ---- rules that change ---------------------------------------------------------------------------------------------


async def test_f25_rules_come_from_the_exchange_and_the_back_test_obeys_the_same(tmp_path, exchange, eager, ask):
    exchange.server.market.change_rules("BTCUSDT", 0, tick="0.5", lot="0.05", min_notional=20.0)
    async with exchange.run(tmp_path, bars=40, strategy=eager) as run:
        document = await run.document()
    (rules,) = known(tmp_path)
    assert (rules.tick, rules.lot, rules.min_notional) == (Decimal("0.5"), Decimal("0.05"), 20.0)
    assert len(document["trades"]) >= 2
    assert all(on_grid(order, "0.5", "0.05") for order in orders(tmp_path))
    span = ("--from", iso(FIRST)[:19], "--to", iso(FIRST + 40 * STEP)[:19])
    words = ("--symbols", "BTCUSDT", "--timeframe", "15m", "--strategy", eager, *span)
    assert plain_trades(document) == plain_trades(ask(tmp_path, "backtest", *words))


async def test_f25_a_position_keeps_its_grid_while_the_run_goes_on_and_the_next_one_takes_the_new(
    tmp_path, exchange, eager
):
    plans = []

    def change(service) -> None:
        if held(service) and not plans:
            plans.append(int(service.trader.session.state.positions["plan_id"][0]))
            exchange.server.market.change_rules("BTCUSDT", exchange.clock.ms, tick="2.5", lot="0.07")

    async with exchange.run(tmp_path, bars=20, strategy=eager, at_bar=change) as run:
        document = await run.document()
        (waiting,) = said(run, "Trading rules wait")
        (changed,) = said(run, "Trading rules changed")
    assert waiting.startswith("BTCUSDT holds a position")
    assert "tick 0.1 → 2.5" in changed and "lot 0.001 → 0.07" in changed
    old = [order for order in orders(tmp_path) if order.plan_id <= plans[0]]
    new = [order for order in orders(tmp_path) if order.plan_id > plans[0]]
    assert old and new and all(on_grid(order, "0.1", "0.001") for order in old)
    assert all(on_grid(order, "2.5", "0.07") for order in new)
    assert not all(on_grid(order, "2.5", "0.07") for order in old)
    (note,) = audited(tmp_path, "rules")
    assert [(note[at]["tick"], note[at]["lot"]) for at in ("before", "after")] == [("0.1", "0.001"), ("2.5", "0.07")]
    assert [rules.tick for rules in known(tmp_path)] == [Decimal("0.1"), Decimal("2.5")]
    assert len(document["trades"]) >= 2


@pytest.mark.parametrize("holding", [True, False])
async def test_f25_rules_that_changed_between_two_runs_leave_the_account_and_its_position(
    tmp_path, exchange, eager, holding
):
    def stop(service) -> None:
        if held(service) is holding and service.progress.bars > 3:
            service.stop()

    async with exchange.run(tmp_path, bars=50, strategy=eager, at_bar=stop) as run:
        first = await run.document()
    exchange.server.market.change_rules("BTCUSDT", 0, tick="2.5", lot="0.07")
    left = working(tmp_path)
    assert {order.purpose for order in left} == ({"stop", "target"} if holding else {"entry"})
    async with exchange.run(tmp_path, bars=20, strategy=eager) as run:
        second = await run.document()
        assert len(said(run, "Trading rules wait")) == holding and len(said(run, "Trading rules changed")) == 1
    assert (second["account"], second["bars"]) == (first["account"], first["bars"] + 20)
    plans = {order.plan_id for order in left}
    after = [o for o in orders(tmp_path) if o.created_ms > FIRST + first["bars"] * STEP and o.plan_id not in plans]
    assert after and all(on_grid(order, "2.5", "0.07") for order in after)
    carried = [order for order in orders(tmp_path) if order.plan_id in plans]
    assert all(on_grid(order, "0.1", "0.001") for order in carried)
    words = {order.history[-1][2] for order in carried}
    assert ("the trading rules changed" in words) is not holding
    assert len(audited(tmp_path, "rules")) == 1


# ---- symbols that end ----------------------------------------------------------------------------------------------


@pytest.fixture
def both(exchange, eager):
    """Two symbols always in the market: the run goes on when one ends."""
    exchange.server.market.add(*synthetic_market("ETHUSDT", "15m", BEFORE + 700, 9))
    return {"symbols": (BTC, ETH), "strategy": eager}


async def test_f24_a_symbol_that_is_settled_is_left_at_the_next_price(tmp_path, exchange, both):
    ended = []

    def settle(service) -> None:
        if held(service, 1) and not ended:
            ended.append(exchange.clock.ms)
            exchange.server.market.delist("ETHUSDT", exchange.clock.ms)

    async with exchange.run(tmp_path, bars=10, at_bar=settle, **both) as run:
        document = await run.document()
        assert said(run, "Trading ends") == [
            "The exchange ends the trading of ETHUSDT: its position is closed at the next price."
        ]
        assert said(run, "A position cannot be closed") == []
    last = [trade for trade in document["trades"] if trade["symbol"] == ETH][-1]
    assert last["exit_reason"] == "emergency"
    assert {o.symbol for o in working(tmp_path)} <= {BTC}
    assert [order.created_ms for order in orders(tmp_path) if order.symbol == ETH][-1] <= ended[0]
    (note,) = audited(tmp_path, "end_trading")
    assert (note["symbol"], note["why"], note["closes"]) == (ETH, "the exchange ends trading", True)
    assert document["bars"] == 10
    assert [rules.status for rules in known(tmp_path, ETH)] == ["trading", "settling"]


async def test_f24_without_a_further_price_it_is_said_and_the_end_of_the_listing_closes_it(tmp_path, exchange, both):
    ended = []

    def settle(service) -> None:
        if held(service, 1) and not ended:
            ended.append(service.progress.last_bar_ms + STEP)  # the bar that has just begun is the first not shown
            exchange.server.market.delist("ETHUSDT", ended[0], ended[0] + 6 * STEP)

    async with exchange.run(tmp_path, bars=10, at_bar=settle, **both) as run:
        document = await run.document()
        (bad,) = [e for e in run.told if isinstance(e, NoticeEvent) and e.level == "bad"]
    assert bad.title == "A position cannot be closed" and "ETHUSDT" in bad.sentence
    assert ended[0] + 2 * STEP < bad.time_ms < ended[0] + 6 * STEP
    last = [trade for trade in document["trades"] if trade["symbol"] == ETH][-1]
    served = exchange.server.market.candles["ETHUSDT", "15m"].between(ended[0] - STEP, ended[0])
    assert last["exit_reason"] == "emergency"
    assert last["exit_price"] == pytest.approx(float(served.close[-1]), rel=0.01)
    assert {o.symbol for o in working(tmp_path)} <= {BTC}
    assert [rules.status for rules in known(tmp_path, ETH)] == ["trading", "settling", "delisted"]


async def test_f24_where_the_only_symbol_ends_its_position_is_said_and_kept(tmp_path, exchange, eager):
    def settle(service) -> None:
        if held(service) and exchange.server.market.halted_ms("BTCUSDT") > exchange.clock.ms + STEP:
            exchange.server.market.delist("BTCUSDT", service.progress.last_bar_ms + STEP)

    def look() -> None:
        if "A position cannot be closed" in run.notices:
            run.service.stop()

    exchange.moved = look
    async with exchange.run(tmp_path, bars=20, strategy=eager, at_bar=settle) as run:
        document = await run.document()
        assert run.service.status()["state"] == "STOPPED"
    assert document["bars"] < 20 and document["trades"] == []
    assert {order.purpose for order in working(tmp_path)} == {"stop", "target", "exit"}
    async with exchange.run(tmp_path, bars=20, strategy=eager) as run:
        await run.document()
        assert "Trading ends" in run.notices
    assert {order.purpose for order in working(tmp_path)} == {"stop", "target", "exit"}
    assert len(audited(tmp_path, "end_trading")) == 1, "a restart tells it a second time"


async def test_f24_a_delisted_symbol_stays_held_back_after_a_restart_and_the_others_go_on(tmp_path, exchange, both):
    async with exchange.run(tmp_path, bars=5, **both) as run:
        first = await run.document()
    exchange.server.market.delist("ETHUSDT", exchange.clock.ms, exchange.clock.ms)
    async with exchange.run(tmp_path, bars=20, **both) as run:
        second = await run.document()
        assert said(run, "Trading ends") == ["The exchange ends the trading of ETHUSDT: it is not entered any more."]
        assert run.service.health().state == "live"
    assert (second["account"], second["bars"]) == (first["account"], 25)
    assert {o.symbol for o in orders(tmp_path) if o.created_ms > FIRST + 5 * STEP} == {BTC}
    assert known(tmp_path, ETH)[-1].status == "delisted"
    with pytest.raises(UserError, match="does not trade ETHUSDT"):
        async with exchange.run(tmp_path, bars=5, fresh=True, **both) as run:
            await run.document()
    with pytest.raises(UserError, match="does not trade ETHUSDT"):
        async with exchange.run(tmp_path, bars=5, symbols=(ETH,), strategy=both["strategy"]) as run:
            await run.document()
    exchange.server.market.delist("BTCUSDT", exchange.clock.ms, exchange.clock.ms)
    exchange.server.market.add(*synthetic_market("SOLUSDT", "15m", 10, 9))
    with pytest.raises(UserError, match="none of this run's symbols"):
        async with exchange.run(tmp_path, bars=5, **both) as run:
            await run.document()


async def test_a_symbol_that_the_exchange_never_had_is_refused_with_one_sentence(tmp_path, exchange):
    with pytest.raises(UserError, match=r"^binanceusdm does not trade XYZUSDT: leave it out of the run\.$"):
        async with exchange.run(tmp_path, bars=5, symbols=(BTC, "XYZ/USDT:USDT")) as run:
            await run.document()


async def test_a_symbol_that_no_table_knows_is_traded_by_the_rules_of_the_exchange(tmp_path, exchange):
    exchange.server.market.add(*synthetic_market("AVAXUSDT", "15m", BEFORE + 50, 9))
    exchange.server.market.change_rules("AVAXUSDT", 0, tick="0.004", lot="2")
    async with exchange.run(tmp_path, bars=5, symbols=("AVAX/USDT:USDT",)) as run:
        assert (await run.document())["source"] == "exchange"
    (rules,) = known(tmp_path, "AVAX/USDT:USDT")
    assert (rules.tick, rules.lot, rules.inferred) == (Decimal("0.004"), Decimal(2), False)
