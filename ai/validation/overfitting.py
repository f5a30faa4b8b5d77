"""How much of a good result is luck of the search: probabilistic and deflated Sharpe, probability of overfitting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist

import numpy as np

from data.market import Float64Array

_NORMAL = NormalDist()
EULER_GAMMA = 0.5772156649015329
_FLAT = 1e-12  # a standard deviation below this share of the mean is rounding: the returns are constant


def probabilistic_sharpe(sharpe: float, benchmark: float, n: int, skew: float = 0.0, kurtosis: float = 3.0) -> float:
    """Probability that the true Sharpe exceeds ``benchmark``.

    ``sharpe`` and ``benchmark`` are per observation (not annualised), ``n`` the number of returns, ``kurtosis`` not in
    excess. NaN when it cannot be said. Source: Bailey & López de Prado 2012, "The Sharpe Ratio Efficient Frontier".
    """
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if n < 2 or not math.isfinite(sharpe) or not variance > 0.0:
        return math.nan
    return _NORMAL.cdf((sharpe - benchmark) * math.sqrt(n - 1) / math.sqrt(variance))


def minimum_track_record(
    sharpe: float, benchmark: float = 0.0, skew: float = 0.0, kurtosis: float = 3.0, confidence: float = 0.95
) -> float:
    """Number of returns from which on :func:`probabilistic_sharpe` reaches ``confidence``.

    Everything per observation as there; the result is in observations and not rounded. Infinite where ``sharpe`` is
    not above ``benchmark``, NaN when it cannot be said. Source: Bailey & López de Prado 2012, equation 11.
    """
    variance = 1.0 - skew * sharpe + (kurtosis - 1.0) / 4.0 * sharpe**2
    if not math.isfinite(sharpe) or not math.isfinite(benchmark) or not variance > 0.0 or not 0.5 <= confidence < 1.0:
        return math.nan
    if sharpe <= benchmark:
        return math.inf
    return 1.0 + variance * (_NORMAL.inv_cdf(confidence) / (sharpe - benchmark)) ** 2


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Expected maximum of ``trials`` Sharpe ratios whose true value is 0 and whose variance is ``variance``.

    Zero for one trial (nothing was chosen), NaN for a variance that is negative or unknown.
    Source: Bailey & López de Prado 2014, equation 1.
    """
    if not variance >= 0.0:
        return math.nan
    if trials < 2:
        return 0.0
    high = _NORMAL.inv_cdf(1.0 - 1.0 / trials)
    higher = _NORMAL.inv_cdf(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(variance) * ((1.0 - EULER_GAMMA) * high + EULER_GAMMA * higher)


def deflated_sharpe(
    sharpe: float, n: int, trials: int, variance: float, skew: float = 0.0, kurtosis: float = 3.0
) -> float:
    """Probability that the Sharpe of the best of ``trials`` configurations is above what luck alone would give.

    ``variance`` is that of the per-observation Sharpe ratios over every configuration tried, failed ones too.
    Source: Bailey & López de Prado 2014, "The Deflated Sharpe Ratio".
    """
    return probabilistic_sharpe(sharpe, expected_best_sharpe(trials, variance), n, skew, kurtosis)


def sharpe_moments(returns: Float64Array) -> tuple[float, float, float]:
    """Per-observation Sharpe (ddof 1), skewness and kurtosis (not in excess) of ``returns[n]``; NaN if undefined."""
    if len(returns) < 2:
        return math.nan, math.nan, math.nan
    mean = float(returns.mean())
    spread = returns - mean
    m2 = float(np.mean(spread**2))
    if not math.sqrt(m2) > _FLAT * abs(mean):
        return math.nan, math.nan, math.nan
    sharpe = float(mean / returns.std(ddof=1))
    return sharpe, float(np.mean(spread**3)) / m2**1.5, float(np.mean(spread**4)) / m2**2


@dataclass(frozen=True, slots=True, eq=False)
class Overfitting:
    """What combinatorially symmetric cross-validation found, per split in lexical order; Sharpe per observation."""

    logits: Float64Array  # ln(rank share / (1 − rank share)) of the chosen configuration out of sample
    inside: Float64Array  # Sharpe of the chosen configuration where it was chosen
    outside: Float64Array  # and where it was not

    @property
    def probability(self) -> float:
        """Share of splits in which the chosen configuration is not above the median out of sample."""
        return float(np.mean(self.logits <= 0.0))

    @property
    def loss_probability(self) -> float:
        """Share of splits in which the chosen configuration loses out of sample."""
        return float(np.mean(self.outside < 0.0))

    @property
    def degradation(self) -> float:
        """Slope of the Sharpe outside on the Sharpe inside; below zero: the better it looked, the worse it was."""
        spread = self.inside - self.inside.mean()
        total = float(spread @ spread)
        return float(spread @ self.outside) / total if total > 0.0 else math.nan


def symmetric_validation(returns: Float64Array, blocks: int = 16) -> Overfitting | None:
    """Combinatorially symmetric cross-validation of a search.

    ``returns[T, N]`` per period and configuration. Half of the ``blocks`` choose the best configuration by Sharpe,
    the other half rank it. A constant column counts as a Sharpe of zero; periods beyond a multiple of ``blocks`` are
    left out at the end. ``None`` for fewer than two configurations, fewer than two periods a block, an odd number of
    blocks, or a return that is not finite.
    Source: Bailey, Borwein, López de Prado & Zhu 2017, "The Probability of Backtest Overfitting".
    """
    if returns.ndim != 2 or returns.shape[1] < 2 or returns.shape[0] < 2 * blocks or blocks < 2 or blocks % 2:
        return None
    if not np.all(np.isfinite(returns)):
        return None
    size = returns.shape[0] // blocks
    parts = returns[: size * blocks].reshape(blocks, size, -1)
    totals, squares = parts.sum(axis=1), (parts**2).sum(axis=1)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, picks in enumerate(combinations(range(blocks), blocks // 2)):
        chosen[row, list(picks)] = 1.0
    n = size * blocks // 2
    inside = _sharpes(chosen @ totals, chosen @ squares, n)
    outside = _sharpes((1.0 - chosen) @ totals, (1.0 - chosen) @ squares, n)
    best = inside.argmax(axis=1)
    rows = np.arange(len(best))
    value = outside[rows, best]
    below = (outside < value[:, None]).sum(axis=1)
    equal = (outside == value[:, None]).sum(axis=1)
    share = (below + (equal + 1) / 2.0) / (returns.shape[1] + 1)
    return Overfitting(np.log(share / (1.0 - share)), inside[rows, best], value)


def overfitting_probability(returns: Float64Array, blocks: int = 16) -> float | None:
    """Probability of back-test overfitting of ``returns[T, N]``; see :func:`symmetric_validation`."""
    found = symmetric_validation(returns, blocks)
    return None if found is None else found.probability


def _sharpes(totals: Float64Array, squares: Float64Array, n: int) -> Float64Array:
    mean = totals / n
    variance = np.maximum(squares / n - mean**2, 0.0)
    flat = variance <= _FLAT * mean**2  # a difference of squares keeps half the digits
    return np.asarray(np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance))), dtype=np.float64)
