"""The pace of requests: what market data may use, what is left for orders, and whose count is believed."""

from __future__ import annotations

import asyncio

import pytest

from data.exchange.limiter import RequestPace, is_ordering, ordering
from tests.exchange.simulated_time import SimulatedClock

MINUTE = 60_000
START = 1_700_000_040_000  # the first moment of a minute


def paced(clock: SimulatedClock, weight: float = 1200, **how: object) -> RequestPace:
    return RequestPace(weight, clock, clock.sleep, **{"order_share": 0.3, "most_per_minute": 2400, **how})


async def spend(pace: RequestPace, weight: float, sent: list[float], clock: SimulatedClock) -> None:
    await pace(weight)
    sent.append(clock.seconds)


async def finish(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_market_data_leave_the_share_of_orders_alone() -> None:
    clock = SimulatedClock(START)
    pace, sent = paced(clock), []
    tasks = [asyncio.create_task(spend(pace, 10, sent, clock)) for _ in range(1000)]
    await clock.run_for(300)
    used = 10 * len(sent)
    assert used <= 0.7 * 1200 * 5 + 70
    assert used >= 0.7 * 1200 * 5 - 10
    await finish(tasks)


async def test_orders_may_use_all_of_it_and_market_data_then_wait() -> None:
    clock = SimulatedClock(START)
    pace, market, orders = paced(clock), [], []
    with ordering():
        tasks = [asyncio.create_task(spend(pace, 10, orders, clock)) for _ in range(1000)]
    tasks += [asyncio.create_task(spend(pace, 10, market, clock)) for _ in range(100)]
    await clock.run_for(60)
    assert 10 * len(orders) == pytest.approx(1200 + 100, abs=20)
    assert not market
    await finish(tasks)


async def test_an_order_goes_out_at_once_whatever_is_queued_before_it() -> None:
    clock = SimulatedClock(START)
    pace, market, orders = paced(clock), [], []
    tasks = [asyncio.create_task(spend(pace, 20, market, clock)) for _ in range(200)]
    await clock.run_for(30.0)
    with ordering():
        tasks.append(asyncio.create_task(spend(pace, 4, orders, clock)))
    await clock.run_for(0)
    assert orders == [30.0]
    await clock.run_for(60)
    assert len(market) < 200
    await finish(tasks)


async def test_a_waiter_that_is_cancelled_has_spent_nothing() -> None:
    clock = SimulatedClock(START)
    pace, sent = paced(clock), []
    first = [asyncio.create_task(spend(pace, 70, sent, clock)), asyncio.create_task(spend(pace, 1000, [], clock))]
    await clock.run_for(1)
    first[1].cancel()
    after = asyncio.create_task(spend(pace, 10, sent, clock))
    await clock.run_for(1)
    assert sent == [0.0, 1.0]
    assert pace.spent == 80
    await finish([*first, after])


async def test_a_request_heavier_than_the_bucket_is_let_through_when_it_is_full() -> None:
    clock = SimulatedClock(START)
    pace, sent = paced(clock, 60, order_share=0.9), []
    task = asyncio.create_task(spend(pace, 24, sent, clock))
    await clock.run_for(0)
    assert sent == [0.0]
    again = asyncio.create_task(spend(pace, 24, sent, clock))
    await clock.run_for(300)
    assert sent[1] == pytest.approx(24 / 0.1)
    await finish([task, again])


async def test_weight_that_others_used_at_our_address_is_taken_off() -> None:
    clock = SimulatedClock(START)
    pace, sent = paced(clock), []
    await clock.run_for(10)
    await pace(5)
    pace.told(1600)  # of 2,400; market data stop at 1,680
    assert pace.used == 1600
    tasks = [asyncio.create_task(spend(pace, 20, sent, clock)) for _ in range(20)]
    await clock.run_for(49)
    assert not sent  # the drip has to make good what was used, and the minute is nearly full
    with ordering():
        tasks.append(asyncio.create_task(spend(pace, 1, sent, clock)))
    await clock.run_for(600)
    assert len(sent) == 21
    await finish(tasks)


async def test_a_full_minute_of_the_exchange_is_waited_out() -> None:
    clock = SimulatedClock(START)
    pace, sent = paced(clock, 2400, most_per_minute=1000), []
    tasks = [asyncio.create_task(spend(pace, 10, sent, clock)) for _ in range(75)]
    await clock.run_for(59)
    assert len(sent) == 70
    await clock.run_for(1)
    assert len(sent) == 75
    await finish(tasks)


async def test_a_count_at_the_turn_of_a_minute_is_not_believed() -> None:
    clock = SimulatedClock(START)
    pace = paced(clock)
    await clock.run_for(61)
    pace.told(2300)  # of the minute before: the answer was on its way
    assert pace.used == 0
    await clock.run_for(1)
    pace.told(40)
    assert pace.used == 40


async def test_nobody_asks_while_it_is_closed_orders_neither() -> None:
    clock = SimulatedClock(START)
    pace, sent = paced(clock), []
    pace.close_for(17)
    tasks = [asyncio.create_task(spend(pace, 1, sent, clock))]
    with ordering():
        tasks.append(asyncio.create_task(spend(pace, 1, sent, clock)))
    await clock.run_for(16.9)
    assert (sent, pace.closed_for_s) == ([], pytest.approx(0.1))
    await clock.run_for(0.2)
    assert sent == [17.0, 17.0]
    await finish(tasks)


async def test_the_lane_belongs_to_the_task_that_entered_it() -> None:
    seen: list[bool] = []

    async def other() -> None:
        await asyncio.sleep(0)
        seen.append(is_ordering())

    task = asyncio.create_task(other())
    with ordering():
        inside = asyncio.create_task(other())
        await asyncio.gather(task, inside)
        assert is_ordering()
    assert not is_ordering()
    assert seen == [False, True]
