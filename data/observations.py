"""Point-in-time observations other than candles: what was seen of a symbol, and when it was known.

One type for all of them, as columns: premium (mark, index, current funding), metrics (open interest and ratios),
trades, book tops and liquidations. ``time`` is the moment a row speaks of, ``known_at`` the moment from which a
decision may use it; a join is always by ``known_at`` (:mod:`data.point_in_time`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from data.market import Float64Array, Int64Array, SeriesKey

BOOK_DEPTH = 10

PREMIUM_COLUMNS = ("mark_price", "index_price", "funding_rate", "next_funding_ms", "interval_ms")
METRIC_COLUMNS = (
    "open_interest",  # base units
    "open_interest_value",  # quote units
    "top_account_ratio",  # long / short of the large accounts, by number
    "top_position_ratio",  # the same, by position
    "account_ratio",  # long / short of all accounts, by number
    "taker_ratio",  # taker buy volume / taker sell volume
)
TRADE_COLUMNS = ("price", "quantity", "side")  # side +1: the taker bought, −1: the taker sold
LIQUIDATION_COLUMNS = ("price", "quantity", "side")  # side of the liquidation order: +1 bought back a short
BOOK_COLUMNS = tuple(
    f"{side}_{what}_{level}"
    for side in ("bid", "ask")
    for what in ("price", "size")
    for level in range(1, BOOK_DEPTH + 1)
)  # [40] best first; NaN where the side has fewer levels

COLUMNS: dict[str, tuple[str, ...]] = {
    "premium": PREMIUM_COLUMNS,
    "metrics": METRIC_COLUMNS,
    "trades": TRADE_COLUMNS,
    "liquidations": LIQUIDATION_COLUMNS,
    "book": BOOK_COLUMNS,
}


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """Rows of one series as columns of length N, sorted by ``(time, id)``, each pair once.

    ``id`` tells rows of one moment apart (trade id, book update id, a running number of liquidations); it is 0 where
    the time alone does. A value that the source did not give is NaN.
    """

    key: SeriesKey  # ``kind`` is one of COLUMNS
    time: Int64Array  # [N] ms UTC
    id: Int64Array  # [N]
    known_at: Int64Array  # [N] ms UTC
    values: Float64Array  # [N, K] in the order of COLUMNS[kind]

    def __len__(self) -> int:
        return len(self.time)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the values."""
        return COLUMNS[self.key.kind]

    def column(self, name: str) -> Float64Array:
        """One column ``[N]`` by name (a view)."""
        return self.values[:, self.columns.index(name)]

    def take(self, which: slice | npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Self:
        """The rows of ``which``."""
        return type(self)(self.key, self.time[which], self.id[which], self.known_at[which], self.values[which])

    def between(self, start_ms: int, end_ms: int) -> Self:
        """Rows with ``start_ms <= time < end_ms``."""
        first, last = np.searchsorted(self.time, [start_ms, end_ms])
        return self.take(slice(int(first), int(last)))

    @classmethod
    def of(
        cls, key: SeriesKey, time: Int64Array, values: Float64Array, known_at: Int64Array | None = None,
        id: Int64Array | None = None,
    ) -> Self:  # fmt: skip
        """Sorted, each ``(time, id)`` once (the last one given stays); ``known_at`` defaults to the time."""
        moments = np.ascontiguousarray(time, dtype=np.int64)
        ids = np.zeros(len(moments), dtype=np.int64) if id is None else np.ascontiguousarray(id, dtype=np.int64)
        known = moments if known_at is None else np.ascontiguousarray(known_at, dtype=np.int64)
        table = np.ascontiguousarray(values, dtype=np.float64).reshape(len(moments), len(COLUMNS[key.kind]))
        order = np.lexsort((np.arange(len(moments)), ids, moments))
        moments, ids = moments[order], ids[order]
        last = np.ones(len(moments), dtype=np.bool_)
        last[:-1] = (np.diff(moments) != 0) | (np.diff(ids) != 0)
        kept = order[last]
        return cls(key, moments[last], ids[last], known[kept], table[kept])

    @classmethod
    def empty(cls, key: SeriesKey) -> Self:
        """No rows."""
        none = np.empty(0, dtype=np.int64)
        return cls(key, none, none, none, np.empty((0, len(COLUMNS[key.kind])), dtype=np.float64))
