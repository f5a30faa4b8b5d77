"""The seven states of a market: what it is in at each bar, from data up to that bar, and what it is in four bars later.

Volatility comes first: its rank among the last 90 days, above 90 % high, below 10 % low. Else the t-value of the slope
of 96 closes: beyond 4 a strong trend, beyond 2 a trend, else a range. Volatility is ``volatility_96`` and the t-value
``trend_t_96`` of the feature registry. On prices that wander without any drift the t-value of a slope is often large
(Granger & Newbold 1974): a trend state says how the last bars lay, not that they will go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ai.features.engine import FeatureEngine
from ai.features.registry import schema_of
from ai.regime_rank import empty_window, next_rank
from data.compiled import kernel, kernel_allocating, kernel_part
from data.market import Float64Array, Frame, Int64Array
from data.timeframes import DAY_MS, timeframe_ms

Int8Array = npt.NDArray[np.int8]

RANK_DAYS = 90
HIGH_RANK, LOW_RANK = 0.9, 0.1
TREND_T, STRONG_T = 2.0, 4.0
AHEAD_BARS = 4
HOLD_BARS, HOLD_MARGIN = 2, 0.3  # before another state takes over: bars in the lead, or probability ahead
UNKNOWN = -1  # too little history, or a bar that is not decided on
FEATURES = ("volatility_96", "trend_t_96")


class Regime(IntEnum):
    """The state of a market; numbers and names are stored and never change."""

    STRONG_DOWN = 0
    DOWN = 1
    RANGE = 2
    UP = 3
    STRONG_UP = 4
    HIGH_VOLATILITY = 5
    LOW_VOLATILITY = 6


_STRONG_DOWN, _DOWN, _RANGE, _UP, _STRONG_UP, _HIGH_VOLATILITY, _LOW_VOLATILITY = (int(state) for state in Regime)

REGIME_NAMES: tuple[str, ...] = tuple(state.name.lower() for state in Regime)
"""``strong_down down range up strong_up high_volatility low_volatility``, by number."""


@dataclass(frozen=True, slots=True, eq=False)
class RegimePath:
    """States of T bars and the two numbers that make them; NaN and ``UNKNOWN`` where they cannot be told."""

    state: Int8Array  # [T] Regime or UNKNOWN
    rank: Float64Array  # [T] 0..1, place of the volatility among the last 90 days
    trend_t: Float64Array  # [T] t-value of the slope of 96 closes

    def __len__(self) -> int:
        return len(self.state)


@kernel_part
def state_of(rank: float, trend_t: float) -> int:
    """The state by volatility rank and t-value; ``UNKNOWN`` if one of them is NaN."""
    if np.isnan(rank) or np.isnan(trend_t):
        return UNKNOWN
    if rank > HIGH_RANK:
        return _HIGH_VOLATILITY
    if rank < LOW_RANK:
        return _LOW_VOLATILITY
    size = abs(trend_t)
    if size <= TREND_T:
        return _RANGE
    if trend_t > 0.0:
        return _STRONG_UP if size > STRONG_T else _UP
    return _STRONG_DOWN if size > STRONG_T else _DOWN


@kernel
def _ranks(open_time: Int64Array, place: Int64Array, step: int, span: int, tree: Int64Array, out: Float64Array) -> None:
    # place: 1 for the smallest value, equal values share one, 0 where there is none; tree: counts by place, in the
    # form of Fenwick 1994
    size = len(tree)
    first_seen = -1
    held = oldest = 0
    for t in range(len(open_time)):
        while open_time[oldest] <= open_time[t] - span:
            if place[oldest] > 0:
                held -= 1
                i = place[oldest]
                while i < size:
                    tree[i] -= 1
                    i += i & -i
            oldest += 1
        if place[t] == 0:
            continue
        if first_seen < 0:
            first_seen = open_time[t]
        held += 1
        i = place[t]
        while i < size:
            tree[i] += 1
            i += i & -i
        if open_time[t] - first_seen < span - step or 2 * held * step < span:
            continue
        below = upto = 0
        i = place[t]
        while i > 0:
            upto += tree[i]
            i -= i & -i
        i = place[t] - 1
        while i > 0:
            below += tree[i]
            i -= i & -i
        out[t] = (below + 0.5 * (upto - below)) / held


def volatility_rank(open_time: Int64Array, volatility: Float64Array, step_ms: int) -> Float64Array:
    """Share of the last 90 days' values below each one (equal ones count half), ``[T]``.

    NaN before the first value is 90 days old, where the value itself is NaN, and where gaps leave less than half of
    the 90 days.
    """
    out: Float64Array = np.full(len(volatility), np.nan)
    seen = np.isfinite(volatility)
    if not seen.any():
        return out
    different, order = np.unique(volatility[seen], return_inverse=True)
    place = np.zeros(len(volatility), dtype=np.int64)
    place[seen] = order + 1
    tree = np.zeros(len(different) + 1, dtype=np.int64)
    _ranks(np.ascontiguousarray(open_time), place, step_ms, RANK_DAYS * DAY_MS, tree, out)
    return out


@kernel
def _states(rank: Float64Array, trend_t: Float64Array, out: Int8Array) -> None:
    for t in range(len(rank)):
        out[t] = state_of(rank[t], trend_t[t])


def regime_path(frame: Frame) -> RegimePath:
    """State, volatility rank and t-value at each bar of ``frame``, each from the bars up to it, ``[T]``."""
    volatility, trend_t = FeatureEngine(schema_of(FEATURES), frame.key.timeframe).batch(frame)
    return path_of(frame.open_time, volatility, trend_t, frame.key.step_ms)


def path_of(open_time: Int64Array, volatility: Float64Array, trend_t: Float64Array, step_ms: int) -> RegimePath:
    """The same from the two features, ``[T]`` each; bars that are not taken in hold NaN."""
    rank = volatility_rank(open_time, volatility, step_ms)
    state: Int8Array = np.empty(len(rank), dtype=np.int8)
    trend_t = np.ascontiguousarray(trend_t)
    _states(rank, trend_t, state)
    return RegimePath(state, rank, trend_t)


def regime_labels(frame: Frame) -> Int8Array:
    """The state at each bar, from the bars up to it: :class:`Regime` or ``UNKNOWN``, ``[T]``."""
    return regime_path(frame).state


def regime_ahead(state: Int8Array, open_time: Int64Array, step_ms: int, bars: int = AHEAD_BARS) -> Int8Array:
    """The state ``bars`` later, what the classifier learns: ``[T]``; known at the close of bar t + ``bars``.

    ``UNKNOWN`` at the end, where either state is, and where a gap lies between.
    """
    ahead: Int8Array = np.full(len(state), UNKNOWN, dtype=np.int8)
    if len(state) > bars:
        joined = open_time[bars:] - open_time[:-bars] == bars * step_ms
        ahead[:-bars] = np.where(joined & (state[:-bars] != UNKNOWN), state[bars:], UNKNOWN)
    return ahead


def regime_warmup_bars(timeframe: str) -> int:
    """Bars before the first state: 90 days of volatility, each over 96 returns."""
    return RANK_DAYS * DAY_MS // timeframe_ms(timeframe) + 97


class RegimeTracker:
    """The states bar by bar, equal to :func:`regime_path` to the last bit."""

    def __init__(self, timeframe: str) -> None:
        """Begin with no history.

        Raises:
            UserError: the timeframe is unknown.
        """
        self._window = empty_window(RANK_DAYS * DAY_MS, timeframe_ms(timeframe))

    def step(self, open_time: int, volatility: float, trend_t: float) -> tuple[int, float]:
        """State and volatility rank at the close of the next bar.

        Args:
            open_time: ms UTC, after that of the bar before.
            volatility, trend_t: the bar's ``volatility_96`` and ``trend_t_96``, NaN where missing.
        """
        rank = float(next_rank(self._window, int(open_time), float(volatility)))
        return int(_one_state(rank, float(trend_t))), rank


@kernel
def _one_state(rank: float, trend_t: float) -> int:
    return int(state_of(rank, trend_t))


@kernel_part
def hold_state(marks: Int64Array, p: Float64Array, bars: int, margin: float) -> int:
    """The state that is held after one more bar; see :func:`smoothed_states`.

    Args:
        marks: ``[3]``, state held, state that leads instead (-1: none), for how many bars; changed in place.
        p: ``[7]``.
        bars, margin: as there.
    """
    best = 0
    known = not np.isnan(p[0])
    for k in range(1, len(p)):
        known = known and not np.isnan(p[k])
        best = k if p[k] > p[best] else best
    if not known:
        marks[0], marks[1], marks[2] = UNKNOWN, UNKNOWN, 0
    elif marks[0] < 0:
        marks[0] = best
    elif best != marks[0]:
        marks[2] = marks[2] + 1 if best == marks[1] else 1
        marks[1] = best
        if marks[2] >= bars or p[best] - p[marks[0]] >= margin:
            marks[0], marks[1], marks[2] = best, UNKNOWN, 0
    else:
        marks[1], marks[2] = UNKNOWN, 0
    return int(marks[0])


@kernel_allocating
def _hold(leads: Float64Array, bars: int, margin: float, out: Int8Array) -> None:
    marks = np.array([UNKNOWN, UNKNOWN, 0])
    for t in range(len(leads)):
        out[t] = hold_state(marks, leads[t], bars, margin)


def smoothed_states(p: Float64Array, bars: int = HOLD_BARS, margin: float = HOLD_MARGIN) -> Int8Array:
    """The likeliest states without flicker, ``[T]``.

    A new state takes over once it has led for ``bars`` bars in a row, or at once if it leads by ``margin``. A row with
    a NaN is ``UNKNOWN`` and forgets what was held.

    Args:
        p: ``[T, 7]`` probabilities by :class:`Regime`.
        bars: 1 takes every leader at once.
        margin: of probability, above that of the state that is held.
    """
    out: Int8Array = np.empty(len(p), dtype=np.int8)
    _hold(np.ascontiguousarray(p), bars, margin, out)
    return out
