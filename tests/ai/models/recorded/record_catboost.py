"""Writes ``catboost.json``: a small model of CatBoost 1.2.10, rows, and what CatBoost itself says of them.

Run from the root of the repository: ``.venv/bin/python -m tests.ai.models.recorded.record_catboost``
"""

from __future__ import annotations

import json
from pathlib import Path

from ai.models.boosting import BoostingParameters
from ai.models.cat_boosting import CatboostModel
from tests.ai.models.test_predictor import sample


def main() -> None:
    x, y, weight = sample(rows=400, features=4)
    model = CatboostModel(BoostingParameters(rounds=6, depth=3, l2=2.0))
    model.fit(x, y, weight)
    rows = sample(rows=40, features=4, seed=8, missing=0.2)[0]
    document = {
        "files": {name: content.decode() for name, content in model.files().items()},
        "x": [[None if v != v else v for v in row] for row in rows.tolist()],
        "p": model.predict(rows).tolist(),
    }
    Path(__file__).with_name("catboost.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
