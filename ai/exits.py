"""Exit profiles: where a position's stop, target and time limit stand. One for labels, Monte-Carlo, plan and gate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from data.errors import UserError
from data.timeframes import HOUR_MS, timeframe_ms


class DistanceUnit(IntEnum):
    """What the stop distance is a multiple of."""

    PERCENT = 0  # of the entry price
    ATR = 1  # ATR(14, Wilder) of the plan timeframe: feature ``atr_14``, in price
    VOLATILITY = 2  # entry price × standard deviation of 96 log returns: feature ``volatility_96``, a fraction


@dataclass(frozen=True, slots=True)
class ExitProfile:
    """Stop distance = ``stop`` × unit; target distance = ``target_ratio`` × stop distance; exit after ``limit_bars``.

    ``max_stop`` and ``min_target`` are what the position gate asks, as fractions of the entry price
    (``min_target``: as a multiple of the stop distance when ``target_in_stops``).
    """

    name: str
    unit: DistanceUnit
    stop: float
    target_ratio: float
    limit_bars: int
    max_stop: float
    min_target: float
    target_in_stops: bool

    @property
    def feature(self) -> str | None:
        """The feature that the distance is a multiple of (``None`` for percent)."""
        return {DistanceUnit.PERCENT: None, DistanceUnit.ATR: "atr_14", DistanceUnit.VOLATILITY: "volatility_96"}[
            self.unit
        ]


PROFILE_NAMES = ("scalp", "swing", "even")


def exit_profile(name: str, timeframe: str) -> ExitProfile:
    """The named profile on a timeframe.

    Raises:
        UserError: no such profile.
    """
    if name == "scalp":
        bars = max(1, HOUR_MS // timeframe_ms(timeframe))
        return ExitProfile("scalp", DistanceUnit.PERCENT, 0.005, 3.0, bars, 0.005, 0.015, False)
    if name == "swing":
        return ExitProfile("swing", DistanceUnit.ATR, 1.5, 2.5, 24, 0.06, 2.5, True)
    if name == "even":
        return ExitProfile("even", DistanceUnit.VOLATILITY, 2.0, 1.0, 4, 1.0, 1.0, True)
    raise UserError(f"Unknown exit profile '{name}': use one of {', '.join(PROFILE_NAMES)}.")


def default_profile(timeframe: str) -> str:
    """``scalp`` up to 5m, ``swing`` from 15m on."""
    return "scalp" if timeframe in ("1m", "5m") else "swing"
