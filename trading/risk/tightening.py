"""Limits that tighten by themselves and that only a person loosens (invariant I9).

``tightness`` of the account is what is left of the limits on money at risk: 1 as set, 0.5 half of them. It is part of
the account's state, so a restart loosens nothing.
"""

from __future__ import annotations

from data.compiled import kernel, kernel_part
from data.market import Float64Array
from trading.records import Row
from trading.risk.limits import TIGHTENS


@kernel
def limit_of(a: Row, limits: Float64Array, s: int, g: int) -> float:
    """The limit of gate ``g`` in force for symbol ``s`` of the table ``[S, GATE_SLOTS]``."""
    return float(limits[s, g] * a["tightness"] if TIGHTENS[g] else limits[s, g])


@kernel_part
def may_tighten(a: Row, rules: Row, drawdown: float) -> bool:
    """Whether a drawdown is past its mark, and there is something left to tighten."""
    return bool(drawdown > rules["tighten_drawdown"] and a["tightness"] > rules["tighten_factor"])


@kernel
def tighten_by_drawdown(a: Row, rules: Row) -> None:
    """A drawdown past its mark takes the limits down once; after a person loosened them, a deeper one or a new one."""
    if not may_tighten(a, rules, a["drawdown"]):
        return
    if a["high_water"] > a["loosened_high"] or a["drawdown"] > a["loosened_drawdown"]:
        a["tightness"] = rules["tighten_factor"]


@kernel
def tighten_by_day(a: Row, rules: Row) -> None:
    """A UTC day ends; each one that lost too much takes the limits down a step. Called before the day is rolled."""
    if a["equity"] / a["day_start"] - 1.0 <= -rules["tighten_day"]:
        lower = max(rules["tighten_floor"], a["tightness"] * rules["tighten_factor"])
        a["tightness"] = min(a["tightness"], lower)


@kernel
def loosen(a: Row) -> None:
    """The limits are as set again: by a person, or by the rule that stands in for one in a back-test."""
    a["tightness"] = 1.0
    a["loosened_high"] = a["high_water"]
    a["loosened_drawdown"] = a["drawdown"]
