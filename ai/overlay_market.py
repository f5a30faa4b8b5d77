"""How the market stands at each bar beside the features: volatility rank, state, and how far the stop is.

Computed over a whole frame, each bar from the bars up to it, and cut with it: a training window of a few months alone
does not know the 90 days that its first bars are ranked among.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ai.regime import FEATURES, RegimePath, path_of
from ai.regime_loop import INPUT_FEATURES
from ai.schema import FeatureSchema
from data.market import Float64Array, Int64Array

TRACK_FEATURES = (*FEATURES, *INPUT_FEATURES)
"""Registry features that the regime is told from."""


@dataclass(frozen=True, slots=True, eq=False)
class MarketPath:
    """Columns over T bars."""

    regime: RegimePath
    stop_share: Float64Array  # [T] stop distance of the exit profile as a fraction of the close, NaN where unknown

    def __len__(self) -> int:
        return len(self.stop_share)

    def part(self, bars: slice) -> MarketPath:
        """Some of the bars."""
        path = self.regime
        return MarketPath(RegimePath(path.state[bars], path.rank[bars], path.trend_t[bars]), self.stop_share[bars])


def market_path(
    schema: FeatureSchema, open_time: Int64Array, x: Float64Array, step_ms: int, distance: Float64Array,
    close: Float64Array,
) -> MarketPath:  # fmt: skip
    """Of a whole frame, from its features.

    Args:
        schema: rows of ``x``, with the two features of a state.
        open_time: ``[T]`` ms UTC.
        x: ``[F, T]``, NaN at bars that are not taken in.
        step_ms: length of a bar.
        distance: ``[T]``, stop distance in price (see :func:`ai.labels.stop_distances`).
        close: ``[T]``.

    Raises:
        UserError: the schema lacks one of the two features.
    """
    volatility, trend_t = (x[schema.index(name)] for name in FEATURES)
    share = np.where(distance > 0.0, distance / close, np.nan)
    return MarketPath(path_of(open_time, volatility, trend_t, step_ms), share)
