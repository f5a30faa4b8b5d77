"""The bins of scikit-learn's histogram boosting with weights, found in a tenth of its time.

Its binning (1.9) sorts each column anew for each of its weighted quantiles, which takes longer than growing the trees.
Here the quantiles of a column are read off one sum, and the boosting is given the number of each value's bin: with so
few distinct values it has one bin for each, grows the same trees, and the numbers are turned back into the quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.market import Float64Array, Int64Array

SAMPLED_ABOVE = 200_000  # rows of which scikit-learn draws that many to find its bins


@dataclass(frozen=True, slots=True, eq=False)
class HistogramBins:
    """The bins of the columns of ``x[n, F]``."""

    codes: Float64Array  # [n, F] number of the bin, NaN where the value is missing
    edges: tuple[Float64Array, ...]  # [F] of each column: value ≤ edges[k] lies in bin k or below
    occupied: tuple[Int64Array, ...]  # [F] numbers that occur
    missing: npt.NDArray[np.bool_]  # [F] whether the column has missing values

    @classmethod
    def of(cls, x: Float64Array, weight: Float64Array, bins: int) -> HistogramBins | None:
        """At most ``bins`` of each column by weighted quantiles; ``None`` where scikit-learn would draw rows first.

        ``x`` has no infinities and a known value in every column; weights of zero are not to be counted: ``None``.
        """
        if len(x) > SAMPLED_ABOVE or not np.all(weight > 0.0):
            return None
        unknown = np.isnan(x)
        codes, edges, occupied = np.full(x.shape, np.nan), [], []
        for k in range(x.shape[1]):
            known = ~unknown[:, k]
            edges.append(bin_edges(x[known, k], weight[known], bins))
            number = np.searchsorted(edges[-1], x[known, k], side="left")
            codes[known, k] = number
            occupied.append(np.unique(number))
        return cls(codes, tuple(edges), tuple(occupied), np.asarray(unknown.any(axis=0)))

    def in_values(self, nodes: Any) -> Any:
        """The nodes of a tree that was grown on ``codes``, with thresholds for the values themselves."""
        out = nodes.copy()
        for at in np.flatnonzero(nodes["is_leaf"] == 0):
            column, split = int(nodes["feature_idx"][at]), int(nodes["bin_threshold"][at])
            out["num_threshold"][at] = self._threshold(column, split, bool(nodes["missing_go_to_left"][at]))
        return out

    def _threshold(self, column: int, split: int, missing_left: bool) -> float:
        """The edge above the ``split``-th occupied bin, infinite above the last one.

        Of equal splits around empty bins scikit-learn takes the lowest, but the highest where missing values go left.
        """
        occupied, edges = self.occupied[column], self.edges[column]
        highest = missing_left and self.missing[column] and split + 1 < len(occupied)
        at = int(occupied[split + 1]) - 1 if highest else int(occupied[split])
        return float(edges[at]) if at < len(edges) else np.inf


def bin_edges(values: Float64Array, weight: Float64Array, bins: int) -> Float64Array:
    """Ascending upper edges of all bins but the last: the middles of few distinct values, else weighted quantiles.

    Hyndman & Fan (1996), definition 2, by weights, as ``_find_binning_thresholds`` of scikit-learn has it.
    """
    order = np.argsort(values)
    values, weight = values[order], weight[order]
    distinct = np.unique(values)
    if len(distinct) <= bins:
        return np.asarray((distinct[:-1] + distinct[1:]) / 2.0, dtype=np.float64)
    share = np.cumsum(weight[np.argsort(values)])  # sorted twice, as there: equal values may change places
    wanted = np.linspace(0, 100, bins + 1)[1:-1] / 100 * share[-1]
    at = np.minimum(np.searchsorted(share, wanted), len(values) - 1)
    after = np.minimum(at + 1, len(values) - 1)
    inside = share[at] - wanted > np.finfo(np.float64).eps
    return np.unique(np.where(inside, values[at], (values[at] + values[after]) / 2.0))
