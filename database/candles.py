"""Market data in the database: rows are the truth, chunks of columns are what a long read takes.

A chunk holds the bars of one span (``chunk_days`` UTC days, aligned to 1970) as packed columns. It is written or
deleted in the transaction that touches any row of its span, so a chunk is never older than its rows.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, fields
from functools import partial

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.market import (
    Frame,
    FundingFrame,
    SeriesInfo,
    SeriesKey,
    WriteReport,
)
from data.observations import Observations
from data.timeframes import DAY_MS
from database.bulk import insert_columns
from database.chunks import (
    PRICES,
    Columns,
    chunk_days,
    compact,
    compare,
    join_columns,
    read_columns,
    refresh_chunks,
)
from database.connection import Database
from database.funding import check_funding, read_funding, write_funding
from database.observations import check_observations, read_observations, read_versions, write_observations
from database.revisions import Versions, first_versions, supersede, versions_as_of, where_stood
from database.series import FOREVER, count_in, find_series, half_open, series_id

BAR_NUMBERS = 6  # prices, volume and mark of a superseded bar
INSERT = "INSERT OR REPLACE INTO market_data"


@dataclass(frozen=True, slots=True)
class ChunkFinding:
    """A chunk that does not hold what its rows say."""

    series: SeriesKey
    day: int
    what: str


class Candles:
    """``data.store.MarketStore`` over the database: candles, settlements and observations."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # ---- writing -------------------------------------------------------------------------------------------------

    def write(self, frame: Frame) -> WriteReport:
        """Insert new bars, revise changed ones, leave equal ones; one transaction.

        A bar whose prices, volume and mark are stored already is a duplicate and keeps its first ``known_at``.

        Raises:
            UserError: the bars are not sorted, repeat an open time, or hold a number that is not finite.
        """
        _check_frame(frame)
        if not len(frame):
            return WriteReport(0, 0, 0, 0)
        return self._db.write(lambda connection: _write_frame(connection, frame))

    def write_funding(self, funding: FundingFrame) -> WriteReport:
        """Insert or revise settlements; one transaction.

        Raises:
            UserError: times are not sorted and unique, or a rate is not finite.
        """
        check_funding(funding)
        if not len(funding):
            return WriteReport(0, 0, 0, 0)
        return self._db.write(lambda connection: write_funding(connection, funding))

    def write_observations(self, observations: Observations) -> WriteReport:
        """Insert new rows, revise changed ones, leave equal ones (they keep their first ``known_at``); one transaction.

        Raises:
            UserError: the kind has no columns, rows are not in order, or a number is infinite.
        """
        check_observations(observations)
        if not len(observations):
            return WriteReport(0, 0, 0, 0)
        return self._db.write(lambda connection: write_observations(connection, observations))

    # ---- reading -------------------------------------------------------------------------------------------------

    def read(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Frame:
        """Bars with ``start_ms <= open_time < end_ms``, as they were known at ``as_of_ms`` where it is given.

        An unknown series gives an empty frame.
        """
        low, high = half_open(start_ms, end_ms)
        with self._db.snapshot() as connection:
            series = find_series(connection, key)
            if series is None:
                return Frame.empty(key)
            columns = read_columns(connection, series, key.step_ms, low, high)
            if as_of_ms is not None and not (columns.known_at <= as_of_ms).all():
                columns = _as_of(
                    columns, versions_as_of(connection, series, low, high, as_of_ms, BAR_NUMBERS), as_of_ms
                )
        return _frame(key, columns)

    def read_first(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> Frame:
        """Bars with ``start_ms <= open_time < end_ms`` as each was when it was first known: what a session saw."""
        low, high = half_open(start_ms, end_ms)
        with self._db.snapshot() as connection:
            series = find_series(connection, key)
            if series is None:
                return Frame.empty(key)
            columns = read_columns(connection, series, key.step_ms, low, high)
            first = _old_bars(first_versions(connection, series, low, high, BAR_NUMBERS))
        whole = join_columns([columns.take(~np.isin(columns.open_time, first.open_time)), first])
        return _frame(key, whole.take(np.argsort(whole.open_time, kind="stable")))

    def tail(self, key: SeriesKey, rows: int, before_ms: int | None = None) -> Frame:
        """The last ``rows`` bars that open before ``before_ms``."""
        high = FOREVER if before_ms is None else before_ms
        with self._db.snapshot() as connection:
            series = find_series(connection, key)
            if series is None or rows <= 0:
                return Frame.empty(key)
            first = connection.execute(
                "SELECT open_time FROM market_data WHERE series = ? AND open_time < ? "
                "ORDER BY open_time DESC LIMIT 1 OFFSET ?",
                (series, high, rows - 1),
            ).fetchone()
            low = first[0] if first else -FOREVER
            return _frame(key, read_columns(connection, series, key.step_ms, low, high))

    def series(self) -> list[SeriesInfo]:
        """Every stored series with rows and span (``kind='funding'`` ones too), in order of its key."""
        rows = self._db.rows(
            "SELECT exchange, symbol, timeframe, kind, source, rows, first_ms, last_ms FROM series WHERE rows > 0 "
            "ORDER BY exchange, symbol, timeframe, kind, source"
        )
        return [SeriesInfo(SeriesKey(*row[:5]), *row[5:]) for row in rows]

    def read_funding(
        self, exchange: str, symbol: str, source: str, start_ms: int | None = None, end_ms: int | None = None,
        as_of_ms: int | None = None,
    ) -> FundingFrame:  # fmt: skip
        """Settlements with ``start_ms <= time < end_ms``, as they were known at ``as_of_ms`` where it is given."""
        with self._db.snapshot() as connection:
            return read_funding(connection, exchange, symbol, source, *half_open(start_ms, end_ms), as_of_ms)

    def read_observations(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Observations:
        """Rows with ``start_ms <= time < end_ms``, as they were known at ``as_of_ms`` where it is given.

        An unknown series gives no rows.
        """
        with self._db.snapshot() as connection:
            return read_observations(connection, key, *half_open(start_ms, end_ms), as_of_ms)

    def read_versions(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> Observations:
        """Every version of the rows with ``start_ms <= time < end_ms``: for joins at many moments at once.

        The versions of a row stand one after the other in the order of writing, as :mod:`data.point_in_time` takes
        them; a ``(time, id)`` may therefore come more than once.
        """
        with self._db.snapshot() as connection:
            return read_versions(connection, key, *half_open(start_ms, end_ms))

    # ---- care ----------------------------------------------------------------------------------------------------

    def verify_chunks(self) -> list[ChunkFinding]:
        """Every chunk that differs from its rows (none in a sound database). Reads all chunks."""
        findings: list[ChunkFinding] = []
        with self._db.snapshot() as connection:
            for row in connection.execute(
                "SELECT id, exchange, symbol, timeframe, kind, source FROM series"
            ).fetchall():
                key = SeriesKey(*row[1:])
                if not key.holds_bars:
                    continue
                width = chunk_days(key.step_ms) * DAY_MS
                for day, rows, blob in connection.execute(
                    "SELECT day, rows, blob FROM market_chunk WHERE series = ? ORDER BY day", (row[0],)
                ):
                    if what := compare(connection, row[0], day * DAY_MS, width, rows, blob):
                        findings.append(ChunkFinding(key, day, what))
        return findings

    def compact(self) -> int:
        """Write the chunks that are missing (spans that grew bar by bar); how many."""
        made = 0
        for info in self.series():
            if info.key.holds_bars:
                made += self._db.write(partial(_compact, key=info.key))
        return made


def _check_frame(frame: Frame) -> None:
    times = frame.open_time
    if len(times) > 1 and not (np.diff(times) > 0).all():
        raise UserError(f"The bars of {frame.key} cannot be stored: their open times must rise without repeats.")
    for name in PRICES:
        bad = np.flatnonzero(~np.isfinite(getattr(frame, name)))
        if len(bad):
            raise UserError(
                f"The bars of {frame.key} cannot be stored: {name} of the bar at {times[bad[0]]} ms is not finite."
            )


# ---- bars --------------------------------------------------------------------------------------------------------


def _write_frame(connection: sqlite3.Connection, frame: Frame) -> WriteReport:
    series = series_id(connection, frame.key)
    step = frame.key.step_ms
    width = chunk_days(step) * DAY_MS
    new = Columns(
        frame.open_time, frame.open, frame.high, frame.low, frame.close, frame.volume, frame.known_at, frame.mark
    )
    spans = frame.open_time // width
    low, high = int(spans[0]) * width, (int(spans[-1]) + 1) * width
    old = read_columns(connection, series, step, low, high)
    at, known, equal = _match(old, new)
    fresh = new.take(~known)
    changed = known & ~equal
    revised = new.take(changed)
    if len(revised):
        replaced = old.take(at[changed])
        supersede(connection, series, _versions(replaced))
        revised.known_at[:] = np.maximum(revised.known_at, replaced.known_at)
    for part in (fresh, revised):
        if len(part):
            insert_columns(connection, INSERT, _lists(series, part))
    if len(fresh) or len(revised):
        merged = _merge(old, at[changed], revised, fresh)
        touched = spans[~known | changed]
        refresh_chunks(connection, series, step, merged, touched)
    count_in(connection, series, len(fresh), int(frame.open_time[0]), int(frame.open_time[-1]))
    return WriteReport(len(new), len(fresh), len(revised), len(new) - len(fresh) - len(revised))


def _match(old: Columns, new: Columns) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Where each new bar stands in ``old``, whether it is there, and whether it says the same."""
    at = np.searchsorted(old.open_time, new.open_time)
    if not len(old):
        none = np.zeros(len(new), dtype=np.bool_)
        return at, none, none
    at = np.minimum(at, len(old) - 1)
    known = old.open_time[at] == new.open_time
    equal = known.copy()
    for name in (*PRICES, "mark"):
        equal &= getattr(old, name)[at] == getattr(new, name)
    return at, known, equal


def _merge(old: Columns, at: npt.NDArray[np.intp], revised: Columns, fresh: Columns) -> Columns:
    if not len(old):
        return fresh
    merged = []
    times = np.concatenate([old.open_time, fresh.open_time])
    order = np.argsort(times, kind="stable")
    for f in fields(Columns):
        column = getattr(old, f.name).copy()
        column[at] = getattr(revised, f.name)
        merged.append(np.concatenate([column, getattr(fresh, f.name)])[order])
    return Columns(*merged)


def _lists(series: int, rows: Columns) -> list[list[float]]:
    return [[series] * len(rows), *(getattr(rows, f.name).tolist() for f in fields(Columns))]


def _frame(key: SeriesKey, rows: Columns) -> Frame:
    """Columns that own their memory: kernels compiled for ordinary arrays take no read-only ones."""
    return Frame(key, *(np.require(getattr(rows, f.name), requirements=("C", "W", "A")) for f in fields(Columns)))


def _versions(rows: Columns) -> Versions:
    values = np.column_stack([getattr(rows, name) for name in (*PRICES, "mark")])
    return Versions(rows.open_time, np.zeros(len(rows), dtype=np.int64), rows.known_at, values)


def _as_of(rows: Columns, old: Versions, as_of_ms: int) -> Columns:
    """Bars as they stood at a moment, of the present ones and the newest superseded ones known by then."""
    stood = where_stood(rows.open_time, np.zeros(len(rows), dtype=np.int64), rows.known_at, as_of_ms, old)
    return join_columns([rows, _old_bars(old)]).take(stood)


def _old_bars(old: Versions) -> Columns:
    open_, high, low, close, volume, mark = old.values.T
    return Columns(old.time, open_, high, low, close, volume, old.known_at, mark.astype(np.uint8))


def _compact(connection: sqlite3.Connection, key: SeriesKey) -> int:
    return compact(connection, series_id(connection, key), key.step_ms)
