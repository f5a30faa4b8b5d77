"""What a model knows about its own limits: where it was trained, how good it was on held-back labels, when to advise
against acting on it. Trained with the ensemble, kept in its files, read by the compiled loop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from ai.calibration import Method, chosen_method, fit_calibrators
from ai.features.calendar import CALENDAR
from ai.guard_coverage import ranges
from ai.guard_weights import FLOOR
from ai.models.base import Int8Array
from ai.models.files import json_bytes
from ai.models.predictor import NODE, XGBOOST, MemberTable, Pack, calibrate_row, pack
from data.compiled import kernel
from data.market import Float64Array, Int64Array

if TYPE_CHECKING:
    from ai.ensemble import EnsembleOptions

GUARD_FILE = "guard.json"
MAX_SCORES = 2000  # of the held-back labels that are kept
_NO_MODEL = MemberTable(XGBOOST, np.zeros(3), np.empty(0, NODE), np.empty((0, 2), np.int64), np.zeros((6, 0)))


class GuardRule(NamedTuple):
    """A guard as the loop reads it."""

    base: Float64Array  # [3] class shares of the training labels
    lower: Float64Array  # [F'] range in training
    upper: Float64Array
    scores: Float64Array  # [n] ascending conformal scores
    limits: Float64Array  # [7] spread, outside share, alpha (NaN off), shrink 0/1, held-back gap, variance, gap error


@dataclass(frozen=True, slots=True)
class HeldBack:
    """The ensemble with even weights on labels that neither it nor its calibrators saw."""

    labels: int
    effective: float  # independent labels they amount to
    log_loss: float  # nats
    log_loss_error: float  # standard error
    gap: float  # log loss - entropy of the forecasts: how much more surprising than announced
    gap_error: float
    variance: float  # of one label's gap


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Ranges of the features in training, held-back scores, and the limits asked for."""

    lower: Float64Array  # [F]; infinite where any value will do
    upper: Float64Array
    scores: Float64Array  # ascending 1 - p(true) of held-back labels
    held: HeldBack
    conformal_coverage: float  # 0: no sets
    max_disagreement: float
    max_outside_share: float
    shrink_when_worse: bool

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self | None:
        """From a model's files; ``None`` for a model of before guards."""
        if GUARD_FILE not in files:
            return None
        kept = json.loads(files[GUARD_FILE])
        lower, upper = (np.array([float(v) for v in kept[name]]) for name in ("lower", "upper"))
        limits = kept["limits"]
        return cls(
            lower, upper, np.array(kept["scores"], dtype=np.float64), HeldBack(**kept["held"]),
            limits["conformal_coverage"], limits["max_disagreement"], limits["max_outside_share"],
            limits["shrink_when_worse"],
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """Native files by name."""
        return {GUARD_FILE: json_bytes({
            "lower": [_text(v) for v in self.lower], "upper": [_text(v) for v in self.upper],
            "scores": self.scores.tolist(), "held": asdict(self.held),
            "limits": {
                "conformal_coverage": self.conformal_coverage, "max_disagreement": self.max_disagreement,
                "max_outside_share": self.max_outside_share, "shrink_when_worse": self.shrink_when_worse,
            },
        })}  # fmt: skip

    def rule(self, base: Sequence[float]) -> GuardRule:
        """For the loop; ``base`` are the class shares of the training labels."""
        alpha = 1.0 - self.conformal_coverage if self.conformal_coverage > 0.0 else np.nan
        held = self.held
        return GuardRule(
            np.array(base, dtype=np.float64), self.lower, self.upper, self.scores,
            np.array([
                self.max_disagreement, self.max_outside_share, alpha, float(self.shrink_when_worse), held.gap,
                held.variance, held.gap_error,
            ]),
        )  # fmt: skip


def unguarded(base: Sequence[float], features: int) -> GuardRule:
    """For a model without a guard: nothing is outside, nothing is advised against."""
    return GuardRule(
        np.array(base, dtype=np.float64), np.full(features, -np.inf), np.full(features, np.inf), np.empty(0),
        np.array([1.0, 1.0, np.nan, 0.0, 0.0, 0.0, 0.0]),
    )  # fmt: skip


def fit_guard(
    features: Sequence[str], x: Float64Array, p: Float64Array, y: Int8Array, life: Int64Array, options: EnsembleOptions
) -> Guard:
    """A guard from what training saw.

    Args:
        features: names of the columns of ``x``.
        x: ``[n, F]``, every row that training saw.
        p: ``[M, k, 3]``, the members' probabilities of k held-back labels (:func:`held_back`).
        y: ``[k]``, those labels, −1, 0, +1.
        life: ``[k]``, bars that they lived.
        options: the limits.
    """
    calendar = {spec.name for spec in CALENDAR}
    free = np.array([f for f, name in enumerate(features) if name in calendar], dtype=np.int64)
    lower, upper = ranges(x, free)
    mixed = p.mean(axis=0)
    hit = mixed[np.arange(len(y)), y.astype(np.int64) + 1]
    return Guard(
        lower, upper, thinned(np.sort(1.0 - hit)), _held(mixed, hit, life), options.conformal_coverage,
        options.max_disagreement, options.max_outside_share, options.shrink_when_worse,
    )  # fmt: skip


def _held(mixed: Float64Array, hit: Float64Array, life: Int64Array) -> HeldBack:
    logs = np.log(np.maximum(mixed, FLOOR))
    entropy = -(mixed * logs).sum(axis=1)
    announced = (mixed * logs**2).sum(axis=1) - entropy**2
    loss = -np.log(np.maximum(hit, FLOOR))
    n = len(hit) ** 2 / float(life.sum())
    variance = max(float(np.var(loss - entropy)), float(announced.mean()))
    return HeldBack(
        len(hit), n, float(loss.mean()), float(np.sqrt(np.var(loss) / n)), float((loss - entropy).mean()),
        float(np.sqrt(variance / n)), variance,
    )  # fmt: skip


def thinned(scores: Float64Array, most: int = MAX_SCORES) -> Float64Array:
    """At most so many of the ascending ``scores[n]``; no quantile of those kept is lower than that of all."""
    if len(scores) <= most:
        return scores
    rank = np.ceil(np.arange(1, most + 1) * (len(scores) + 1) / (most + 1)).astype(np.int64)
    return np.asarray(scores[np.minimum(rank, len(scores)) - 1], dtype=np.float64)


@kernel
def _calibrate_rows(packed: Pack, p: Float64Array) -> None:
    for i in range(len(p)):
        calibrate_row(packed, 0, p[i])


def held_back_rows(rows: Int64Array, end: Int64Array) -> tuple[Int64Array, int]:
    """Positions in the calibration slice ``rows`` that can be held back by halves, and where the later half begins.

    Labels of the earlier half that reach into the later one are left out.
    """
    middle = len(rows) // 2
    border = rows[middle]
    kept = np.flatnonzero((np.arange(len(rows)) >= middle) | (end[rows] < border))
    return kept, int(np.sum(kept < middle))


def held_back(
    raw: Float64Array, y: Int8Array, weight: Float64Array, middle: int, method: Method | None = None
) -> Float64Array:
    """Probabilities ``[k, 3]`` of a member, each half calibrated by the other half only.

    Args:
        raw: ``[k, 3]`` uncalibrated, on the rows of :func:`held_back_rows`.
        y, weight: ``[k]``, labels and weights.
        middle: where the later half begins.
        method: of the calibrators; ``None``: by the number of labels.
    """
    out = raw.copy()
    method = method or chosen_method(weight)
    for mine, other in ((slice(0, middle), slice(middle, None)), (slice(middle, None), slice(0, middle))):
        tables = fit_calibrators(raw[other], y[other], weight[other], method)
        _calibrate_rows(pack([_NO_MODEL], [tables], 0), out[mine])
    return out


def _text(value: float) -> float | str:
    return float(value) if np.isfinite(value) else ("inf" if value > 0.0 else "-inf")
