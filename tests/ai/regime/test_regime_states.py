"""The seven states against a plain recomputation, their names, and that no state sees the future."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest

from ai.features.engine import FeatureEngine
from ai.features.leak_audit import audit_features
from ai.features.registry import schema_of
from ai.regime import (
    FEATURES,
    REGIME_NAMES,
    UNKNOWN,
    Regime,
    RegimeTracker,
    regime_ahead,
    regime_labels,
    regime_path,
    regime_warmup_bars,
    smoothed_states,
    state_of,
    volatility_rank,
)
from data.market import BarMark, Frame, FundingFrame
from data.synthetic import REGIMES
from data.timeframes import DAY_MS, HOUR_MS

Array = npt.NDArray[np.float64]


def test_names_and_numbers_of_the_states_are_what_is_stored() -> None:
    assert REGIME_NAMES == ("strong_down", "down", "range", "up", "strong_up", "high_volatility", "low_volatility")
    assert [int(state) for state in Regime] == list(range(7))
    assert set(REGIME_NAMES) == set(REGIMES)  # the made market speaks of the same states


@pytest.mark.parametrize(
    ("rank", "t", "state"),
    [
        (0.5, 0.0, "range"), (0.5, 2.0, "range"), (0.5, -2.0, "range"), (0.5, 2.1, "up"), (0.5, 4.0, "up"),
        (0.5, 4.1, "strong_up"), (0.5, -2.1, "down"), (0.5, -4.0, "down"), (0.5, -4.1, "strong_down"),
        (0.9, 0.0, "range"), (0.91, 9.0, "high_volatility"), (0.1, 0.0, "range"), (0.09, -9.0, "low_volatility"),
    ],
)  # fmt: skip
def test_volatility_comes_first_and_then_the_slope(rank: float, t: float, state: str) -> None:
    assert REGIME_NAMES[state_of(rank, t)] == state


def test_without_a_rank_or_a_slope_there_is_no_state() -> None:
    assert state_of(np.nan, 1.0) == state_of(0.5, np.nan) == UNKNOWN


def plain_slope_t(close: Array) -> float:
    """t-value of the slope by the normal equations of a straight line."""
    design = np.column_stack([np.ones(len(close)), np.arange(len(close))])
    beta, residual, *_ = np.linalg.lstsq(design, close, rcond=None)
    variance = residual[0] / (len(close) - 2)
    return float(beta[1] / np.sqrt(variance * np.linalg.inv(design.T @ design)[1, 1]))


@pytest.mark.data
def test_states_equal_a_plain_recomputation_on_recorded_hours(btc: Frame) -> None:
    frame = btc.slice(0, 6_000)
    path = regime_path(frame)
    returns = np.diff(np.log(frame.close))
    volatility = np.array([returns[t - 96 : t].std(ddof=1) if t >= 96 else np.nan for t in range(6_000)])
    assert (np.flatnonzero(path.state != UNKNOWN)[0]) == 96 + 90 * 24 - 1 < regime_warmup_bars("1h")
    seen = set()
    for t in range(96 + 90 * 24 - 1, 6_000, 7):
        window = volatility[t - 90 * 24 + 1 : t + 1]
        below, equal = np.sum(window < volatility[t]), np.sum(window == volatility[t])
        rank, slope_t = (below + equal / 2) / len(window), plain_slope_t(frame.close[t - 95 : t + 1])
        assert path.rank[t] == pytest.approx(rank, abs=1.1 / len(window))  # near ties may fall either way
        assert path.trend_t[t] == pytest.approx(np.clip(slope_t, -100, 100), rel=1e-6)
        name = (
            "high_volatility" if rank > 0.9 else "low_volatility" if rank < 0.1
            else ("strong_" if abs(slope_t) > 4 else "") + ("up" if slope_t > 0 else "down") if abs(slope_t) > 2
            else "range"
        )  # fmt: skip
        edge = min(abs(rank - 0.9), abs(rank - 0.1)) < 2 / len(window)
        assert edge or REGIME_NAMES[path.state[t]] == name
        seen.add(int(path.state[t]))
    assert seen == set(range(7))


@pytest.mark.kernel
def test_rank_counts_ninety_days_and_half_of_what_is_equal() -> None:
    times = np.arange(400, dtype=np.int64) * DAY_MS
    rising = volatility_rank(times, np.arange(400.0), DAY_MS)
    assert np.isnan(rising[:89]).all()
    assert rising[89:] == pytest.approx(np.full(311, 89.5 / 90))
    assert volatility_rank(times, np.full(400, 0.01), DAY_MS)[200] == 0.5
    values = np.random.default_rng(1).integers(0, 12, 400).astype(np.float64)
    ranks = volatility_rank(times, values, DAY_MS)
    for t in range(89, 400):
        window = values[t - 89 : t + 1]
        assert ranks[t] == (np.sum(window < values[t]) + 0.5 * np.sum(window == values[t])) / 90


@pytest.mark.kernel
def test_a_rank_needs_half_of_its_ninety_days() -> None:
    times = np.arange(400, dtype=np.int64) * DAY_MS
    values = np.random.default_rng(2).random(400)
    values[150:210] = np.nan
    ranks = volatility_rank(times, values, DAY_MS)
    assert np.isfinite(ranks[149])
    assert np.isnan(ranks[150:210]).all()
    assert np.isnan(ranks[210:254]).all()  # fewer than 45 of 90
    assert np.isfinite(ranks[254:]).all()
    assert np.isnan(volatility_rank(times, np.full(400, np.nan), DAY_MS)).all()


def test_no_state_moves_when_the_future_is_changed_or_cut_away(made: Frame) -> None:
    def compute(frame: Frame, funding: FundingFrame | None) -> Array:
        path = regime_path(frame)
        return np.array([path.state, path.rank, path.trend_t], dtype=np.float64)

    assert audit_features(compute, ["state", "rank", "t"], made, cuts=12) == []


def test_a_rank_over_the_whole_history_would_be_caught(made: Frame) -> None:
    def compute(frame: Frame, funding: FundingFrame | None) -> Array:
        volatility = FeatureEngine(schema_of(FEATURES), "4h").batch(frame)[0]
        order = np.argsort(np.argsort(np.nan_to_num(volatility))) / len(frame)
        return np.array([[state_of(rank, 0.0) for rank in order]], dtype=np.float64)

    assert [leak.name for leak in audit_features(compute, ["state"], made, cuts=6)] == ["state"]


@pytest.mark.parametrize("timeframe", ["4h", "1d"])
def test_bar_by_bar_gives_the_same_to_the_last_bit(timeframe: str, made: Frame) -> None:
    frame = made if timeframe == "4h" else dataclasses.replace(
        made, key=dataclasses.replace(made.key, timeframe="1d"), open_time=made.open_time * 6
    )  # fmt: skip
    values = FeatureEngine(schema_of(FEATURES), timeframe).batch(frame)
    path = regime_path(frame)
    tracker = RegimeTracker(timeframe)
    rows = [tracker.step(int(frame.open_time[t]), *values[:, t]) for t in range(len(frame))]
    assert [state for state, _ in rows] == path.state.tolist()
    assert np.array_equal([rank for _, rank in rows], path.rank, equal_nan=True)
    assert (path.state != UNKNOWN).sum() > 2_000


def test_a_suspect_bar_has_no_state_and_counts_for_nothing(made: Frame) -> None:
    mark = made.mark.copy()
    mark[2_000] = BarMark.SUSPECT
    close = made.close.copy()
    close[2_000] *= 3.0
    path = regime_path(dataclasses.replace(made, mark=mark, close=close))
    without = regime_path(made.take(np.arange(len(made)) != 2_000))
    assert path.state[2_000] == UNKNOWN
    assert np.array_equal(np.delete(path.state, 2_000), without.state)


def test_the_target_is_the_state_four_bars_later_and_nothing_over_a_gap() -> None:
    state = np.array([2, 2, 3, 3, 4, -1, 4, 5, 5, 5], dtype=np.int8)
    times = np.arange(10, dtype=np.int64) * HOUR_MS
    assert regime_ahead(state, times, HOUR_MS).tolist() == [4, -1, 4, 5, 5, -1, -1, -1, -1, -1]
    times[7:] += HOUR_MS
    assert regime_ahead(state, times, HOUR_MS).tolist() == [4, -1, 4, -1, -1, -1, -1, -1, -1, -1]
    assert regime_ahead(state[:3], times[:3], HOUR_MS).tolist() == [-1, -1, -1]


def rows_of(*leads: tuple[int, float]) -> Array:
    p = np.full((len(leads), 7), 0.01)
    for t, (state, lead) in enumerate(leads):
        p[t, 2] = 0.3
        p[t, state] = 0.3 + lead
    return p


@pytest.mark.kernel
def test_a_new_state_must_lead_for_some_bars_or_by_a_margin() -> None:
    flicker = rows_of((2, 0), (3, 0.1), (2, 0), (3, 0.1), (3, 0.1), (3, 0.1), (2, 0))
    assert smoothed_states(flicker, 1, 1.0).tolist() == [2, 3, 2, 3, 3, 3, 2]
    assert smoothed_states(flicker, 2, 1.0).tolist() == [2, 2, 2, 2, 3, 3, 3]
    assert smoothed_states(flicker, 3, 1.0).tolist() == [2, 2, 2, 2, 2, 3, 3]
    assert smoothed_states(flicker, 3, 0.1).tolist()[:2] == [2, 3]
    another = rows_of((2, 0), (3, 0.1), (4, 0.1), (3, 0.1), (4, 0.1))
    assert smoothed_states(another, 2, 1.0).tolist() == [2] * 5  # two leaders in turn: none of them lasts


@pytest.mark.kernel
def test_smoothing_forgets_what_was_held_where_nothing_is_known_and_sees_no_future() -> None:
    p = rows_of((2, 0), (2, 0), (4, 0.1), (4, 0.1))
    p[1] = np.nan
    assert smoothed_states(p, 3, 1.0).tolist() == [2, UNKNOWN, 4, 4]
    generator = np.random.default_rng(4)
    many = generator.dirichlet(np.ones(7), 500)
    whole = smoothed_states(many, 3, 0.3)
    assert all(np.array_equal(smoothed_states(many[: t + 1], 3, 0.3), whole[: t + 1]) for t in (10, 77, 300))
    assert np.mean(np.diff(whole) != 0) < 0.5 * np.mean(np.diff(many.argmax(axis=1)) != 0)


def test_too_little_history_has_no_states(made: Frame) -> None:
    assert (regime_labels(made.slice(0, 500)) == UNKNOWN).all()
    assert len(regime_labels(made.slice(0, 0))) == 0
