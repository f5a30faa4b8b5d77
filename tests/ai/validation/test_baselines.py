"""Baselines on the same test rows: known by hand, against scikit-learn, and without a look ahead."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ai.forecast import WIDTH, Abstain, Col
from ai.training import training_data
from ai.validation.baselines import (
    BASE_RATE,
    HANDFUL,
    LOGISTIC,
    base_rate,
    baseline_forecasts,
    buy_and_hold,
    compare,
    logistic_forecast,
    no_trade,
)
from ai.validation.splits import Duration, training_rows, walk_forward_windows
from data.errors import UserError
from data.market import Frame, FundingFrame, SeriesKey
from data.synthetic import synthetic_market

HOUR = 3_600_000
KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic")


@pytest.fixture(scope="module")
def walked():
    frame, _ = synthetic_market("BTCUSDT", "1h", 3000, 5)
    data = training_data(frame, None, "swing")
    bars = (Duration(n, "bar") for n in (1500, 400, 400))
    return frame, data, walk_forward_windows(frame.open_time, HOUR, *bars, warmup=data.warmup)


def small_frame(open_, close) -> Frame:
    open_, close = np.array(open_, dtype=float), np.array(close, dtype=float)
    times = HOUR * np.arange(len(open_), dtype=np.int64)
    return Frame.of(KEY, times, open_, np.maximum(open_, close), np.minimum(open_, close), close, np.ones(len(open_)))


def settlements(times, rates, marks=None) -> FundingFrame:
    prices = np.full(len(times), np.nan) if marks is None else np.array(marks)
    return FundingFrame("binanceusdm", KEY.symbol, "synthetic", np.array(times), np.array(rates), prices)


def test_the_base_rate_is_the_share_of_each_label() -> None:
    assert base_rate(np.array([1, 1, -1, 0], dtype=np.int8)).tolist() == [0.25, 0.25, 0.5]
    with pytest.raises(UserError, match="at least one"):
        base_rate(np.empty(0, dtype=np.int8))


def test_baselines_forecast_every_test_row_and_no_other(walked) -> None:
    _, data, windows = walked
    found = baseline_forecasts(data, windows)
    assert len(windows) == 3 and set(found) == {BASE_RATE, LOGISTIC}
    tested = np.zeros(len(data.labels), dtype=bool)
    for w in windows:
        tested[slice(*w.test_rows)] = True
    for p in found.values():
        assert np.array_equal(np.isfinite(p).all(axis=1), tested)
        assert p[tested].sum(axis=1) == pytest.approx(np.ones(tested.sum()))
    for w in windows:
        rows = training_rows(w, data.labels.end)
        rows = rows[data.labels.complete[rows]]
        assert found[BASE_RATE][w.test_rows[0]] == pytest.approx(
            [np.mean(data.labels.label[rows] == c) for c in (-1, 0, 1)]
        )


def test_the_logistic_baseline_is_scikit_learns_on_the_declared_features(walked) -> None:
    from ai.sampling import average_uniqueness

    _, data, windows = walked
    rows = training_rows(windows[0], data.labels.end)
    rows = rows[data.labels.complete[rows]]
    test = np.arange(*windows[0].test_rows)
    x = data.x[[data.schema.names.index(name) for name in HANDFUL]].T
    weight = average_uniqueness(rows + 1, data.labels.end[rows])
    mean = np.average(x[rows], axis=0, weights=weight)
    scale = np.sqrt(np.average((x[rows] - mean) ** 2, axis=0, weights=weight))
    assert np.isfinite(x[rows]).all()
    oracle = LogisticRegression(C=0.003, max_iter=500, tol=1e-8)
    oracle.fit((x[rows] - mean) / scale, data.labels.label[rows], sample_weight=weight)
    expected = oracle.predict_proba((x[test] - mean) / scale)
    assert logistic_forecast(data, rows, test) == pytest.approx(expected, abs=2e-4)


def test_nothing_after_the_test_begins_changes_its_forecasts(walked) -> None:
    _, data, windows = walked
    first = windows[0].test_rows[0]
    label = data.labels.label.copy()
    label[first:] = 1
    known = data.labels.end < first
    label[:first][~known[:first]] = -1  # not known yet either
    x = data.x.copy()
    x[:, windows[0].test_rows[1] :] = 7.0
    changed = dataclasses.replace(data, x=x, labels=dataclasses.replace(data.labels, label=label))
    one, other = (baseline_forecasts(d, windows[:1]) for d in (data, changed))
    for name in one:
        assert np.array_equal(one[name], other[name], equal_nan=True)


def test_rows_without_a_complete_label_do_not_train(walked) -> None:
    _, data, windows = walked
    complete, label = data.labels.complete.copy(), data.labels.label.copy()
    complete[500:900], label[500:900] = False, 0
    broken = dataclasses.replace(data, labels=dataclasses.replace(data.labels, complete=complete, label=label))
    rows = training_rows(windows[0], data.labels.end)
    rows = rows[(rows < 500) | (rows >= 900)]
    found = baseline_forecasts(broken, windows[:1])[BASE_RATE][windows[0].test_rows[0]]
    assert found == pytest.approx(base_rate(label[rows]))


def test_an_embargo_takes_rows_from_the_training(walked) -> None:
    _, data, windows = walked
    plain, held = (baseline_forecasts(data, windows[:1], embargo) for embargo in (0, 200))
    at = windows[0].test_rows[0]
    rows = training_rows(windows[0], data.labels.end, 200)
    assert held[BASE_RATE][at] == pytest.approx(base_rate(data.labels.label[rows[data.labels.complete[rows]]]))
    assert not np.array_equal(plain[LOGISTIC][at], held[LOGISTIC][at])


def test_all_are_scored_on_the_rows_that_the_model_forecast(walked) -> None:
    _, data, windows = walked
    found = baseline_forecasts(data, windows)
    rows = np.full((len(data.labels), WIDTH), np.nan)
    rows[:, Col.ABSTAIN] = Abstain.NO
    rows[windows[1].test_rows[0] :, Col.ABSTAIN] = Abstain.MISSING
    rows[:, [Col.P_SHORT, Col.P_NEUTRAL, Col.P_LONG]] = found[BASE_RATE]
    compared = compare(data, windows, rows, found, 24, 7, 100)
    assert [c.name for c in compared] == ["model", BASE_RATE, LOGISTIC]
    model, base, logistic = (c.scored for c in compared)
    span = slice(*windows[0].test_rows)
    assert {c.scores.n for c in (model, base, logistic)} == {int(data.labels.complete[span].sum())}
    assert (model.skills.log_loss, base.skills.log_loss, base.skills.brier) == (0.0, 0.0, 0.0)
    assert base.bands.log_loss_skill.low == base.bands.log_loss_skill.high == 0.0
    assert logistic.bands.log_loss_skill.holds(logistic.skills.log_loss) and logistic.skills.log_loss != 0.0
    with pytest.raises(UserError, match="base rate"):
        compare(data, windows, rows, {LOGISTIC: found[LOGISTIC]}, 24, 7, 100)


def test_missing_features_and_rows_are_refused(walked) -> None:
    frame, data, _ = walked
    with pytest.raises(UserError, match="reads log_return_24, "):
        logistic_forecast(training_data(frame, None, "swing", ("rsi_14",)), np.arange(5), np.arange(5))
    with pytest.raises(UserError, match="training row"):
        logistic_forecast(data, np.empty(0, dtype=np.int64), np.arange(5))


def test_no_trade_keeps_its_equity() -> None:
    assert no_trade(3, 500.0).tolist() == [500.0, 500.0, 500.0]


def test_buy_and_hold_by_hand() -> None:
    frame = small_frame([90, 100, 110, 99, 1], [100, 110, 99, 120, 1])
    assert buy_and_hold(frame, 1, 4, 1000.0, 0.0) == pytest.approx([1100.0, 990.0, 1200.0])
    # ten units: 0.1 % of 1,000 going in, of 1,200 going out
    assert buy_and_hold(frame, 1, 4, 1000.0, 0.001) == pytest.approx([1099.0, 989.0, 1197.8])


def test_buy_and_hold_pays_the_funding_due_while_it_is_held() -> None:
    frame = small_frame([90, 100, 110, 99, 1], [100, 110, 99, 120, 1])
    times = [HOUR, 2 * HOUR, 2 * HOUR + 60_000, 4 * HOUR, 4 * HOUR + 1]  # entry; a close; inside; exit; after it
    held = buy_and_hold(frame, 1, 4, 1000.0, 0.0, settlements(times, [0.5, 0.01, 0.02, -0.01, 0.5]))
    # 10 · (110 · 0.01), then 10 · (110 · 0.02) on the open of its bar, then 10 · 120 · 0.01 received
    assert held == pytest.approx([1100.0 - 11.0, 990.0 - 11.0 - 22.0, 1200.0 - 33.0 + 12.0])
    marked = buy_and_hold(frame, 1, 4, 1000.0, 0.0, settlements([2 * HOUR], [0.01], [50.0]))
    assert marked == pytest.approx([1095.0, 985.0, 1195.0])
    assert math.isclose(buy_and_hold(frame, 1, 4, 1000.0, 0.0, settlements([0], [0.5]))[0], 1100.0)


def test_nothing_to_hold_is_refused() -> None:
    frame = small_frame([90, 0], [100, 110])
    for first, last in ((0, 0), (-1, 1), (0, 3)):
        with pytest.raises(UserError, match="nothing to hold"):
            buy_and_hold(frame, first, last, 1000.0, 0.0)
    with pytest.raises(UserError, match="nothing can be bought"):
        buy_and_hold(frame, 1, 2, 1000.0, 0.0)
