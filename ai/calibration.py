"""Calibration of class probabilities: one class against the rest, then normalised.

Sigmoid (Platt 1999) on the logit of p, drawn towards the identity by a ridge, for small slices; isotonic
(Zadrozny & Elkan 2002) as a table with linear interpolation for large ones. Size is counted in *effective* labels
(the sum of uniqueness weights): overlapping labels repeat one another, and isotonic would fit the repetition.

Which of the two, or neither, is decided inside the calibration slice: each is fitted on its older half and scored on
its newer half, purged by the labels' ends. The sigmoid stays unless another beats it by more than a standard error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ai.models.base import CLASSES, Int8Array
from ai.models.linear import LogisticModel, weighted_scaler
from ai.models.predictor import IDENTITY, ISOTONIC, NO_CALIBRATION, SIGMOID, CalibratorTable, pack, predict_rows
from ai.validation.scores import log_losses
from data.market import Float64Array, Int64Array

Method = Literal["sigmoid", "isotonic", "identity"]

METHODS: tuple[Method, ...] = ("sigmoid", "isotonic", "identity")
ISOTONIC_FROM = 1000.0  # effective labels, where there is nothing to choose by
CHOOSE_FROM = 200.0  # effective labels; below, half a slice tells nothing and the sigmoid stays
RIDGE = 30.0  # effective labels' worth of belief in the identity
_EDGE = 1e-9


@dataclass(frozen=True, slots=True)
class CalibrationSlice:
    """Which rows of a training window fit the models and which calibrate them; label ends keep them apart."""

    fit_rows: Int64Array
    slice_rows: Int64Array


def calibration_slice(rows: Int64Array, end: Int64Array, share: float = 0.15) -> CalibrationSlice:
    """Split ascending ``rows`` of a training window; ``end[T]`` is the bar at which each row's label ends.

    The slice is the last ``share`` of the window. Purged on both sides: a fitting row's label ends before the slice
    begins, a slice row's label ends inside the window.
    """
    if len(rows) == 0:
        return CalibrationSlice(rows, rows)
    last = rows[-1]
    border = rows[min(len(rows) - 1, round(len(rows) * (1.0 - share)))]
    before, after = rows[rows < border], rows[rows >= border]
    return CalibrationSlice(before[end[before] < border], after[end[after] <= last])


def chosen_method(weight: Float64Array) -> Method:
    """Sigmoid below ``ISOTONIC_FROM`` effective labels, isotonic from there on."""
    return "isotonic" if float(weight.sum()) >= ISOTONIC_FROM else "sigmoid"


def fit_calibrators(
    p: Float64Array, y: Int8Array, weight: Float64Array, method: Method | None = None, ridge: float = RIDGE
) -> list[CalibratorTable]:
    """Three calibrators for probabilities ``p[n, 3]`` and labels ``y[n]``; identity for an empty slice."""
    if len(y) == 0:
        return [IDENTITY] * len(CLASSES)
    kind = method or chosen_method(weight)
    floor = 0.1 / (float(weight.sum()) + 2.0)
    out = []
    for column, label in enumerate(CLASSES):
        hit = (y == label).astype(np.float64)
        if kind == "isotonic":
            out.append(_isotonic(p[:, column], hit, weight, floor))
        elif kind == "sigmoid":
            a, b = fit_sigmoid(p[:, column], hit, weight, ridge)
            out.append(CalibratorTable(SIGMOID, a, b, np.empty(0), np.empty(0), floor))
        else:
            out.append(CalibratorTable(NO_CALIBRATION, 1.0, 0.0, np.empty(0), np.empty(0), floor))
    return out


@dataclass(frozen=True, slots=True)
class CalibrationChoice:
    """The method of a member's calibrators and what it was chosen by: mean log losses on the newer half, nats."""

    method: Method
    losses: Mapping[Method, float]  # by method; empty where there was too little to choose by
    margin: float  # standard error of the winner's lead over the sigmoid; 0 where there was nothing to choose
    scored: int  # rows of the newer half

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "method": self.method, "losses": dict(self.losses), "margin": self.margin, "scored": self.scored,
        }  # fmt: skip


def choose_calibration(
    p: Float64Array, y: Int8Array, weight: Float64Array, rows: Int64Array, end: Int64Array
) -> CalibrationChoice:
    """Sigmoid, isotonic or none, for raw probabilities ``p[n, 3]`` of a calibration slice.

    Only forwards, as calibrators are used: fitted on the past, judged by what came after it.

    Args:
        p, y, weight: ``[n, 3]``, ``[n]``, ``[n]`` as for :func:`fit_calibrators`.
        rows: ``[n]``, ascending bars at which the rows were decided.
        end: ``[n]``, bars at which their labels are known.
    """
    effective = float(weight.sum())
    border = rows[len(rows) // 2] if len(rows) else 0
    older, newer = np.flatnonzero(end < border), np.flatnonzero(rows >= border)
    if effective < CHOOSE_FROM or not len(older):
        return CalibrationChoice("sigmoid", {}, 0.0, 0)
    losses = {
        method: log_losses(calibrated(p[newer], fit_calibrators(p[older], y[older], weight[older], method)), y[newer])
        for method in METHODS
    }
    means = {method: float(loss.mean()) for method, loss in losses.items()}
    best = min(METHODS, key=lambda method: means[method])
    lead = losses["sigmoid"] - losses[best]
    margin = float(lead.std()) / max(float(weight[newer].sum()), 1.0) ** 0.5
    chosen: Method = best if float(lead.mean()) > margin else "sigmoid"
    return CalibrationChoice(chosen, means, margin, len(newer))


def calibrated(p: Float64Array, tables: Sequence[CalibratorTable]) -> Float64Array:
    """``p[n, 3]`` as the predictor calibrates it, in plain numpy."""
    out = np.empty_like(p)
    for c, table in enumerate(tables):
        value = p[:, c]
        if table.kind == SIGMOID:
            inside = np.clip(value, _EDGE, 1.0 - _EDGE)
            value = 1.0 / (1.0 + np.exp(-(table.a * np.log(inside / (1.0 - inside)) + table.b)))
        elif table.kind == ISOTONIC:
            value = np.interp(value, table.x, table.y)
        out[:, c] = np.clip(value, table.floor, 1.0 - table.floor)
    return np.asarray(out / out.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_sigmoid(p: Float64Array, hit: Float64Array, weight: Float64Array, ridge: float) -> tuple[float, float]:
    """``a ≥ 0`` and ``b`` of sigmoid(a·logit p + b) by Newton's method; ``ridge`` pulls to a = 1, b = 0."""
    inside = np.clip(p, _EDGE, 1.0 - _EDGE)
    design = np.column_stack([np.log(inside / (1.0 - inside)), np.ones(len(p))])
    free = _newton(design, hit, weight, ridge, np.array([1.0, 0.0]))
    if free[0] >= 0.0:
        return float(free[0]), float(free[1])
    flat = _newton(design[:, 1:], hit, weight, ridge, np.array([0.0]))  # never turn an order round
    return 0.0, float(flat[0])


def _newton(
    design: Float64Array, hit: Float64Array, weight: Float64Array, ridge: float, centre: Float64Array
) -> Float64Array:
    beta = centre.copy()
    for _ in range(100):
        s = 1.0 / (1.0 + np.exp(-np.clip(design @ beta, -40.0, 40.0)))
        slope = design.T @ (weight * (s - hit)) + ridge * (beta - centre)
        curve = (design * (weight * s * (1.0 - s))[:, None]).T @ design + (ridge + 1e-9) * np.eye(len(beta))
        move = np.linalg.solve(curve, slope)
        beta = beta - np.clip(move, -2.0, 2.0)
        if float(np.max(np.abs(move))) < 1e-10:
            break
    return beta


def _isotonic(p: Float64Array, hit: Float64Array, weight: Float64Array, floor: float) -> CalibratorTable:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(p, hit, sample_weight=weight)
    x = np.asarray(fitted.X_thresholds_, dtype=np.float64)
    y = np.asarray(fitted.y_thresholds_, dtype=np.float64)
    return CalibratorTable(ISOTONIC, 1.0, 0.0, x, y, floor)


def calibrators_record(tables: list[CalibratorTable], choice: CalibrationChoice | None = None) -> dict[str, Any]:
    """Calibrators, and what they were chosen by, as plain JSON values."""
    classes = [
        {"kind": t.kind, "a": t.a, "b": t.b, "x": t.x.tolist(), "y": t.y.tolist(), "floor": t.floor} for t in tables
    ]
    return {"classes": classes, "choice": None if choice is None else choice.as_dict()}


def calibrators_of(record: Mapping[str, Any] | list[dict[str, Any]]) -> list[CalibratorTable]:
    """Calibrators from :func:`calibrators_record`; earlier models hold the list of classes alone."""
    classes = record if isinstance(record, list) else record["classes"]
    return [
        CalibratorTable(r["kind"], r["a"], r["b"], np.array(r["x"], dtype=float), np.array(r["y"], dtype=float),
                        r["floor"])
        for r in classes
    ]  # fmt: skip


def calibration_choices(content: bytes) -> dict[str, Any]:
    """What each member's calibrators were chosen by, from a calibration file; ``None`` of an earlier model."""
    return {
        name: record["choice"] if isinstance(record, dict) else None for name, record in json.loads(content).items()
    }


def scaler_values(x: Float64Array, y: npt.NDArray[Any], train_rows: int, query_row: int) -> Float64Array:
    """Scaled features ``[F]`` of one row of ``x[n, F]`` from a scaler fitted on the first ``train_rows`` rows.

    What the leak audit tries; ``y`` plays no part.
    """
    del y
    median, mean, scale = weighted_scaler(x[:train_rows], np.ones(train_rows))
    row = x[query_row]
    return np.asarray((np.where(np.isnan(row), median, row) - mean) / scale, dtype=np.float64)


def calibrated_values(x: Float64Array, y: npt.NDArray[Any], train_rows: int, query_row: int) -> Float64Array:
    """Calibrated probabilities ``[3]`` of one row of ``x[n, F]``: model and calibrators from the first ``train_rows``.

    As in training the last 15 % of those rows calibrate. What the leak audit tries; ``y[n]`` holds −1, 0, +1.
    """
    split = round(train_rows * 0.85)
    labels = y.astype(np.int8)
    model = LogisticModel()
    model.fit(x[:split], labels[:split], np.ones(split))
    plain = pack([model.table()], [[IDENTITY] * 3], x.shape[1])
    raw = predict_rows(plain, x[split:train_rows], calibrated=False)[0]
    tables = fit_calibrators(raw, labels[split:train_rows], np.ones(train_rows - split))
    done = predict_rows(pack([model.table()], [tables], x.shape[1]), x[query_row : query_row + 1])
    return np.asarray(done[0, 0], dtype=np.float64)
