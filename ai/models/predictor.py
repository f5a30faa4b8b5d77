"""The one predictor of the decision path: trees, linear models and calibrators as flat arrays and one kernel.

It gives the values of the libraries' own predict to 1e-6. Semantics followed:

- XGBoost (gbtree, multi:softprob): ``float32(x) < threshold`` goes left, NaN goes the stored default way.
- LightGBM (include/LightGBM/tree.h, NumericalDecision): ``x <= threshold`` goes left; NaN is zero unless the node's
  missing type is NaN; with missing type zero, values within 1e-35 of zero go the default way.
- scikit-learn's histogram boosting: ``x <= threshold`` goes left, NaN the stored way: LightGBM's walk does it.
- scikit-learn's forest (``float32(x) <= threshold``) and CatBoost (``float32(x) > border`` goes right): XGBoost's
  comparison with the threshold moved up one step; each leaf has a number for every class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from data.compiled import kernel, kernel_allocating
from data.market import Float64Array, Int64Array

XGBOOST, LIGHTGBM, LINEAR = 0, 1, 2
FOREST, VECTOR = 3, 4  # trees with three numbers in a leaf: probabilities that are summed, or margins
SCALED_LIMIT = 8.0  # standard deviations; farther values count as this far in a linear model
NO_CALIBRATION, SIGMOID, ISOTONIC = 0, 1, 2

NODE = np.dtype(
    [("feature", np.int32), ("left", np.int32), ("right", np.int32), ("flags", np.int32), ("value", np.float64)],
    align=True,
)  # feature −1 = leaf (of FOREST and VECTOR: the first of three rows, one per class); value = threshold or leaf value;
# flags: 1 = NaN left, of LIGHTGBM decision_type

NodeArray = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class MemberTable:
    """One model, flat. ``base`` is −inf for a class that was absent from training."""

    kind: int
    base: Float64Array  # [3] margin before the first tree, or intercept; of a forest the probability
    nodes: NodeArray  # NODE[N], children as indices into it
    trees: Int64Array  # [K, 2] root node, class column (of no meaning where a leaf has three numbers)
    linear: Float64Array  # [6, F] median, mean, scale and a coefficient row per class; [6, 0] for trees


@dataclass(frozen=True, slots=True, eq=False)
class CalibratorTable:
    """One class's calibrator: sigmoid(a·logit p + b), or linear interpolation in ``(x, y)``; clipped to the floor."""

    kind: int
    a: float
    b: float
    x: Float64Array
    y: Float64Array
    floor: float


IDENTITY = CalibratorTable(NO_CALIBRATION, 1.0, 0.0, np.empty(0), np.empty(0), 0.0)


class Pack(NamedTuple):
    """All members of an ensemble in one set of arrays; a plain tuple, so a kernel takes it as one argument."""

    nodes: NodeArray  # NODE[N]
    trees: Int64Array  # [K, 2]
    members: Int64Array  # [M, 4] kind, first tree, last tree, row in linear
    base: Float64Array  # [M, 3]
    linear: Float64Array  # [L, 6, F]
    cal: Int64Array  # [M, 3, 3] kind, first point, last point
    cal_ab: Float64Array  # [M, 3, 3] a, b, floor
    points: Float64Array  # [2, P]


def pack(tables: Sequence[MemberTable], calibrators: Sequence[Sequence[CalibratorTable]], features: int) -> Pack:
    """Join member tables and their three calibrators each into one :class:`Pack` for ``features`` inputs."""
    nodes: list[NodeArray] = []
    linear: list[Float64Array] = []
    trees, rows = [], []
    node_base = tree_base = 0
    for table in tables:
        moved = table.nodes.copy()
        inner = moved["feature"] >= 0
        moved["left"][inner] += node_base
        moved["right"][inner] += node_base
        nodes.append(moved)
        trees.append(table.trees + np.array([node_base, 0], dtype=np.int64))
        rows.append([table.kind, tree_base, tree_base + len(table.trees), len(linear)])
        if table.kind == LINEAR:
            linear.append(table.linear)
        node_base += len(moved)
        tree_base += len(table.trees)
    cal = np.zeros((len(tables), 3, 3), dtype=np.int64)
    cal_ab = np.zeros((len(tables), 3, 3))
    xs: list[float] = []
    ys: list[float] = []
    for m, group in enumerate(calibrators):
        for c, one in enumerate(group):
            cal[m, c] = one.kind, len(xs), len(xs) + len(one.x)
            cal_ab[m, c] = one.a, one.b, one.floor
            xs.extend(one.x.tolist())
            ys.extend(one.y.tolist())
    return Pack(
        np.concatenate(nodes) if nodes else np.empty(0, dtype=NODE),
        np.concatenate(trees).astype(np.int64) if trees else np.empty((0, 2), dtype=np.int64),
        np.array(rows, dtype=np.int64).reshape(-1, 4),
        np.array([t.base for t in tables], dtype=np.float64).reshape(-1, 3),
        np.array(linear, dtype=np.float64).reshape(len(linear), 6, features),
        cal, cal_ab, np.array([xs, ys], dtype=np.float64).reshape(2, -1),
    )  # fmt: skip


@kernel
def _xgboost_margins(
    x: Float64Array, nodes: NodeArray, trees: Int64Array, first: int, last: int, out: Float64Array
) -> None:
    for k in range(first, last):
        at = trees[k, 0]
        while nodes[at]["feature"] >= 0:
            value = x[nodes[at]["feature"]]
            left = nodes[at]["flags"] == 1 if np.isnan(value) else np.float64(np.float32(value)) < nodes[at]["value"]
            at = nodes[at]["left"] if left else nodes[at]["right"]
        out[trees[k, 1]] += nodes[at]["value"]


@kernel
def _vector_sums(
    x: Float64Array, nodes: NodeArray, trees: Int64Array, first: int, last: int, out: Float64Array
) -> None:
    for k in range(first, last):
        at = trees[k, 0]
        while nodes[at]["feature"] >= 0:
            value = x[nodes[at]["feature"]]
            left = nodes[at]["flags"] == 1 if np.isnan(value) else np.float64(np.float32(value)) < nodes[at]["value"]
            at = nodes[at]["left"] if left else nodes[at]["right"]
        for c in range(3):
            out[c] += nodes[at + c]["value"]


@kernel
def _lightgbm_margins(
    x: Float64Array, nodes: NodeArray, trees: Int64Array, first: int, last: int, out: Float64Array
) -> None:
    for k in range(first, last):
        at = trees[k, 0]
        while nodes[at]["feature"] >= 0:
            value = x[nodes[at]["feature"]]
            flags = nodes[at]["flags"]
            missing = (flags >> 2) & 3  # 0 none, 1 zero, 2 NaN
            if np.isnan(value) and missing != 2:
                value = 0.0
            if (missing == 1 and abs(value) <= 1.0000000180025095e-35) or (missing == 2 and np.isnan(value)):
                left = (flags & 2) != 0
            else:
                left = value <= nodes[at]["value"]
            at = nodes[at]["left"] if left else nodes[at]["right"]
        out[trees[k, 1]] += nodes[at]["value"]


@kernel
def _linear_margins(x: Float64Array, linear: Float64Array, out: Float64Array) -> None:
    for f in range(linear.shape[1]):
        value = linear[0, f] if np.isnan(x[f]) else x[f]
        scaled = min(max((value - linear[1, f]) / linear[2, f], -SCALED_LIMIT), SCALED_LIMIT)
        for c in range(3):
            out[c] += linear[3 + c, f] * scaled


@kernel
def _softmax(p: Float64Array) -> None:
    top = max(p[0], p[1], p[2])
    total = 0.0
    for c in range(3):
        p[c] = np.exp(p[c] - top)
        total += p[c]
    for c in range(3):
        p[c] /= total


@kernel
def raw_row(packed: Pack, m: int, x: Float64Array, out: Float64Array) -> None:
    """Uncalibrated probabilities of member ``m`` for ``x[F]`` (no infinities) into ``out[3]``."""
    for c in range(3):
        out[c] = packed.base[m, c]
    kind, first, last = packed.members[m, 0], packed.members[m, 1], packed.members[m, 2]
    if kind == 0:
        _xgboost_margins(x, packed.nodes, packed.trees, first, last, out)
    elif kind == 1:
        _lightgbm_margins(x, packed.nodes, packed.trees, first, last, out)
    elif kind == 2:
        _linear_margins(x, packed.linear[packed.members[m, 3]], out)
    else:
        _vector_sums(x, packed.nodes, packed.trees, first, last, out)
    if kind != 3:
        _softmax(out)


@kernel
def _interpolate(x: Float64Array, y: Float64Array, value: float) -> float:
    last = len(x) - 1
    if value <= x[0]:
        return float(y[0])
    if value >= x[last]:
        return float(y[last])
    low, high = 0, last
    while high - low > 1:
        middle = (low + high) // 2
        if x[middle] <= value:
            low = middle
        else:
            high = middle
    return float(y[low] + (value - x[low]) / (x[high] - x[low]) * (y[high] - y[low]))


@kernel
def calibrate_row(packed: Pack, m: int, p: Float64Array) -> None:
    """Calibrate ``p[3]`` of member ``m`` in place, one class against the rest, then normalise."""
    total = 0.0
    for c in range(3):
        kind = packed.cal[m, c, 0]
        value = p[c]
        floor = packed.cal_ab[m, c, 2]
        if kind == 1:
            inside = min(max(value, 1e-9), 1.0 - 1e-9)
            z = packed.cal_ab[m, c, 0] * np.log(inside / (1.0 - inside)) + packed.cal_ab[m, c, 1]
            value = 1.0 / (1.0 + np.exp(-z))
        elif kind == 2:
            first, last = packed.cal[m, c, 1], packed.cal[m, c, 2]
            value = _interpolate(packed.points[0, first:last], packed.points[1, first:last], value)
        p[c] = min(max(value, floor), 1.0 - floor)
        total += p[c]
    for c in range(3):
        p[c] = p[c] / total


@kernel_allocating
def member_rows(packed: Pack, x: Float64Array, calibrated: bool, out: Float64Array) -> None:
    """``out[M, n, 3]`` of every member for ``x[n, F]``: a loop over the same row functions."""
    row = np.empty(x.shape[1])
    for i in range(x.shape[0]):
        for f in range(x.shape[1]):
            row[f] = x[i, f] if np.isfinite(x[i, f]) else np.nan
        for m in range(packed.members.shape[0]):
            raw_row(packed, m, row, out[m, i])
            if calibrated:
                calibrate_row(packed, m, out[m, i])


def predict_rows(packed: Pack, x: Float64Array, calibrated: bool = True) -> Float64Array:
    """Probabilities ``[M, n, 3]`` of each member for ``x[n, F]``; ``calibrated=False`` gives the raw models."""
    rows = np.ascontiguousarray(x, dtype=np.float64)
    out = np.empty((len(packed.members), len(rows), 3))
    member_rows(packed, rows, calibrated, out)
    return out
