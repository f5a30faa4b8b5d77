"""The kinds of model that an ensemble can have, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ai.models.base import Model
from ai.models.boosting import BoostedModel, BoostingParameters, LightgbmModel, XgboostModel
from ai.models.cat_boosting import CatboostModel, require_catboost
from ai.models.forest import ForestParameters, RandomForestModel
from ai.models.hist_boosting import HistBoostingModel
from ai.models.linear import LogisticModel
from ai.models.search_space import SEARCH_SPACE, checked_parameters
from data.errors import UserError

_BOOSTED: dict[str, type[BoostedModel]] = {
    "hist_boosting": HistBoostingModel, "xgboost": XgboostModel, "lightgbm": LightgbmModel, "catboost": CatboostModel,
}  # fmt: skip
MEMBERS: dict[str, type[LogisticModel] | type[RandomForestModel] | type[BoostedModel]] = {
    "logistic": LogisticModel, "random_forest": RandomForestModel, **_BOOSTED,
}  # fmt: skip
DEFAULT_MEMBERS = ("logistic", "xgboost", "lightgbm")


def new_member(name: str, seed: int, parameters: Mapping[str, float] | None = None) -> Model:
    """An untrained member, with tuned ``parameters`` in the place of its own where they are given.

    Raises:
        UserError: unknown name, a parameter that the member does not have or out of its range, or a member whose
            library is not installed.
    """
    if name not in MEMBERS:
        raise UserError(f"Unknown model '{name}': use some of {', '.join(MEMBERS)}.")
    chosen: dict[str, Any] = checked_parameters(name, parameters or {})
    if name == "logistic":
        return LogisticModel(seed, **chosen)
    if name == "random_forest":
        return RandomForestModel(ForestParameters(seed=seed, **chosen))
    if name == "catboost":
        require_catboost()
    return _BOOSTED[name](BoostingParameters(seed=seed, **chosen))


def own_parameters(name: str) -> dict[str, float]:
    """What a member has, without a search, of everything that may be tuned.

    Raises:
        UserError: as :func:`new_member`.
    """
    params = new_member(name, 0).describe()["params"]
    return {one.name: params[one.name] for one in SEARCH_SPACE[name]}
