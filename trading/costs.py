"""Prices and quantities from ticks and lots, and what taking liquidity costs."""

from __future__ import annotations

import math

from data.compiled import kernel, kernel_part
from trading.records import Row


@kernel_part
def price_of(ticks: int, instrument: Row) -> float:
    """Quote per base unit."""
    return float(ticks * instrument["tick_num"] / instrument["tick_den"])


@kernel_part
def quantity_of(lots: int, instrument: Row) -> float:
    """Base units."""
    return float(lots * instrument["lot_num"] / instrument["lot_den"])


@kernel_part
def value_of(steps: int, instrument: Row) -> float:
    """Money in quote units of a sum of ticks × lots: one rounding, so that exact sums stay exact."""
    return float(steps * instrument["value_num"] / instrument["value_den"])


@kernel_part
def ticks_of(price: float, instrument: Row) -> int:
    """The nearest tick."""
    ticks: float = price * instrument["tick_den"] / instrument["tick_num"] + 0.5
    return math.floor(ticks)


@kernel
def whole_lots(quantity: float, instrument: Row) -> int:
    """Lots within ``quantity`` base units, rounded down."""
    lots: float = quantity * instrument["lot_den"] / instrument["lot_num"]
    return math.floor(lots)


@kernel
def slip_of(rules: Row, sigma: float, share: float) -> float:
    """Half the spread and the impact ``k σ √(quantity / bar volume)``, as a fraction of the price."""
    return float(rules["half_spread"] + rules["impact"] * sigma * math.sqrt(share))


@kernel
def volume_share(quantity: float, volume: float) -> float:
    """Quantity over the bar's volume; 1 where the bar traded nothing."""
    return quantity / volume if volume > 0.0 else 1.0


@kernel
def taker_ticks(ticks: int, side: int, slip: float) -> int:
    """The price a taker gets at ``ticks``: worse by ``slip``, rounded to the tick against the taker (1 buys)."""
    if side > 0:
        return math.ceil(ticks * (1.0 + slip))
    return max(1, math.floor(ticks * (1.0 - slip)))
