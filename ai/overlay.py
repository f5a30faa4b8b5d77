"""What is said over an ensemble's forecast: the regime, whether to take the trade, and the threshold of the moment.

An :class:`Overlay` is trained with the model (:mod:`ai.overlay_fit`) and kept in its files; an :class:`OverlayTrack`
follows one symbol's bars in order and writes the columns of :class:`ai.forecast.Extra` that are the overlay's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from ai.exits import exit_profile
from ai.meta import META_FILE, MetaModel
from ai.models.files import json_bytes
from ai.overlay_loop import META_INPUTS, Rule, say_bars
from ai.overlay_market import TRACK_FEATURES
from ai.regime import AHEAD_BARS, RANK_DAYS, UNKNOWN
from ai.regime_filter import RegimeFilter, filter_of, filter_record
from ai.regime_loop import INPUTS, MARKET, STATES, follow_bars
from ai.regime_model import REGIME_FILE, RegimeModel
from ai.regime_rank import empty_window, refill, window_record
from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import Float64Array, Int64Array
from data.timeframes import DAY_MS, timeframe_ms

OVERLAY_FILE = "overlay.json"
_CHUNK = 4096  # bars between two kernel calls: what memory a long span needs


@dataclass(frozen=True, slots=True, eq=False)
class Overlay:
    """What is trained besides the members."""

    profile: str
    timeframe: str
    cost: float  # of a round trip, fraction of the entry price
    adaptive: bool  # whether the threshold follows volatility
    regime: RegimeModel | None = None
    meta: MetaModel | None = None
    regime_filter: RegimeFilter | None = None
    about: Mapping[str, Any] = field(default_factory=dict)  # scores, and why something is absent, as JSON values
    rule: Rule = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rule", self._rule())

    @classmethod
    def of(cls, files: Mapping[str, bytes]) -> Self | None:
        """From a model's files; ``None`` where it has none."""
        if OVERLAY_FILE not in files:
            return None
        stored = json.loads(files[OVERLAY_FILE])
        return cls(
            stored["profile"], stored["timeframe"], stored["cost"], stored["adaptive"],
            RegimeModel.of(files) if REGIME_FILE in files else None,
            MetaModel.of(files) if META_FILE in files else None,
            filter_of(stored["filter"]) if stored["filter"] is not None else None, stored["about"],
        )  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """Native files by name."""
        record = {
            "profile": self.profile, "timeframe": self.timeframe, "cost": self.cost, "adaptive": self.adaptive,
            "filter": None if self.regime_filter is None else filter_record(self.regime_filter),
            "about": dict(self.about),
        }  # fmt: skip
        parts = [part.files() for part in (self.regime, self.meta) if part is not None]
        return {OVERLAY_FILE: json_bytes(record), **{name: body for part in parts for name, body in part.items()}}

    def describe(self) -> dict[str, Any]:
        """Scores of each part, the filter's records, and why what was asked for is absent."""
        return {
            "regime": self.regime is not None, "meta_model": self.meta is not None,
            "regime_filter": None if self.regime_filter is None else filter_record(self.regime_filter),
            "adaptive_threshold": self.adaptive, "cost": self.cost, **self.about,
        }  # fmt: skip

    def _rule(self) -> Rule:
        exits = exit_profile(self.profile, self.timeframe)
        design, table = np.empty((0, INPUTS)), np.empty((0, 0))
        meta, line = np.empty((0, META_INPUTS)), np.empty(0)
        allowed = np.ones(STATES)
        if self.regime is not None:
            design, table = self.regime.lines()
        if self.meta is not None:
            meta, line = self.meta.lines()
        if self.regime_filter is not None:
            allowed = self.regime_filter.allowed.astype(np.float64)
        return Rule(
            self.regime is not None, self.regime_filter is not None, self.meta is not None, self.adaptive,
            float(self.cost), int(exits.unit), float(exits.stop), float(exits.target_ratio), design, table, allowed,
            meta, line,
        )  # fmt: skip


class OverlayTrack:
    """One symbol's bars in order.

    Volatility is ranked among 90 days, so what it is now depends on bars that were given long ago; a run gives them
    again at its warm-up, and :meth:`checkpoint` carries them.
    """

    def __init__(self, schema: FeatureSchema, timeframe: str) -> None:
        """Begin with no history.

        Raises:
            UserError: the timeframe is unknown.
        """
        self.schema = schema
        self.timeframe = timeframe
        self.follows = set(TRACK_FEATURES) <= set(schema.names)
        names = TRACK_FEATURES if self.follows else ()
        self._columns: Int64Array = np.array([schema.index(name) for name in names], dtype=np.int64)
        self._window = empty_window(RANK_DAYS * DAY_MS, timeframe_ms(timeframe))
        self._recent: Float64Array = np.full(2 * AHEAD_BARS, np.nan)
        self._marks: Int64Array = np.array([UNKNOWN, UNKNOWN, 0], dtype=np.int64)
        self._speaks: Overlay | None = None
        self._row_of_stop = -1

    def fill(
        self, overlay: Overlay | None, open_time: Int64Array, close: Float64Array, x: Float64Array, out: Float64Array
    ) -> None:
        """The next T bars with features ``x[F, T]``: write the overlay's columns of ``out[T, WIDTH]``.

        Called for every bar once, in order, whether a model is active (``overlay`` given) or not. T calls of one bar
        give the same bits as one call of T bars.

        Raises:
            UserError: the overlay reads a feature that the schema lacks.
        """
        x = np.ascontiguousarray(x)
        if overlay is not None and overlay is not self._speaks:
            self._speaks, self._row_of_stop = overlay, self._stop_row(overlay)
        for first in range(0, len(open_time), _CHUNK):
            market = self._follow(open_time, x, first, min(first + _CHUNK, len(open_time)))
            if overlay is None:
                self._marks[:] = UNKNOWN, UNKNOWN, 0  # nothing is held while nobody speaks
            else:
                say_bars(overlay.rule, self._marks, market, close, x, self._row_of_stop, first, out)

    def _follow(self, open_time: Int64Array, x: Float64Array, first: int, last: int) -> Float64Array:
        market: Float64Array = np.empty((last - first, MARKET))
        if self.follows:
            follow_bars(self._window, self._recent, self._columns, open_time, x, first, market)
        else:
            market[:] = np.nan
            market[:, INPUTS] = UNKNOWN
        return market

    def _stop_row(self, overlay: Overlay) -> int:
        if not self.follows and (overlay.regime is not None or overlay.meta is not None):
            lacking = next(name for name in TRACK_FEATURES if name not in self.schema.names)
            raise UserError(f"The model's regime reads the feature '{lacking}', which this run does not compute.")
        feature = exit_profile(overlay.profile, overlay.timeframe).feature
        return -1 if feature is None else self.schema.index(feature)

    def checkpoint(self) -> dict[str, Any]:
        """Everything that the next bar depends on, as plain JSON values (NaN as null): 90 days of volatility."""
        recent = [None if np.isnan(v) else float(v) for v in self._recent]
        return {"rank": window_record(self._window), "recent": recent, "held": self._marks.tolist()}

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a :meth:`checkpoint` of a track of the same timeframe."""
        refill(self._window, stored["rank"])
        self._recent[:] = np.array(stored["recent"], dtype=np.float64)
        self._marks[:] = stored["held"]
