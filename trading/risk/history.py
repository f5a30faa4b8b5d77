"""Daily returns of every symbol, as they are known at each bar: what portfolio risk is measured on.

A day is a UTC day; its close is the last one seen in it. The return of a day is known from 00:00 on. A day without a
bar has none, and so has the day after it.
"""

from __future__ import annotations

import math

import numpy as np

from data.compiled import kernel
from data.market import Float64Array, Record
from data.timeframes import DAY_MS
from trading.costs import price_of
from trading.records import Row

RING = 512  # daily returns that are kept
CORRELATION_DAYS = 90
CORRELATION_LEAST = 30  # days in common, below which a correlation is not measured


@kernel
def close_days(a: Row, positions: Record, instruments: Record, days: Float64Array, moment: int) -> None:
    """Returns of every UTC day that ends at or before ``moment`` enter ``days[S, RING]``; before it is rolled."""
    if a["next_midnight"] == 0 or moment < a["next_midnight"]:
        return
    ended = (moment - a["next_midnight"]) // DAY_MS + 1
    for _ in range(ended):
        slot = a["risk_days"] % RING
        for s in range(positions.shape[0]):
            p = positions[s]
            close = price_of(p["last"], instruments[s]) if p["seen"] == 1 else 0.0
            known = p["day_close"] > 0.0 and close > 0.0
            days[s, slot] = close / p["day_close"] - 1.0 if known else math.nan
            p["day_close"] = close
            p["seen"] = 0
        a["risk_days"] += 1


def remember(account: Record, positions: Record, days: Float64Array, closes: Float64Array) -> None:
    """Fill the ring with the returns of daily closes ``[S, D]`` (NaN: no bar) of the days before the first bar's."""
    kept = closes[:, -(RING + 1) :]
    known = np.where(kept > 0.0, kept, np.nan)
    returns = known[:, 1:] / known[:, :-1] - 1.0
    days[:, : returns.shape[1]] = returns
    account["risk_days"] = returns.shape[1]
    positions["day_close"] = np.nan_to_num(known[:, -1]) if known.shape[1] else 0.0
    positions["unit_day"] = -1


@kernel
def correlation(days: Float64Array, count: int, i: int, j: int) -> float:
    """Pearson's correlation of two symbols over the last 90 days, of ``count`` days ever; NaN where too few are known.

    ``days`` is the ring ``[S, RING]``.
    """
    n = 0
    x = y = xx = yy = xy = 0.0
    for back in range(min(count, CORRELATION_DAYS)):
        slot = (count - 1 - back) % RING
        u, v = days[i, slot], days[j, slot]
        if math.isnan(u) or math.isnan(v):
            continue
        n += 1
        x += u
        y += v
        xx += u * u
        yy += v * v
        xy += u * v
    if n < CORRELATION_LEAST:
        return math.nan
    square = (xx - x * x / n) * (yy - y * y / n)
    return (xy - x * y / n) / math.sqrt(square) if square > 0.0 else math.nan


@kernel
def own_returns(days: Float64Array, count: int, window: int, s: int, sign: float, out: Float64Array) -> int:
    """Known daily returns of one symbol over the last ``window`` days, times ``sign``; how many there are."""
    n = 0
    for back in range(min(count, window)):
        value = days[s, (count - 1 - back) % RING]
        if not math.isnan(value):
            out[n] = sign * value
            n += 1
    return n


@kernel
def portfolio_returns(days: Float64Array, count: int, window: int, positions: Record, out: Float64Array) -> int:
    """Daily returns of the portfolio of ``weight`` in ``positions`` over the last ``window`` days; how many there are.

    A day counts where the return of every symbol with a weight is known.
    """
    n = 0
    for back in range(min(count, window)):
        slot = (count - 1 - back) % RING
        total = 0.0
        for s in range(positions.shape[0]):
            weight = positions[s]["weight"]
            if weight != 0.0:
                total += weight * days[s, slot]
        if not math.isnan(total):
            out[n] = total
            n += 1
    return n


@kernel
def returns_beside(
    days: Float64Array, count: int, window: int, positions: Record, s: int, others: Float64Array, unit: Float64Array
) -> int:
    """As :func:`portfolio_returns`, in two: of all symbols but ``s``, and of a weight of 1 of ``s``."""
    n = 0
    for back in range(min(count, window)):
        slot = (count - 1 - back) % RING
        total = 0.0
        for k in range(positions.shape[0]):
            weight = positions[k]["weight"]
            if k != s and weight != 0.0:
                total += weight * days[k, slot]
        if not math.isnan(total + days[s, slot]):
            others[n] = total
            unit[n] = days[s, slot]
            n += 1
    return n
