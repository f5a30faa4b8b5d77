"""Are the forecasts made since the model's switch as good as announced, and how large to trade while they are not.

A forecast p announces its own log loss: its entropy H(p). If it is calibrated, -ln p(outcome) - H(p) has mean zero and
the variance Σ p (ln p)² - H², whatever the market is like (as Spiegelhalter 1986 tests the Brier score). The mean of
that difference, *how much more surprising the market was than announced*, is compared with the same mean on the
held-back labels. The raw log loss would not do: it rises when all outcomes become equally likely, which is the market's
doing and no fault of the forecast. Both are shown.

Every label counts alike, as in the folds' scores (weights of 1/life would favour touches, which end early, and the mean
of a calibrated forecast would not be zero); N labels that live m bars on average amount to N/m independent ones.
*Worse beyond its error* holds whenever one looks: the limit is the one-sided normal mixture boundary (Robbins 1970;
Howard, Ramdas, McAuliffe & Sekhon 2021), which a calibrated forecast ever crosses with a chance of at most LEVEL (for
sums that are nearly normal), joined in quadrature with the held-back mean's own one-sided error. Beyond it,

    size = max(SMALLEST, limit / excess)

so the size falls continuously from 1, is a half where the excess is twice what chance allows, and grows again as the
excess is worn down by better labels or a new model begins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ai.guard_coverage import ALPHA, ENDED, MISSED, TARGET
from ai.guard_weights import FLOOR
from data.compiled import kernel
from data.market import Float64Array

if TYPE_CHECKING:
    from ai.guard import Guard

LEVEL = 0.05
ONE_SIDED = 1.6448536269514722  # standard normal quantile of 95 %
SMALLEST = 0.25
MIN_LABELS = 20.0  # independent labels before the size can fall
TUNED_TO = 25.0  # independent labels at which the boundary is tightest
BINS = 10

LIVE = 7
MODEL, SINCE, LABELS, LIVES, LOSS, SURPRISE, VARIANCE = range(LIVE)
"""Model, its first bar, labels ended; sums over them of their lives, log loss, log loss - entropy, its variance."""


@kernel
def begin(live: Float64Array, bins: Float64Array, model: int, bar: int) -> None:
    """Another model takes over at ``bar``: nothing of it has come true yet."""
    live[:] = 0.0
    live[MODEL], live[SINCE] = model, bar
    bins[:] = 0.0


@kernel
def count(live: Float64Array, bins: Float64Array, told: Float64Array, column: int, life: int) -> None:
    """A label ended in ``column`` after ``life`` bars; ``told`` begins with the ensemble's probabilities ``[3]``."""
    entropy = square = 0.0
    for c in range(3):
        p = told[c]
        log = math.log(max(p, FLOOR))
        entropy -= p * log
        square += p * log * log
        b = min(int(p * BINS), BINS - 1)
        bins[c, b, 0] += 1.0
        bins[c, b, 1] += p
        bins[c, b, 2] += 1.0 if c == column else 0.0
    loss = -math.log(max(told[column], FLOOR))
    live[LABELS] += 1.0
    live[LIVES] += life
    live[LOSS] += loss
    live[SURPRISE] += loss - entropy
    live[VARIANCE] += max(square - entropy * entropy, 0.0)


@kernel
def effective(live: Float64Array) -> float:
    """Independent labels that those which ended amount to."""
    return float(live[LABELS] * live[LABELS] / live[LIVES]) if live[LIVES] > 0.0 else 0.0


@kernel
def limit_of(live: Float64Array, variance: float, error: float) -> float:
    """How far the mean surprise may lie above the held-back one.

    Args:
        variance: of one held-back label.
        error: standard error of the held-back mean.
    """
    n = effective(live)
    rho = TUNED_TO * variance + 1e-12
    total = n * live[VARIANCE] / live[LABELS] + rho
    boundary = math.sqrt(2.0 * total * math.log(math.sqrt(total / rho) / (2.0 * LEVEL) + 1.0)) / n
    return float(math.sqrt(boundary * boundary + ONE_SIDED * error * ONE_SIDED * error))


@kernel
def size_factor(live: Float64Array, gap: float, variance: float, error: float) -> float:
    """Factor of the position's size, SMALLEST to 1; ``gap`` is the held-back mean surprise."""
    if effective(live) < MIN_LABELS:
        return 1.0
    excess = live[SURPRISE] / live[LABELS] - max(gap, 0.0)
    limit = limit_of(live, variance, error)
    return 1.0 if excess <= limit else max(SMALLEST, limit / excess)


@dataclass(frozen=True, slots=True)
class LiveRecord:
    """What became of the active model's forecasts; ``None`` where nothing is known yet. Log losses in nats."""

    model_id: str
    labels: int  # ended since the switch
    effective: float  # independent labels they amount to
    log_loss: float | None
    expected_log_loss: float | None  # what the forecasts themselves announced, and the held-back gap
    expected_error: float | None  # beyond which, above it, the size falls
    held_back_log_loss: float | None
    held_back_error: float | None  # one standard error
    calibration_error: float | None
    size: float  # factor of the position's size in force
    alpha: float | None  # of the conformal sets, adapted
    target_coverage: float | None
    coverage: float | None  # share of labels that their sets held
    set_labels: int  # labels that count in it
    weights: dict[str, float]  # as heard, sum 1
    faded: dict[str, float]  # members worse than the base rate: their voice, 0..1


def live_record(
    model_id: str, guard: Guard | None, live: Float64Array, bins: Float64Array, cover: Float64Array,
    weights: dict[str, float], faded: dict[str, float],
) -> LiveRecord:  # fmt: skip
    """Read the loop's sums."""
    n, held = float(live[LABELS]), None if guard is None else guard.held
    gap = 0.0 if held is None else max(held.gap, 0.0)
    loss = float(live[LOSS]) / n if n > 0.0 else None
    expected = float(live[LOSS] - live[SURPRISE]) / n + gap if n > 0.0 else None
    error = float(limit_of(live, held.variance, held.gap_error)) if n > 0.0 and held is not None else None
    shrinks = guard is not None and guard.shrink_when_worse
    size = 1.0 if held is None or not shrinks else size_factor(live, held.gap, held.variance, held.gap_error)
    sets = not np.isnan(cover[TARGET])
    ended = int(cover[ENDED]) if sets else 0
    return LiveRecord(
        model_id, int(n), float(effective(live)), loss, expected, error,
        None if held is None else held.log_loss, None if held is None else held.log_loss_error,
        calibration_error(bins), float(size), float(cover[ALPHA]) if sets else None,
        1.0 - float(cover[TARGET]) if sets else None,
        1.0 - float(cover[MISSED]) / ended if ended else None, ended, weights, faded,
    )  # fmt: skip


def calibration_error(bins: Float64Array) -> float | None:
    """Expected calibration error over the classes from ``bins[3, BINS, 3]``, as in :mod:`ai.validation.scores`."""
    labels = float(bins[0, :, 0].sum())
    return None if labels == 0.0 else float(np.abs(bins[:, :, 1] - bins[:, :, 2]).sum() / (3.0 * labels))


def warm() -> None:
    """Compile what is called from outside kernels."""
    live = np.ones(LIVE)
    effective(live)
    limit_of(live, 1.0, 1.0)
    size_factor(live, 0.0, 1.0, 1.0)
