"""Market tier: whether the market can take the order, and whether what is known of it is fresh.

Values come from live quotes, or from the book known at a bar's close where the feature rows hold it. In a back-test
without a book they are not measured.
"""

from __future__ import annotations

import math

from data.compiled import kernel
from data.market import Float64Array, Record
from trading.records import Row
from trading.risk.limits import Gate

_DEPTH, _SPREAD, _AGE = int(Gate.DEPTH), int(Gate.SPREAD), int(Gate.QUOTE_AGE)
BASIS_POINT = 1e-4
QUOTE = ("spread", "bid_depth", "ask_depth", "quote_age")  # fields of POSITION


@kernel
def see_volatility(p: Row, sigma: float, shock: float) -> None:
    """What a bar's close says of its volatility (POSITION ``sigma`` and ``shock``)."""
    p["sigma"] = sigma if sigma > 0.0 else 0.0
    p["shock"] = shock


@kernel
def see_book(p: Row, rules: Row, X: Float64Array, s: int, t: int) -> None:
    """Without a quote: the spread from feature row ``book_spread`` (basis points) of ``X[S, F, T]``, if it is there."""
    if rules["row_spread"] >= 0 and math.isnan(p["quote_age"]):
        p["spread"] = X[s, rules["row_spread"], t] * BASIS_POINT


@kernel
def market_values(values: Float64Array, p: Row, side: int, notional: float, stop: float) -> None:
    """Write the tier's values: ``notional`` in quote units, ``stop`` as a fraction of the price."""
    depth = p["ask_depth"] if side > 0 else p["bid_depth"]
    values[_DEPTH] = notional / depth if depth > 0.0 else math.nan
    values[_SPREAD] = p["spread"] / stop
    values[_AGE] = p["quote_age"]


def see_quotes(positions: Record, quotes: Float64Array) -> None:
    """The market now, ``quotes[S, 4]`` by QUOTE: fraction of the price, quote units twice, seconds; NaN: unknown."""
    for k, name in enumerate(QUOTE):
        positions[name] = quotes[:, k]
