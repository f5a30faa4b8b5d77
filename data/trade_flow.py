"""The last trades of one symbol: who took, and how much.

Figures are recomputed from the trades held, never carried along, so they do not drift.
"""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np

from data.exchange.events import TradePrint
from data.market import Float64Array, Int64Array

LENGTH = 1000


class FlowStep(StrEnum):
    """What a trade did."""

    ADDED = "added"
    LATE = "late"  # put in its place among the trades held
    DUPLICATE = "duplicate"
    OLD = "old"  # from before the trades held
    GAP = "gap"  # added, but trades before it are missing


class TradeFlow:
    """The last ``length`` trades, each once, by id.

    Args:
        consecutive: the exchange numbers a symbol's trades one by one, so that missing ones are seen (Binance, OKX);
            otherwise the order is that of arrival and an id only tells duplicates.
    """

    def __init__(self, symbol: str, length: int = LENGTH, consecutive: bool = True) -> None:
        self.symbol = symbol
        self.added = 0
        self.duplicates = 0
        self.late = 0
        self.old = 0
        self.gaps = 0  # times that ids were skipped
        self.skipped = 0  # ids skipped in all; ``missing`` says how many of the trades held are still missing
        self._length = length
        self._consecutive = consecutive
        # Trades stand in [start, stop) of arrays twice as long; when the end is reached they move to the front.
        self._id = np.zeros(2 * length, dtype=np.int64)
        self._time = np.zeros(2 * length, dtype=np.int64)
        self._price = np.zeros(2 * length)
        self._signed = np.zeros(2 * length)  # quantity, negative where the taker sold
        self._held: set[int] = set()
        self._start = 0
        self._stop = 0

    def __len__(self) -> int:
        return self._stop - self._start

    def on_trade(self, trade: TradePrint) -> FlowStep:
        """Take one trade of the stream or of REST."""
        trade_id = trade.trade_id
        if trade_id in self._held:
            self.duplicates += 1
            return FlowStep.DUPLICATE
        newest = int(self._id[self._stop - 1]) if len(self) else None
        if newest is None or not self._consecutive or trade_id == newest + 1:
            self._append(trade)
            return FlowStep.ADDED
        if trade_id > newest:
            self.gaps += 1
            self.skipped += trade_id - newest - 1
            self._append(trade)
            return FlowStep.GAP
        if trade_id < self._id[self._start] and (len(self) == self._length or not self._joins(trade_id)):
            self.old += 1
            return FlowStep.OLD
        self._insert(trade)
        return FlowStep.LATE

    @property
    def ids(self) -> Int64Array:
        """``[n]`` ids, oldest first (a view)."""
        return self._id[self._start : self._stop]

    @property
    def times(self) -> Int64Array:
        """``[n]`` ms UTC (a view)."""
        return self._time[self._start : self._stop]

    @property
    def prices(self) -> Float64Array:
        """``[n]`` (a view)."""
        return self._price[self._start : self._stop]

    @property
    def signed(self) -> Float64Array:
        """``[n]`` base units, positive where the taker bought (a view)."""
        return self._signed[self._start : self._stop]

    @property
    def volume(self) -> float:
        """Base units traded."""
        return float(np.abs(self.signed).sum())

    @property
    def buy_volume(self) -> float:
        """Base units that takers bought."""
        signed = self.signed
        return float(signed[signed > 0.0].sum())

    @property
    def imbalance(self) -> float:
        """(bought − sold) / (bought + sold) by takers, −1 … +1; NaN without trades."""
        volume = self.volume
        return float(self.signed.sum()) / volume if volume > 0.0 else math.nan

    @property
    def buy_pressure(self) -> float:
        """Share of the volume that takers bought, 0 … 1; NaN without trades."""
        volume = self.volume
        return self.buy_volume / volume if volume > 0.0 else math.nan

    @property
    def vwap(self) -> float:
        """Price weighted by quantity; NaN without trades."""
        volume = self.volume
        return float(np.abs(self.signed) @ self.prices) / volume if volume > 0.0 else math.nan

    @property
    def span_ms(self) -> int:
        """From the oldest to the newest trade held, ms."""
        return int(self.times[-1] - self.times[0]) if len(self) else 0

    @property
    def missing(self) -> int:
        """Trades missing between the oldest and the newest held (0 where ids are not consecutive)."""
        if not self._consecutive or not len(self):
            return 0
        return int(self.ids[-1] - self.ids[0]) + 1 - len(self)

    def _joins(self, trade_id: int) -> bool:
        """Whether an older trade is near enough to be one of the last ``length``."""
        return int(self._id[self._stop - 1]) - trade_id < self._length

    def _append(self, trade: TradePrint) -> None:
        if self._stop == len(self._id):
            self._move(self._length - 1)  # the window is full long before the arrays are
        elif len(self) == self._length:
            self._forget_oldest()
        at = self._stop
        self._stop += 1
        self._put(at, trade)
        self.added += 1

    def _insert(self, trade: TradePrint) -> None:
        """In its place by id; the oldest leaves when it is one too many."""
        if len(self) == self._length:
            self._forget_oldest()
        if self._stop == len(self._id):
            self._move(len(self))
        at = self._start + int(np.searchsorted(self.ids, trade.trade_id))
        for column in (self._id, self._time, self._price, self._signed):
            column[at + 1 : self._stop + 1] = column[at : self._stop].copy()
        self._stop += 1
        self._put(at, trade)
        self.late += 1

    def _put(self, at: int, trade: TradePrint) -> None:
        self._id[at] = trade.trade_id
        self._time[at] = trade.time_ms
        self._price[at] = trade.price
        self._signed[at] = trade.quantity if trade.side > 0 else -trade.quantity
        self._held.add(trade.trade_id)

    def _forget_oldest(self) -> None:
        self._held.discard(int(self._id[self._start]))
        self._start += 1

    def _move(self, kept: int) -> None:
        """The newest ``kept`` trades to the front of the arrays."""
        while len(self) > kept:
            self._forget_oldest()
        for column in (self._id, self._time, self._price, self._signed):
            column[:kept] = column[self._stop - kept : self._stop].copy()
        self._start, self._stop = 0, kept
