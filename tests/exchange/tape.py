"""Prints and books that fit the candles: what happened inside a bar, drawn from a hash of symbol and time.

The trades of a bar begin at its open, touch its low and its high, end at its close and sum up to its volume, so a bar
that still forms is the trades so far. The book stands around the last trade; its levels change little by little.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from data.market import Float64Array, Frame, Int64Array

KEPT = 4096
SPREAD_MS = 0.97  # the last trade of a bar comes so far into it


@dataclass(frozen=True)
class Bar:
    """One candle, with the number of its trades and what takers bought."""

    open_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int = 100
    bought: float = 0.0

    @classmethod
    def of(cls, frame: Frame, row: int) -> Self:
        """A row of a frame; half of its volume was bought."""
        volume = float(frame.volume[row])
        return cls(
            int(frame.open_time[row]), float(frame.open[row]), float(frame.high[row]), float(frame.low[row]),
            float(frame.close[row]), volume, 100, volume / 2,
        )  # fmt: skip

    @classmethod
    def joined(cls, bars: list[Self], open_ms: int) -> Self:
        """Bars of a finer timeframe as one."""
        return cls(
            open_ms, bars[0].open, max(b.high for b in bars), min(b.low for b in bars), bars[-1].close,
            sum(b.volume for b in bars), sum(b.trades for b in bars), sum(b.bought for b in bars),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Prints:
    """Trades in order of time: columns of equal length."""

    ids: Int64Array
    time: Int64Array  # ms UTC
    price: Float64Array
    quantity: Float64Array
    bought: np.ndarray  # bool: the taker bought

    def last(self, now_ms: int) -> tuple[float, bool]:
        """Price and side of the last one until now (of the first before any)."""
        at = max(0, int(np.searchsorted(self.time, now_ms, side="right")) - 1)
        return float(self.price[at]), bool(self.bought[at])

    def spiked(self, moment_ms: int, price: float) -> Prints:
        """The same, with the price of the first print at or after a moment of its bar replaced."""
        at = int(np.searchsorted(self.time, moment_ms))
        if moment_ms < self.time[0] or at >= len(self.time):
            return self
        prices = self.price.copy()
        prices[at] = price
        return replace(self, price=prices)


@dataclass
class Tape:
    """Prints of bars; ``a_bar`` of them in each (at least 4)."""

    a_bar: int = 12
    seed: int = 0
    _kept: dict[tuple[str, Bar], Prints] = field(default_factory=dict)

    def prints(self, name: str, bar: Bar, step_ms: int, tick: float, lot: float) -> Prints:
        """The trades of a bar of ``step_ms``."""
        kept = self._kept.get((name, bar))
        if kept is not None and len(kept.time) == self.a_bar:
            return kept
        if len(self._kept) >= KEPT:
            self._kept.clear()
        made = self._made(name, bar, step_ms, tick, lot)
        self._kept[name, bar] = made
        return made

    def _made(self, name: str, bar: Bar, step_ms: int, tick: float, lot: float) -> Prints:
        count = self.a_bar
        draws = uniform(zlib.crc32(name.encode()) ^ self.seed ^ bar.open_ms, 3 * count).reshape(3, count)
        jitter = np.concatenate([[0.0], draws[0, 1:]])
        time = bar.open_ms + ((np.arange(count) + 0.9 * jitter) * (SPREAD_MS * step_ms / count)).astype(np.int64)
        turns = np.array([0, count // 3, count - 1 - count // 3, count - 1])
        legs = (bar.low, bar.high) if bar.close >= bar.open else (bar.high, bar.low)
        price = np.interp(np.arange(count), turns, [bar.open, *legs, bar.close])
        price = np.clip(np.round(np.round(price / tick) * tick, 10), bar.low, bar.high)
        price[turns] = [bar.open, *legs, bar.close]
        lots = max(0, round(bar.volume / lot))
        spare = max(0, lots - count)
        shares = np.floor(draws[1] / draws[1].sum() * spare) + (1 if lots >= count else 0)
        if 4 <= lots < count:
            shares[turns] = 1  # the extremes are traded at least
        shares[-1] += lots - shares.sum()
        ids = bar.open_ms // step_ms * count + np.arange(count)
        return Prints(ids.astype(np.int64), time, price, np.round(shares * lot, 10), draws[2] < 0.5)

    def so_far(self, name: str, bar: Bar, step_ms: int, steps: tuple[float, float], now_ms: int) -> Bar:
        """A bar as its trades until now have made it."""
        prints = self.prints(name, bar, step_ms, *steps)
        count = max(1, int(np.searchsorted(prints.time, now_ms, side="right")))
        price, quantity = prints.price[:count], prints.quantity[:count]
        volume = round(float(quantity.sum()), 10)
        bought = round(float(quantity[prints.bought[:count]].sum()), 10)
        return Bar(
            bar.open_ms, bar.open, float(price.max()), float(price.min()), float(price[-1]), volume, count, bought
        )


@dataclass(frozen=True, eq=False)
class Book:
    """Levels best first: prices in ticks, sizes in lots."""

    bids: dict[int, int]
    asks: dict[int, int]

    def changes_to(self, later: Book) -> tuple[dict[int, int], dict[int, int]]:
        """Levels of ``later`` that differ; those that are gone have size 0."""
        return _changes(self.bids, later.bids), _changes(self.asks, later.asks)


def _changes(before: dict[int, int], after: dict[int, int]) -> dict[int, int]:
    gone = {price: 0 for price in before if price not in after}
    return {price: size for price, size in sorted({**gone, **after}.items()) if before.get(price, 0) != size}


def book_at(name: str, step: int, best_bid: int, levels: int) -> Book:
    """The book at a step of time; a level changes its size every twentieth step."""
    seed = zlib.crc32(name.encode())
    bids = np.arange(best_bid, max(0, best_bid - levels), -1, dtype=np.int64)
    asks = np.arange(best_bid + 1, best_bid + 1 + levels, dtype=np.int64)
    return Book(_sized(bids, seed, step), _sized(asks, seed, step))


def _sized(prices: Int64Array, seed: int, step: int) -> dict[int, int]:
    own = mixed(prices.astype(np.uint64) + np.uint64(seed))
    age = (own % np.uint64(20) + np.uint64(step)) // np.uint64(20)
    sizes = mixed(own ^ age) % np.uint64(5000) + np.uint64(1)
    return dict(zip(prices.tolist(), sizes.tolist(), strict=True))


def mixed(values: np.ndarray) -> np.ndarray:
    """The splitmix64 hash of 64-bit numbers."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(seed: int, count: int) -> Float64Array:
    """Numbers in (0, 1) that only depend on the seed."""
    start = mixed(np.array([seed], dtype=np.uint64))
    drawn = mixed(start + np.arange(count, dtype=np.uint64))
    return (drawn >> np.uint64(11)).astype(np.float64) / 2.0**53 + 1e-12
