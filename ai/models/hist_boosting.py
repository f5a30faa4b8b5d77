"""Histogram boosting of scikit-learn, kept as one JSON of numbers."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import numpy as np

from ai.models.boosting import NO_LINEAR, BoostedModel, BoostingParameters
from ai.models.histogram_bins import HistogramBins
from ai.models.predictor import LIGHTGBM, MemberTable
from ai.models.tree_tables import boosted_tree, joined, leaf_of, margin_nodes
from data.market import Float64Array, Int64Array

LEAST_ROWS = 20
WEIGHT_PER_CURVATURE = 5.0  # a label's second derivative is about a fifth of its weight


class HistBoostingModel(BoostedModel):
    """HistGradientBoostingClassifier: softmax over three classes, one margin for two.

    It draws no rows, and counts rows in its leaves: ``min_leaf`` is turned into as many rows as weigh the same.
    """

    kind: ClassVar[str] = "hist_boosting"
    file_name: ClassVar[str] = "hist_boosting.model.json"

    def _train(self, x: Float64Array, target: Int64Array, weight: Float64Array) -> bytes:
        known = np.where(np.all(np.isnan(x), axis=0), 0.0, x)
        bins = HistogramBins.of(known, weight, self.parameters.bins)
        fitted = boost_histograms(self.parameters, x if bins is None else bins.codes, target, weight)
        trees = [
            [boosted_tree(one.nodes if bins is None else bins.in_values(one.nodes)) for one in turn]
            for turn in fitted._predictors
        ]
        kept = {"baseline": np.ravel(fitted._baseline_prediction).tolist(), "trees": trees}
        return json.dumps(kept, sort_keys=True, allow_nan=False).encode()  # without indents: a tenth of the time

    def _library_predict(self, text: bytes, x: Float64Array) -> Float64Array:
        """The same sums in plain numpy: scikit-learn cannot be given its own trees back."""
        stored = json.loads(text)
        margin = np.tile(np.array(stored["baseline"]), (len(x), 1))
        for turn in stored["trees"]:
            for k, tree in enumerate(turn):
                margin[:, k] += np.array(tree["value"])[leaf_of(tree, x, single=False)]
        if margin.shape[1] == 1:
            margin = np.column_stack([np.zeros(len(x)), margin])
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float64)

    def _flatten(self, text: bytes, base: Float64Array) -> MemberTable:
        stored = json.loads(text)
        columns = self.columns if len(stored["baseline"]) > 1 else self.columns[1:]  # one margin: of the second class
        base[columns] = stored["baseline"]
        parts, trees, size = [], [], 0
        for turn in stored["trees"]:
            for column, tree in zip(columns, turn, strict=True):
                parts.append(margin_nodes(tree, size))
                trees.append((size, column))
                size += len(parts[-1])
        return MemberTable(LIGHTGBM, base, joined(parts), np.array(trees, dtype=np.int64).reshape(-1, 2), NO_LINEAR)


def boost_histograms(p: BoostingParameters, x: Float64Array, target: Int64Array, weight: Float64Array) -> Any:
    """The fitted ``HistGradientBoostingClassifier`` for ``x[n, F]`` without infinities and targets ``0 … K − 1``."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rows = round(WEIGHT_PER_CURVATURE * p.min_leaf / float(weight.mean()))
    boosting = HistGradientBoostingClassifier(
        max_iter=p.rounds, max_depth=p.depth, max_leaf_nodes=None, learning_rate=p.learning_rate,
        max_features=p.feature_share, min_samples_leaf=min(max(LEAST_ROWS, rows), max(LEAST_ROWS, len(x) // 4)),
        l2_regularization=p.l2, max_bins=p.bins, early_stopping=False, random_state=p.seed,
    )  # fmt: skip
    known = np.where(np.all(np.isnan(x), axis=0), 0.0, x)  # it cannot bin a column without values; a constant is none
    with threadpool_limits(1, user_api="openmp"):
        return boosting.fit(known, target, sample_weight=weight)
