"""Uniqueness and the sequential bootstrap against the worked example and the Monte-Carlo of AFML 4.5."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from ai.sampling import (
    average_uniqueness,
    concurrency,
    draw_probabilities,
    sequential_bootstrap,
    uniqueness_weights,
)

Ints = npt.NDArray[np.int64]

# AFML 4.5.3: three labels, functions of the returns r[0,3], r[2,4] and r[4,6]; bars counted from 0.
FIRST, END = np.array([0, 2, 4]), np.array([2, 3, 5])
NONE = np.empty(0, dtype=np.int64)


def book_indicator(first: Ints, end: Ints) -> pd.DataFrame:
    """Snippet 4.3, getIndMatrix, on bar numbers."""
    matrix = pd.DataFrame(0, index=range(int(end.max()) + 1), columns=range(len(first)))
    for i, (a, b) in enumerate(zip(first, end, strict=True)):
        matrix.loc[a:b, i] = 1
    return matrix


def book_uniqueness(matrix: pd.DataFrame) -> pd.Series:
    """Snippet 4.4, getAvgUniqueness."""
    shares = matrix.div(matrix.sum(axis=1), axis=0)
    return shares[shares > 0].mean()


@pytest.mark.kernel
def test_the_books_example_of_uniqueness() -> None:
    assert book_indicator(FIRST, END).to_numpy().tolist() == [
        [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]
    ]  # fmt: skip
    assert concurrency(FIRST, END, 6).tolist() == [1, 1, 2, 1, 1, 1]
    np.testing.assert_allclose(average_uniqueness(FIRST, END), [5 / 6, 3 / 4, 1.0], rtol=1e-15)
    raw = np.array([5 / 6, 3 / 4, 1.0])
    np.testing.assert_allclose(uniqueness_weights(FIRST - 1, END), raw / raw.mean(), rtol=1e-15)


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        ([], [1 / 3, 1 / 3, 1 / 3]),
        ([1], [5 / 14, 3 / 14, 6 / 14]),  # the book draws the second label first
        ([1, 2], [5 / 11, 3 / 11, 3 / 11]),  # and then the third
    ],
)
def test_the_books_example_of_draw_probabilities(drawn: list[int], expected: list[float]) -> None:
    given = np.array(drawn, dtype=np.int64)
    np.testing.assert_allclose(draw_probabilities(FIRST, END, given), expected, rtol=1e-15)


def test_draw_probabilities_equal_the_books_snippet() -> None:
    generator = np.random.default_rng(8)
    first = generator.integers(0, 60, 25)
    end = first + generator.integers(0, 9, 25)
    drawn = generator.integers(0, 25, 12)
    matrix = book_indicator(first, end)
    shares = []
    for i in range(25):  # snippet 4.5, seqBootstrap: uniqueness of the last column of phi + [i]
        some = matrix[[*drawn, i]]
        some.columns = range(13)
        shares.append(book_uniqueness(some).iloc[-1])
    np.testing.assert_allclose(draw_probabilities(first, end, drawn), np.array(shares) / sum(shares), rtol=1e-12)


@pytest.mark.kernel
def test_each_draw_follows_the_probabilities_after_the_draws_before() -> None:
    generator = np.random.default_rng(11)
    first = generator.integers(0, 40, 30)  # not in order, with equal ones
    end = first + generator.integers(0, 12, 30)
    sample = sequential_bootstrap(first, end, 60, np.random.default_rng(5))
    order = np.argsort(first, kind="stable")
    for k, u in enumerate(np.random.default_rng(5).random(60)):
        reach = np.cumsum(draw_probabilities(first, end, sample[:k])[order])
        at = int(np.flatnonzero(order == sample[k])[0])
        assert (reach[at - 1] if at else 0.0) - 1e-12 <= u <= reach[at] + 1e-12


def test_shares_of_many_first_two_draws_are_the_books() -> None:
    count = np.zeros((3, 3))
    generator = np.random.default_rng(2)
    for _ in range(20_000):
        a, b = sequential_bootstrap(FIRST, END, 2, generator)
        count[a, b] += 1
    assert count.sum(axis=1) / 20_000 == pytest.approx([1 / 3] * 3, abs=0.015)
    assert count[1] / count[1].sum() == pytest.approx([5 / 14, 3 / 14, 6 / 14], abs=0.02)


def random_labels(generator: np.random.Generator) -> tuple[Ints, Ints]:
    """Snippet 4.7, getRndT1(numObs=10, numBars=100, maxH=5): a bar drawn twice holds one label, the later one."""
    ends = {}
    for _ in range(10):
        at = int(generator.integers(0, 100))
        ends[at] = at + int(generator.integers(1, 5))
    first = np.array(sorted(ends))
    return first, np.array([ends[at] for at in first.tolist()])


def test_the_books_monte_carlo_sequential_samples_are_more_unique() -> None:
    generator = np.random.default_rng(7)
    standard, sequential = [], []
    for _ in range(3_000):
        first, end = random_labels(generator)
        evenly = generator.integers(0, len(first), len(first))
        in_turn = sequential_bootstrap(first, end, len(first), generator)
        standard.append(average_uniqueness(first[evenly], end[evenly]).mean())
        sequential.append(average_uniqueness(first[in_turn], end[in_turn]).mean())
    assert np.median(standard) == pytest.approx(0.6, abs=0.04)  # figure 4.2: 0.6 and 0.7
    assert np.median(sequential) == pytest.approx(0.7, abs=0.04)
    both = np.array(standard), np.array(sequential)
    error = np.sqrt(both[0].var(ddof=1) / 3_000 + both[1].var(ddof=1) / 3_000)
    assert (both[1].mean() - both[0].mean()) / error > 10


def test_the_same_seed_gives_the_same_sample_and_another_another() -> None:
    first = np.arange(400)
    end = first + 24
    draw = lambda seed: sequential_bootstrap(first, end, 400, np.random.default_rng(seed)).tolist()
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_nothing_to_draw_from_gives_nothing() -> None:
    assert len(sequential_bootstrap(NONE, NONE, 5, np.random.default_rng(1))) == 0
    assert len(sequential_bootstrap(FIRST, END, 0, np.random.default_rng(1))) == 0
    assert len(draw_probabilities(NONE, NONE, NONE)) == 0
    assert len(average_uniqueness(NONE, NONE)) == 0
