"""What is said over an ensemble's forecast: the regime, whether to take the trade, and the threshold of the moment.

An :class:`Overlay` is trained with the model and kept in its files; an :class:`OverlayTrack` follows one symbol's
bars in order and writes the columns of :class:`ai.forecast.Extra` that are the overlay's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from ai.labels import Labels
from ai.schema import FeatureSchema
from data.market import Float64Array, Int64Array

if TYPE_CHECKING:
    from ai.ensemble import EnsembleOptions, TrainingContext

OVERLAY_FILE = "overlay.json"

Proposals = Callable[[Int64Array, Int64Array], Float64Array]
"""``(train_rows, test_rows) -> P[n, 3]``: the ensemble's calibrated probabilities (short, neutral, long) on test rows
from members trained on other rows only; purged by the caller's rows."""


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """What is trained besides the members."""

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self | None:
        """From a model's files; ``None`` where it has none."""
        return cls() if OVERLAY_FILE in files else None

    def files(self) -> dict[str, bytes]:
        """Native files by name."""
        return {OVERLAY_FILE: b"{}"}


def fit_overlay(
    x: Float64Array, labels: Labels, rows: Int64Array, context: TrainingContext, options: EnsembleOptions,
    proposals: Proposals,
) -> Overlay | None:  # fmt: skip
    """Train what ``options`` ask for on the training window ``rows``; ``None`` where that is nothing."""
    del x, labels, rows, context, options, proposals
    return None


class OverlayTrack:
    """One symbol's bars in order."""

    def __init__(self, schema: FeatureSchema, timeframe: str) -> None:
        self.schema = schema
        self.timeframe = timeframe

    def fill(
        self, overlay: Overlay | None, open_time: Int64Array, close: Float64Array, x: Float64Array, out: Float64Array
    ) -> None:
        """The next T bars with features ``x[F, T]``: write the overlay's columns of ``out[T, WIDTH]``.

        Called for every bar once, in order, whether a model is active (``overlay`` given) or not. T calls of one bar
        give the same bits as one call of T bars.
        """
        del overlay, open_time, close, x, out


def no_proposals(_train: Int64Array, test: Int64Array) -> Float64Array:
    """Where nothing can be proposed."""
    return np.full((len(test), 3), np.nan)
