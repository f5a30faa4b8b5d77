"""What of each member may be tuned, and how far: the one place that says so.

The ranges keep a member within its time for one row (25 µs), and around strengths that suit labels which are mostly
noise. A bound that a search runs into is information: the market's signal is then weaker than the range allows for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import UserError


@dataclass(frozen=True, slots=True)
class Range:
    """One number that may be tuned, from ``low`` to ``high``, both included."""

    name: str
    low: float
    high: float
    meaning: str
    whole: bool = False  # whole numbers only
    logarithmic: bool = False  # searched by factors rather than differences


ROUNDS = Range("rounds", 20, 100, "turns, one tree for each class in each", whole=True)
DEPTH = Range("depth", 2, 5, "questions asked one after another in a tree", whole=True)
RATE = Range("learning_rate", 0.01, 0.2, "share of each tree that is believed", logarithmic=True)
ROWS = Range("row_share", 0.4, 1.0, "share of the rows that each tree sees")
FEATURES = Range("feature_share", 0.2, 1.0, "share of the features that a tree may ask about")
LEAF = Range("min_leaf", 1.0, 40.0, "least curvature of a leaf, about a fifth of its independent labels",
             logarithmic=True)  # fmt: skip
L2 = Range("l2", 1.0, 200.0, "independent labels' worth of belief in no difference", logarithmic=True)

SEARCH_SPACE: Mapping[str, tuple[Range, ...]] = {
    "logistic": (Range("c", 1e-4, 1.0, "freedom of the coefficients: 1 / strength of the penalty", logarithmic=True),),
    "random_forest": (
        Range("trees", 30, 100, "trees whose answers are averaged", whole=True),
        Range("depth", 2, 7, DEPTH.meaning, whole=True), ROWS, FEATURES,
        Range("min_leaf", 3.0, 80.0, "least independent labels in a leaf", logarithmic=True),
    ),
    "hist_boosting": (ROUNDS, DEPTH, RATE, FEATURES, LEAF, L2),
    "xgboost": (ROUNDS, DEPTH, RATE, ROWS, FEATURES, LEAF, L2),
    "lightgbm": (ROUNDS, DEPTH, RATE, ROWS, FEATURES, LEAF, L2),
    "catboost": (ROUNDS, DEPTH, RATE, ROWS, FEATURES, L2),
}  # fmt: skip


def checked_parameters(member: str, parameters: Mapping[str, float]) -> dict[str, float | int]:
    """``parameters`` of a member with whole numbers as such.

    Raises:
        UserError: a parameter that the member does not have, or a value out of its range.
    """
    ranges = {one.name: one for one in SEARCH_SPACE[member]}
    out: dict[str, float | int] = {}
    for name, value in parameters.items():
        if name not in ranges:
            raise UserError(f"The model {member} has no parameter '{name}': it has {', '.join(ranges)}.")
        one = ranges[name]
        if not one.low <= value <= one.high or (one.whole and value != int(value)):
            kind = "a whole number " if one.whole else ""
            raise UserError(f"{name} = {value:g} of {member} is out of range: give {kind}{one.low:g} to {one.high:g}.")
        out[name] = int(value) if one.whole else float(value)
    return out
