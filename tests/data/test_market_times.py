"""Distinct times, and the grid that stands on them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.grid import align
from data.market import FundingFrame, distinct_times
from data.synthetic import synthetic_market


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50))
def test_distinct_times_are_those_of_numpy(times: list[int]) -> None:
    given_times = np.array(times, dtype=np.int64)
    assert np.array_equal(distinct_times(given_times), np.unique(given_times))


def test_a_grid_is_the_union_of_its_series() -> None:
    (btc, funding), (eth, _) = (synthetic_market(s, "1h", 30, 7) for s in ("BTCUSDT", "ETHUSDT"))
    grid = align([btc.slice(0, 20), eth.slice(10, 30)], [funding, FundingFrame.empty("binanceusdm", "ETH/USDT:USDT")])
    assert np.array_equal(grid.open_time, btc.open_time)
    assert grid.present.sum(axis=1).tolist() == [20, 20]
    assert np.isnan(grid.close[0, 20:]).all()
    due = [(int(grid.funding_start[0, t]), int(grid.funding_start[0, t + 1])) for t in range(30)]
    paid = [t for t, (a, b) in enumerate(due) if b > a]
    assert paid == [7, 15, 23]  # the bars that close at 08, 16 and 24 o'clock
