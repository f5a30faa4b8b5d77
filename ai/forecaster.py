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
import numpy.typing as npt

from ai.ensemble import EnsembleModel
from ai.exits import ExitProfile
from ai.forecast import MAX_MEMBERS, Abstain, Col, ModelSchedule, ModelSwitch, abstaining_row
from ai.forecast_loop import FIXED_SHARE, NO_PACK, NO_RULE, Exits, Rule, State, empty_state, run_bars
from ai.guard import unguarded
from ai.guard_live import MODEL, LiveRecord, live_record
from ai.guard_weights import heard, voice_of
from ai.overlay import OverlayTrack
from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import BarMark, Float64Array, Frame, Int64Array


class Forecaster:
    """Forecast rows for the bars of one symbol, in order.

    Bars before the first switch abstain with NO_MODEL; bars that the active model saw in training with IN_SAMPLE
    unless ``allow_in_sample``. Weights start uniform and are carried on by member name across switches, as are the
    members' standing against the base rate and, while the asked coverage stays, the level of the conformal sets. What
    became of a model's own forecasts begins anew with each model.
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
        """The members' present weights as they are heard, sum 1."""
        places = np.arange(len(self.member_names), dtype=np.int64)
        return self._heard(self.member_names, places) if self.member_names else {}

    @property
    def live(self) -> LiveRecord | None:
        """What became of the active model's forecasts; ``None`` before any model was active."""
        number = int(self._state.live[MODEL])
        if number < 0:
            return None
        model_id, state = self.model_ids[number], self._state
        model = self._models[model_id]
        place = self._rules[model_id].place
        voices = {name: float(voice_of(state.record[at])) for name, at in zip(model.members, place, strict=True)}
        return live_record(
            model_id, model.guard, state.live, state.bins, state.cover, self._heard(model.members, place),
            {name: voice for name, voice in voices.items() if voice < 1.0},
        )  # fmt: skip

    def _heard(self, names: tuple[str, ...], place: Int64Array) -> dict[str, float]:
        out = np.empty((len(place), 2))
        heard(self._state.weights, self._state.record, place, out)
        return dict(zip(names, out[:, 1].tolist(), strict=True))

    def checkpoint(self) -> dict[str, Any]:
        """Everything that the next bar depends on, as plain JSON values (NaN as null); :meth:`restore` takes it."""
        number = int(self._state.live[MODEL])
        return {
            "members": list(self.member_names), "model": self.model_ids[number] if number >= 0 else None,
            **{name: _plain(getattr(self._state, name)) for name in State._fields},
            "overlay": self._overlay.checkpoint(),
        }  # fmt: skip

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from a :meth:`checkpoint` made under the same schedule.

        Raises:
            UserError: it belongs to other members or another profile, or to an earlier version.
        """
        empty = empty_state(self.profile.limit_bars + 1, len(self.member_names))
        fits = tuple(stored["members"]) == self.member_names and all(
            name in stored and len(stored[name]) == values.size for name, values in empty._asdict().items()
        )
        if not fits:
            raise UserError("The stored state of the forecaster belongs to other models: start with --fresh.")
        self._state = State(*(
            np.array(stored[name], dtype=np.float64).astype(values.dtype).reshape(values.shape)
            for name, values in empty._asdict().items()
        ))  # fmt: skip
        self._overlay.restore(stored["overlay"])
        known = stored["model"] in self.model_ids
        self._state.live[MODEL] = self.model_ids.index(stored["model"]) if known else -1

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
        state.said[:, :known], state.record[:known] = old.said, old.record
        for name in ("bars", "level", "side", "told", "cover", "live", "bins"):
            getattr(state, name)[:] = getattr(old, name)
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
            unguarded(model.base, len(model.features)) if model.guard is None else model.guard.rule(model.base),
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


def _plain(values: npt.NDArray[Any]) -> list[float | int | None]:
    return [None if value != value else value for value in values.ravel().tolist()]
