"""Forecasts come in order, from what was known, and one bar at a time gives the bits of a whole span."""

from __future__ import annotations

import dataclasses
import json
import time

import numpy as np
import pytest

from ai.ensemble import train_ensemble
from ai.exits import exit_profile
from ai.forecast import Abstain, Col, Forecast, ModelSwitch
from ai.forecast_loop import FIXED_SHARE, UNKNOWN
from ai.forecaster import Forecaster, forecast_span
from ai.labels import stop_distances, triple_barrier
from data.errors import UserError

SWITCH = 1500


def forecaster_of(market, model, **more) -> Forecaster:
    schedule = (ModelSwitch(int(market.frame.open_time[SWITCH]), "swing-a"),)
    return Forecaster({"swing-a": model}, schedule, market.schema, market.profile, "1h", **more)


def steps(forecaster, market, first, last):
    f = market.frame
    rows = [
        forecaster.step(int(f.open_time[t]), f.open[t], f.high[t], f.low[t], f.close[t], market.x[:, t])
        for t in range(first, last)
    ]
    return np.array(rows)


@pytest.fixture(scope="module")
def rows(market, model):
    return forecast_span(forecaster_of(market, model), market.frame, market.x)


def test_one_bar_at_a_time_gives_the_same_bits(market, model, rows) -> None:
    stepped = steps(forecaster_of(market, model), market, 0, len(market.frame))
    assert stepped.tobytes() == rows.tobytes()


def test_a_restart_from_a_checkpoint_gives_the_same_bits(market, model, rows) -> None:
    first = forecaster_of(market, model)
    steps(first, market, 0, 1777)
    second = forecaster_of(market, model)
    second.restore(json.loads(json.dumps(first.checkpoint())))
    assert steps(second, market, 1777, 2100).tobytes() == rows[1777:2100].tobytes()


def test_later_bars_do_not_change_earlier_rows(market, model, rows) -> None:
    cut = 2200
    frame, x = market.frame, market.x.copy()
    x[:, cut:] += 1.0
    bent = dataclasses.replace(frame, **{n: getattr(frame, n).copy() for n in ("open", "high", "low", "close")})
    for name in ("open", "high", "low", "close"):
        getattr(bent, name)[cut:] *= 3.0
    changed = forecast_span(forecaster_of(market, model), bent, x)
    assert changed[:cut].tobytes() == rows[:cut].tobytes()
    assert changed[cut:].tobytes() != rows[cut:].tobytes()


def test_bars_before_the_first_switch_have_no_model_and_bars_seen_in_training_abstain(market, model, rows) -> None:
    assert np.all(rows[:SWITCH, Col.ABSTAIN] == Abstain.NO_MODEL)
    assert np.all(rows[SWITCH:, Col.ABSTAIN] == Abstain.NO)
    early = (ModelSwitch(int(market.frame.open_time[1000]), "swing-a"),)
    both = [
        Forecaster({"swing-a": model}, early, market.schema, market.profile, "1h", allow_in_sample=allowed)
        for allowed in (False, True)
    ]
    refused, allowed = (forecast_span(f, market.frame, market.x) for f in both)
    assert np.all(refused[1000:SWITCH, Col.ABSTAIN] == Abstain.IN_SAMPLE)
    assert np.all(refused[SWITCH:, Col.ABSTAIN] == Abstain.NO)
    assert np.all(allowed[1000:, Col.ABSTAIN] == Abstain.NO)


def test_the_last_bar_that_training_saw_abstains_and_the_next_one_speaks(market, model) -> None:
    early = (ModelSwitch(int(market.frame.open_time[1000]), "swing-a"),)
    forecaster = Forecaster({"swing-a": model}, early, market.schema, market.profile, "1h")
    out = steps(forecaster, market, SWITCH - 1, SWITCH + 1)
    assert model.seen_until_ms == market.frame.open_time[SWITCH - 1]
    assert [int(v) for v in out[:, Col.ABSTAIN]] == [Abstain.IN_SAMPLE, Abstain.NO]


def test_probabilities_of_both_sides_add_up_and_follow_the_payoffs(model, rows) -> None:
    live = rows[SWITCH:]
    for columns in (
        (Col.P_LONG, Col.P_SHORT, Col.P_NEUTRAL), (Col.L_TARGET, Col.L_STOP, Col.L_TIME),
        (Col.S_TARGET, Col.S_STOP, Col.S_TIME),
    ):  # fmt: skip
        assert np.allclose(live[:, columns].sum(axis=1), 1.0)
    stop = live[:, Col.P_SHORT] + live[:, Col.P_NEUTRAL] * model.payoffs.long_stop_if_neutral
    assert np.allclose(live[:, Col.L_STOP], stop)
    assert np.all(live[:, Col.LOWER_LONG] < live[:, Col.P_LONG])
    assert np.all(live[:, Col.LOWER_SHORT] >= 0.0)


def test_weights_move_only_by_labels_that_have_ended_as_in_the_label_room(market, model, rows) -> None:
    said = model.predict(market.x[1:].T)
    weights = np.full(3, 1.0 / 3.0)
    complete, end, label = market.labels.complete, market.labels.end, market.labels.label
    for t in range(SWITCH, len(market.frame)):
        for born in range(max(SWITCH, t - market.profile.limit_bars), t):
            if complete[born] and end[born] == t:
                life = t - born
                weights = weights * said[:, born, int(label[born]) + 1] ** (1.0 / life)
                weights = weights / weights.sum() * (1.0 - FIXED_SHARE / life) + FIXED_SHARE / life / 3.0
        ours = rows[t, [Col.FIRST_MEMBER + 4 * k + 3 for k in range(3)]]
        assert np.allclose(ours, weights, rtol=1e-9, atol=1e-12), t
    assert np.ptp(weights) > 0.01


@pytest.mark.parametrize("name", ["swing", "scalp", "even"])
def test_online_labels_equal_the_label_room_for_every_profile(market, model, name) -> None:
    profile = exit_profile(name, "1h" if name != "scalp" else "5m")
    timeframe = "5m" if name == "scalp" else "1h"
    schema, x = market.schema, market.x
    if name == "even":
        schema = type(schema)(("volatility_96", *schema.names[1:]))
        x = x.copy()
        x[0] = 0.01
    changed = dataclasses.replace(model, profile=name, timeframe=timeframe)
    forecaster = Forecaster(
        {"m": changed}, (ModelSwitch(int(market.frame.open_time[SWITCH]), "m"),), schema, profile, timeframe
    )
    f = market.frame
    distance = stop_distances(profile, f.close, x[0])
    labels = triple_barrier(f.open, f.high, f.low, f.close, distance, profile)
    found, slots = {}, profile.limit_bars + 1
    for t in range(SWITCH, 1900):
        before = forecaster._state.side.copy()
        forecaster.step(int(f.open_time[t]), f.open[t], f.high[t], f.low[t], f.close[t], x[:, t])
        for born in range(max(SWITCH, t - profile.limit_bars), t):
            slot = (born - SWITCH) % slots
            if before[slot, 0] == 1 and forecaster._state.side[slot, 0] == 0:
                found[born] = (t, forecaster._state.side[slot, 1:].tolist())
    assert len(found) > 300
    for born, (end, (long, short)) in found.items():
        assert end == labels.end[born]
        assert long in (labels.long_outcome[born], UNKNOWN if labels.long_outcome[born] == 0 else None)
        assert short in (labels.short_outcome[born], UNKNOWN if labels.short_outcome[born] == 0 else None)


def test_missing_funding_is_no_reason_to_abstain_and_a_missing_feature_is(market, model) -> None:
    forecaster = forecaster_of(market, model)
    x = market.x.copy()
    x[4, 1600] = np.nan
    x[2, 1601] = np.nan
    x[2, 1602] = np.inf
    out = forecast_span(forecaster, market.frame, x)
    assert [int(v) for v in out[1600:1604, Col.ABSTAIN]] == [0, Abstain.WARMING_UP, Abstain.WARMING_UP, 0]
    assert np.isnan(out[1601, Col.P_LONG])


def test_a_model_that_says_nan_makes_the_bar_abstain(market, model) -> None:
    base = model.pack.base.copy()
    base[0, 1] = np.nan
    broken = dataclasses.replace(model, pack=model.pack._replace(base=base))
    out = forecast_span(forecaster_of(market, broken), market.frame, market.x)
    assert np.all(out[SWITCH:, Col.ABSTAIN] == Abstain.INVALID)
    assert np.all(np.isnan(out[SWITCH:, Col.P_LONG]))


def test_weights_are_carried_on_by_name_when_another_model_takes_over(market, model, rows) -> None:
    later = train_ensemble(market.x, market.labels, np.arange(500, 2000), market.context, ("lightgbm", "logistic"))
    forecaster = forecaster_of(market, model)
    before = steps(forecaster, market, 0, 2100)
    assert before.tobytes() == rows[:2100].tobytes()
    held = forecaster.weights
    forecaster.add_model("swing-b", later, int(market.frame.open_time[2100]))
    after = steps(forecaster, market, 2100, 2101)[0]
    assert forecaster.model_ids == ("swing-a", "swing-b")
    assert after[Col.MODEL] == 1
    read = Forecast.of(after, forecaster.model_ids, forecaster.member_names)
    assert read.model_id == "swing-b"
    weights = {m.name: m.weight for m in read.members}
    assert weights["xgboost"] == 0.0
    assert weights["lightgbm"] + weights["logistic"] == pytest.approx(1.0)
    assert weights["lightgbm"] / weights["logistic"] == pytest.approx(held["lightgbm"] / held["logistic"], rel=0.2)
    known_at_start = (*forecaster.schedule,)
    whole = Forecaster({"swing-a": model, "swing-b": later}, known_at_start, market.schema, market.profile, "1h")
    assert forecast_span(whole, market.frame, market.x)[2100].tobytes() == after.tobytes()


def test_models_that_do_not_fit_are_refused(market, model) -> None:
    other = dataclasses.replace(model, profile="even")
    with pytest.raises(UserError, match="was trained for even"):
        forecaster_of(market, other)
    with pytest.raises(UserError, match="Unknown feature 'moon'"):
        forecaster_of(market, dataclasses.replace(model, features=("moon", *model.features[1:])))
    with pytest.raises(UserError, match="not stored"):
        Forecaster({}, (ModelSwitch(0, "gone"),), market.schema, market.profile, "1h")
    forecaster = forecaster_of(market, model)
    with pytest.raises(UserError, match="cannot take over before"):
        forecaster.add_model("swing-b", model, 0)
    with pytest.raises(UserError, match="other models"):
        forecaster.restore({**forecaster.checkpoint(), "members": ["x"]})


def test_a_bar_with_three_members_costs_at_most_100_microseconds(market, model) -> None:
    best = np.inf
    for _ in range(3):
        forecaster = forecaster_of(market, model)
        start = time.process_time()
        forecast_span(forecaster, market.frame, market.x)
        best = min(best, (time.process_time() - start) / (len(market.frame) - SWITCH))
    assert best < 100e-6
