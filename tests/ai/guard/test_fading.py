"""A member that is worse than knowing nothing falls silent, where the weights alone would keep it, and comes back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ai.guard_weights import FIXED_SHARE, QUIET, heard, learn, remember, voice_of

LIFE = 10
BASE = np.array([0.3, 0.4, 0.3])
BAD = (3000, 6000)  # bars in which the first member has decayed
BARS = 9000


def overlapping(rng, bars):
    """Standard normal numbers of which neighbours share nine tenths, as labels of ten bars do."""
    return np.convolve(rng.normal(size=bars + LIFE - 1), np.ones(LIFE) / np.sqrt(LIFE), "valid")


def history(how: str, seed: int, bars: int = BARS):
    """Weights as heard and by Hedge alone, ``[bars, 3]`` each: three members, of which the first decays for a while."""
    rng = np.random.default_rng(seed)
    long = np.clip(0.3 + 0.1 * overlapping(rng, bars), 0.05, 0.55)
    true = np.column_stack([0.6 - long, np.full(bars, 0.4), long])
    came = (norm.cdf(overlapping(rng, bars))[:, None] > np.cumsum(true, axis=1)[:, :2]).sum(axis=1)
    weights, alone, record = np.full(3, 1 / 3), np.full(3, 1 / 3), np.zeros((3, 5))
    said = np.ones((bars, 3, 4))
    spoken, hedge, out = np.empty((bars, 3)), np.empty((bars, 3)), np.empty((3, 2))
    for t in range(bars):
        p = true[t] * np.exp(0.1 * rng.normal(size=(3, 3)))
        said[t, :, :3] = p / p.sum(axis=1, keepdims=True)
        if BAD[0] <= t < BAD[1] and how == "inverted":
            said[t, 0, :3] = said[t, 0, [2, 1, 0]]
        if BAD[0] <= t < BAD[1] and how == "noise":
            p = BASE * np.exp(rng.normal(size=3))
            said[t, 0, :3] = p / p.sum()
        heard(weights, record, np.arange(3), out)
        said[t, :, 3], spoken[t], hedge[t] = out[:, 0], out[:, 1], alone
        if t >= LIFE:
            then, column = said[t - LIFE], int(came[t - LIFE])
            learn(weights, then, column, LIFE, FIXED_SHARE)
            learn(alone, np.column_stack([then[:, :3], np.ones(3)]), column, LIFE, FIXED_SHARE)
            remember(record, then, BASE[column], column, LIFE)
    return spoken, hedge


@pytest.mark.parametrize("how", ["inverted", "noise"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_member_that_decays_halfway_is_silent_within_200_independent_labels_and_returns(how, seed) -> None:
    spoken, hedge = history(how, seed)
    late = slice(BAD[0] + 200 * LIFE, BAD[1])
    assert spoken[: BAD[0], 0].mean() > 0.2
    assert spoken[late, 0].max() < 0.01
    assert hedge[late, 0].mean() > 0.02  # the weights alone keep on giving it the fixed share
    assert spoken[BAD[1] + 250 * LIFE :, 0].mean() > 0.2
    assert np.allclose(spoken.sum(axis=1), 1.0)


def test_sound_members_are_hardly_ever_faded() -> None:
    spoken, hedge = history("never", 5)
    assert np.mean(np.abs(spoken - hedge).max(axis=1) > 0.05) < 0.05


def kept(excess: float, spread: float, labels: float) -> np.ndarray:
    """A record of so many independent labels with that mean and deviation."""
    n = labels * LIFE
    return np.array([n, n, n * LIFE, n * excess, n * (spread**2 + excess**2)])


@pytest.mark.nojit
def test_the_voice_falls_from_two_to_three_standard_errors() -> None:
    assert [voice_of(kept(z * 0.4 / 10.0, 0.4, 100.0)) for z in (-3.0, 0.0, 1.9)] == [1.0, 1.0, 1.0]
    assert voice_of(kept(2.5 * 0.04, 0.4, 100.0)) == pytest.approx(0.5)
    assert voice_of(kept(3.1 * 0.04, 0.4, 100.0)) == QUIET
    assert voice_of(kept(0.4, 0.4, 19.0)) == 1.0  # too few labels to judge
    assert voice_of(np.zeros(5)) == 1.0


@pytest.mark.nojit
def test_when_all_have_decayed_they_stand_to_each_other_as_before() -> None:
    weights, out = np.array([0.5, 0.3, 0.2]), np.empty((3, 2))
    heard(weights, np.tile(kept(1.0, 0.1, 100.0), (3, 1)), np.arange(3), out)
    assert out[:, 1].tolist() == pytest.approx([0.5, 0.3, 0.2])
    assert out[:, 0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.nojit
def test_what_was_not_heard_moves_no_weight() -> None:
    weights = np.array([0.6, 0.4])
    learn(weights, np.array([[0.9, 0.05, 0.05, 1.0], [0.01, 0.9, 0.09, QUIET]]), 0, 1, 0.0)
    assert weights.tolist() == pytest.approx([0.6, 0.4], abs=3e-3)
