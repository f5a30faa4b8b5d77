"""Triple-barrier labels (López de Prado, Advances in Financial Machine Learning, ch. 3) by exit profile.

Row t is decided at the close of bar t and entered at the open of bar t + 1, which is the first bar that can stop out.
Per side: target = entry + target distance, stop = entry - stop distance (mirrored for the short side), time exit at
the close of bar t + ``limit_bars``. A bar that touches both counts as the stop; an open beyond the stop fills at the
open; a target fills at its level. Bars are counted, not hours: a gap in the data does not lengthen the limit.
Where finer bars are given (:mod:`ai.labels_finer`) a bar that touches is read in them, by the same rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ai.exits import DistanceUnit, ExitProfile
from ai.labels_finer import FinerBars, first_inside
from data.compiled import kernel
from data.errors import UserError
from data.market import BarMark, Float64Array, Int64Array, UInt8Array

Int8Array = npt.NDArray[np.int8]

_BLOCK = 16


class Label(IntEnum):
    """Which side reached its target."""

    SHORT = -1
    NEUTRAL = 0
    LONG = 1


class Outcome(IntEnum):
    """How one side ended."""

    STOP = -1
    TIME = 0
    TARGET = 1


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """Columns over T bars. Rows with ``complete`` False are no labels: use only the others.

    A row is incomplete if its horizon runs past the data or its stop distance is unknown (NaN or not positive): label
    and outcomes are then 0, returns NaN, and ``end`` is t + ``limit_bars``, which may lie beyond the last bar.
    :func:`without_marked` makes more rows incomplete.
    """

    label: Int8Array  # Label
    long_outcome: Int8Array  # Outcome of the long side
    short_outcome: Int8Array
    end: Int64Array  # index of the bar at whose close both sides, so the whole row, are known
    long_return: Float64Array  # gross fraction of the entry price at the exit
    short_return: Float64Array
    complete: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    def net(self, cost: float) -> tuple[Float64Array, Float64Array]:
        """Payoffs of the long and of the short side after costs, ``[T]`` each, fractions of the entry price.

        Args:
            cost: of the round trip (fees, half the spread twice, slippage), as a fraction of the entry price; it makes
                a target worth less and a stop cost more by the same amount.
        """
        return self.long_return - cost, self.short_return - cost


@dataclass(frozen=True, slots=True)
class Doubt:
    """Sides of complete labels (two a row) that ended in a bar which reached both of their barriers."""

    both: int
    decided: int  # of them those of which a finer bar reached only one first; the others count as stops


NO_DOUBT = Doubt(0, 0)


def stop_distances(profile: ExitProfile, close: Float64Array, feature: Float64Array | None = None) -> Float64Array:
    """Stop distance in price at each close, ``[T]``.

    Args:
        profile: percent of the close, a multiple of ATR (price), or a multiple of volatility (fraction) x close.
        close: ``[T]``.
        feature: the row of ``profile.feature``, ``[T]``; not needed for percent.

    Raises:
        UserError: the profile needs a feature and none was given.
    """
    if profile.unit is DistanceUnit.PERCENT:
        return profile.stop * close
    if feature is None:
        raise UserError(f"The exit profile '{profile.name}' needs the feature '{profile.feature}': compute it first.")
    if profile.unit is DistanceUnit.ATR:
        return profile.stop * feature
    return profile.stop * feature * close


@kernel
def _extremes(high: Float64Array, low: Float64Array, tops: Float64Array, bottoms: Float64Array) -> None:
    """Highest high and lowest low of each block of bars."""
    for b in range(len(tops)):
        first = b * _BLOCK
        top, bottom = high[first], low[first]
        for i in range(first + 1, min(first + _BLOCK, len(high))):
            top = high[i] if high[i] > top else top
            bottom = low[i] if low[i] < bottom else bottom
        tops[b], bottoms[b] = top, bottom


@kernel
def _first_beyond(
    high: Float64Array, low: Float64Array, tops: Float64Array, bottoms: Float64Array, first: int, last: int,
    above: float, below: float,
) -> int:  # fmt: skip
    """First bar in ``first..last`` with high >= above or low <= below, else ``last + 1``; skips quiet blocks."""
    i = first
    while i <= last:
        if i % _BLOCK == 0 and i + _BLOCK - 1 <= last:
            block = i // _BLOCK
            if tops[block] < above and bottoms[block] > below:
                i += _BLOCK
                continue
        if high[i] >= above or low[i] <= below:
            return i
        i += 1
    return last + 1


@kernel
def _label_rows(
    open: Float64Array, high: Float64Array, low: Float64Array, close: Float64Array, tops: Float64Array,
    bottoms: Float64Array, distance: Float64Array, ratio: float, limit: int, finer_open: Float64Array,
    finer_high: Float64Array, finer_low: Float64Array, begin: Int64Array, parts: int, label: Int8Array,
    outcome: Int8Array, end: Int64Array, gross: Float64Array, complete: npt.NDArray[np.bool_], doubt: Int8Array,
) -> None:  # fmt: skip
    bars = len(close)
    for t in range(bars):
        end[t] = t + limit
        stop = distance[t]
        if t + 1 >= bars or not stop > 0.0 or not open[t + 1] > 0.0:
            continue
        entry = open[t + 1]
        last = min(t + limit, bars - 1)
        done = t
        open_sides = 0
        for side in range(2):
            sign = 1.0 - 2.0 * side
            above = entry + (ratio * stop if side == 0 else stop)
            below = entry - (stop if side == 0 else ratio * stop)
            at = _first_beyond(high, low, tops, bottoms, t + 1, last, above, below)
            if at > last:
                if t + limit >= bars:
                    open_sides += 1
                    continue
                gross[side, t] = sign * (close[last] / entry - 1.0)
                done = last
                continue
            done = max(done, at)
            opened, top, bottom = open[at], high[at], low[at]
            doubt[side, t] = 1 if top >= above and bottom <= below else 0
            if len(begin) and begin[at] >= 0:
                j = first_inside(finer_high, finer_low, begin[at], parts, above, below)
                opened, top, bottom = finer_open[j], finer_high[j], finer_low[j]
                if doubt[side, t] == 1 and not (top >= above and bottom <= below):
                    doubt[side, t] = 2
            stopped = bottom <= below if side == 0 else top >= above
            if stopped:
                outcome[side, t] = -1
                fill = min(opened, below) if side == 0 else max(opened, above)
                gross[side, t] = sign * (fill / entry - 1.0)
            else:
                outcome[side, t] = 1
                gross[side, t] = ratio * stop / entry
        if open_sides:
            outcome[:, t] = 0
            doubt[:, t] = 0
            gross[:, t] = np.nan
            continue
        complete[t] = True
        end[t] = done
        label[t] = max(outcome[0, t], 0) - max(outcome[1, t], 0)


def triple_barrier(
    open: Float64Array,
    high: Float64Array,
    low: Float64Array,
    close: Float64Array,
    distance: Float64Array,
    profile: ExitProfile,
    target_ratio: float | None = None,
    finer: FinerBars | None = None,
) -> Labels:
    """Labels of every bar, ``[T]``.

    LONG where only the long side reaches its target, SHORT where only the short side does; else NEUTRAL (with a
    target nearer than the stop both sides may reach theirs: no direction).

    Args:
        open, high, low, close: ``[T]``, quote per base.
        distance: ``[T]``, stop distance in price at each close (see :func:`stop_distances`).
        profile: limit in bars and, unless ``target_ratio`` is given, the target as a multiple of the distance.
        target_ratio: another multiple of the distance for the target.
        finer: the finer bars inside these (see :func:`ai.labels_finer.finer_bars`); ``end`` stays a bar of these.

    Raises:
        UserError: columns of unequal length, or finer bars of other bars.
    """
    return labelled(open, high, low, close, distance, profile, target_ratio, finer)[0]


def labelled(
    open: Float64Array, high: Float64Array, low: Float64Array, close: Float64Array, distance: Float64Array,
    profile: ExitProfile, target_ratio: float | None = None, finer: FinerBars | None = None,
) -> tuple[Labels, Doubt]:  # fmt: skip
    """:func:`triple_barrier`, and how often one bar reached both barriers.

    Raises:
        UserError: as there.
    """
    columns = [np.ascontiguousarray(x, dtype=np.float64) for x in (open, high, low, close, distance)]
    bars = len(columns[0])
    if any(len(column) != bars for column in columns):
        raise UserError("Labels need open, high, low, close and distance of equal length.")
    inside = FinerBars.none() if finer is None else finer
    if finer is not None and len(finer.begin) != bars:
        raise UserError(f"The finer bars belong to {len(finer.begin)} bars, not to these {bars}: make them anew.")
    o, h, lo, c, d = columns
    blocks = -(-bars // _BLOCK)
    tops: Float64Array = np.empty(blocks)
    bottoms: Float64Array = np.empty(blocks)
    _extremes(h, lo, tops, bottoms)
    label: Int8Array = np.zeros(bars, dtype=np.int8)
    outcome: Int8Array = np.zeros((2, bars), dtype=np.int8)
    end: Int64Array = np.empty(bars, dtype=np.int64)
    gross: Float64Array = np.full((2, bars), np.nan)
    complete: npt.NDArray[np.bool_] = np.zeros(bars, dtype=np.bool_)
    doubt: Int8Array = np.zeros((2, bars), dtype=np.int8)
    ratio = profile.target_ratio if target_ratio is None else target_ratio
    _label_rows(
        o, h, lo, c, tops, bottoms, d, float(ratio), profile.limit_bars, inside.open, inside.high, inside.low,
        inside.begin, inside.parts, label, outcome, end, gross, complete, doubt,
    )  # fmt: skip
    found = Labels(label, outcome[0], outcome[1], end, gross[0], gross[1], complete)
    return found, Doubt(int(np.sum(doubt > 0)), int(np.sum(doubt == 2)))


def without_marked(labels: Labels, mark: UInt8Array) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """The labels without those that touch a repaired or suspect bar, and which rows that were: ``[T]``.

    A repaired bar was not known when it closed, so nothing could be decided on it and no stop could be hit in it; the
    prices of a suspect bar are not believed. A row touches the bars from its own to that of its ``end``.
    """
    unsound = (mark == BarMark.REPAIRED) | (mark == BarMark.SUSPECT)
    if not unsound.any():
        return labels, np.zeros(len(labels), dtype=np.bool_)
    before = np.concatenate([[0], np.cumsum(unsound)])
    last = np.minimum(labels.end, len(labels) - 1)
    touched = labels.complete & (before[last + 1] > before[:-1])
    kept = ~touched
    without = Labels(
        labels.label * kept, labels.long_outcome * kept, labels.short_outcome * kept, labels.end,
        np.where(kept, labels.long_return, np.nan), np.where(kept, labels.short_return, np.nan),
        labels.complete & kept,
    )  # fmt: skip
    return without, touched
