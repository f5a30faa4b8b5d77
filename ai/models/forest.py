"""Random forest (scikit-learn): small trees on drawn rows, probabilities averaged, kept as one JSON of numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ai.models.base import Int8Array, class_columns, finite_or_missing
from ai.models.files import FileModel, json_bytes
from ai.models.predictor import FOREST, MemberTable
from ai.models.tree_tables import forest_tree, joined, leaf_of, vector_nodes
from data.market import Float64Array, Int64Array

NO_LINEAR: Float64Array = np.zeros((6, 0))


@dataclass(frozen=True, slots=True)
class ForestParameters:
    """Few, shallow trees with heavy leaves. ``min_leaf`` counts weight: independent labels, not overlapping rows."""

    seed: int = 7
    trees: int = 60
    depth: int = 5
    row_share: float = 0.7
    feature_share: float = 0.4
    min_leaf: float = 10.0


class RandomForestModel(FileModel):
    """A forest whose trees stay readable without scikit-learn."""

    kind: ClassVar[str] = "random_forest"

    def __init__(self, parameters: ForestParameters | None = None) -> None:
        self.parameters = parameters or ForestParameters()
        self.columns: Int64Array = np.array([1], dtype=np.int64)
        self.trees: list[dict[str, Any]] = []

    def fit(self, x: Float64Array, y: Int8Array, weight: Float64Array) -> None:
        """Train; see :class:`ai.models.base.Model`."""
        self.columns = class_columns(y)
        self.trees = []
        if len(self.columns) > 1:
            grown = grow_forest(self.parameters, finite_or_missing(x), y, weight)
            self.trees = [forest_tree(one.tree_) for one in grown.estimators_]

    def predict(self, x: Float64Array) -> Float64Array:
        """Probabilities ``[n, 3]`` in plain numpy, as scikit-learn averages them."""
        clean = finite_or_missing(x)
        out = np.tile(self.table().base, (len(x), 1))
        for tree in self.trees:
            out += self._shares(tree)[leaf_of(tree, clean, single=True)]
        return out

    def _shares(self, tree: Mapping[str, Any]) -> Float64Array:
        """Class shares of every node over the number of trees, ``[nodes, 3]``."""
        shares = np.zeros((len(tree["feature"]), 3))
        shares[:, self.columns] = np.array(tree["value"]).T / len(self.trees)
        return shares

    def table(self) -> MemberTable:
        """Flat form for the predictor."""
        base = np.zeros(3)
        if not self.trees:
            base[self.columns] = 1.0
        parts, roots, size = [], [], 0
        for tree in self.trees:
            parts.append(vector_nodes(tree, self._shares(tree), size))
            roots.append((size, 0))
            size += len(parts[-1])
        return MemberTable(FOREST, base, joined(parts), np.array(roots, dtype=np.int64).reshape(-1, 2), NO_LINEAR)

    def files(self) -> dict[str, bytes]:
        """``random_forest.json``: classes, parameters, every tree in full precision."""
        head = {"classes": [int(c) - 1 for c in self.columns], "params": asdict(self.parameters), "trees": self.trees}
        return {f"{self.kind}.json": json_bytes(head)}

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """From ``random_forest.json``."""
        stored = json.loads(files[f"{cls.kind}.json"])
        model = cls(ForestParameters(**stored["params"]))
        model.columns = np.array(stored["classes"], dtype=np.int64) + 1
        model.trees = stored["trees"]
        return model

    def describe(self) -> dict[str, Any]:
        """Kind, parameters, number of trees."""
        return {"kind": self.kind, "params": asdict(self.parameters), "trees": len(self.trees)}


def grow_forest(p: ForestParameters, x: Float64Array, y: Int8Array, weight: Float64Array) -> Any:
    """The fitted ``RandomForestClassifier`` for ``x[n, F]`` without infinities."""
    from sklearn.ensemble import RandomForestClassifier

    drawn = p.row_share * float(weight.sum())
    forest = RandomForestClassifier(
        n_estimators=p.trees, max_depth=p.depth, max_samples=p.row_share, max_features=p.feature_share,
        min_weight_fraction_leaf=min(p.min_leaf / drawn, 0.25), random_state=p.seed, n_jobs=1,
    )  # fmt: skip
    return forest.fit(x, y, sample_weight=weight)
