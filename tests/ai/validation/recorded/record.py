"""Writes ``answers.json`` beside this file from skfolio, arch and RiskLabAI, which are too large for the test tools.

``pip install skfolio==1.12.2 arch==8.0.0 numba joblib && pip install --no-deps RiskLabAI==2.0.1`` in an environment of
its own, then ``python tests/ai/validation/recorded/record.py``.
"""

from __future__ import annotations

import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from arch.bootstrap import SPA, StepM
from skfolio.model_selection import CombinatorialPurgedCV

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))
import cases


def _without_the_rest_of_the_library() -> None:
    """Let RiskLabAI's modules be imported one by one: its packages import everything, PyTorch included."""
    folder = Path(find_spec("RiskLabAI").submodule_search_locations[0])
    for name in ("RiskLabAI", "RiskLabAI.backtest", "RiskLabAI.backtest.validation"):
        package = types.ModuleType(name)
        package.__path__ = [str(folder.parent / name.replace(".", "/"))]
        sys.modules[name] = package


_without_the_rest_of_the_library()
from RiskLabAI.backtest.probability_of_backtest_overfitting import probability_of_backtest_overfitting
from RiskLabAI.backtest.validation.purged_kfold import PurgedKFold


def splits(rows: int, groups: int, tested: int, purged: int, embargo: int) -> dict:
    """Indices and paths of skfolio."""
    cv = CombinatorialPurgedCV(n_folds=groups, n_test_folds=tested, purged_size=purged, embargo_size=embargo)
    made = [(train.tolist(), [t.tolist() for t in tests]) for train, tests in cv.split(np.zeros((rows, 1)))]
    return {
        "train": [train for train, _ in made], "tests": [tests for _, tests in made],
        "paths": cv.recombined_paths.T.tolist(), "count": int(cv.n_test_paths),
    }  # fmt: skip


def purge(embargo: int, first: int, last: int) -> list[int]:
    """Training rows that RiskLabAI leaves of labels with real ends."""
    lives = pd.Series(cases.label_ends())
    left = PurgedKFold.filtered_training_indices_with_embargo(lives, lives.iloc[first:last], embargo / len(lives))
    return [int(row) for row in left.index]


def superiority(edge: float) -> dict:
    """Three p-values of arch, plain and of gains divided by their long-run deviation (arch does not studentise)."""
    gains = cases.gains(edge)
    loss = np.zeros(len(gains))
    plain = SPA(loss, -gains, block_size=cases.BLOCK, reps=20_000, seed=1)
    plain.compute()
    variance = plain._loss_diff_var
    scaled = SPA(loss, -gains / np.sqrt(variance), block_size=cases.BLOCK, reps=20_000, seed=1)
    scaled.compute()
    steps = StepM(loss, -gains / np.sqrt(variance), size=0.05, block_size=cases.BLOCK, reps=20_000, seed=1)
    steps.compute()
    return {
        "variance": variance.tolist(), "plain": plain.pvalues.tolist(), "studentised": scaled.pvalues.tolist(),
        "better": [int(k) for k in steps.superior_models],
    }  # fmt: skip


def main() -> None:
    """Write the file."""
    probability, logits = probability_of_backtest_overfitting(cases.searched(), cases.PBO_BLOCKS)
    answers = {
        "splits": [splits(*case) for case in cases.SPLITS], "purges": [purge(*case) for case in cases.PURGES],
        "superiority": [superiority(edge) for edge in cases.EDGES],
        "overfitting": {"probability": float(probability), "logits": [round(float(v), 12) for v in logits]},
    }  # fmt: skip
    (FOLDER / "answers.json").write_text(json.dumps(answers, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
