"""The guard in the forecaster: advice beside whole forecasts, sets, fading and size, and their way over the disk."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from ai.ensemble import EnsembleModel, EnsembleOptions, train_ensemble
from ai.forecast import MEMBER_COLS, Abstain, Col, Extra, ModelSwitch, has_forecast
from ai.forecaster import Forecaster, forecast_span
from ai.guard import Guard, held_back, held_back_rows
from ai.guard_coverage import GAMMA, quantile
from ai.validation.scores import calibration_error, log_losses

SWITCH, LATER = 1500, 2300
OPTIONS = EnsembleOptions(
    regime=False, conformal_coverage=0.8, max_disagreement=0.014, max_outside_share=0.3, shrink_when_worse=True
)
P = [Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG]


@pytest.fixture(scope="module")
def guarded(market) -> EnsembleModel:
    return train_ensemble(market.x, market.labels, np.arange(20, 1500), market.context, options=OPTIONS)


def forecaster_of(market, *models: EnsembleModel) -> Forecaster:
    at = (SWITCH, LATER)
    schedule = tuple(ModelSwitch(int(market.frame.open_time[at[k]]), f"m{k}") for k in range(len(models)))
    named = {f"m{k}": model for k, model in enumerate(models)}
    return Forecaster(named, schedule, market.schema, market.profile, "1h")


def span_of(forecaster, market, first, last, x=None):
    f, x = market.frame, market.x if x is None else x
    part = slice(first, last)
    return forecaster.span(f.open_time[part], f.open[part], f.high[part], f.low[part], f.close[part], x[:, part])


@pytest.fixture(scope="module")
def rows(market, guarded):
    return forecast_span(forecaster_of(market, guarded), market.frame, market.x)


def test_without_options_nothing_is_advised_against(market, model, rows) -> None:
    plain = forecast_span(forecaster_of(market, model), market.frame, market.x)[SWITCH:]
    assert np.all(plain[:, Col.ABSTAIN] == Abstain.NO)
    assert np.all(np.isnan(plain[:, [Extra.SET, Extra.SIZE]]))
    assert np.array_equal(plain[:, : Col.ABSTAIN], rows[SWITCH:, : Col.ABSTAIN], equal_nan=True)
    members = slice(Col.FIRST_MEMBER, Extra.THRESHOLD)
    assert np.array_equal(plain[:, members], rows[SWITCH:, members], equal_nan=True)


def test_the_spread_is_the_weighted_deviation_of_the_members(rows) -> None:
    live = rows[SWITCH:]
    members = live[:, Col.FIRST_MEMBER : Col.FIRST_MEMBER + 3 * MEMBER_COLS].reshape(-1, 3, MEMBER_COLS)
    weight = members[:, :, 3]
    for_side = []
    for side in (0, 1):
        mean = (weight * members[:, :, side]).sum(axis=1, keepdims=True)
        for_side.append(np.sqrt((weight * (members[:, :, side] - mean) ** 2).sum(axis=1)))
    assert np.allclose(live[:, Extra.SPREAD], np.maximum(*for_side), atol=1e-12)


def test_advice_stands_beside_a_whole_forecast_where_its_limit_is_passed(market, guarded, rows) -> None:
    live = rows[SWITCH:]
    bits = live[:, Extra.SET].astype(int)
    out = live[:, Extra.OUTSIDE] > OPTIONS.max_outside_share
    apart = ~out & (live[:, Extra.SPREAD] > OPTIONS.max_disagreement)
    both = ~out & ~apart & (bits & 1 > 0) & (bits & 4 > 0)
    expected = np.select([out, apart, both], [Abstain.OUT_OF_RANGE, Abstain.DISAGREEMENT, Abstain.UNDECIDED], 0)
    assert np.array_equal(live[:, Col.ABSTAIN], expected)
    assert min(apart.sum(), both.sum()) > 10
    assert np.all(has_forecast(live))
    assert np.allclose(live[:, P].sum(axis=1), 1.0)
    x = market.x.copy()
    x[1:4, 1600] = 40.0
    strange = forecast_span(forecaster_of(market, guarded), market.frame, x)[1600]
    assert strange[Col.ABSTAIN] == Abstain.OUT_OF_RANGE
    assert strange[Extra.OUTSIDE] in (0.75, 1.0)
    assert strange[P].sum() == pytest.approx(1.0)


def test_sets_follow_the_adapted_level_label_by_label(market, guarded, rows) -> None:
    alpha, target = 1.0 - 0.8, 1.0 - 0.8
    bits = rows[:, Extra.SET]
    for t in range(SWITCH, len(market.frame)):
        ended = np.flatnonzero((market.labels.end[:t] == t) & market.labels.complete[:t])
        for born in ended[ended >= SWITCH]:
            missed = 0.0 if int(bits[born]) >> (int(market.labels.label[born]) + 1) & 1 else 1.0
            alpha += GAMMA * (target - missed)
        limit = quantile(guarded.guard.scores, alpha)
        assert int(bits[t]) == sum(1 << k for k, p in enumerate(rows[t, P]) if 1.0 - p <= limit), t


def test_bar_by_bar_and_from_a_checkpoint_gives_the_same_bits_with_everything_on(market, guarded) -> None:
    whole = forecaster_of(market, guarded, guarded)
    rows = forecast_span(whole, market.frame, market.x)
    first, second = forecaster_of(market, guarded, guarded), forecaster_of(market, guarded, guarded)
    found = [span_of(first, market, t, t + 1) for t in range(LATER + 40)]
    second.restore(json.loads(json.dumps(first.checkpoint())))
    assert second.live == first.live
    found.append(span_of(second, market, LATER + 40, len(market.frame)))
    assert np.concatenate(found).tobytes() == rows.tobytes()
    assert second.live == whole.live


def test_live_scores_are_those_of_the_models_own_forecasts(market, guarded) -> None:
    forecaster = forecaster_of(market, guarded, guarded)
    rows = span_of(forecaster, market, 0, len(market.frame))
    labels = market.labels
    scored = np.flatnonzero(labels.complete & (labels.end < len(market.frame)) & (np.arange(len(rows)) >= LATER))
    p, y = rows[scored][:, P], labels.label[scored]
    live = forecaster.live
    assert live is not None
    assert (live.model_id, live.labels) == ("m1", len(scored))
    assert live.effective == pytest.approx(len(scored) ** 2 / (labels.end[scored] - scored).sum())
    assert live.log_loss == pytest.approx(log_losses(p, y).mean())
    assert live.calibration_error == pytest.approx(calibration_error(p, y))
    gap = max(guarded.guard.held.gap, 0.0)
    assert live.expected_log_loss == pytest.approx(-(p * np.log(p)).sum(axis=1).mean() + gap)
    assert live.held_back_log_loss == guarded.guard.held.log_loss
    assert live.size == rows[-1, Extra.SIZE]
    assert live.weights == pytest.approx(forecaster.weights)
    assert live.target_coverage == pytest.approx(0.8)
    assert live.set_labels > live.labels  # the level goes on from the model before
    assert 0.7 < live.coverage < 0.9


def test_before_any_model_there_is_no_live_record(market) -> None:
    assert Forecaster({}, (), market.schema, market.profile, "1h").live is None


def test_a_model_that_is_wrong_trades_smaller_and_the_next_one_begins_anew(market, guarded, rows) -> None:
    assert np.all(rows[SWITCH:, Extra.SIZE] == 1.0)
    wrong = dataclasses.replace(
        guarded, pack=guarded.pack._replace(base=guarded.pack.base + np.array([9.0, 0.0, -9.0]))
    )
    forecaster = forecaster_of(market, wrong, guarded)
    bent = span_of(forecaster, market, 0, LATER)
    size = bent[SWITCH:, Extra.SIZE]
    assert np.all(size[:200] == 1.0)
    assert size[-1] < 0.6
    live = forecaster.live
    assert live is not None
    assert live.size == pytest.approx(size[-1], abs=0.02)
    assert live.log_loss > live.expected_log_loss + live.expected_error
    assert span_of(forecaster, market, LATER, LATER + 1)[0, Extra.SIZE] == 1.0
    assert forecaster.live.labels == 0


def test_a_member_that_is_sure_and_wrong_falls_silent(market, guarded) -> None:
    base = guarded.pack.base.copy()
    base[0] += [9.0, 0.0, -9.0]
    wrong = dataclasses.replace(guarded, pack=guarded.pack._replace(base=base))
    forecaster = forecaster_of(market, wrong)
    rows = span_of(forecaster, market, 0, len(market.frame))
    weight = rows[:, Col.FIRST_MEMBER + 3]
    assert weight[SWITCH] == pytest.approx(1 / 3)
    assert np.all(weight[SWITCH + 700 :] < 0.01)
    assert set(forecaster.live.faded) == {guarded.members[0]}
    assert np.nanmax(forecaster._state.said[:, 0, 3]) < 0.05  # it learns by the voice it had when it spoke
    assert np.nanmin(forecaster._state.said[:, 1:, 3]) == 1.0


def test_a_guard_survives_the_disk_and_an_older_model_does_without(market, guarded, tmp_path, rows) -> None:
    guarded.save(tmp_path / "m")
    again = EnsembleModel.load(tmp_path / "m")
    assert forecast_span(forecaster_of(market, again), market.frame, market.x).tobytes() == rows.tobytes()
    assert again.guard.files() == guarded.guard.files()
    assert Guard.of({}) is None
    old = dataclasses.replace(guarded, guard=None)
    without = forecast_span(forecaster_of(market, old), market.frame, market.x)
    assert np.array_equal(without[:, P], rows[:, P], equal_nan=True)
    assert np.all(without[SWITCH:, Col.ABSTAIN] == Abstain.NO)
    assert np.all(without[SWITCH:, Extra.OUTSIDE] == 0.0)


def test_held_back_probabilities_never_come_from_a_calibrator_that_saw_the_label() -> None:
    rng = np.random.default_rng(8)
    raw = rng.dirichlet([2.0, 2.0, 2.0], 400)
    y = rng.integers(-1, 2, 400).astype(np.int8)
    weight = np.full(400, 0.5)
    before = held_back(raw, y, weight, 200)
    other = y.copy()
    other[:200] = 1
    after = held_back(raw, other, weight, 200)
    assert np.array_equal(before[:200], after[:200])
    assert not np.allclose(before[200:], after[200:])
    assert np.allclose(before.sum(axis=1), 1.0)


def test_labels_that_reach_from_one_half_into_the_other_are_left_out() -> None:
    rows = np.arange(100, 120)
    end = np.zeros(200, dtype=np.int64)
    end[rows] = rows + 3
    kept, middle = held_back_rows(rows, end)
    assert kept.tolist() == [*range(7), *range(10, 20)]
    assert middle == 7


def test_the_held_back_score_is_that_of_other_labels_than_the_members_saw(guarded) -> None:
    held = guarded.guard.held
    assert 10 < held.effective < held.labels < 230
    assert 0.8 < held.log_loss < 1.2
    assert held.log_loss_error > 0.0
    assert len(guarded.guard.scores) == held.labels
    assert np.all(np.diff(guarded.guard.scores) >= 0.0)
