"""Paging by windows, against exchanges made of a list: newest rows first to be kept, pages cut, empty years."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.errors import Retryable
from data.exchange.windows import Rows, first_bars, first_settlements, in_span
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, timeframe_ms

ORIGIN = 1_700_006_400_000  # a midnight


class Shelf:
    """Minutes that exist; a span is answered by its newest ``cap`` rows, daily bars only of days that have ended."""

    def __init__(self, minutes: list[int], cap: int, now: int) -> None:
        self.times = [ORIGIN + m * MINUTE_MS for m in minutes]
        self.cap, self.now = cap, now
        self.asked = 0

    async def ask(self, timeframe: str, start: int, stop: int) -> Rows:
        self.asked += 1
        step = timeframe_ms(timeframe)
        opens = sorted({t // step * step for t in self.times})
        return [[float(t)] for t in opens if start <= t < stop and t + step <= self.now][-self.cap :]

    async def settled(self, start: int, stop: int) -> Rows:
        return await self.ask("1m", start, stop)


async def all_bars(shelf: Shelf, since: int, end: int, page: int) -> list[int]:
    """Page by page as the session does it."""
    found: list[int] = []
    while since < end:
        rows = await first_bars(shelf.ask, "1m", since, end, page)
        if not rows:
            break
        found += [int(row[0]) for row in rows]
        since = found[-1] + MINUTE_MS
    return found


@given(
    minutes=st.lists(st.integers(0, 9000), max_size=60, unique=True).map(sorted),
    runs=st.lists(st.tuples(st.integers(0, 8000), st.integers(1, 300)), max_size=4),
    cap=st.integers(1, 120),
    page=st.sampled_from([40, 100, 300]),
)
async def test_every_bar_comes_once_whatever_the_gaps_and_the_cap(
    minutes: list[int], runs: list[tuple[int, int]], cap: int, page: int
) -> None:
    held = sorted({*minutes, *(first + i for first, count in runs for i in range(count))})
    end = ORIGIN + 9400 * MINUTE_MS
    shelf = Shelf(held, cap, end)
    assert await all_bars(shelf, ORIGIN - 3 * DAY_MS, end, page) == shelf.times


async def test_a_market_that_began_years_later_costs_a_few_questions() -> None:
    shelf = Shelf(list(range(100)), 1000, ORIGIN + DAY_MS)
    found = await first_bars(shelf.ask, "1m", ORIGIN - 2000 * DAY_MS, ORIGIN + HOUR_MS, 1000)
    assert [row[0] for row in found] == shelf.times[:60]
    assert shelf.asked <= 6


async def test_a_full_page_of_settlements_is_taken_to_be_cut_off() -> None:
    shelf = Shelf(list(range(0, 5000, 60)), 30, ORIGIN + 10 * DAY_MS)
    rows = await first_settlements(shelf.settled, ORIGIN - 40 * DAY_MS, ORIGIN + 10 * DAY_MS, 4 * DAY_MS, 30)
    assert [row[0] for row in rows] == shelf.times
    nothing = await first_settlements(shelf.settled, ORIGIN - 40 * DAY_MS, ORIGIN, 4 * DAY_MS, 30)
    assert nothing == []


@pytest.mark.parametrize("rows", [[[9.0]], [[20.0], [12.0]], [[12.0], [25.0]]])
def test_rows_of_another_span_are_no_answer(rows: Rows) -> None:
    with pytest.raises(Retryable, match=r"^okx candles: the answer holds other times than were asked for\.$"):
        in_span(rows, 10, 20, "okx candles")
    assert in_span([[19.0], [10.0]], 10, 20, "okx candles") == [[10.0], [19.0]]
