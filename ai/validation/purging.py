"""Rows that may train beside rows that are tested: purge by the labels' real ends, and embargo.

A row is decided at the close of bar ``start`` and known at the close of bar ``end``; both count as part of its life.
Two lives that share a bar share information (López de Prado, Advances in Financial Machine Learning, 7.4.1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data.errors import UserError
from data.market import Int64Array

BoolArray = npt.NDArray[np.bool_]


def check_lives(start: Int64Array, end: Int64Array) -> None:
    """Rows in the order of time whose labels do not end before they begin.

    Raises:
        UserError: they are not.
    """
    if start.ndim != 1 or start.shape != end.shape:
        raise UserError("Every row needs one start and one end of its label.")
    if np.any(np.diff(start) < 0):
        raise UserError("Rows have to be in the order of time before they are split.")
    if np.any(end < start):
        raise UserError(f"The label of row {int(np.flatnonzero(end < start)[0])} ends before it begins.")


def trainable(
    start: Int64Array, end: Int64Array, tests: Sequence[Int64Array], embargo: int = 0, only_before: bool = False
) -> BoolArray:
    """Which of ``n`` rows may train while the rows of ``tests`` are tested.

    Left out are tested rows, rows whose life shares a bar with a tested run, and rows that begin in the ``embargo``
    bars after one (AFML 7.4.2).

    Args:
        start, end: ``[n]``, bars at which each row is decided and its label known; ``start`` ascending.
        tests: runs of neighbouring rows, each as positions ``[m]`` in the order of time.
        embargo: bars after the last end of a tested run.
        only_before: leave out everything after the first tested row too, as a walk-forward does.

    Raises:
        UserError: rows out of order, a label that ends before it begins, or a negative embargo.
    """
    check_lives(start, end)
    if embargo < 0:
        raise UserError(f"An embargo of {embargo} bars is negative: give 0 or more.")
    free = np.ones(len(start), dtype=np.bool_)
    for rows in tests:
        if not len(rows):
            continue
        first, last = start[rows[0]], end[rows].max()
        free &= (end < first) | (start > last + embargo)
        if only_before:
            free &= start < first
    return free
