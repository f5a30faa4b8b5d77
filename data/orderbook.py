"""The order book of one symbol, kept by a snapshot and the numbered diffs that follow it.

:class:`DepthSync` applies a diff only where its numbers prove that nothing is missing in between; otherwise it says
``GAP``, stops serving the book and asks for a new snapshot. Rules: "How to manage a local order book correctly",
https://developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np

from data.exchange.events import BookDelta, BookSnapshot
from data.market import Float64Array
from data.observations import BOOK_COLUMNS, BOOK_DEPTH

RECENT_DIFFS = 300  # kept for a snapshot to come: 30 s of Binance's stream
REFRESH_LEVELS = 2 * BOOK_DEPTH  # fewer levels than this inside the snapshot's span: a new one is asked for
LEVELS_KEPT = 5000  # of a side, when twice as many have come together
SETTLING_MS = 10_000  # diffs may stay older than their snapshot this long; after that the numbering has restarted


@dataclass(frozen=True, slots=True, eq=False)
class BookTop:
    """The best levels at a moment; a side may hold fewer than ten (and its figures are NaN when it is empty)."""

    bids: Float64Array  # [<=10, 2] price, size in base units, best first
    asks: Float64Array  # [<=10, 2]
    update_id: int
    time_ms: int  # the exchange's time of the last change
    known_at: int  # ms UTC, when that change had reached us

    @property
    def bid(self) -> float:
        """Best price to sell at."""
        return float(self.bids[0, 0]) if len(self.bids) else math.nan

    @property
    def ask(self) -> float:
        """Best price to buy at."""
        return float(self.asks[0, 0]) if len(self.asks) else math.nan

    def worth(self, side: Float64Array) -> float:
        """Value of ``bids`` or ``asks`` in quote units; NaN where the side is empty."""
        return float((side[:, 0] * side[:, 1]).sum()) if len(side) else math.nan

    @property
    def spread(self) -> float:
        """Ask minus bid, quote units."""
        return self.ask - self.bid

    @property
    def mid(self) -> float:
        """Middle of bid and ask."""
        return (self.bid + self.ask) / 2.0

    @property
    def spread_fraction(self) -> float:
        """Spread as a fraction of the middle."""
        return self.spread / self.mid

    @property
    def microprice(self) -> float:
        """Middle weighted by the sizes of the other side: near the ask where the bid is the larger."""
        if not len(self.bids) or not len(self.asks):
            return math.nan
        bid_size, ask_size = float(self.bids[0, 1]), float(self.asks[0, 1])
        return (self.bid * ask_size + self.ask * bid_size) / (bid_size + ask_size)

    def imbalance(self, levels: int = BOOK_DEPTH) -> float:
        """(bid size − ask size) / (their sum) of the best ``levels``: −1 only asks … +1 only bids."""
        bid, ask = float(self.bids[:levels, 1].sum()), float(self.asks[:levels, 1].sum())
        return (bid - ask) / (bid + ask) if bid + ask > 0.0 else math.nan

    def depth(self, fraction: float) -> tuple[float, float]:
        """Base units of bids and of asks within ``fraction`` of the middle, as far as these levels reach."""
        near_bids = self.bids[:, 0] >= self.mid * (1.0 - fraction)
        near_asks = self.asks[:, 0] <= self.mid * (1.0 + fraction)
        return float(self.bids[near_bids, 1].sum()), float(self.asks[near_asks, 1].sum())

    def values(self) -> Float64Array:
        """``[40]`` in the order of BOOK_COLUMNS, NaN where a side has fewer levels."""
        row = np.full((4, BOOK_DEPTH), np.nan)
        row[:2, : len(self.bids)] = self.bids.T
        row[2:, : len(self.asks)] = self.asks.T
        return row.reshape(len(BOOK_COLUMNS))

    @classmethod
    def from_values(cls, values: Float64Array, update_id: int, time_ms: int, known_at: int) -> Self:
        """The inverse of :meth:`values`."""
        row = values.reshape(4, BOOK_DEPTH)
        bids, asks = row[:2].T, row[2:].T
        deep = int(np.count_nonzero(row[0] == row[0])), int(np.count_nonzero(row[2] == row[2]))
        return cls(bids[: deep[0]], asks[: deep[1]], update_id, time_ms, known_at)


class _Side:
    """Levels of one side: size by price, and the prices in rising order."""

    __slots__ = ("prices", "sizes")

    def __init__(self) -> None:
        self.sizes: dict[float, float] = {}
        self.prices: list[float] = []

    def put(self, levels: Float64Array) -> None:
        sizes, prices = self.sizes, self.prices
        for price, size in levels.tolist():
            if not (0.0 < price < math.inf and 0.0 <= size < math.inf):
                raise ValueError(f"a level of size {size} at price {price}")
            if size > 0.0:
                if price not in sizes:
                    insort(prices, price)
                sizes[price] = size
            elif price in sizes:
                del sizes[price]
                del prices[bisect_left(prices, price)]

    def keep(self, prices: list[float]) -> None:
        self.sizes = {price: self.sizes[price] for price in prices}
        self.prices = prices

    def rows(self, prices: list[float]) -> Float64Array:
        sizes = self.sizes
        return np.array([(price, sizes[price]) for price in prices], dtype=np.float64).reshape(-1, 2)


class OrderBook:
    """Every level known of one symbol, as of ``update_id``.

    A snapshot ends somewhere: beyond its worst prices a level is unknown until it changes. ``whole`` says that nothing
    lies beyond (or that the exchange reports levels as they come into view).

    Raises:
        ValueError: a level that is no price and size.
    """

    __slots__ = ("_ask_end", "_asks", "_bid_end", "_bids", "_first_levels", "known_at", "time_ms", "update_id")

    def __init__(self, snapshot: BookSnapshot, whole: bool = False) -> None:
        self._bids, self._asks = _Side(), _Side()
        self._bids.put(snapshot.bids)
        self._asks.put(snapshot.asks)
        bids, asks = self._bids.prices, self._asks.prices
        self._bid_end = bids[0] if bids and not whole else 0.0
        self._ask_end = asks[-1] if asks and not whole else math.inf
        self._first_levels = 0 if whole else min(len(bids), len(asks))
        self.update_id, self.time_ms, self.known_at = snapshot.update_id, snapshot.event_ms, snapshot.received_ms

    def apply(self, delta: BookDelta) -> None:
        """Set the levels of a diff; whether it follows is :class:`DepthSync`'s matter.

        Raises:
            ValueError: a level that is no price and size; the book is of no use afterwards.
        """
        self._bids.put(delta.bids)
        self._asks.put(delta.asks)
        self.update_id, self.time_ms, self.known_at = delta.last_id, delta.event_ms, delta.received_ms
        if len(self._bids.prices) > 2 * LEVELS_KEPT:
            self._bids.keep(self._bids.prices[-LEVELS_KEPT:])
            self._bid_end = max(self._bid_end, self._bids.prices[0])
        if len(self._asks.prices) > 2 * LEVELS_KEPT:
            self._asks.keep(self._asks.prices[:LEVELS_KEPT])
            self._ask_end = min(self._ask_end, self._asks.prices[-1])

    @property
    def crossed(self) -> bool:
        """Whether somebody bids as much as somebody asks: no exchange shows that, so levels are missing."""
        bids, asks = self._bids.prices, self._asks.prices
        return bool(bids and asks) and bids[-1] >= asks[0]

    @property
    def sees_best(self) -> bool:
        """Whether the best bid and ask lie where no better one can be hidden."""
        bids, asks = self._bids.prices, self._asks.prices
        return (not bids or bids[-1] >= self._bid_end) and (not asks or asks[0] <= self._ask_end)

    @property
    def runs_out(self) -> bool:
        """Whether the price has moved so near to the end of the snapshot that a new one is due."""
        if not self._first_levels:
            return False
        wanted = min(REFRESH_LEVELS, (self._first_levels + 1) // 2)
        bids, asks = self._bids.prices, self._asks.prices
        few_bids = len(bids) < wanted or bids[-wanted] < self._bid_end
        return few_bids or len(asks) < wanted or asks[wanted - 1] > self._ask_end

    def top(self, levels: int = BOOK_DEPTH) -> BookTop:
        """The best levels, of those beyond which none can be hidden."""
        bids, asks = self._bids.prices[: -levels - 1 : -1], self._asks.prices[:levels]
        bids = [price for price in bids if price >= self._bid_end]
        asks = [price for price in asks if price <= self._ask_end]
        return BookTop(
            self._bids.rows(bids), self._asks.rows(asks), self.update_id, self.time_ms, self.known_at
        )  # fmt: skip

    def levels(self) -> tuple[Float64Array, Float64Array]:
        """Every bid and ask held, ``[n, 2]`` each, best first (beyond the snapshot's span some may be missing)."""
        return self._bids.rows(self._bids.prices[::-1]), self._asks.rows(self._asks.prices)


class SyncStep(StrEnum):
    """What a message did to the book."""

    BUFFERED = "buffered"  # kept for the snapshot to come
    OLD = "old"  # says nothing new
    APPLIED = "applied"
    SYNCED = "synced"  # a snapshot was taken
    REFUSED = "refused"  # a snapshot that cannot be used: ask again
    GAP = "gap"  # something is missing or wrong: no book until the next snapshot


class DepthSync:
    """Keeps the book of one symbol; pure, without clock or network.

    Args:
        windowed: the stream sends its own snapshots and reports levels as they come into view (Bybit, OKX); otherwise
            the snapshot ends at its worst prices and is asked for again when the price comes near them (Binance).
    """

    def __init__(self, symbol: str, windowed: bool = False, recent: int = RECENT_DIFFS) -> None:
        self.symbol = symbol
        self.applied = 0
        self.old = 0
        self.gaps = 0
        self.resyncs = 0  # snapshots taken after the first
        self.refused = 0
        self.why = ""  # of the last gap or refusal
        self._windowed = windowed
        self._recent: deque[BookDelta] = deque(maxlen=recent)  # an unbroken chain, newest last
        self._book: OrderBook | None = None
        self._exact = False  # the book stands at the end of a diff, not at a snapshot's number between two
        self._synced_once = False

    @property
    def book(self) -> OrderBook | None:
        """The book, or ``None`` while it cannot be trusted: ask anew each time, never keep it."""
        return self._book

    @property
    def needs_snapshot(self) -> bool:
        """Whether to ask for a snapshot: there is no book, or its price has run to the end of the last one."""
        return self._book is None or self._book.runs_out

    def top(self, levels: int = BOOK_DEPTH) -> BookTop | None:
        """The best levels, ``None`` without a book or where its best is not known."""
        book = self._book
        return book.top(levels) if book is not None and book.sees_best else None

    def lost(self, why: str) -> SyncStep:
        """The stream itself says that messages may be missing."""
        self._recent.clear()
        return self._gap(why)

    def on_delta(self, delta: BookDelta) -> SyncStep:
        """Apply, keep or drop a diff, by its numbers."""
        live = self._book is not None
        newest = self._recent[-1] if self._recent else None
        chained = newest is None or _follows(delta, newest.last_id)
        if newest is not None and not chained:
            backwards = delta.last_id <= newest.last_id
            if backwards and delta.event_ms <= newest.event_ms:
                self.old += 1
                return SyncStep.OLD
            self._recent.clear()
            if backwards:
                self._gap(f"the numbering restarted: update {delta.last_id} after {newest.last_id}")
        self._recent.append(delta)
        book = self._book
        if book is None:
            return SyncStep.GAP if live else SyncStep.BUFFERED
        if self._exact:
            if not chained:
                return self._gap(f"update {delta.last_id} does not follow {book.update_id}")
            return self._apply(book, delta)
        if delta.last_id < book.update_id:
            if delta.event_ms > book.time_ms + SETTLING_MS:
                return self._gap(f"update {delta.last_id} comes long after snapshot {book.update_id}")
            self.old += 1
            return SyncStep.OLD
        if _start(delta) > book.update_id:
            return self._gap(f"update {delta.last_id} begins after snapshot {book.update_id}")
        return self._apply(book, delta)

    def on_snapshot(self, snapshot: BookSnapshot) -> SyncStep:
        """Start from a snapshot and the diffs since, if they meet it; a live book stays where they do not."""
        later = [delta for delta in self._recent if delta.last_id >= snapshot.update_id]
        restarted = self._windowed and bool(self._recent) and snapshot.event_ms >= self._recent[-1].event_ms
        if restarted:  # a snapshot of the stream comes in its place among the diffs: none of those before it counts
            later = []
            self._recent.clear()
        if later and _start(later[0]) > snapshot.update_id:
            return self._refuse(f"snapshot {snapshot.update_id} is older than the updates kept")
        try:
            book = OrderBook(snapshot, whole=self._windowed)
            for delta in later:
                book.apply(delta)
        except ValueError as error:
            return self._refuse(f"snapshot {snapshot.update_id} leads to {error}")
        if book.crossed:
            return self._refuse(f"snapshot {snapshot.update_id} leads to a crossed book")
        self.applied += len(later) if self._book is None else 0
        self.resyncs += self._synced_once
        self._book, self._exact, self._synced_once = book, bool(later), True
        return SyncStep.SYNCED

    def _apply(self, book: OrderBook, delta: BookDelta) -> SyncStep:
        try:
            book.apply(delta)
        except ValueError as error:
            self._recent.clear()
            return self._gap(f"update {delta.last_id} holds {error}")
        if book.crossed:
            return self._gap(f"the book is crossed after update {delta.last_id}")
        self._exact = True
        self.applied += 1
        return SyncStep.APPLIED

    def _gap(self, why: str) -> SyncStep:
        self.gaps += self._book is not None
        self._book = None
        self.why = why
        return SyncStep.GAP

    def _refuse(self, why: str) -> SyncStep:
        self.refused += 1
        self.why = why
        return SyncStep.REFUSED


def _start(delta: BookDelta) -> int:
    """The number from which a diff carries the book on."""
    return delta.first_id - 1 if delta.previous_id is None else delta.previous_id


def _follows(delta: BookDelta, last_id: int) -> bool:
    """Whether a diff begins exactly where the last one ended."""
    return _start(delta) == last_id
