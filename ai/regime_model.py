"""Which of the seven states a market will be in four bars later, with calibrated probabilities.

Multinomial logistic regression that starts from the transition shares of the training window (the state of now as
probabilities) and learns only what differs from them: from scale-free features of the registry, the two numbers of the
state (volatility rank and t-value), how near they stand to their borders and how they moved lately. Drawn to zero
it is persistence itself, so a state that was rare in training does not mislead it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from ai.calibration import RIDGE, calibration_slice, fit_sigmoid
from ai.features.engine import FeatureEngine
from ai.features.registry import schema_of
from ai.models.base import finite_or_missing
from ai.models.files import FileModel, json_bytes
from ai.models.linear import weighted_scaler
from ai.regime import (
    AHEAD_BARS,
    HIGH_RANK,
    LOW_RANK,
    REGIME_NAMES,
    STRONG_T,
    TREND_T,
    UNKNOWN,
    Int8Array,
    RegimePath,
    regime_path,
)
from ai.regime_loop import (
    FLOOR,
    INPUT_FEATURES,
    LARGEST_SCALED,
    LARGEST_T,
    NEAR,
    RANK_EDGE,
    STATES,
    T_EDGE,
)
from data.errors import UserError
from data.market import Float64Array, Frame, Int64Array

REGIME_FILE = "regime.json"
LEAST_ROWS = 500  # training rows, some hundred labels that do not overlap
_NUMBERS = ("scaler", "slope", "offset", "transitions", "sigmoid", "base")


def regime_inputs(x: Float64Array, path: RegimePath) -> Float64Array:
    """What the classifier reads at each bar, ``[T, K]``; NaN where it is missing.

    Args:
        x: ``[F, T]``, rows of ``INPUT_FEATURES``.
        path: states of the same bars.
    """
    t, rank = np.clip(path.trend_t, -LARGEST_T, LARGEST_T), path.rank
    now = (path.state == np.arange(STATES)[:, None]).astype(np.float64)
    near = [
        np.clip(t, border - T_EDGE, border + T_EDGE) - border for border in (-STRONG_T, -TREND_T, TREND_T, STRONG_T)
    ] + [
        np.clip(rank, border - RANK_EDGE, border + RANK_EDGE) - border for border in (LOW_RANK, HIGH_RANK)
    ]  # fmt: skip
    moved = [_moved(values, bars) for values in (t, rank) for bars in (1, AHEAD_BARS)]
    rows = [x, t[None], rank[None], now * np.nan_to_num(t), now * np.nan_to_num(rank), near, moved]
    return np.ascontiguousarray(np.vstack([np.atleast_2d(row) for row in rows]).T)


def frame_inputs(frame: Frame) -> tuple[Float64Array, RegimePath]:
    """:func:`regime_inputs` and the states of ``frame``."""
    path = regime_path(frame)
    return regime_inputs(FeatureEngine(schema_of(INPUT_FEATURES), frame.key.timeframe).batch(frame), path), path


def _moved(values: Float64Array, bars: int) -> Float64Array:
    """Change over the last bars (NaN at the start)."""
    out: Float64Array = np.full(len(values), np.nan)
    out[bars:] = values[bars:] - values[:-bars]
    return out


def transition_shares(state: Int8Array, target: Int8Array) -> Float64Array:
    """``[7, 7]``: how often each state (row) was followed by each (column); every pair counted once more than seen."""
    counts = np.ones((STATES, STATES))
    np.add.at(counts, (state.astype(np.int64), target.astype(np.int64)), 1.0)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True), dtype=np.float64)


def base_shares(target: Int8Array) -> Float64Array:
    """``[7]``: how often each state came; each counted once more than seen."""
    counts = 1.0 + np.bincount(target, minlength=STATES)
    return np.asarray(counts / counts.sum(), dtype=np.float64)


class RegimeModel(FileModel):
    """The fitted classifier: plain numbers."""

    kind: ClassVar[str] = "regime"

    def __init__(self, ridge: float = 3.0, iterations: int = 300, calibration_share: float = 0.15) -> None:
        self.ridge = ridge
        self.iterations = iterations
        self.calibration_share = calibration_share
        self.converged = True
        self.scaler: Float64Array = np.zeros((3, 0))  # median, mean, scale
        self.slope: Float64Array = np.zeros((STATES, 0))
        self.offset: Float64Array = np.zeros(STATES)
        self.sigmoid: Float64Array = np.column_stack([np.ones(STATES), np.zeros(STATES)])
        self.transitions: Float64Array = np.full((STATES, STATES), 1.0 / STATES)
        self.base: Float64Array = np.full(STATES, 1.0 / STATES)

    def fit(self, inputs: Float64Array, state: Int8Array, target: Int8Array, rows: Int64Array) -> None:
        """Train on some bars; the last part of them, purged, calibrates.

        Every fourth row is fitted, so that targets do not overlap and the penalty is measured in labels that say
        something of their own.

        Args:
            inputs: ``[T, K]``, of :func:`regime_inputs`.
            state: ``[T]``, of the same bars.
            target: ``[T]``, of :func:`ai.regime.regime_ahead`.
            rows: ascending bars to learn from, all with a target that is known when the training ends.

        Raises:
            UserError: too few rows, or all of one state.
        """
        known = rows[target[rows] != UNKNOWN]
        split = calibration_slice(known, np.arange(len(target)) + AHEAD_BARS, self.calibration_share)
        fitted = split.fit_rows[::AHEAD_BARS]
        if len(known) < LEAST_ROWS or len(np.unique(target[fitted])) < 2:
            raise UserError(
                f"The regime classifier has {len(known)} bars with a known state and needs {LEAST_ROWS} with at least "
                "two states: give it a longer span."
            )
        clean = finite_or_missing(inputs[fitted])
        self.scaler = np.vstack(weighted_scaler(clean, np.ones(len(fitted))))
        self.base = base_shares(target[known])
        self.sigmoid = np.column_stack([np.ones(STATES), np.zeros(STATES)])
        self.transitions = transition_shares(state[fitted], target[fitted])
        self._solve(self._scaled(clean), np.log(self.transitions)[state[fitted]], target[fitted])
        self._calibrate(inputs[split.slice_rows], state[split.slice_rows], target[split.slice_rows])

    def _solve(self, scaled: Float64Array, start: Float64Array, target: Int8Array) -> None:
        """Least loss of ``start + scaled · slope + offset``, both drawn to zero: where nothing is known, ``start``."""
        from scipy.optimize import minimize

        design = np.column_stack([scaled, np.ones(len(scaled))])
        came = (target[:, None] == np.arange(STATES)).astype(np.float64)

        def loss(flat: Float64Array) -> tuple[float, Float64Array]:
            beta = flat.reshape(STATES, -1)
            margin = start + design @ beta.T
            margin -= margin.max(axis=1, keepdims=True)
            weights = np.exp(margin)
            total = weights.sum(axis=1, keepdims=True)
            value = float(np.log(total).sum() - (margin * came).sum() + 0.5 * self.ridge * (beta**2).sum())
            slope = (weights / total - came).T @ design + self.ridge * beta
            return value, slope.ravel()

        found = minimize(
            loss, np.zeros(STATES * design.shape[1]), jac=True, method="L-BFGS-B",
            options={"maxiter": self.iterations, "ftol": 1e-7},
        )  # fmt: skip
        self.converged = bool(found.success)
        beta = found.x.reshape(STATES, -1)
        self.slope, self.offset = np.ascontiguousarray(beta[:, :-1]), np.ascontiguousarray(beta[:, -1])

    def _calibrate(self, inputs: Float64Array, state: Int8Array, target: Int8Array) -> None:
        """One state against the rest; every row counts, with the slice's number of separate labels as the total."""
        raw = self.raw(inputs, state)
        weight = np.full(len(target), 1.0 / AHEAD_BARS)
        pairs = [
            fit_sigmoid(raw[:, k], (target == k).astype(np.float64), weight, RIDGE) if len(target) else (1.0, 0.0)
            for k in range(STATES)
        ]
        self.sigmoid = np.array(pairs)

    def _scaled(self, clean: Float64Array) -> Float64Array:
        median, mean, scale = self.scaler
        z = (np.where(np.isnan(clean), median, clean) - mean) / scale
        return np.asarray(np.clip(z, -LARGEST_SCALED, LARGEST_SCALED), dtype=np.float64)

    def raw(self, inputs: Float64Array, state: Int8Array) -> Float64Array:
        """Probabilities before calibration, ``[n, 7]``."""
        margin = np.log(self.transitions)[state] + self.offset + self._scaled(finite_or_missing(inputs)) @ self.slope.T
        p = np.exp(margin - margin.max(axis=1, keepdims=True))
        return np.asarray(p / p.sum(axis=1, keepdims=True), dtype=np.float64)

    def predict(self, inputs: Float64Array, state: Int8Array) -> Float64Array:
        """Probabilities of the state four bars later, ``[n, 7]`` by :class:`Regime`; NaN where the state is unknown.

        Args:
            inputs: ``[n, K]``, of :func:`regime_inputs`.
            state: ``[n]``, the states of the same bars.
        """
        inside = np.clip(self.raw(inputs, state), NEAR, 1.0 - NEAR)
        margin = self.sigmoid[:, 0] * np.log(inside / (1.0 - inside)) + self.sigmoid[:, 1]
        p = 1.0 / (1.0 + np.exp(-margin))
        p = (1.0 - FLOOR) * p / p.sum(axis=1, keepdims=True) + FLOOR * self.base
        p[state == UNKNOWN] = np.nan
        return np.asarray(p, dtype=np.float64)

    def lines(self) -> tuple[Float64Array, Float64Array]:
        """Flat form for :func:`ai.regime_loop.regime_row`: ``[10, K]`` median, mean, scale and a slope per state;
        ``[7, 11]`` log transitions from each state, then offset, calibrator's a and b, and base share of each."""
        table = np.column_stack([np.log(self.transitions), self.offset, self.sigmoid, self.base])
        return np.ascontiguousarray(np.vstack([self.scaler, self.slope])), np.ascontiguousarray(table)

    def files(self) -> dict[str, bytes]:
        """``regime.json``: every number with its full precision."""
        numbers = {name: getattr(self, name).tolist() for name in _NUMBERS}
        return {REGIME_FILE: json_bytes({**numbers, "converged": self.converged, **self._parameters()})}

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self:
        """From ``regime.json``."""
        stored = json.loads(files[REGIME_FILE])
        model = cls(stored["ridge"], stored["iterations"], stored["calibration_share"])
        model.converged = stored["converged"]
        for name in _NUMBERS:
            setattr(model, name, np.array(stored[name], dtype=np.float64))
        return model

    def describe(self) -> dict[str, Any]:
        """Kind, states and parameters."""
        return {
            "kind": self.kind, "states": list(REGIME_NAMES), "ahead_bars": AHEAD_BARS, "converged": self.converged,
            "params": self._parameters(),
        }  # fmt: skip

    def _parameters(self) -> dict[str, Any]:
        return {"ridge": self.ridge, "iterations": self.iterations, "calibration_share": self.calibration_share}
