"""Walk-forward: train on one window, forecast the next, never the other way round; scores per fold and pooled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np

from ai.ensemble import (
    PLAIN,
    Cancelled,
    EnsembleModel,
    EnsembleOptions,
    TrainingCancelled,
    TrainingContext,
    train_ensemble,
)
from ai.exits import default_profile, exit_profile
from ai.forecast import Abstain, Col, ModelSwitch, abstaining_row
from ai.forecaster import Forecaster, forecast_span
from ai.labels import Labels
from ai.models.members import DEFAULT_MEMBERS
from ai.models.registry import model_id_of
from ai.training import TrainingData, training_data, training_schema
from ai.validation.folds import FoldScores, WalkForwardResult, score_folds
from ai.validation.splits import Duration, Window, walk_forward_windows
from data.beside import Beside
from data.clock import iso
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame

Progress = Callable[[int, int, str], None]  # done, total, words

__all__ = [
    "Cancelled",
    "Evaluator",
    "Progress",
    "TrainingData",
    "WalkForwardResult",
    "WalkForwardSpec",
    "training_data",
    "training_schema",
    "walk_forward",
]


SIX_MONTHS, ONE_MONTH = Duration(6, "month"), Duration(1, "month")


class Evaluator(Protocol):
    """What the research asks of trading; the app passes it in."""

    def evaluate(self, frame: Frame, funding: FundingFrame, rows: Float64Array, profile: str) -> Mapping[str, Any]:
        """Trade the forecast rows ``[T, WIDTH]`` after costs: ``{"edge": {…}, "account": {…}}``.

        ``edge``: gates evaluated, not enforced; ``account``: enforced, with ``halted_at``.
        """
        ...


@dataclass(frozen=True, slots=True)
class WalkForwardSpec:
    """What is walked. ``profile`` and ``features`` default by timeframe and registry."""

    train: Duration = SIX_MONTHS
    test: Duration = ONE_MONTH
    step: Duration = ONE_MONTH
    members: tuple[str, ...] = DEFAULT_MEMBERS
    seed: int = 7
    profile: str | None = None
    features: tuple[str, ...] | None = None
    calibration_share: float = 0.15
    embargo_bars: int = 0  # bars left out between training and test
    workers: int = 1  # processes that fit folds; the result does not depend on it
    draws: int = 1000  # bootstrap draws for the bands
    anchored: bool = False  # every training window begins at the first bar
    options: EnsembleOptions = PLAIN


@dataclass(frozen=True, slots=True, eq=False)
class _FoldJob:
    """One fold's training window alone, so that a worker cannot see beyond it."""

    x: Float64Array
    labels: Labels
    context: TrainingContext
    first: int
    members: tuple[str, ...]
    seed: int
    options: EnsembleOptions


def walk_forward(
    frame: Frame,
    funding: FundingFrame | None,
    spec: WalkForwardSpec,
    evaluator: Evaluator | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    beside: Beside | None = None,
    finer: Frame | None = None,
) -> WalkForwardResult:
    """Train every fold, forecast its test window in order by the service's own forecaster, score, and trade.

    A fold whose training window is too thin is left out and named in ``skipped``.

    Raises:
        UserError: too little data for one fold.
        TrainingCancelled: ``cancelled`` said so.
    """
    tell = progress or _silent
    profile_name = spec.profile or default_profile(frame.key.timeframe)
    tell(0, 1, "computing features and labels")
    data = training_data(frame, funding, profile_name, spec.features, spec.calibration_share, beside, finer)
    windows = walk_forward_windows(
        frame.open_time, frame.key.step_ms, spec.train, spec.test, spec.step, data.warmup, spec.anchored
    )
    fitted: list[tuple[Window, EnsembleModel]] = []
    skipped: list[str] = []
    for k, made in enumerate(_fit_all(data, windows, spec, cancelled)):
        window = windows[k]
        when = (iso(window.test_from) or "")[:10]
        if isinstance(made, UserError):
            skipped.append(f"fold {k + 1} (test from {when}): {made}")
        else:
            fitted.append((window, made))
        tell(k + 1, len(windows) + 1, f"fold {k + 1} of {len(windows)}: trained up to {when}")
    if not fitted:
        raise UserError(f"No fold could be trained: {skipped[0]}")
    result = _forecast_and_score(frame, data, fitted, spec, profile_name)
    trading: Mapping[str, Any] = {}
    if evaluator is not None:
        tell(len(windows), len(windows) + 1, "trading the forecasts after costs")
        held = funding if funding is not None else FundingFrame.empty(frame.key.exchange, frame.key.symbol)
        trading = evaluator.evaluate(frame, held, result.rows, profile_name)
    tell(len(windows) + 1, len(windows) + 1, "done")
    return replace(result, trading=trading, skipped=tuple(skipped))


def _silent(_done: int, _total: int, _words: str) -> None:
    return


def _forecast_and_score(
    frame: Frame, data: TrainingData, fitted: list[tuple[Window, EnsembleModel]], spec: WalkForwardSpec, profile: str
) -> WalkForwardResult:
    ids: list[str] = []
    for window, model in fitted:
        ids.append(model_id_of(model, window.train_to, taken=ids))
    models = {model_id: model for model_id, (_, model) in zip(ids, fitted, strict=True)}
    schedule = tuple(ModelSwitch(w.test_from, model_id) for model_id, (w, _) in zip(ids, fitted, strict=True))
    exits = exit_profile(profile, frame.key.timeframe)
    forecaster = Forecaster(models, schedule, data.schema, exits, frame.key.timeframe)
    rows = forecast_span(forecaster, frame, data.x)
    tested = np.zeros(len(frame), dtype=np.bool_)
    for window, _ in fitted:
        tested[slice(*window.test_rows)] = True
    beyond = ~tested & (rows[:, Col.ABSTAIN] != Abstain.NO_MODEL)
    rows[beyond] = abstaining_row(Abstain.MISSING)
    marked = [int(data.marked[w.train_rows[0] : w.test_rows[1]].sum()) for w, _ in fitted]
    folds = [
        replace(
            FoldScores.of(w, model_id, rows, data.labels, np.array(m.base), exits.limit_bars, spec.seed, spec.draws),
            n_marked=n_marked,
        )
        for model_id, n_marked, (w, m) in zip(ids, marked, fitted, strict=True)
    ]
    bases = np.full((len(frame), 3), np.nan)
    for window, model in fitted:
        bases[slice(*window.test_rows)] = model.base
    return score_folds(
        folds, rows, data.labels, bases, forecaster.member_names, schedule, models, exits.limit_bars, spec.seed,
        spec.draws,
    )  # fmt: skip


def _fit_all(
    data: TrainingData, windows: list[Window], spec: WalkForwardSpec, cancelled: Cancelled | None
) -> Iterator[EnsembleModel | UserError]:
    jobs = (_job(data, window, spec) for window in windows)
    if spec.workers <= 1:
        for job in jobs:
            yield _fit(job, cancelled)
        return
    with ProcessPoolExecutor(min(spec.workers, len(windows)), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_fit, job) for job in jobs]
        try:
            for future in futures:
                if cancelled is not None and cancelled():
                    raise TrainingCancelled("The walk-forward was cancelled; nothing was changed.")
                yield future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _job(data: TrainingData, window: Window, spec: WalkForwardSpec) -> _FoldJob:
    first, last = window.train_rows
    part = slice(first, max(first, last - spec.embargo_bars))
    labels = data.labels
    cut = Labels(
        labels.label[part], labels.long_outcome[part], labels.short_outcome[part], labels.end[part] - first,
        labels.long_return[part], labels.short_return[part], labels.complete[part],
    )  # fmt: skip
    context = replace(data.context, open_time=data.context.open_time[part])
    return _FoldJob(np.ascontiguousarray(data.x[:, part]), cut, context, first, spec.members, spec.seed, spec.options)


def _fit(job: _FoldJob, cancelled: Cancelled | None = None) -> EnsembleModel | UserError:
    rows = np.arange(job.x.shape[1], dtype=np.int64)
    try:
        return train_ensemble(
            job.x, job.labels, rows, job.context, job.members, job.seed, cancelled=cancelled, options=job.options
        )
    except UserError as error:
        return error
