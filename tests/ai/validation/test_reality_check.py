"""Tests of the best of many against arch, against simulation, and at their edges."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from ai.validation.reality_check import (
    better_configurations,
    long_run_variance,
    reality_check,
    stationary_rows,
    superior_ability,
)
from data.errors import UserError
from tests.ai.validation.recorded import cases

ANSWERS = json.loads(Path(cases.__file__).with_name("answers.json").read_text(encoding="utf-8"))["superiority"]
EACH = range(len(cases.EDGES))
DRAWS = 8_000
NEAR = 0.012  # three standard errors of a share near 0.1 between 8,000 and arch's 20,000 draws


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("number", EACH)
def test_the_long_run_variance_is_that_of_arch(number) -> None:
    gains = cases.gains(cases.EDGES[number])
    assert long_run_variance(gains, cases.BLOCK) == pytest.approx(np.array(ANSWERS[number]["variance"]), rel=1e-10)


@pytest.mark.parametrize("number", EACH)
def test_the_reality_check_is_archs_upper_p_value(number) -> None:
    found = reality_check(cases.gains(cases.EDGES[number]), cases.BLOCK, rng(), DRAWS)
    assert found == pytest.approx(ANSWERS[number]["plain"][2], abs=NEAR)


@pytest.mark.parametrize("number", EACH)
def test_superior_ability_has_archs_three_p_values(number) -> None:
    found = superior_ability(cases.gains(cases.EDGES[number]), cases.BLOCK, rng(), DRAWS)
    assert (found.lower, found.consistent, found.upper) == pytest.approx(ANSWERS[number]["studentised"], abs=NEAR)
    assert found.lower <= found.consistent <= found.upper


@pytest.mark.parametrize("number", EACH)
def test_the_configurations_named_are_those_of_arch(number) -> None:
    found = better_configurations(cases.gains(cases.EDGES[number]), cases.BLOCK, rng(), DRAWS)
    assert found.tolist() == ANSWERS[number]["better"]


def test_bootstrap_rows_run_on_in_blocks_of_geometric_length() -> None:
    rows = stationary_rows(500, 10.0, 400, rng())
    assert rows.shape == (400, 500) and rows.min() == 0 and rows.max() == 499
    follows = np.mean((np.diff(rows, axis=1) - 1) % 500 == 0)
    assert follows == pytest.approx(0.9, abs=0.005)  # one in ten begins anew
    assert np.bincount(rows.ravel(), minlength=500).std() < 0.15 * 400  # every row as often
    single = stationary_rows(4, 1.0, 20_000, rng())
    assert np.bincount(single.ravel()) / single.size == pytest.approx(np.full(4, 0.25), abs=0.01)


def test_the_variance_of_bootstrapped_means_is_the_long_run_variance() -> None:
    gains = cases.gains(0.0)[:, :3]
    means = gains[stationary_rows(len(gains), cases.BLOCK, 4_000, rng())].mean(axis=1)
    assert len(gains) * means.var(axis=0) == pytest.approx(long_run_variance(gains, cases.BLOCK), rel=0.08)


def test_without_any_edge_the_tests_reject_about_as_often_as_their_level() -> None:
    plain, studentised, named = [], [], 0
    for seed in range(200):
        gains = rng(1000 + seed).normal(size=(120, 15))
        plain.append(reality_check(gains, 2.0, rng(seed), 200))
        studentised.append(superior_ability(gains, 2.0, rng(seed), 200).consistent)
        named += len(better_configurations(gains, 2.0, rng(seed), 200)) > 0
    for rejections in (np.sum(np.array(plain) < 0.1), np.sum(np.array(studentised) < 0.1)):
        assert 8 <= rejections <= 36  # 20 expected; a short sample rejects a little more often
    assert named <= 24


def test_a_planted_edge_is_found_and_named_among_poor_configurations() -> None:
    gains = rng(3).normal(size=(600, 40))
    gains[:, 20:] -= 0.5
    gains[:, 11] += 0.25
    found = superior_ability(gains, 3.0, rng(), 500)
    assert found.consistent < 0.01 and found.best == 11
    assert better_configurations(gains, 3.0, rng(), 500).tolist() == [11]


def test_poor_and_noisy_configurations_do_not_hide_a_good_one_from_hansen() -> None:
    gains = rng(4).normal(size=(400, 30))
    gains[:, 0] += 0.17
    gains[:, 1:] *= 8.0
    gains[:, 1:] -= 4.0
    assert superior_ability(gains, 1.0, rng(), 1000).consistent < 0.01
    assert reality_check(gains, 1.0, rng(), 1000) > 0.5


def test_one_trial_is_a_plain_test_of_its_mean() -> None:
    gains = rng(5).normal(0.1, 1.0, size=(400, 1))
    t = gains.mean() / (gains.std() / 20.0)
    p = 0.5 * math.erfc(t / math.sqrt(2.0))
    assert superior_ability(gains, 1.0, rng(), 4_000).consistent == pytest.approx(p, abs=0.01)
    assert reality_check(gains, 1.0, rng(), 4_000) == pytest.approx(p, abs=0.01)


def test_nothing_better_than_the_benchmark_has_a_p_value_of_one() -> None:
    gains = rng(6).normal(-0.4, 1.0, size=(300, 4))
    found = superior_ability(gains, 2.0, rng(), 300)
    assert (found.statistic, found.consistent, found.upper) == (0.0, 1.0, 1.0)
    assert not len(better_configurations(gains, 2.0, rng(), 300))


def test_constant_gains_take_no_part_and_missing_ones_make_the_answer_unknown() -> None:
    gains = rng(7).normal(size=(300, 3))
    flat = np.column_stack([np.zeros(300), np.full(300, 0.1), gains])
    assert reality_check(flat, 2.0, rng(), 300) == reality_check(gains, 2.0, rng(), 300)
    best = superior_ability(gains, 2.0, rng(), 300).best
    assert best is not None and superior_ability(flat, 2.0, rng(), 300).best == best + 2
    assert math.isnan(reality_check(np.zeros((300, 2)), 2.0, rng()))
    broken = gains.copy()
    broken[4, 1] = math.nan
    assert math.isnan(reality_check(broken, 2.0, rng()))
    assert math.isnan(superior_ability(broken, 2.0, rng()).consistent)
    assert superior_ability(broken, 2.0, rng()).best is None
    assert not len(better_configurations(broken, 2.0, rng()))


def test_the_seed_decides_and_columns_may_stand_in_any_order() -> None:
    gains = cases.gains(0.16)
    assert superior_ability(gains, 5.0, rng(2)) == superior_ability(gains, 5.0, rng(2))
    assert reality_check(gains, 5.0, rng(2)) != reality_check(gains, 5.0, rng(3))
    assert reality_check(gains[:, ::-1], 5.0, rng(2)) == reality_check(gains, 5.0, rng(2))


def test_batches_of_draws_give_all_of_them(monkeypatch) -> None:
    monkeypatch.setattr("ai.validation.reality_check._BATCH", 4_000)  # ten draws at a time
    assert reality_check(cases.gains(0.0), 5.0, rng(), 1_003) == pytest.approx(0.2458, abs=0.05)


@pytest.mark.parametrize(
    ("shape", "block", "draws", "said"),
    [((2, 3), 1.0, 10, "three periods"), ((9,), 1.0, 10, "table"), ((9, 2), 0.5, 10, "from 1 to 9"),
     ((9, 2), 10.0, 10, "does not fit"), ((9, 2), 2.0, 0, "draws")],
)  # fmt: skip
def test_impossible_tables_blocks_and_draws_are_refused(shape, block, draws, said) -> None:
    with pytest.raises(UserError, match=said):
        reality_check(np.ones(shape), block, rng(), draws)
