"""One bar by itself, and what may be noticed of bars: revisions, holes, impossible and suspect ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.market import BarMark, Frame, SeriesKey

SAME = 1e-9  # relative: numbers of two messages about one bar


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: open time in ms UTC, prices in quote per base, volume in base units."""

    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def values(self) -> tuple[float, float, float, float, float]:
        """Open, high, low, close, volume."""
        return self.open, self.high, self.low, self.close, self.volume

    def equals(self, other: Bar) -> bool:
        """The same values, but for the last digits that parsing may cost."""
        return self.open_time == other.open_time and all(
            a == b or math.isclose(a, b, rel_tol=SAME, abs_tol=1e-12)
            for a, b in zip(self.values, other.values, strict=True)
        )

    def fault(self, step_ms: int) -> str:
        """What makes the bar impossible, empty when nothing does."""
        if not all(map(math.isfinite, self.values)):
            return "a value is no number"
        if min(self.open, self.high, self.low, self.close) <= 0:
            return "a price is zero or negative"
        if self.volume < 0:
            return "its volume is negative"
        if self.high < self.low:
            return "its high is below its low"
        if self.high < max(self.open, self.close) or self.low > min(self.open, self.close):
            return "its open or close lies outside its high and low"
        return "" if self.open_time % step_ms == 0 else "its time is off the timeframe's grid"


@dataclass(frozen=True, slots=True)
class Revision:
    """The exchange changed a bar that was given already; ``before`` is ``None`` where it was told as a hole."""

    key: SeriesKey
    before: Bar | None
    after: Bar


@dataclass(frozen=True, slots=True)
class Hole:
    """Bars with ``start_ms <= open_time < end_ms`` that the exchange does not have; the sequence goes on behind."""

    key: SeriesKey
    start_ms: int
    end_ms: int

    @property
    def bars(self) -> int:
        """How many are missing."""
        return (self.end_ms - self.start_ms) // self.key.step_ms


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A bar that cannot be: it is not given, and REST is asked for it."""

    key: SeriesKey
    bar: Bar
    why: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """A bar given with ``BarMark.SUSPECT``: REST confirms it, the mark price does not (NaN: none was to be had)."""

    key: SeriesKey
    bar: Bar
    mark_low: float
    mark_high: float


Note = Revision | Hole | Quarantined | Suspect


def bars_of(frame: Frame) -> list[Bar]:
    """Every row as a :class:`Bar`."""
    columns = (frame.open_time, frame.open, frame.high, frame.low, frame.close, frame.volume)
    return [Bar(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def possible_rows(frame: Frame) -> npt.NDArray[np.bool_]:
    """Which rows (mask ``[T]``) are no impossible bars, as :meth:`Bar.fault` has it."""
    prices = np.column_stack([frame.open, frame.high, frame.low, frame.close])
    with np.errstate(invalid="ignore"):
        inside = (prices.max(axis=1) <= frame.high) & (prices.min(axis=1) >= frame.low) & (prices > 0).all(axis=1)
        finite = np.isfinite(prices).all(axis=1) & np.isfinite(frame.volume) & (frame.volume >= 0)
    return np.asarray(inside & finite & (frame.open_time % frame.key.step_ms == 0), dtype=np.bool_)


def frame_of(key: SeriesKey, bars: list[Bar], marks: list[BarMark], known_at: int) -> Frame:
    """Bars in order as a frame, all known at one moment."""
    if not bars:
        return Frame.empty(key)
    times = np.array([bar.open_time for bar in bars], dtype=np.int64)
    opens, highs, lows, closes, volumes = np.array([bar.values for bar in bars], dtype=np.float64).T
    known = np.full(len(bars), known_at, dtype=np.int64)
    return Frame.of(
        key, times, opens, highs, lows, closes, volumes, known_at=known, mark=np.array(marks, dtype=np.uint8)
    )


def revised_frame(revision: Revision, known_at: int) -> Frame:
    """The bar as it is now, to be stored: real where another stood there, repaired where it fills a hole."""
    mark = BarMark.REPAIRED if revision.before is None else BarMark.REAL
    return frame_of(revision.key, [revision.after], [mark], known_at)


def joined(first: Frame, second: Frame) -> Frame:
    """Two frames of one series, the second behind the first, as one."""
    columns = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
    return Frame(first.key, *(np.concatenate([getattr(first, c), getattr(second, c)]) for c in columns))
