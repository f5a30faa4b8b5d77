"""All gates of a plan: values against limits, as masks for kernels and as verdicts for people. There is no bypass."""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.compiled import kernel
from data.market import Float64Array, Record
from trading.records import GATE_SLOTS, Row
from trading.risk.limits import GATES, MAY_BE_UNMEASURED, SYSTEM_GATES, Gate, GateSpec
from trading.risk.passing import passes
from trading.risk.tightening import limit_of

__all__ = ["GATES", "SYSTEM_GATES", "Gate", "GateSpec", "Verdict", "gates", "verdicts"]

_AT_LEAST = tuple(spec.at_least for spec in GATES)
_COUNT = len(GATES)
_SLOTS = GATE_SLOTS
_MAY_BE_UNMEASURED = MAY_BE_UNMEASURED


@kernel
def gates(
    values: Float64Array, a: Row, rules: Row, limits: Float64Array, s: int, out_limits: Float64Array
) -> tuple[int, int]:
    """Hold every value against its limit: (mask of gates that block, mask of gates that could not be measured).

    ``values`` and ``out_limits`` are the slots of a DECISION row, ``limits`` is ``[S, GATE_SLOTS]``. All are evaluated.
    Where the rules are ``strict`` (live) what cannot be measured blocks, a Sharpe ratio of too short a history apart.
    """
    failed = 0
    unmeasured = 0
    for g in range(_COUNT):
        out_limits[g] = limit_of(a, limits, s, g)
        if math.isnan(values[g]):
            unmeasured |= 1 << g
        elif not passes(values[g], out_limits[g], _AT_LEAST[g]):
            failed |= 1 << g
    for g in range(_COUNT, _SLOTS):
        values[g] = math.nan
        out_limits[g] = math.nan
    if rules["strict"] == 1:
        failed |= unmeasured & ~_MAY_BE_UNMEASURED
    return failed, unmeasured


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate's judgement of one plan."""

    gate: str
    tier: str
    value: float  # NaN when it could not be measured
    limit: float
    unit: str
    passed: bool
    measured: bool
    words: str


def verdicts(decision_row: Record) -> list[Verdict]:
    """Every gate's verdict on the plan of a DECISION row, in order; none where no plan was made."""
    if int(decision_row["plan_id"]) == 0:
        return []
    failed, unmeasured = int(decision_row["failed"]), int(decision_row["unmeasured"])
    rows = []
    for g, spec in enumerate(GATES):
        value, limit = float(decision_row["gate_values"][g]), float(decision_row["gate_limits"][g])
        measured = not unmeasured >> g & 1
        passed = not failed >> g & 1
        rows.append(
            Verdict(
                spec.name, spec.tier, value, limit, spec.unit, passed, measured, _words(spec, value, limit, measured)
            )
        )
    return rows


def _words(spec: GateSpec, value: float, limit: float, measured: bool) -> str:
    if not measured:
        return f"{spec.words}: not measured yet"
    bound = "at least" if spec.at_least else "at most"
    return f"{spec.words}: {value:.6g}, {bound} {limit:.6g}"
