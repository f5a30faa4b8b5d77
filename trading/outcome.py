"""What a session answers: what one bar led to, and why an account is halted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ai.forecast import WIDTH, Abstain, Col
from data.market import Float64Array, Record
from trading.risk.limits import GATES
from trading.state import MANUAL_HALT


@dataclass(frozen=True, slots=True, eq=False)
class BarOutcome:
    """What one bar led to: views of the batch's rows."""

    open_time: int
    decisions: Record  # DECISION[S]
    fills: Record  # FILL[n]
    trades: Record  # TRADE[m]
    equity: Record  # EQUITY[1]
    funding_paid: int  # settlements that touched a position
    halted: bool  # the account halted on this bar
    tightened: bool = False  # limits tightened by themselves


def no_forecasts(symbols: int) -> Float64Array:
    """``[S, WIDTH]`` rows that abstain because there is no model."""
    rows = np.full((symbols, WIDTH), np.nan)
    rows[:, Col.ABSTAIN] = Abstain.NO_MODEL
    rows[:, Col.MODEL] = -1
    rows[:, Col.MEMBERS] = 0
    return rows


def halt_words(reason: int) -> str:
    """Why an account is halted, for people."""
    if reason == 0:
        return ""
    if reason == MANUAL_HALT:
        return "halted by the operator"
    return GATES[reason - 1].words
