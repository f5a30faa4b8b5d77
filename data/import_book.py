"""Order books out of files: snapshots in a row (as tardis.dev and this program write them), best bid and ask alone
(the exchange's ``bookTicker``), and depth updates, which are played through the book as a live stream is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo
from itertools import pairwise

import numpy as np

from data.errors import UserError
from data.exchange.events import BookDelta, BookSnapshot
from data.file_formats import RawTable
from data.import_cells import numbers, sides, wholes
from data.import_layouts import TIME_NAMES
from data.import_rows import Rejection, Rows, column_of, ids_of, missing, read_rows, rows_of
from data.import_times import NO_TIME, times_of
from data.market import Float64Array, Int64Array
from data.observations import BOOK_COLUMNS, BOOK_DEPTH
from data.observed import sampled
from data.orderbook import DepthSync
from data.quality_findings import Gap

SAMPLE_MS = 1_000  # depth updates are kept as the top of the book once in this long
FIRST, LAST, PREVIOUS = "first_update_id", "last_update_id", "pu"
SIZES = ("qty", "quantity", "size")
_LEVEL = re.compile(r"(asks|bids)_(\d+)_(price|amount)")
_TICKER = {
    "bid_price_1": ("best_bid_price", "bid"), "bid_size_1": ("best_bid_qty", "bid_qty"),
    "ask_price_1": ("best_ask_price", "ask"), "ask_size_1": ("best_ask_qty", "ask_qty"),
}  # fmt: skip


def holds_updates(table: RawTable) -> bool:
    """Whether a table holds depth updates, one level in a row."""
    return {FIRST, LAST, PREVIOUS, "side", "price"} <= set(table.columns) and bool(column_of(table, SIZES))


def read_book(table: RawTable, tz: tzinfo, unit: str | None) -> Rows:
    """Books that stand whole in a row; rows without a number are counted within their millisecond.

    Raises:
        UserError: the columns are none of the known ones, or the times are mixed.
    """
    names = _columns(table)
    if not names:
        return read_rows(table, "book", tz, unit)
    time_name = column_of(table, TIME_NAMES)
    if not time_name:
        raise missing(table, "time", "book")
    time = times_of(table, time_name, tz, unit)
    values = np.full((len(time), len(BOOK_COLUMNS)), np.nan)
    for at, field in enumerate(BOOK_COLUMNS):
        if field in names:
            values[:, at] = numbers(table, names[field])
    ids = ids_of(table, "book")
    return rows_of(table, time, values, _running(time, values) if ids is None else ids)


def _columns(table: RawTable) -> dict[str, str]:
    """The table's columns by the names of the store, empty if it has the store's own."""
    found = {field: name for field, names in _TICKER.items() if (name := column_of(table, names))}
    for column in table.columns:
        level = _LEVEL.fullmatch(column)
        if level and int(level[2]) < BOOK_DEPTH:
            what = "price" if level[3] == "price" else "size"
            found[f"{level[1][:3]}_{what}_{int(level[2]) + 1}"] = column
    return found if len(found) >= len(_TICKER) else {}


def _running(time: Int64Array, values: Float64Array) -> Int64Array:
    """A number for each distinct book of one millisecond, in order of appearance."""
    ids = np.zeros(len(time), dtype=np.int64)
    for row in range(1, len(time)):
        if time[row] == time[row - 1]:
            ids[row] = ids[row - 1] + (not np.array_equal(values[row], values[row - 1], equal_nan=True))
    return ids


def sample_updates(
    tables: Sequence[RawTable], symbol: str, tz: tzinfo, unit: str | None
) -> tuple[Rows, list[Rejection], list[Gap]]:
    """The top of the book once a second from depth updates and the snapshot among them (``pu`` -1), and its breaks.

    An update with a bad level is left out as a whole: the book then waits for the next snapshot.

    Raises:
        UserError: no snapshot meets its updates, so there is no book at all.
    """
    parts = sorted((_Levels(table, tz, unit) for table in tables), key=lambda part: int(part.time.min()))
    events: list[BookDelta | BookSnapshot] = []
    rejections: list[Rejection] = []
    for part in parts:
        rejections += part.rejections()
        events += part.events(symbol)
    sync = DepthSync(symbol)
    tops = list(sampled(events, SAMPLE_MS, sync))
    if not tops:
        why = sync.why or "a snapshot and updates that follow it are needed"
        raise UserError(f"{tables[0].label} gives no order book: {why}.")
    time = np.array([top.time_ms for top in tops], dtype=np.int64)
    ids = np.array([top.update_id for top in tops], dtype=np.int64)
    values = np.array([top.values() for top in tops])
    line = np.ones(len(tops), dtype=np.int64)
    return rows_of(tables[0], time, values, ids, line=line), rejections, _breaks(events)


def _breaks(events: Sequence[BookDelta | BookSnapshot]) -> list[Gap]:
    """Where an update does not follow the one before it; how many are missing cannot be known."""
    updates = [event for event in events if isinstance(event, BookDelta)]
    return [
        Gap(before.event_ms, after.event_ms, 1)
        for before, after in pairwise(updates)
        if after.previous_id != before.last_id
    ]


class _Levels:
    """The rows of one table of depth updates."""

    def __init__(self, table: RawTable, tz: tzinfo, unit: str | None) -> None:
        self.table = table
        self.time = times_of(table, column_of(table, TIME_NAMES), tz, unit)
        self.numbers: list[Int64Array] = []
        self.bad = self.time == NO_TIME
        for name in (FIRST, LAST, PREVIOUS):
            column, broken = wholes(table, name)
            self.numbers.append(column)
            self.bad |= broken
        self.side = sides(table, "side", maker=False)
        self.levels = np.column_stack([numbers(table, "price"), numbers(table, column_of(table, SIZES))])
        price, size = self.levels.T
        self.bad |= (np.abs(self.side) != 1.0) | ~np.isfinite(self.levels).all(axis=1) | (price <= 0) | (size < 0)

    def rejections(self) -> list[Rejection]:
        return [
            Rejection(self.table.label, int(self.table.lines[row]), "is no level of a depth update")
            for row in np.flatnonzero(self.bad)
        ]

    def events(self, symbol: str) -> Iterator[BookDelta | BookSnapshot]:
        first, last, previous = self.numbers
        cuts = np.flatnonzero((np.diff(last) != 0) | (np.diff(previous) != 0)) + 1
        for start, stop in zip([0, *cuts.tolist()], [*cuts.tolist(), len(last)], strict=True):
            if self.bad[start:stop].any():
                continue
            bought = self.side[start:stop] > 0
            bids, asks = self.levels[start:stop][bought], self.levels[start:stop][~bought]
            now = int(self.time[start])
            if previous[start] < 0:
                best = bids[np.argsort(-bids[:, 0])], asks[np.argsort(asks[:, 0])]
                yield BookSnapshot(symbol, int(last[start]), *best, now, now)
            else:
                yield BookDelta(
                    symbol, int(first[start]), int(last[start]), int(previous[start]), bids, asks, now, now
                )  # fmt: skip
