"""The candle chart's level of detail: at most one candle a pixel, and no spike lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sample_views as sample
from PyQt6.QtCore import QRectF

from dashboard.charts.candle_axes import spread
from dashboard.charts.candle_layers import COARSE, CandleLayer, Mapping, index_ticks

pytestmark = pytest.mark.qt
WIDE, TALL = 1000.0, 400.0


def _mapping(first: float, last: float) -> Mapping:
    scale = WIDE / (last - first)
    return Mapping(scale, -first * scale, -1.0, TALL, QRectF(0, 0, WIDE, TALL), first, last)


@pytest.fixture(scope="module")
def layer(qapp: object) -> CandleLayer:
    n = 1_000_000
    close = 100 + np.sin(np.arange(n) / 5000)
    high, low, volume = close + 0.1, close - 0.1, np.ones(n)
    high[777_777], low[123_456], volume[500_001] = 500.0, 1.0, 99.0
    view = replace(
        sample.chart(240, False), time=np.arange(n, dtype=np.int64) * 60_000, open=close.copy(), high=high, low=low,
        close=close, volume=volume, indicators={}, trades=(),
    )  # fmt: skip
    made = CandleLayer()
    made.set_view(view)
    return made


@pytest.mark.parametrize("span", [300, 5_000, 60_000, 1_000_000])
def test_at_most_one_candle_a_pixel(layer: CandleLayer, span: int) -> None:
    x = layer.columns(_mapping(0, span))[0]
    assert x.size <= max(WIDE, span * WIDE / span) + COARSE


@pytest.mark.parametrize("first", [0.0, 400_000.0])
def test_merged_candles_keep_every_extreme(layer: CandleLayer, first: float) -> None:
    _, _, high, low, _, volume = layer.columns(_mapping(first, 1_000_000))
    assert high.max() == 500.0
    assert volume.max() == 99.0
    assert (low.min() == 1.0) == (first == 0.0)
    assert layer.price_range(first, 1_000_000)[1] == 500.0  # type: ignore[index]


def test_bars_wide_enough_are_drawn_one_by_one(layer: CandleLayer) -> None:
    x, opened, high, low, close, _ = layer.columns(_mapping(1000, 1100))
    assert np.allclose(np.diff(x), WIDE / 100)
    assert opened.size == high.size == low.size == close.size == x.size


def test_ticks_outside_the_data_carry_the_bar_length_on() -> None:
    time = 1_700_000_100_000 // 900_000 * 900_000 + np.arange(100, dtype=np.int64) * 900_000
    ticks = index_ticks(time, 50.0, 140.0, 8)
    assert max(index for index, _ in ticks) > 99
    steps = np.diff([index for index, _ in ticks])
    assert np.allclose(steps, steps[0])


def test_tags_are_pushed_apart_and_those_out_of_sight_left_out() -> None:
    made = spread([100.0, 104.0, 390.0, 399.0, -50.0], 400.0)
    assert made[4] is None
    seen = sorted(y for y in made if y is not None)
    assert len(seen) == 4
    assert all(b - a >= 18.0 for a, b in pairwise(seen))
    assert min(seen) >= 9.0
    assert max(seen) <= 391.0
    assert spread([50.0, 200.0], 400.0) == [50.0, 200.0]
