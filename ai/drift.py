"""Drift alarms: features that have left their training, and scores that get worse.

*Features.* Training is split into :data:`WINDOWS` stretches. The distance of a stretch from the whole (greatest
difference of the distributions, Kolmogorov & Smirnov) is known for each feature and stretch, so for every feature
the farthest stretch of training is known, and how many features one stretch leads in. A newer stretch of that length is
an alarm when it lies beyond the farthest in *more features than any stretch of training leads in*. Whole stretches are
compared, so neither the features' own correlation in time nor that between ninety of them makes false alarms: if the
market goes on as in training, any of the 41 stretches is as likely to be the odd one, which is one false alarm in 41
looks at most (measured: see the tests). Features that wander for longer than a stretch alarm more often; then they have
left the training indeed.

*Scores.* ADWIN (Bifet & Gavaldà 2007) on the loss over the base rate's, in blocks of one label, which hardly overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ai.models.files import json_bytes
from data.market import Float64Array, Int64Array

if TYPE_CHECKING:
    from ai.ensemble import EnsembleModel

DRIFT_FILE = "drift.json"
WINDOWS = 40  # stretches of training
MIN_WINDOW_BARS = 48
QUANTILES = 65  # kept of each feature's distribution in training
ADWIN_DELTA = 0.002  # of ADWIN's bound
MIN_KNOWN = 0.8  # share of a stretch that must be known, or the feature takes no part


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """What one look at the newest stretch found."""

    moved: tuple[str, ...]  # features beyond every stretch of training, farthest first
    features: int  # that took part
    allowed: int  # so many may be beyond: one stretch of training led in as many
    window_bars: int

    @property
    def alarm(self) -> bool:
        """Whether more have moved than any stretch of training would show."""
        return len(self.moved) > self.allowed

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if not self.alarm:
            return (
                f"{len(self.moved)} of {self.features} features lie beyond their training; "
                f"up to {self.allowed} did so within it"
            )
        named = ", ".join(self.moved[:4]) + (" …" if len(self.moved) > 4 else "")
        return (
            f"{len(self.moved)} of {self.features} features lie further from their training than any "
            f"{self.window_bars} bars of it (at most {self.allowed} at once): {named}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What training knew of its features; NaN rows are features that it did not know."""

    features: tuple[str, ...]
    quantiles: Float64Array  # [F, QUANTILES]
    farthest: Float64Array  # [F] greatest distance of a stretch of training from the rest
    allowed: int  # features that one stretch of training led in
    window_bars: int

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self | None:
        """From a model's files; ``None`` where it has none."""
        if DRIFT_FILE not in files:
            return None
        stored = json.loads(files[DRIFT_FILE])
        rows = [[np.nan if v is None else v for v in row] for row in stored["quantiles"]]
        farthest = np.array([np.nan if v is None else v for v in stored["farthest"]], dtype=np.float64)
        return cls(
            tuple(stored["features"]), np.array(rows, dtype=np.float64).reshape(len(farthest), -1), farthest,
            int(stored["allowed"]), int(stored["window_bars"]),
        )  # fmt: skip

    def file(self) -> bytes:
        """As it is kept: six digits are more than a distribution of some hundred bars has."""
        rounded = [[_six(v) for v in row] for row in self.quantiles]
        return json_bytes({
            "features": list(self.features), "quantiles": rounded, "farthest": [_six(v) for v in self.farthest],
            "allowed": self.allowed, "window_bars": self.window_bars,
        })  # fmt: skip

    def look(self, x: Float64Array) -> FeatureDrift:
        """The newest stretch ``x[F, window_bars]``, rows in the order of ``features``."""
        beyond = np.array([distance(row, q) for row, q in zip(x, self.quantiles, strict=True)]) / self.farthest
        order = np.argsort(-np.nan_to_num(beyond))
        moved = tuple(self.features[f] for f in order if beyond[f] > 1.0)
        return FeatureDrift(moved, int(np.isfinite(beyond).sum()), self.allowed, self.window_bars)


def reference_of(x: Float64Array, names: Sequence[str]) -> Reference | None:
    """From the features ``x[F, T]`` of a training window, names by row; ``None`` where it is too short."""
    bars = x.shape[1] // WINDOWS
    if bars < MIN_WINDOW_BARS:
        return None
    x = x[:, x.shape[1] - bars * WINDOWS :]
    found = np.full((len(names), QUANTILES), np.nan)
    away = np.full((len(names), WINDOWS), np.nan)
    for f, row in enumerate(x):
        known = row[np.isfinite(row)]
        if len(known) >= MIN_KNOWN * len(row):
            found[f] = [_six(v) for v in np.quantile(known, np.linspace(0.0, 1.0, QUANTILES))]
            away[f] = [distance(part, found[f]) for part in row.reshape(WINDOWS, bars)]
    away *= WINDOWS / (WINDOWS - 1)  # a stretch is part of the whole that it is held against
    away[~np.isfinite(away).all(axis=1) | ~(away.max(axis=1) > 0.0)] = np.nan
    leads = np.zeros(WINDOWS, dtype=np.int64)
    for row in away[np.isfinite(away[:, 0])]:
        leads[int(row.argmax())] += 1
    return Reference(tuple(names), found, away.max(axis=1), int(leads.max()), bars)


def with_reference(model: EnsembleModel, x: Float64Array, names: Sequence[str], rows: Int64Array) -> EnsembleModel:
    """The model with what its training window ``rows`` of ``x[F, T]`` knew kept in its files."""
    place = {name: f for f, name in enumerate(names)}
    found = reference_of(x[np.array([place[name] for name in model.features])][:, rows], model.features)
    return model if found is None else replace(model, files={**model.files, DRIFT_FILE: found.file()})


def distance(values: Float64Array, quantiles: Float64Array) -> float:
    """Greatest difference between the shares of ``values[n]`` and of ``quantiles[Q]`` at or below any number.

    The statistic of :func:`scipy.stats.ks_2samp`; NaN where fewer than :data:`MIN_KNOWN` of the values are known.
    """
    known = np.sort(values[np.isfinite(values)])
    if not len(known) or len(known) < MIN_KNOWN * len(values) or np.isnan(quantiles[0]):
        return np.nan
    at = np.concatenate([known, quantiles])
    here = np.searchsorted(known, at, side="right") / len(known)
    there = np.searchsorted(quantiles, at, side="right") / len(quantiles)
    return float(np.abs(here - there).max())


def _six(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.6g}")


@dataclass(frozen=True, slots=True)
class ScoreDrift:
    """Whether the loss over the base rate's has become worse within the predictions that were made."""

    alarm: bool
    before: float  # mean loss over the base rate's, nats, before the change; NaN without one
    since: float  # and since
    blocks: int  # looked at
    since_blocks: int  # after the turn

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if not self.alarm:
            return f"no turn for the worse in {self.blocks} labels' time"
        return (
            f"the log loss over the base rate's rose from {self.before:+.3f} to {self.since:+.3f} "
            f"in the last {self.since_blocks} labels' time"
        )


def score_drift(excess: Float64Array, limit_bars: int) -> ScoreDrift:
    """ADWIN over ``excess[n]``, log loss less the base rate's by prediction in time order, in blocks of one label."""
    from river.drift import ADWIN

    length = max(limit_bars, 1)
    blocks = len(excess) // length
    means = excess[: blocks * length].reshape(blocks, length).mean(axis=1)
    detector: Any = ADWIN(delta=ADWIN_DELTA, clock=1, grace_period=10, min_window_length=5)  # type: ignore[no-untyped-call]
    detected = False
    for value in means:
        detector.update(float(value))
        detected |= bool(detector.drift_detected)
    if not detected:
        return ScoreDrift(False, np.nan, np.nan, blocks, blocks)
    turn = _turn(means)
    before, since = float(means[:turn].mean()), float(means[turn:].mean())
    return ScoreDrift(since > before, before, since, blocks, blocks - turn)


def _turn(values: Float64Array) -> int:
    """Where ``values[n]`` change their mean most: the greatest difference of means in its own deviations."""
    n = len(values)
    k = np.arange(1, n)
    total = np.cumsum(values)
    difference = total[:-1] / k - (total[-1] - total[:-1]) / (n - k)
    return int(k[np.argmax(np.abs(difference) * np.sqrt(k * (n - k)))])


def as_metrics(features: FeatureDrift | None, scores: ScoreDrift | None) -> dict[str, Any]:
    """The newest look as figures, for a table."""
    found: dict[str, Any] = {}
    if features is not None:
        found |= {"drift_features": len(features.moved), "drift_allowed": features.allowed}
    if scores is not None:
        found |= {"drift_scores": float(scores.alarm)}
    return found
