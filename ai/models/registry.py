"""Which models there are, which one trades, and when a new one may take over by itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from ai.ensemble import EnsembleModel
from ai.models.evidence import level_of_try
from data.clock import iso
from data.errors import UserError

LUCK_IN_ALL = 0.01  # chance that any model of a series that knows nothing is ever promoted by itself


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
    luck: float | None = None  # chance that luck alone ranks direction this well there, see ai.models.evidence

    def as_dict(self) -> dict[str, Any]:
        """A row of ``models list``."""
        return {
            "model_id": self.model_id, "symbol": self.symbol, "timeframe": self.timeframe, "profile": self.profile,
            "train_from": iso(self.train_from_ms), "train_to": iso(self.train_to_ms),
            "created": iso(self.created_ms), "state": self.state.value, "path": self.path, "digest": self.digest,
            "scores": {"log_loss": self.log_loss, "base_log_loss": self.base_log_loss, "auc": self.auc,
                       "luck": self.luck},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Promotion:
    """Whether a candidate may take over by itself, and why (not).

    ``on_trial``: it is not proven, but good enough to be tried on paper, where nothing is lost.
    """

    allowed: bool
    words: str
    on_trial: bool = False


@dataclass(frozen=True, slots=True)
class Incumbent:
    """The model that trades now, on the candidate's newest fold."""

    log_loss: float
    promoted: bool  # proven, or chosen by a person; False: on trial itself


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
    model: EnsembleModel, model_id: str, folder: Path, created_ms: int,
    scores: tuple[float, float, float] | None = None, luck: float | None = None,
) -> ModelRecord:  # fmt: skip
    """A fresh candidate; ``scores`` are log loss, base log loss and direction AUC, ``luck`` as in the record."""
    record = ModelRecord(
        model_id, model.symbol, model.timeframe, model.profile, model.train_from_ms, model.seen_until_ms, created_ms,
        str(folder), model.digest,
    )  # fmt: skip
    if scores is None:
        return record
    return replace(record, log_loss=scores[0], base_log_loss=scores[1], auc=scores[2], luck=luck)


def promotion(
    candidate: ModelRecord, incumbent: Incumbent | None, audited: bool, tries: int = 1,
    luck_in_all: float = LUCK_IN_ALL,
) -> Promotion:  # fmt: skip
    """The rule for automatic promotion, on the newest fold.

    A candidate whose leak audit has not passed is refused. It must beat the base rate, and be no worse than the
    incumbent on the same rows. Where no promoted model trades it must be proven as well: better than the base rate by
    luck happens to every second model that knows nothing. ``tries`` counts the models trained on the series so far,
    this one included; all of them together are promoted by luck with a chance of at most ``luck_in_all``.
    """
    loss, base = candidate.log_loss, candidate.base_log_loss
    if not audited:
        return Promotion(False, "its leak audit has not passed")
    if loss is None or base is None or not (loss == loss and base == base):
        return Promotion(False, "it has no out-of-sample score")
    if not loss < base:
        return Promotion(False, f"its log loss {loss:.4f} does not beat the base rate's {base:.4f}")
    if incumbent is not None and loss > incumbent.log_loss:
        return Promotion(False, f"its log loss {loss:.4f} is worse than the present model's {incumbent.log_loss:.4f}")
    words = f"its log loss {loss:.4f} beats the base rate's {base:.4f}"
    if incumbent is not None and incumbent.promoted:
        return Promotion(True, f"{words} and is no worse than the present model's {incumbent.log_loss:.4f}")
    luck, level = 1.0 if candidate.luck is None else candidate.luck, level_of_try(tries, luck_in_all)
    if luck > level:
        return Promotion(
            False, f"{words}, but luck alone ranks direction as well in {luck:.1%} of cases (try {tries} needs "
            f"{level:.2%} or less)", on_trial=True,
        )  # fmt: skip
    return Promotion(True, f"{words}; luck alone ranks direction as well in {luck:.2%} of cases")
