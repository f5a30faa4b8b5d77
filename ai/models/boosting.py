"""Gradient-boosted trees (XGBoost, LightGBM): one thread, seeded, modest, kept in the libraries' own text formats."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ai.models.base import Int8Array, class_columns, finite_or_missing, spread_columns
from ai.models.files import FileModel, json_bytes
from ai.models.predictor import LIGHTGBM, NODE, XGBOOST, MemberTable, NodeArray
from data.market import Float64Array, Int64Array


@dataclass(frozen=True, slots=True)
class BoostingParameters:
    """Sizes and strengths shared by both libraries; small and regularised, as market labels are mostly noise.

    ``min_leaf`` is the least sum of second derivatives in a leaf (about a fifth of its weight) and ``l2`` is added to
    it: with uniqueness weights both count independent labels, not the overlapping rows that repeat them.
    """

    seed: int = 7
    rounds: int = 60
    depth: int = 3
    learning_rate: float = 0.05
    row_share: float = 0.7
    feature_share: float = 0.5
    min_leaf: float = 8.0
    l2: float = 20.0
    bins: int = 64


class BoostedModel(FileModel):
    """What both libraries share: class columns, the constant case, files."""

    kind: ClassVar[str]
    file_name: ClassVar[str]

    def __init__(self, parameters: BoostingParameters | None = None) -> None:
        self.parameters = parameters or BoostingParameters()
        self.columns: Int64Array = np.array([1], dtype=np.int64)
        self.text: bytes | None = None  # the library's own text; none when only one class was seen

    def fit(self, x: Float64Array, y: Int8Array, weight: Float64Array) -> None:
        """Train; see :class:`ai.models.base.Model`."""
        self.columns = class_columns(y)
        target = np.searchsorted(self.columns, y.astype(np.int64) + 1)
        one = len(self.columns) == 1
        self.text = None if one else self._train(finite_or_missing(x), target, weight)

    def predict(self, x: Float64Array) -> Float64Array:
        """The library's own probabilities ``[n, 3]``."""
        p = np.ones((len(x), 1)) if self.text is None else self._library_predict(self.text, finite_or_missing(x))
        return spread_columns(p, self.columns)

    def table(self) -> MemberTable:
        """Flat form for the predictor, read from the native text without the library."""
        base = np.full(3, -np.inf)
        base[self.columns] = 0.0
        if self.text is None:
            return MemberTable(LIGHTGBM, base, np.empty(0, dtype=NODE), np.empty((0, 2), dtype=np.int64), NO_LINEAR)
        return self._flatten(self.text, base)

    def files(self) -> dict[str, bytes]:
        """The native text, and a small JSON with the classes and parameters."""
        head = {"classes": [int(c) - 1 for c in self.columns], "params": asdict(self.parameters)}
        out = {f"{self.kind}.json": json_bytes(head)}
        if self.text is not None:
            out[self.file_name] = self.text
        return out

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """From the two files."""
        head = json.loads(files[f"{cls.kind}.json"])
        model = cls(BoostingParameters(**head["params"]))
        model.columns = np.array(head["classes"], dtype=np.int64) + 1
        model.text = files.get(cls.file_name)
        return model

    def describe(self) -> dict[str, Any]:
        """Kind, parameters, number of trees."""
        return {"kind": self.kind, "params": asdict(self.parameters), "trees": len(self.table().trees)}

    def _train(self, x: Float64Array, target: Int64Array, weight: Float64Array) -> bytes:
        raise NotImplementedError

    def _library_predict(self, text: bytes, x: Float64Array) -> Float64Array:
        raise NotImplementedError

    def _flatten(self, text: bytes, base: Float64Array) -> MemberTable:
        raise NotImplementedError


NO_LINEAR: Float64Array = np.zeros((6, 0))


class XgboostModel(BoostedModel):
    """XGBoost, histogram trees, softmax over the classes."""

    kind: ClassVar[str] = "xgboost"
    file_name: ClassVar[str] = "xgboost.model.json"

    def _train(self, x: Float64Array, target: Int64Array, weight: Float64Array) -> bytes:
        import xgboost

        p = self.parameters
        settings = {
            "objective": "multi:softprob", "num_class": len(self.columns), "tree_method": "hist", "nthread": 1,
            "seed": p.seed, "max_depth": p.depth, "eta": p.learning_rate, "subsample": p.row_share,
            "colsample_bytree": p.feature_share, "min_child_weight": p.min_leaf, "lambda": p.l2,
            "max_bin": p.bins, "verbosity": 0,
        }  # fmt: skip
        rows = xgboost.DMatrix(x.astype(np.float32), label=target, weight=weight, nthread=1)
        return bytes(xgboost.train(settings, rows, p.rounds).save_raw("json"))

    def _library_predict(self, text: bytes, x: Float64Array) -> Float64Array:
        import xgboost

        booster = xgboost.Booster({"nthread": 1, "verbosity": 0})
        booster.load_model(bytearray(text))
        p = booster.predict(xgboost.DMatrix(x.astype(np.float32), nthread=1))
        return np.asarray(p, dtype=np.float64)

    def _flatten(self, text: bytes, base: Float64Array) -> MemberTable:
        learner = json.loads(text)["learner"]
        start = json.loads(learner["learner_model_param"]["base_score"])
        base[self.columns] = np.float32(start)  # one number, or one per class since XGBoost 3.1
        model = learner["gradient_booster"]["model"]
        parts, roots, size = [], [], 0
        for tree in model["trees"]:
            nodes = np.zeros(len(tree["left_children"]), dtype=NODE)
            left = np.array(tree["left_children"])
            inner = left >= 0
            nodes["feature"] = np.where(inner, tree["split_indices"], -1)
            nodes["left"], nodes["right"] = left + size, np.array(tree["right_children"]) + size
            nodes["flags"] = tree["default_left"]
            nodes["value"] = np.array(tree["split_conditions"], dtype=np.float32)
            parts.append(nodes)
            roots.append(size)
            size += len(nodes)
        classes = self.columns[np.array(model["tree_info"], dtype=np.int64)]
        trees = np.column_stack([np.array(roots, dtype=np.int64), classes])
        return MemberTable(XGBOOST, base, np.concatenate(parts), trees, NO_LINEAR)


class LightgbmModel(BoostedModel):
    """LightGBM, leaf-wise trees of the same size, softmax over the classes."""

    kind: ClassVar[str] = "lightgbm"
    file_name: ClassVar[str] = "lightgbm.model.txt"

    def _train(self, x: Float64Array, target: Int64Array, weight: Float64Array) -> bytes:
        import lightgbm

        p = self.parameters
        settings = {
            "objective": "multiclass", "num_class": len(self.columns), "num_threads": 1, "deterministic": True,
            "force_row_wise": True, "seed": p.seed, "num_leaves": 2**p.depth, "learning_rate": p.learning_rate,
            "bagging_fraction": p.row_share, "bagging_freq": 1, "feature_fraction": p.feature_share,
            "min_data_in_leaf": 20, "min_sum_hessian_in_leaf": p.min_leaf, "lambda_l2": p.l2,
            "max_bin": p.bins - 1, "verbosity": -1,
        }  # fmt: skip
        rows = lightgbm.Dataset(x, label=target, weight=weight, params=settings)
        return str(lightgbm.train(settings, rows, p.rounds).model_to_string()).encode()

    def _library_predict(self, text: bytes, x: Float64Array) -> Float64Array:
        import lightgbm

        booster = lightgbm.Booster(model_str=text.decode())
        return np.asarray(booster.predict(x, num_threads=1), dtype=np.float64).reshape(len(x), -1)

    def _flatten(self, text: bytes, base: Float64Array) -> MemberTable:
        sections = text.decode().split("\nTree=")
        parts, trees, size = [], [], 0
        for section in sections[1:]:
            body = section.split("\n\n", 1)[0]
            number, *lines = body.split("\n")
            nodes = _lightgbm_nodes(dict(line.split("=", 1) for line in lines if "=" in line), size)
            trees.append((size, self.columns[int(number) % len(self.columns)]))
            parts.append(nodes)
            size += len(nodes)
        return MemberTable(LIGHTGBM, base, np.concatenate(parts), np.array(trees, dtype=np.int64), NO_LINEAR)


def _lightgbm_nodes(fields: Mapping[str, str], at: int) -> NodeArray:
    """One tree of a LightGBM text as NODE rows, inner nodes first, leaves after; ``at`` is the place of its root."""

    def numbers(name: str, kind: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.array(fields[name].split(), dtype=kind)

    leaves = int(fields["num_leaves"])
    nodes = np.zeros(2 * leaves - 1, dtype=NODE)
    nodes["feature"] = -1
    nodes["value"][leaves - 1 :] = numbers("leaf_value", np.float64)
    if leaves > 1:
        inner = nodes[: leaves - 1]
        inner["feature"] = numbers("split_feature", np.int32)
        inner["value"] = numbers("threshold", np.float64)
        inner["flags"] = numbers("decision_type", np.int32)
        for side in ("left", "right"):
            child = numbers(f"{side}_child", np.int64)
            inner[side] = at + np.where(child >= 0, child, leaves - 1 + ~child)
    return nodes
