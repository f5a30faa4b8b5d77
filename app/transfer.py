"""``calibrate``: a registered model brought to another exchange, with a report of before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ai.ensemble import EnsembleModel, EnsembleOptions
from ai.exits import exit_profile
from ai.known import KnownMarket
from ai.labels import stop_distances
from ai.leak_audit_models import audit_model
from ai.models.evidence import evidence
from ai.models.registry import model_id_of
from ai.training import TrainingData, training_data
from ai.transfer import Calibrated, calibrated
from ai.validation.bands import Scored, block_length
from ai.validation.scores import log_losses, mean_band
from app.retraining import KEPT_SCORES, finite, fold_forecasts, load_model
from app.training import find_model
from app.version import VERSION
from app.wiring import Workplace, choose_series, extras_for, read_funding
from data.clock import iso
from data.errors import UserError
from data.market import Float64Array, Frame, SeriesKey
from database.models import ModelRow

Document = dict[str, Any]

CALIBRATION_SHARE = 0.6  # of the bars after the model's training: fits; the later part judges
MIN_JUDGED = 100  # labels in the later part


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: as the model was trained. Times are ms UTC, half-open."""

    model: str  # id or its beginning
    exchange: str
    symbol: str | None = None
    timeframe: str | None = None
    source: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    register: bool = False


def perform(place: Workplace, request: Request) -> Document:
    """Calibrate on the first part of the other exchange's bars, judge on the later part, register where asked.

    Raises:
        UserError: no such model or series, another timeframe, or too few bars after the model's training.
    """
    row = place.database.models.get(find_model(place, request.model))
    parent, ai = load_model(place.home, row), place.settings.values.ai
    timeframe = request.timeframe or row.key.timeframe
    if timeframe != parent.timeframe:
        raise UserError(
            f"Model '{row.model_id}' reads {parent.timeframe} bars: it cannot be calibrated to {timeframe}."
        )
    store, symbol = place.database.candles, request.symbol or row.key.symbol
    key = choose_series(store, symbol, timeframe, request.exchange, request.source).key
    frame = store.read(key, request.start_ms, request.end_ms)
    funding = read_funding(store, key, int(frame.open_time[0]), request.end_ms) if len(frame) else None
    extras = extras_for(place.database, frame, ai)
    market = KnownMarket(frame, funding if funding is not None and len(funding) else None, extras.beside, extras.finer)
    share = ai.calibration_share
    data = training_data(frame, market.funding, parent.profile, parent.features, share, market.beside, market.finer)
    first, split = _parts(frame, data, parent)
    found = calibrated(parent, data, np.arange(first, split, dtype=np.int64), symbol, EnsembleOptions.of(ai))
    document, scores = _report(parent, found, data, frame, first, split)
    head = {"model": row.model_id, "series": str(key), "parent_series": str(row.key)}
    if request.register:
        audit = audit_model(found.model, market, EnsembleOptions.of(ai), calibration_share=share)
        scores["audit"] = audit.as_dict()
        head["model_id"] = _register(place, found, key, row, scores)
    return {**head, "registered": request.register, **document}


def _parts(frame: Frame, data: TrainingData, parent: EnsembleModel) -> tuple[int, int]:
    """First bar that calibrates, and first that judges.

    Only bars after the model's training: exchanges trade one market, and what it has seen on one it knows on all.
    """
    first = max(int(np.searchsorted(frame.open_time, parent.seen_until_ms, side="right")), data.warmup)
    return first, first + int(max(len(frame) - first, 0) * CALIBRATION_SHARE)


def _report(
    parent: EnsembleModel, found: Calibrated, data: TrainingData, frame: Frame, first: int, split: int
) -> tuple[Document, Document]:
    model, limit = found.model, exit_profile(parent.profile, parent.timeframe).limit_bars
    base, seed = np.array(model.base), parent.seed
    old, y = fold_forecasts(parent, data, frame, split)
    new, also = fold_forecasts(model, data, frame, split)
    if len(y) < MIN_JUDGED or len(y) != len(also):
        raise UserError(
            f"Only {min(len(y), len(also))} labels lie in the later part of {frame.key}, {MIN_JUDGED} are needed: "
            "give it more history after the model's training."
        )
    before, after = (Scored.of(p, y, base, limit, seed) for p in (old, new))
    change = log_losses(new, y) - log_losses(old, y)
    band = mean_band(change, block_length(limit, len(change)), seed)
    document = {
        "calibrated_on": _span(frame, first, split) | {"n": found.rows, "effective": finite(found.effective)},
        "judged_on": _span(frame, split, len(frame)) | {"n": len(y)},
        "before": before.as_dict(),
        "after": after.as_dict(),
        "difference": {"log_loss": float(change.mean()), "low": finite(band.low), "high": finite(band.high)},
        "base": {"before": list(parent.base), "after": list(model.base)},
        "volatility": _volatility(parent, model, data, frame, first, split),
        "differ": list(found.differ),
        "moved": [{"feature": name, "factor": a, "offset": b} for name, a, b in found.moved],
        "verdict": verdict(float(change.mean()), band.low, band.high, after.skills.log_loss),
    }
    scores: Document = {name: finite(getattr(after.scores, name)) for name in KEPT_SCORES}
    scores["luck"] = evidence(new, y, base, limit).chance
    return document, scores


def verdict(change: float, low: float, high: float, skill: float) -> str:
    """What the change of the log loss on bars that nothing was fitted on says, in words."""
    figures = f"log loss {change:+.4f}, 95 % band {low:+.4f} to {high:+.4f}"
    if high < 0.0:
        words = f"It helps: {figures}."
    elif low > 0.0:
        words = f"It does not help, it makes the model worse: {figures}."
    else:
        words = f"It does not help beyond chance: {figures} holds zero."
    return words if skill > 0.0 else f"{words} The model stays no better than the base rate there."


def _span(frame: Frame, first: int, stop: int) -> Document:
    last = stop - 1
    return {"from": iso(int(frame.open_time[first])), "to": iso(int(frame.open_time[last]) + frame.key.step_ms),
            "bars": stop - first}  # fmt: skip


def _volatility(
    parent: EnsembleModel, model: EnsembleModel, data: TrainingData, frame: Frame, first: int, split: int
) -> Document:
    """How far the barriers are there (fraction of the price), and what a time exit brought before and brings now."""
    profile = exit_profile(parent.profile, parent.timeframe)
    row: Float64Array | None = data.x[data.schema.index(profile.feature)] if profile.feature else None
    share = (stop_distances(profile, frame.close, row) / frame.close)[first:split]
    return {
        "stop_distance": finite(float(np.nanmedian(share))),
        "long_time_return": {"before": parent.payoffs.long_time_return, "after": model.payoffs.long_time_return},
        "short_time_return": {"before": parent.payoffs.short_time_return, "after": model.payoffs.short_time_return},
    }


def _register(place: Workplace, found: Calibrated, key: SeriesKey, parent: ModelRow, scores: Document) -> str:
    """A candidate of its own, its parent named; the same calibration again is the same model."""
    model, models = found.model, place.database.models
    known = {row.model_id: row for row in models.all()}
    for row in known.values():
        if row.sha256 == model.digest and row.key == key:
            return models.store_audit(row.model_id, scores["audit"]).model_id
    name = model_id_of(model, model.seen_until_ms + key.step_ms, known)
    model.save(place.home.models / name)
    params = {"members": list(model.members), "parent": parent.model_id, "moved": len(found.moved)}
    models.register(
        ModelRow(
            name, "ensemble", key, model.profile, model.train_from_ms, model.seen_until_ms + key.step_ms,
            model.schema.digest, params, model.seed, scores, VERSION, name, model.digest, place.clock.now_ms(),
        )
    )  # fmt: skip
    return name
