"""Retraining while the service runs: every so many bars, in a worker process, taking effect by the model schedule.

A retrain asked for at bar k takes effect at bar k + d. The candidate is trained on the newest ``history_limit`` bars
up to k without the last part, which is the newest fold: there it is scored out of sample beside the model that trades.
What is promoted is what was scored. Training is deterministic, so a restart between k and k + d asks again and gets
the same model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ai.drift import with_reference
from ai.ensemble import EnsembleModel, EnsembleOptions
from ai.exits import exit_profile
from ai.forecast import Col, ModelSwitch
from ai.forecaster import Forecaster, forecast_span
from ai.known import KnownMarket
from ai.leak_audit_models import audit_model
from ai.models.evidence import evidence
from ai.models.registry import Incumbent, ModelRecord, model_id_of, promotion, record_of
from ai.settings import AiSettings
from ai.training import TrainingData, training_data
from ai.validation.folds import scored_rows
from ai.validation.scores import Scores, score_rows
from app.jobs import Report
from app.tuning import tuned_for
from app.version import VERSION
from app.wiring import extras_for
from data.errors import UserError
from data.market import Float64Array, Frame, SeriesKey
from database.models import ModelRow

if TYPE_CHECKING:
    from database.home import Home
    from database.repositories import Repositories

NEWEST_FOLD_SHARE = 0.15  # of the bars a retraining reads
WORKER = "app.retraining:train_candidate"
KEPT_SCORES = ("n", "log_loss", "base_log_loss", "brier", "auc", "auc_touch", "ece")
_CLASSES = (Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RetrainRequest:
    """What a worker trains: the newest ``bars`` bars of a series that open before ``until_ms``."""

    home: str
    key: SeriesKey
    until_ms: int
    bars: int
    profile: str
    members: tuple[str, ...]
    seed: int
    calibration_share: float
    incumbent: str | None  # folder of the model that trades now
    created_ms: int
    ai: AiSettings = field(default_factory=AiSettings)
    incumbent_promoted: bool = True  # else it is on trial itself


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a worker found: the stored model, its score on the newest fold, and whether it may take over."""

    record: ModelRecord
    features_digest: str
    members: tuple[str, ...]
    seed: int
    fold_bars: int
    incumbent_log_loss: float | None
    promote: bool
    words: str
    on_trial: bool = False  # not proven, but good enough to be tried on paper
    audit: Document = field(default_factory=dict)
    scores: Document = field(default_factory=dict)


def train_candidate(report: Report, request: RetrainRequest) -> Candidate:
    """Worker: train, score on the newest fold, save under ``models/`` of the home.

    Raises:
        UserError: too little history.
    """
    from data.clock import SystemClock
    from database.home import Home

    steps = len(request.members) + 3
    report(0, steps, "reading bars")
    home = Home(Path(request.home), SystemClock())
    with home.open_reader() as database:
        frame = database.candles.tail(request.key, request.bars, request.until_ms)
        first = int(frame.open_time[0]) if len(frame) else 0
        funding = database.candles.read_funding(
            request.key.exchange, request.key.symbol, request.key.source, first, request.until_ms + 1
        )
        extras = extras_for(database, frame, request.ai)
        split = len(frame) - int(len(frame) * NEWEST_FOLD_SHARE)
        border = int(frame.open_time[split]) if len(frame) else 0
        options = EnsembleOptions.of(request.ai, tuned_for(database, request.key, request.profile, border))
        tries = 1 + sum(row.to_ms < border for row in database.models.all(request.key))
    market = KnownMarket(frame, funding, extras.beside, extras.finer)
    data = training_data(frame, funding, request.profile, None, request.calibration_share, extras.beside, extras.finer)
    model = _fit(report, data, split, request, options, steps)
    report(steps - 2, steps, "scoring the newest fold")
    p, y = fold_forecasts(model, data, frame, split)
    score = score_rows(p, y, np.array(model.base))
    found = evidence(p, y, np.array(model.base), exit_profile(request.profile, request.key.timeframe).limit_bars)
    rival = _incumbent(request, data, frame, split)
    report(steps - 1, steps, "leak audit")
    audit = audit_model(model, market, options, calibration_share=request.calibration_share)
    model_id = model_id_of(model, border)
    folder = home.models / model_id
    model.save(folder)
    three = (score.log_loss, score.base_log_loss, score.auc)
    record = record_of(model, model_id, folder, request.created_ms, three, found.chance)
    verdict = promotion(record, rival, audit.passed, tries, request.ai.promotion_luck)
    words = verdict.words if audit.passed else f"{verdict.words}: {audit.sentence}"
    report(steps, steps, words)
    kept = {name: finite(getattr(score, name)) for name in KEPT_SCORES}
    kept |= {"luck": found.chance, "tries": tries}
    return Candidate(
        record, model.schema.digest, model.members, model.seed, len(frame) - split,
        None if rival is None else rival.log_loss, verdict.allowed, words, verdict.on_trial, audit.as_dict(), kept,
    )  # fmt: skip


def _fit(
    report: Report, data: TrainingData, split: int, request: RetrainRequest, options: EnsembleOptions, steps: int
) -> EnsembleModel:
    from ai.ensemble import train_ensemble

    rows = np.arange(min(data.warmup, split), split, dtype=np.int64)
    if not len(rows):
        raise UserError(
            f"Training on {request.key} needs more than {data.warmup} bars of history: {data.x.shape[1]} are stored."
        )
    model = train_ensemble(
        data.x, data.labels, rows, data.context, request.members, request.seed,
        progress=lambda done, _total, words: report(done + 1, steps, words), options=options,
    )  # fmt: skip
    return with_reference(model, data.x, data.schema.names, rows)


def fold_forecasts(
    model: EnsembleModel, data: TrainingData, frame: Frame, split: int
) -> tuple[Float64Array, npt.NDArray[np.int8]]:
    """What ``model`` says of the bars from ``split`` on, by the service's own forecaster, and what came.

    Probabilities ``[n, 3]`` and labels ``[n]`` of the rows with a forecast and a complete label.
    """
    exits = exit_profile(data.context.profile, frame.key.timeframe)
    switch = ModelSwitch(int(frame.open_time[split]), "candidate")
    forecaster = Forecaster({"candidate": model}, (switch,), data.schema, exits, frame.key.timeframe)
    rows = forecast_span(forecaster, frame, data.x)
    used = scored_rows(rows, data.labels, split, len(frame))
    return rows[used][:, _CLASSES], data.labels.label[used]


def fold_scores(model: EnsembleModel, data: TrainingData, frame: Frame, split: int) -> Scores:
    """Scores of ``model`` on the bars from ``split`` on against its base rate."""
    p, y = fold_forecasts(model, data, frame, split)
    return score_rows(p, y, np.array(model.base))


def _incumbent(request: RetrainRequest, data: TrainingData, frame: Frame, split: int) -> Incumbent | None:
    """The trading model on the same fold; ``None`` where there is none or its files are not sound."""
    if request.incumbent is None:
        return None
    try:
        loss = fold_scores(EnsembleModel.load(Path(request.incumbent)), data, frame, split).log_loss
    except UserError:
        return None
    return Incumbent(loss, request.incumbent_promoted) if np.isfinite(loss) else None


def finite(value: float | int) -> float | int | None:
    """As it can be stored: NaN and infinities are nothing."""
    if isinstance(value, int):
        return value
    return float(value) if math.isfinite(value) else None


def register(database: Repositories, home: Home, key: SeriesKey, found: Candidate) -> ModelRow:
    """Put a candidate into the registry and, where it may, promote it; one that is registered already stays."""
    record = found.record
    known = {row.model_id for row in database.models.all(key)}
    if record.model_id not in known:
        database.models.register(
            ModelRow(
                model_id=record.model_id, kind="ensemble", key=key, profile=record.profile,
                from_ms=record.train_from_ms, to_ms=record.train_to_ms + key.step_ms, features=found.features_digest,
                params={"members": list(found.members)}, seed=found.seed,
                scores={
                    "log_loss": record.log_loss, "base_log_loss": record.base_log_loss, "auc": record.auc,
                    "n": found.fold_bars, **found.scores, "incumbent_log_loss": found.incumbent_log_loss,
                    "verdict": found.words, "audit": found.audit,
                },
                code_version=VERSION, path=str(Path(record.path).relative_to(home.models)),
                sha256=record.digest, created_ms=record.created_ms,
            )
        )  # fmt: skip
    if found.promote:
        return database.models.promote(record.model_id)
    return database.models.get(record.model_id)


def load_model(home: Home, row: ModelRow) -> EnsembleModel:
    """A registered model's files, checked against the registry.

    Raises:
        UserError: they are missing, damaged or others than registered.
    """
    model = EnsembleModel.load(home.models / row.path)
    if model.digest != row.sha256:
        raise UserError(f"The files of model '{row.model_id}' are not those that were registered: train it again.")
    return model


def requests(
    home: Path, keys: Sequence[SeriesKey], until_ms: int, bars: int, profile: str, members: Sequence[str], seed: int,
    calibration_share: float, incumbents: Sequence[str | None], created_ms: int, ai: AiSettings,
    promoted: Sequence[bool],
) -> list[RetrainRequest]:  # fmt: skip
    """One request for each series; ``promoted``: whether its incumbent is (else on trial)."""
    return [
        RetrainRequest(
            str(home),
            key,
            until_ms,
            bars,
            profile,
            tuple(members),
            seed,
            calibration_share,
            incumbent,
            created_ms,
            ai,
            proven,
        )
        for key, incumbent, proven in zip(keys, incumbents, promoted, strict=True)
    ]


def as_document(found: Candidate) -> dict[str, Any]:
    """A candidate for the audit and the log."""
    return {
        "model_id": found.record.model_id, "log_loss": found.record.log_loss,
        "base_log_loss": found.record.base_log_loss, "luck": found.record.luck, "promoted": found.promote,
        "on_trial": found.on_trial, "audited": bool(found.audit.get("passed")), "why": found.words,
        "members": list(found.members), "digest": found.record.digest,
    }  # fmt: skip
