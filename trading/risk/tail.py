"""Value at risk and expected shortfall of a series of daily returns, by three methods.

Both are losses as positive fractions, 0 where the method expects none. With returns x, mean m, standard deviation s
(ddof 1), the normal quantile z at level a and its density f(z):

* historical: VaR = -quantile of x at a (linear between order statistics, as numpy); ES = mean of the worst a·n
  returns, the last one in part (Acerbi & Tasche 2002, "On the coherence of expected shortfall", equation 4.12).
* normal: VaR = -(m + z s); ES = -m + s f(z) / a.
* Cornish-Fisher: z becomes z + (z² - 1)S/6 + (z³ - 3z)K/24 - (2z³ - 5z)S²/36 with skewness S and excess kurtosis K
  of the sample (Cornish & Fisher 1938; Zangari 1996, "A VaR methodology for portfolios that include options"), and ES
  is the mean of that quantile over the tail: -m + s f(z)/a · (1 + zS/6 + (z² - 1)K/24 - (2z² - 1)S²/36)
  (Maillard 2012, "A User's Guide to the Cornish Fisher Expansion").
"""

from __future__ import annotations

import math

import numpy as np

from data.compiled import kernel, kernel_allocating
from data.market import Float64Array

METHODS = ("historical", "normal", "cornish-fisher")
VAR_LEVEL = 0.01  # VaR 99 %
ES_LEVEL = 0.025  # ES 97.5 %
VAR_Z = -2.3263478740408408  # quantiles of the normal distribution at these levels
ES_Z = -1.9599639845400545
_ROOT_TAU = math.sqrt(2.0 * math.pi)
_WORST = 32  # order statistics that are kept: enough for 1,200 days at 2.5 %


@kernel
def _worst(x: Float64Array, n: int, count: int, out: Float64Array) -> None:
    """The ``count`` smallest of ``x[:n]``, in order."""
    kept = 0
    for k in range(n):
        value = x[k]
        if kept == count:
            if value >= out[kept - 1]:
                continue
        else:
            kept += 1
        at = kept - 1
        while at > 0 and out[at - 1] > value:
            out[at] = out[at - 1]
            at -= 1
        out[at] = value


@kernel_allocating
def historical(x: Float64Array, n: int) -> tuple[float, float]:
    """(VaR, ES) of ``x[:n]`` by its own order statistics."""
    count = min(n, math.floor(n * ES_LEVEL) + 2)
    worst = np.empty(_WORST)
    _worst(x, n, count, worst)
    place = (n - 1) * VAR_LEVEL
    low = math.floor(place)
    high = min(low + 1, count - 1)
    quantile = worst[low] + (place - low) * (worst[high] - worst[low])
    mass = n * ES_LEVEL
    whole = math.floor(mass)
    total = 0.0
    for k in range(whole):
        total += worst[k]
    total += (mass - whole) * worst[min(whole, count - 1)]
    return max(0.0, -quantile), max(0.0, -total / mass)


@kernel
def _moments(x: Float64Array, n: int) -> tuple[float, float, float, float]:
    """Mean, standard deviation (ddof 1), skewness and excess kurtosis of ``x[:n]``."""
    mean = 0.0
    for k in range(n):
        mean += x[k]
    mean /= n
    second = third = fourth = 0.0
    for k in range(n):
        d = x[k] - mean
        square = d * d
        second += square
        third += square * d
        fourth += square * square
    if second <= 0.0:
        return mean, 0.0, 0.0, 0.0
    spread = second / n
    skew = third / n / (spread * math.sqrt(spread))
    return mean, math.sqrt(second / (n - 1)), skew, fourth / n / (spread * spread) - 3.0


@kernel
def _quantile(z: float, skew: float, kurtosis: float) -> float:
    """The normal quantile ``z`` after the Cornish-Fisher expansion."""
    return (
        z + (z * z - 1.0) * skew / 6.0 + (z * z * z - 3.0 * z) * kurtosis / 24.0
        - (2.0 * z * z * z - 5.0 * z) * skew * skew / 36.0
    )  # fmt: skip


@kernel
def _tail_mean(z: float, level: float, skew: float, kurtosis: float) -> float:
    """Minus the mean of :func:`_quantile` below ``level``."""
    density = math.exp(-0.5 * z * z) / _ROOT_TAU
    bend = (
        1.0 + z * skew / 6.0 + (z * z - 1.0) * kurtosis / 24.0 - (2.0 * z * z - 1.0) * skew * skew / 36.0
    )  # fmt: skip
    return density / level * bend


@kernel
def tail(x: Float64Array, n: int, method: int) -> tuple[float, float]:
    """(VaR 99 %, ES 97.5 %) of ``x[:n]``, losses as positive fractions. ``method``: index into ``METHODS``."""
    if method == 0:
        return historical(x, n)
    mean, deviation, skew, kurtosis = _moments(x, n)
    if method == 1:
        skew = kurtosis = 0.0
    at_risk = -(mean + deviation * _quantile(VAR_Z, skew, kurtosis))
    shortfall = -mean + deviation * _tail_mean(ES_Z, ES_LEVEL, skew, kurtosis)
    return max(0.0, at_risk), max(0.0, shortfall)
