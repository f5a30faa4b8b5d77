"""What the overlay says of a bar: the regime, take or skip, the threshold; the same bar by bar and in one go."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ai.ensemble import EnsembleModel
from ai.forecast import REGIMES, WIDTH, Abstain, Col, Extra, abstaining_row, has_forecast
from ai.forecaster import forecast_span
from ai.meta import meta_inputs
from ai.overlay import Overlay, OverlayTrack
from ai.overlay_loop import asked_probability
from ai.overlay_market import TRACK_FEATURES
from ai.regime import UNKNOWN, smoothed_states
from ai.regime_filter import RegimeFilter, RegimeRecord
from ai.regime_loop import INPUT_FEATURES, LARGEST_T
from ai.regime_model import regime_inputs
from ai.schema import FeatureSchema
from data.errors import UserError
from data.market import BarMark
from tests.ai.overlay.conftest import TRAINED, Made

FIRST, LAST = int(Extra.FIRST_REGIME), int(Extra.FIRST_REGIME) + REGIMES
OURS = [int(Extra.THRESHOLD), int(Extra.TAKE), int(Extra.REGIME), *range(FIRST, LAST)]


def with_parts(model: EnsembleModel, **parts: object) -> EnsembleModel:
    assert model.overlay is not None
    return dataclasses.replace(model, overlay=dataclasses.replace(model.overlay, **parts))


def steps(forecaster, frame, x) -> np.ndarray:
    return np.array([
        forecaster.step(int(frame.open_time[t]), frame.open[t], frame.high[t], frame.low[t], frame.close[t], x[:, t])
        for t in range(len(frame))
    ])  # fmt: skip


@pytest.fixture(scope="module")
def rows(market: Made) -> np.ndarray:
    return forecast_span(market.forecaster((TRAINED, "a"), a=market.model), market.frame, market.data.x)


def test_the_probabilities_are_those_of_the_regime_model(market: Made, rows: np.ndarray) -> None:
    assert market.model.overlay is not None and market.model.overlay.regime is not None
    path = market.data.context.market.regime
    x = market.data.x[[market.data.schema.index(name) for name in INPUT_FEATURES]]
    expected = market.model.overlay.regime.predict(regime_inputs(x, path), path.state)
    said = rows[:, FIRST:LAST]
    later = slice(TRAINED, len(rows))
    assert np.isnan(said[:TRAINED]).all() and (path.state[later] != UNKNOWN).all()
    np.testing.assert_allclose(said[later], expected[later], rtol=0, atol=1e-12)
    np.testing.assert_allclose(said[later].sum(axis=1), 1.0, atol=1e-12)
    assert rows[later, Extra.REGIME].tolist() == smoothed_states(said[later]).tolist()
    assert len(set(rows[later, Extra.REGIME])) > 3


def test_the_take_probability_is_that_of_the_meta_model_on_the_better_side(market: Made, rows: np.ndarray) -> None:
    overlay, path = market.model.overlay, market.data.context.market
    assert overlay is not None and overlay.meta is not None
    here = TRAINED + np.flatnonzero(has_forecast(rows[TRAINED:]))
    row, share = rows[here], path.stop_share[here]
    long = (2.5 * row[:, Col.L_TARGET] - row[:, Col.L_STOP]) * share + row[:, Col.L_TIME] * row[:, Col.L_TIME_RETURN]
    short = (2.5 * row[:, Col.S_TARGET] - row[:, Col.S_STOP]) * share + row[:, Col.S_TIME] * row[:, Col.S_TIME_RETURN]
    side = np.where(long >= short, 1, -1).astype(np.int8)
    ours = np.where(side > 0, row[:, Col.P_LONG], row[:, Col.P_SHORT])
    other = np.where(side > 0, row[:, Col.P_SHORT], row[:, Col.P_LONG])
    x = market.data.x[[market.data.schema.index(name) for name in INPUT_FEATURES]][:, here]
    t = np.clip(path.regime.trend_t[here], -LARGEST_T, LARGEST_T)
    seen = np.column_stack([ours, other, 0.0012 / share, x.T, t, path.regime.rank[here]])
    inputs = meta_inputs(seen, side)
    np.testing.assert_allclose(row[:, Extra.TAKE], overlay.meta.predict(inputs), rtol=0, atol=1e-12)
    skipped = row[:, Col.ABSTAIN] == Abstain.SKIPPED
    free = skipped | (row[:, Col.ABSTAIN] == Abstain.NO)
    assert skipped[free].tolist() == (~overlay.meta.takes(inputs))[free].tolist()
    assert set(side) == {-1, 1} and 0 < skipped.sum() < free.sum()


def test_one_bar_at_a_time_gives_the_same_bits_across_switches_gaps_and_missing_values(market: Made) -> None:
    frame, x = market.frame, market.data.x.copy()
    x[:, 3_650] = np.nan
    x[market.data.schema.index("volatility_96"), 3_700:3_703] = np.nan
    x[market.data.schema.index("rsi_14"), 3_710] = np.inf
    models = {
        "a": market.model, "b": with_parts(market.model, meta=None, regime=None),
        "c": with_parts(market.model, adaptive=False), "d": dataclasses.replace(market.model, overlay=None),
    }  # fmt: skip
    switches = ((TRAINED, "a"), (3_680, "b"), (3_720, "d"), (3_760, "c"), (3_900, "a"))
    whole = forecast_span(market.forecaster(*switches, **models), frame, x)
    assert steps(market.forecaster(*switches, **models), frame, x).tobytes() == whole.tobytes()
    halves = market.forecaster(*switches, **models)
    parts = [halves.span(*(c[a:b] for c in columns(frame)), x[:, a:b]) for a, b in ((0, 3_690), (3_690, len(frame)))]
    assert np.vstack(parts).tobytes() == whole.tobytes()
    assert whole[3_650, Extra.REGIME] == UNKNOWN and np.isnan(whole[3_650, FIRST])
    assert np.isnan(whole[3_680:3_760, OURS[1:]]).all() and np.isfinite(whole[3_760:, Extra.TAKE]).any()
    assert np.isnan(whole[3_760:3_890, Extra.THRESHOLD]).all()
    spoken = has_forecast(whole[3_680:3_720])
    assert spoken.sum() > 30 and np.isfinite(whole[3_680:3_720][spoken, Extra.THRESHOLD]).all()


def columns(frame):
    return frame.open_time, frame.open, frame.high, frame.low, frame.close


def test_bars_without_a_model_are_followed_so_that_the_rank_is_known_at_the_switch(market: Made) -> None:
    late = forecast_span(market.forecaster((4_000, "a"), a=market.model), market.frame, market.data.x)
    assert np.isnan(late[:4_000, OURS]).all()
    assert late[4_000, Extra.REGIME] != UNKNOWN and np.isfinite(late[4_000:, FIRST]).all()
    cold = market.forecaster((4_000, "a"), a=market.model)
    alone = cold.span(*(c[4_000:] for c in columns(market.frame)), market.data.x[:, 4_000:])
    assert (alone[:, Extra.REGIME] == UNKNOWN).all() and np.isfinite(alone[:, Col.P_LONG]).any()


def test_a_suspect_bar_is_passed_over(market: Made) -> None:
    mark = market.frame.mark.copy()
    mark[3_800] = BarMark.SUSPECT
    rows = forecast_span(
        market.forecaster((TRAINED, "a"), a=market.model), dataclasses.replace(market.frame, mark=mark), market.data.x
    )
    kept = np.arange(len(mark)) != 3_800
    without = forecast_span(
        market.forecaster((TRAINED, "a"), a=market.model), market.frame.take(kept),
        np.ascontiguousarray(market.data.x[:, kept]),
    )  # fmt: skip
    assert np.isnan(rows[3_800, OURS]).all() and rows[kept].tobytes() == without.tobytes()


def test_a_restart_from_a_checkpoint_gives_the_same_bits(market: Made, rows: np.ndarray) -> None:
    for cut in (300, 3_644):  # before and after the ranks are known
        first = market.forecaster((TRAINED, "a"), a=market.model)
        first.span(*(c[:cut] for c in columns(market.frame)), market.data.x[:, :cut])
        second = market.forecaster((TRAINED, "a"), a=market.model)
        second.restore(json.loads(json.dumps(first.checkpoint())))
        rest = second.span(*(c[cut:] for c in columns(market.frame)), market.data.x[:, cut:])
        assert rest[:, OURS].tobytes() == rows[cut:, OURS].tobytes()


def test_a_warm_up_of_ninety_days_gives_the_columns_of_a_longer_one(market: Made, rows: np.ndarray) -> None:
    first = 3_800 - (90 * 6 + 97)
    warm = market.forecaster((TRAINED, "a"), a=market.model)
    short = warm.span(*(c[first:] for c in columns(market.frame)), market.data.x[:, first:])
    regime = [int(Extra.REGIME), *range(FIRST, LAST)]
    assert short[3_800 - first :, regime].tobytes() == rows[3_800:, regime].tobytes()


def test_later_bars_change_nothing_at_or_before_a_bar(market: Made, rows: np.ndarray) -> None:
    cut = 3_950
    x = market.data.x.copy()
    x[:, cut:] = np.random.default_rng(1).normal(size=x[:, cut:].shape)
    bent = dataclasses.replace(market.frame, **{
        name: np.where(np.arange(len(rows)) >= cut, getattr(market.frame, name) * 1.5, getattr(market.frame, name))
        for name in ("open", "high", "low", "close")
    })  # fmt: skip
    changed = forecast_span(market.forecaster((TRAINED, "a"), a=market.model), bent, x)
    assert changed[:cut].tobytes() == rows[:cut].tobytes()
    assert (changed[cut:, FIRST] != rows[cut:, FIRST]).all()


# ---- the threshold of the moment -------------------------------------------------------------------------------------


def test_the_break_even_probability_is_that_of_the_worked_example() -> None:
    calm, wild = (asked_probability(s, 2.5, 0.0012, 0.7, 0.0, np.nan, 0.5) for s in (0.01, 0.02))
    assert calm == pytest.approx(0.0112 / 0.035) and wild == pytest.approx(0.0212 / 0.07)
    assert calm == pytest.approx(0.32) and wild < calm  # costs weigh less against a wider stop
    p, missed = asked_probability(0.01, 2.5, 0.0012, 0.4, 0.3, 0.002, np.nan), (-0.4 * 0.01 + 0.3 * 0.002) / 0.7
    assert p * 0.025 + (1.0 - p) * missed - 0.0012 == pytest.approx(0.0, abs=1e-15)


def test_unusual_volatility_asks_for_more_on_both_ends_and_only_there() -> None:
    asked = [asked_probability(0.01, 2.5, 0.0012, 0.7, 0.0, np.nan, rank) for rank in (0.0, 0.05, 0.1, 0.9, 0.95, 1.0)]
    assert np.subtract(asked, 0.32).tolist() == pytest.approx([0.03, 0.015, 0.0, 0.0, 0.015, 0.03])
    assert asked_probability(0.0001, 2.5, 0.0012, 0.7, 0.0, np.nan, 0.5) == 1.0  # no probability pays for these costs


def test_the_threshold_in_the_row_is_that_of_its_better_side(market: Made, rows: np.ndarray) -> None:
    share, rank = market.data.context.market.stop_share, market.data.context.market.regime.rank
    for t in (TRAINED, 3_800, 4_100):
        row = rows[t]
        sides = {}
        for first in (Col.L_TARGET, Col.S_TARGET):
            target, stop, time, back = row[first : first + 4]
            worth = (2.5 * target - stop) * share[t] + time * back
            sides[worth] = asked_probability(share[t], 2.5, 0.0012, stop, time, back, rank[t])
        assert row[Extra.THRESHOLD] == pytest.approx(sides[max(sides)], abs=1e-15)


# ---- who speaks first ------------------------------------------------------------------------------------------------


def left_out(*names: int) -> RegimeFilter:
    nan = float("nan")
    return RegimeFilter(tuple(RegimeRecord("", 0, nan, nan, nan, k not in names) for k in range(REGIMES)), 0.0, "")


def test_a_regime_that_was_left_out_is_named_before_the_meta_model_skips(market: Made, rows: np.ndarray) -> None:
    common = int(np.bincount(rows[TRAINED:, Extra.REGIME].astype(int)).argmax())
    model = with_parts(market.model, regime_filter=left_out(common))
    said = forecast_span(market.forecaster((TRAINED, "a"), a=model), market.frame, market.data.x)[TRAINED:]
    there = said[:, Extra.REGIME] == common
    advised = said[:, Col.ABSTAIN]
    assert set(advised[there]) == {Abstain.REGIME} and Abstain.REGIME not in advised[~there]
    assert Abstain.SKIPPED in advised[~there]
    assert np.isfinite(said[there][:, Col.P_LONG]).all() and np.isfinite(said[there][:, Extra.TAKE]).all()


def test_what_others_advise_stands_and_what_is_no_forecast_gets_no_advice(market: Made) -> None:
    model = with_parts(market.model, regime_filter=left_out(*range(REGIMES)))
    before = [Abstain.DISAGREEMENT, Abstain.OUT_OF_RANGE, Abstain.UNDECIDED, Abstain.INVALID, Abstain.WARMING_UP]
    after = slice(TRAINED, TRAINED + len(before))
    track = OverlayTrack(market.data.schema, "4h")
    frame, x = market.frame, market.data.x
    track.fill(None, frame.open_time[:TRAINED], frame.close[:TRAINED], x[:, :TRAINED], np.empty((TRAINED, WIDTH)))
    out = np.tile(abstaining_row(Abstain.NO), (len(before), 1))
    out[:, Col.ABSTAIN] = before
    out[:3, : Col.ABSTAIN] = 1.0 / 3.0
    track.fill(model.overlay, frame.open_time[after], frame.close[after], x[:, after], out)
    assert out[:, Col.ABSTAIN].tolist() == before
    assert np.isfinite(out[:3, Extra.TAKE]).all() and np.isnan(out[3:, Extra.TAKE]).all()
    assert np.isfinite(out[:, FIRST:LAST]).all()


def test_a_run_without_the_regimes_features_says_which_one_it_lacks(market: Made) -> None:
    schema = FeatureSchema(tuple(name for name in market.data.schema.names if name != TRACK_FEATURES[-1]))
    track = OverlayTrack(schema, "4h")
    times, out = market.frame.open_time[:5], np.tile(abstaining_row(Abstain.NO), (5, 1))
    x = np.zeros((len(schema), 5))
    with pytest.raises(UserError, match=TRACK_FEATURES[-1]):
        track.fill(market.model.overlay, times, market.frame.close[:5], x, out)
    track.fill(None, times, market.frame.close[:5], x, out)
    track.fill(Overlay("swing", "4h", 0.001, True), times, market.frame.close[:5], x, out)
    assert np.isnan(out[:, Extra.REGIME]).all()


def test_a_bar_that_comes_twice_does_no_harm(market: Made) -> None:
    track = OverlayTrack(market.data.schema, "4h")
    for _ in range(3):
        track.fill(None, *(c[:700] for c in (market.frame.open_time, market.frame.close)), market.data.x[:, :700],
                   np.empty((700, WIDTH)))  # fmt: skip
    assert len(track.checkpoint()["rank"]["values"]) <= 90 * 6


def test_a_state_is_not_held_over_bars_on_which_nobody_speaks(market: Made, rows: np.ndarray) -> None:
    likeliest = rows[:, FIRST:LAST].argmax(axis=1)
    flicker = np.flatnonzero(likeliest[TRAINED + 10 :] != rows[TRAINED + 10 :, Extra.REGIME])
    t = TRAINED + 10 + int(flicker[0])
    mute = dataclasses.replace(market.model, overlay=None)
    switches = ((TRAINED, "a"), (t - 1, "b"), (t, "a"))
    broken = forecast_span(market.forecaster(*switches, a=market.model, b=mute), market.frame, market.data.x)
    assert np.isnan(broken[t - 1, Extra.REGIME]) and broken[t, Extra.REGIME] == likeliest[t]
