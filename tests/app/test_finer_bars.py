"""Finer bars are used where they cover the whole span, the finest first, and never for another series."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai.settings import AiSettings
from app.finer_bars import covered, finer_frame, finer_grid
from app.wiring import Workplace, cut, extras_for
from data.grid import align
from data.market import Frame, FundingFrame, SeriesKey
from data.resample import resample
from data.synthetic import synthetic_market


@pytest.fixture(scope="module")
def minutes() -> Frame:
    return synthetic_market("BTCUSDT", "1m", 15 * 400, 3)[0]


def without(frame: Frame, share: float, seed: int = 1) -> Frame:
    keep = np.random.default_rng(seed).random(len(frame)) >= share
    return frame.take(keep)


def test_the_finest_bars_that_cover_the_span_are_chosen(home: Path, minutes: Frame) -> None:
    quarters, fives = resample(minutes, "15m"), resample(minutes, "5m")
    with Workplace.opened(home) as place:
        store = place.database.candles
        store.write(quarters)
        assert finer_frame(store, quarters) is None
        other = replace(minutes, key=replace(minutes.key, symbol="ETH/USDT:USDT"))
        for stored in (other, replace(minutes, key=replace(minutes.key, source="exchange"))):
            store.write(stored)
        assert finer_frame(store, quarters) is None
        store.write(fives)
        found = finer_frame(store, quarters)
        assert found is not None and found.key == fives.key
        store.write(minutes)
        found = finer_frame(store, quarters.slice(10, 300))
        assert found is not None and found.key == minutes.key
        assert (found.open_time[0], len(found)) == (quarters.open_time[10], 290 * 15)
        assert finer_frame(store, minutes) is None  # nothing is finer than a minute
        extras = extras_for(place.database, quarters, AiSettings())
        assert extras.finer is not None and extras.finer.key == minutes.key
        assert extras_for(place.database, quarters, AiSettings(finer_labels=False)).finer is None
        assert extras_for(place.database, quarters, AiSettings(), ()).finer is None  # a back-test makes no labels


def test_bars_with_too_many_holes_are_not_used(home: Path, minutes: Frame) -> None:
    quarters = resample(minutes, "15m")
    few, many = without(minutes, 0.0002), without(minutes, 0.002)
    assert covered(quarters, few) >= 0.995 > covered(quarters, many)
    with Workplace.opened(home) as place:
        place.database.candles.write(many)
        assert finer_frame(place.database.candles, quarters) is None
        place.database.candles.write(few)  # fills most of the holes
        assert finer_frame(place.database.candles, quarters) is not None


def test_a_back_test_reads_the_order_within_its_bars_from_stored_finer_ones(home: Path, minutes: Frame) -> None:
    quarters = resample(minutes, "15m")
    later = quarters.slice(100, len(quarters))
    none = FundingFrame("synthetic", quarters.key.symbol, "synthetic", *(np.empty(0, d) for d in ("<i8", "<f8", "<f8")))
    grid = align([later], [none])
    with Workplace.opened(home) as place:
        store = place.database.candles
        assert finer_grid(store.read, [quarters.key], grid) is None
        store.write(quarters)
        store.write(minutes)
        found = finer_grid(store.read, [quarters.key], grid)
    assert found is not None and found.parts == 15
    assert (found.begin[0] == 15 * np.arange(len(later))).all()
    first = slice(int(found.begin[0, 7]), int(found.begin[0, 7]) + 15)
    assert (found.high[first].max(), found.low[first].min()) == (later.high[7], later.low[7])


def test_each_bar_is_told_by_the_shortest_timeframe_that_has_all_of_it(minutes: Frame) -> None:
    """Minutes for the first hundred bars, five minutes for all but one: the order within a bar stays what it is."""
    quarters, fives = resample(minutes, "15m"), resample(minutes, "5m")
    stored = {"1m": minutes.slice(0, 1505), "5m": fives.take(np.arange(len(fives)) != 3 * 200)}
    none = FundingFrame.empty("synthetic", quarters.key.symbol, "synthetic")
    grid = align([quarters], [none])

    def read(key: SeriesKey, start: int, end: int) -> Frame:
        return stored.get(key.timeframe, Frame.empty(key)).between(start, end)

    found = finer_grid(read, [quarters.key], grid)
    assert found is not None and found.parts == 15
    assert np.flatnonzero(found.begin[0] < 0).tolist() == [200]
    inside = [found.high[b : b + 15] for b in found.begin[0, [99, 100]]]
    assert inside[0].tolist() == minutes.high[99 * 15 : 100 * 15].tolist()
    assert inside[1].tolist() == np.repeat(fives.high[300:303], 5).tolist()
    part = finer_grid(read, [quarters.key], cut(grid, 90, 110))
    assert part is not None
    assert part.high[part.begin[0, 10] :][:15].tolist() == inside[1].tolist()
    del stored["1m"]
    alone = finer_grid(read, [quarters.key], grid)
    assert alone is not None and alone.parts == 3 and len(alone.high) == 3 * 399
