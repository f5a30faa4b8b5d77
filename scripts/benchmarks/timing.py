"""Medians of several runs, the two sides in turn."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

Timed = Callable[[], float]  # one run; its seconds

ROUNDS = 5


def timed(work: Callable[[], object]) -> Timed:
    """One call of ``work``, in seconds."""

    def once() -> float:
        began = perf_counter()
        work()
        return perf_counter() - began

    return once


def repeated(work: Callable[[], object], calls: int) -> Timed:
    """Seconds a call, over many calls: for work of microseconds."""

    def once() -> float:
        began = perf_counter()
        for _ in range(calls):
            work()
        return (perf_counter() - began) / calls

    return once


def in_turn(*sides: Timed, rounds: int = ROUNDS, warm: bool = True) -> tuple[float, ...]:
    """Median seconds of each side; one unmeasured run of each comes first."""
    if warm:
        for side in sides:
            side()
    taken: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds):
        for side, times in zip(sides, taken, strict=True):
            times.append(side())
    return tuple(statistics.median(times) for times in taken)


def quantile(values: list[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
