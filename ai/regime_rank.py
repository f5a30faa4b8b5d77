"""The rank of a value among those of a span of time, bar by bar: a ring in time order and the same values sorted.

A bar that comes and a bar that goes move only what lies between their two places.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from data.compiled import kernel, kernel_part
from data.market import Float64Array, Int64Array

_OLDEST, _HELD, _FIRST_MS, _BEGUN = 0, 1, 2, 3


class RankWindow(NamedTuple):
    """Values of the last ``span_ms``; changed in place."""

    span_ms: int
    step_ms: int
    marks: Int64Array  # [4] slot of the oldest value, values held, time of the first value ever, whether there was one
    times: Int64Array  # [N] ring
    values: Float64Array  # [N] ring
    ordered: Float64Array  # [N] the values held, ascending


def empty_window(span_ms: int, step_ms: int) -> RankWindow:
    """No value seen."""
    held = -(-span_ms // step_ms)
    return RankWindow(
        span_ms, step_ms, np.zeros(4, dtype=np.int64), np.zeros(held, dtype=np.int64), np.zeros(held), np.zeros(held)
    )


@kernel_part
def _below(ordered: Float64Array, held: int, value: float) -> int:
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel_part
def _upto(ordered: Float64Array, held: int, value: float) -> int:
    low, high = 0, held
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] <= value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel_part
def _move(ordered: Float64Array, hole: int, to: int) -> None:
    """Close the hole by opening one elsewhere."""
    if to > hole:
        for i in range(hole, to):
            ordered[i] = ordered[i + 1]
    else:
        for i in range(hole, to, -1):
            ordered[i] = ordered[i - 1]


@kernel
def next_rank(window: RankWindow, open_time: int, value: float) -> float:
    """Take the next bar's value (NaN or infinite: none) and give its rank in 0..1, equal values counting half.

    NaN before the first value is as old as the span, and where gaps leave less than half of the span.
    """
    marks, ordered = window.marks, window.ordered
    size = len(ordered)
    hole = -1
    while marks[_HELD] > 0 and (
        window.times[marks[_OLDEST]] <= open_time - window.span_ms or marks[_HELD] == size  # a bar that came twice
    ):
        if hole >= 0:
            _move(ordered, hole, marks[_HELD])  # several go at once, after a gap
        hole = _below(ordered, marks[_HELD], window.values[marks[_OLDEST]])
        marks[_OLDEST] = (marks[_OLDEST] + 1) % size
        marks[_HELD] -= 1
    if not np.isfinite(value):
        if hole >= 0:
            _move(ordered, hole, marks[_HELD])
        return np.nan
    if marks[_BEGUN] == 0:
        marks[_BEGUN], marks[_FIRST_MS] = 1, open_time
    place = _below(ordered, marks[_HELD] + (1 if hole >= 0 else 0), value)
    if hole < 0:
        hole = marks[_HELD]
    elif place > hole:
        place -= 1
    _move(ordered, hole, place)
    ordered[place] = value
    slot = (marks[_OLDEST] + marks[_HELD]) % size
    window.times[slot], window.values[slot] = open_time, value
    marks[_HELD] += 1
    held = marks[_HELD]
    if open_time - marks[_FIRST_MS] < window.span_ms - window.step_ms or 2 * held * window.step_ms < window.span_ms:
        return np.nan
    return float((place + 0.5 * (_upto(ordered, held, value) - place)) / held)


def window_record(window: RankWindow) -> dict[str, Any]:
    """What is held, as plain JSON values."""
    size, oldest, held = len(window.times), int(window.marks[_OLDEST]), int(window.marks[_HELD])
    slots = (oldest + np.arange(held)) % size
    return {
        "begun": [int(window.marks[_BEGUN]), int(window.marks[_FIRST_MS])],
        "times": window.times[slots].tolist(), "values": window.values[slots].tolist(),
    }  # fmt: skip


def refill(window: RankWindow, stored: dict[str, Any]) -> None:
    """Go on from a :func:`window_record`."""
    held = len(stored["values"])
    window.marks[:] = 0, held, stored["begun"][1], stored["begun"][0]
    window.times[:held] = stored["times"]
    window.values[:held] = stored["values"]
    window.ordered[:held] = np.sort(window.values[:held])
