"""Combinatorial purged cross-validation of the whole ensemble: several histories where a walk-forward has one.

The models of a path have also seen what came after their test rows, so the spread of the paths says how much a result
hangs on the way it was measured; it is no out-of-sample evidence (:mod:`ai.validation.combinatorial`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.ensemble import Cancelled, EnsembleModel, EnsembleOptions, TrainingCancelled, TrainingContext, train_ensemble
from ai.exits import default_profile, exit_profile
from ai.forecast import Abstain, ModelSwitch, abstaining_row
from ai.forecaster import Forecaster
from ai.labels import Labels
from ai.training import TrainingData, training_data
from ai.validation.combinatorial import PurgedSplit, combinatorial_splits, path_splits
from ai.validation.folds import CLASS_COLUMNS, scored_rows
from ai.validation.scores import Scores, score_rows, skills
from data.beside import Beside
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame, Int64Array
from data.workers import Workers

if TYPE_CHECKING:
    from ai.validation.walk_forward import Evaluator, WalkForwardSpec

TESTED = 2  # groups of each split
FIGURES = ("trades", "net_return", "sharpe", "max_drawdown")  # of the trading, in the report of a path
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class SplitJob:
    """One split: every bar that it may not train on is blank."""

    x: Float64Array  # [F, T], NaN outside the training rows
    labels: Labels
    context: TrainingContext
    rows: Int64Array  # positions that train
    members: tuple[str, ...]
    seed: int
    options: EnsembleOptions


@dataclass(frozen=True, slots=True)
class PathReport:
    """What each path came to, and in what range they all lie."""

    groups: int
    splits: int
    paths: tuple[Mapping[str, float | int | None], ...]

    def as_dict(self) -> dict[str, Any]:
        """``groups tested splits paths range words``; ``range``: lowest, middle and highest value of each figure."""
        found = {name: self._range(name) for name in self.paths[0] if name != "n"}
        return {
            "groups": self.groups, "tested": TESTED, "splits": self.splits, "paths": [dict(p) for p in self.paths],
            "range": {name: values for name, values in found.items() if values}, "words": self.words,
        }  # fmt: skip

    def _range(self, name: str) -> dict[str, float]:
        known = [float(v) for path in self.paths if (v := path[name]) is not None]
        if not known:
            return {}
        return {"low": min(known), "median": float(np.median(known)), "high": max(known)}

    @property
    def words(self) -> str:
        """For a person."""
        text = f"{len(self.paths)} paths through {self.groups} groups, {TESTED} tested at a time"
        auc, net = self._range("auc"), self._range("net_return") if "net_return" in self.paths[0] else {}
        text += f": direction AUC {auc['low']:.3f} to {auc['high']:.3f}" if auc else ""
        text += f", after costs {net['low']:+.1%} to {net['high']:+.1%}" if net else ""
        return (
            f"{text}. The models of a path have also seen what came later: this says how steady the result is, "
            "not what it would have earned."
        )


def combinatorial_paths(
    frame: Frame, funding: FundingFrame | None, spec: WalkForwardSpec, groups: int, evaluator: Evaluator | None = None,
    progress: Progress | None = None, cancelled: Cancelled | None = None, beside: Beside | None = None,
    finer: Frame | None = None,
) -> PathReport:  # fmt: skip
    """Cut the labelled bars into ``groups``, test every two while the others train, and score and trade each path.

    Only the members are trained (no regime, no meta-model): weights begin uniform in every tested group.

    Raises:
        UserError: too few rows for so many groups, or a split that is too thin to train.
        TrainingCancelled: ``cancelled`` said so.
    """
    profile = spec.profile or default_profile(frame.key.timeframe)
    data = training_data(frame, funding, profile, spec.features, spec.calibration_share, beside, finer)
    rows = _usable(data)
    splits = list(combinatorial_splits(rows, data.labels.end[rows], groups, TESTED, spec.embargo_bars))
    models = _fit(data, rows, splits, spec, progress, cancelled)
    edges = _edges(rows, splits, groups, len(frame))
    held = funding if funding is not None else FundingFrame.empty(frame.key.exchange, frame.key.symbol)
    found: list[Mapping[str, float | int | None]] = []
    for numbers in path_splits(groups, TESTED):
        forecasts, base = _path(frame, data, profile, [models[k] for k in numbers], edges)
        trading = {} if evaluator is None else evaluator.evaluate(frame, held, forecasts, profile).get("edge", {})
        money = {name: trading[name] for name in FIGURES if name in trading}
        found.append({**_scores(data, forecasts, base, edges), **money})
    return PathReport(groups, len(splits), tuple(found))


def _usable(data: TrainingData) -> Int64Array:
    """Rows with a label and every feature that must be there."""
    named = [name for name in data.context.features if name not in data.context.optional]
    columns = [data.schema.index(name) for name in named]
    sound = data.labels.complete & np.all(np.isfinite(data.x[columns]), axis=0)
    sound[: data.warmup] = False
    return np.flatnonzero(sound)


def _fit(
    data: TrainingData, rows: Int64Array, splits: Sequence[PurgedSplit], spec: WalkForwardSpec,
    progress: Progress | None, cancelled: Cancelled | None,
) -> list[EnsembleModel]:  # fmt: skip
    models: list[EnsembleModel] = []
    workers = Workers(spec.workers, spec.cluster)
    for made in workers.each(fit_split, _jobs(data, rows, splits, spec), cancelled):
        if isinstance(made, UserError):
            raise made
        models.append(made)
        if progress is not None:
            progress(len(models), len(splits) + 1, f"split {len(models)} of {len(splits)} of the cross-validation")
    if len(models) < len(splits):
        raise TrainingCancelled("The cross-validation was cancelled; nothing was changed.")
    return models


def _jobs(
    data: TrainingData, rows: Int64Array, splits: Sequence[PurgedSplit], spec: WalkForwardSpec
) -> Iterator[SplitJob]:
    members_alone = replace(
        spec.options, regime=False, meta_model=False, regime_filter=False, adaptive_threshold=False,
        conformal_coverage=0.0,
    )  # fmt: skip
    for split in splits:
        train = rows[split.train]
        x = np.full_like(data.x, np.nan)
        x[:, train] = data.x[:, train]
        yield SplitJob(x, data.labels, data.context, train, spec.members, spec.seed, members_alone)


def fit_split(job: SplitJob) -> EnsembleModel | UserError:
    """Train one split."""
    try:
        return train_ensemble(job.x, job.labels, job.rows, job.context, job.members, job.seed, options=job.options)
    except UserError as error:
        return error


def _edges(rows: Int64Array, splits: Sequence[PurgedSplit], groups: int, bars: int) -> list[int]:
    """First bar of each group, and the end of the last one."""
    first: dict[int, int] = {}
    for split in splits:
        first |= {g: int(rows[test[0]]) for g, test in zip(split.groups, split.tests, strict=True)}
    return [*(first[g] for g in range(groups)), bars]


def _path(
    frame: Frame, data: TrainingData, profile: str, models: Sequence[EnsembleModel], edges: Sequence[int]
) -> tuple[Float64Array, Float64Array]:
    """Forecast rows ``[T, WIDTH]`` of one path, group by group, and the base rates ``[T, 3]`` of their models."""
    out: Float64Array = np.tile(abstaining_row(Abstain.NO_MODEL), (len(frame), 1))
    base = np.full((len(frame), 3), np.nan)
    exits = exit_profile(profile, frame.key.timeframe)
    for g, model in enumerate(models):
        part = slice(edges[g], edges[g + 1])
        bars = frame.slice(part.start, part.stop)
        start = ModelSwitch(int(bars.open_time[0]), "path")
        forecaster = Forecaster({"path": model}, (start,), data.schema, exits, frame.key.timeframe, True)
        out[part] = forecaster.span(bars.open_time, bars.open, bars.high, bars.low, bars.close, data.x[:, part])
        base[part] = model.base
    return out, base


def _scores(
    data: TrainingData, rows: Float64Array, base: Float64Array, edges: Sequence[int]
) -> dict[str, float | int | None]:
    used = scored_rows(rows, data.labels, 0, len(rows))
    p, y = rows[used][:, CLASS_COLUMNS], data.labels.label[used]
    group = np.searchsorted(np.asarray(edges), used, side="right")
    scores: Scores = score_rows(p, y, base[used], group)
    saved = skills(p, y, base[used])
    values = {**asdict(scores), "skill": saved.log_loss, "brier_skill": saved.brier}
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
