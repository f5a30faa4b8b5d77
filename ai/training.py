"""What a training reads: features, labels and their meaning, computed once from a frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.ensemble import TrainingContext
from ai.exits import exit_profile
from ai.features.engine import FeatureEngine
from ai.features.registry import BESIDE_FEATURES, FUNDING_FEATURES, MODEL_FEATURES, schema_of, spec_of, warmup_bars
from ai.labels import NO_DOUBT, Doubt, Labels, labelled, stop_distances, without_marked
from ai.labels_finer import finer_bars
from ai.overlay_market import TRACK_FEATURES, market_path
from ai.schema import FeatureSchema
from data.beside import Beside
from data.market import Float64Array, Frame, FundingFrame


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Features, labels and meaning of a frame: what training, walk-forward and the service share."""

    x: Float64Array  # [F, T]
    labels: Labels
    context: TrainingContext
    warmup: int  # bars
    marked: npt.NDArray[np.bool_]  # [T] rows whose label touches a repaired or suspect bar: no label, not scored
    doubt: Doubt = NO_DOUBT

    @property
    def schema(self) -> FeatureSchema:
        """Rows of ``x``."""
        return self.context.schema


def training_schema(profile_name: str, timeframe: str, features: tuple[str, ...] | None = None) -> FeatureSchema:
    """What the members read (registry's model and funding features by default), the profile's distance feature, and
    what the regime is told from."""
    chosen = features or (*MODEL_FEATURES, *FUNDING_FEATURES)
    distance = exit_profile(profile_name, timeframe).feature
    return schema_of(dict.fromkeys([*chosen, *([] if distance is None else [distance]), *TRACK_FEATURES]))


def known_features(schema: FeatureSchema, x: Float64Array, offered: tuple[str, ...]) -> tuple[str, ...]:
    """Those of ``offered`` that need no data beside the candles, or have it for some bar.

    Whether that is enough for members to read them is for each training window to say (:mod:`ai.ensemble`).
    """
    gone: npt.NDArray[np.bool_] = np.asarray(np.isnan(x).all(axis=1))
    beside = frozenset(BESIDE_FEATURES)
    return tuple(name for name in offered if name not in beside or not gone[schema.index(name)])


def training_data(
    frame: Frame, funding: FundingFrame | None, profile_name: str, features: tuple[str, ...] | None = None,
    calibration_share: float = 0.15, beside: Beside | None = None, finer: Frame | None = None,
) -> TrainingData:  # fmt: skip
    """Compute features and labels of ``frame`` under one exit profile.

    Args:
        frame: bars of one series.
        funding: its settlements.
        profile_name: exit profile of the labels.
        features: that the members read; by default the registry's model and funding features, and those of what stands
            beside the bars that are there for some of them.
        calibration_share: last part of a training window that calibrates.
        beside: what else was known at each close.
        finer: bars of a shorter timeframe that decide which barrier was touched first (see :mod:`ai.labels_finer`).
    """
    timeframe = frame.key.timeframe
    profile = exit_profile(profile_name, timeframe)
    offered = (*MODEL_FEATURES, *FUNDING_FEATURES, *(() if beside is None else BESIDE_FEATURES))
    schema = training_schema(profile_name, timeframe, features or offered)
    x = FeatureEngine(schema, timeframe).batch(frame, funding, beside)
    chosen = features or known_features(schema, x, offered)
    distance = stop_distances(profile, frame.close, x[schema.index(profile.feature)] if profile.feature else None)
    inside = None if finer is None else finer_bars(frame, finer)
    whole, doubt = labelled(frame.open, frame.high, frame.low, frame.close, distance, profile, finer=inside)
    labels, marked = without_marked(whole, frame.mark)
    optional = tuple(name for name in chosen if spec_of(name).optional)
    market = market_path(schema, frame.open_time, x, frame.key.step_ms, distance, frame.close)
    context = TrainingContext(
        schema, frame.open_time, profile_name, timeframe, frame.key.symbol, chosen, optional, calibration_share, market
    )
    read = chosen if profile.feature is None else (*chosen, profile.feature)  # the regime is waited for by no one
    return TrainingData(x, labels, context, warmup_bars(read, timeframe), marked, doubt)
