"""The kinds of model that an ensemble can have, by name."""

from __future__ import annotations

from collections.abc import Mapping

from ai.models.base import Model
from ai.models.boosting import BoostingParameters, LightgbmModel, XgboostModel
from ai.models.linear import LogisticModel
from data.errors import UserError

MEMBERS: dict[str, type[LogisticModel] | type[XgboostModel] | type[LightgbmModel]] = {
    "logistic": LogisticModel, "xgboost": XgboostModel, "lightgbm": LightgbmModel,
}  # fmt: skip
DEFAULT_MEMBERS = ("logistic", "xgboost", "lightgbm")


def new_member(name: str, seed: int, parameters: Mapping[str, float] | None = None) -> Model:
    """An untrained member, with tuned ``parameters`` in the place of its own where they are given.

    Raises:
        UserError: unknown name, or a parameter that the member does not have.
    """
    if name not in MEMBERS:
        raise UserError(f"Unknown model '{name}': use some of {', '.join(MEMBERS)}.")
    del parameters
    if name == "logistic":
        return LogisticModel(seed)
    return MEMBERS[name](BoostingParameters(seed=seed))  # type: ignore[arg-type]
