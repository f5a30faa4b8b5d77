"""``train`` and ``models``: one model on stored bars into the registry, and which one trades."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.drift import with_reference
from ai.ensemble import EnsembleModel, EnsembleOptions, train_ensemble
from ai.exits import exit_profile
from ai.features.registry import warmup_bars
from ai.known import KnownMarket
from ai.leak_audit_models import AuditVerdict, audit_model
from ai.models.evidence import evidence
from ai.models.registry import model_id_of
from ai.training import TrainingData, training_data
from ai.validation.scores import score_rows
from app.live_record import live_calibration
from app.retraining import KEPT_SCORES, finite, fold_forecasts, load_model
from app.tuning import tuned_for
from app.version import VERSION
from app.wiring import Workplace, choose_series, extras_for, market_for, read_funding
from data.clock import iso
from data.errors import UserError
from data.market import Frame, FundingFrame, Int64Array, SeriesKey
from database.models import OVERALL, MetricRow, ModelRow, require_audit

if TYPE_CHECKING:
    from ai.ensemble import Cancelled

Document = dict[str, Any]
Progress = Callable[[int, int, str], None]

HOLDOUT_SHARE = 0.15  # newest part of the span that a probe model is scored on before the real one is trained
AUDIT_BARS = 12_000  # newest bars, after the warm-up of all features, on which a registered model is audited
KIND = "ensemble"
NO_SCORES: Document = {"n": 0, **dict.fromkeys(KEPT_SCORES[1:]), "luck": None}


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
    tell, steps = progress or _silent, 2 * len(members) + 2
    tell(0, steps, "computing features and labels")
    extras = extras_for(place.database, frame, ai)
    market = KnownMarket(frame, funding if len(funding) else None, extras.beside, extras.finer)
    data = training_data(frame, market.funding, profile, None, ai.calibration_share, market.beside, market.finer)
    usable = np.arange(min(data.warmup, len(frame)), len(frame), dtype=np.int64)
    border = int(usable[round(len(usable) * (1.0 - HOLDOUT_SHARE))]) if len(usable) > 1 else len(frame) - 1
    tested_ms = int(frame.open_time[border])  # no parameter may know the answer from here on
    options = EnsembleOptions.of(ai, tuned_for(place.database, info.key, profile, tested_ms))

    def scoring(done: int, _total: int, words: str) -> None:
        tell(done, steps, f"scoring: {words}")

    def training(done: int, _total: int, words: str) -> None:
        tell(len(members) + done, steps, words)

    scores = _holdout_scores(data, usable, border, frame, members, seed, scoring, cancelled, options)
    model = train_ensemble(data.x, data.labels, usable, data.context, members, seed, training, cancelled, options)
    model = with_reference(model, data.x, data.schema.names, usable)
    tell(steps - 1, steps, "leak audit")
    audit = audit_model(model, market, options, calibration_share=ai.calibration_share)
    row = _register(place, model, info.key, profile, seed, scores, audit)
    tell(steps, steps, "registered")
    return {
        "model_id": row.model_id, "path": str(place.home.models / row.path), "scores": scores,
        "train_from": iso(model.train_from_ms), "train_to": iso(row.to_ms), "members": list(model.members),
        "profile": profile, "rows": model.rows, "series": str(info.key), "state": row.state, "audit": audit.as_dict(),
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
    data: TrainingData, usable: Int64Array, border: int, frame: Frame, members: tuple[str, ...], seed: int,
    progress: Progress, cancelled: Cancelled | None, options: EnsembleOptions,
) -> Document:  # fmt: skip
    """Out of sample: a probe trained on the older part, scored on the newest; no scores where that is too little."""
    try:
        probe = train_ensemble(
            data.x, data.labels, usable[usable < border], data.context, members, seed, progress, cancelled, options
        )
    except UserError:
        return NO_SCORES  # the real training says what is missing, or gets by with what there is
    p, y = fold_forecasts(probe, data, frame, border)
    base, limit = np.array(probe.base), exit_profile(data.context.profile, data.context.timeframe).limit_bars
    scores = score_rows(p, y, base)
    return {name: finite(getattr(scores, name)) for name in KEPT_SCORES} | {"luck": evidence(p, y, base, limit).chance}


def _register(
    place: Workplace, model: EnsembleModel, key: SeriesKey, profile: str, seed: int, scores: Document,
    audit: AuditVerdict,
) -> ModelRow:  # fmt: skip
    """Files under ``models/`` and the registry's row; the same training again gives the same model, once."""
    known = {row.model_id: row for row in place.database.models.all()}
    train_to = model.seen_until_ms + key.step_ms
    digest = model.digest
    for row in known.values():
        if row.sha256 == digest and row.key == key and (place.home.models / row.path).is_dir():
            return place.database.models.store_audit(row.model_id, audit.as_dict())
    name = model_id_of(model, train_to, known)
    model.save(place.home.models / name)
    row = ModelRow(
        name, KIND, key, profile, model.train_from_ms, train_to, model.schema.digest,
        {"members": list(model.members), "parameters": dict(model.params)}, seed,
        {**scores, "audit": audit.as_dict()}, VERSION, name, digest, place.clock.now_ms(),
    )  # fmt: skip
    place.database.models.register(row)
    place.database.models.save_metrics(
        [MetricRow(name, OVERALL, score, value) for score, value in scores.items() if value is not None]
    )
    return row


# ---- the registry ----------------------------------------------------------------------------------------------------


def listed(place: Workplace) -> Document:
    """Every registered model, newest first; those that forecast in the newest account with how it came true."""
    live = {found.row.model_id: found.as_dict() for found in live_calibration(place)}
    rows = place.database.models.all()
    return {"models": [{**_model_document(row), "live": live.get(row.model_id)} for row in rows]}


def promote(place: Workplace, text: str) -> Document:
    """Let a model make its series' forecasts from the next bar on.

    Raises:
        UserError: no such model, its leak audit has not passed, or its files are damaged.
    """
    row = place.database.models.get(find_model(place, text))
    require_audit(row)
    EnsembleModel.load(place.home.models / row.path)  # a damaged model is refused here, not at the next bar
    return {"models": [_model_document(place.database.models.promote(row.model_id))]}


def audit(place: Workplace, text: str) -> Document:
    """Audit a registered model for leaks on the newest bars of its series, and keep the verdict with it.

    Raises:
        UserError: no such model, its files are damaged, or its bars are gone.
    """
    row = place.database.models.get(find_model(place, text))
    model = load_model(place.home, row)
    ai = place.settings.values.ai
    store = place.database.candles
    warmup = warmup_bars(None, row.key.timeframe)
    frame = store.tail(row.key, warmup + AUDIT_BARS, None)
    if not len(frame):
        raise UserError(f"No bars of {row.key} are stored: the model cannot be audited without its market.")
    funding = read_funding(store, row.key, int(frame.open_time[0]), None)
    extras = extras_for(place.database, frame, ai)
    tuned = tuned_for(place.database, row.key, row.profile, row.to_ms)
    verdict = audit_model(
        model, KnownMarket(frame, funding if len(funding) else None, extras.beside, extras.finer),
        EnsembleOptions.of(ai, tuned), calibration_share=ai.calibration_share,
    )  # fmt: skip
    return {"models": [_model_document(place.database.models.store_audit(row.model_id, verdict.as_dict()))]}


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
        "members": list(row.params.get("members", ())), "parent": row.params.get("parent"),
        "train_from": iso(row.from_ms), "train_to": iso(row.to_ms),
        "scores": {name: value for name, value in row.scores.items() if name != "audit"},
        "audit": dict(row.audit) or None, "seed": row.seed, "created": iso(row.created_ms),
        "promoted": iso(row.promoted_ms), "path": row.path, "code_version": row.code_version,
    }  # fmt: skip
