"""95 % bands of every score, by a circular block bootstrap whose blocks are as long as four labels.

Rows stand in the order of time: bands depend on it, the scores themselves do not. Blocks keep overlapping labels
together (Künsch 1989; Politis & Romano 1992). A block is cut at its ends: where every label lasts its full length,
blocks of one label find two thirds of the variance, and a "95 %" band covers about 86 %; blocks of four find eleven
twelfths, and it covers 93 % (decision 0096). :func:`overlap_factor` is what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from ai.models.base import CLASSES, NEUTRAL, Int8Array
from ai.validation.scores import (
    BINS,
    Band,
    ReliabilityBin,
    Scores,
    Skills,
    auc_band,
    bin_of,
    block_starts,
    brier_losses,
    direction_score,
    log_losses,
    occupied_bins,
    reliability,
    score_rows,
    skills,
)
from data.compiled import kernel
from data.market import Float64Array, Int64Array

_UNKNOWN = Band(np.nan, np.nan)
_EDGES = (0.025, 0.975)
LABELS_PER_BLOCK = 4  # longer blocks would be too few of them: a month of hours has seven
LEAST_BLOCKS = 8  # shorter blocks rather than fewer than these, but never shorter than a label


@dataclass(frozen=True, slots=True)
class ScoreBands:
    """Bands of the scores of one set of rows; NaN where a score is undefined."""

    log_loss: Band
    base_log_loss: Band
    brier: Band
    log_loss_skill: Band  # against the base rate; above 0 is better
    brier_skill: Band
    auc: Band
    auc_within: Band
    auc_touch: Band
    ece: Band


def block_length(label: int, rows: int) -> int:
    """Rows of a block where labels last up to ``label`` bars and there are so many ``rows``."""
    return max(label, min(LABELS_PER_BLOCK * label, rows // LEAST_BLOCKS), 1)


@dataclass(frozen=True, slots=True)
class Scored:
    """One forecaster on one set of rows: its scores, what it saves of the base rate's loss, and their bands."""

    scores: Scores
    skills: Skills
    bands: ScoreBands

    @classmethod
    def of(
        cls, p: Float64Array, y: Int8Array, base: Float64Array, label: int, seed: int, draws: int = 1000,
        part: Int64Array | None = None,
    ) -> Self:  # fmt: skip
        """Score class probabilities ``p[n, 3]`` for labels ``y[n]`` against base rates ``[3]`` or ``[n, 3]``.

        ``label``: bars that a label lasts at most; ``part[n]``: fold of each row, all of one by default.
        """
        bands = score_bands(p, y, base, label, seed, draws, part)
        return cls(score_rows(p, y, base, part), skills(p, y, base), bands)

    def as_dict(self) -> dict[str, float | int | None]:
        """Every score with its band as ``NAME_low`` and ``NAME_high``; what is undefined is ``None``."""
        values: dict[str, float | int] = {"n": self.scores.n}
        for name, score, band in self._all():
            values |= {name: score, f"{name}_low": band.low, f"{name}_high": band.high}
        return {name: value if math.isfinite(value) else None for name, value in values.items()}

    def _all(self) -> Iterator[tuple[str, float, Band]]:
        scores, bands = self.scores, self.bands
        yield "log_loss", scores.log_loss, bands.log_loss
        yield "base_log_loss", scores.base_log_loss, bands.base_log_loss
        yield "skill", self.skills.log_loss, bands.log_loss_skill
        yield "brier", scores.brier, bands.brier
        yield "brier_skill", self.skills.brier, bands.brier_skill
        yield "auc", scores.auc, bands.auc
        yield "auc_within", scores.auc_within, bands.auc_within
        yield "auc_touch", scores.auc_touch, bands.auc_touch
        yield "ece", scores.ece, bands.ece


@dataclass(frozen=True, slots=True)
class ReturnBands:
    """Bands of a series of returns, per observation."""

    mean: Band
    sharpe: Band  # ddof 1, not annualised


def block_sums(values: Float64Array, block: int, seed: int, draws: int = 1000) -> Float64Array:
    """Column sums of resamples of ``values[n, K]``, ``[draws, K]``; the draws are those of the other bands."""
    n = len(values)
    length = max(1, min(block, n))
    around = np.concatenate([values, values[:length]])
    cumulative = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(around, axis=0)])
    out = np.zeros((draws, values.shape[1]))
    _add_blocks(cumulative, block_starts(n, length, draws, seed), length, n, out)
    return out


@kernel
def _add_blocks(cumulative: Float64Array, starts: Int64Array, block: int, n: int, out: Float64Array) -> None:
    for d in range(starts.shape[0]):
        left = n
        for k in range(starts.shape[1]):
            first = starts[d, k]
            last = first + min(block, left)
            for j in range(out.shape[1]):
                out[d, j] += cumulative[last, j] - cumulative[first, j]
            left -= block


def score_bands(
    p: Float64Array, y: Int8Array, base: Float64Array, label: int, seed: int, draws: int = 1000,
    part: Int64Array | None = None,
) -> ScoreBands:  # fmt: skip
    """Bands of class probabilities ``p[n, 3]`` for labels ``y[n]`` against base rates ``[3]`` or ``[n, 3]``.

    ``label``: length of a label in rows; ``part[n]``: fold of each row, all of one by default.
    """
    if not len(y):
        return ScoreBands(*[_UNKNOWN] * 9)
    block = block_length(label, len(y))
    shares = np.broadcast_to(base, p.shape)
    losses = np.column_stack([log_losses(p, y), log_losses(shares, y), brier_losses(p, y), brier_losses(shares, y)])
    drawn = block_sums(losses, block, seed, draws)
    side, up, touched = direction_score(p), y > 0, y != 0
    pooled = auc_band(side, up, touched, block, seed, draws)
    return ScoreBands(
        band_of(drawn[:, 0] / len(y)), band_of(drawn[:, 1] / len(y)), band_of(drawn[:, 2] / len(y)),
        band_of(_skill(drawn[:, 0], drawn[:, 1])), band_of(_skill(drawn[:, 2], drawn[:, 3])),
        pooled, pooled if part is None else auc_band(side, up, touched, block, seed, draws, part),
        auc_band(1.0 - p[:, NEUTRAL], touched, np.ones(len(y), dtype=np.bool_), block, seed, draws),
        calibration_band(p, y, label, seed, draws),
    )  # fmt: skip


def calibration_band(p: Float64Array, y: Int8Array, label: int, seed: int, draws: int = 1000) -> Band:
    """Band of the expected calibration error: the measured one ± how far chance alone moves it.

    Resampled errors lie above the measured one, as that lies above the true one (all are sums of absolute values), so
    their quantiles would never hold zero. By the triangle inequality the true error is within Σ|chance| of the
    measured one; that sum is drawn from the gaps' own deviations, widened by :func:`overlap_factor`: a sum of so many
    hardly varies, and with a scale that is a fifth too small it held the truth not 86 but 45 times in a hundred.
    """
    if not len(y):
        return _UNKNOWN
    block = block_length(label, len(y))
    gaps = np.concatenate([_by_bin(p[:, c], p[:, c] - (y == label)) for c, label in enumerate(CLASSES)], axis=1)
    total = gaps.sum(axis=0)
    rows = len(y) * len(CLASSES)
    error = float(np.abs(total).sum()) / rows
    chance = np.abs(block_sums(gaps, block, seed, draws) - total).sum(axis=1) / rows
    reach = overlap_factor(block, label) * float(np.quantile(chance, 0.95))
    return Band(max(error - reach, 0.0), error + reach)


def overlap_factor(block: int, label: int) -> float:
    """What a deviation drawn by blocks of ``block`` rows is short of, where every label lasts ``label`` rows.

    Such rows correlate by 1 − k/L at a distance of k < L rows; blocks of B ≥ L rows count that with weight 1 − k/B
    once more and find 1 − (L² − 1)/(3LB) of the variance: for B = bL nearly 1 − 1/(3b).
    """
    length = max(label, 1)
    return 1.0 / math.sqrt(1.0 - (length**2 - 1) / (3.0 * length * max(block, length)))


def reliability_bands(
    p: Float64Array, y: Int8Array, label: int, seed: int, draws: int = 1000
) -> list[tuple[ReliabilityBin, Band]]:
    """The reliability diagram with a band of the share observed in each bin; labels last up to ``label`` rows."""
    found = reliability(p, y)
    if not found:
        return []
    columns = [part for side, inside in occupied_bins(p) for part in (inside & (y == side), inside)]
    drawn = block_sums(np.column_stack(columns).astype(np.float64), block_length(label, len(y)), seed, draws)
    hits, counts = drawn[:, 0::2], drawn[:, 1::2]
    share = np.divide(hits, counts, out=np.full(hits.shape, np.nan), where=counts > 0.0)
    return [(bin_, band_of(share[:, k])) for k, bin_ in enumerate(found)]


def return_bands(returns: Float64Array, block: int, seed: int, draws: int = 1000) -> ReturnBands:
    """Bands of the mean and the Sharpe ratio of ``returns[n]``; NaN for fewer than two or a missing one."""
    n = len(returns)
    if n < 2 or not np.all(np.isfinite(returns)):
        return ReturnBands(_UNKNOWN, _UNKNOWN)
    centre = float(returns.mean())
    spread = returns - centre  # squares of returns far from zero would lose their digits
    drawn = block_sums(np.column_stack([spread, spread**2]), block, seed, draws) / n
    variance = np.maximum(drawn[:, 1] - drawn[:, 0] ** 2, 0.0) * n / (n - 1)
    mean = centre + drawn[:, 0]
    flat = variance <= 1e-24 * mean**2
    sharpe = np.where(flat, np.nan, mean / np.sqrt(np.where(flat, 1.0, variance)))
    return ReturnBands(band_of(mean), band_of(sharpe))


def band_of(draws: Float64Array) -> Band:
    """The middle 95 % of ``draws``, those that are NaN left out; NaN if all are."""
    known = draws[~np.isnan(draws)]
    if not len(known):
        return _UNKNOWN
    low, high = np.quantile(known, _EDGES)
    return Band(float(low), float(high))


def _skill(loss: Float64Array, base: Float64Array) -> Float64Array:
    saved = np.divide(loss, base, out=np.full(loss.shape, np.nan), where=base > 0.0)
    return np.asarray(1.0 - saved, dtype=np.float64)


def _by_bin(said: Float64Array, values: Float64Array) -> Float64Array:
    out = np.zeros((len(said), BINS))
    out[np.arange(len(said)), bin_of(said)] = values
    return out
