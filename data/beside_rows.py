"""What is stored beside a series of bars, brought to their closes: the rows of :class:`data.beside.Beside`.

What counts is ``known_at``: an observation that came after the close of a bar is not in that bar's values, then as now,
so a later run over the same store gives the same numbers. Observations are read with all their versions, and the
version that stood at the close counts. Ages are limits between the close and the moment a row speaks of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data.beside import ASK, BESIDE, BID, BOUGHT, CROSS, CROSS_SYMBOLS, IMBALANCE, LIQUIDATED, MICROPRICE, SOLD, Beside
from data.beside import TRADES as TRADE_COUNT
from data.market import TICK, BarMark, Float64Array, Frame, Int64Array, SeriesInfo, SeriesKey
from data.observations import BOOK_DEPTH, Observations
from data.point_in_time import join_bars, rows_as_of
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS

PREMIUM_AGE_MS = 2 * MINUTE_MS  # told every second or three; a mark candle counts to its close
METRICS_AGE_MS = HOUR_MS  # told every five minutes, by some files every half hour
BOOK_AGE_MS = 5_000  # stored every second while a stream keeps it; an older one says nothing of the moment
QUIET_MS = DAY_MS  # no liquidation for so long: nobody was listening
LATE_MS = 45_000  # so long a live run waits for a symbol behind the others (longer than the longest pause between two
# looks), and so long after its close the bar of another symbol still counts

_PREMIUM = ("mark_price", "index_price")
_METRICS = ("open_interest", "account_ratio", "top_account_ratio", "top_position_ratio", "taker_ratio")
_BOOK = ("bid", "ask", "imbalance_1", "imbalance_5", "imbalance_10", "microprice")
_FLOW = ("taker_buy", "taker_sell", "trades")
_FORCED = ("liquidated_long", "liquidated_short")
_LEVELS = (1, 5, 10)
_BLOCK_MS = {"premium": 7 * DAY_MS, "metrics": 365 * DAY_MS, "liquidations": 30 * DAY_MS}
_BLOCK_OTHER_MS = 6 * HOUR_MS  # of trades and books: some hundred thousand rows in memory at a time

Bars = tuple[slice, Observations]


class BesideStore(Protocol):
    """What is read; ``database.candles`` implements it."""

    def series(self) -> list[SeriesInfo]:
        """Every stored series with rows and span."""
        ...

    def read(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Frame:
        """Bars with ``start_ms <= open_time < end_ms``."""
        ...

    def read_versions(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> Observations:
        """Every version of the observations with ``start_ms <= time < end_ms``."""
        ...


def cross_keys(store: BesideStore, key: SeriesKey, symbols: Sequence[str]) -> tuple[SeriesKey | None, ...]:
    """The stored series of the first two of ``symbols`` that are not the own one; ``None`` where one is not stored.

    A symbol keeps its place whether it is stored or not, so a feature means the same symbol in every home.
    """
    return _cross_keys({info.key for info in store.series() if info.rows}, key, symbols)


def _cross_keys(stored: Collection[SeriesKey], key: SeriesKey, symbols: Sequence[str]) -> tuple[SeriesKey | None, ...]:
    wanted = [replace(key, symbol=symbol) for symbol in symbols if symbol != key.symbol][:CROSS_SYMBOLS]
    return tuple(other if other in stored else None for other in wanted)


def beside_of(
    store: BesideStore, key: SeriesKey, open_time: Int64Array, cross: Sequence[str] = (),
    rows: Collection[str] = BESIDE,
) -> Beside | None:  # fmt: skip
    """What was known at the closes of these bars of ``key``; ``None`` where nothing of it is stored.

    Args:
        store: where it is read from; a series that is not there is not asked for.
        key: series of bars; what stands beside it is of the same exchange, symbol and source.
        open_time: ``[T]`` ms UTC, ascending.
        cross: symbols whose closes are looked at (see :func:`cross_keys`).
        rows: those of BESIDE that are wanted; a kind of observations of which none is wanted is not read.
    """
    stored = {info.key: info for info in store.series() if info.rows}
    reader = _Reader(store, key, open_time, stored, frozenset(rows))
    beside = Beside.nothing(open_time)
    found = False
    for kind, names, work in (
        ("premium", _PREMIUM, _premium), ("metrics", _METRICS, _metrics), ("book", _BOOK, _book),
        ("trades", _FLOW, _flow), ("liquidations", _FORCED, _forced),
    ):  # fmt: skip
        if not set(names) & set(rows):
            continue
        if reader.info(kind) is not None:
            work(reader, beside.values)
            found = True
        if kind == "premium":
            found |= _candles(reader, beside.values)
    for k, other in enumerate(_cross_keys(stored, key, cross)):
        if other is not None and BESIDE[CROSS + k] in rows and len(open_time):
            beside.values[CROSS + k] = _cross(reader, other)
            found = True
    return beside if found else None


class _Reader:
    """Stored rows near the closes of the bars, in pieces of bounded size."""

    def __init__(
        self, store: BesideStore, key: SeriesKey, open_time: Int64Array, stored: dict[SeriesKey, SeriesInfo],
        wanted: frozenset[str],
    ) -> None:  # fmt: skip
        self.store = store
        self.key = key
        self.open_time = open_time
        self.close_time: Int64Array = open_time + key.step_ms
        self.stored = stored
        self.wanted = wanted

    def info(self, kind: str) -> SeriesInfo | None:
        """The stored series of a kind of observations."""
        return self.stored.get(SeriesKey(self.key.exchange, self.key.symbol, TICK, kind, self.key.source))

    def pieces(self, kind: str, reach_ms: int) -> Iterator[Bars]:
        """Bars, and the versions of rows that speak of the ``reach_ms`` before their closes.

        Where the bars are much longer than the reach, only that part of each is read.
        """
        info = self.info(kind)
        if info is None or not len(self.open_time):
            return
        first = int(np.searchsorted(self.close_time, info.first_ms))
        stop = int(np.searchsorted(self.close_time, info.last_ms + reach_ms, side="right"))
        step = self.key.step_ms
        bars = 1 if step > 4 * reach_ms else max(1, _BLOCK_MS.get(kind, _BLOCK_OTHER_MS) // step)
        for begin in range(first, stop, bars):
            part = slice(begin, min(begin + bars, stop))
            closes = self.close_time[part]
            yield part, self.store.read_versions(info.key, int(closes[0]) - reach_ms, int(closes[-1]) + 1)


def _joined(seen: Observations, name: str, moments: Int64Array, max_age_ms: int) -> Float64Array:
    """One column as known at the moments, by the rows that tell it (a source may tell a part of the columns)."""
    values = seen.column(name)
    there = ~np.isnan(values)
    time, told = seen.time[there], values[there]
    row = rows_as_of(time, seen.known_at[there], moments)
    return _young(told, time, row, moments, max_age_ms)


def _young(
    values: Float64Array, time: Int64Array, row: Int64Array, moments: Int64Array, max_age_ms: int
) -> Float64Array:
    out: Float64Array = np.full(len(moments), np.nan)
    held = np.flatnonzero(row >= 0)
    held = held[moments[held] - time[row[held]] <= max_age_ms]
    out[held] = values[row[held]]
    return out


def _premium(reader: _Reader, out: Float64Array) -> None:
    for part, seen in reader.pieces("premium", PREMIUM_AGE_MS):
        for name in reader.wanted.intersection(_PREMIUM):
            out[BESIDE.index(name), part] = _joined(seen, name, reader.close_time[part], PREMIUM_AGE_MS)


def _metrics(reader: _Reader, out: Float64Array) -> None:
    for part, seen in reader.pieces("metrics", METRICS_AGE_MS):
        for name in reader.wanted.intersection(_METRICS):
            out[BESIDE.index(name), part] = _joined(seen, name, reader.close_time[part], METRICS_AGE_MS)


def _candles(reader: _Reader, out: Float64Array) -> bool:
    """Mark and index candles where no observation tells the price; the shorter timeframe first."""
    key, found = reader.key, False
    for kind in ("mark", "index"):
        at = BESIDE.index(f"{kind}_price")
        if f"{kind}_price" not in reader.wanted:
            continue
        same = (key.exchange, key.symbol, kind, key.source)
        known = [k for k in reader.stored if (k.exchange, k.symbol, k.kind, k.source) == same]
        for candle_key in sorted(known, key=lambda k: k.step_ms):
            missing = np.flatnonzero(np.isnan(out[at]))
            if not len(missing):
                break
            moments = reader.close_time[missing]
            frame = reader.store.read(
                candle_key, int(moments[0]) - PREMIUM_AGE_MS - candle_key.step_ms, int(moments[-1]) + 1
            )
            out[at, missing] = join_bars(frame, moments, ("close",), PREMIUM_AGE_MS)[:, 0]
            found = True
    return found


def _book(reader: _Reader, out: Float64Array) -> None:
    for part, seen in reader.pieces("book", BOOK_AGE_MS):
        moments = reader.close_time[part]
        row = rows_as_of(seen.time, seen.known_at, moments)
        held = np.flatnonzero(row >= 0)
        held = held[moments[held] - seen.time[row[held]] <= BOOK_AGE_MS]
        sides = seen.values[row[held]].reshape(len(held), 4, BOOK_DEPTH)
        bid, bid_size, ask, ask_size = (sides[:, k] for k in range(4))
        at = held + part.start
        best_bid, best_ask = bid_size[:, 0], ask_size[:, 0]
        out[BID, at], out[ASK, at] = bid[:, 0], ask[:, 0]
        for k, levels in enumerate(_LEVELS):
            out[IMBALANCE + k, at] = _imbalance(bid_size[:, :levels], ask_size[:, :levels])
        out[MICROPRICE, at] = (bid[:, 0] * best_ask + ask[:, 0] * best_bid) / (best_bid + best_ask)


def _imbalance(bid_size: Float64Array, ask_size: Float64Array) -> Float64Array:
    bids, asks = np.nansum(bid_size, axis=1), np.nansum(ask_size, axis=1)
    both = bids + asks
    out: Float64Array = np.full(len(both), np.nan)
    np.divide(bids - asks, both, out=out, where=both > 0.0)
    return out


def _flow(reader: _Reader, out: Float64Array) -> None:
    """Sums over the trades of a bar that were known by its close; a bar without any is missing."""
    for part, seen in reader.pieces("trades", reader.key.step_ms):
        bars = part.stop - part.start
        bar, volume, side = _inside(reader, part, seen)
        count = np.bincount(bar, minlength=bars).astype(np.float64)
        bought = np.bincount(bar[side > 0], volume[side > 0], bars)
        sold = np.bincount(bar[side < 0], volume[side < 0], bars)
        some = count > 0.0
        for at, values in ((BOUGHT, bought), (SOLD, sold), (TRADE_COUNT, count)):
            out[at, part] = np.where(some, values, np.nan)


def _forced(reader: _Reader, out: Float64Array) -> None:
    """Sums over the liquidations of a bar that were known by its close; 0 as long as somebody was listening."""
    for part, seen in reader.pieces("liquidations", max(QUIET_MS, reader.key.step_ms)):
        moments, bars = reader.close_time[part], part.stop - part.start
        newest = rows_as_of(seen.time, seen.known_at, moments)
        heard = np.isfinite(_young(np.zeros(len(seen)), seen.time, newest, moments, QUIET_MS))
        bar, volume, side = _inside(reader, part, seen)
        for at, closed in ((LIQUIDATED, side < 0), (LIQUIDATED + 1, side > 0)):  # a long is forced out by a sale
            out[at, part] = np.where(heard, np.bincount(bar[closed], volume[closed], bars), np.nan)


def _inside(
    reader: _Reader, part: slice, seen: Observations
) -> tuple[npt.NDArray[np.intp], Float64Array, Float64Array]:
    """Bar (counted from the part's first), quantity and side of every event inside a bar and known by its close."""
    first = np.ones(len(seen), dtype=np.bool_)  # versions of one event stand together: the first is what was told
    first[1:] = (np.diff(seen.time) != 0) | (np.diff(seen.id) != 0)
    opens, closes = reader.open_time[part], reader.close_time[part]
    bar = np.searchsorted(opens, seen.time, side="right") - 1
    held = first & (bar >= 0)
    bar = np.maximum(bar, 0)
    held &= (seen.time < closes[bar]) & (seen.known_at <= closes[bar])
    chosen = seen.take(held)
    return bar[held], chosen.column("quantity"), chosen.column("side")


def _cross(reader: _Reader, other: SeriesKey) -> Float64Array:
    """Closes of another symbol's bars that closed at the same moments and were known soon enough."""
    frame = reader.store.read(other, int(reader.open_time[0]), int(reader.open_time[-1]) + 1)
    frame = frame.take(frame.mark != BarMark.SUSPECT)
    return join_bars(frame, reader.close_time + LATE_MS, ("close",), LATE_MS)[:, 0]
