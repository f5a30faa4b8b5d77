"""Forecasts in order, one closed bar at a time: the only way in which models reach a decision.

A step takes the bar, resolves the labels that end with it, moves the members' weights by what they had said about
them, then forecasts from the bar's features. The same compiled loop serves one bar and a whole span, so both give
the same bits (see :mod:`ai.forecast_loop`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import Any

import numpy as np

from ai.ensemble import EnsembleModel
from ai.exits import ExitProfile
from ai.forecast import MAX_MEMBERS, Abstain, Col, ModelSchedule, ModelSwitch, abstaining_row
from ai.forecast_loop import FIXED_SHARE, NO_PACK, NO_RULE, Exits, Rule, State, empty_state, run_bars
from ai.overlay import OverlayTrack
from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import BarMark, Float64Array, Frame, Int64Array


class Forecaster:
    """Forecast rows for the bars of one symbol, in order.

    Bars before the first switch abstain with NO_MODEL; bars that the active model saw in training with IN_SAMPLE
    unless ``allow_in_sample``. Weights start uniform and are carried on by member name across switches.
    """

    def __init__(
        self,
        models: Mapping[str, EnsembleModel],
        schedule: ModelSchedule,
        schema: FeatureSchema,
        profile: ExitProfile,
        timeframe: str,
        allow_in_sample: bool = False,
    ) -> None:
        """Begin before the first bar.

        Raises:
            UserError: a model of the schedule is missing, reads a feature that the schema lacks, or was trained for
                another profile or timeframe.
        """
        self.schema = schema
        self.profile = profile
        self.timeframe = timeframe
        self.allow_in_sample = allow_in_sample
        self.model_ids: tuple[str, ...] = ()
        self.member_names: tuple[str, ...] = ()
        self.schedule: ModelSchedule = ()
        self._models: dict[str, EnsembleModel] = {}
        self._rules: dict[str, Rule] = {}
        row = -1 if profile.feature is None else schema.index(profile.feature)
        self._exits = Exits(
            int(profile.unit), float(profile.stop), float(profile.target_ratio), int(profile.limit_bars), row
        )
        self._state = empty_state(profile.limit_bars + 1, 0)
        self._overlay = OverlayTrack(schema, timeframe)
        for switch in sorted(schedule, key=lambda s: s.from_ms):
            if switch.model_id not in models:
                raise UserError(f"The model schedule names '{switch.model_id}', which is not stored.")
            self.add_model(switch.model_id, models[switch.model_id], switch.from_ms)

    def add_model(self, model_id: str, model: EnsembleModel, from_ms: int) -> None:
        """From the bar that opens at ``from_ms`` on, ``model`` forecasts (after every earlier switch).

        Raises:
            UserError: features, profile or timeframe do not fit, or the switch is not the latest.
        """
        if (model.profile, model.timeframe) != (self.profile.name, self.timeframe):
            raise UserError(
                f"Model '{model_id}' was trained for {model.profile} on {model.timeframe} bars, "
                f"not for {self.profile.name} on {self.timeframe}."
            )
        if self.schedule and from_ms < self.schedule[-1].from_ms:
            raise UserError(f"Model '{model_id}' cannot take over before the model that is already scheduled.")
        self._grow(model.members)
        if model_id not in self._models:
            self.model_ids = (*self.model_ids, model_id)
        self._models[model_id] = model
        self._rules[model_id] = self._rule(model_id, model)
        self.schedule = (*self.schedule, ModelSwitch(from_ms, model_id))

    def step(
        self, open_time: int, o: float, h: float, l: float, c: float, x: Float64Array  # noqa: E741
    ) -> Float64Array:  # fmt: skip
        """Take the next closed bar with its features ``x[F]`` and give its forecast row ``[WIDTH]``."""
        one = np.array([[o], [h], [l], [c]], dtype=np.float64)
        times = np.array([open_time], dtype=np.int64)
        features = np.ascontiguousarray(x, dtype=np.float64).reshape(-1, 1)
        row: Float64Array = self.span(times, one[0], one[1], one[2], one[3], features)[0]
        return row

    def span(
        self, open_time: Int64Array, o: Float64Array, h: Float64Array, l: Float64Array, c: Float64Array, x: Float64Array  # noqa: E741
    ) -> Float64Array:  # fmt: skip
        """The next T bars with features ``x[F, T]`` as rows ``[T, WIDTH]``: exactly T times :meth:`step`."""
        out: Float64Array = np.tile(abstaining_row(Abstain.NO_MODEL), (len(open_time), 1))
        x = np.ascontiguousarray(x, dtype=np.float64)
        for first, last, model_id, seen in self._segments(open_time):
            rule = self._rules[model_id] if model_id is not None else NO_RULE
            packed = self._models[model_id].pack if model_id is not None else NO_PACK
            if seen:
                out[first:last, Col.ABSTAIN] = Abstain.IN_SAMPLE
            active = model_id is not None and not seen
            run_bars(self._state, self._exits, FIXED_SHARE, packed, rule, active, o, h, l, c, x, first, last, out)
            overlay = self._models[model_id].overlay if active and model_id is not None else None
            self._overlay.fill(overlay, open_time[first:last], c[first:last], x[:, first:last], out[first:last])
        return out

    @property
    def weights(self) -> dict[str, float]:
        """The members' present weights."""
        return dict(zip(self.member_names, self._state.weights.tolist(), strict=True))

    def checkpoint(self) -> dict[str, Any]:
        """Everything that the next bar depends on, as plain JSON values (NaN as null); :meth:`restore` takes it."""
        levels = [[None if np.isnan(v) else float(v) for v in row] for row in self._state.level]
        said = [[None if np.isnan(v) else float(v) for v in row.ravel()] for row in self._state.said]
        return {
            "members": list(self.member_names), "count": int(self._state.bars[0]),
            "weights": self._state.weights.tolist(), "level": levels, "side": self._state.side.tolist(), "said": said,
        }  # fmt: skip

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a :meth:`checkpoint` made under the same schedule.

        Raises:
            UserError: it belongs to other members or another profile.
        """
        members, slots = len(self.member_names), len(self._state.side)
        if tuple(stored["members"]) != self.member_names or len(stored["side"]) != slots:
            raise UserError("The stored state of the forecaster belongs to other models: start with --fresh.")
        self._state = State(
            np.array([stored["count"]], dtype=np.int64), np.array(stored["weights"], dtype=np.float64),
            np.array(stored["level"], dtype=np.float64).reshape(slots, 2),
            np.array(stored["side"], dtype=np.int64).reshape(slots, 3),
            np.array(stored["said"], dtype=np.float64).reshape(slots, members, 3),
        )  # fmt: skip

    def _segments(self, open_time: Int64Array) -> list[tuple[int, int, str | None, bool]]:
        """Runs of bars under one model, and whether training saw them."""
        starts = [s.from_ms for s in self.schedule]
        at, segments = 0, []
        while at < len(open_time):
            now = int(open_time[at])
            k = bisect_right(starts, now) - 1
            model_id = self.schedule[k].model_id if k >= 0 else None
            seen_until = self._models[model_id].seen_until_ms if model_id is not None else 0
            seen = model_id is not None and not self.allow_in_sample and now <= seen_until
            last = len(open_time) if k + 1 == len(starts) else int(np.searchsorted(open_time, starts[k + 1]))
            if seen:
                last = min(last, int(np.searchsorted(open_time, seen_until, side="right")))
            segments.append((at, last, model_id, seen))
            at = last
        return segments

    def _grow(self, members: tuple[str, ...]) -> None:
        fresh = tuple(name for name in members if name not in self.member_names)
        if not fresh:
            return
        names = (*self.member_names, *fresh)
        if len(names) > MAX_MEMBERS:
            raise UserError(f"A forecast has at most {MAX_MEMBERS} members; the models name {len(names)}.")
        old, state = self._state, empty_state(self.profile.limit_bars + 1, len(names))
        known = len(self.member_names)
        state.weights[:known] *= old.weights * known  # uniform for new ones, relative weights kept
        for target, source in ((state.bars, old.bars), (state.level, old.level), (state.side, old.side)):
            target[:] = source
        state.said[:, :known] = old.said
        self.member_names, self._state = names, state
        self._rules = {model_id: self._rule(model_id, model) for model_id, model in self._models.items()}

    def _rule(self, model_id: str, model: EnsembleModel) -> Rule:
        pay = model.payoffs
        return Rule(
            self.model_ids.index(model_id),
            np.array([self.member_names.index(name) for name in model.members], dtype=np.int64),
            np.array([self.schema.index(name) for name in model.features], dtype=np.int64),
            np.array([name not in model.optional for name in model.features], dtype=np.bool_),
            np.array([
                pay.long_stop_if_neutral, pay.short_stop_if_neutral, pay.long_time_return, pay.short_time_return,
                pay.effective,
            ]),
        )  # fmt: skip


def forecast_span(forecaster: Forecaster, frame: Frame, x: Float64Array) -> Float64Array:
    """Forecast rows ``[T, WIDTH]`` of a frame with features ``x[F, T]``, in order, from where the forecaster stands.

    Suspect bars are passed over, as a live run does: their rows abstain, and no earlier forecast is settled by them.
    """
    sound = frame.mark != BarMark.SUSPECT
    if not sound.all():
        rows: Float64Array = np.tile(abstaining_row(Abstain.MISSING), (len(frame), 1))
        rows[sound] = forecast_span(forecaster, frame.take(sound), np.ascontiguousarray(x[:, sound]))
        return rows
    return forecaster.span(frame.open_time, frame.open, frame.high, frame.low, frame.close, x)
