"""Inner folds of a search for hyper-parameters, all inside one training window, and what a configuration loses there.

The window's first 40 % trains first; the rest is tested in equal parts, one after the other, each by models that were
fitted on everything before it. A training row's label ends before the first tested bar; a tested row's label ends
inside the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ai.ensemble import MIN_FIT_ROWS, MIN_SLICE_ROWS, TrainingContext, usable_rows
from ai.labels import Labels
from ai.models.base import CLASSES, Int8Array
from ai.models.members import new_member
from ai.models.predictor import IDENTITY, pack, predict_rows
from ai.sampling import average_uniqueness
from ai.validation.scores import log_losses
from data.errors import UserError
from data.market import Float64Array, Int64Array

FIRST_SHARE = 0.4  # of the window that trains the first fold


@dataclass(frozen=True, slots=True, eq=False)
class InnerFold:
    """Rows that train and rows that are tested after them, with everything a worker needs."""

    train_x: Float64Array  # [n, F]
    train_y: Int8Array  # [n]
    weight: Float64Array  # [n] average uniqueness
    test_x: Float64Array  # [m, F]
    test_y: Int8Array  # [m]

    @property
    def base_loss(self) -> float:
        """Mean log loss of the training rows' class shares on the tested rows."""
        counts = np.array([np.sum(self.train_y == c) + 1.0 for c in CLASSES])
        return float(log_losses(np.tile(counts / counts.sum(), (len(self.test_y), 1)), self.test_y).mean())


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """Some configurations of one member on one fold: one piece of work."""

    fold: InnerFold
    member: str
    seed: int
    parameters: tuple[Mapping[str, float], ...]


def fold_rows(rows: Int64Array, end: Int64Array, folds: int) -> list[tuple[Int64Array, Int64Array]]:
    """Train and test positions of every fold, from the ascending ``rows`` of a window.

    Args:
        rows: ``[n]``, positions on the time axis.
        end: ``[T]``, the bar at which each position's label is known.
        folds: how many parts are tested.
    """
    last = int(rows[-1])
    shares = FIRST_SHARE + (1.0 - FIRST_SHARE) * np.arange(folds) / folds
    borders = [*(int(rows[min(round(share * len(rows)), len(rows) - 1)]) for share in shares), last + 1]
    found = []
    for first, stop in pairwise(borders):
        train, test = rows[rows < first], rows[(rows >= first) & (rows < stop)]
        found.append((train[end[train] < first], test[end[test] <= last]))
    return found


def inner_folds(
    x: Float64Array, labels: Labels, rows: Int64Array, context: TrainingContext, folds: int
) -> tuple[InnerFold, ...]:
    """The folds of the training window ``rows`` (ascending positions in ``x[F, T]``).

    Raises:
        UserError: too few usable rows.
    """
    used = usable_rows(x, labels, rows, context)
    columns = np.array([context.schema.index(name) for name in context.features], dtype=np.int64)
    made = []
    for train, test in fold_rows(rows, labels.end, folds) if len(rows) else []:
        train, test = train[used[train]], test[used[test]]
        if len(train) < MIN_FIT_ROWS or len(test) < MIN_SLICE_ROWS:
            break
        made.append(
            InnerFold(
                np.ascontiguousarray(x[columns[:, None], train].T), labels.label[train],
                average_uniqueness(train + 1, labels.end[train]),
                np.ascontiguousarray(x[columns[:, None], test].T), labels.label[test],
            )
        )  # fmt: skip
    if len(made) < folds:
        raise UserError(
            f"A search on {context.symbol} {context.timeframe} has {int(used.sum())} usable bars, too few for {folds} "
            f"inner folds with {MIN_FIT_ROWS} to fit and {MIN_SLICE_ROWS} to test: give it more history."
        )
    return tuple(made)


def evaluate(job: Evaluation) -> list[float | str]:
    """The mean log loss of each configuration on the fold's tested rows, or why there is none.

    Probabilities are kept as far from 0 and 1 as a calibrator keeps them: a forest says zero where few rows fell.
    """
    return [_loss(job, parameters) for parameters in job.parameters]


def _loss(job: Evaluation, parameters: Mapping[str, float]) -> float | str:
    fold = job.fold
    floor = 0.1 / (float(fold.weight.sum()) + 2.0)
    try:
        model = new_member(job.member, job.seed, parameters)
        model.fit(fold.train_x, fold.train_y, fold.weight)
        raw = predict_rows(pack([model.table()], [[IDENTITY] * 3], fold.test_x.shape[1]), fold.test_x, False)[0]
    except Exception as error:  # any library's: a configuration that fails has been tried and says why
        return f"{type(error).__name__}: {error}"
    held = np.clip(raw, floor, 1.0 - floor)
    loss = float(log_losses(held / held.sum(axis=1, keepdims=True), fold.test_y).mean())
    return loss if np.isfinite(loss) else "its log loss is not finite"
