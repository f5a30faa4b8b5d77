"""Conformal sets with adaptive coverage, and how far an input lies outside the training.

A set holds every class whose score 1 - p is not above a quantile of the held-back labels' scores 1 - p(true) (LAC;
Sadinsky, Lei & Wasserman 2019). With exchangeable labels it covers the truth as often as asked; markets are not
exchangeable, so the level moves (adaptive conformal inference; Gibbs & Candès 2021): when a label ends,
alpha += GAMMA (target - missed). For every sequence whatever, after T labels of which at most D were out at once when
one was said (0: each label is known before the next is said),

    |share missed - target|  ≤  (max(alpha_1, 1 - alpha_1) + GAMMA (D + 1)) / (GAMMA T)

since alpha never leaves [-GAMMA (D + 1), 1 + GAMMA (D + 1)]: at alpha ≤ 0 the set holds everything, at alpha ≥ 1
nothing. D = 0 is the bound of the paper.
"""

from __future__ import annotations

import math

import numpy as np

from data.compiled import kernel
from data.market import Float64Array, Int64Array

GAMMA = 0.005  # step of alpha per label
SHORT_BIT, NEUTRAL_BIT, LONG_BIT = 1, 2, 4
COVER = 4  # alpha, target of alpha (NaN: no sets), labels ended, of them missed
ALPHA, TARGET, ENDED, MISSED = range(COVER)


@kernel
def quantile(scores: Float64Array, alpha: float) -> float:
    """Rank ⌈(n + 1)(1 - alpha)⌉ of the ascending ``scores[n]``; infinite where there is none or alpha leaves (0, 1)."""
    if alpha >= 1.0:
        return -np.inf
    rank = math.ceil((len(scores) + 1) * (1.0 - alpha) - 1e-9)
    return np.inf if alpha <= 0.0 or rank > len(scores) else float(scores[max(rank, 1) - 1])


@kernel
def conformal_set(short: float, neutral: float, long: float, scores: Float64Array, alpha: float) -> int:
    """Classes that are not ruled out, as bits."""
    limit = quantile(scores, alpha)
    found = SHORT_BIT if 1.0 - short <= limit else 0
    found += NEUTRAL_BIT if 1.0 - neutral <= limit else 0
    return found + (LONG_BIT if 1.0 - long <= limit else 0)


@kernel
def aim(cover: Float64Array, target: float) -> None:
    """Keep the level where the target stays; begin anew where another one (NaN: none) is asked for."""
    same = cover[TARGET] == target or (np.isnan(cover[TARGET]) and np.isnan(target))
    if not same:
        cover[ALPHA], cover[TARGET], cover[ENDED], cover[MISSED] = target, target, 0.0, 0.0


@kernel
def adapt(cover: Float64Array, bits: float, column: int) -> None:
    """A label whose set was ``bits`` (NaN: it had none) ended in ``column``."""
    if np.isnan(bits) or np.isnan(cover[TARGET]):
        return
    missed = 0.0 if (int(bits) >> column) & 1 else 1.0
    cover[ALPHA] += GAMMA * (cover[TARGET] - missed)
    cover[ENDED] += 1.0
    cover[MISSED] += missed


@kernel
def outside_share(inputs: Float64Array, lower: Float64Array, upper: Float64Array) -> float:
    """Share of the present ``inputs[F]`` outside ``lower[F]..upper[F]``; 0 where none is present."""
    present = out = 0
    for f in range(len(inputs)):
        if not np.isnan(inputs[f]):
            present += 1
            if not lower[f] <= inputs[f] <= upper[f]:
                out += 1
    return out / present if present > 0 else 0.0


def ranges(x: Float64Array, free: Int64Array) -> tuple[Float64Array, Float64Array]:
    """Range of each column of the training rows ``x[n, F]``: the inner 99.8 %, a quarter wider on both sides.

    Columns ``free`` (the calendar) have none. A column that never had a value has an empty one: any value is outside.
    """
    lower, upper = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    for f in range(x.shape[1]):
        seen = x[np.isfinite(x[:, f]), f]
        if len(seen):
            low, high = np.quantile(seen, [0.001, 0.999])
            rim = 0.25 * (high - low) + 1e-9 * abs(high)  # a constant stays inside its own rounding
            lower[f], upper[f] = low - rim, high + rim
    lower[free], upper[free] = -np.inf, np.inf
    return lower, upper
