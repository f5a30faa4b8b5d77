"""Sample weights for labels that overlap in time (López de Prado, Advances in Financial Machine Learning, ch. 4)."""

from __future__ import annotations

import numpy as np

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
