"""Market types: what a series is, and bars and funding as columns over time.

Times are integer milliseconds UTC. A bar is named by its open time and known at its close.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.timeframes import timeframe_ms

Int64Array = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]
Record = npt.NDArray[Any]  # structured array

QUOTES = ("USDT", "USDC", "USD")
BAR_KINDS = ("ohlcv", "mark", "index")  # series of candles; the others are settlements and observations
KINDS = (*BAR_KINDS, "funding", "premium", "metrics", "trades", "book", "liquidations")
TICK = "tick"  # the timeframe of a series of events
SOURCES = ("exchange", "synthetic")  # a file import declares the exchange it was recorded from


class BarMark(IntEnum):
    """Where a bar comes from, and whether it may be decided on."""

    REAL = 0
    REPAIRED = 1  # missing or broken at first; fetched again, or made from a finer series, later
    SYNTHETIC = 2
    SUSPECT = 3  # as the exchange has it, but at odds with its mark price: stored, never decided on


def unified_symbol(text: str) -> str:
    """``BTCUSDT`` or ``BTC/USDT`` or ``BTC/USDT:USDT`` as the unified ``BTC/USDT:USDT``.

    Raises:
        UserError: the text names no linear perpetual.
    """
    name = text.strip().upper()
    unified = re.fullmatch(r"([A-Z0-9]{1,20})/([A-Z]{3,5})(?::([A-Z]{3,5}))?", name)
    if unified and unified[2] in QUOTES and unified[3] in (None, unified[2]):
        return f"{unified[1]}/{unified[2]}:{unified[2]}"
    for quote in QUOTES:
        if re.fullmatch(r"[A-Z0-9]{2,20}", name) and name.endswith(quote) and len(name) > len(quote):
            return f"{name[: -len(quote)]}/{quote}:{quote}"
    raise UserError(f"Unknown symbol '{text}': write for example BTCUSDT or BTC/USDT:USDT.")


def short_symbol(symbol: str) -> str:
    """``BTC/USDT:USDT`` as ``BTCUSDT``, for tables and file names."""
    return symbol.split(":")[0].replace("/", "")


def distinct_times(times: Int64Array) -> Int64Array:
    """Times in order, each once (``numpy.unique`` hashes integers: a hundred times slower on regular times)."""
    ordered = np.sort(times)
    fresh = np.ones(len(ordered), dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    return ordered[fresh]


@dataclass(frozen=True, slots=True, order=True)
class SeriesKey:
    """One stored series. ``symbol`` is unified, ``timeframe`` one of TIMEFRAMES (funding ``8h``, events ``tick``)."""

    exchange: str
    symbol: str
    timeframe: str
    kind: str = "ohlcv"
    source: str = "exchange"

    @property
    def step_ms(self) -> int:
        """Length of one bar in milliseconds."""
        return timeframe_ms(self.timeframe)

    @property
    def holds_bars(self) -> bool:
        """Whether its rows are candles (then, and only then, it has a step)."""
        return self.kind in BAR_KINDS

    def __str__(self) -> str:
        return f"{self.exchange} {short_symbol(self.symbol)} {self.timeframe} {self.kind} ({self.source})"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Bars of one series as columns of equal length T, sorted by ``open_time``, without duplicates."""

    key: SeriesKey
    open_time: Int64Array  # [T] ms UTC
    open: Float64Array  # [T] quote per base
    high: Float64Array
    low: Float64Array
    close: Float64Array
    volume: Float64Array  # [T] base units
    known_at: Int64Array  # [T] ms UTC, the moment at which the bar was known (its close, or the fetch)
    mark: UInt8Array  # [T] BarMark

    def __len__(self) -> int:
        return len(self.open_time)

    def slice(self, start: int, stop: int) -> Self:
        """Rows ``start:stop`` by position (views, no copy)."""
        part = slice(start, stop)
        return type(self)(
            self.key, self.open_time[part], self.open[part], self.high[part], self.low[part], self.close[part],
            self.volume[part], self.known_at[part], self.mark[part],
        )  # fmt: skip

    def take(self, which: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> Self:
        """The rows of ``which`` (copies)."""
        return type(self)(
            self.key, self.open_time[which], self.open[which], self.high[which], self.low[which], self.close[which],
            self.volume[which], self.known_at[which], self.mark[which],
        )  # fmt: skip

    def between(self, start_ms: int, end_ms: int) -> Self:
        """Rows with ``start_ms <= open_time < end_ms``."""
        first, last = np.searchsorted(self.open_time, [start_ms, end_ms])
        return self.slice(int(first), int(last))

    @classmethod
    def of(
        cls, key: SeriesKey, open_time: Int64Array, open: Float64Array, high: Float64Array, low: Float64Array,
        close: Float64Array, volume: Float64Array, known_at: Int64Array | None = None, mark: UInt8Array | None = None,
    ) -> Self:  # fmt: skip
        """Build from plain columns; ``known_at`` defaults to the close, ``mark`` to real (or synthetic by source)."""
        times = np.ascontiguousarray(open_time, dtype=np.int64)
        o, h, lo, c, v = (np.ascontiguousarray(x, dtype=np.float64) for x in (open, high, low, close, volume))
        if known_at is None:
            known_at = times + key.step_ms
        if mark is None:
            value = BarMark.SYNTHETIC if key.source == "synthetic" else BarMark.REAL
            mark = np.full(len(times), value, dtype=np.uint8)
        return cls(key, times, o, h, lo, c, v, np.ascontiguousarray(known_at, dtype=np.int64), mark)

    @classmethod
    def empty(cls, key: SeriesKey) -> Self:
        """A frame without rows."""
        none = np.empty(0, dtype=np.float64)
        return cls.of(key, np.empty(0, dtype=np.int64), none, none, none, none, none)


@dataclass(frozen=True, slots=True, eq=False)
class FundingFrame:
    """Funding settlements of one symbol, sorted by time. ``mark_price`` is NaN where none is stored."""

    exchange: str
    symbol: str
    source: str
    time: Int64Array  # [N] ms UTC, rounded to the minute
    rate: Float64Array  # [N] fraction of notional; positive: longs pay
    mark_price: Float64Array  # [N]
    known_at: Int64Array = field(default_factory=lambda: np.empty(0, dtype=np.int64))  # [N] ms UTC

    def __post_init__(self) -> None:
        """A settlement is known at its time where nothing else is said."""
        if len(self.known_at) != len(self.time):
            object.__setattr__(self, "known_at", self.time)

    def __len__(self) -> int:
        return len(self.time)

    @classmethod
    def empty(cls, exchange: str, symbol: str, source: str = "exchange") -> Self:
        """No settlements."""
        none = np.empty(0, dtype=np.float64)
        return cls(exchange, symbol, source, np.empty(0, dtype=np.int64), none, none)


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What a write into the store did."""

    rows: int  # offered
    inserted: int
    revised: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """A stored series and how much of it there is."""

    key: SeriesKey
    rows: int
    first_ms: int
    last_ms: int
