"""Walk-forward end to end: windows, no look-ahead, a random walk without an edge, the report's keys."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from ai.ensemble import TrainingCancelled
from ai.forecast import WIDTH, Abstain, Col
from ai.training import training_data
from ai.validation.baselines import LOGISTIC, baseline_forecasts
from ai.validation.folds import scored_rows
from ai.validation.scores import score_rows
from ai.validation.splits import Duration
from ai.validation.walk_forward import WalkForwardSpec, walk_forward
from data.errors import UserError
from data.market import Frame, FundingFrame, SeriesKey

HOUR = 3_600_000
START = 1_577_836_800_000  # 2020-01-01
KEYS = {
    "train_from", "train_to", "test_from", "test_to", "n", "log_loss", "base_log_loss", "brier", "auc", "auc_within",
    "auc_touch", "ece",
}  # fmt: skip


def random_walk(bars: int, seed: int, trend: float = 0.0) -> Frame:
    """Bars of a geometric random walk with 12 ticks each; ``trend`` makes it persistent (an edge to be found)."""
    rng = np.random.default_rng(seed)
    drift = trend * np.sign(np.repeat(rng.normal(size=bars // 72 + 1), 72)[:bars, None])
    price = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.006 / np.sqrt(12), (bars, 12)) + drift / 12)).reshape(bars, 12)
    close = price[:, -1]
    open_ = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(price.max(axis=1), open_), np.minimum(price.min(axis=1), open_)
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic")
    times = START + HOUR * np.arange(bars, dtype=np.int64)
    return Frame.of(key, times, open_, high, low, close, rng.lognormal(size=bars))


def in_bars(train: int, test: int, **more) -> WalkForwardSpec:
    windows = {"train": Duration(train, "bar"), "test": Duration(test, "bar"), "step": Duration(test, "bar")}
    return WalkForwardSpec(**{**windows, "draws": 400, **more})


@pytest.fixture(scope="module")
def walked():
    return walk_forward(random_walk(10_000, 2), None, in_bars(4000, 1000))


@pytest.fixture(scope="module")
def trending():
    frame = random_walk(5000, 3, trend=0.002)
    return frame, walk_forward(frame, None, in_bars(2500, 500, members=("logistic", "lightgbm")))


def test_a_random_walk_shows_no_evidence_of_an_edge(walked) -> None:
    # One fixed walk: a 95 % band misses 0.5 on some others (seed 7 with four folds gives 0.401 to 0.498), so this
    # guards against gross leaks and says nothing about the band's coverage.
    assert len(walked.folds) == 6
    assert walked.auc.low <= 0.5 <= walked.auc.high
    assert walked.auc.high - walked.auc.low < 0.2
    assert walked.as_dict()["overall"]["verdict"].startswith("no evidence of an edge")


def test_a_persistent_market_shows_one(trending) -> None:
    _, result = trending
    assert result.auc.low > 0.5
    assert "better than chance" in result.verdict
    assert result.overall.log_loss < result.overall.base_log_loss


def test_the_report_has_the_commands_keys_and_is_plain_json(walked) -> None:
    report = json.loads(json.dumps(walked.as_dict(), allow_nan=False))
    assert set(report) >= {"folds", "overall", "trading", "members"}
    assert all(set(fold) >= KEYS | {"auc_low", "auc_high"} for fold in report["folds"])
    assert set(report["overall"]) >= (KEYS - {"train_from", "train_to", "test_from", "test_to"}) | {
        "auc_low", "auc_high", "verdict",
    }  # fmt: skip
    assert set(report["members"]) == {"logistic", "xgboost", "lightgbm"}
    assert report["overall"]["n"] == sum(fold["n"] for fold in report["folds"])
    assert report["folds"][0]["train_from"] == "2020-01-01T00:00:00.000Z"


def test_each_fold_has_a_band_of_its_own_that_is_wider_than_the_pooled_one(walked) -> None:
    pooled = walked.auc.high - walked.auc.low
    for fold in walked.folds:
        assert fold.auc.low < fold.scores.auc < fold.auc.high
        assert fold.auc.high - fold.auc.low > pooled


def test_only_test_windows_hold_forecasts_and_each_is_made_by_its_folds_model(walked) -> None:
    abstain = walked.rows[:, Col.ABSTAIN]
    assert walked.rows.shape == (10_000, WIDTH)
    assert np.all(abstain[:4000] == Abstain.NO_MODEL)
    assert np.all(abstain[4000:] == Abstain.NO)
    for k in range(6):
        assert np.all(walked.rows[4000 + 1000 * k : 5000 + 1000 * k, Col.MODEL] == k)
    assert walked.model_ids == tuple(f.model_id for f in walked.folds)
    weights = walked.weights[4000:]
    assert np.allclose(weights.sum(axis=1), 1.0)
    assert np.allclose(weights[0], 1.0 / 3.0)


def test_pooled_scores_are_those_of_the_folds_rows(walked) -> None:
    n = np.array([f.scores.n for f in walked.folds])
    losses = np.array([f.scores.log_loss for f in walked.folds])
    assert walked.overall.log_loss == pytest.approx(np.average(losses, weights=n))


def test_a_future_that_changes_changes_no_earlier_fold(trending) -> None:
    frame, result = trending
    cut = 4000
    bent = {n: getattr(frame, n).copy() for n in ("open", "high", "low", "close")}
    for column in bent.values():
        column[cut:] *= 1.5
    spec = in_bars(2500, 500, members=("logistic", "lightgbm"))
    changed = walk_forward(dataclasses.replace(frame, **bent), None, spec)
    assert changed.rows[:cut, : Col.MODEL].tobytes() == result.rows[:cut, : Col.MODEL].tobytes()
    assert changed.rows[cut:].tobytes() != result.rows[cut:].tobytes()
    ours, theirs = ([f.scores for f in r.folds[:2]] for r in (changed, result))
    assert ours == theirs
    assert changed.folds[-1].model_id != result.folds[-1].model_id


@pytest.mark.workers
def test_worker_processes_give_the_same_result(trending) -> None:
    frame, result = trending
    spec = in_bars(2500, 500, members=("logistic", "lightgbm"), workers=2)
    again = walk_forward(frame, None, spec)
    assert again.rows.tobytes() == result.rows.tobytes()
    assert again.model_ids == result.model_ids
    assert again.as_dict() == result.as_dict()


class Judge:
    def __init__(self) -> None:
        self.asked: list[tuple[int, int, str]] = []

    def evaluate(self, frame, funding, rows, profile):
        self.asked.append((len(frame), len(rows), profile))
        return {"edge": {"trades": 3, "net_return": 0.01}, "account": {"trades": 1, "halted_at": None}}


def test_the_evaluator_trades_the_rows_and_the_top_level_repeats_the_edge() -> None:
    frame = random_walk(3200, 1)
    judge, told = Judge(), []
    funding = FundingFrame.empty("binanceusdm", "BTC/USDT:USDT", "synthetic")
    result = walk_forward(
        frame, funding, in_bars(2500, 300, members=("logistic",)), judge, lambda *a: told.append(a)
    )  # fmt: skip
    assert judge.asked == [(3200, 3200, "swing")]
    trading = result.as_dict()["trading"]
    assert trading["trades"] == trading["edge"]["trades"] == 3
    assert trading["account"]["trades"] == 1
    done = [t[0] for t in told]
    assert done == sorted(done)
    assert told[-1][:2] == (4, 4)
    assert any("fold 2 of 2" in t[2] for t in told)


def test_a_thin_training_window_is_skipped_and_named_and_none_at_all_is_an_error() -> None:
    frame = random_walk(3000, 2)
    result = walk_forward(frame, None, in_bars(900, 500, members=("logistic",)))  # the warm-up leaves too little
    assert len(result.skipped) == 1
    assert "fold 1" in result.skipped[0]
    assert len(result.folds) == 3
    assert np.all(result.rows[900:1400, Col.ABSTAIN] == Abstain.NO_MODEL)
    with pytest.raises(UserError, match=r"No fold could be trained: fold 1 .* more history"):
        walk_forward(frame.slice(0, 900), None, in_bars(500, 400, members=("logistic",)))
    with pytest.raises(UserError, match="too few for one fold"):
        walk_forward(frame.slice(0, 900), None, WalkForwardSpec())


def test_cancelling_ends_it() -> None:
    with pytest.raises(TrainingCancelled):
        walk_forward(random_walk(3200, 1), None, in_bars(2500, 300), cancelled=lambda: True)


@pytest.mark.data
def test_real_bitcoin_hours_give_finite_scores_in_calendar_folds(shared_data: Path) -> None:
    import pandas as pd

    table = pd.read_parquet(shared_data / "ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet").iloc[:6000]
    times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    columns = [table[name].to_numpy(dtype=float) for name in ("open", "high", "low", "close", "volume")]
    frame = Frame.of(SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h"), times, *columns)
    result = walk_forward(frame, None, WalkForwardSpec(members=("logistic",), draws=200))
    assert [f.window.test_from for f in result.folds] == [1_583_686_800_000, 1_586_365_200_000]  # 8 March, 8 April
    for fold in result.folds:
        values = dataclasses.astuple(fold.scores)
        assert np.all(np.isfinite(values)), fold
        assert fold.scores.n > 700


def test_an_anchored_walk_trains_from_the_first_bar_on_and_tests_the_same_windows() -> None:
    frame = random_walk(3000, 4)
    rolling, anchored = (
        walk_forward(frame, None, in_bars(1500, 500, members=("logistic",), draws=50, anchored=a))
        for a in (False, True)
    )
    assert anchored.folds[0] == rolling.folds[0]
    assert len({fold.window.train_rows[0] for fold in anchored.folds}) == 1
    assert [f.window.test_rows for f in anchored.folds] == [f.window.test_rows for f in rolling.folds]
    later = [max(m.rows for m in walked.models.values()) for walked in (rolling, anchored)]
    assert later[1] > later[0]


@pytest.mark.parametrize("embargo", [0, 30])
def test_the_logistic_baseline_fitted_with_its_fold_is_the_one_fitted_on_the_whole_series(embargo: int) -> None:
    frame = random_walk(3500, 4)
    spec = in_bars(2000, 500, members=("logistic",), embargo_bars=embargo)
    result = walk_forward(frame, None, spec)
    data = training_data(frame, None, "swing")
    windows = [fold.window for fold in result.folds]
    plain = baseline_forecasts(data, windows, embargo)[LOGISTIC]
    used = np.concatenate([scored_rows(result.rows, data.labels, *w.test_rows) for w in windows])
    part = np.repeat(np.arange(len(windows)), [fold.scores.n for fold in result.folds])
    expected = score_rows(plain[used], data.labels.label[used], np.full(3, 1 / 3), part)
    found = result.baselines[LOGISTIC].scores
    for name in ("log_loss", "brier", "auc", "auc_within", "ece"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9), name


def test_scores_within_folds_are_those_of_the_folds_by_their_pairs(walked) -> None:
    assert all(fold.scores.auc_within == fold.scores.auc for fold in walked.folds)
    within = [fold.scores.auc for fold in walked.folds]
    assert min(within) < walked.overall.auc_within < max(within) and walked.overall.auc_within != walked.overall.auc
    document = walked.as_dict()
    band = document["overall"]["auc_within_low"], document["overall"]["auc_within_high"]
    assert band[0] < walked.overall.auc_within < band[1]
    assert (document["bands"]["label_bars"], document["bands"]["block_bars"]) == (24, 96)
