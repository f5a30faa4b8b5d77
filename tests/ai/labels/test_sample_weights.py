"""Weights of overlapping labels against the book's own, slow way of counting (AFML snippets 4.1 and 4.2)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ai.sampling import average_uniqueness, concurrency, uniqueness_weights


def test_labels_that_do_not_overlap_are_unique() -> None:
    first, end = np.array([1, 4, 7]), np.array([3, 6, 9])
    assert average_uniqueness(first, end).tolist() == [1.0, 1.0, 1.0]
    assert concurrency(first, end, 11).tolist() == [0] + [1] * 9 + [0]


def test_two_equal_labels_share_and_a_half_overlap_counts_half() -> None:
    assert average_uniqueness(np.array([5, 5]), np.array([8, 8])).tolist() == [0.5, 0.5]
    assert average_uniqueness(np.array([0, 2]), np.array([3, 5])).tolist() == [0.75, 0.75]


def test_uniqueness_equals_the_books_snippets() -> None:
    generator = np.random.default_rng(4)
    first = np.sort(generator.integers(0, 400, 150))
    end = first + generator.integers(0, 40, 150)
    alive = pd.Series(0, index=range(first[0], end.max() + 1))
    for a, b in zip(first, end, strict=True):
        alive.loc[a:b] += 1
    expected = [(1.0 / alive.loc[a:b]).mean() for a, b in zip(first, end, strict=True)]
    np.testing.assert_allclose(average_uniqueness(first, end), expected, rtol=1e-12)


def test_weights_have_mean_one_and_begin_at_the_entry_bar() -> None:
    rows, end = np.array([0, 3, 4]), np.array([3, 6, 6])  # lives 1..3, 4..6, 5..6
    weights = uniqueness_weights(rows, end)
    raw = np.array([1.0, (1 + 0.5 + 0.5) / 3, 0.5])
    np.testing.assert_allclose(weights, raw / raw.mean(), rtol=1e-12)
    assert len(uniqueness_weights(np.empty(0, np.int64), np.empty(0, np.int64))) == 0
