"""Calibration of class probabilities: one class against the rest, then normalised.

Sigmoid (Platt 1999) on the logit of p, drawn towards the identity by a ridge, for small slices; isotonic
(Zadrozny & Elkan 2002) as a table with linear interpolation for large ones. Size is counted in *effective* labels
(the sum of uniqueness weights): overlapping labels repeat one another, and isotonic would fit the repetition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ai.models.base import CLASSES, Int8Array
from ai.models.linear import LogisticModel, weighted_scaler
from ai.models.predictor import IDENTITY, ISOTONIC, SIGMOID, CalibratorTable, pack, predict_rows
from data.market import Float64Array, Int64Array

Method = Literal["sigmoid", "isotonic", "identity"]

ISOTONIC_FROM = 1000.0  # effective labels
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
            out.append(IDENTITY)
    return out


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


def calibrators_record(tables: list[CalibratorTable]) -> list[dict[str, Any]]:
    """Calibrators as plain JSON values."""
    return [
        {"kind": t.kind, "a": t.a, "b": t.b, "x": t.x.tolist(), "y": t.y.tolist(), "floor": t.floor} for t in tables
    ]


def calibrators_of(record: list[dict[str, Any]]) -> list[CalibratorTable]:
    """Calibrators from :func:`calibrators_record`."""
    return [
        CalibratorTable(r["kind"], r["a"], r["b"], np.array(r["x"], dtype=float), np.array(r["y"], dtype=float),
                        r["floor"])
        for r in record
    ]  # fmt: skip


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
