"""A trained model calibrated to another exchange: normalisation, volatility scale, calibration, thresholds.

Members stay as they were trained. On the first part of the other exchange's bars are fitted: a map of each feature
whose distribution has another place or width (median and quartiles; :mod:`ai.models.feature_map`), the calibrators, the
class shares, what a time exit brings (the scale of its volatility), the ranges that count as known, and the held-back
scores of the conformal sets. Whether the map is used is decided inside the first part. What it is worth is measured on
the later part, which nothing was fitted on, before and after, row by row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ai.calibration import Method, calibrators_record, choose_calibration, fit_calibrators
from ai.drift import DRIFT_FILE, Reference, reference_of
from ai.ensemble import CALIBRATION_FILE, EnsembleModel, EnsembleOptions, base_rates, compile_pack, usable_rows
from ai.features.calendar import CALENDAR
from ai.guard import Guard, fit_guard, held_back, held_back_rows
from ai.models.feature_map import MAP_FILE, FeatureMap
from ai.models.files import json_bytes
from ai.models.predictor import predict_rows
from ai.payoffs import payoffs_of
from ai.sampling import average_uniqueness
from ai.training import TrainingData
from ai.validation.scores import log_losses
from data.errors import UserError
from data.market import Float64Array, Int64Array

INNER_SHARE = 0.7  # of the first part: fits both variants, the rest decides between them
MIN_ROWS = 300
SAME_WIDTH = 1.25  # a quartile range within this factor, and a median within a quarter of it, is the same scale
SAME_PLACE = 0.25
_QUARTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """A model for another exchange, and what was changed."""

    model: EnsembleModel
    moved: tuple[tuple[str, float, float], ...]  # feature, factor, offset; empty where no map is used
    differ: tuple[str, ...]  # features whose scale differs, mapped or not
    rows: int  # labels it was fitted on
    effective: float  # independent labels they amount to


def calibrated(
    model: EnsembleModel, data: TrainingData, rows: Int64Array, symbol: str, options: EnsembleOptions | None = None
) -> Calibrated:
    """``model`` calibrated on ``rows`` (ascending positions in ``data``), all after its training.

    Args:
        model: the parent; its files stay.
        data: features and labels of the other exchange's bars.
        rows: the first part.
        symbol: unified name of the market it is for.
        options: limits of its guard; those of the parent's by default.

    Raises:
        UserError: the parent keeps no distribution of its features, or there are too few rows.
    """
    used = usable_rows(data.x, data.labels, rows, replace(data.context, features=model.features))
    inside = rows[used[rows] & (data.labels.end[rows] <= rows[-1])] if len(rows) else rows
    if len(inside) < MIN_ROWS:
        raise UserError(
            f"Calibrating needs {MIN_ROWS} usable bars after the model's training and has {len(inside)}: "
            "give it more history of that exchange, or a model that was trained up to an earlier day."
        )
    reference = Reference.of(model.files)
    if reference is None:
        raise UserError("The model keeps no distribution of its training features: train it again, then calibrate it.")
    x = np.ascontiguousarray(data.x[[data.schema.index(name) for name in model.features]].T)
    found = scale_map(reference, x[inside], model.optional)
    differ = tuple(n for n, a, b in zip(model.features, found.a, found.b, strict=True) if a != 1.0 or b != 0.0)
    mapped = bool(differ) and _map_helps(model, data, x, inside, found)
    parent = FeatureMap.of(model.files)
    chosen = found.after(parent) if mapped else parent
    moved = tuple(
        (name, float(a), float(b))
        for name, a, b in zip(model.features, found.a, found.b, strict=True)
        if mapped and name in differ
    )
    made, effective = _refitted(model, data, x, inside, rows, chosen, symbol, options)
    return Calibrated(made, moved, differ, len(inside), effective)


def scale_map(reference: Reference, x: Float64Array, optional: Sequence[str] = ()) -> FeatureMap:
    """The map that gives ``x[n, F]`` the median and quartile range of training, where these differ.

    Features of the calendar, those that may be missing, and those that hardly take more than one value stay.
    """
    calendar = {spec.name for spec in CALENDAR}
    a, b = np.ones(len(reference.features)), np.zeros(len(reference.features))
    for f, name in enumerate(reference.features):
        known = x[np.isfinite(x[:, f]), f]
        if name in calendar or name in optional or not len(known) or np.isnan(reference.quantiles[f, 0]):
            continue
        here = np.quantile(known, _QUARTILES)
        there = np.interp(_QUARTILES, np.linspace(0.0, 1.0, reference.quantiles.shape[1]), reference.quantiles[f])
        width, old = float(here[2] - here[0]), float(there[2] - there[0])
        if not min(width, old) > 0.0:
            continue
        same_width = 1.0 / SAME_WIDTH <= width / old <= SAME_WIDTH
        if same_width and abs(here[1] - there[1]) <= SAME_PLACE * old:
            continue
        a[f] = old / width
        b[f] = there[1] - a[f] * here[1]
    return FeatureMap(a, b)


def _map_helps(
    model: EnsembleModel, data: TrainingData, x: Float64Array, inside: Int64Array, found: FeatureMap
) -> bool:
    """Whether the members, calibrated on the older part of the rows, are better on the newer part with the map."""
    border = inside[int(len(inside) * INNER_SHARE)]
    older, newer = inside[(inside < border) & (data.labels.end[inside] < border)], inside[inside >= border]
    losses, parent = [], FeatureMap.of(model.files)
    for one in (parent, found.after(parent)):
        files = _with_map(model, one)
        files[CALIBRATION_FILE] = _calibration(model, data, _raw(model, files, x[older]), older)[0]
        p = predict_rows(compile_pack(model.members, files, x.shape[1]), x[newer]).mean(axis=0)
        losses.append(float(log_losses(p, data.labels.label[newer]).mean()))
    return losses[1] < losses[0]


def _weight(data: TrainingData, rows: Int64Array) -> tuple[Float64Array, float]:
    effective = float(average_uniqueness(rows + 1, data.labels.end[rows]).sum())
    return np.full(len(rows), effective / len(rows)), effective


def _calibration(
    model: EnsembleModel, data: TrainingData, raw: Float64Array, rows: Int64Array
) -> tuple[bytes, list[Method]]:
    """Calibrators of raw probabilities ``raw[M, n, 3]`` on ``rows``, and how each member is calibrated."""
    y, end, (weight, _) = data.labels.label[rows], data.labels.end[rows], _weight(data, rows)
    fitted, methods = {}, []
    for m, name in enumerate(model.members):
        choice = choose_calibration(raw[m], y, weight, rows, end)
        fitted[name] = calibrators_record(fit_calibrators(raw[m], y, weight, choice.method), choice)
        methods.append(choice.method)
    return json_bytes(fitted), methods


def _with_map(model: EnsembleModel, chosen: FeatureMap | None) -> dict[str, bytes]:
    files = {name: body for name, body in model.files.items() if name != MAP_FILE}
    return files if chosen is None else {**files, MAP_FILE: chosen.file()}


def _raw(model: EnsembleModel, files: dict[str, bytes], x: Float64Array) -> Float64Array:
    return predict_rows(compile_pack(model.members, files, x.shape[1]), x, calibrated=False)


def _refitted(
    model: EnsembleModel, data: TrainingData, x: Float64Array, inside: Int64Array, rows: Int64Array,
    chosen: FeatureMap | None, symbol: str, options: EnsembleOptions | None,
) -> tuple[EnsembleModel, float]:  # fmt: skip
    labels, y, (weight, effective) = data.labels, data.labels.label[inside], _weight(data, inside)
    files = _with_map(model, chosen)
    raw = _raw(model, files, x[inside])
    files[CALIBRATION_FILE], methods = _calibration(model, data, raw, inside)
    guard = None
    if model.guard is not None:
        kept, middle = held_back_rows(inside, labels.end)
        there = inside[kept]
        held = np.array([
            held_back(one[kept], y[kept], weight[kept], middle, method)
            for one, method in zip(raw, methods, strict=True)
        ])  # fmt: skip
        life, limits = labels.end[there] - there, options or _limits(model.guard)
        guard = fit_guard(model.features, x[inside], held, labels.label[there], life, limits)
        files.update(guard.files())
    known = reference_of(x[rows].T, model.features)
    files = {name: body for name, body in files.items() if name != DRIFT_FILE}
    files |= {} if known is None else {DRIFT_FILE: known.file()}
    made = replace(
        model, symbol=symbol, seen_until_ms=int(data.context.open_time[rows[-1]]), base=base_rates(labels, inside),
        payoffs=payoffs_of(labels, inside, effective), files=files,
        pack=compile_pack(model.members, files, x.shape[1]), guard=guard,
    )  # fmt: skip
    return made, effective


def _limits(guard: Guard) -> EnsembleOptions:
    return EnsembleOptions(
        conformal_coverage=guard.conformal_coverage, max_disagreement=guard.max_disagreement,
        max_outside_share=guard.max_outside_share, shrink_when_worse=guard.shrink_when_worse,
    )  # fmt: skip
