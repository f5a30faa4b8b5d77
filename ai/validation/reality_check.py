"""Is the best of many configurations better than a benchmark, when the best was looked for?

White's reality check (White 2000), Hansen's test of superior predictive ability (Hansen 2005) and the stepwise test
that names the configurations (Romano & Wolf 2005), all on the stationary bootstrap (Politis & Romano 1994).

``gains[T, N]`` are per period and configuration what it made above the benchmark (above no trade: its returns).
``block`` is the mean block length in periods. Configurations whose gain never changes take no part: nothing can be
tested about them. A gain that is not finite makes every answer NaN. P-values count the data themselves as one draw, so
that none is zero (Phipson & Smyth 2010).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.errors import UserError
from data.market import Float64Array, Int64Array

_BATCH = 2_000_000  # numbers of one batch of draws
_FLAT = 1e-12  # a deviation below this share of the mean is rounding


@dataclass(frozen=True, slots=True)
class SuperiorAbility:
    """P-values of "no configuration is better than the benchmark", and the column that looks best.

    ``consistent`` is the answer; ``lower`` and ``upper`` bound it (``upper`` counts poor configurations in full).
    """

    statistic: float  # largest studentised mean gain, at least 0
    lower: float
    consistent: float
    upper: float
    best: int | None


_UNKNOWN = SuperiorAbility(math.nan, math.nan, math.nan, math.nan, None)


def stationary_rows(n: int, block: float, draws: int, rng: np.random.Generator) -> Int64Array:
    """Rows of ``draws`` resamples ``[draws, n]``: runs of neighbours of geometric length with mean ``block``.

    The series is closed to a circle (Politis & Romano 1994).
    """
    place = np.arange(n)
    fresh = rng.random((draws, n)) < 1.0 / block
    fresh[:, 0] = True
    begun = np.maximum.accumulate(np.where(fresh, place, 0), axis=1)
    first = np.take_along_axis(rng.integers(0, n, size=(draws, n)), begun, axis=1)
    return np.asarray((first + place - begun) % n, dtype=np.int64)


def long_run_variance(gains: Float64Array, block: float) -> Float64Array:
    """Variance of √T · mean under the stationary bootstrap, per column of ``gains[T, N]`` (Hansen 2005, eq. 6)."""
    n = len(gains)
    spread = gains - gains.mean(axis=0)
    waves = np.fft.rfft(spread, 2 * n, axis=0)
    covariance = np.fft.irfft(np.abs(waves) ** 2, axis=0)[:n] / n
    lag = np.arange(n)
    stay = 1.0 - 1.0 / block
    weight = (1.0 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
    weight[0] = 0.5
    return np.asarray(np.maximum(2.0 * weight @ covariance, 0.0), dtype=np.float64)


def reality_check(gains: Float64Array, block: float, rng: np.random.Generator, draws: int = 1000) -> float:
    """White's p-value of "no configuration has a mean gain above zero"; NaN when it cannot be said.

    Raises:
        UserError: too few periods, a block outside 1..T, or no draws.
    """
    used = _testable(gains, block, draws)
    if not len(used):
        return math.nan
    part = gains[:, used]
    mean = part.mean(axis=0)
    larger = sum(int(np.sum((m - mean).max(axis=1) >= mean.max())) for m in _means(part, block, rng, draws))
    return (larger + 1) / (draws + 1)


def superior_ability(gains: Float64Array, block: float, rng: np.random.Generator, draws: int = 1000) -> SuperiorAbility:
    """Hansen's studentised test: poor configurations do not hide a good one.

    Raises:
        UserError: as :func:`reality_check`.
    """
    used = _testable(gains, block, draws)
    if not len(used):
        return _UNKNOWN
    part = gains[:, used]
    n = len(part)
    mean = part.mean(axis=0)
    error = np.sqrt(long_run_variance(part, block) / n)
    poor = mean < -error * math.sqrt(2.0 * math.log(math.log(n)))
    centres = (np.maximum(mean, 0.0), np.where(poor, 0.0, mean), mean)
    statistic = max(float(np.max(mean / error)), 0.0)
    larger = np.zeros(3)
    for means in _means(part, block, rng, draws):
        for k, centre in enumerate(centres):
            larger[k] += np.sum(np.maximum(((means - centre) / error).max(axis=1), 0.0) >= statistic)
    lower, consistent, upper = (float(v) for v in (larger + 1.0) / (draws + 1.0))
    return SuperiorAbility(statistic, lower, consistent, upper, int(used[np.argmax(mean / error)]))


def better_configurations(
    gains: Float64Array, block: float, rng: np.random.Generator, draws: int = 1000, level: float = 0.05
) -> Int64Array:
    """Columns that beat the benchmark; the chance of naming a single one wrongly is ``level`` (stepwise, studentised).

    Raises:
        UserError: as :func:`reality_check`.
    """
    used = _testable(gains, block, draws)
    if not len(used):
        return used
    part = gains[:, used]
    mean = part.mean(axis=0)
    error = np.sqrt(long_run_variance(part, block) / len(part))
    drawn = np.concatenate([(means - mean) / error for means in _means(part, block, rng, draws)])
    open_ = np.ones(len(used), dtype=np.bool_)
    while open_.any():
        critical = np.quantile(drawn[:, open_].max(axis=1), 1.0 - level)
        named = open_ & (mean / error > critical)
        if not named.any():
            break
        open_ &= ~named
    return used[~open_]


def _testable(gains: Float64Array, block: float, draws: int) -> Int64Array:
    """Columns whose gain varies; none if any gain is not finite."""
    if gains.ndim != 2 or len(gains) < 3:
        raise UserError("A comparison of configurations needs a table of gains over three periods or more.")
    if not 1.0 <= block <= len(gains):
        raise UserError(f"A block of {block} periods does not fit {len(gains)}: give from 1 to {len(gains)}.")
    if draws < 1:
        raise UserError(f"{draws} draws are none: give 1 or more.")
    if not np.all(np.isfinite(gains)):
        return np.empty(0, dtype=np.int64)
    return np.flatnonzero(gains.std(axis=0) > _FLAT * np.abs(gains.mean(axis=0)))


def _means(gains: Float64Array, block: float, rng: np.random.Generator, draws: int) -> Iterator[Float64Array]:
    """Column means of resamples, ``[batch, N]`` at a time, ``draws`` in all."""
    n = len(gains)
    batch = max(1, _BATCH // n)
    for begun in range(0, draws, batch):
        count = min(batch, draws - begun)
        rows = stationary_rows(n, block, count, rng)
        rows += n * np.arange(count)[:, None]
        times = np.bincount(rows.ravel(), minlength=count * n).reshape(count, n)
        yield times @ gains / n
