"""A forecast: what the models say about one bar, as a row of numbers that kernels read and as a value people read.

The row (``float64[WIDTH]``) is the stored and travelling form; both engines read the same rows.
LONG = the long side's target is touched before its stop; SHORT mirrored; NEUTRAL = neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from data.market import Float64Array

MAX_MEMBERS = 8


class Col(IntEnum):
    """Columns of a forecast row."""

    P_LONG = 0
    P_SHORT = 1
    P_NEUTRAL = 2
    L_TARGET = 3  # long side: probabilities of target, stop, time and E[return | time] (fraction)
    L_STOP = 4
    L_TIME = 5
    L_TIME_RETURN = 6
    S_TARGET = 7  # short side
    S_STOP = 8
    S_TIME = 9
    S_TIME_RETURN = 10
    ABSTAIN = 11  # Abstain code
    MODEL = 12  # index into the model schedule's ids, -1 = none
    LOWER_LONG = 13  # lower 10 % bound of P(target), long and short: Kelly reads it
    LOWER_SHORT = 14
    MEMBERS = 15  # how many members follow
    FIRST_MEMBER = 16  # then per member: p_long, p_short, p_neutral, weight


MEMBER_COLS = 4
_JUDGEMENT = int(Col.FIRST_MEMBER) + MEMBER_COLS * MAX_MEMBERS
REGIMES = 7


class Extra(IntEnum):
    """Columns behind the members: what else the models say about the bar, NaN where they say nothing."""

    THRESHOLD = _JUDGEMENT  # probability that a side must reach here, if the strategy asks for less; NaN: nothing
    SIZE = _JUDGEMENT + 1  # factor of the position's size in [0, 1]; NaN: 1
    SET = _JUDGEMENT + 2  # conformal set: bit 1 short, 2 neutral, 4 long
    SPREAD = _JUDGEMENT + 3  # weighted standard deviation of the members' P(long) and P(short), the larger one
    OUTSIDE = _JUDGEMENT + 4  # share of the features that lie outside their range in training
    TAKE = _JUDGEMENT + 5  # meta-model: probability that the better side brings more than it costs
    REGIME = _JUDGEMENT + 6  # smoothed state, ai.regime.Regime; -1 unknown
    FIRST_REGIME = _JUDGEMENT + 7  # seven probabilities of the state four bars later


WIDTH = int(Extra.FIRST_REGIME) + REGIMES


class Abstain(IntEnum):
    """Why there is no forecast."""

    NO = 0
    WARMING_UP = 1  # features are not complete yet
    NO_MODEL = 2  # nothing is trained or promoted for this bar
    INVALID = 3  # a member said NaN, or probabilities that do not sum to one
    IN_SAMPLE = 4  # the bar was seen in training
    MISSING = 5  # stored forecasts do not cover the bar
    # From here on there is a forecast, which is scored; the models only advise against acting on it.
    DISAGREEMENT = 6  # members are too far apart
    OUT_OF_RANGE = 7  # the input lies outside what training saw
    UNDECIDED = 8  # the conformal set holds both sides
    REGIME = 9  # the strategy has not earned in this regime, out of sample
    SKIPPED = 10  # the meta-model says that the trade is not worth its costs


FIRST_ADVICE = Abstain.DISAGREEMENT
"""Abstain codes from this one on stand beside a whole forecast."""


ABSTAIN_WORDS: dict[Abstain, str] = {
    Abstain.NO: "",
    Abstain.WARMING_UP: "features are still warming up",
    Abstain.NO_MODEL: "no trained model covers this bar",
    Abstain.INVALID: "a model gave no valid probabilities",
    Abstain.IN_SAMPLE: "the model was trained on this bar",
    Abstain.MISSING: "the stored forecasts do not cover this bar",
    Abstain.DISAGREEMENT: "the models disagree too much",
    Abstain.OUT_OF_RANGE: "the market is outside what the models were trained on",
    Abstain.UNDECIDED: "up and down are both still possible at the chosen coverage",
    Abstain.REGIME: "the strategy has not earned in this regime out of sample",
    Abstain.SKIPPED: "the meta-model expects less than the costs",
}


def abstaining_row(why: Abstain) -> Float64Array:
    """A row that says why there is no forecast; every probability is NaN."""
    row = np.full(WIDTH, np.nan)
    row[Col.ABSTAIN] = why
    row[Col.MODEL] = -1
    row[Col.MEMBERS] = 0
    return row


def has_forecast(rows: Float64Array) -> npt.NDArray[np.bool_]:
    """Rows ``[T, WIDTH]`` with probabilities, acted on or not, ``[T]``."""
    code = rows[:, Col.ABSTAIN]
    return np.asarray((code == Abstain.NO) | (code >= FIRST_ADVICE), dtype=np.bool_)


def widened(rows: Float64Array) -> Float64Array:
    """Rows of an earlier version with the columns that came later as NaN, ``[T, WIDTH]``."""
    out: Float64Array = np.full((len(rows), WIDTH), np.nan)
    out[:, : rows.shape[1]] = rows
    return out


@dataclass(frozen=True, slots=True)
class MemberForecast:
    """One member's calibrated probabilities and its weight in the ensemble."""

    name: str
    p_long: float
    p_short: float
    p_neutral: float
    weight: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """A forecast row made readable."""

    p_long: float
    p_short: float
    p_neutral: float
    abstain: Abstain
    model_id: str | None
    members: tuple[MemberForecast, ...]

    @classmethod
    def of(cls, row: Float64Array, model_ids: tuple[str, ...], member_names: tuple[str, ...]) -> Self:
        """Read a row; ``model_ids`` and ``member_names`` are those of the run's schedule."""
        members = []
        for k in range(int(row[Col.MEMBERS])):
            at = Col.FIRST_MEMBER + MEMBER_COLS * k
            name = member_names[k] if k < len(member_names) else f"member {k + 1}"
            members.append(MemberForecast(name, *(float(v) for v in row[at : at + MEMBER_COLS])))
        model = int(row[Col.MODEL])
        return cls(
            float(row[Col.P_LONG]), float(row[Col.P_SHORT]), float(row[Col.P_NEUTRAL]),
            Abstain(int(row[Col.ABSTAIN])), model_ids[model] if 0 <= model < len(model_ids) else None, tuple(members),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelSwitch:
    """From this bar's open time on, this model makes the forecasts."""

    from_ms: int
    model_id: str


ModelSchedule = tuple[ModelSwitch, ...]
