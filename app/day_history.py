"""Daily closes before a run's first bar: what portfolio risk is measured on until the run has days of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.market import BarMark, Float64Array, Frame, SeriesKey
from data.timeframes import DAY_MS
from trading.config import TradingConfig
from trading.risk.history import CORRELATION_DAYS

if TYPE_CHECKING:
    from data.store import CandleStore


def days_wanted(config: TradingConfig) -> int:
    """Closes that the longest look-back needs."""
    return max(config.settings.limits.var_days, CORRELATION_DAYS) + 1


def closes_of(frames: Sequence[Frame], first_ms: int, days: int) -> Float64Array:
    """``[S, days]`` last closes of the UTC days before that of ``first_ms``, NaN where a symbol has no sound bar."""
    end = first_ms // DAY_MS
    closes: Float64Array = np.full((len(frames), days), np.nan)
    for row, frame in zip(closes, frames, strict=True):
        day = frame.open_time // DAY_MS - (end - days)
        here = np.flatnonzero((day >= 0) & (day < days) & (frame.mark != BarMark.SUSPECT))
        row[day[here]] = frame.close[here]  # in order of time: a day's last bar stands
    return closes


def day_closes(store: CandleStore, keys: Sequence[SeriesKey], first_ms: int, config: TradingConfig) -> Float64Array:
    """The same of stored series."""
    days = days_wanted(config)
    end = first_ms // DAY_MS * DAY_MS
    return closes_of([store.read(key, end - days * DAY_MS, end) for key in keys], first_ms, days)
