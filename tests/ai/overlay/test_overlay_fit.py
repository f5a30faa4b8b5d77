"""What the overlay learns, from what, and what it says where it could not learn."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from ai.ensemble import PLAIN, EnsembleModel, EnsembleOptions
from ai.forecast import Abstain, Col, Extra, has_forecast
from ai.forecaster import forecast_span
from ai.labels import Labels
from ai.meta import MetaModel
from ai.overlay import OVERLAY_FILE, Overlay
from ai.overlay_fit import fit_overlay
from ai.overlay_proposals import PARTS, one_at_a_time, propose
from ai.overlay_regime import fit_regime, regime_states
from ai.regime import RANK_DAYS, UNKNOWN, Regime
from ai.training import TrainingData, training_data
from data.errors import UserError
from data.market import Frame, SeriesKey
from data.timeframes import HOUR_MS
from tests.ai.overlay.conftest import ALL, TRAINED, Made, trained

Rows = np.ndarray
COST = EnsembleOptions().cost


def rows_of(data: TrainingData, last: int = TRAINED) -> Rows:
    return np.arange(data.warmup, last)


def coin(data: TrainingData, edge: Callable[[Rows], Rows] | None = None) -> Callable[[Rows, Rows], Rows]:
    """Proposals that say more for long where a coin says so."""

    def proposals(_train: Rows, test: Rows) -> Rows:
        up = np.random.default_rng(4).random(data.x.shape[1])[test] < 0.5 if edge is None else edge(test)
        return np.where(up[:, None], [0.25, 0.25, 0.5], [0.5, 0.25, 0.25])

    return proposals


def with_returns(labels: Labels, long: Rows, short: Rows) -> Labels:
    return dataclasses.replace(labels, long_return=long, short_return=short)


def test_the_files_hold_the_whole_overlay(market: Made, tmp_path) -> None:
    model = trained(market.data)
    model.save(tmp_path / "model")
    again = EnsembleModel.load(tmp_path / "model")
    assert again.digest == model.digest and OVERLAY_FILE in again.files
    assert again.overlay is not None and again.overlay.describe() == model.overlay.describe()
    first, second = (
        forecast_span(market.forecaster((TRAINED, "a"), a=m), market.frame, market.data.x) for m in (model, again)
    )
    assert first.tobytes() == second.tobytes()
    assert model.describe()["overlay"]["regime_scores"]["n"] > 100


def test_members_alone_have_no_overlay(market: Made) -> None:
    model = trained(market.data, options=PLAIN)
    assert model.overlay is None and OVERLAY_FILE not in model.files and model.describe()["overlay"] is None
    assert Overlay.of(model.files) is None


def test_a_setting_that_is_off_says_nothing(market: Made) -> None:
    model = trained(market.data, options=EnsembleOptions())
    rows = forecast_span(market.forecaster((TRAINED, "a"), a=model), market.frame, market.data.x)[TRAINED:]
    assert np.isnan(rows[:, [Extra.TAKE, Extra.THRESHOLD]]).all()
    assert set(rows[:, Col.ABSTAIN]) <= {Abstain.NO, Abstain.WARMING_UP}
    assert (rows[:, Extra.REGIME] != UNKNOWN).all()


# ---- out of sample ---------------------------------------------------------------------------------------------------


def test_proposals_are_made_by_members_whose_labels_ended_before(market: Made) -> None:
    asked: list[tuple[Rows, Rows]] = []

    def proposals(train: Rows, test: Rows) -> Rows:
        asked.append((train, test))
        return np.full((len(test), 3), 1.0 / 3.0)

    rows = rows_of(market.data)
    made = propose(market.data.x, market.data.labels, rows, market.data.context, proposals)
    assert len(asked) == PARTS
    assert np.concatenate([test for _, test in asked]).tolist() == rows[round(0.4 * len(rows)) :].tolist()
    assert all(train.tolist() == rows[rows < test[0]].tolist() for train, test in asked)
    assert set(made.part) == {-1, 0, 1, 2, 3} and (made.side[made.part < 0] == 0).all()


def test_changing_what_comes_after_the_window_changes_nothing_that_is_learned(market: Made) -> None:
    model = trained(market.data)
    x = market.data.x.copy()
    x[:, TRAINED:] = np.random.default_rng(2).normal(size=x[:, TRAINED:].shape)
    labels, context = market.data.labels, market.data.context
    bent = {}
    for name in ("label", "long_outcome", "short_outcome", "long_return", "short_return"):
        bent[name] = getattr(labels, name).copy()
        bent[name][labels.end >= TRAINED] *= -1
    path = context.market
    regime = dataclasses.replace(path.regime, **{
        name: np.where(np.arange(len(path)) >= TRAINED, getattr(path.regime, name)[0], getattr(path.regime, name))
        for name in ("state", "rank", "trend_t")
    })  # fmt: skip
    share = np.where(np.arange(len(path)) >= TRAINED, 9.0, path.stop_share)
    other = dataclasses.replace(
        market.data, x=x, labels=dataclasses.replace(labels, **bent),
        context=dataclasses.replace(context, market=dataclasses.replace(path, regime=regime, stop_share=share)),
    )  # fmt: skip
    assert trained(other).files == model.files


def test_the_market_path_is_that_of_the_bars_up_to_each_one(market: Made) -> None:
    whole = market.data.context.market
    for cut in (700, 1_900):
        part = training_data(market.frame.slice(0, cut), None, "swing").context.market
        assert part.regime.state.tolist() == whole.regime.state[:cut].tolist()
        assert part.regime.rank.tobytes() == whole.regime.rank[:cut].tobytes()
        assert part.stop_share.tobytes() == whole.stop_share[:cut].tobytes()


def test_a_window_of_a_few_months_knows_the_ninety_days_before_it(market: Made) -> None:
    bars = slice(2_000, 2_900)
    context = market.data.context.part(bars)
    assert len(context.market) == len(context.open_time) == 900
    assert (context.market.regime.state != UNKNOWN).all()
    model, why = fit_regime(np.ascontiguousarray(market.data.x[:, bars]), context, np.arange(900))
    assert model is not None and why == ""


def test_a_state_inside_a_hole_of_the_training_rows_is_no_target(market: Made) -> None:
    rows = np.setdiff1d(rows_of(market.data), np.arange(2_000, 2_300))
    bent = market.data.context.market.regime.state.copy()
    bent[2_000:2_300] = (bent[2_000:2_300] + 1) % 7
    path = dataclasses.replace(market.data.context.market.regime, state=bent)
    other = dataclasses.replace(
        market.data.context, market=dataclasses.replace(market.data.context.market, regime=path)
    )  # fmt: skip
    first, second = (fit_regime(market.data.x, context, rows)[0] for context in (market.data.context, other))
    assert first is not None and second is not None and first.files() == second.files()


def test_features_and_market_path_of_different_bars_are_refused(market: Made) -> None:
    context = dataclasses.replace(market.data.context, market=market.data.context.market.part(slice(5, None)))
    with pytest.raises(ValueError, match="different bars"):
        fit_overlay(market.data.x, market.data.labels, rows_of(market.data), context, ALL, coin(market.data))


# ---- what can be learned is found ------------------------------------------------------------------------------------


def test_a_meta_model_takes_what_pays_and_skips_what_does_not(market: Made) -> None:
    data = market.data
    hot = data.x[data.schema.index("rsi_14")] > 50.0
    gain = np.where(hot, 0.02, -0.02)
    labels = with_returns(data.labels, *(np.where(data.labels.complete, gain, np.nan) for _ in range(2)))
    made = fit_overlay(data.x, labels, rows_of(data), data.context, EnsembleOptions(meta_model=True), coin(data))
    about = made.describe()["meta"]
    assert about["skill"] > 0.4 and about["taken"][0] > 0.015 and about["skipped"][0] < -0.015
    model = dataclasses.replace(trained(data, options=PLAIN), overlay=made)
    rows = forecast_span(market.forecaster((TRAINED, "a"), a=model), market.frame, data.x)[TRAINED:]
    there = has_forecast(rows)
    taken = rows[there, Col.ABSTAIN] == Abstain.NO
    assert (taken == hot[TRAINED:][there]).mean() > 0.9


def test_a_regime_that_loses_is_left_out_and_the_records_say_so(market: Made) -> None:
    data = market.data
    rows = rows_of(data)
    shown = propose(data.x, data.labels, rows, data.context, coin(data))
    common = int(np.bincount(shown.state[shown.state >= 0]).argmax())
    noise = np.random.default_rng(8).normal(0.0, 0.01, len(shown.state))
    gain = np.where(shown.state == common, -0.02, 0.02) + noise
    labels = with_returns(data.labels, *(np.where(data.labels.complete, gain, np.nan) for _ in range(2)))
    labels = dataclasses.replace(labels, end=np.minimum(np.arange(len(gain)) + 2, labels.end))
    made = fit_overlay(data.x, labels, rows, data.context, EnsembleOptions(regime_filter=True), coin(data))
    record = made.describe()["regime_filter"]
    left = [r["name"] for r in record["records"] if not r["allowed"]]
    assert left == [Regime(common).name.lower()] and record["p_value"] < 1e-6
    assert record["records"][common]["mean"] == pytest.approx(-0.02 - COST, abs=0.004)
    assert record["records"][common]["trades"] >= 30


def test_regimes_that_do_not_differ_are_all_kept(market: Made) -> None:
    data = market.data
    noise = np.random.default_rng(9).normal(0.0, 0.01, len(data.labels))
    labels = with_returns(data.labels, *(np.where(data.labels.complete, noise, np.nan) for _ in range(2)))
    made = fit_overlay(
        data.x, labels, rows_of(data), data.context, EnsembleOptions(regime_filter=True), coin(data)
    )  # fmt: skip
    assert made.regime_filter is not None and made.regime_filter.allowed.all()


def test_trades_of_the_filter_are_held_one_after_the_other() -> None:
    rows, end = np.array([3, 4, 5, 8, 9, 20]), np.array([5, 6, 9, 9, 12, 22])
    assert one_at_a_time(rows, end).tolist() == [0, 2, 4, 5]


def test_states_of_the_inner_parts_are_by_classifiers_that_had_not_seen_them(market: Made) -> None:
    data = market.data
    rows = rows_of(data)
    made = propose(data.x, data.labels, rows, data.context, coin(data))
    last = rows[made.part[rows] == PARTS - 1]
    model, _ = fit_regime(data.x, data.context, rows[rows < last[0]])
    assert made.state[last].tolist() == regime_states(model, data.x, data.context, last).tolist()
    own, _ = fit_regime(data.x, data.context, rows)
    assert made.state[last].tolist() != regime_states(own, data.x, data.context, last).tolist()


# ---- what cannot be learned ------------------------------------------------------------------------------------------


def test_too_little_history_leaves_the_regime_out_with_its_reason() -> None:
    frame = random_walk(2_400, 1)
    data = training_data(frame, None, "swing")
    model = trained(data, 2_200)
    assert model.overlay is not None and model.overlay.regime is None
    absent = model.overlay.describe()["absent"]
    assert f"after {RANK_DAYS} days" in absent["regime"] and "no regime" in absent["regime_filter"]
    assert "separate trades; 100 are needed" in absent["meta_model"]
    rows = forecast_span(Made(frame, data, model).forecaster((2_200, "a"), a=model), frame, data.x)[2_200:]
    assert np.isnan(rows[:, Extra.REGIME]).all() and np.isfinite(rows[:, Extra.THRESHOLD]).all()


def test_members_that_cannot_be_trained_on_parts_are_named(market: Made) -> None:
    def proposals(_train: Rows, _test: Rows) -> Rows:
        raise UserError("too few bars")

    made = fit_overlay(market.data.x, market.data.labels, rows_of(market.data), market.data.context, ALL, proposals)
    absent = made.describe()["absent"]
    assert set(absent) == {"meta_model", "regime_filter"} and "part 1: too few bars" in absent["meta_model"]
    assert made.regime is not None and made.adaptive


def test_a_part_without_members_is_told_and_the_others_are_used(market: Made) -> None:
    calls = iter(range(PARTS))

    def proposals(train: Rows, test: Rows) -> Rows:
        if next(calls) == 0:
            raise UserError("too few bars")
        return coin(market.data)(train, test)

    made = fit_overlay(market.data.x, market.data.labels, rows_of(market.data), market.data.context, ALL, proposals)
    assert made.describe()["proposals"] == "part 1: too few bars" and made.meta is not None


def test_a_meta_models_file_gives_the_same_probabilities(market: Made) -> None:
    meta = market.model.overlay.meta
    inputs = np.random.default_rng(0).normal(size=(50, meta.model.linear.shape[1]))
    inputs[3, 4] = np.nan
    again = MetaModel.of(meta.files())
    assert again.predict(inputs).tobytes() == meta.predict(inputs).tobytes() and again.threshold == meta.threshold


# ---- a random walk ---------------------------------------------------------------------------------------------------


def random_walk(bars: int, seed: int) -> Frame:
    """Bars of an hour whose closes have no drift; each bar is a walk of sixteen steps."""
    paths = np.cumsum(np.random.default_rng(seed).normal(0.0, 0.01 / 4.0, bars * 16)).reshape(bars, 16)
    opened = np.concatenate([[0.0], paths[:-1, -1]])
    whole = 30_000.0 * np.exp(np.column_stack([opened, paths]))
    times = 1_600_000_000_000 // HOUR_MS * HOUR_MS + HOUR_MS * np.arange(bars, dtype=np.int64)
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
    return Frame.of(
        key, times, whole[:, 0], whole.max(axis=1), whole.min(axis=1), whole[:, -1], np.ones(bars) + opened**2
    )


def test_on_a_random_walk_meta_model_and_filter_make_no_edge() -> None:
    frame = random_walk(12_000, 11)
    data = training_data(frame, None, "swing")
    model = trained(data, 8_000)
    made = Made(frame, data, model)
    forecaster = made.forecaster((8_000, "a"), a=model)
    rows = forecast_span(forecaster, frame, data.x)[8_000:]
    long, short = data.labels.net(COST)
    side = rows[:, Col.L_TARGET] * 2.5 - rows[:, Col.L_STOP] >= rows[:, Col.S_TARGET] * 2.5 - rows[:, Col.S_STOP]
    net = np.where(side, long[8_000:], short[8_000:])
    usable = has_forecast(rows) & data.labels.complete[8_000:]
    taken = np.flatnonzero(usable & (rows[:, Col.ABSTAIN] == Abstain.NO))
    single = taken[one_at_a_time(taken, data.labels.end[8_000:][taken] - 8_000)]
    assert len(single) > 100
    error = net[single].std(ddof=1) / np.sqrt(len(single))
    assert net[single].mean() < 1.96 * error
