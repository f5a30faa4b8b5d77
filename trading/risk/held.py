"""What is held is over a portfolio limit: it is reduced to the limit, reduce-only, worst contribution first."""

from __future__ import annotations

import math

from data.compiled import kernel, kernel_part
from data.market import Float64Array, Record
from trading.costs import price_of, quantity_of
from trading.records import ExitReason, Row
from trading.risk.limits import Gate
from trading.risk.portfolio import loss_to_stop, tail_risk
from trading.risk.tightening import limit_of

_VAR, _ES, _OPEN_RISK, _EXPOSURE = int(Gate.VAR), int(Gate.SHORTFALL), int(Gate.OPEN_RISK), int(Gate.EXPOSURE)
_WATCHED = (_EXPOSURE, _OPEN_RISK, _VAR, _ES)
_LIMIT = int(ExitReason.LIMIT)
_ROUNDING = 1e-9
DRIFT = 1.02  # growth of the gross exposure after which the limits are looked at again


@kernel
def _staying(p: Row) -> int:
    """Lots that no market exit is waiting for."""
    if p["side"] == 0 or (p["exit_at_open"] != 0 and p["exit_at_open"] != _LIMIT):
        return 0
    lots: int = p["lots"] - p["cut_lots"]
    return lots


@kernel
def _weigh(a: Row, p: Row, instrument: Row) -> None:
    p["weight"] = p["side"] * quantity_of(_staying(p), instrument) * price_of(p["mark"], instrument) / a["equity"]


@kernel
def _risk_of(a: Row, p: Row, instrument: Row, rules: Row) -> float:
    """Share of equity that the lots that stay may lose at their stop."""
    return loss_to_stop(p, instrument, rules) * _staying(p) / p["lots"] / a["equity"] if p["side"] != 0 else 0.0


@kernel
def _measure(a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, gate: int) -> float:
    """The value of a gate for the present weights."""
    if gate in (_VAR, _ES):
        at_risk, shortfall = tail_risk(a, positions, days, rules)
        return at_risk if gate == _VAR else shortfall
    total = 0.0
    for s in range(positions.shape[0]):
        p = positions[s]
        total += abs(p["weight"]) if gate == _EXPOSURE else _risk_of(a, p, instruments[s], rules)
    return total


@kernel
def _worst(a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, gate: int) -> int:
    """The position without which the value would be least; -1 where none can go."""
    worst, least = -1, math.inf
    for s in range(positions.shape[0]):
        p = positions[s]
        if p["weight"] == 0.0:
            continue
        weight, cut = p["weight"], p["cut_lots"]
        p["weight"], p["cut_lots"] = 0.0, p["lots"]
        left = _measure(a, positions, instruments, days, rules, gate)
        p["weight"], p["cut_lots"] = weight, cut
        if left < least:
            worst, least = s, left
    return worst


@kernel
def _cut(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, gate: int, s: int, limit: float
) -> None:
    """The fewest lots of symbol ``s`` that have to go; all of them where that is not enough, or too little stays."""
    p, instrument = positions[s], instruments[s]
    before, lots = p["cut_lots"], p["lots"]
    low, high = before, lots
    while high - low > 1:
        p["cut_lots"] = (low + high) // 2
        _weigh(a, p, instrument)
        if _measure(a, positions, instruments, days, rules, gate) <= limit * (1.0 + _ROUNDING):
            high = p["cut_lots"]
        else:
            low = p["cut_lots"]
    high = max(high, instrument["min_lots"])
    left = quantity_of(lots - high, instrument) * price_of(p["last"], instrument)
    whole = left < instrument["min_notional"] or lots - high < instrument["min_lots"]
    p["cut_lots"] = lots if whole else high
    _weigh(a, p, instrument)


@kernel
def _cut_all(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, limits: Float64Array
) -> int:
    """Reduce until every limit that is passed is kept; which were, as a mask."""
    asked = 0
    for gate in _WATCHED:
        limit = limit_of(a, limits, 0, gate)
        value = _measure(a, positions, instruments, days, rules, gate)
        if not value > limit * (1.0 + rules["held_room"]):
            continue
        asked |= 1 << gate
        while value > limit * (1.0 + _ROUNDING):
            s = _worst(a, positions, instruments, days, rules, gate)
            if s < 0:
                break
            _cut(a, positions, instruments, days, rules, gate, s, limit)
            value = _measure(a, positions, instruments, days, rules, gate)
    return asked


@kernel_part
def look_due(a: Row) -> bool:
    """Whether what is held is to be held against the limits at this close.

    After a fill, a day's end and a tightening, and where the gross exposure has grown by 2 % of itself against equity.
    """
    if a["exposure"] == 0.0:
        return False
    return bool(
        a["exposure"] > a["equity"] * a["looked_gross"]
        or a["fills"] != a["looked_fills"]
        or a["risk_days"] != a["looked_day"]
        or a["tightness"] != a["looked_tightness"]
    )


@kernel
def cut_held(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, limits: Float64Array
) -> int:
    """Write ``cut_lots`` of the positions that have to be reduced; which gates asked for it, as a mask.

    A limit is held to only when it is passed by more than ``held_room``: prices move after a fill. A reduction that
    waits already, for a bar or for volume, may grow.
    """
    a["looked_fills"], a["looked_day"], a["looked_tightness"] = a["fills"], a["risk_days"], a["tightness"]
    if not a["equity"] > 0.0:
        return 0
    gross = 0.0
    for s in range(positions.shape[0]):
        _weigh(a, positions[s], instruments[s])
        gross += abs(positions[s]["weight"])
    a["looked_gross"] = DRIFT * a["exposure"] / a["equity"]
    risk = 0.0
    for s in range(positions.shape[0]):
        risk += _risk_of(a, positions[s], instruments[s], rules)
    at_risk, shortfall = tail_risk(a, positions, days, rules)
    most = a["tightness"] * (1.0 + rules["held_room"])
    if not (
        gross > limits[0, _EXPOSURE] * most
        or risk > limits[0, _OPEN_RISK] * most
        or at_risk > limits[0, _VAR] * most
        or shortfall > limits[0, _ES] * most
    ):
        return 0
    return _cut_all(a, positions, instruments, days, rules, limits)
