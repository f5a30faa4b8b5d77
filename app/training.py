"""``train`` and ``models``: one model on stored bars into the registry, and which one trades."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.ensemble import EnsembleModel, EnsembleOptions, train_ensemble
from ai.models.registry import model_id_of
from ai.validation.walk_forward import TrainingData, training_data
from app.retraining import fold_scores
from app.version import VERSION
from app.wiring import Workplace, choose_series, extras_for, market_for
from data.clock import iso
from data.errors import UserError
from data.market import Frame, FundingFrame, SeriesKey
from database.models import OVERALL, MetricRow, ModelRow

if TYPE_CHECKING:
    from ai.ensemble import Cancelled

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

HOLDOUT_SHARE = 0.15  # newest part of the span that a probe model is scored on before the real one is trained
KIND = "ensemble"
NO_SCORES: Document = {
    "n": 0, "log_loss": None, "base_log_loss": None, "brier": None, "auc": None, "auc_touch": None, "ece": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``None``: the setting; without a start the newest ``history_limit`` bars."""

    symbol: str
    timeframe: str
    members: tuple[str, ...] | None = None
    seed: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None
    exchange: str | None = None
    source: str | None = None
    exit_profile: str | None = None


def perform(
    place: Workplace, request: Request, progress: Progress | None = None, cancelled: Cancelled | None = None
) -> Document:
    """Train, save the files under the home's ``models/``, register; the keys of COMMANDS.

    Raises:
        UserError: no such series, wrong options, or too little data.
    """
    ai = place.settings.values.ai
    info = choose_series(place.database.candles, request.symbol, request.timeframe, request.exchange, request.source)
    frame, funding = _bars(place, request, info.key)
    profile = request.exit_profile or ai.profile_for(request.timeframe)
    seed = ai.seed if request.seed is None else request.seed
    members = request.members or tuple(ai.members)
    tell = progress or _silent
    tell(0, 2 * len(members) + 1, "computing features and labels")
    extras = extras_for(place.database, frame, ai)
    data = training_data(
        frame, funding if len(funding) else None, profile, None, ai.calibration_share, extras.beside, extras.finer
    )
    options = EnsembleOptions.of(ai)
    usable = np.arange(min(data.warmup, len(frame)), len(frame), dtype=np.int64)
    steps = 2 * len(members) + 1
    scores = _holdout_scores(
        data,
        usable,
        frame,
        members,
        seed,
        lambda done, _, words: tell(done, steps, f"scoring: {words}"),
        cancelled,
        options,
    )
    model = train_ensemble(
        data.x, data.labels, usable, data.context, members, seed,
        lambda done, _total, words: tell(len(members) + done, steps, words), cancelled, options,
    )  # fmt: skip
    row = _register(place, model, info.key, profile, seed, scores)
    tell(steps, steps, "registered")
    return {
        "model_id": row.model_id, "path": str(place.home.models / row.path), "scores": scores,
        "train_from": iso(model.train_from_ms), "train_to": iso(row.to_ms), "members": list(model.members),
        "profile": profile, "rows": model.rows, "series": str(info.key), "state": row.state,
    }  # fmt: skip


def _silent(_done: int, _total: int, _words: str) -> None:
    """No one watches."""


def _bars(place: Workplace, request: Request, key: SeriesKey) -> tuple[Frame, FundingFrame]:
    start = request.start_ms
    _, frames, fundings = market_for(
        place.database.candles, [request.symbol], request.timeframe, (start, request.end_ms), key.source, 0,
        key.exchange,
    )  # fmt: skip
    frame = frames[0]
    if start is None:
        limit = place.settings.values.ai.history_limit
        frame = frame.slice(max(0, len(frame) - limit), len(frame))
    return frame, fundings[0]


def _holdout_scores(
    data: TrainingData, usable: np.ndarray[Any, np.dtype[np.int64]], frame: Frame, members: tuple[str, ...], seed: int,
    progress: Progress, cancelled: Cancelled | None, options: EnsembleOptions,
) -> Document:  # fmt: skip
    """Out of sample: a probe trained on the older part, scored on the newest; no scores where that is too little."""
    border = usable[round(len(usable) * (1.0 - HOLDOUT_SHARE))] if len(usable) > 1 else len(frame)
    try:
        probe = train_ensemble(
            data.x, data.labels, usable[usable < border], data.context, members, seed, progress, cancelled, options
        )
    except UserError:
        return NO_SCORES  # the real training says what is missing, or gets by with what there is
    scores = fold_scores(probe, data, frame, int(border), data.context.profile)
    return {name: _finite(getattr(scores, name)) for name in NO_SCORES}


def _finite(value: float) -> float | int | None:
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def _register(
    place: Workplace, model: EnsembleModel, key: SeriesKey, profile: str, seed: int, scores: Document
) -> ModelRow:
    """Files under ``models/`` and the registry's row; the same training again gives the same model, once."""
    known = {row.model_id: row for row in place.database.models.all()}
    train_to = model.seen_until_ms + key.step_ms
    digest = model.digest
    for row in known.values():
        if row.sha256 == digest and row.key == key and (place.home.models / row.path).is_dir():
            return row
    name = model_id_of(model, train_to, known)
    model.save(place.home.models / name)
    row = ModelRow(
        name, KIND, key, profile, model.train_from_ms, train_to, model.schema.digest,
        {"members": list(model.members), "parameters": dict(model.params)}, seed, scores, VERSION, name,
        digest, place.clock.now_ms(),
    )  # fmt: skip
    place.database.models.register(row)
    place.database.models.save_metrics(
        [MetricRow(name, OVERALL, score, value) for score, value in scores.items() if value is not None]
    )
    return row


# ---- the registry ----------------------------------------------------------------------------------------------------


def listed(place: Workplace) -> Document:
    """Every registered model, newest first."""
    return {"models": [_model_document(row) for row in place.database.models.all()]}


def promote(place: Workplace, text: str) -> Document:
    """Let a model make its series' forecasts from the next bar on.

    Raises:
        UserError: no such model, or its files are damaged.
    """
    row = place.database.models.get(find_model(place, text))
    EnsembleModel.load(place.home.models / row.path)  # a damaged model is refused here, not at the next bar
    return {"models": [_model_document(place.database.models.promote(row.model_id))]}


def rollback(place: Workplace) -> Document:
    """Back to the model that was promoted before.

    Raises:
        UserError: there is none.
    """
    return {"models": [_model_document(place.database.models.rollback())]}


def find_model(place: Workplace, text: str) -> str:
    """A model's id by its unique beginning.

    Raises:
        UserError: none, or several.
    """
    every = [row.model_id for row in place.database.models.all()]
    if text in every:
        return text
    found = [name for name in every if name.startswith(text)]
    if len(found) == 1:
        return found[0]
    words = f"Several models begin with '{text}': {', '.join(found)}" if found else f"There is no model '{text}'"
    raise UserError(f"{words}; 'models list' shows the registry.")


def _model_document(row: ModelRow) -> Document:
    return {
        "model_id": row.model_id, "state": row.state, "kind": row.kind, "exchange": row.key.exchange,
        "symbol": row.key.symbol, "timeframe": row.key.timeframe, "source": row.key.source, "profile": row.profile,
        "members": list(row.params.get("members", ())), "train_from": iso(row.from_ms), "train_to": iso(row.to_ms),
        "scores": dict(row.scores), "seed": row.seed, "created": iso(row.created_ms),
        "promoted": iso(row.promoted_ms), "path": row.path, "code_version": row.code_version,
    }  # fmt: skip
