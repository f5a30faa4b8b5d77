"""Meta-labels: take or skip a trade whose side another model has chosen (López de Prado, AFML ch. 3.6).

The side says where to, the meta-model whether it is worth it. Its label is what the trade brought after costs: 1 if
more than nothing, at whichever exit. It learns from the proposed bars only, so that overlap is counted among those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ai.calibration import RIDGE, calibration_slice, fit_sigmoid
from ai.labels import Int8Array, Labels
from ai.models.files import json_bytes
from ai.models.linear import LogisticModel
from ai.sampling import average_uniqueness
from data.errors import UserError
from data.market import Float64Array, Int64Array

META_FILE = "meta.json"
_TAKE = 2  # column of LogisticModel's classes that stands for "take"; "skip" is the middle one
_SKIP = 1
_LEAST = 100  # proposed trades to learn from
_NEAR = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class MetaLabels:
    """One row for each proposed trade with a complete label, in time order."""

    rows: Int64Array  # [n] bars at which the trades were decided
    take: Int8Array  # [n] 1 take, 0 skip
    weight: Float64Array  # [n] average uniqueness among the proposed trades
    payoff: Float64Array  # [n] net result, fraction of the entry price
    end: Int64Array  # [n] bars at whose close the labels are known

    def __len__(self) -> int:
        return len(self.rows)

    def until(self, bar: int) -> MetaLabels:
        """Those that are known before ``bar`` begins: what may be learned there."""
        known = self.end < bar
        return MetaLabels(self.rows[known], self.take[known], self.weight[known], self.payoff[known], self.end[known])


def meta_labels(side: Int8Array, labels: Labels, cost: float = 0.0) -> MetaLabels:
    """Was the proposed side worth taking?

    Args:
        side: ``[T]``, 1 long, -1 short, 0 nothing proposed; made at each bar from data up to it.
        labels: of the same bars.
        cost: of a round trip, as a fraction of the entry price.

    Raises:
        UserError: another number of bars.
    """
    if len(side) != len(labels):
        raise UserError(
            f"The sides belong to {len(side)} bars and the labels to {len(labels)}: make both of one frame."
        )
    rows = np.flatnonzero((side != 0) & labels.complete)
    long, short = labels.net(cost)
    payoff = np.where(side[rows] > 0, long[rows], short[rows])
    weight = average_uniqueness(rows + 1, labels.end[rows])
    return MetaLabels(rows, (payoff > 0.0).astype(np.int8), weight, payoff, labels.end[rows])


def meta_inputs(x: Float64Array, side: Int8Array) -> Float64Array:
    """What the meta-model reads, ``[n, 2F + 1]``: the features, the features seen from the side, and the side.

    Args:
        x: ``[n, F]``, scale-free features; the first model's probabilities may stand among them.
        side: ``[n]``, of the same rows.
    """
    facing = side.astype(np.float64)[:, None]
    return np.hstack([x, facing * x, facing])


class MetaModel:
    """P(the trade brings more than it costs), calibrated, and whether to take it."""

    def __init__(self, c: float = 0.01) -> None:
        self.model = LogisticModel(c=c)
        self.sigmoid = (1.0, 0.0)
        self.win = 0.0  # mean payoff of the trades that brought something, a fraction
        self.loss = 0.0  # of the others, as a positive number

    def fit(self, inputs: Float64Array, meta: MetaLabels, calibration_share: float = 0.15) -> None:
        """Train; the last part of the rows, purged, calibrates.

        Args:
            inputs: ``[n, K]``, the rows of ``meta`` (see :func:`meta_inputs`).
            meta: all known when the training ends (see :meth:`MetaLabels.until`), of sides proposed out of sample.

        Raises:
            UserError: fewer than a hundred trades, or all of them alike.
        """
        if len(meta) < _LEAST or len(np.unique(meta.take)) < 2:
            raise UserError(
                f"The meta-model has {len(meta)} proposed trades and needs {_LEAST}, won and lost ones: "
                "give it a longer span."
            )
        begun = np.searchsorted(meta.rows, meta.end, side="right") - 1  # last row decided by the label's end
        split = calibration_slice(np.arange(len(meta)), begun, calibration_share)
        fitted, held = split.fit_rows, split.slice_rows
        self.model.fit(inputs[fitted], meta.take[fitted], meta.weight[fitted])
        raw = self.model.predict(inputs[held])[:, _TAKE]
        self.sigmoid = fit_sigmoid(raw, meta.take[held].astype(np.float64), meta.weight[held], RIDGE)
        won = meta.take == 1
        self.win = float(np.average(meta.payoff[won], weights=meta.weight[won]))
        self.loss = -float(np.average(meta.payoff[~won], weights=meta.weight[~won]))

    def predict(self, inputs: Float64Array) -> Float64Array:
        """P(more than it costs), ``[n]``."""
        raw = np.clip(self.model.predict(inputs)[:, _TAKE], _NEAR, 1.0 - _NEAR)
        a, b = self.sigmoid
        return np.asarray(1.0 / (1.0 + np.exp(-(a * np.log(raw / (1.0 - raw)) + b))), dtype=np.float64)

    @property
    def threshold(self) -> float:
        """The probability at which what is won and what is lost weigh the same."""
        both = self.win + self.loss
        return self.loss / both if both > 0.0 else 1.0

    def takes(self, inputs: Float64Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Whether a trade's expected payoff after costs is above zero, ``[n]``."""
        return np.asarray(self.predict(inputs) > self.threshold, dtype=np.bool_)

    def files(self) -> dict[str, bytes]:
        """``meta.json``: every number with its full precision."""
        inner = json.loads(self.model.files()["logistic.json"])
        numbers = {"sigmoid": list(self.sigmoid), "win": self.win, "loss": self.loss}
        return {META_FILE: json_bytes({**numbers, "model": inner})}

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """From ``meta.json``."""
        stored = json.loads(files[META_FILE])
        made = cls()
        made.model = LogisticModel.of({"logistic.json": json_bytes(stored["model"])})
        a, b = stored["sigmoid"]
        made.sigmoid, made.win, made.loss = (a, b), stored["win"], stored["loss"]
        return made

    def lines(self) -> tuple[Float64Array, Float64Array]:
        """Flat form for a kernel: ``[4, K]`` median, mean, scale and coefficient of each input; ``[4]`` intercept, the
        calibrator's a and b, and the threshold."""
        linear, base = self.model.linear, self.model.base
        rows = np.vstack([linear[:3], linear[3 + _TAKE] - linear[3 + _SKIP]])
        return np.ascontiguousarray(rows), np.array([base[_TAKE] - base[_SKIP], *self.sigmoid, self.threshold])
