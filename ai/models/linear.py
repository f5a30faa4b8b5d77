"""Multinomial logistic regression with median imputation and standard scaling, kept as one JSON of numbers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from ai.models.base import Int8Array, class_columns, finite_or_missing
from ai.models.files import FileModel, json_bytes
from ai.models.predictor import LINEAR, NODE, SCALED_LIMIT, MemberTable
from data.market import Float64Array, Int64Array


def weighted_scaler(x: Float64Array, weight: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Median, weighted mean and weighted standard deviation of each column of ``x[n, F]`` (NaN = missing).

    A column without values gets 0, 0, 1; a constant column scale 1. Missing values count as the median.
    """
    median = np.zeros(x.shape[1])
    seen = ~np.all(np.isnan(x), axis=0)
    median[seen] = np.nanmedian(x[:, seen], axis=0)
    filled = np.where(np.isnan(x), median, x)
    total = weight.sum()
    mean = (weight @ filled) / total
    scale = np.sqrt((weight @ (filled - mean) ** 2) / total)
    scale[~(scale > 1e-12 * np.maximum(1.0, np.abs(mean)))] = 1.0
    return median, mean, scale


class LogisticModel(FileModel):
    """L2-regularised multinomial logistic regression (scikit-learn, lbfgs)."""

    kind: ClassVar[str] = "logistic"

    def __init__(self, seed: int = 7, c: float = 0.003, iterations: int = 500) -> None:
        self.seed = seed
        self.c = c
        self.iterations = iterations
        self.converged = True
        self.linear: Float64Array = np.zeros((6, 0))
        self.base: Float64Array = np.zeros(3)

    def fit(self, x: Float64Array, y: Int8Array, weight: Float64Array) -> None:
        """Train; see :class:`ai.models.base.Model`."""
        clean = finite_or_missing(x)
        median, mean, scale = weighted_scaler(clean, weight)
        self.linear = np.vstack([median, mean, scale, np.zeros((3, x.shape[1]))])
        scaled = self._scaled(clean)
        columns = class_columns(y)
        self.base = np.full(3, -np.inf)
        self.base[columns] = 0.0
        if len(columns) > 1:
            self._solve(scaled, y, weight, columns)

    def _solve(self, scaled: Float64Array, y: Int8Array, weight: Float64Array, columns: Int64Array) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        fitted = LogisticRegression(C=self.c, max_iter=self.iterations, tol=1e-5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            fitted.fit(scaled, y, sample_weight=weight)
        self.converged = not caught
        rows, offsets = fitted.coef_, fitted.intercept_
        if len(columns) == 2:  # one row says the second class against the first
            rows, offsets = np.vstack([0.0 * rows, rows]), np.append(0.0, offsets)
        self.linear[3 + columns] = rows
        self.base[columns] = offsets

    def _scaled(self, clean: Float64Array) -> Float64Array:
        median, mean, scale = self.linear[:3]
        z = (np.where(np.isnan(clean), median, clean) - mean) / scale
        return np.asarray(np.clip(z, -SCALED_LIMIT, SCALED_LIMIT), dtype=np.float64)

    def predict(self, x: Float64Array) -> Float64Array:
        """Probabilities ``[n, 3]`` in plain numpy."""
        margin = self.base + self._scaled(finite_or_missing(x)) @ self.linear[3:].T
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float64)

    def table(self) -> MemberTable:
        """Flat form for the predictor."""
        none = np.empty((0, 2), dtype=np.int64)
        return MemberTable(LINEAR, self.base, np.empty(0, dtype=NODE), none, self.linear)

    def files(self) -> dict[str, bytes]:
        """``logistic.json``: every number with its full precision."""
        names = ("median", "mean", "scale", "short", "neutral", "long")
        rows = {name: self.linear[k].tolist() for k, name in enumerate(names)}
        base = [float(b) if np.isfinite(b) else None for b in self.base]
        return {
            "logistic.json": json_bytes({**rows, "intercept": base, "converged": self.converged, **self._parameters()})
        }

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """From ``logistic.json``."""
        stored = json.loads(files["logistic.json"])
        model = cls(stored["seed"], stored["c"], stored["iterations"])
        model.converged = stored["converged"]
        names = ("median", "mean", "scale", "short", "neutral", "long")
        model.linear = np.array([stored[name] for name in names], dtype=np.float64)
        model.base = np.array([-np.inf if b is None else b for b in stored["intercept"]])
        return model

    def describe(self) -> dict[str, Any]:
        """Kind and parameters."""
        return {"kind": self.kind, "converged": self.converged, "params": self._parameters()}

    def _parameters(self) -> dict[str, Any]:
        return {"seed": self.seed, "c": self.c, "iterations": self.iterations}
