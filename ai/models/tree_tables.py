"""Trees of scikit-learn as columns of plain numbers: what is kept of them, and how they become predictor nodes.

Each tree is a mapping of equally long lists: ``feature`` (−1: leaf), ``threshold``, ``left``, ``right``,
``missing_left`` and ``value`` (one number per node, or one list of them for each class).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ai.models.predictor import NODE, NodeArray
from data.market import Float64Array, Int64Array

NAN_MISSING = 2 << 2  # LightGBM's decision_type bits for "NaN is missing"
DEFAULT_LEFT = 2
HUGE = 1e100  # beyond any feature, and still finite when a feature map scales it

Tree = Mapping[str, Any]


def forest_tree(tree: Any) -> dict[str, Any]:
    """A ``sklearn.tree._tree.Tree`` of a classifier; ``value[c]`` are the class shares of each node."""
    return {
        "feature": np.where(tree.children_left < 0, -1, tree.feature).tolist(),
        "threshold": _finite(np.where(tree.children_left < 0, 0.0, tree.threshold)),
        "left": tree.children_left.tolist(),
        "right": tree.children_right.tolist(),
        "missing_left": np.asarray(tree.missing_go_to_left, dtype=np.int64).tolist(),
        "value": tree.value[:, 0, :].T.tolist(),
    }


def boosted_tree(nodes: Any) -> dict[str, Any]:
    """The nodes of one ``TreePredictor`` of scikit-learn's histogram boosting; ``value`` is the leaf's margin."""
    leaf = nodes["is_leaf"] == 1
    return {
        "feature": np.where(leaf, -1, nodes["feature_idx"]).tolist(),
        "threshold": _finite(np.where(leaf, 0.0, nodes["num_threshold"])),
        "left": np.where(leaf, -1, nodes["left"].astype(np.int64)).tolist(),
        "right": np.where(leaf, -1, nodes["right"].astype(np.int64)).tolist(),
        "missing_left": np.asarray(nodes["missing_go_to_left"], dtype=np.int64).tolist(),
        "value": np.where(leaf, nodes["value"], 0.0).tolist(),
    }


def _finite(threshold: Float64Array) -> list[float]:
    """A split of missing from known values has an infinite threshold, which JSON cannot say: any huge number does."""
    return [float(t) for t in np.clip(threshold, -HUGE, HUGE)]


def leaf_of(tree: Tree, x: Float64Array, single: bool) -> Int64Array:
    """The leaf that each row of ``x[n, F]`` reaches, ``[n]``; ``single``: values are compared as 32 bit numbers."""
    feature, threshold = np.array(tree["feature"]), np.array(tree["threshold"])
    left, right, missing = np.array(tree["left"]), np.array(tree["right"]), np.array(tree["missing_left"], dtype=bool)
    seen = x.astype(np.float32).astype(np.float64) if single else x
    at = np.zeros(len(x), dtype=np.int64)
    while np.any(inner := feature[at] >= 0):
        rows = np.flatnonzero(inner)
        here = at[rows]
        value = seen[rows, feature[here]]
        goes_left = np.where(np.isnan(value), missing[here], value <= threshold[here])
        at[rows] = np.where(goes_left, left[here], right[here])
    return at


def margin_nodes(tree: Tree, at: int) -> NodeArray:
    """One tree with a number in each leaf as NODE rows that are walked as LightGBM's; ``at`` is its root's place."""
    nodes = np.zeros(len(tree["feature"]), dtype=NODE)
    nodes["feature"] = tree["feature"]
    nodes["left"], nodes["right"] = np.array(tree["left"]) + at, np.array(tree["right"]) + at
    nodes["flags"] = NAN_MISSING | np.where(np.array(tree["missing_left"]) > 0, DEFAULT_LEFT, 0)
    nodes["value"] = np.where(nodes["feature"] < 0, tree["value"], tree["threshold"])
    return nodes


def vector_nodes(tree: Tree, values: Float64Array, at: int) -> NodeArray:
    """One tree with three numbers in each leaf, ``values[nodes, 3]``: a leaf is three NODE rows, one per class.

    Thresholds are moved up by one step: 32 bit values are compared with ``<``, as the predictor does.
    """
    feature = np.array(tree["feature"], dtype=np.int64)
    size = np.where(feature < 0, 3, 1)
    place = at + np.concatenate([[0], np.cumsum(size)[:-1]])
    first = place - at
    nodes = np.zeros(int(size.sum()), dtype=NODE)
    nodes["feature"] = -1
    inner = feature >= 0
    head = first[inner]
    nodes["feature"][head] = feature[inner]
    nodes["left"][head] = place[np.array(tree["left"])[inner]]
    nodes["right"][head] = place[np.array(tree["right"])[inner]]
    nodes["flags"][head] = np.array(tree["missing_left"])[inner]
    nodes["value"][head] = np.nextafter(np.array(tree["threshold"])[inner], np.inf)
    for c in range(3):
        nodes["value"][first[~inner] + c] = values[~inner, c]
    return nodes


def joined(parts: Sequence[NodeArray]) -> NodeArray:
    """All trees behind one another."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=NODE)
