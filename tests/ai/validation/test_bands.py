"""Bands hold what they should as often as they say, and decompositions add up; scores against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from sklearn.calibration import calibration_curve

from ai.validation.bands import (
    block_length,
    block_sums,
    calibration_band,
    overlap_factor,
    reliability_bands,
    return_bands,
    score_bands,
)
from ai.validation.scores import (
    Band,
    auc_band,
    auc_within,
    brier,
    brier_parts,
    calibration_error,
    direction_score,
    mean_band,
    reliability,
    score_rows,
    skills,
)

BASE = np.array([0.25, 0.5, 0.25])


def sample(n: int, seed: int = 1, sharpness: float = 1.0, said: float | None = None):
    """Outcomes drawn from what is said; ``said`` overstates it by that power."""
    rng = np.random.default_rng(seed)
    z = sharpness * rng.normal(size=(n, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1) - 1
    if said is not None:
        p = p**said / (p**said).sum(axis=1, keepdims=True)
    return p, np.clip(y, -1, 1).astype(np.int8)


def two_levels():
    """Ten rows by hand: long is said with 20 % (1 of 5 happens) and 60 % (4 of 5 happen), else short."""
    long = np.repeat([0.2, 0.6], 5)
    y = np.array([1, -1, -1, -1, -1, 1, 1, 1, 1, -1], dtype=np.int8)
    return np.column_stack([1.0 - long, np.zeros(10), long]), y


def test_murphys_parts_by_hand() -> None:
    # long: reliability ½(0.2−0.2)² + ½(0.6−0.8)² = 0.02, resolution 2·½·0.3² = 0.09, uncertainty ½·½ = 0.25; so 0.18.
    # short mirrors it, neutral never happens and is never said
    p, y = two_levels()
    parts = brier_parts(p, y)
    assert parts.reliability == pytest.approx(0.04)
    assert parts.resolution == pytest.approx(0.18)
    assert parts.uncertainty == pytest.approx(0.5)
    assert parts.within == pytest.approx(0.0, abs=1e-15)
    assert parts.brier == pytest.approx(0.36) == brier(p, y)
    assert 2.0 * metrics.brier_score_loss(y > 0, p[:, 2]) == pytest.approx(0.36)


@given(st.integers(1, 400), st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_the_parts_add_up_to_the_brier_score_whatever_the_bins(n, seed, bins) -> None:
    p, y = sample(n, seed)
    assert brier_parts(p, y, bins).brier == pytest.approx(brier(p, y))


def test_overstated_probabilities_lose_by_reliability_alone() -> None:
    honest, y = sample(40_000, 3)
    loud, _ = sample(40_000, 3, said=2.0)
    fair, boast = brier_parts(honest, y), brier_parts(loud, y)
    assert fair.reliability < 0.001 < 0.02 < boast.reliability
    assert fair.uncertainty == boast.uncertainty
    assert math.isnan(brier_parts(honest[:0], y[:0]).brier)


def test_losses_and_skills_are_those_of_scikit_learn() -> None:
    p, y = sample(2000, 4)
    onehot, base = np.eye(3)[y + 1], np.tile(BASE, (2000, 1))
    found = skills(p, y, BASE)
    assert found.log_loss == pytest.approx(1.0 - metrics.log_loss(onehot, p) / metrics.log_loss(onehot, base))
    assert found.brier == pytest.approx(1.0 - _brier(p, y) / _brier(base, y))
    assert found == skills(p, y, base)
    assert skills(base, y, BASE).log_loss == 0.0
    assert math.isnan(skills(p[:0], y[:0], BASE).brier)
    sure = np.eye(3)[y + 1]
    assert skills(sure, y, BASE).brier == 1.0 and math.isnan(skills(p, y, sure).brier)


def _brier(p, y) -> float:
    return sum(metrics.brier_score_loss(y == label, p[:, k]) for k, label in enumerate((-1, 0, 1)))


def test_the_reliability_diagram_is_that_of_scikit_learn() -> None:
    p, y = sample(3000, 5)
    for column, label in enumerate((-1, 0, 1)):
        observed, mean = calibration_curve(y == label, p[:, column], n_bins=10)
        ours = [b for b in reliability(p, y) if b.label == label]
        assert [b.mean_p for b in ours] == pytest.approx(mean)
        assert [b.observed for b in ours] == pytest.approx(observed)


def test_reliability_bands_hold_the_share_of_their_bin() -> None:
    p, y = sample(3000, 6)
    found = reliability_bands(p, y, 24, 7, 300)
    assert [bin_ for bin_, _ in found] == reliability(p, y)
    assert all(band.low <= bin_.observed <= band.high for bin_, band in found if bin_.n > 20)
    assert np.mean([band.holds(bin_.mean_p) for bin_, band in found if bin_.n > 20]) > 0.75
    assert reliability_bands(p[:0], y[:0], 24, 7) == []
    lone = np.array([[1.0, 0.0, 0.0]])
    ((_, band), *_) = reliability_bands(lone, np.array([-1], dtype=np.int8), 24, 7, 50)
    assert band == Band(1.0, 1.0)


@pytest.mark.kernel
@pytest.mark.nojit
def test_block_sums_are_sums_of_whole_blocks_and_a_rest() -> None:
    values = np.column_stack([np.arange(7.0), np.ones(7)])
    sums = block_sums(values, 3, 11, 40)
    assert np.all(sums[:, 1] == 7.0)
    starts = np.random.default_rng(11).integers(0, 7, size=(40, 3))
    rows = np.concatenate([starts[:, [0]] + [0, 1, 2], starts[:, [1]] + [0, 1, 2], starts[:, [2]]], axis=1) % 7
    assert sums[:, 0] == pytest.approx(rows.sum(axis=1))
    assert block_sums(values, 100, 11, 5) == pytest.approx(np.tile([21.0, 7.0], (5, 1)))


def test_all_bands_have_the_same_draws() -> None:
    p, y = sample(500, 8)
    bands = score_bands(p, y, BASE, 24, 7, 200)
    values = -np.log(p[np.arange(500), y + 1])
    assert (bands.log_loss.low, bands.log_loss.high) == pytest.approx(
        (mean_band(values, 62, 7, 200).low, mean_band(values, 62, 7, 200).high)  # an eighth of the rows
    )
    assert bands.auc == bands.auc_within == auc_band(direction_score(p), y > 0, y != 0, 62, 7, 200)


def test_every_score_lies_in_its_band() -> None:
    p, y = sample(3000, 9)
    scores, skill = score_rows(p, y, BASE), skills(p, y, BASE)
    bands = score_bands(p, y, BASE, 24, 7, 300)
    for value, band in (
        (scores.log_loss, bands.log_loss), (scores.brier, bands.brier), (skill.log_loss, bands.log_loss_skill),
        (skill.brier, bands.brier_skill), (scores.auc, bands.auc), (scores.auc_touch, bands.auc_touch),
        (scores.ece, bands.ece),
    ):  # fmt: skip
        assert band.holds(value) and band.high > band.low


def overlapping(seed: int, n: int = 600, block: int = 12):
    """Forecasts and outcomes that stay the same for a block of rows, as overlapping labels nearly do."""
    p, y = sample(n // block, seed)
    shift = seed % block
    return np.roll(np.repeat(p, block, axis=0), shift, axis=0), np.roll(np.repeat(y, block), shift)


def test_bands_cover_the_true_skill_of_overlapping_labels() -> None:
    p, y = sample(200_000, 99)
    truth = skills(p, y, BASE)
    held, brier_held = dict.fromkeys((1, 12), 0), 0
    for seed in range(200):
        p, y = overlapping(seed, 1200)
        for label in held:
            bands = score_bands(p, y, BASE, label, seed, 200)
            held[label] += bands.log_loss_skill.holds(truth.log_loss)
        brier_held += bands.brier_skill.holds(truth.brier)
    assert held[1] < 150  # taken for single rows
    assert held[12] >= 180 and brier_held >= 180


def moving_sums(seed: int, n: int = 2400, label: int = 12):
    """Noise whose neighbours share what they are made of, as the labels of neighbouring bars do."""
    sums = np.convolve(np.random.default_rng(seed).normal(size=n + label - 1), np.ones(label), "valid")
    return sums / np.sqrt(label)


def covered(block: int, samples: int = 800) -> tuple[float, float]:
    """How often bands of a mean, and of an AUC of a score that moves slowly, hold what is true: nothing."""
    mean = auc = 0
    use = np.ones(2400, dtype=np.bool_)
    for seed in range(samples):
        score, outcome = moving_sums(2 * seed, label=120), moving_sums(2 * seed + 1)
        mean += mean_band(outcome, block, seed, 200).holds(0.0)
        auc += auc_band(score, outcome > 0.0, use, block, seed, 200).holds(0.5)
    return mean / samples, auc / samples


def test_blocks_of_four_labels_cover_what_they_say_where_blocks_of_one_do_not() -> None:
    # 0.928 and 0.884 of the mean, 0.927 and 0.889 of the AUC in 1,500 samples
    assert block_length(12, 2400) == 48
    assert min(covered(block_length(12, 2400))) > 0.91 > max(covered(12))


def test_blocks_are_shorter_where_there_would_be_fewer_than_eight_and_never_shorter_than_a_label() -> None:
    assert [block_length(24, rows) for rows in (0, 100, 192, 400, 720, 768, 80_000)] == [24, 24, 24, 50, 90, 96, 96]
    assert block_length(1, 3) == block_length(0, 0) == 1


def test_ranks_within_folds_are_scikit_learns_fold_by_fold_with_the_weight_of_their_pairs() -> None:
    rng = np.random.default_rng(31)
    fold, score, up = np.repeat([0, 1, 2], [200, 300, 100]), rng.random(600).round(2), rng.random(600) < 0.5
    score[fold == 1] += 5.0 * up[fold != 1].mean()  # a level of its own: the pooled ranks hang on it
    up[fold == 2] = True  # no pair
    pairs = [int(up[fold == k].sum() * (~up[fold == k]).sum()) for k in (0, 1)]
    areas = [metrics.roc_auc_score(up[fold == k], score[fold == k]) for k in (0, 1)]
    assert auc_within(score, up, fold) == pytest.approx(np.average(areas, weights=pairs), abs=1e-12)
    use = np.ones(600, dtype=np.bool_)
    places = (np.random.default_rng(3).integers(0, 600, size=(40, 30))[:, :, None] + np.arange(20)).reshape(40, -1)
    again = [auc_within(score[r % 600], up[r % 600], fold[r % 600]) for r in places]
    band = auc_band(score, up, use, 20, 3, 40, fold)
    assert [band.low, band.high] == pytest.approx(np.quantile(again, [0.025, 0.975]), abs=1e-12)
    assert auc_band(score, up, use, 20, 3, 40, np.zeros(600, dtype=np.int64)) == auc_band(score, up, use, 20, 3, 40)
    assert math.isnan(auc_within(score[fold == 2], up[fold == 2], fold[fold == 2]))


def test_the_band_of_the_calibration_error_holds_zero_for_true_forecasts_and_overlapping_labels() -> None:
    held = sum(calibration_band(*overlapping(seed, 2400), 12, seed, 200).holds(0.0) for seed in range(150))
    assert held >= 130  # of 143


def test_the_overlap_factor_makes_up_for_what_blocks_miss() -> None:
    assert overlap_factor(1, 1) == overlap_factor(96, 1) == 1.0
    assert overlap_factor(4000, 1000) ** -2 == pytest.approx(11 / 12, abs=1e-6)  # 1 − 1/(3b), four labels long
    for block in (12, 48):
        found = [block_sums(moving_sums(seed)[:, None], block, seed, 300)[:, 0].var() for seed in range(40)]
        assert np.mean(found) * overlap_factor(block, 12) ** 2 == pytest.approx(2400 * 12, rel=0.07)


def test_the_band_of_the_calibration_error_holds_the_true_error_of_overstated_forecasts() -> None:
    p, y = sample(400_000, 98, said=2.0)
    truth = calibration_error(p, y)
    held = 0
    for seed in range(100):
        p, y = sample(1500, seed, said=2.0)
        band = calibration_band(p, y, 1, seed, 200)
        held += band.holds(truth)
        assert band.low > 0.0  # it is never taken for calibrated
    assert held >= 95


def test_return_bands_cover_the_true_mean_and_sharpe_of_returns_with_memory() -> None:
    mean = sharpe = 0
    rng = np.random.default_rng(12)
    for seed in range(200):
        noise = rng.normal(size=1004)
        returns = 0.02 + (noise[4:] + noise[3:-1] + noise[2:-2] + noise[1:-3] + noise[:-4]) * 0.1
        bands = return_bands(returns, 20, seed, 200)
        mean += bands.mean.holds(0.02)
        sharpe += bands.sharpe.holds(0.02 / (0.1 * math.sqrt(5.0)))
    assert mean >= 172 and sharpe >= 172


def test_the_sharpe_of_independent_returns_has_los_width() -> None:
    returns = np.random.default_rng(13).normal(0.05, 1.0, 4000)
    sharpe = returns.mean() / returns.std(ddof=1)
    band = return_bands(returns, 1, 7).sharpe
    width = 2 * 1.96 * math.sqrt((1.0 + sharpe**2 / 2.0) / 4000)  # Lo 2002
    assert band.high - band.low == pytest.approx(width, rel=0.1)
    assert band.holds(sharpe)


def test_return_bands_are_quantiles_of_plain_resamples() -> None:
    returns = np.random.default_rng(14).normal(0.1, 1.0, 9)
    rows = (np.random.default_rng(7).integers(0, 9, size=(500, 3))[:, :, None] + np.arange(3)).reshape(500, 9) % 9
    drawn = returns[rows]
    bands = return_bands(returns, 3, 7, 500)
    sharpe = drawn.mean(axis=1) / drawn.std(axis=1, ddof=1)
    assert [bands.mean.low, bands.mean.high] == pytest.approx(np.quantile(drawn.mean(axis=1), [0.025, 0.975]))
    assert [bands.sharpe.low, bands.sharpe.high] == pytest.approx(np.quantile(sharpe, [0.025, 0.975]))


def test_constant_missing_and_single_returns_have_no_band() -> None:
    flat = return_bands(np.full(100, 0.1), 5, 7, 50)
    assert flat.mean.low == pytest.approx(0.1) and math.isnan(flat.sharpe.low)
    for returns in (np.array([0.1]), np.array([0.1, math.nan, 0.3])):
        assert math.isnan(return_bands(returns, 5, 7, 50).mean.low)


def test_no_rows_or_one_class_give_nan_not_an_error() -> None:
    p, y = sample(50, 1)
    empty = score_bands(p[:0], y[:0], BASE, 5, 7, 50)
    assert math.isnan(empty.brier.low) and math.isnan(empty.ece.high)
    up = np.ones(50, dtype=np.int8)
    one = score_bands(p, up, BASE, 5, 7, 50)
    assert math.isnan(one.auc.low) and math.isfinite(one.log_loss_skill.low)


@given(st.integers(2, 200), st.integers(0, 2**32 - 1))
def test_scores_do_not_depend_on_the_order_of_rows(n, seed) -> None:
    p, y = sample(n, seed)
    order = np.random.default_rng(seed).permutation(n)
    q, z = p[order], y[order]
    one, other = score_rows(p, y, BASE), score_rows(q, z, BASE)
    for name in ("log_loss", "base_log_loss", "brier", "auc", "auc_touch", "ece"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), nan_ok=True)
    assert skills(p, y, BASE).log_loss == pytest.approx(skills(q, z, BASE).log_loss)
    assert brier_parts(p, y).resolution == pytest.approx(brier_parts(q, z).resolution)


def test_the_seed_fixes_the_bands() -> None:
    p, y = sample(400, 2)
    assert score_bands(p, y, BASE, 12, 3, 100) == score_bands(p, y, BASE, 12, 3, 100)
    assert score_bands(p, y, BASE, 12, 3, 100) != score_bands(p, y, BASE, 12, 4, 100)
