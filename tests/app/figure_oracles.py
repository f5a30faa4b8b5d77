"""Figures of a walk-forward made anew by other means: plain Python, pandas, scikit-learn and scipy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

Array = npt.NDArray[np.float64]
CLASSES = (-1, 0, 1)
LABEL = 24  # bars, of the swing profile
BLOCK = 4 * LABEL  # while there are eight of them


# ---- labels ----------------------------------------------------------------------------------------------------------


@dataclass
class Truth:
    """Triple-barrier labels, one row at a time."""

    label: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    complete: npt.NDArray[np.bool_]
    both: int = 0
    decided: int = 0


def swing_labels(bars: pd.DataFrame, finer: pd.DataFrame, atr: Array, parts: int) -> Truth:
    """Stop 1.5 ATR, target 2.5 stops, 24 bars; bars that touch are read in the ``parts`` finer bars inside them."""
    rows = [tuple(r) for r in bars[["open", "high", "low", "close"]].to_numpy()]
    inside = _inside(bars, finer, parts)
    n = len(rows)
    truth = Truth(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_))
    for t in range(n - 1):
        distance, entry = 1.5 * atr[t], rows[t + 1][0]
        if not distance > 0.0:
            continue
        sides = [_side(rows, inside, t, entry, side, distance) for side in (1, -1)]
        if any(side is None for side in sides):
            continue
        (long, long_end, long_doubt), (short, short_end, short_doubt) = sides  # type: ignore[misc]
        truth.label[t] = (long == 1) - (short == 1)
        truth.end[t], truth.complete[t] = max(long_end, short_end), True
        truth.both += (long_doubt > 0) + (short_doubt > 0)
        truth.decided += (long_doubt == 2) + (short_doubt == 2)
    return truth


def _inside(bars: pd.DataFrame, finer: pd.DataFrame, parts: int) -> list[list[tuple[float, float]] | None]:
    """Highs and lows of the finer bars of each bar, where all are there and make its very prices."""
    step = bars.index[1] - bars.index[0]
    groups = dict(list(finer.groupby(finer.index.floor(step))))
    found: list[list[tuple[float, float]] | None] = []
    for moment, row in bars.iterrows():
        part = groups.get(moment)
        same = part is not None and len(part) == parts and (
            part.open.iloc[0], part.high.max(), part.low.min(), part.close.iloc[-1]
        ) == (row.open, row.high, row.low, row.close)  # fmt: skip
        found.append(list(zip(part.high, part.low, strict=True)) if part is not None and same else None)
    return found


def _side(
    rows: list[tuple[float, ...]], inside: list[list[tuple[float, float]] | None], t: int, entry: float, side: int,
    distance: float,
) -> tuple[int, int, int] | None:  # fmt: skip
    """Outcome, bar of the end, and 1 where one bar reached both barriers (2: a finer bar decided)."""
    stop, target = entry - side * distance, entry + side * 2.5 * distance
    for i in range(t + 1, min(t + LABEL, len(rows) - 1) + 1):
        stopped, reached = _touched(rows[i][1], rows[i][2], side, stop, target)
        if not (stopped or reached):
            continue
        doubt = int(stopped and reached)
        parts = inside[i]
        if parts is not None:
            stopped, reached = next(hit for h, low in parts if any(hit := _touched(h, low, side, stop, target)))
            doubt = 2 if doubt and not (stopped and reached) else doubt
        return (-1 if stopped else 1), i, doubt
    return None if t + LABEL >= len(rows) else (0, t + LABEL, 0)


def _touched(high: float, low: float, side: int, stop: float, target: float) -> tuple[bool, bool]:
    return (low <= stop, high >= target) if side == 1 else (high >= stop, low <= target)


# ---- scores and bands ------------------------------------------------------------------------------------------------


def drawn(n: int, seed: int, draws: int) -> Array:
    """How often each row is in each resample of a circular block bootstrap, ``[draws, n]``."""
    block = min(BLOCK, n // 8)
    starts = np.random.default_rng(seed).integers(0, n, size=(draws, -(-n // block)))
    places = ((starts[:, :, None] + np.arange(block)) % n).reshape(draws, -1)[:, :n]
    return np.stack([np.bincount(row, minlength=n) for row in places]).astype(np.float64)


def score_figures(
    p: Array, y: npt.NDArray[np.int64], base: Array, fold: npt.NDArray[np.int64], seed: int, draws: int
) -> dict[str, float]:
    """All scores and bands of probabilities ``p[n, 3]``, with the names of the report."""
    said, shares = pd.DataFrame(p, columns=CLASSES), pd.DataFrame(base, columns=CLASSES)
    loss = -np.log([said.at[i, c] for i, c in enumerate(y)])
    base_loss = -np.log([shares.at[i, c] for i, c in enumerate(y)])
    squares, base_squares = (sum((f[c] - (y == c)) ** 2 for c in CLASSES).to_numpy() for f in (said, shares))
    found = {
        "n": len(y), "log_loss": log_loss(y, p, labels=CLASSES), "base_log_loss": log_loss(y, base, labels=CLASSES),
        "brier": sum(brier_score_loss(y == c, said[c]) for c in CLASSES),
    }  # fmt: skip
    base_brier = sum(brier_score_loss(y == c, shares[c]) for c in CLASSES)
    found["skill"] = 1.0 - found["log_loss"] / found["base_log_loss"]
    found["brier_skill"] = 1.0 - found["brier"] / base_brier
    times = drawn(len(y), seed, draws)
    sums = {
        name: times @ values for name, values in (("l", loss), ("b", base_loss), ("s", squares), ("t", base_squares))
    }
    for name, values in (
        ("log_loss", sums["l"] / len(y)), ("base_log_loss", sums["b"] / len(y)), ("brier", sums["s"] / len(y)),
        ("skill", 1.0 - sums["l"] / sums["b"]), ("brier_skill", 1.0 - sums["s"] / sums["t"]),
    ):  # fmt: skip
        found |= _band(name, values)
    moved = y != 0
    up = (p[:, 2] / (p[:, 2] + p[:, 0]))[moved]
    for name, hit, score, weights in (
        ("auc", y[moved] > 0, up, times[:, moved]), ("auc_touch", moved, 1.0 - p[:, 1], times),
    ):  # fmt: skip
        found[name] = roc_auc_score(hit, score)
        found |= _band(name, _aucs(hit, score, weights))
    found |= _within(y[moved] > 0, up, fold[moved], times[:, moved])
    return found | _calibration(p, y, times)


def _aucs(hit: npt.NDArray[np.bool_], score: Array, weights: Array) -> Array:
    """scikit-learn's weighted AUC of each resample; from the eleventh on by counting pairs, ties as halves."""
    known = [roc_auc_score(hit, score, sample_weight=w) for w in weights[:10]]
    order = np.argsort(score, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(score[order]) > 0.0))
    ups = np.add.reduceat(weights[:, order] * hit[order], first, axis=1)
    downs = np.add.reduceat(weights[:, order] * ~hit[order], first, axis=1)
    pairs = (ups * (np.cumsum(downs, axis=1) - downs / 2.0)).sum(axis=1)
    found = pairs / (ups.sum(axis=1) * downs.sum(axis=1))
    np.testing.assert_allclose(found[:10], known, rtol=1e-12)
    return np.asarray(found)


def _within(hit: npt.NDArray[np.bool_], score: Array, fold: npt.NDArray[np.int64], weights: Array) -> dict[str, float]:
    """AUCs of the folds, each with the weight of its pairs of a long and a short."""
    areas, pairs, drawn_areas, drawn_pairs = 0.0, 0.0, np.zeros(len(weights)), np.zeros(len(weights))
    for k in np.unique(fold):
        inside = fold == k
        ups, downs = int(hit[inside].sum()), int((~hit[inside]).sum())
        areas, pairs = areas + ups * downs * roc_auc_score(hit[inside], score[inside]), pairs + ups * downs
        here = (weights[:, inside] @ hit[inside]) * (weights[:, inside] @ ~hit[inside])
        drawn_areas += here * _aucs(hit[inside], score[inside], weights[:, inside])
        drawn_pairs += here
    return {"auc_within": areas / pairs, **_band("auc_within", drawn_areas / drawn_pairs)}


def _band(name: str, values: Array) -> dict[str, float]:
    low, high = np.percentile(values, [2.5, 97.5])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}


def _calibration(p: Array, y: npt.NDArray[np.int64], times: Array) -> dict[str, float]:
    """The error by scikit-learn's diagram; its band from the same draws, widened for overlapping labels."""
    error, gaps = 0.0, []
    for k, c in enumerate(CLASSES):
        seen, mean = calibration_curve(y == c, p[:, k], n_bins=10, strategy="uniform")
        count, _ = np.histogram(p[:, k], bins=np.linspace(0.0, 1.0, 11))
        error += float(np.abs(seen - mean) @ count[count > 0]) / len(y) / 3
        place = pd.cut(p[:, k], np.linspace(0.0, 1.0, 11), right=False, labels=False)
        gaps += [np.where(place == b, p[:, k] - (y == c), 0.0) for b in range(10)]
    table = np.column_stack(gaps)
    chance = np.abs(times @ table - table.sum(axis=0)).sum(axis=1) / (3 * len(y))
    reach = _short_of(len(y)) * float(np.percentile(chance, 95))
    return {"ece": error, "ece_low": max(error - reach, 0.0), "ece_high": error + reach}


def _short_of(rows: int) -> float:
    """Deviation of a sum of overlapping labels over what blocks find of it: Bartlett's weights, lag by lag."""
    block = min(BLOCK, rows // 8)
    whole = [1.0 - abs(k) / LABEL for k in range(1 - LABEL, LABEL)]
    found = [w * (1.0 - abs(k) / block) for k, w in zip(range(1 - LABEL, LABEL), whole, strict=True)]
    return math.sqrt(sum(whole) / sum(found))


def diagram(p: Array, y: npt.NDArray[np.int64], seed: int, draws: int) -> list[dict[str, float]]:
    """The bins of the reliability diagram with the bands of what was seen."""
    times, found = drawn(len(y), seed, draws), []
    for k, c in enumerate(CLASSES):
        seen, mean = calibration_curve(y == c, p[:, k], n_bins=10, strategy="uniform")
        place = np.asarray(pd.cut(p[:, k], np.linspace(0.0, 1.0, 11), right=False, labels=False))
        for observed, said, b in zip(seen, mean, np.unique(place), strict=True):
            with np.errstate(invalid="ignore"):
                share = (times @ ((place == b) & (y == c))) / (times @ (place == b))
            low, high = np.nanpercentile(share, [2.5, 97.5])
            found.append(
                {"label": c, "mean_p": said, "observed": observed, "n": int(np.sum(place == b)),
                 "observed_low": low, "observed_high": high}
            )  # fmt: skip
    return found


# ---- returns and the search ------------------------------------------------------------------------------------------


def return_figures(daily: pd.Series, seed: int) -> dict[str, float]:
    """Bands of the mean and of the annual Sharpe ratio by single days (a label is shorter than a day)."""
    values = daily.to_numpy()
    starts = np.random.default_rng(seed).integers(0, len(values), size=(1000, len(values)))
    samples = pd.DataFrame(values[starts].T)
    ratio = samples.mean() / samples.std() * math.sqrt(365)
    return {"daily_return": values.mean(), **_band("daily_return", samples.mean().to_numpy()),
            **_band("sharpe", ratio.to_numpy())}  # fmt: skip


def sharpe_chance(daily: pd.Series, benchmark: float) -> float:
    """Bailey & López de Prado 2012: the probability that the true daily Sharpe ratio is above ``benchmark``."""
    ratio = daily.mean() / daily.std()
    skew, kurtosis = stats.skew(daily), stats.kurtosis(daily, fisher=False)
    spread = math.sqrt(1.0 - skew * ratio + (kurtosis - 1.0) / 4.0 * ratio**2)
    return float(stats.norm.cdf((ratio - benchmark) * math.sqrt(len(daily) - 1) / spread))


def track_record(daily: pd.Series) -> float | None:
    """The same, equation 11: how many days a Sharpe ratio above zero needs at 95 %."""
    ratio = daily.mean() / daily.std()
    if ratio <= 0.0:
        return None
    spread = 1.0 - stats.skew(daily) * ratio + (stats.kurtosis(daily, fisher=False) - 1.0) / 4.0 * ratio**2
    return float(1.0 + spread * (stats.norm.ppf(0.95) / ratio) ** 2)


def best_of(trials: int, sharpes: list[float]) -> float:
    """Bailey & López de Prado 2014: what the best of ``trials`` worthless configurations shows."""
    first, second = stats.norm.ppf(1.0 - 1.0 / trials), stats.norm.ppf(1.0 - 1.0 / (trials * math.e))
    return float(np.std(sharpes, ddof=1) * ((1.0 - np.euler_gamma) * first + np.euler_gamma * second))


def overfitting(table: pd.DataFrame, blocks: int = 16) -> float:
    """Bailey et al. 2017, "The Probability of Backtest Overfitting", split by split."""
    size = len(table) // blocks
    parts = [table.iloc[size * b : size * (b + 1)].to_numpy() for b in range(blocks)]
    worse = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[b] for b in chosen])
        outside = np.concatenate([parts[b] for b in range(blocks) if b not in chosen])
        best = int(np.argmax(_ratios(inside)))
        rank = stats.rankdata(_ratios(outside))[best] / (table.shape[1] + 1)
        worse.append(math.log(rank / (1.0 - rank)) <= 0.0)
    return float(np.mean(worse))


def _ratios(returns: Array) -> Array:
    deviation = returns.std(axis=0)
    return np.where(deviation > 0.0, returns.mean(axis=0) / np.where(deviation > 0.0, deviation, 1.0), 0.0)


def better_than_nothing(table: Array, rows: npt.NDArray[np.int64], block: float) -> tuple[float, float]:
    """White's and Hansen's p-values from the resamples ``rows[draws, days]``."""
    days = len(table)
    mean = table.mean(axis=0)
    means = np.stack([table[r].mean(axis=0) for r in rows])
    white = (1 + np.sum((means - mean).max(axis=1) >= mean.max())) / (len(rows) + 1)
    error = np.sqrt([_long_run(column, block) / days for column in table.T])
    centre = np.where(mean < -error * math.sqrt(2.0 * math.log(math.log(days))), 0.0, mean)
    statistic = max(float((mean / error).max()), 0.0)
    largest = np.maximum(((means - centre) / error).max(axis=1), 0.0)
    return float(white), float((1 + np.sum(largest >= statistic)) / (len(rows) + 1))


def _long_run(returns: Array, block: float) -> float:
    """Hansen 2005, equation 6, lag by lag."""
    n, spread, stay = len(returns), returns - returns.mean(), 1.0 - 1.0 / block
    total = float(spread @ spread) / n
    for lag in range(1, n):
        weight = (1.0 - lag / n) * stay**lag + lag / n * stay ** (n - lag)
        total += 2.0 * weight * float(spread[lag:] @ spread[:-lag]) / n
    return total


# ---- trades ----------------------------------------------------------------------------------------------------------


def trading_figures(
    equity: pd.DataFrame, trades: pd.DataFrame, start: float, daily: pd.Series
) -> dict[str, float | None]:  # fmt: skip
    """What the stored equity (at each hour's close) and trades say; money in quote currency."""
    path = pd.concat([pd.Series([start]), equity["equity"]], ignore_index=True)
    fall = 1.0 - path / path.cummax()
    under = (path < path.cummax()).astype(int)
    longest = int(under.groupby((under == 0).cumsum()).sum().max())
    growth = (path.iloc[-1] / start) ** (365.0 / len(daily)) - 1.0
    losses = np.sqrt((np.minimum(daily, 0.0) ** 2).mean())
    won, lost = trades.pnl[trades.pnl > 0], trades.pnl[trades.pnl < 0]
    own_stop = (trades.entry_price - trades.stop).abs() / trades.entry_price
    held = (trades.exit_time - trades.entry_time).dt.total_seconds() / 3600
    found: dict[str, Any] = {
        "trades": len(trades), "net_return": path.iloc[-1] / start - 1.0, "annual_return": growth,
        "volatility": daily.std() * math.sqrt(365), "sharpe": daily.mean() / daily.std() * math.sqrt(365),
        "sortino": daily.mean() / losses * math.sqrt(365), "calmar": growth / fall.max(), "max_drawdown": fall.max(),
        "max_drawdown_days": longest / 24, "exposure": (equity["exposure"] > 0).mean(),
        "recovery_factor": (path.iloc[-1] / start - 1.0) / fall.max(), "win_rate": (trades.pnl > 0).mean(),
        "profit_factor": won.sum() / -lost.sum(), "expectancy": trades.pnl.mean(), "average_win": won.mean(),
        "average_loss": lost.mean(), "payoff_ratio": won.mean() / -lost.mean(),
        "false_signal_rate": ((trades.pnl < 0) & (trades.mfe < own_stop)).mean(), "time_in_trade": held.mean(),
        "fees": trades.fees.sum(), "funding": trades.funding.sum(), "slippage": trades.slippage.sum(),
        "equity_start": start, "equity_end": path.iloc[-1], "bars": len(equity),
    }  # fmt: skip
    return found
