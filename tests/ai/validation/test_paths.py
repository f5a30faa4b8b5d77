"""The combinatorial paths of an ensemble: purged, blind to what is tested, the same for any number of workers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ai.ensemble import TrainingCancelled
from ai.training import training_data
from ai.validation import paths as room
from ai.validation.combinatorial import combinatorial_splits
from ai.validation.paths import TESTED, combinatorial_paths
from ai.validation.splits import Duration
from ai.validation.walk_forward import WalkForwardSpec
from data.errors import UserError
from data.synthetic import synthetic_market

SPEC = WalkForwardSpec(Duration(900, "bar"), Duration(300, "bar"), Duration(300, "bar"), ("logistic",), embargo_bars=5)
GROUPS = 4


@pytest.fixture(scope="module")
def market():
    frame, _ = synthetic_market("BTCUSDT", "1h", 3200, 4)
    return frame, training_data(frame, None, "swing")


class Judge:
    """Counts the forecasts of each path and says what it was given."""

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []

    def evaluate(self, frame, funding, rows, profile):
        self.rows.append(rows)
        n = len(self.rows)
        return {"edge": {"trades": n, "net_return": 0.1 * n, "sharpe": None, "max_drawdown": 0.0, "daily": {}}}


@pytest.fixture(scope="module")
def walked(market):
    judge = Judge()
    return combinatorial_paths(market[0], None, SPEC, GROUPS, judge), judge


def test_each_path_forecasts_every_labelled_bar_once_and_each_has_other_models(market, walked) -> None:
    report, judge = walked
    rows = room._usable(market[1])
    assert (report.splits, len(report.paths), len(judge.rows)) == (6, 3, 3)
    assert {path["n"] for path in report.paths} == {len(rows)}
    said = [r[rows, 0] for r in judge.rows]
    assert all(np.isfinite(s).all() for s in said)
    assert min(np.mean(said[a] != said[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 0.99
    assert report.paths[2]["net_return"] == pytest.approx(0.3)


def test_the_range_is_that_of_the_paths_and_the_words_promise_nothing(walked) -> None:
    document = walked[0].as_dict()
    assert document["range"]["net_return"] == pytest.approx({"low": 0.1, "median": 0.2, "high": 0.3})
    assert document["range"]["auc"]["low"] == min(p["auc"] for p in document["paths"])
    assert (document["groups"], document["tested"]) == (GROUPS, TESTED)
    assert "sharpe" not in document["range"]  # no path has one
    assert "not what it would have earned" in document["words"]


def test_a_split_is_given_nothing_of_what_it_tests_nor_of_labels_that_reach_into_it(market) -> None:
    _, data = market
    rows = room._usable(data)
    end = data.labels.end[rows]
    splits = list(combinatorial_splits(rows, end, GROUPS, TESTED, SPEC.embargo_bars))
    for split, job in zip(splits, room._jobs(data, rows, splits, SPEC), strict=True):
        seen = np.flatnonzero(np.isfinite(job.x).any(axis=0))
        assert np.array_equal(seen, rows[split.train])
        for test in split.tests:
            first, last = rows[test[0]], data.labels.end[rows[test]].max()
            apart = (data.labels.end[job.rows] < first) | (job.rows > last + SPEC.embargo_bars)
            assert apart.all()


@pytest.mark.workers
def test_workers_change_nothing(market, walked) -> None:
    spec = dataclasses.replace(SPEC, workers=2)
    assert combinatorial_paths(market[0], None, spec, GROUPS, Judge()) == walked[0]


def test_too_many_groups_and_a_cancelled_one_are_said(market) -> None:
    with pytest.raises(UserError, match="cannot be cut into"):
        combinatorial_paths(market[0].slice(0, 1000), None, SPEC, 2_000)
    with pytest.raises(TrainingCancelled):
        combinatorial_paths(market[0], None, SPEC, GROUPS, cancelled=lambda: True)
