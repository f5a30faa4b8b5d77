"""The training of a walk-forward's folds, each a piece of work of its own that sees its training window alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, overload

import numpy as np

from ai.ensemble import Cancelled, EnsembleModel, EnsembleOptions, TrainingCancelled, TrainingContext, train_ensemble
from ai.labels import Labels
from ai.training import TrainingData
from ai.validation.splits import Window
from data.errors import UserError
from data.market import Float64Array
from data.workers import Workers


@dataclass(frozen=True, slots=True, eq=False)
class FoldJob:
    """One fold's training window alone, so that a worker cannot see beyond it."""

    x: Float64Array  # [F, n]
    labels: Labels  # [n], ends counted from the window's first row
    context: TrainingContext
    members: tuple[str, ...]
    seed: int
    options: EnsembleOptions
    tune: int  # configurations that an inner search tries; 0: none


@dataclass(frozen=True, slots=True, eq=False)
class FittedFold:
    """What a fold came to: a model, or why there is none; and what its inner search tried."""

    model: EnsembleModel | None
    problem: str = ""
    tried: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class FoldJobs(Sequence[FoldJob]):
    """The jobs of all windows, each cut out when it is asked for: only those at work are in memory."""

    data: TrainingData
    windows: Sequence[Window]
    members: tuple[str, ...]
    seed: int
    options: EnsembleOptions
    embargo_bars: int
    tune: int

    def __len__(self) -> int:
        return len(self.windows)

    @overload
    def __getitem__(self, at: int) -> FoldJob: ...
    @overload
    def __getitem__(self, at: slice) -> list[FoldJob]: ...
    def __getitem__(self, at: int | slice) -> FoldJob | list[FoldJob]:
        if isinstance(at, slice):
            return [self._job(window) for window in self.windows[at]]
        return self._job(self.windows[at])

    def _job(self, window: Window) -> FoldJob:
        first, last = window.train_rows
        part = slice(first, max(first, last - self.embargo_bars))
        labels = self.data.labels
        cut = Labels(
            labels.label[part], labels.long_outcome[part], labels.short_outcome[part], labels.end[part] - first,
            labels.long_return[part], labels.short_return[part], labels.complete[part],
        )  # fmt: skip
        context = replace(self.data.context, open_time=self.data.context.open_time[part])
        x = np.ascontiguousarray(self.data.x[:, part])
        return FoldJob(x, cut, context, self.members, self.seed, self.options, self.tune)


def fit_folds(jobs: FoldJobs, workers: Workers, cancelled: Cancelled | None) -> Iterator[FittedFold]:
    """Every fold, in order; the result does not depend on ``workers``.

    Raises:
        TrainingCancelled: ``cancelled`` said so.
        UserError: the cluster cannot be reached.
    """
    alone = workers.processes <= 1 and workers.cluster is None
    work = partial(fit_fold, cancelled=cancelled) if alone else fit_fold
    done = 0
    for fitted in workers.each(work, jobs, cancelled):
        done += 1
        yield fitted
    if done < len(jobs):
        raise TrainingCancelled("The walk-forward was cancelled; nothing was changed.")


def fit_fold(job: FoldJob, cancelled: Cancelled | None = None) -> FittedFold:
    """Train one fold, after its inner search where one is asked for."""
    rows = np.arange(job.x.shape[1], dtype=np.int64)
    options, tried = job.options, ()
    try:
        model = train_ensemble(
            job.x, job.labels, rows, job.context, job.members, job.seed, cancelled=cancelled, options=options
        )
    except UserError as error:
        return FittedFold(None, str(error), tried)
    return FittedFold(model, "", tried)
