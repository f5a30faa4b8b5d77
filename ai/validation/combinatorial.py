"""Combinatorial purged cross-validation (López de Prado, Advances in Financial Machine Learning, ch. 12).

The rows are cut into N groups of neighbours; every choice of k groups is tested once while the others train. Each
group is then forecast by several splits, and the forecasts join to φ = k/N · C(N, k) paths: φ histories that are all
out of sample, where a walk-forward has one. A model of a path has also seen what came later: paths say how much a
result hangs on the way it was measured, not what it would have earned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ai.validation.purging import trainable
from data.errors import UserError
from data.market import Float64Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class PurgedSplit:
    """One choice of tested groups. Rows are positions; ``tests[j]`` are those of group ``groups[j]``."""

    train: Int64Array
    groups: tuple[int, ...]
    tests: tuple[Int64Array, ...]

    @property
    def test(self) -> Int64Array:
        """Every tested row, ascending."""
        return np.concatenate(self.tests)


def group_rows(rows: int, groups: int) -> list[Int64Array]:
    """``groups`` runs of neighbouring rows of ⌊rows/groups⌋ each; the last one takes the rest as well (AFML 12.4)."""
    size = rows // groups
    edges = [*(size * g for g in range(groups)), rows]
    return [np.arange(edges[g], edges[g + 1], dtype=np.int64) for g in range(groups)]


def path_count(groups: int, tested: int) -> int:
    """φ, the number of paths: how often each group is tested."""
    return math.comb(groups - 1, tested - 1)


def combinatorial_splits(
    start: Int64Array, end: Int64Array, groups: int, tested: int, embargo: int = 0
) -> Iterator[PurgedSplit]:
    """Every choice of ``tested`` groups out of ``groups``, in lexical order; ``tested`` = 1 is purged k-fold.

    Args:
        start, end: ``[n]``, bars at which each row is decided and its label known; ``start`` ascending. Leave rows
            without a complete label out before.
        groups: N, at least 2 and at most n.
        tested: k, from 1 to N − 1.
        embargo: bars after each tested group's last label in which no training row may begin.

    Raises:
        UserError: other numbers, rows out of order, or a split that would train on nothing.
    """
    rows = len(start)
    if not 2 <= groups <= rows:
        raise UserError(f"{rows} rows cannot be cut into {groups} groups: give from 2 to {rows}.")
    if not 1 <= tested < groups:
        raise UserError(f"Of {groups} groups {tested} cannot be tested: give from 1 to {groups - 1}.")
    parts = group_rows(rows, groups)
    for chosen in combinations(range(groups), tested):
        tests = tuple(parts[g] for g in chosen)
        train = np.flatnonzero(trainable(start, end, tests, embargo))
        if not len(train):
            named = ", ".join(str(g + 1) for g in chosen)
            raise UserError(
                f"While group {named} of {groups} is tested no row is left to train: "
                "shorten the labels or the embargo, or test fewer groups."
            )
        yield PurgedSplit(train, chosen, tests)


def path_splits(groups: int, tested: int) -> Int64Array:
    """``[φ, groups]``: the number of the split whose forecasts path p takes for group g (AFML 12.3, figure 12.2)."""
    splits: list[list[int]] = [[] for _ in range(groups)]
    for number, chosen in enumerate(combinations(range(groups), tested)):
        for g in chosen:
            splits[g].append(number)
    return np.array(splits, dtype=np.int64).T


def assemble_paths(splits: Sequence[PurgedSplit], forecasts: Sequence[Float64Array], groups: int) -> Float64Array:
    """The paths' forecasts ``[φ, n, …]``: every row once in each path, from a model that did not train on it.

    Args:
        splits: all of :func:`combinatorial_splits`.
        forecasts: per split ``[len(split.test), …]``, in the order of ``split.test``.
        groups: N.

    Raises:
        UserError: forecasts are missing or do not fit their split.
    """
    if not splits or len(splits) != math.comb(groups, len(splits[0].groups)) or len(forecasts) != len(splits):
        raise UserError("Paths need the forecasts of every split.")
    for split, values in zip(splits, forecasts, strict=True):
        if len(values) != len(split.test):
            raise UserError(f"A split has {len(split.test)} tested rows and {len(values)} forecasts.")
    plan = path_splits(groups, len(splits[0].groups))
    return np.stack([_path(splits, forecasts, row) for row in plan])


def _path(splits: Sequence[PurgedSplit], forecasts: Sequence[Float64Array], numbers: Int64Array) -> Float64Array:
    parts = []
    for group, number in enumerate(numbers):
        split = splits[number]
        place = split.groups.index(group)
        first = sum(len(rows) for rows in split.tests[:place])
        parts.append(forecasts[number][first : first + len(split.tests[place])])
    return np.concatenate(parts)
