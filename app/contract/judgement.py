"""A labelled amount, and what models say beside a decision's probabilities."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedAmount:
    """A label and an amount; the unit is that of the list it stands in."""

    label: str
    value: float


@dataclass(frozen=True, slots=True)
class JudgementView:
    """What the models said beside their probabilities; ``None`` where they said nothing."""

    advice: str = ""  # why not to act on the forecast; empty: nothing against it
    regime: str = ""  # "Range"; empty: unknown
    regimes: tuple[NamedAmount, ...] = ()  # probability of each state four bars later
    spread: float | None = None  # of the members' probabilities of a side, standard deviation
    outside: float | None = None  # share of the features outside their range in training
    possible: tuple[str, ...] = ()  # what the conformal set holds: "long", "neutral", "short"
    take: float | None = None  # meta-model: probability that the trade is worth its costs
    size: float | None = None  # factor of the position's size, 0..1


@dataclass(frozen=True, slots=True)
class PathsView:
    """Simulated paths from the close that was decided on: no skill, only what recent drift and volatility imply."""

    paths: int
    bars: int  # ahead
    up: float  # probability that the price ends above
    expected: float  # mean price at the end
    target_first: float | None  # of the decision's side, before the stop
    stop_first: float | None
    low: float  # 95 % band of the price at the end
    high: float
