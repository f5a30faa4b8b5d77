"""Scores of a walk-forward: per fold, pooled with bands, per member, and as the JSON that the command prints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from ai.ensemble import EnsembleModel
from ai.forecast import MEMBER_COLS, Col, ModelSchedule, has_forecast
from ai.labels import Labels
from ai.validation.scores import (
    Band,
    ReliabilityBin,
    Scores,
    auc_band,
    direction_score,
    log_losses,
    mean_band,
    reliability,
    score_rows,
    verdict,
)
from ai.validation.splits import Window
from data.clock import iso
from data.market import Float64Array, Int64Array

_CLASS_COLUMNS = (Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG)
FOLD_DRAWS = 300  # of a single fold's band: enough to draw it, and dozens of folds stay quick


@dataclass(frozen=True, slots=True)
class FoldScores:
    """One fold: its window, its model, its out-of-sample scores and the 95 % band of its direction AUC.

    ``n_marked`` rows of the training and test window had no label because it touched a repaired or suspect bar.
    """

    window: Window
    model_id: str
    scores: Scores
    auc: Band
    n_marked: int = 0

    @classmethod
    def of(
        cls, window: Window, model_id: str, rows: Float64Array, labels: Labels, base: Float64Array, block: int,
        seed: int, draws: int = FOLD_DRAWS,
    ) -> Self:  # fmt: skip
        """Score the test window's rows against the training window's base rates ``[3]``; blocks of ``block`` bars."""
        used = scored_rows(rows, labels, *window.test_rows)
        p, y = rows[used][:, _CLASS_COLUMNS], labels.label[used]
        band = auc_band(direction_score(p), y > 0, y != 0, block, seed, min(draws, FOLD_DRAWS))
        return cls(window, model_id, score_rows(p, y, base), band)

    def as_dict(self) -> dict[str, Any]:
        """The keys of ``walk-forward``'s ``folds[]``."""
        w = self.window
        times = {"train_from": w.train_from, "train_to": w.train_to, "test_from": w.test_from, "test_to": w.test_to}
        return {
            **{k: iso(v) for k, v in times.items()}, **_plain(asdict(self.scores)), "model_id": self.model_id,
            "auc_low": _finite(self.auc.low), "auc_high": _finite(self.auc.high),
            "n_marked": self.n_marked,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemberScores:
    """One member (or the ensemble) on all pooled test rows."""

    name: str
    scores: Scores
    mean_weight: float


@dataclass(frozen=True, slots=True, eq=False)
class WalkForwardResult:
    """Everything a walk-forward found out; ``rows``, ``schedule`` and ``models`` are what a back-test goes on with."""

    folds: tuple[FoldScores, ...]
    overall: Scores
    auc: Band
    skill: Band  # of log loss − base log loss, nats; below zero is better than the base rate
    verdict: str
    members: tuple[MemberScores, ...]
    reliability: tuple[ReliabilityBin, ...]
    weights: Float64Array  # [T, M] over time, NaN where there is no forecast
    rows: Float64Array  # [T, WIDTH]
    member_names: tuple[str, ...]
    schedule: ModelSchedule
    models: Mapping[str, EnsembleModel]
    trading: Mapping[str, Any] = field(default_factory=dict)  # {"edge": {…}, "account": {…}} from the evaluator
    skipped: tuple[str, ...] = ()

    @property
    def model_ids(self) -> tuple[str, ...]:
        """What the MODEL column of ``rows`` counts in."""
        return tuple(switch.model_id for switch in self.schedule)

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the command: ``folds overall trading members`` and more (NaN as null)."""
        overall = {
            **_plain(asdict(self.overall)), "folds": len(self.folds), "auc_low": _finite(self.auc.low),
            "auc_high": _finite(self.auc.high), "skill_low": _finite(self.skill.low),
            "skill_high": _finite(self.skill.high), "verdict": self.verdict,
        }  # fmt: skip
        members = {m.name: {**_plain(asdict(m.scores)), "mean_weight": _finite(m.mean_weight)} for m in self.members}
        edge = dict(self.trading.get("edge", {}))
        return {
            "folds": [fold.as_dict() for fold in self.folds], "overall": overall,
            "trading": {**edge, **self.trading}, "members": members,
            "reliability": [_plain(asdict(r)) for r in self.reliability], "skipped": list(self.skipped),
        }  # fmt: skip


def scored_rows(rows: Float64Array, labels: Labels, first: int, last: int) -> Int64Array:
    """Positions in ``first:last`` with a forecast and a complete label."""
    part = slice(first, last)
    return first + np.flatnonzero(labels.complete[part] & has_forecast(rows[part]))


def score_folds(
    folds: list[FoldScores], rows: Float64Array, labels: Labels, bases: Float64Array, member_names: tuple[str, ...],
    schedule: ModelSchedule, models: Mapping[str, EnsembleModel], block: int, seed: int, draws: int,
) -> WalkForwardResult:  # fmt: skip
    """Pool the test rows of all folds; bands by blocks of ``block`` bars (the label length)."""
    used = np.concatenate([scored_rows(rows, labels, *fold.window.test_rows) for fold in folds])
    y, base = labels.label[used], bases[used]
    p = rows[used][:, _CLASS_COLUMNS]
    overall = score_rows(p, y, base)
    band = auc_band(direction_score(p), y > 0, y != 0, block, seed, draws)
    skill = mean_band(log_losses(p, y) - log_losses(base, y), block, seed, draws)
    weights = np.full((len(rows), len(member_names)), np.nan)
    members = []
    for k, name in enumerate(member_names):
        at = int(Col.FIRST_MEMBER) + MEMBER_COLS * k
        weights[:, k] = rows[:, at + 3]
        said = rows[used][:, [at + 1, at + 2, at]]
        members.append(MemberScores(name, score_rows(said, y, base), float(weights[used, k].mean())))
    return WalkForwardResult(
        tuple(folds), overall, band, skill, verdict(overall.auc, band), tuple(members), tuple(reliability(p, y)),
        weights, rows, member_names, schedule, models,
    )  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _finite(v) if isinstance(v, float) else v for k, v in values.items()}
