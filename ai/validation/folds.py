"""Scores of a walk-forward: per fold, pooled, per member and baseline, all with bands, and as the command's JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from ai.ensemble import EnsembleModel
from ai.forecast import FIRST_ADVICE, MEMBER_COLS, Abstain, Col, ModelSchedule, has_forecast
from ai.labels import NO_DOUBT, Doubt, Labels
from ai.models.base import Int8Array
from ai.validation.bands import Scored, block_length, overlap_factor, reliability_bands
from ai.validation.scores import Band, ReliabilityBin, Scores, verdict
from ai.validation.splits import Window
from data.clock import iso
from data.market import Float64Array, Int64Array

CLASS_COLUMNS = (Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG)
FOLD_DRAWS = 300  # of the bands of folds, members and baselines: enough to draw them, and dozens stay quick
BASE_RATE, LOGISTIC = "base rate", "logistic"


@dataclass(frozen=True, slots=True)
class FoldScores:
    """One fold: its window, its model, and its out-of-sample scores with their 95 % bands.

    ``n_marked`` rows of the training and test window had no label because it touched a repaired or suspect bar.
    """

    window: Window
    model_id: str
    scored: Scored
    n_marked: int = 0

    @classmethod
    def of(
        cls, window: Window, model_id: str, rows: Float64Array, labels: Labels, base: Float64Array, label: int,
        seed: int, draws: int = FOLD_DRAWS,
    ) -> Self:  # fmt: skip
        """Score the test window's rows against the training window's base rates ``[3]``; labels of ``label`` bars."""
        used = scored_rows(rows, labels, *window.test_rows)
        p, y = rows[used][:, CLASS_COLUMNS], labels.label[used]
        return cls(window, model_id, Scored.of(p, y, base, label, seed, min(draws, FOLD_DRAWS)))

    @property
    def scores(self) -> Scores:
        """Without the bands."""
        return self.scored.scores

    @property
    def auc(self) -> Band:
        """Band of the direction AUC."""
        return self.scored.bands.auc

    def as_dict(self) -> dict[str, Any]:
        """The keys of ``walk-forward``'s ``folds[]``."""
        w = self.window
        times = {"train_from": w.train_from, "train_to": w.train_to, "test_from": w.test_from, "test_to": w.test_to}
        return {
            **{k: iso(v) for k, v in times.items()}, **self.scored.as_dict(), "model_id": self.model_id,
            "n_marked": self.n_marked,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class MemberScores:
    """One member on all pooled test rows."""

    name: str
    scored: Scored
    mean_weight: float

    @property
    def scores(self) -> Scores:
        """Without the bands."""
        return self.scored.scores


@dataclass(frozen=True, slots=True)
class Advice:
    """The forecasts that the models advise against acting on, by reason, and the scores of the others."""

    against: Mapping[str, int]  # reason -> scored rows
    acted_on: Scored

    def as_dict(self) -> dict[str, Any]:
        """``advised_against reasons acted_on``."""
        return {
            "advised_against": sum(self.against.values()), "reasons": dict(self.against),
            "acted_on": self.acted_on.as_dict(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Resampling:
    """How the bands were drawn."""

    label: int  # bars that a label lasts at most
    seed: int
    draws: int  # of the pooled scores

    def as_dict(self, rows: int) -> dict[str, Any]:
        """What the report on so many pooled rows says about its bands.

        ``overlap_factor`` is in the band of ``ece`` alone (decision 0096).
        """
        block = block_length(self.label, rows)
        return {
            "level": 0.95, "method": "circular block bootstrap", "block_bars": block, "label_bars": self.label,
            "draws": self.draws, "draws_of_parts": min(self.draws, FOLD_DRAWS),
            "overlap_factor": overlap_factor(block, self.label),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class WalkForwardResult:
    """Everything a walk-forward found out; ``rows``, ``schedule`` and ``models`` are what a back-test goes on with."""

    folds: tuple[FoldScores, ...]
    pooled: Scored
    advice: Advice
    members: tuple[MemberScores, ...]
    baselines: Mapping[str, Scored]  # on the same rows
    reliability: tuple[tuple[ReliabilityBin, Band], ...]
    resampling: Resampling
    weights: Float64Array  # [T, M] over time, NaN where there is no forecast
    rows: Float64Array  # [T, WIDTH]
    member_names: tuple[str, ...]
    schedule: ModelSchedule
    models: Mapping[str, EnsembleModel]
    trading: Mapping[str, Any] = field(default_factory=dict)  # {"edge": {…}, "account": {…}} from the evaluator
    skipped: tuple[str, ...] = ()
    finer: str | None = None  # timeframe of the bars that decided first touches
    doubt: Doubt = NO_DOUBT
    tried: tuple[Mapping[str, Any], ...] = ()  # configurations that the folds' inner searches tried

    @property
    def overall(self) -> Scores:
        """Pooled, without the bands."""
        return self.pooled.scores

    @property
    def auc(self) -> Band:
        """Band of the pooled direction AUC."""
        return self.pooled.bands.auc

    @property
    def verdict(self) -> str:
        """What the pooled direction AUC says, in words."""
        return verdict(self.overall.auc, self.auc)

    @property
    def model_ids(self) -> tuple[str, ...]:
        """What the MODEL column of ``rows`` counts in."""
        return tuple(switch.model_id for switch in self.schedule)

    def as_dict(self) -> dict[str, Any]:
        """The JSON of the command: ``folds overall trading members`` and more (NaN as null)."""
        edge = dict(self.trading.get("edge", {}))
        held = self.trading.get("baselines", {})
        return {
            "folds": [fold.as_dict() for fold in self.folds],
            "overall": {**self.pooled.as_dict(), "folds": len(self.folds), "verdict": self.verdict},
            "trading": {**edge, **self.trading},
            "members": {m.name: {**m.scored.as_dict(), "mean_weight": _finite(m.mean_weight)} for m in self.members},
            "baselines": {**{name: s.as_dict() for name, s in self.baselines.items()}, **held},
            "advice": self.advice.as_dict(), "bands": self.resampling.as_dict(self.overall.n),
            "reliability": [_bin(*pair) for pair in self.reliability], "skipped": list(self.skipped),
            "finer": self.finer, "both_touched": self.doubt.both, "decided_by_finer": self.doubt.decided,
            "tuned_configurations": len(self.tried),
        }  # fmt: skip


def scored_rows(rows: Float64Array, labels: Labels, first: int, last: int) -> Int64Array:
    """Positions in ``first:last`` with a forecast and a complete label."""
    part = slice(first, last)
    return first + np.flatnonzero(labels.complete[part] & has_forecast(rows[part]))


def score_folds(
    folds: list[FoldScores], rows: Float64Array, labels: Labels, bases: Float64Array, member_names: tuple[str, ...],
    schedule: ModelSchedule, models: Mapping[str, EnsembleModel], resampling: Resampling,
    beside: Mapping[str, Float64Array] | None = None,
) -> WalkForwardResult:  # fmt: skip
    """Pool the test rows of all folds.

    Args:
        folds: scored ones, in the order of time.
        rows: forecasts ``[T, WIDTH]``.
        labels: of the whole frame.
        bases: base rates of the training windows ``[T, 3]``.
        member_names: in the order of the rows' members.
        schedule, models: that made the rows.
        resampling: of the bands.
        beside: other forecasters' probabilities ``[T, 3]`` by name, scored on the same rows.
    """
    label, seed = resampling.label, resampling.seed
    quick = min(resampling.draws, FOLD_DRAWS)
    tested = [scored_rows(rows, labels, *fold.window.test_rows) for fold in folds]
    used, part = np.concatenate(tested), np.repeat(np.arange(len(tested)), [len(each) for each in tested])
    y, base = labels.label[used], bases[used]
    p = rows[used][:, CLASS_COLUMNS]
    pooled = Scored.of(p, y, base, label, seed, resampling.draws, part)
    weights = np.full((len(rows), len(member_names)), np.nan)
    members = []
    for k, name in enumerate(member_names):
        at = int(Col.FIRST_MEMBER) + MEMBER_COLS * k
        weights[:, k] = rows[:, at + 3]
        said = rows[used][:, [at + 1, at + 2, at]]
        scored = Scored.of(said, y, base, label, seed, quick, part)
        members.append(MemberScores(name, scored, float(weights[used, k].mean())))
    others = {BASE_RATE: bases, **(beside or {})}
    return WalkForwardResult(
        tuple(folds), pooled, _advice(pooled, rows[used, Col.ABSTAIN], p, y, base, part, label, seed, quick),
        tuple(members),
        {name: Scored.of(said[used], y, base, label, seed, quick, part) for name, said in others.items()},
        tuple(reliability_bands(p, y, label, seed, resampling.draws)), resampling, weights, rows, member_names,
        schedule, models,
    )  # fmt: skip


def _advice(
    pooled: Scored, code: Float64Array, p: Float64Array, y: Int8Array, base: Float64Array, part: Int64Array,
    label: int, seed: int, draws: int,
) -> Advice:  # fmt: skip
    counts = {a.name.lower(): int(np.sum(code == a)) for a in Abstain if a >= FIRST_ADVICE}
    against = {name: n for name, n in counts.items() if n}
    if not against:
        return Advice({}, pooled)
    kept = code == Abstain.NO
    return Advice(against, Scored.of(p[kept], y[kept], base[kept], label, seed, draws, part[kept]))


def _bin(found: ReliabilityBin, band: Band) -> dict[str, Any]:
    return {**asdict(found), "observed_low": _finite(band.low), "observed_high": _finite(band.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
