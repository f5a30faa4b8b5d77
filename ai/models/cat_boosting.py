"""CatBoost: symmetric trees, kept as its own JSON. Reading and forecasting need no CatBoost; training does."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ai.models.boosting import NO_LINEAR, BoostedModel, BoostingParameters
from ai.models.files import json_bytes
from ai.models.predictor import VECTOR, MemberTable
from ai.models.tree_tables import Tree, joined, vector_nodes
from data.errors import UserError
from data.market import Float64Array, Int64Array

KEPT = ("class_params", "params", "catboost_version_info")  # of the model's information: the rest says when, not what


def require_catboost() -> None:
    """Make sure that CatBoost can be trained.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("catboost") is None:
        raise UserError(
            "CatBoost is not installed: run 'bash scripts/run.sh --with boost' once, or leave catboost out of --models."
        )


class CatboostModel(BoostedModel):
    """CatBoost, softmax over the classes. It has no least leaf: ``l2`` alone draws small leaves to nothing."""

    kind: ClassVar[str] = "catboost"
    file_name: ClassVar[str] = "catboost.model.json"

    def _train(self, x: Float64Array, target: Int64Array, weight: Float64Array) -> bytes:
        require_catboost()
        fitted = boost_symmetric(self.parameters, x, target, weight)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.file_name
            fitted.save_model(str(path), format="json")
            document = json.loads(path.read_bytes())
        about = document["model_info"]
        document["model_info"] = {name: about[name] for name in KEPT}
        return json_bytes(document)

    def _library_predict(self, text: bytes, x: Float64Array) -> Float64Array:
        require_catboost()
        import catboost

        model = catboost.CatBoostClassifier()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / self.file_name
            path.write_bytes(text)
            model.load_model(str(path), format="json")
        return np.asarray(model.predict_proba(x, thread_count=1), dtype=np.float64)

    def _flatten(self, text: bytes, base: Float64Array) -> MemberTable:
        document = json.loads(text)
        scale, bias = document["scale_and_bias"]
        base[self.columns] = bias
        parts, roots, size = [], [], 0
        for symmetric in document["oblivious_trees"]:
            tree, leaves = _unfolded(symmetric, len(self.columns))
            values = np.zeros((len(tree["feature"]), 3))
            values[-len(leaves) :, self.columns] = scale * leaves
            parts.append(vector_nodes(tree, values, size))
            roots.append((size, 0))
            size += len(parts[-1])
        return MemberTable(VECTOR, base, joined(parts), np.array(roots, dtype=np.int64).reshape(-1, 2), NO_LINEAR)


def _unfolded(symmetric: dict[str, Any], classes: int) -> tuple[Tree, Float64Array]:
    """A symmetric tree as an ordinary one, the root asking its last split, and its leaf values ``[leaves, classes]``.

    CatBoost numbers a leaf by its answers: bit k is set where split k is passed. So a node with j answers given stands
    at ``2^j − 1 +`` those answers, and the leaves come out in CatBoost's own order.
    """
    splits = symmetric["splits"] or []  # none where no split gained anything
    feature: list[int] = []
    threshold: list[float] = []
    left: list[int] = []
    right: list[int] = []
    for split in reversed(splits):
        width = len(feature) + 1  # 2^j nodes on this level
        for k in range(width):
            feature.append(split["float_feature_index"])
            threshold.append(split["border"])
            left.append(2 * width - 1 + 2 * k)
            right.append(2 * width + 2 * k)
    count = 1 << len(splits)
    inner = len(feature)
    tree = {
        "feature": feature + [-1] * count, "threshold": threshold + [0.0] * count, "left": left + [-1] * count,
        "right": right + [-1] * count, "missing_left": [1] * (inner + count),
    }  # fmt: skip
    return tree, np.array(symmetric["leaf_values"], dtype=np.float64).reshape(count, classes)


def boost_symmetric(p: BoostingParameters, x: Float64Array, target: Int64Array, weight: Float64Array) -> Any:
    """The fitted ``CatBoostClassifier`` for ``x[n, F]`` without infinities and targets ``0 … K − 1``.

    It starts at the class shares, as the other libraries do. CatBoost multiplies ``l2_leaf_reg`` by the mean weight;
    that is divided out, so that ``l2`` counts independent labels here too.
    """
    import catboost

    classes = int(target.max()) + 1
    shares = np.array([weight[target == k].sum() for k in range(classes)])
    start = np.log(shares / shares.sum())
    rows = catboost.Pool(x, target, weight=weight, baseline=np.tile(start, (len(x), 1)))
    model = catboost.CatBoostClassifier(
        iterations=p.rounds, depth=p.depth, learning_rate=p.learning_rate, loss_function="MultiClass",
        classes_count=classes, bootstrap_type="Bernoulli", subsample=p.row_share, rsm=p.feature_share,
        l2_leaf_reg=p.l2 / float(weight.mean()), border_count=p.bins, random_seed=p.seed, thread_count=1,
        allow_writing_files=False, verbose=False,
    )  # fmt: skip
    model.fit(rows)
    model.set_scale_and_bias(1.0, start.tolist())
    return model
