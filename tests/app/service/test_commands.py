"""Commands reach a running service through its control channel, and what they decide survives a restart."""

from __future__ import annotations

import pytest

from data.errors import UserError
from tests.app.service.running import running

BTC = "BTC/USDT:USDT"
SLOW = {
    "symbols": (BTC,), "timeframe": "15m", "source": "replay", "replay": (1708387200000, 1710547200000),
    "strategy": "rsi-oversold", "speed": 2000.0,
}  # fmt: skip
CALM = {**SLOW, "speed": 100.0}  # 24 s of bars: a busy machine still finds it running when its question arrives
KEYS = {"state", "positions", "protected", "equity", "day_pnl", "feeds"}


def holds(service) -> bool:
    return service.trader is not None and bool(service.trader.session.state.positions["side"].any())


def going(service) -> bool:
    return service.progress.bars >= 3


async def test_status_has_the_keys_of_the_definition(stocked):
    async with running(stocked, **CALM) as run:
        await run.until(going)
        status = await run.ask("status")
    assert set(status) >= KEYS
    assert status["state"] == "RUNNING" and status["protected"] is True
    assert status["equity"] == pytest.approx(10_000, rel=0.05)
    assert status["feeds"][0]["state"] == "replaying"


async def test_pause_and_resume_over_a_restart(stocked):
    async with running(stocked, **CALM) as run:
        await run.until(going)
        assert (await run.ask("pause"))["state"] == "PAUSED"
        run.service.stop()
        assert (await run.document())["trading_state"] == "PAUSED"
    async with running(stocked, **CALM) as run:
        await run.until(going)
        assert (await run.ask("status"))["state"] == "PAUSED"
        assert (await run.ask("resume"))["state"] == "RUNNING"


async def test_a_halt_stays_over_a_restart_until_a_person_resumes(stocked):
    async with running(stocked, **CALM) as run:
        await run.until(going)
        halted = await run.ask("halt")
        assert (halted["state"], halted["why"]) == ("HALTED", "halted by the operator")
    async with running(stocked, **CALM) as run:
        await run.until(going)
        assert (await run.ask("pause"))["state"] == "HALTED"
        assert not run.service.trader.session.open_orders()
        assert (await run.ask("resume"))["state"] == "RUNNING"


async def test_flatten_closes_what_is_held_and_pauses(stocked):
    held_at: list[int] = []

    def hold(service) -> None:
        if holds(service) and not held_at:
            held_at.append(service.progress.bars)
            service.act("flatten")

    async with running(stocked, at_bar=hold, **SLOW) as run:
        await run.until(lambda s: held_at and s.progress.bars > held_at[0])
        status = await run.ask("status")
        assert (status["state"], status["positions"]) == ("PAUSED", [])
        run.service.stop()
        document = await run.document()
    assert [t["exit_reason"] for t in document["trades"]][-1] == "emergency"


async def test_a_held_position_is_shown_and_flattened_from_outside(stocked):
    def freeze(service) -> None:
        if holds(service):
            service.feed._pace._gap = 1e6  # the next bar does not come before the end

    async with running(stocked, at_bar=freeze, **{**SLOW, "speed": None}) as run:
        await run.until(holds)
        status = await run.ask("status")
        assert [p["symbol"] for p in status["positions"]] == [BTC]
        position = status["positions"][0]
        assert position["protected"] and position["stop"] and position["qty"] > 0
        assert (await run.ask("flatten"))["state"] == "PAUSED"


async def test_paused_takes_no_new_positions(stocked):
    def at_first(service) -> None:
        if service.progress.bars == 1 and service.progress.state == "RUNNING":
            service.act("pause")

    async with running(stocked, at_bar=at_first, **{**SLOW, "speed": None}) as run:
        document = await run.document()
    assert document["trades"] == []
    async with running(stocked, **{**SLOW, "speed": None, "seed": 8}) as run:
        assert len((await run.document())["trades"]) > 3, "the market would not have traded anyway"


async def test_commands_wait_until_it_is_warm(stocked):
    async with running(stocked, **SLOW) as run:
        with pytest.raises(UserError, match="has to wait"):
            run.service.act("pause")


async def test_for_seconds_ends_a_run_whose_next_bar_is_far(stocked):
    async with running(stocked, for_seconds=0.2, **{**SLOW, "speed": 0.0001}) as run:
        document = await run.document()
    assert (document["state"], document["bars"]) == ("STOPPED", 0)


async def test_bars_ends_a_run_after_so_many(stocked):
    async with running(stocked, bars=7, **{**SLOW, "speed": None}) as run:
        document = await run.document()
    assert (document["state"], document["bars"]) == ("STOPPED", 7)
