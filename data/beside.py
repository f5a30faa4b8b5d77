"""What else was known when a bar closed, beside its own candle: columns that features read, joined as of that moment.

Rows are made only by as-of joins (:mod:`data.point_in_time`): a value is what was known at the close of the bar, NaN
where nothing was, or where it was too old. Nothing is filled in from later. How each row comes to its value is in
:mod:`data.beside_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from data.market import Float64Array, Int64Array

CROSS_SYMBOLS = 2

BESIDE: tuple[str, ...] = (
    "mark_price",  # quote units
    "index_price",
    "open_interest",  # base units
    "account_ratio",  # long / short of all accounts, by number
    "top_account_ratio",  # the same of the large accounts
    "top_position_ratio",  # of their positions
    "taker_ratio",  # taker buy volume / taker sell volume, as the exchange tells it
    "bid",  # best price of the book
    "ask",
    "imbalance_1",  # (bid size - ask size) / their sum, of the best level
    "imbalance_5",
    "imbalance_10",
    "microprice",  # middle weighted by the sizes of the other side
    "taker_buy",  # base units that takers bought inside the bar
    "taker_sell",
    "trades",  # trades inside the bar
    "liquidated_long",  # base units of longs that were forced out inside the bar
    "liquidated_short",
    *(f"cross_{k + 1}_close" for k in range(CROSS_SYMBOLS)),  # of the bar that closed at the same moment
)
"""Names of the rows, in order."""

MARK, INDEX, INTEREST, ACCOUNT, TOP_ACCOUNT, TOP_POSITION, TAKER = range(7)
BID, ASK, IMBALANCE, MICROPRICE = 7, 8, 9, 12
BOUGHT, SOLD, TRADES, LIQUIDATED, CROSS = 13, 14, 15, 16, 18


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Values known at the close of each of T bars."""

    open_time: Int64Array  # [T] ms UTC, of the bars they belong to
    values: Float64Array  # [B, T] in the order of BESIDE; NaN = missing

    def __len__(self) -> int:
        return len(self.open_time)

    @classmethod
    def nothing(cls, open_time: Int64Array) -> Self:
        """Nothing is known beside the candles."""
        return cls(open_time, np.full((len(BESIDE), len(open_time)), np.nan))

    def at(self, open_time: Int64Array) -> Float64Array:
        """``[B, N]`` of the bars that open at these moments; NaN for bars that it does not hold."""
        out: Float64Array = np.full((len(self.values), len(open_time)), np.nan)
        if len(self.open_time):
            place = np.minimum(np.searchsorted(self.open_time, open_time), len(self.open_time) - 1)
            hit = self.open_time[place] == open_time
            out[:, hit] = self.values[:, place[hit]]
        return out
