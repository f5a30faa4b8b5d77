"""The simulated clock's own rules."""

from __future__ import annotations

import asyncio
import threading

from tests.exchange import simulated_time
from tests.exchange.simulated_time import BUSY_TURNS, QUIET_TURNS, THREAD_S, SimulatedClock


async def test_a_loop_that_waits_for_a_thread_leaves_the_interpreter_to_it(monkeypatch) -> None:
    turns: list[float] = []
    plain = asyncio.sleep

    async def counted(seconds: float) -> None:
        turns.append(seconds)
        await plain(0)

    monkeypatch.setattr(simulated_time.asyncio, "sleep", counted)
    clock = SimulatedClock()
    clock.busy.append(lambda: len(turns) < 100)
    await clock.settle()
    assert turns[: BUSY_TURNS + 1] == [0] * (BUSY_TURNS + 1)
    assert set(turns[BUSY_TURNS + 1 : 100]) == {THREAD_S}
    assert turns[100:] == [0] * (QUIET_TURNS - 1), "at rest it turns without waiting"


async def test_time_stands_still_while_a_thread_works() -> None:
    clock, done = SimulatedClock(), threading.Event()
    clock.busy.append(lambda: not done.is_set())
    asked = asyncio.create_task(clock.run_for(5.0))
    await asyncio.sleep(0)
    assert clock.seconds == 0.0
    threading.Thread(target=done.set).start()
    await asked
    assert clock.seconds == 5.0
