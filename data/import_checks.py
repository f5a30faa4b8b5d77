"""What must not be true of an imported row, by kind: the reason as a person reads it, and the rows it holds for."""

from __future__ import annotations

import numpy as np

from data.import_rows import NO_ID, BoolArray, Rows
from data.import_times import NO_TIME
from data.market import BarMark, Float64Array, Int64Array
from data.observations import BOOK_COLUMNS
from data.timeframes import MINUTE_MS

MAX_SETTLEMENT_SHIFT_MS = 5_000  # recorded settlement times lag by milliseconds, never by seconds
Checks = list[tuple[str, BoolArray]]


def candle_checks(rows: Rows, step_ms: int, now_ms: int) -> Checks:
    """Of a candle (values are open, high, low, close, volume, mark)."""
    o, h, lo, c, v, mark = rows.values.T
    prices = rows.values[:, :4]
    time = rows.time
    return [
        ("has no readable time", time == NO_TIME),
        ("has a price that is no number", ~np.isfinite(prices).all(axis=1)),
        ("has a price of zero or less", (prices <= 0).any(axis=1)),
        ("has a high below its low", h < lo),
        ("has a high below its open or close", h < np.maximum(o, c)),
        ("has a low above its open or close", lo > np.minimum(o, c)),
        ("has a volume that is no number", ~np.isfinite(v)),
        ("has a negative volume", v < 0),
        ("has an unknown mark", ~(np.isnan(mark) | np.isin(mark, list(BarMark)))),
        ("does not open on the timeframe's grid", time % step_ms != 0),
        ("lies in the future", time + step_ms > now_ms),
        ("is known before its close", _known_early(rows, time + step_ms)),
    ]


def funding_checks(rows: Rows, now_ms: int) -> Checks:
    """Of a settlement (values are rate, mark price; times not yet rounded)."""
    rate, mark = rows.values.T
    minute = rounded_to_minute(rows.time)
    return [
        ("has no readable time", rows.time == NO_TIME),
        ("has a rate that is no number", ~np.isfinite(rate)),
        ("has a rate beyond 100 %", np.abs(rate) > 1.0),
        ("has a mark price that is no number", np.isinf(mark)),
        ("has a mark price of zero or less", mark <= 0),
        ("is not at a whole minute", np.abs(rows.time - minute) > MAX_SETTLEMENT_SHIFT_MS),
        ("lies in the future", rows.time > now_ms),
        ("is known before its time", _known_early(rows, minute)),
    ]


def observation_checks(rows: Rows, kind: str, now_ms: int) -> Checks:
    """Of an observation (values in the order of the kind's columns)."""
    of_kind = {"trades": _trade, "liquidations": _trade, "metrics": _metrics, "premium": _premium, "book": _book}
    return [
        ("has no readable time", rows.time == NO_TIME),
        ("has a number that cannot be read", np.isinf(rows.values[:, : _plain_numbers(kind)]).any(axis=1)),
        ("has no number to tell it by", rows.id == NO_ID),
        *of_kind[kind](rows.values),
        ("lies in the future", rows.time > now_ms),
        ("is known before its time", _known_early(rows, rows.time)),
    ]


def rounded_to_minute(time: Int64Array) -> Int64Array:
    """Times rounded to the nearest minute."""
    return ((np.where(time == NO_TIME, 0, time) + MINUTE_MS // 2) // MINUTE_MS * MINUTE_MS).astype(np.int64)


def _plain_numbers(kind: str) -> int:
    """How many leading columns are numbers: the side of a trade has words of its own."""
    return 2 if kind in ("trades", "liquidations") else len(BOOK_COLUMNS)


def _known_early(rows: Rows, earliest: Int64Array) -> BoolArray:
    early: BoolArray = (rows.known_at != NO_TIME) & (rows.known_at < earliest)
    return early


def _trade(values: Float64Array) -> Checks:
    price, quantity, side = values.T
    return [
        ("has a price that is no number", np.isnan(price)),
        ("has a price of zero or less", price <= 0),
        ("has a quantity that is no number", np.isnan(quantity)),
        ("has a quantity of zero or less", quantity <= 0),
        ("says neither buy nor sell", np.abs(side) != 1.0),
    ]


def _metrics(values: Float64Array) -> Checks:
    empty: BoolArray = np.all(np.isnan(values), axis=1)
    negative: BoolArray = np.any(values < 0, axis=1)
    return [("holds no number", empty), ("has a negative number", negative)]


def _premium(values: Float64Array) -> Checks:
    mark, index, rate, _, interval = values.T
    return [
        ("has neither mark price nor index price", np.isnan(mark) & np.isnan(index)),
        ("has a price of zero or less", (mark <= 0) | (index <= 0)),
        ("has a rate beyond 100 %", np.abs(rate) > 1.0),
        ("has an interval of zero or less", interval <= 0),
    ]


def _book(values: Float64Array) -> Checks:
    depth = len(BOOK_COLUMNS) // 4
    bids, bid_sizes, asks, ask_sizes = (values[:, k * depth : (k + 1) * depth] for k in range(4))
    sizes = np.hstack([bid_sizes, ask_sizes])
    prices = np.hstack([bids, asks])
    with np.errstate(invalid="ignore"):  # cells that are no numbers are infinite
        disorder = ((np.diff(bids, axis=1) >= 0) | (np.diff(asks, axis=1) <= 0)).any(axis=1)
    return [
        ("has neither bid nor ask", np.isnan(bids[:, 0]) & np.isnan(asks[:, 0])),
        ("has a price of zero or less", (prices <= 0).any(axis=1)),
        ("has a negative size", (sizes < 0).any(axis=1)),
        ("has a level without price or size", (np.isnan(prices) != np.isnan(sizes)).any(axis=1)),
        ("has a bid at or above its ask", bids[:, 0] >= asks[:, 0]),
        ("has levels out of order", disorder),
    ]
