"""What a feature is: one declaration that the registry, the engine, the help and the models read."""

from __future__ import annotations

import math
from dataclasses import dataclass

SETTLED = 1e-11  # what may be left of a recursive filter's starting value once ``lookback`` bars have passed


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One feature.

    ``lookback`` is the number of bars before a bar after which its value no longer changes (to 1e-9) with a longer
    history; ``hours`` is the same as a span of time, for features that reach back by the clock. An ``optional``
    feature may be missing (NaN) while everything else is warm, and does not lengthen the warm-up.
    """

    name: str
    group: str
    lookback: int  # bars
    unit: str
    meaning: str
    inputs: tuple[str, ...]
    source: str
    hours: int = 0
    optional: bool = False


def settle(alpha: float, seed_bars: int) -> int:
    """Bars until an exponential filter with weight ``alpha`` forgets the ``seed_bars`` it was started from."""
    return seed_bars + math.ceil(math.log(SETTLED) / math.log(1.0 - alpha))
