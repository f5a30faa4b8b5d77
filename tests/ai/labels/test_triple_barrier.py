"""Triple-barrier labels: small tables of bars with the outcome expected, and a slow, plain reading of the rules."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai.exits import ExitProfile, exit_profile
from ai.labels import Labels, stop_distances, triple_barrier
from data.errors import UserError

pytestmark = pytest.mark.kernel

Array = npt.NDArray[np.float64]
EVEN = exit_profile("even", "1h")  # target = stop distance, 4 bars
NAN = float("nan")


def labels_of(bars: list[tuple[float, float, float, float]], distance: float, profile: ExitProfile = EVEN) -> Labels:
    o, h, low, c = np.array(bars).T
    return triple_barrier(o, h, low, c, np.full(len(bars), distance), profile)


QUIET = (100.0, 101.0, 99.0, 100.0)
TARGET_2 = dataclasses.replace(EVEN, target_ratio=2.0)

# name: bars from the deciding one on, distance, profile, then for row 0: label, long, short, end, returns
CASES = {
    "target in the entry bar": (
        [QUIET, (100, 110, 99, 108), QUIET, QUIET, QUIET], 10.0, EVEN, (1, 1, -1, 1, 0.10, -0.10)),
    "stop in the entry bar": (
        [QUIET, (100, 101, 90, 95), QUIET, QUIET, QUIET], 10.0, EVEN, (-1, -1, 1, 1, -0.10, 0.10)),
    "a bar that touches both is a stop on both sides": (
        [QUIET, QUIET, (100, 111, 89, 100), QUIET, QUIET], 10.0, EVEN, (0, -1, -1, 2, -0.10, -0.10)),
    "nothing is touched: out at the close of the last bar": (
        [QUIET, QUIET, QUIET, QUIET, (100, 103, 99, 102)], 10.0, EVEN, (0, 0, 0, 4, 0.02, -0.02)),
    "the last bar still counts": (
        [QUIET, QUIET, QUIET, QUIET, (100, 110, 99, 102)], 10.0, EVEN, (1, 1, -1, 4, 0.10, -0.10)),
    "the bar after the last does not": (
        [QUIET, QUIET, QUIET, QUIET, QUIET, (100, 150, 50, 100)], 10.0, EVEN, (0, 0, 0, 4, 0.0, 0.0)),
    "the deciding bar does not": (
        [(100, 150, 50, 100), QUIET, QUIET, QUIET, QUIET], 10.0, EVEN, (0, 0, 0, 4, 0.0, 0.0)),
    "a gap through the long stop fills at the open": (
        [QUIET, QUIET, (80, 85, 79, 80), QUIET, QUIET], 10.0, EVEN, (-1, -1, 1, 2, -0.20, 0.10)),
    "a gap through the short stop fills at the open": (
        [QUIET, QUIET, (125, 130, 120, 121), QUIET, QUIET], 10.0, EVEN, (1, 1, -1, 2, 0.10, -0.25)),
    "the sides end at different bars and the row with the later": (
        [QUIET, QUIET, (100, 110, 99, 109), (115, 120, 114, 118), QUIET], 10.0, TARGET_2, (1, 1, -1, 3, 0.20, -0.10)),
    "one side stopped, the other runs out of time": (
        [QUIET, QUIET, (100, 110, 99, 109), (109, 111, 108, 110), (110, 112, 104, 105)], 10.0, TARGET_2,
        (0, 0, -1, 4, 0.05, -0.10)),
}  # fmt: skip


@pytest.mark.nojit
@pytest.mark.parametrize("name", CASES)
def test_known_case(name: str) -> None:
    bars, distance, profile, expected = CASES[name]
    made = labels_of(bars, distance, profile)
    assert made.complete[0]
    row = (made.label[0], made.long_outcome[0], made.short_outcome[0], made.end[0])
    assert row == expected[:4]
    assert (made.long_return[0], made.short_return[0]) == pytest.approx(expected[4:])


def test_entry_is_at_the_next_open_and_distance_is_taken_from_it() -> None:
    made = labels_of([QUIET, (200, 209, 195, 205), (205, 210, 200, 201), QUIET, QUIET], 10.0)
    assert (made.label[0], made.end[0]) == (1, 2)
    assert made.long_return[0] == pytest.approx(10 / 200)


def test_a_horizon_beyond_the_data_is_no_label_unless_both_sides_are_decided() -> None:
    made = labels_of([QUIET, QUIET, QUIET, (100, 110, 99, 100)], 10.0)
    assert made.complete.tolist() == [True, True, True, False]
    quiet = labels_of([QUIET] * 4, 10.0)
    assert not quiet.complete.any()
    assert quiet.end.tolist() == [4, 5, 6, 7]
    assert np.isnan(quiet.long_return).all()
    assert not quiet.label.any()


@pytest.mark.parametrize("distance", [NAN, 0.0, -1.0])
def test_a_row_without_a_stop_distance_is_no_label(distance: float) -> None:
    assert not labels_of([QUIET] * 9, distance).complete.any()


def test_no_bars_give_no_labels_and_unequal_columns_are_refused() -> None:
    none = np.empty(0)
    assert len(triple_barrier(none, none, none, none, none, EVEN)) == 0
    with pytest.raises(UserError, match="equal length"):
        triple_barrier(np.ones(3), np.ones(3), np.ones(3), np.ones(3), np.ones(2), EVEN)


def plain_side(
    o: Array, h: Array, low: Array, c: Array, t: int, d: float, ratio: float, limit: int, side: int
) -> tuple[int, int, float] | None:
    """One side, bar by bar: (outcome, end, return), None where the data end first."""
    entry = o[t + 1]
    stop, target = entry - side * d, entry + side * ratio * d
    for j in range(t + 1, t + limit + 1):
        if j >= len(o):
            return None
        adverse, favourable = (low[j], h[j]) if side == 1 else (h[j], low[j])
        if side * (adverse - stop) <= 0:
            fill = o[j] if side * (o[j] - stop) < 0 else stop
            return -1, j, side * (fill / entry - 1)
        if side * (favourable - target) >= 0:
            return 1, j, ratio * d / entry
    return 0, t + limit, side * (c[t + limit] / entry - 1)


@given(seed=st.integers(0, 10_000), limit=st.integers(1, 70), ratio=st.sampled_from([0.5, 1.0, 2.5, 3.0]))
def test_labels_equal_a_plain_reading_of_the_rules(seed: int, limit: int, ratio: float) -> None:
    generator = np.random.default_rng(seed)
    c = 100 + np.cumsum(generator.integers(-3, 4, 150)) * 0.5  # a coarse grid, so that levels are met exactly
    o = np.concatenate(([100.0], c[:-1])) + generator.choice([0.0, 0.0, 2.0, -2.0], 150)
    h = np.maximum(o, c) + generator.integers(0, 3, 150) * 0.5
    low = np.minimum(o, c) - generator.integers(0, 3, 150) * 0.5
    d = generator.integers(1, 8, 150) * 0.5
    profile = dataclasses.replace(EVEN, limit_bars=limit)
    made = triple_barrier(o, h, low, c, d, profile, ratio)
    for t in range(149):
        both = [plain_side(o, h, low, c, t, d[t], ratio, limit, side) for side in (1, -1)]
        assert made.complete[t] == (None not in both)
        if made.complete[t]:
            (lo, le, lr), (so, se, sr) = both  # type: ignore[misc]
            assert (made.long_outcome[t], made.short_outcome[t], made.end[t]) == (lo, so, max(le, se))
            assert made.label[t] == (lo == 1) - (so == 1)
            assert (made.long_return[t], made.short_return[t]) == pytest.approx((lr, sr), abs=1e-12)


def test_stop_distances_follow_the_profile() -> None:
    close, feature = np.array([100.0, 200.0]), np.array([2.0, NAN])
    assert stop_distances(exit_profile("scalp", "1m"), close).tolist() == [0.5, 1.0]
    assert np.array_equal(stop_distances(exit_profile("swing", "1h"), close, feature), [3.0, NAN], equal_nan=True)
    assert np.array_equal(stop_distances(EVEN, close, feature / 100), [4.0, NAN], equal_nan=True)
    with pytest.raises(UserError, match="needs the feature 'atr_14'"):
        stop_distances(exit_profile("swing", "1h"), close)
