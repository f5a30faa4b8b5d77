"""Funding settlements in the database."""

from __future__ import annotations

import sqlite3

import numpy as np

from data.errors import UserError
from data.market import FundingFrame, SeriesKey, WriteReport
from data.row_matching import equal_rows
from database.revisions import Versions, supersede, versions_as_of, where_stood
from database.series import count_in, find_series, series_id

SELECT = (
    "SELECT time, rate, mark_price, known_at FROM funding WHERE series = ? AND time >= ? AND time < ? ORDER BY time"
)
INSERT = "INSERT OR REPLACE INTO funding (series, time, rate, mark_price, known_at) VALUES (?, ?, ?, ?, ?)"


def funding_key(exchange: str, symbol: str, source: str) -> SeriesKey:
    """The series under which a symbol's funding stands."""
    return SeriesKey(exchange, symbol, "8h", "funding", source)


def check_funding(funding: FundingFrame) -> None:
    """Refuse what cannot be stored.

    Raises:
        UserError: times are not sorted and unique, or a rate is not finite.
    """
    if len(funding) and (not (np.diff(funding.time) > 0).all() or not np.isfinite(funding.rate).all()):
        raise UserError(f"The funding of {funding.symbol} cannot be stored: times must rise and rates be finite.")


def write_funding(connection: sqlite3.Connection, funding: FundingFrame) -> WriteReport:
    """Insert new settlements, revise changed ones, leave equal ones (inside a write transaction)."""
    series = series_id(connection, funding_key(funding.exchange, funding.symbol, funding.source))
    old = _rows(connection, funding, series, int(funding.time[0]), int(funding.time[-1]) + 1)
    at = np.searchsorted(old.time, funding.time)
    known = np.zeros(len(funding), dtype=np.bool_)
    known[at < len(old)] = old.time[at[at < len(old)]] == funding.time[at < len(old)]
    both = np.flatnonzero(known)
    was, now = _numbers(old)[at[both]], _numbers(funding)[both]
    changed = both[~equal_rows(was, now)]
    replaced = _versions(old, at[changed])
    supersede(connection, series, replaced)
    known_at = funding.known_at.copy()
    known_at[changed] = np.maximum(known_at[changed], replaced.known_at)
    marks = [None if np.isnan(m) else m for m in funding.mark_price.tolist()]
    offered = list(zip(funding.time.tolist(), funding.rate.tolist(), marks, known_at.tolist(), strict=True))
    fresh = np.flatnonzero(~known)
    connection.executemany(INSERT, [(series, *offered[row]) for row in (*fresh.tolist(), *changed.tolist())])
    count_in(connection, series, len(fresh), int(funding.time[0]), int(funding.time[-1]))
    return WriteReport(len(offered), len(fresh), len(changed), len(both) - len(changed))


def read_funding(
    connection: sqlite3.Connection, exchange: str, symbol: str, source: str, low: int, high: int, as_of_ms: int | None
) -> FundingFrame:
    """Settlements with ``low <= time < high``, as they were known at ``as_of_ms`` where it is given."""
    nothing = FundingFrame.empty(exchange, symbol, source)
    series = find_series(connection, funding_key(exchange, symbol, source))
    if series is None:
        return nothing
    rows = _rows(connection, nothing, series, low, high)
    if as_of_ms is None or (rows.known_at <= as_of_ms).all():
        return rows
    old = versions_as_of(connection, series, low, high, as_of_ms, 2)
    stood = where_stood(rows.time, np.zeros(len(rows), dtype=np.int64), rows.known_at, as_of_ms, old)
    rate, mark = np.concatenate([_numbers(rows), old.values])[stood].T
    time, known_at = np.concatenate([rows.time, old.time])[stood], np.concatenate([rows.known_at, old.known_at])[stood]
    return FundingFrame(exchange, symbol, source, time, rate.copy(), mark.copy(), known_at)


def _rows(connection: sqlite3.Connection, like: FundingFrame, series: int, low: int, high: int) -> FundingFrame:
    """The present settlements of a series, named as ``like``."""
    rows = connection.execute(SELECT, (series, low, high)).fetchall()
    numbers = np.array([row[1:3] for row in rows], dtype=np.float64).reshape(-1, 2)  # no mark price: NaN
    time, known_at = (np.array([row[k] for row in rows], dtype=np.int64) for k in (0, 3))
    rate, mark = numbers.T
    return FundingFrame(like.exchange, like.symbol, like.source, time, rate.copy(), mark.copy(), known_at)


def _numbers(funding: FundingFrame) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return np.column_stack([funding.rate, funding.mark_price])


def _versions(funding: FundingFrame, which: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Versions:
    none = np.zeros(len(which), dtype=np.int64)
    return Versions(funding.time[which], none, funding.known_at[which], _numbers(funding)[which])
