"""Which models there are, which one trades, and when a new one may take over by itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from ai.ensemble import EnsembleModel
from data.clock import iso
from data.errors import UserError


class ModelState(StrEnum):
    """Where a model stands."""

    CANDIDATE = "candidate"
    PROMOTED = "promoted"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One registered model. Scores are out of sample, on the newest fold or the calibration slice; NaN unknown."""

    model_id: str
    symbol: str
    timeframe: str
    profile: str
    train_from_ms: int
    train_to_ms: int
    created_ms: int
    path: str
    digest: str
    state: ModelState = ModelState.CANDIDATE
    log_loss: float | None = None
    base_log_loss: float | None = None
    auc: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """A row of ``models list``."""
        return {
            "model_id": self.model_id, "symbol": self.symbol, "timeframe": self.timeframe, "profile": self.profile,
            "train_from": iso(self.train_from_ms), "train_to": iso(self.train_to_ms),
            "created": iso(self.created_ms), "state": self.state.value, "path": self.path, "digest": self.digest,
            "scores": {"log_loss": self.log_loss, "base_log_loss": self.base_log_loss, "auc": self.auc},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether a candidate may take over by itself, and why (not)."""

    allowed: bool
    words: str


def model_id_of(model: EnsembleModel, train_to_ms: int, taken: Collection[str] = ()) -> str:
    """An id such as ``swing-20250711-7f3a``: profile, day of the end of training, start of the content's hash.

    The hash part grows when an id of other content in ``taken`` has the same one.
    """
    day = datetime.fromtimestamp(train_to_ms / 1000, UTC).strftime("%Y%m%d")
    digest = model.digest
    for length in range(4, len(digest) + 1):
        name = f"{model.profile}-{day}-{digest[:length]}"
        if name not in taken:
            return name
    raise UserError(f"The model {model.profile}-{day}-{digest} is registered already.")


def record_of(
    model: EnsembleModel, model_id: str, folder: Path, created_ms: int, scores: tuple[float, float, float] | None = None
) -> ModelRecord:
    """A fresh candidate; ``scores`` are log loss, base log loss and direction AUC, all out of sample."""
    record = ModelRecord(
        model_id, model.symbol, model.timeframe, model.profile, model.train_from_ms, model.seen_until_ms, created_ms,
        str(folder), model.digest,
    )  # fmt: skip
    if scores is None:
        return record
    return replace(record, log_loss=scores[0], base_log_loss=scores[1], auc=scores[2])


def promotion(candidate: ModelRecord, incumbent_log_loss: float | None, tolerance: float = 0.0) -> Promotion:
    """The rule for automatic promotion, on the newest fold.

    The candidate must beat the base rate, and be no worse than the incumbent on the same rows (``None``: there is no
    incumbent). A model that does not pass may trade on paper if a person promotes it.
    """
    loss, base = candidate.log_loss, candidate.base_log_loss
    if loss is None or base is None or not (loss == loss and base == base):
        return Promotion(False, "it has no out-of-sample score")
    if not loss < base:
        return Promotion(False, f"its log loss {loss:.4f} does not beat the base rate's {base:.4f}")
    if incumbent_log_loss is not None and loss > incumbent_log_loss + tolerance:
        return Promotion(False, f"its log loss {loss:.4f} is worse than the present model's {incumbent_log_loss:.4f}")
    return Promotion(True, f"its log loss {loss:.4f} beats the base rate's {base:.4f}")
