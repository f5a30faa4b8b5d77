"""Which regimes a strategy should trade in, learned from what it earned in earlier folds. Off unless asked for.

Seven regimes give seven means, and the best of seven looks good by chance. So nothing is filtered unless the regimes
differ beyond chance (Welch 1951, which allows each its own variance); then each mean is drawn to that of all by as
much as the spread of the means is noise (random effects, DerSimonian & Laird 1986), and a regime whose drawn mean is
not above zero is left out. A regime with few trades is not judged and stays in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.regime import REGIME_NAMES, Int8Array
from data.errors import UserError
from data.market import Float64Array, Int64Array

BoolArray = npt.NDArray[np.bool_]

STATES = len(REGIME_NAMES)


@dataclass(frozen=True, slots=True)
class FilterRules:
    """When regimes may be left out."""

    enabled: bool = False
    least_trades: int = 30  # of a regime, before it is judged
    least_folds: int = 3  # with trades, before anything is
    level: float = 0.05  # chance of filtering where regimes do not differ


@dataclass(frozen=True, slots=True)
class RegimeRecord:
    """What was earned in one regime; fractions a trade, NaN where it was not judged."""

    name: str
    trades: int
    mean: float  # as counted
    error: float  # standard error of the mean, the larger of that by trades and that by folds
    drawn: float  # mean drawn to that of all regimes
    allowed: bool


@dataclass(frozen=True, slots=True)
class RegimeFilter:
    """The regimes to trade in, and why."""

    records: tuple[RegimeRecord, ...]  # by Regime
    p_value: float  # of "the regimes do not differ"; NaN where it was not tested
    why: str

    @property
    def allowed(self) -> BoolArray:
        """``[7]`` by :class:`ai.regime.Regime`."""
        return np.array([record.allowed for record in self.records])

    def keeps(self, state: Int8Array) -> BoolArray:
        """Rows whose state may be traded, ``[n]``; an unknown state may be."""
        return np.append(self.allowed, True)[state]


def learn_filter(state: Int8Array, net: Float64Array, fold: Int64Array, rules: FilterRules) -> RegimeFilter:
    """The filter from finished trades of earlier folds.

    Args:
        state: ``[n]``, regime at each trade's decision (-1 unknown: not used).
        net: ``[n]``, net result of each trade, costs counted, as a fraction (of the entry price, or in units of risk).
        fold: ``[n]``, the out-of-sample fold each trade belongs to; trades of one fold are taken as alike.

    Raises:
        UserError: columns of unequal length, or a result that is not a number.
    """
    if not len(state) == len(net) == len(fold) or not np.isfinite(net).all():
        raise UserError("A regime filter needs state, net result and fold of every trade, and finite results.")
    counts = np.bincount(state[state >= 0], minlength=STATES)
    if not rules.enabled:
        return _everything(counts, np.nan, "the filter is off")
    if len(np.unique(fold)) < rules.least_folds:
        return _everything(counts, np.nan, f"fewer than {rules.least_folds} folds with trades")
    judged = np.flatnonzero(counts >= max(2, rules.least_trades))
    if len(judged) < 2:
        return _everything(counts, np.nan, f"fewer than two regimes with {rules.least_trades} trades")
    results = [_mean_and_variance(net[state == k], fold[state == k]) for k in judged]
    mean, variance = np.array(results).T
    if not (variance > 0.0).all():
        return _everything(counts, np.nan, "results without any spread")
    p_value, between = _welch(mean, variance, counts[judged])
    if p_value >= rules.level:
        return _everything(counts, p_value, f"the regimes do not differ beyond chance (p = {p_value:.3f})")
    total = variance + between
    centre = float(np.sum(mean / total) / np.sum(1.0 / total))
    drawn = centre + (mean - centre) * between / total
    records = list(_everything(counts, p_value, "").records)
    for at, k in enumerate(judged.tolist()):
        records[k] = RegimeRecord(
            REGIME_NAMES[k], int(counts[k]), float(mean[at]), float(np.sqrt(variance[at])), float(drawn[at]),
            bool(drawn[at] > 0.0),
        )  # fmt: skip
    out = [record.name for record in records if not record.allowed]
    why = f"left out: {', '.join(out)}" if out else "every regime that was judged earns"
    return RegimeFilter(tuple(records), p_value, f"{why} (p = {p_value:.3f})")


def filtered_by_fold(state: Int8Array, net: Float64Array, fold: Int64Array, rules: FilterRules) -> BoolArray:
    """Trades that the filter would have kept, each fold's learned from the folds before it, ``[n]``."""
    kept: BoolArray = np.ones(len(state), dtype=np.bool_)
    for number in np.unique(fold):
        past, now = fold < number, fold == number
        kept[now] = learn_filter(state[past], net[past], fold[past], rules).keeps(state[now])
    return kept


def _everything(counts: Int64Array, p_value: float, why: str) -> RegimeFilter:
    """Nothing is left out."""
    nan = float("nan")
    records = (RegimeRecord(name, int(n), nan, nan, nan, True) for name, n in zip(REGIME_NAMES, counts, strict=True))
    return RegimeFilter(tuple(records), p_value, why)


def _mean_and_variance(net: Float64Array, fold: Int64Array) -> tuple[float, float]:
    """Mean and the variance of that mean: by trades, or by folds where trades of a fold go together."""
    n = len(net)
    mean = float(net.mean())
    by_trades = float(net.var(ddof=1)) / n
    sums = np.bincount(np.unique(fold, return_inverse=True)[1], net - mean)
    groups = len(sums)
    by_folds = float(np.sum(sums**2)) / n**2 * groups / (groups - 1) if groups > 1 else by_trades
    return mean, max(by_trades, by_folds)


def _welch(mean: Float64Array, variance: Float64Array, counts: Int64Array) -> tuple[float, float]:
    """p-value of equal means, and the variance between the true ones."""
    from scipy.stats import f as f_distribution

    k = len(mean)
    weight = 1.0 / variance
    total = weight.sum()
    centre = np.sum(weight * mean) / total
    q = float(np.sum(weight * (mean - centre) ** 2))
    lack = float(np.sum((1.0 - weight / total) ** 2 / (counts - 1)))
    statistic = q / (k - 1) / (1.0 + 2.0 * (k - 2) / (k**2 - 1) * lack)
    p_value = float(f_distribution.sf(statistic, k - 1, (k**2 - 1) / (3.0 * lack)))
    between = (q - (k - 1)) / (total - float(np.sum(weight**2)) / total)
    return p_value, max(0.0, float(between))


def filter_record(learned: RegimeFilter) -> dict[str, Any]:
    """As plain JSON values; NaN as null."""
    records = [{name: _number(value) for name, value in asdict(record).items()} for record in learned.records]
    return {"records": records, "p_value": _number(learned.p_value), "why": learned.why}


def filter_of(stored: Mapping[str, Any]) -> RegimeFilter:
    """From :func:`filter_record`."""
    nan = float("nan")
    read: list[dict[str, Any]] = [
        {name: nan if value is None else value for name, value in record.items()} for record in stored["records"]
    ]
    records = tuple(RegimeRecord(**record) for record in read)
    return RegimeFilter(records, nan if stored["p_value"] is None else stored["p_value"], stored["why"])


def _number(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
