"""What every model has to beat, over the same test rows: the base rate and a plain logistic regression, no trade and
buy and hold.

The base rate is the only forecast here without skill by definition. The logistic one reads a handful of features that
are declared below and never chosen by results: what it ranks, a larger model must rank better to be worth its size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ai.labels import Labels
from ai.models.base import CLASSES, Int8Array
from ai.models.linear import LogisticModel
from ai.sampling import average_uniqueness
from ai.training import TrainingData
from ai.validation.bands import Scored
from ai.validation.folds import BASE_RATE, CLASS_COLUMNS, LOGISTIC, scored_rows
from ai.validation.splits import Window, training_rows
from data.errors import UserError
from data.market import Float64Array, Frame, FundingFrame, Int64Array

HANDFUL = (  # one of momentum, of trend, of stretch, two of volatility, one of volume
    "log_return_24", "trend_t_96", "rsi_14", "atr_pct_14", "volatility_ratio", "relative_volume_20",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """One forecaster on the rows that all of them are scored on."""

    name: str
    scored: Scored


def base_rate(y: Int8Array) -> Float64Array:
    """Share of short, neutral and long among the training labels ``y[n]``, ``[3]``.

    Raises:
        UserError: there are none.
    """
    if not len(y):
        raise UserError("A base rate needs at least one training row with a label.")
    return np.array([np.mean(y == c) for c in CLASSES])


def logistic_forecast(
    data: TrainingData, train: Int64Array, test: Int64Array, features: Sequence[str] = HANDFUL
) -> Float64Array:
    """Probabilities ``[len(test), 3]`` of a logistic regression on ``features``, weighted by the labels' uniqueness.

    Args:
        data: features and labels of the whole frame.
        train: rows with complete labels that end before the test begins.
        test: rows to forecast.
        features: names in the schema of ``data``.

    Raises:
        UserError: a feature is not in the data, or there is no row to train on.
    """
    missing = [name for name in features if name not in data.schema.names]
    if missing:
        raise UserError(f"The logistic baseline reads {', '.join(missing)}: compute them with the other features.")
    x = data.x[[data.schema.index(name) for name in features]]
    return fit_logistic(x, data.labels, train).predict(x[:, test].T)


def fit_logistic(x: Float64Array, labels: Labels, train: Int64Array) -> LogisticModel:
    """The logistic baseline of the rows ``train`` of its features ``x[F, T]``.

    Raises:
        UserError: there is no row to train on.
    """
    if not len(train):
        raise UserError("The logistic baseline needs at least one training row with a label.")
    model = LogisticModel()
    model.fit(x[:, train].T, labels.label[train], average_uniqueness(train + 1, labels.end[train]))
    return model


def baseline_forecasts(
    data: TrainingData, windows: Sequence[Window], embargo: int = 0, features: Sequence[str] = HANDFUL
) -> dict[str, Float64Array]:
    """The base rate's and the logistic's probabilities ``[T, 3]``, made fold by fold; NaN outside the test windows.

    Only labels that are known ``embargo`` bars before a test window train for it.

    Raises:
        UserError: a fold without a training label, or a feature that is not in the data.
    """
    shares = np.full((len(data.labels), len(CLASSES)), np.nan)
    for window in windows:
        shares[slice(*window.test_rows)] = base_rate(data.labels.label[_training(data, window, embargo)])
    plain = np.full((len(data.labels), len(CLASSES)), np.nan)
    for window in windows:
        test = np.arange(*window.test_rows)
        plain[test] = logistic_forecast(data, _training(data, window, embargo), test, features)
    return {BASE_RATE: shares, LOGISTIC: plain}


def _training(data: TrainingData, window: Window, embargo: int) -> Int64Array:
    rows = training_rows(window, data.labels.end, embargo)
    return rows[data.labels.complete[rows]]


def compare(
    data: TrainingData, windows: Sequence[Window], rows: Float64Array, forecasts: Mapping[str, Float64Array],
    label: int, seed: int, draws: int = 1000,
) -> tuple[Compared, ...]:  # fmt: skip
    """The model of the forecast rows ``[T, WIDTH]`` (named ``model``) and other forecasts ``[T, 3]``, on its rows.

    All are scored where the model forecast and the label, of up to ``label`` bars, is complete; skills are against
    the base rate.

    Raises:
        UserError: ``forecasts`` have no base rate.
    """
    if BASE_RATE not in forecasts:
        raise UserError("A comparison needs the base rate among its forecasts.")
    tested = [scored_rows(rows, data.labels, *w.test_rows) for w in windows]
    used, part = np.concatenate(tested), np.repeat(np.arange(len(tested)), [len(each) for each in tested])
    y, base = data.labels.label[used], forecasts[BASE_RATE][used]
    every = {"model": rows[:, CLASS_COLUMNS], **forecasts}
    return tuple(Compared(name, Scored.of(p[used], y, base, label, seed, draws, part)) for name, p in every.items())


def no_trade(bars: int, start_equity: float) -> Float64Array:
    """Equity at each close of an account that does nothing, ``[bars]``."""
    return np.full(bars, start_equity)


def buy_and_hold(
    frame: Frame, first: int, last: int, start_equity: float, cost: float, funding: FundingFrame | None = None
) -> Float64Array:
    """Equity at each close of bars ``first:last``, long for the whole equity from the first open to the last close.

    Args:
        frame: bars.
        first, last: half-open range of bars.
        start_equity: quote currency; bought without leverage.
        cost: fraction of the notional that each of the two fills costs (fee, half the spread).
        funding: settlements paid while held, entry < T ≤ exit; without a stored mark price on the last price at T.

    Raises:
        UserError: no bars, or a first open that is not positive.
    """
    if not 0 <= first < last <= len(frame):
        raise UserError(f"Bars {first} to {last} of {len(frame)} are nothing to hold.")
    entry = float(frame.open[first])
    if not entry > 0.0:
        raise UserError(f"The open of bar {first} is {entry}: nothing can be bought there.")
    quantity = start_equity / entry
    close = frame.close[first:last]
    equity = start_equity * (1.0 - cost) + quantity * (close - entry)
    if funding is not None and len(funding):
        equity -= quantity * _funding_paid(frame, first, last, funding)
    equity[-1] -= cost * quantity * close[-1]
    return np.asarray(equity, dtype=np.float64)


def _funding_paid(frame: Frame, first: int, last: int, funding: FundingFrame) -> Float64Array:
    """Quote per unit held that was paid up to each close, ``[last - first]``."""
    opens = frame.open_time[first:last]
    closes = opens + frame.key.step_ms
    due = (funding.time > opens[0]) & (funding.time <= closes[-1])
    time = funding.time[due]
    bar = np.searchsorted(closes, time, side="left")  # the first bar whose close is not before the settlement
    at_close = time == closes[bar]
    last_price = np.where(at_close, frame.close[first:last][bar], frame.open[first:last][bar])
    mark = funding.mark_price[due]
    price = np.where(np.isnan(mark), last_price, mark)
    paid = np.bincount(bar, price * funding.rate[due], last - first)
    return np.asarray(np.cumsum(paid), dtype=np.float64)
