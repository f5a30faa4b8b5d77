"""Retraining while the service runs: every so many bars, in a worker process, taking effect by the model schedule.

A retrain asked for at bar k takes effect at bar k + d. The candidate is trained on the newest ``history_limit`` bars
up to k without the last part, which is the newest fold: there it is scored out of sample beside the model that trades.
What is promoted is what was scored. Training is deterministic, so a restart between k and k + d asks again and gets
the same model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.ensemble import EnsembleModel, EnsembleOptions
from ai.exits import exit_profile
from ai.forecast import Col, ModelSwitch
from ai.forecaster import Forecaster
from ai.models.registry import ModelRecord, model_id_of, promotion, record_of
from ai.settings import AiSettings
from ai.training import TrainingData, training_data
from ai.validation.folds import scored_rows
from ai.validation.scores import Scores, score_rows
from app.jobs import Report
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
_CLASSES = (Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG)


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


def train_candidate(report: Report, request: RetrainRequest) -> Candidate:
    """Worker: train, score on the newest fold, save under ``models/`` of the home.

    Raises:
        UserError: too little history.
    """
    from data.clock import SystemClock
    from database.home import Home

    steps = len(request.members) + 2
    report(0, steps, "reading bars")
    home = Home(Path(request.home), SystemClock())
    with home.open_reader() as database:
        frame = database.candles.tail(request.key, request.bars, request.until_ms)
        first = int(frame.open_time[0]) if len(frame) else 0
        funding = database.candles.read_funding(
            request.key.exchange, request.key.symbol, request.key.source, first, request.until_ms + 1
        )
        extras = extras_for(database, frame, request.ai)
    data = training_data(frame, funding, request.profile, None, request.calibration_share, extras.beside, extras.finer)
    split = len(frame) - int(len(frame) * NEWEST_FOLD_SHARE)
    model = _fit(report, data, split, request, steps)
    report(steps - 1, steps, "scoring the newest fold")
    score = fold_scores(model, data, frame, split, request.profile)
    rival = _incumbent_log_loss(request, data, frame, split)
    model_id = model_id_of(model, int(frame.open_time[split]))
    folder = home.models / model_id
    model.save(folder)
    record = record_of(model, model_id, folder, request.created_ms, (score.log_loss, score.base_log_loss, score.auc))
    verdict = promotion(record, rival)
    report(steps, steps, verdict.words)
    return Candidate(
        record, model.schema.digest, model.members, model.seed, len(frame) - split, rival, verdict.allowed,
        verdict.words,
    )  # fmt: skip


def _fit(report: Report, data: TrainingData, split: int, request: RetrainRequest, steps: int) -> EnsembleModel:
    from ai.ensemble import train_ensemble

    rows = np.arange(min(data.warmup, split), split, dtype=np.int64)
    if not len(rows):
        raise UserError(
            f"Training on {request.key} needs more than {data.warmup} bars of history: {data.x.shape[1]} are stored."
        )
    return train_ensemble(
        data.x, data.labels, rows, data.context, request.members, request.seed,
        progress=lambda done, _total, words: report(done + 1, steps, words), options=EnsembleOptions.of(request.ai),
    )  # fmt: skip


def fold_scores(model: EnsembleModel, data: TrainingData, frame: Frame, split: int, profile: str) -> Scores:
    """Scores of ``model`` on the bars from ``split`` on, by the service's own forecaster, against its base rate."""
    exits = exit_profile(profile, frame.key.timeframe)
    switch = ModelSwitch(int(frame.open_time[split]), "candidate")
    forecaster = Forecaster({"candidate": model}, (switch,), data.schema, exits, frame.key.timeframe)
    rows: Float64Array = forecaster.span(frame.open_time, frame.open, frame.high, frame.low, frame.close, data.x)
    used = scored_rows(rows, data.labels, split, len(frame))
    return score_rows(rows[used][:, _CLASSES], data.labels.label[used], np.array(model.base))


def _incumbent_log_loss(request: RetrainRequest, data: TrainingData, frame: Frame, split: int) -> float | None:
    """The trading model's log loss on the same fold; ``None`` where there is none or its files are not sound."""
    if request.incumbent is None:
        return None
    try:
        model = EnsembleModel.load(Path(request.incumbent))
        loss = fold_scores(model, data, frame, split, request.profile).log_loss
    except UserError:
        return None
    return loss if np.isfinite(loss) else None


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
                    "n": found.fold_bars, "incumbent_log_loss": found.incumbent_log_loss, "verdict": found.words,
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
) -> list[RetrainRequest]:  # fmt: skip
    """One request for each series."""
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
        )
        for key, incumbent in zip(keys, incumbents, strict=True)
    ]


def as_document(found: Candidate) -> dict[str, Any]:
    """A candidate for the audit and the log."""
    return {
        "model_id": found.record.model_id, "log_loss": found.record.log_loss,
        "base_log_loss": found.record.base_log_loss, "promoted": found.promote, "why": found.words,
        "members": list(found.members), "digest": found.record.digest,
    }  # fmt: skip
