"""Scores of class probabilities ``P[n, 3]`` (short, neutral, long) against labels ``y[n]`` of −1, 0, +1, with bands.

``auc`` is direction: P(long)/(P(long)+P(short)) on the rows labelled LONG or SHORT. ``auc_touch`` is neutral against
the rest: it measures volatility and is never evidence of an edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.models.base import CLASSES, LONG, NEUTRAL, SHORT, Int8Array
from data.compiled import kernel_allocating
from data.market import Float64Array, Int64Array

BoolArray = npt.NDArray[np.bool_]

BINS = 10
_SMALLEST = 1e-12

NO_EDGE = "no evidence of an edge"
BETTER = "direction is ranked better than chance"


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of one set of rows; NaN where undefined (for example an AUC with one class only)."""

    n: int
    log_loss: float  # nats
    base_log_loss: float  # of the training window's base rates on the same rows
    brier: float  # sum over the classes, 0..2
    auc: float
    auc_within: float  # ranked within each fold alone; ``auc`` where the rows are one fold's
    auc_touch: float
    ece: float  # mean over the classes


@dataclass(frozen=True, slots=True)
class Band:
    """A 95 % band."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether ``value`` lies inside, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Skills:
    """Share of the base rate's loss that is saved: 1 perfect, 0 no better than the base rate, below 0 worse."""

    log_loss: float
    brier: float


@dataclass(frozen=True, slots=True)
class BrierParts:
    """Brier score = reliability − resolution + uncertainty + within, each summed over the classes."""

    reliability: float  # squared distance of what is said from what happens, per bin; 0 is calibrated
    resolution: float  # squared distance of what happens per bin from the base rate; more is better
    uncertainty: float  # of the outcomes themselves: no forecast changes it
    within: float  # what the bins hide; 0 where all forecasts of a bin are the same

    @property
    def brier(self) -> float:
        """The score that they add up to."""
        return self.reliability - self.resolution + self.uncertainty + self.within


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Of the rows whose probability of ``label`` fell into one bin: mean probability and observed share."""

    label: int
    mean_p: float
    observed: float
    n: int


def label_columns(y: Int8Array) -> Int64Array:
    """Column of ``P`` for each label."""
    return y.astype(np.int64) + 1


def log_losses(p: Float64Array, y: Int8Array) -> Float64Array:
    """−ln of the probability given to what happened, per row, in nats."""
    hit = p[np.arange(len(y)), label_columns(y)]
    return np.asarray(-np.log(np.maximum(hit, _SMALLEST)), dtype=np.float64)


def brier(p: Float64Array, y: Int8Array) -> float:
    """Mean squared distance to the one-hot outcome, summed over the classes (Brier 1950)."""
    return float(np.mean(brier_losses(p, y))) if len(y) else np.nan


def brier_losses(p: Float64Array, y: Int8Array) -> Float64Array:
    """Squared distance to the one-hot outcome per row, summed over the classes."""
    target = np.zeros_like(p)
    target[np.arange(len(y)), label_columns(y)] = 1.0
    return np.asarray(np.sum((p - target) ** 2, axis=1), dtype=np.float64)


def skills(p: Float64Array, y: Int8Array, base: Float64Array) -> Skills:
    """Log-loss and Brier skill against base rates ``[3]`` or ``[n, 3]``; NaN where the base rate has no loss."""
    shares = np.broadcast_to(base, p.shape)
    return Skills(
        skill_of(float(log_losses(p, y).sum()), float(log_losses(shares, y).sum())),
        skill_of(float(brier_losses(p, y).sum()), float(brier_losses(shares, y).sum())),
    )


def skill_of(loss: float, base_loss: float) -> float:
    """1 − loss / base loss; NaN where there is nothing to save."""
    return 1.0 - loss / base_loss if base_loss > 0.0 else np.nan


def brier_parts(p: Float64Array, y: Int8Array, bins: int = BINS) -> BrierParts:
    """Decomposition of the Brier score by the bins of the reliability diagram; NaN without rows.

    Source: Murphy 1973, "A new vector partition of the probability score"; the part within the bins: Stephenson,
    Coelho & Jolliffe 2008.
    """
    if not len(y):
        return BrierParts(np.nan, np.nan, np.nan, np.nan)
    parts = np.zeros(4)
    for column, label in enumerate(CLASSES):
        said, hit = p[:, column], (y == label).astype(np.float64)
        place = bin_of(said, bins)
        count = np.maximum(np.bincount(place, minlength=bins), 1)
        mean = np.bincount(place, said, bins) / count
        seen = np.bincount(place, hit, bins) / count
        rate = hit.mean()
        spread = said - mean[place]
        parts += np.array([
            np.mean((mean[place] - seen[place]) ** 2), np.mean((seen[place] - rate) ** 2), rate * (1.0 - rate),
            np.mean(spread**2 - 2.0 * spread * (hit - seen[place])),
        ])  # fmt: skip
    return BrierParts(*(float(v) for v in parts))


def roc_auc(score: Float64Array, positive: BoolArray) -> float:
    """Area under the ROC curve by ranks, ties counted half; NaN with one class only."""
    hits = int(positive.sum())
    misses = len(positive) - hits
    if hits == 0 or misses == 0:
        return np.nan
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    return float((rank[positive].sum() - hits * (hits + 1) / 2.0) / (hits * misses))


def direction_score(p: Float64Array) -> Float64Array:
    """P(long) / (P(long) + P(short)); one half where both are zero."""
    touched = p[:, LONG] + p[:, SHORT]
    return np.where(touched > 0.0, p[:, LONG] / np.where(touched > 0.0, touched, 1.0), 0.5)


def direction_auc(p: Float64Array, y: Int8Array) -> float:
    """ROC-AUC of the direction score on rows labelled LONG or SHORT."""
    touched = y != 0
    return roc_auc(direction_score(p)[touched], y[touched] > 0)


def auc_within(score: Float64Array, positive: BoolArray, part: Int64Array) -> float:
    """Share of the pairs of one part (fold) whose positive row has the higher score, ties counted half.

    Source: Airola et al. 2011, "An experimental comparison of cross-validation techniques for estimating the area
    under the ROC curve". NaN where no part has both classes.
    """
    area = pairs = 0.0
    for each in np.unique(part):
        rows = part == each
        hits = int(positive[rows].sum())
        here = hits * (int(rows.sum()) - hits)
        if here:
            area += here * roc_auc(score[rows], positive[rows])
            pairs += here
    return area / pairs if pairs else np.nan


def touch_auc(p: Float64Array, y: Int8Array) -> float:
    """ROC-AUC of 1 − P(neutral) for "either target is touched"."""
    return roc_auc(1.0 - p[:, NEUTRAL], y != 0)


def bin_of(said: Float64Array, bins: int = BINS) -> Int64Array:
    """Which of ``bins`` equal bins each probability falls into; 1 belongs to the last."""
    return np.minimum((said * bins).astype(np.int64), bins - 1)


def occupied_bins(p: Float64Array, bins: int = BINS) -> Iterator[tuple[int, BoolArray]]:
    """Label and rows of every bin of each class's probability that has any, in the order of the diagram."""
    for column, label in enumerate(CLASSES):
        place = bin_of(p[:, column], bins)
        for b in np.unique(place):
            yield label, place == b


def reliability(p: Float64Array, y: Int8Array, bins: int = BINS) -> list[ReliabilityBin]:
    """Reliability diagram: equal-width bins of each class's probability, empty ones left out."""
    found = []
    for label, rows in occupied_bins(p, bins):
        mean, observed = float(p[rows, CLASSES.index(label)].mean()), float(np.mean(y[rows] == label))
        found.append(ReliabilityBin(label, mean, observed, int(rows.sum())))
    return found


def calibration_error(p: Float64Array, y: Int8Array, bins: int = BINS) -> float:
    """Expected calibration error per class (Naeini et al. 2015), averaged over the classes."""
    if not len(y):
        return np.nan
    return sum(r.n * abs(r.mean_p - r.observed) for r in reliability(p, y, bins)) / (len(y) * len(CLASSES))


def score_rows(p: Float64Array, y: Int8Array, base: Float64Array, part: Int64Array | None = None) -> Scores:
    """All scores; ``base`` is the training window's class shares, ``[3]`` or per row ``[n, 3]``.

    ``part[n]``: fold of each row; all are of one fold by default.
    """
    if not len(y):
        return Scores(0, *[np.nan] * 7)
    shares = np.broadcast_to(base, p.shape)
    auc, touched = direction_auc(p, y), y != 0
    within = auc if part is None else auc_within(direction_score(p)[touched], y[touched] > 0, part[touched])
    return Scores(
        len(y), float(log_losses(p, y).mean()), float(log_losses(shares, y).mean()), brier(p, y),
        auc, within, touch_auc(p, y), calibration_error(p, y),
    )  # fmt: skip


@kernel_allocating
def _bootstrap_aucs(
    rows: Int64Array, part: Int64Array, group: Int64Array, positive: BoolArray, n: int, block: int,
    starts: Int64Array, out: Float64Array,
) -> None:  # fmt: skip
    # rows: places in 0..n of the scored rows, part by part, in ascending score order; group: equal numbers are ties
    times = np.empty(n + 1, dtype=np.int32)  # how often a row is drawn: half the memory of int64 is twice the speed
    for d in range(starts.shape[0]):
        times[:] = 0
        left = n
        for k in range(starts.shape[1]):
            first = starts[d, k]
            last = first + min(block, left)
            left -= block
            times[first] += 1
            if last <= n:
                times[last] -= 1
            else:  # around the end
                times[0] += 1
                times[last - n] -= 1
        for i in range(1, n):
            times[i] += times[i - 1]
        area = pairs = below = hits = 0.0  # below: misses of the part with a lower score
        tie_hits = tie_misses = 0.0
        for i in range(len(rows)):
            if i > 0 and group[i] != group[i - 1]:
                area += tie_hits * (below + tie_misses / 2.0)
                below += tie_misses
                hits += tie_hits
                tie_hits = tie_misses = 0.0
                if part[i] != part[i - 1]:
                    pairs += hits * below
                    below = hits = 0.0
            if positive[i]:
                tie_hits += times[rows[i]]
            else:
                tie_misses += times[rows[i]]
        area += tie_hits * (below + tie_misses / 2.0)
        pairs += (hits + tie_hits) * (below + tie_misses)
        out[d] = area / pairs if pairs > 0.0 else np.nan


def block_starts(n: int, block: int, draws: int, seed: int) -> Int64Array:
    """First rows of the blocks of each draw ``[draws, ⌈n/block⌉]``, for a circular block bootstrap."""
    return np.random.default_rng(seed).integers(0, n, size=(draws, -(-n // block)))


def auc_band(
    score: Float64Array, positive: BoolArray, use: BoolArray, block: int, seed: int, draws: int = 1000,
    part: Int64Array | None = None,
) -> Band:  # fmt: skip
    """95 % band of the AUC on the rows where ``use``, by circular block bootstrap over all rows in time order.

    Blocks of ``block`` rows keep overlapping labels together (Künsch 1989; Politis & Romano 1992). With ``part[n]``
    (fold of each row) it is the band of :func:`auc_within`.
    """
    rows = np.flatnonzero(use)
    if len(rows) == 0 or np.all(positive[rows]) or not np.any(positive[rows]):
        return Band(np.nan, np.nan)
    fold = np.zeros(len(score), dtype=np.int64) if part is None else part
    order = rows[np.lexsort((score[rows], fold[rows]))]
    new = (np.diff(score[order]) != 0.0) | (np.diff(fold[order]) != 0)
    group = np.cumsum(np.append(0, new)).astype(np.int64)
    out = np.empty(draws)
    length = max(1, min(block, len(score)))
    starts = block_starts(len(score), length, draws, seed)
    _bootstrap_aucs(order, fold[order], group, positive[order], len(score), length, starts, out)
    known = out[~np.isnan(out)]
    if not len(known):
        return Band(np.nan, np.nan)
    low, high = np.quantile(known, [0.025, 0.975])
    return Band(float(low), float(high))


def mean_band(values: Float64Array, block: int, seed: int, draws: int = 1000) -> Band:
    """95 % band of the mean of ``values`` in time order, by the same circular block bootstrap."""
    n = len(values)
    if n == 0:
        return Band(np.nan, np.nan)
    length = max(1, min(block, n))
    starts = block_starts(n, length, draws, seed)
    cumulative = np.append(0.0, np.cumsum(np.append(values, values[:length])))
    whole, rest = divmod(n, length)
    totals = (cumulative[starts[:, :whole] + length] - cumulative[starts[:, :whole]]).sum(axis=1)
    if rest:
        totals += cumulative[starts[:, whole] + rest] - cumulative[starts[:, whole]]
    low, high = np.quantile(totals / n, [0.025, 0.975])
    return Band(float(low), float(high))


def verdict(auc: float, band: Band) -> str:
    """What the pooled direction AUC says, in words."""
    if not np.isfinite(auc) or not np.isfinite(band.low):
        return f"{NO_EDGE}: too few rows with a direction"
    text = f"direction AUC {auc:.3f}, 95 % band {band.low:.3f} to {band.high:.3f}"
    if band.holds(0.5):
        return f"{NO_EDGE}: {text} holds 0.5"
    if band.high < 0.5:
        return f"worse than chance: {text} lies below 0.5"
    return f"{BETTER}: {text}; whether it pays is for the result after costs"
