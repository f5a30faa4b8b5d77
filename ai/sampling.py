"""Sample weights for labels that overlap in time (López de Prado, Advances in Financial Machine Learning, ch. 4)."""

from __future__ import annotations

import numpy as np

from data.compiled import kernel_allocating, kernel_part
from data.market import Float64Array, Int64Array


def concurrency(first: Int64Array, end: Int64Array, bars: int) -> Int64Array:
    """How many labels live on each bar, ``[bars]`` (AFML 4.1).

    Args:
        first, end: ``[n]``, bars on which each label begins and ends, both included.
        bars: length of the time axis.
    """
    starts = np.bincount(first, minlength=bars + 1)[: bars + 1]
    stops = np.bincount(end + 1, minlength=bars + 1)[: bars + 1]
    return np.asarray(np.cumsum(starts - stops)[:bars], dtype=np.int64)


def average_uniqueness(first: Int64Array, end: Int64Array) -> Float64Array:
    """Mean over each label's life of 1 / (labels alive), ``[n]`` in (0, 1] (AFML 4.2)."""
    if not len(first):
        return np.empty(0, dtype=np.float64)
    base = int(first.min())
    begin, stop = first - base, end - base
    alive = concurrency(begin, stop, int(stop.max()) + 1)
    share = np.divide(1.0, alive, out=np.zeros(len(alive)), where=alive > 0)
    summed = np.concatenate(([0.0], np.cumsum(share)))
    return np.asarray((summed[stop + 1] - summed[begin]) / (stop + 1 - begin), dtype=np.float64)


def uniqueness_weights(rows: Int64Array, end: Int64Array) -> Float64Array:
    """Training weights of labels, ``[n]``, mean 1: the less a label overlaps with others, the more it counts.

    Args:
        rows: ``[n]``, bars at which the labels were decided; each lives from the next bar on.
        end: ``[n]``, the bars at which they end (``Labels.end[rows]``).
    """
    weights = average_uniqueness(rows + 1, end)
    return weights / weights.mean() if len(weights) else weights


def draw_probabilities(first: Int64Array, end: Int64Array, drawn: Int64Array) -> Float64Array:
    """Chance of each label to be drawn next by the sequential bootstrap, ``[n]``, sum 1 (AFML 4.5.1).

    Args:
        first, end: ``[n]``, bars on which each label begins and ends, both included.
        drawn: labels drawn so far (positions, repeats counted): the more a label overlaps with them, the rarer it is.
    """
    if not len(first):
        return np.empty(0, dtype=np.float64)
    base = int(first.min())
    begin, stop = first - base, end - base
    held = concurrency(begin[drawn], stop[drawn], int(stop.max()) + 1)
    summed = np.concatenate(([0.0], np.cumsum(1.0 / (1.0 + held))))
    uniqueness = (summed[stop + 1] - summed[begin]) / (stop + 1 - begin)
    return np.asarray(uniqueness / uniqueness.sum(), dtype=np.float64)


def sequential_bootstrap(first: Int64Array, end: Int64Array, draws: int, generator: np.random.Generator) -> Int64Array:
    """Labels drawn with replacement, each with the chance of :func:`draw_probabilities`: positions ``[draws]``.

    AFML 4.5. The sample overlaps less with itself than one drawn evenly; the same generator gives the same sample.

    Args:
        first, end: ``[n]``, bars on which each label begins and ends, both included; in any order.
        draws: size of the sample.
        generator: of the run's seed.
    """
    if not len(first) or draws <= 0:
        return np.empty(0, dtype=np.int64)
    order = np.argsort(first, kind="stable")
    begin, stop = first[order] - first[order[0]], end[order] - first[order[0]]
    out: Int64Array = np.empty(draws, dtype=np.int64)
    reach = np.maximum.accumulate(stop)
    _draw_in_turn(begin, stop, reach, generator.random(draws), np.zeros(int(reach[-1]) + 1, dtype=np.int64), out)
    return np.asarray(order[out], dtype=np.int64)


@kernel_part
def _mean_share(held: Int64Array, begin: int, stop: int) -> float:
    """Mean over the bars of 1 / (labels drawn + 1)."""
    summed = 0.0
    for t in range(begin, stop + 1):
        summed += 1.0 / (1.0 + held[t])
    return summed / (stop + 1 - begin)


@kernel_allocating
def _draw_in_turn(
    begin: Int64Array, stop: Int64Array, reach: Int64Array, uniform: Float64Array, held: Int64Array, out: Int64Array
) -> None:
    """Labels sorted by ``begin``; ``reach`` is the furthest end so far, ``held`` counts drawn labels by bar (zeros).

    A binary tree over the labels holds sums of their uniqueness, each made anew from its two halves: a draw costs the
    labels that overlap with the last one and the height of the tree, and no rounding adds up.
    """
    n = len(begin)
    width = 1
    while width < n:
        width *= 2
    tree = np.zeros(2 * width)
    tree[width : width + n] = 1.0
    for node in range(width - 1, 0, -1):
        tree[node] = tree[2 * node] + tree[2 * node + 1]
    for d in range(len(uniform)):
        rest = uniform[d] * tree[1]
        node = 1
        while node < width:
            node *= 2
            if rest >= tree[node] and tree[node + 1] > 0.0:
                rest -= tree[node]
                node += 1
        chosen = node - width
        out[d] = chosen
        held[begin[chosen] : stop[chosen] + 1] += 1
        i = np.searchsorted(reach, begin[chosen])
        while i < n and begin[i] <= stop[chosen]:
            if stop[i] >= begin[chosen]:
                node = width + i
                tree[node] = _mean_share(held, begin[i], stop[i])
                node //= 2
                while node > 0:
                    tree[node] = tree[2 * node] + tree[2 * node + 1]
                    node //= 2
            i += 1
