"""Conformal sets: the quantile of a reference library, and a coverage that holds when the market changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai.guard import thinned
from ai.guard_coverage import (
    ALPHA,
    COVER,
    ENDED,
    GAMMA,
    MISSED,
    adapt,
    aim,
    conformal_set,
    outside_share,
    quantile,
    ranges,
)  # fmt: skip

ALL = 7.0


def aimed(target: float) -> np.ndarray:
    cover = np.full(COVER, np.nan)
    aim(cover, target)
    return cover


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_the_sets_are_those_of_mapie(coverage) -> None:
    """mapie's SplitConformalClassifier with the LAC score, prefit."""
    from mapie.classification import SplitConformalClassifier
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(11)
    x = rng.normal(size=(900, 2))
    y = np.argmax(x @ rng.normal(size=(2, 3)) + rng.gumbel(size=(900, 3)), axis=1)
    fitted = LogisticRegression().fit(x[:300], y[:300])
    theirs = SplitConformalClassifier(fitted, confidence_level=coverage, conformity_score="lac", prefit=True)
    theirs.conformalize(x[300:607], y[300:607])
    sets = theirs.predict_set(x[607:])[1][:, :, 0]
    held = fitted.predict_proba(x[300:607])[np.arange(307), y[300:607]]
    scores = np.sort(1.0 - held)
    p = fitted.predict_proba(x[607:])
    ours = np.array([[conformal_set(*row, scores, 1.0 - coverage) >> c & 1 for c in range(3)] for row in p])
    assert np.array_equal(ours.astype(bool), sets)


@pytest.mark.kernel
@pytest.mark.nojit
def test_the_ends_of_the_level_hold_everything_or_nothing() -> None:
    scores = np.linspace(0.1, 0.9, 99)
    assert conformal_set(0.001, 0.001, 0.998, scores, 0.0) == 7
    assert conformal_set(0.001, 0.001, 0.998, scores, -0.3) == 7
    assert conformal_set(0.001, 0.001, 0.998, scores, 1.0) == 0
    assert conformal_set(0.2, 0.2, 0.6, scores, 0.5) == 4
    assert conformal_set(0.3, 0.3, 0.4, scores, 0.5) == 0
    assert quantile(scores, 0.005) == np.inf  # the 100th of 99
    assert quantile(scores, 0.5) == scores[49]


def test_kept_scores_never_give_a_lower_quantile_than_all() -> None:
    scores = np.sort(np.random.default_rng(1).random(3217))
    few = thinned(scores, 200)
    assert len(few) == 200
    for alpha in np.linspace(0.01, 0.99, 97):
        assert quantile(scores, alpha) <= quantile(few, alpha) <= quantile(scores, alpha) + 0.02
    assert np.array_equal(thinned(scores[:150], 200), scores[:150])


def shifting(seed: int, bars: int = 6000):
    """Forecasts that are right for 2,000 bars, then overconfident, then much too careful; and what came true."""
    rng = np.random.default_rng(seed)
    said = rng.dirichlet([2.0, 2.0, 2.0], bars)
    power = np.repeat([1.0, 0.25, 3.0], bars // 3)[:, None]
    true = said**power / (said**power).sum(axis=1, keepdims=True)
    came = (rng.random(bars)[:, None] > np.cumsum(true, axis=1)[:, :2]).sum(axis=1)
    return said, came


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_adaptive_sets_keep_their_coverage_through_a_shift_and_fixed_ones_do_not(seed, coverage) -> None:
    said, came = shifting(seed)
    first = 1.0 - said[np.arange(1000), came[:1000]]
    scores = np.sort(first)
    cover, fixed = aimed(1.0 - coverage), []
    covered = []
    for p, y in zip(said[1000:], came[1000:], strict=True):
        bits = conformal_set(*p, scores, cover[ALPHA])
        covered.append(bits >> y & 1)
        fixed.append(conformal_set(*p, scores, 1.0 - coverage) >> y & 1)
        adapt(cover, float(bits), int(y))
    assert abs(np.mean(covered) - coverage) < 0.02
    assert abs(np.mean(covered[1000:3000]) - coverage) < 0.02  # within the overconfident stretch alone
    assert abs(np.mean(fixed[1000:3000]) - coverage) > 0.05
    assert 1.0 - cover[MISSED] / cover[ENDED] == pytest.approx(np.mean(covered))


@given(
    st.floats(0.02, 0.98), st.integers(0, 24), st.integers(0, 2**32 - 1), st.sampled_from(["coin", "runs", "against"]),
    st.integers(1, 1500),
)  # fmt: skip
def test_no_sequence_moves_the_coverage_beyond_the_bound(target, delay, seed, how, labels) -> None:
    """The bound of Gibbs & Candes (2021, proposition 4.1) and, with ``delay`` labels out at once, ours."""
    rng = np.random.default_rng(seed)
    cover, waiting, sets = aimed(target), [], []
    for t in range(labels + delay):
        if t < labels:
            level = cover[ALPHA]
            free = {"coin": rng.random() < 0.5, "runs": (t // 200) % 2 == 0, "against": level >= target}[how]
            missed = bool(level >= 1.0 or (free and level > 0.0))  # beyond the ends the adversary has no choice
            waiting.append(0.0 if missed else ALL)
        if t >= delay:
            sets.append(waiting.pop(0))
            adapt(cover, sets[-1], 1)
    share = sum(bits == 0.0 for bits in sets) / labels
    bound = (max(target, 1.0 - target) + GAMMA * (delay + 1)) / (GAMMA * labels)
    assert abs(share - target) <= bound + 1e-9
    assert -GAMMA * (delay + 1) - 1e-9 <= cover[ALPHA] <= 1.0 + GAMMA * (delay + 1) + 1e-9


@pytest.mark.kernel
@pytest.mark.nojit
def test_the_level_stays_while_the_coverage_asked_for_stays() -> None:
    cover = aimed(0.2)
    adapt(cover, 0.0, 1)
    aim(cover, 0.2)
    assert cover.tolist() == pytest.approx([0.2 + GAMMA * (0.2 - 1.0), 0.2, 1.0, 1.0])
    aim(cover, 0.1)
    assert cover.tolist() == pytest.approx([0.1, 0.1, 0.0, 0.0])
    aim(cover, np.nan)
    adapt(cover, ALL, 1)
    assert np.isnan(cover[ALPHA])


@pytest.mark.kernel
@pytest.mark.nojit
def test_ranges_are_a_quarter_wider_than_nearly_all_that_training_saw() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(5000, 5))
    x[:, 1] = 3.0  # constant
    x[:, 2] = np.nan  # never there
    x[::2, 3] = np.nan  # sometimes there
    lower, upper = ranges(x, np.array([4]))
    low, high = np.quantile(x[:, 0], [0.001, 0.999])
    assert lower[0] == pytest.approx(low - 0.25 * (high - low), rel=1e-6)
    assert np.isfinite(lower[3])
    inside = np.array([0.0, 3.0, np.nan, np.nan, 99.0])
    assert outside_share(inside, lower, upper) == 0.0
    assert outside_share(np.array([9.0, 3.1, 0.0, np.nan, 99.0]), lower, upper) == 3 / 4
    assert outside_share(np.full(5, np.nan), lower, upper) == 0.0
