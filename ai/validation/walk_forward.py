"""Walk-forward: train on one window, forecast the next, never the other way round; scores per fold and pooled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from ai.ensemble import PLAIN, Cancelled, EnsembleModel, EnsembleOptions
from ai.exits import default_profile, exit_profile
from ai.forecast import Abstain, Col, ModelSwitch, abstaining_row
from ai.forecaster import Forecaster, forecast_span
from ai.models.linear import LogisticModel
from ai.models.members import DEFAULT_MEMBERS
from ai.models.registry import model_id_of
from ai.training import TrainingData, training_data, training_schema
from ai.validation.baselines import HANDFUL
from ai.validation.fold_fitting import FoldPlan, fit_folds
from ai.validation.folds import LOGISTIC, FoldScores, Resampling, WalkForwardResult, score_folds
from ai.validation.splits import Duration, Window, walk_forward_windows
from data.beside import Beside
from data.clock import iso
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame
from data.workers import Workers

Progress = Callable[[int, int, str], None]  # done, total, words
Noted = Callable[[Sequence[Mapping[str, Any]]], None]

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
    tune: int = 0  # configurations that each fold's inner search tries, on its training window alone; 0: none
    cluster: str | None = None  # address of a Dask scheduler that fits the folds instead


def walk_forward(
    frame: Frame,
    funding: FundingFrame | None,
    spec: WalkForwardSpec,
    evaluator: Evaluator | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    beside: Beside | None = None,
    finer: Frame | None = None,
    note: Noted | None = None,
) -> WalkForwardResult:
    """Train every fold, forecast its test window in order by the service's own forecaster, score, and trade.

    A fold whose training window is too thin is left out and named in ``skipped``. ``note`` is told what each fold's
    inner search has tried as soon as the fold is done, so that it counts whatever becomes of the rest.

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
    plain: list[tuple[Window, LogisticModel]] = []
    skipped: list[str] = []
    tried: list[Mapping[str, Any]] = []
    plan = FoldPlan(spec.members, spec.seed, spec.options, spec.embargo_bars, spec.tune)
    fits = fit_folds(data, windows, plan, Workers(spec.workers, spec.cluster), cancelled)
    for k, made in enumerate(fits):
        window = windows[k]
        when = (iso(window.test_from) or "")[:10]
        tried += made.tried
        if note is not None and made.tried:
            note(made.tried)
        if made.model is None:
            skipped.append(f"fold {k + 1} (test from {when}): {made.problem}")
        else:
            fitted.append((window, made.model))
        if made.logistic is not None:
            plain.append((window, made.logistic))
        tell(k + 1, len(windows) + 2, f"fold {k + 1} of {len(windows)}: trained up to {when}")
    if not fitted:
        raise UserError(f"No fold could be trained: {skipped[0]}")
    result = _forecast_and_score(frame, data, fitted, _logistic(data, plain), spec, profile_name)
    tell(len(windows) + 1, len(windows) + 2, "trading the forecasts after costs")
    trading: Mapping[str, Any] = {}
    if evaluator is not None:
        held = funding if funding is not None else FundingFrame.empty(frame.key.exchange, frame.key.symbol)
        trading = evaluator.evaluate(frame, held, result.rows, profile_name)
    tell(len(windows) + 2, len(windows) + 2, "done")
    return replace(
        result, trading=trading, skipped=tuple(skipped), tried=tuple(tried), doubt=data.doubt,
        finer=None if finer is None else finer.key.timeframe,
    )  # fmt: skip


def _silent(_done: int, _total: int, _words: str) -> None:
    return


def _forecast_and_score(
    frame: Frame, data: TrainingData, fitted: list[tuple[Window, EnsembleModel]], beside: dict[str, Float64Array],
    spec: WalkForwardSpec, profile: str,
) -> WalkForwardResult:  # fmt: skip
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
    resampling = Resampling(exits.limit_bars, spec.seed, spec.draws)
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
    return score_folds(folds, rows, data.labels, bases, forecaster.member_names, schedule, models, resampling, beside)


def _logistic(data: TrainingData, fitted: list[tuple[Window, LogisticModel]]) -> dict[str, Float64Array]:
    """The logistic baseline's probabilities ``[T, 3]``, where its features were computed; NaN outside the tests."""
    if not fitted:
        return {}
    x, out = data.x[[data.schema.index(name) for name in HANDFUL]], np.full((len(data.labels), 3), np.nan)
    for window, model in fitted:
        test = slice(*window.test_rows)
        out[test] = model.predict(x[:, test].T)
    return {LOGISTIC: out}
