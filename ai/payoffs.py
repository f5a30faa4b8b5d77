"""What a class of the forecast means in money for each side: from the training rows, and per forecast bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ai.labels import Labels, Outcome
from data.market import Float64Array, Int64Array


@dataclass(frozen=True, slots=True)
class Payoffs:
    """What a class means for each side, from the training rows: shares and gross returns (fractions)."""

    long_stop_if_neutral: float
    short_stop_if_neutral: float
    long_time_return: float
    short_time_return: float
    effective: float  # effective labels in the calibration slice: how sure a probability is


def payoffs_of(labels: Labels, rows: Int64Array, effective: float) -> Payoffs:
    """How the neutral labels of ``rows`` ended for each side, and what the time exits brought."""
    neutral = labels.label[rows] == 0
    stops, returns = [], []
    for outcome, gross in ((labels.long_outcome, labels.long_return), (labels.short_outcome, labels.short_return)):
        ended = outcome[rows]
        stops.append(_mean((ended == Outcome.STOP)[neutral].astype(np.float64), 0.5))
        returns.append(_mean(gross[rows][ended == Outcome.TIME], 0.0))
    return Payoffs(stops[0], stops[1], returns[0], returns[1], effective)


def _mean(values: Float64Array, default: float) -> float:
    return float(values.mean()) if len(values) else default


def side_values(
    p: Float64Array, payoffs: Payoffs, stop_share: Float64Array, ratio: float
) -> tuple[Float64Array, Float64Array]:
    """Expected gross return of the long and of the short side, ``[n]`` each, fractions of the entry price.

    Args:
        p: ``[n, 3]``, probabilities of short, neutral and long.
        payoffs: what neutral means.
        stop_share: ``[n]``, stop distance as a fraction of the close.
        ratio: target distance as a multiple of the stop distance.
    """
    short, neutral, long = p.T
    stops = (payoffs.long_stop_if_neutral, payoffs.short_stop_if_neutral)
    returns = (payoffs.long_time_return, payoffs.short_time_return)
    values = [
        target * ratio * stop_share - (against + neutral * stop) * stop_share + neutral * (1.0 - stop) * at_time
        for target, against, stop, at_time in zip((long, short), (short, long), stops, returns, strict=True)
    ]
    return values[0], values[1]
