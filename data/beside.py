"""What else was known when a bar closed, beside its own candle: columns that features read, joined as of that moment.

Rows are made only by as-of joins (:mod:`data.point_in_time`): a value is what was known at the close of the bar, NaN
where nothing was, or where it was too old. Nothing is filled in from later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from data.market import Float64Array, Int64Array

BESIDE: tuple[str, ...] = ("mark_price", "index_price", "open_interest")
"""Names of the rows, in order."""


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
