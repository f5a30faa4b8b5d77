"""What a training reads: features, labels and their meaning, computed once from a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.ensemble import TrainingContext
from ai.exits import exit_profile
from ai.features.engine import FeatureEngine
from ai.features.registry import FUNDING_FEATURES, MODEL_FEATURES, schema_of, spec_of, warmup_bars
from ai.labels import Labels, stop_distances, triple_barrier, without_marked
from ai.schema import FeatureSchema
from data.market import Float64Array, Frame, FundingFrame


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Features, labels and meaning of a frame: what training, walk-forward and the service share."""

    x: Float64Array  # [F, T]
    labels: Labels
    context: TrainingContext
    warmup: int  # bars
    marked: npt.NDArray[np.bool_]  # [T] rows whose label touches a repaired or suspect bar: no label, not scored

    @property
    def schema(self) -> FeatureSchema:
        """Rows of ``x``."""
        return self.context.schema


def training_schema(profile_name: str, timeframe: str, features: tuple[str, ...] | None = None) -> FeatureSchema:
    """What the members read (registry's model and funding features by default) and the profile's distance feature."""
    chosen = features or (*MODEL_FEATURES, *FUNDING_FEATURES)
    distance = exit_profile(profile_name, timeframe).feature
    return schema_of(chosen if distance is None or distance in chosen else (*chosen, distance))


def training_data(
    frame: Frame, funding: FundingFrame | None, profile_name: str, features: tuple[str, ...] | None = None,
    calibration_share: float = 0.15,
) -> TrainingData:  # fmt: skip
    """Compute features and labels of ``frame`` under one exit profile."""
    timeframe = frame.key.timeframe
    profile = exit_profile(profile_name, timeframe)
    chosen = features or (*MODEL_FEATURES, *FUNDING_FEATURES)
    schema = training_schema(profile_name, timeframe, features)
    x = FeatureEngine(schema, timeframe).batch(frame, funding)
    distance = stop_distances(profile, frame.close, x[schema.index(profile.feature)] if profile.feature else None)
    whole = triple_barrier(frame.open, frame.high, frame.low, frame.close, distance, profile)
    labels, marked = without_marked(whole, frame.mark)
    optional = tuple(name for name in chosen if spec_of(name).optional)
    context = TrainingContext(
        schema, frame.open_time, profile_name, timeframe, frame.key.symbol, chosen, optional, calibration_share
    )
    return TrainingData(x, labels, context, warmup_bars(schema.names, timeframe), marked)
