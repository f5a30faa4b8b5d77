"""The search for hyper-parameters looks at its training window alone, and an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai.ensemble import EnsembleOptions, TrainingCancelled, train_ensemble
from ai.models.members import own_parameters
from ai.models.search_space import SEARCH_SPACE
from ai.tuning import BATCH, TuningSpec, opened, tune_members
from ai.tuning_folds import FIRST_SHARE, Evaluation, evaluate, fold_rows, inner_folds
from data.errors import UserError
from data.workers import Workers
from tests.ai.models.conftest import SmallMarket, small_market

ROWS = np.arange(20, 1200)
QUICK = ("logistic",)


@pytest.fixture(scope="module")
def market() -> SmallMarket:
    return small_market(1500)


def searched(market: SmallMarket, **changes):
    given = {"members": QUICK, "seed": 7, "trials": 6, **changes}
    return tune_members(market.x, market.labels, ROWS, market.context, **given)


def resumable(market: SmallMarket, folder: Path, trials: int, members=QUICK):
    spec = TuningSpec(tuple(members), trials)
    return opened(market.x, market.labels, ROWS, market.context, spec, f"sqlite:///{folder / 'tuning.sqlite'}", "BTC")


def finished(market: SmallMarket, folder: Path, trials: int, **run):
    with resumable(market, folder, trials) as search:
        search.run(Workers(), **run)
        return search.result()


class Diary:
    """Notes that remember, and can stop a search in the middle of a batch."""

    def __init__(self, stop_after: int = 1_000) -> None:
        self.lines: list[tuple[str, str, dict, object]] = []
        self.stop_after = stop_after

    def begin(self, member, parameters) -> None:
        self.lines.append(("begin", member, dict(parameters), None))

    def end(self, member, parameters, loss, failure) -> None:
        self.lines.append(("end", member, dict(parameters), loss if failure is None else failure))
        if sum(line[0] == "end" for line in self.lines) == self.stop_after:
            raise KeyboardInterrupt


# ---- the folds -------------------------------------------------------------------------------------------------------


def test_inner_folds_lie_behind_one_another_and_are_purged_by_label_ends() -> None:
    end = np.arange(3000) + 24
    rows = np.arange(100, 1100)
    folds = fold_rows(rows, end, 3)
    edges = [100 + round(share * 1000) for share in (0.4, 0.6, 0.8, 1.0)]
    assert FIRST_SHARE == 0.4
    for (train, test), first, stop in zip(folds, edges[:-1], edges[1:], strict=True):
        assert train[0] == 100 and end[train[-1]] == first - 1  # known before the first tested bar is closed
        assert test[0] == first and test[-1] < stop
    assert end[folds[-1][1][-1]] == 1099  # the last tested label ends inside the window


def test_the_loss_is_that_of_scikit_learn_on_the_fold(market) -> None:
    from sklearn.metrics import log_loss

    from ai.models.members import new_member

    fold = inner_folds(market.x, market.labels, ROWS, market.context, 3)[1]
    (loss,) = evaluate(Evaluation(fold, "logistic", 7, ({"c": 0.01},)))
    model = new_member("logistic", 7, {"c": 0.01})
    model.fit(fold.train_x, fold.train_y, fold.weight)
    assert loss == pytest.approx(log_loss(fold.test_y, model.predict(fold.test_x), labels=[-1, 0, 1]), abs=1e-12)


def test_what_comes_after_the_window_changes_nothing(market) -> None:
    before = searched(market, members=("logistic", "lightgbm"))
    rng = np.random.default_rng(1)
    after = slice(ROWS[-1] + 1, None)
    x = market.x.copy()
    x[:, after] = rng.normal(size=x[:, after].shape) * 1e3
    labels = market.labels
    label, complete = labels.label.copy(), labels.complete.copy()
    label[after] = rng.integers(-1, 2, label[after].shape)
    complete[after] = True
    changed = SmallMarket(
        market.frame, x, replace(labels, label=label, complete=complete), market.schema, market.profile, market.context
    )
    assert searched(changed, members=("logistic", "lightgbm")) == before
    inside = x.copy()
    inside[1, ROWS[-200] :] = 0.0  # the same inside the window is seen
    assert tune_members(inside, labels, ROWS, market.context, QUICK, trials=2).tried != before.of("logistic")[:2]


def test_labels_that_end_beyond_the_window_are_not_scored(market) -> None:
    """A label that is only known after the window would tell of bars that a later test begins with."""
    rows = ROWS
    labels = market.labels
    beyond = rows[labels.end[rows] > rows[-1]]
    assert len(beyond)
    label = labels.label.copy()
    label[beyond] = np.where(label[beyond] == 1, -1, 1)
    turned = SmallMarket(
        market.frame, market.x, replace(labels, label=label), market.schema, market.profile, market.context
    )
    assert searched(turned, trials=2) == searched(market, trials=2)


# ---- the search ------------------------------------------------------------------------------------------------------


def test_the_members_own_parameters_are_tried_first_and_are_never_beaten_by_the_best(market) -> None:
    found = searched(market, members=("logistic", "random_forest"), trials=5)
    for member in ("logistic", "random_forest"):
        tried = found.of(member)
        assert len(tried) == 5
        assert dict(tried[0].parameters) == own_parameters(member)
        assert found.plain_loss(member) == tried[0].loss
        assert found.best(member).loss == min(t.loss for t in tried) <= tried[0].loss
        assert set(found.parameters[member]) == {one.name for one in SEARCH_SPACE[member]}
    assert found.complete
    assert found.base_loss > 0.0


def test_what_was_found_trains_an_ensemble(market) -> None:
    found = searched(market, trials=4)
    options = EnsembleOptions(found.parameters, regime=False)
    model = train_ensemble(market.x, market.labels, ROWS, market.context, QUICK, options=options)
    assert model.params["logistic"]["params"]["c"] == found.parameters["logistic"]["c"]


def test_the_same_seed_tries_the_same_and_another_one_does_not(market) -> None:
    assert searched(market) == searched(market)
    assert searched(market).tried[1:] != searched(market, seed=8).tried[1:]


@pytest.mark.workers
def test_two_processes_find_what_one_finds(market) -> None:
    members = ("logistic", "hist_boosting")
    assert searched(market, members=members, workers=Workers(2)) == searched(market, members=members)


@pytest.mark.parametrize("stop_after", [1, 3, BATCH, BATCH + 2])
def test_a_search_that_was_interrupted_goes_on_as_if_it_had_not_been(market, tmp_path, stop_after) -> None:
    (tmp_path / "whole").mkdir()
    whole = finished(market, tmp_path / "whole", 10)
    with resumable(market, tmp_path, 10) as search, pytest.raises(KeyboardInterrupt):
        search.run(Workers(), notes=Diary(stop_after))
    told = stop_after - 1  # the interruption came before the study was told
    with resumable(market, tmp_path, 10) as search:
        assert search.resumed == told
        assert len(search.result().tried) == told
        search.run(Workers())
        again = search.result()
    assert again.tried == whole.tried
    assert (again.complete, again.resumed) == (True, told)


def test_more_trials_go_on_from_those_there_are(market, tmp_path) -> None:
    first = finished(market, tmp_path, 4)
    diary = Diary()
    more = finished(market, tmp_path, 8, notes=diary)
    assert more.tried[:4] == first.tried and len(more.tried) == 8
    assert sum(line[0] == "begin" for line in diary.lines) == 4
    assert finished(market, tmp_path, 8).tried == more.tried  # nothing is left to do


def test_a_search_on_other_values_is_another_search(market, tmp_path) -> None:
    finished(market, tmp_path, 4)
    x = market.x.copy()
    x[1, 500] += 1.0
    changed = SmallMarket(market.frame, x, market.labels, market.schema, market.profile, market.context)
    with resumable(changed, tmp_path, 4) as search:
        assert search.resumed == 0


def test_every_configuration_is_noted_before_it_is_computed_and_after(market, tmp_path) -> None:
    diary = Diary()
    found = finished(market, tmp_path, BATCH, notes=diary)
    assert [line[0] for line in diary.lines] == ["begin"] * BATCH + ["end"] * BATCH
    assert [line[2] for line in diary.lines[:BATCH]] == [dict(t.parameters) for t in found.tried]
    assert [line[3] for line in diary.lines[BATCH:]] == [t.loss for t in found.tried]


def failing(job: Evaluation):
    return ["ValueError: no" if k % 2 else loss for k, loss in enumerate(evaluate(job))]


def never(job: Evaluation):
    return ["ValueError: no"] * len(job.parameters)


def test_failed_configurations_count_as_tried(market, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ai.tuning.evaluate", failing)
    diary = Diary()
    found = finished(market, tmp_path, 6, notes=diary)
    assert [t.failure for t in found.tried] == [None, "ValueError: no"] * 3
    assert [t.loss is None for t in found.tried] == [False, True] * 3
    assert found.complete and found.best("logistic") is not None
    assert sum(line[3] == "ValueError: no" for line in diary.lines) == 3
    assert finished(market, tmp_path, 6).tried == found.tried  # the reasons are kept


def test_a_member_that_can_never_be_fitted_is_an_error_with_its_reason(market, monkeypatch) -> None:
    monkeypatch.setattr("ai.tuning.evaluate", never)
    with pytest.raises(UserError, match="No configuration of logistic could be fitted: ValueError: no"):
        searched(market)


def test_a_member_that_breaks_down_says_why_instead_of_ending_the_search(market, monkeypatch) -> None:
    def broken(self, x, y, weight) -> None:
        raise RuntimeError("singular")

    monkeypatch.setattr("ai.models.linear.LogisticModel.fit", broken)
    fold = inner_folds(market.x, market.labels, ROWS, market.context, 3)[0]
    assert evaluate(Evaluation(fold, "logistic", 7, ({"c": 0.01},))) == ["RuntimeError: singular"]


# ---- progress, cancel, limit -----------------------------------------------------------------------------------------


def test_progress_tells_how_many_of_how_many_and_never_falls(market) -> None:
    said: list[tuple[int, int, str]] = []
    searched(market, members=("logistic", "xgboost"), trials=6, progress=lambda *words: said.append(words))
    assert said[0][:2] == (0, 12) and said[-1][:2] == (12, 12)
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)
    assert any("logistic: best log loss" in words for _, _, words in said)


def test_cancel_ends_it_with_a_sentence_and_keeps_what_was_tried(market, tmp_path) -> None:
    asked = iter([False] * 6 + [True] * 100)
    with resumable(market, tmp_path, 12) as search, pytest.raises(TrainingCancelled, match="goes on where it stopped"):
        search.run(Workers(), cancelled=lambda: next(asked))
    with resumable(market, tmp_path, 12) as search:
        assert 0 < search.resumed < 12


def test_a_limit_ends_it_with_what_is_known(market, tmp_path) -> None:
    asked = iter([False] * 6 + [True] * 100)
    found = finished(market, tmp_path, 12, overdue=lambda: next(asked))
    assert not found.complete and 0 < len(found.tried) < 12
    assert found.parameters["logistic"]
    whole = finished(market, tmp_path, 12)
    assert whole.complete and whole.tried[: len(found.tried)] == found.tried


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_unknown_doubled_or_missing_members_and_short_windows_are_refused(market) -> None:
    for members, words in ((("moon",), "Unknown model 'moon'"), ((), "at least one"), (QUICK * 2, "only once")):
        with pytest.raises(UserError, match=words):
            searched(market, members=members)
    for rows in (np.arange(20, 320), np.arange(0)):
        with pytest.raises(UserError, match="give it more history"):
            tune_members(market.x, market.labels, rows, market.context, QUICK, trials=1)
