"""The favourable-regime filter: finds a planted edge, leaves noise alone, never learns from the fold it acts on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import f_oneway

from ai.regime import REGIME_NAMES, Regime
from ai.regime_filter import FilterRules, filtered_by_fold, learn_filter
from data.errors import UserError

Array = npt.NDArray[np.float64]
ON = FilterRules(enabled=True)
COST = 0.0006


def trades(
    seed: int, n: int = 1_200, folds: int = 12, edge: float = 0.0
) -> tuple[npt.NDArray[np.int8], Array, npt.NDArray[np.int64]]:
    """Heavy-tailed results, wider in high volatility, ``edge`` in strong up-trends, costs everywhere."""
    generator = np.random.default_rng(seed)
    state = generator.choice(7, n, p=[0.27, 0.05, 0.1, 0.05, 0.28, 0.11, 0.14]).astype(np.int8)
    net = 0.006 * generator.standard_t(4, n) * np.where(state == Regime.HIGH_VOLATILITY, 2.0, 1.0) - COST
    net[state == Regime.STRONG_UP] += edge
    return state, net, np.sort(generator.integers(0, folds, n))


def test_a_planted_regime_with_an_edge_is_found() -> None:
    found = [learn_filter(*trades(seed, edge=0.003), ON) for seed in range(20)]
    assert all(one.allowed[Regime.STRONG_UP] for one in found)
    assert np.mean([not one.allowed[Regime.STRONG_DOWN] for one in found]) > 0.8
    one = found[0]
    record = one.records[Regime.STRONG_UP]
    assert record.drawn == pytest.approx(0.003 - COST, abs=0.001)
    assert one.why.startswith("left out: ")
    assert one.p_value < 0.05


def test_on_noise_nothing_is_filtered_most_of_the_time() -> None:
    found = [learn_filter(*trades(seed), ON) for seed in range(400)]
    assert np.mean([one.allowed.all() for one in found]) > 0.9
    quiet = next(one for one in found if one.allowed.all())
    assert "do not differ beyond chance" in quiet.why


def test_out_of_sample_the_kept_trades_of_a_planted_edge_earn_more() -> None:
    state, net, fold = trades(3, n=3_000, edge=0.003)
    kept = filtered_by_fold(state, net, fold, ON)
    assert kept[fold < ON.least_folds].all()
    assert net[kept].mean() > net.mean() + 0.0003
    assert 0.2 < kept.mean() < 0.9


def test_a_fold_is_filtered_by_the_folds_before_it_alone() -> None:
    state, net, fold = trades(5, n=3_000, edge=0.003)
    kept = filtered_by_fold(state, net, fold, ON)
    for border in (4, 7, 10):
        changed = np.where(fold >= border, -net, net)
        again = filtered_by_fold(state, changed, fold, ON)
        assert np.array_equal(kept[fold <= border], again[fold <= border])
    assert not kept.all()


def test_it_is_off_unless_asked_for() -> None:
    found = learn_filter(*trades(1, edge=0.01), FilterRules())
    assert found.allowed.all()
    assert found.why == "the filter is off"
    assert filtered_by_fold(*trades(1, edge=0.01), FilterRules()).all()


def test_a_regime_with_few_trades_is_not_judged_and_its_mean_is_drawn_to_the_others() -> None:
    state, net, fold = trades(7, edge=0.004)
    rare = np.flatnonzero(state == Regime.DOWN)
    keep = np.ones(len(state), dtype=bool)
    keep[rare[29:]] = False
    net[rare] = -0.05
    found = learn_filter(state[keep], net[keep], fold[keep], ON)
    assert found.records[Regime.DOWN].trades == 29
    assert found.allowed[Regime.DOWN]
    judged = [record for record in found.records if np.isfinite(record.drawn)]
    centre = np.mean([record.drawn for record in judged])
    assert all(abs(r.drawn - centre) < abs(r.mean - centre) + 1e-4 for r in judged)
    assert [record.name for record in found.records] == list(REGIME_NAMES)


def test_trades_of_one_fold_that_go_together_count_less() -> None:
    """Sixty trades of one lucky fold are one piece of evidence."""
    generator = np.random.default_rng(2)
    fold = np.repeat(np.arange(6), 60)
    state = np.tile([Regime.UP, Regime.DOWN], 180).astype(np.int8)
    luck = np.where(state == Regime.UP, np.array([20, -10, 15, -8, 12, -5])[fold] / 1_000, 0.0)
    net = luck + generator.normal(0.0, 0.004, 360)
    alone = learn_filter(state, net, np.arange(360), ON)
    together = learn_filter(state, net, fold, ON)
    assert alone.p_value < 0.05 < together.p_value


def test_the_p_value_is_welchs() -> None:
    generator = np.random.default_rng(9)
    state = np.repeat([0, 2, 4], [40, 60, 80]).astype(np.int8)
    net = generator.normal(0.001, 0.01, 180) * (1.0 + state)
    found = learn_filter(state, net, np.arange(180), ON)
    groups = [net[state == k] for k in (0, 2, 4)]
    assert found.p_value == pytest.approx(f_oneway(*groups, equal_var=False).pvalue, rel=0.02)


def test_too_few_folds_or_regimes_and_unsound_rows() -> None:
    state, net, fold = trades(4, edge=0.01)
    assert "fewer than 3 folds" in learn_filter(state, net, np.minimum(fold, 1), ON).why
    assert "fewer than two regimes" in learn_filter(state[:20], net[:20], np.arange(20), ON).why
    assert "without any spread" in learn_filter(state, np.zeros(len(net)), fold, ON).why
    none = np.empty(0)
    assert learn_filter(none.astype(np.int8), none, none.astype(np.int64), ON).allowed.all()
    assert learn_filter(state, net, fold, ON).keeps(np.array([-1], dtype=np.int8)).tolist() == [True]
    with pytest.raises(UserError, match="finite results"):
        learn_filter(state, np.full(len(net), np.nan), fold, ON)
