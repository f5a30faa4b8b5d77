"""Combinatorial purged splits and their paths: by hand, against skfolio and RiskLabAI, and for any labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai.validation.combinatorial import assemble_paths, combinatorial_splits, group_rows, path_count, path_splits
from ai.validation.purging import trainable
from data.errors import UserError
from tests.ai.validation.recorded import cases

ANSWERS = json.loads(Path(cases.__file__).with_name("answers.json").read_text(encoding="utf-8"))


def fixed_labels(rows: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(rows), np.arange(rows) + length


def test_purge_and_embargo_of_twelve_rows_by_hand() -> None:
    # every label ends two bars on; rows 4 to 6 are tested, so bars 4 to 8 are theirs
    start, end = fixed_labels(12, 2)
    tests = [np.array([4, 5, 6])]
    # rows 2 and 3 end at 4 and 5; rows 7 and 8 begin inside
    assert np.flatnonzero(trainable(start, end, tests)).tolist() == [0, 1, 9, 10, 11]
    assert np.flatnonzero(trainable(start, end, tests, embargo=2)).tolist() == [0, 1, 11]
    assert np.flatnonzero(trainable(start, end, tests, only_before=True)).tolist() == [0, 1]


def test_a_real_end_purges_what_a_fixed_length_would_keep() -> None:
    # AFML 7.4.1: a label that begins before the test and ends in it, within it, or after it has to go
    start = np.arange(10)
    end = np.array([0, 9, 2, 5, 4, 5, 6, 7, 9, 9])
    assert np.flatnonzero(trainable(start, end, [np.array([5, 6])])).tolist() == [0, 2, 4, 7, 8, 9]
    late = end.copy()
    late[5] = 8  # the first tested label outlives the second
    assert np.flatnonzero(trainable(start, late, [np.array([5, 6])])).tolist() == [0, 2, 4, 9]


@pytest.mark.parametrize("number", range(len(cases.PURGES)))
def test_the_purge_of_real_ends_is_that_of_risklabai(number) -> None:
    embargo, first, last = cases.PURGES[number]
    ends = cases.label_ends()
    free = trainable(np.arange(len(ends)), ends, [np.arange(first, last)], embargo)
    assert np.flatnonzero(free).tolist() == ANSWERS["purges"][number]


@pytest.mark.parametrize("number", range(len(cases.SPLITS)))
def test_splits_and_paths_are_those_of_skfolio(number) -> None:
    rows, groups, tested, purged, embargo = cases.SPLITS[number]
    expected = ANSWERS["splits"][number]
    splits = list(combinatorial_splits(*fixed_labels(rows, purged), groups, tested, embargo))
    assert [s.train.tolist() for s in splits] == expected["train"]
    assert [[t.tolist() for t in s.tests] for s in splits] == expected["tests"]
    assert path_splits(groups, tested).tolist() == expected["paths"]
    assert path_count(groups, tested) == expected["count"]


def test_six_groups_by_two_make_fifteen_splits_and_five_paths_as_in_the_book() -> None:
    # AFML 12.3, figures 12.1 and 12.2: path 1 takes group 1 from split 1, group 6 from split 5
    plan = path_splits(6, 2)
    assert plan.shape == (5, 6)
    assert len(list(combinatorial_splits(*fixed_labels(60, 1), 6, 2))) == 15
    assert plan[0].tolist() == [0, 0, 1, 2, 3, 4]
    assert plan[1].tolist() == [1, 5, 5, 6, 7, 8]


def test_the_last_group_takes_the_rest() -> None:
    assert [len(rows) for rows in group_rows(47, 5)] == [9, 9, 9, 9, 11]


def test_a_path_takes_every_row_once_and_from_a_model_that_did_not_train_on_it() -> None:
    start, end = fixed_labels(53, 3)
    splits = list(combinatorial_splits(start, end, 6, 3, 1))
    rows = assemble_paths(splits, [s.test for s in splits], 6)
    assert rows.shape == (10, 53)
    assert np.array_equal(rows, np.tile(np.arange(53), (10, 1)))
    numbers = assemble_paths(splits, [np.full(len(s.test), k) for k, s in enumerate(splits)], 6)
    for path in numbers:
        for row, number in enumerate(path):
            assert row in splits[number].test and row not in splits[number].train
    assert all(len(set(numbers[:, row])) == 10 for row in range(53))  # each path by another split


def test_forecasts_of_many_columns_are_assembled_too() -> None:
    splits = list(combinatorial_splits(*fixed_labels(12, 1), 3, 1))
    paths = assemble_paths(splits, [np.stack([s.test, -s.test], axis=1) for s in splits], 3)
    assert paths.shape == (1, 12, 2)
    assert np.array_equal(paths[0, :, 1], -np.arange(12))


@st.composite
def lives(draw):
    gaps = draw(st.lists(st.integers(0, 3), min_size=8, max_size=60))
    start = np.cumsum(gaps)
    length = draw(st.lists(st.integers(0, 15), min_size=len(start), max_size=len(start)))
    groups = draw(st.integers(2, min(7, len(start))))
    return start, start + np.array(length), groups, draw(st.integers(1, groups - 1)), draw(st.integers(0, 12))


@given(lives())
def test_no_training_label_touches_a_tested_one_and_rows_are_tested_as_often_as_declared(case) -> None:
    start, end, groups, tested, embargo = case
    times = np.zeros(len(start), dtype=int)
    try:
        for split in combinatorial_splits(start, end, groups, tested, embargo):
            times[split.test] += 1
            assert not set(split.train) & set(split.test)
            a, b = start[split.train][:, None], end[split.train][:, None]
            assert not np.any((a <= end[split.test]) & (start[split.test] <= b))
            for rows in split.tests:
                after = start[split.train][start[split.train] > end[rows].max()]
                assert np.all(after > end[rows].max() + embargo)
    except UserError as error:
        assert "no row is left to train" in str(error)
        return
    assert np.all(times == path_count(groups, tested))


@given(lives())
def test_nothing_is_purged_without_need(case) -> None:
    start, end, groups, _, embargo = case
    for tests in group_rows(len(start), groups):
        left_out = np.flatnonzero(~trainable(start, end, [tests], embargo))
        first, last = start[tests[0]], end[tests].max() + embargo
        assert np.all((start[left_out] <= last) & (end[left_out] >= first))


@pytest.mark.parametrize(
    ("groups", "tested", "said"),
    [(1, 1, "cut into 1"), (13, 1, "give from 2 to 12"), (4, 0, "give from 1 to 3"), (4, 4, "cannot be tested")],
)
def test_impossible_numbers_are_refused(groups, tested, said) -> None:
    with pytest.raises(UserError, match=said):
        next(combinatorial_splits(*fixed_labels(12, 1), groups, tested))


def test_rows_out_of_order_backward_labels_and_negative_embargoes_are_refused() -> None:
    start, end = fixed_labels(12, 1)
    with pytest.raises(UserError, match="order of time"):
        next(combinatorial_splits(start[::-1], end[::-1], 3, 1))
    with pytest.raises(UserError, match="row 0 ends before"):
        next(combinatorial_splits(start, end - 3, 3, 1))
    with pytest.raises(UserError, match="negative"):
        next(combinatorial_splits(start, end, 3, 1, -1))
    with pytest.raises(UserError, match="no row is left to train"):
        list(combinatorial_splits(start, end, 3, 1, embargo=12))


def test_paths_of_missing_forecasts_are_refused() -> None:
    splits = list(combinatorial_splits(*fixed_labels(12, 1), 3, 1))
    with pytest.raises(UserError, match="every split"):
        assemble_paths(splits[:2], [s.test for s in splits[:2]], 3)
    with pytest.raises(UserError, match="4 tested rows and 3 forecasts"):
        assemble_paths(splits, [s.test[1:] for s in splits], 3)
