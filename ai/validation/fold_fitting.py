"""The training of a walk-forward's folds, each a piece of work of its own that sees its training window alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from ai.ensemble import Cancelled, EnsembleModel, EnsembleOptions, TrainingCancelled, TrainingContext, train_ensemble
from ai.labels import Labels
from ai.models.linear import LogisticModel
from ai.training import TrainingData
from ai.validation.baselines import HANDFUL, fit_logistic
from ai.validation.splits import Window
from data.errors import UserError
from data.market import Float64Array, Int64Array
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
    baseline: tuple[int, ...] = ()  # rows of ``x`` that the logistic baseline reads; none: there is no such baseline


@dataclass(frozen=True, slots=True, eq=False)
class FittedFold:
    """What a fold came to: a model, or why there is none; and what its inner search tried."""

    model: EnsembleModel | None
    problem: str = ""
    logistic: LogisticModel | None = None  # the baseline's
    tried: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class FoldPlan:
    """What all folds have in common."""

    members: tuple[str, ...]
    seed: int
    options: EnsembleOptions
    embargo_bars: int = 0
    tune: int = 0


def fold_jobs(data: TrainingData, windows: Sequence[Window], plan: FoldPlan) -> Iterator[FoldJob]:
    """The job of each window, cut out when it is asked for: only those at work are in memory."""
    labels, names = data.labels, data.schema.names
    baseline = tuple(data.schema.index(name) for name in HANDFUL) if set(HANDFUL) <= set(names) else ()
    for window in windows:
        first, last = window.train_rows
        part = slice(first, max(first, last - plan.embargo_bars))
        cut = Labels(
            labels.label[part], labels.long_outcome[part], labels.short_outcome[part], labels.end[part] - first,
            labels.long_return[part], labels.short_return[part], labels.complete[part],
        )  # fmt: skip
        x = np.ascontiguousarray(data.x[:, part])
        yield FoldJob(x, cut, data.context.part(part), plan.members, plan.seed, plan.options, plan.tune, baseline)


def fit_folds(
    data: TrainingData, windows: Sequence[Window], plan: FoldPlan, workers: Workers, cancelled: Cancelled | None
) -> Iterator[FittedFold]:
    """Every fold, in order; the result does not depend on ``workers``.

    Raises:
        TrainingCancelled: ``cancelled`` said so.
        UserError: the cluster cannot be reached.
    """
    alone = workers.processes <= 1 and workers.cluster is None
    work = partial(fit_fold, cancelled=cancelled) if alone else fit_fold
    done = 0
    for fitted in workers.each(work, fold_jobs(data, windows, plan), cancelled):
        done += 1
        yield fitted
    if done < len(windows):
        raise TrainingCancelled("The walk-forward was cancelled; nothing was changed.")


def fit_fold(job: FoldJob, cancelled: Cancelled | None = None) -> FittedFold:
    """Train one fold, after its inner search where one is asked for, and its logistic baseline."""
    rows = np.arange(job.x.shape[1], dtype=np.int64)
    options, tried = job.options, tuple[Mapping[str, Any], ...]()
    try:
        if job.tune:
            parameters, tried = _tuned(job, rows, cancelled)
            options = replace(options, parameters={**options.parameters, **parameters})
        model = train_ensemble(
            job.x, job.labels, rows, job.context, job.members, job.seed, cancelled=cancelled, options=options
        )
        plain = fit_logistic(job.x[list(job.baseline)], job.labels, _known(job)) if job.baseline else None
    except UserError as error:
        return FittedFold(None, str(error), tried=tried)
    return FittedFold(model, "", plain, tried)


def _known(job: FoldJob) -> Int64Array:
    """Rows whose label is complete within the window."""
    return np.flatnonzero(job.labels.complete & (job.labels.end < job.x.shape[1]))


def _tuned(
    job: FoldJob, rows: Int64Array, cancelled: Cancelled | None
) -> tuple[Mapping[str, Mapping[str, float]], tuple[Mapping[str, Any], ...]]:
    """The best parameters by member, and every configuration that was tried, failed ones too."""
    from ai.tuning import tune_members

    found = tune_members(job.x, job.labels, rows, job.context, job.members, job.seed, job.tune, cancelled=cancelled)
    tried = tuple(
        {"member": t.member, "parameters": dict(t.parameters), "loss": t.loss, "failure": t.failure}
        for t in found.tried
    )
    return found.parameters, tried
