"""Portfolio tier: everything that is held, works to be held or is planned, together.

Weights are signed shares of equity at the last mark price: +0.4 = long with a notional of 40 % of equity. Entries that
wait for their fill count as held.
"""

from __future__ import annotations

import math

import numpy as np

from data.compiled import kernel, kernel_allocating
from data.market import Float64Array, Record
from trading.costs import price_of, quantity_of
from trading.positions import loss_at_stop
from trading.records import Row
from trading.risk.history import RING, correlation, own_returns, portfolio_returns
from trading.risk.limits import Gate
from trading.risk.tail import tail

_VAR, _ES, _OPEN_RISK = int(Gate.VAR), int(Gate.SHORTFALL), int(Gate.OPEN_RISK)
_EXPOSURE, _CONCENTRATION, _CORRELATED = int(Gate.EXPOSURE), int(Gate.CONCENTRATION), int(Gate.CORRELATION)


@kernel
def loss_to_stop(p: Row, instrument: Row, rules: Row) -> float:
    """What a held position may lose at its stop against its entry, costs included; 0 for a sure profit."""
    return max(0.0, loss_at_stop(p, instrument, rules, p["stop"], 0, 0))


@kernel
def weigh(a: Row, positions: Record, instruments: Record) -> float:
    """Write every symbol's ``weight``; the gross exposure as a share of equity."""
    gross = 0.0
    for s in range(positions.shape[0]):
        p = positions[s]
        weight = 0.0
        if p["side"] != 0 or p["work_side"] != 0:
            lots = p["side"] * p["lots"]
            if p["work_side"] != 0:
                lots += p["work_side"] * p["work_lots"]
            weight = quantity_of(lots, instruments[s]) * price_of(p["mark"], instruments[s]) / a["equity"]
        p["weight"] = weight
        gross += abs(weight)
    return gross


@kernel
def open_risk(positions: Record, instruments: Record, rules: Row, without: int) -> float:
    """Quote units that would be lost if every stop was hit; entries that wait count with all that they may lose.

    Symbol ``without`` is left out: its plan says what it may lose with all that it holds.
    """
    total = 0.0
    for s in range(positions.shape[0]):
        if s == without:
            continue
        p = positions[s]
        if p["work_side"] != 0:
            total += p["work_risk"]
        elif p["side"] != 0:
            total += loss_to_stop(p, instruments[s], rules)
    return total


@kernel_allocating
def _learn(a: Row, p: Row, days: Float64Array, rules: Row, s: int) -> None:
    """VaR and ES of a whole unit of a symbol, long and short: anew on each day that a return came in."""
    if p["unit_day"] == a["risk_days"]:
        return
    p["unit_day"] = a["risk_days"]
    x = np.empty(RING)
    n = own_returns(days, a["risk_days"], rules["var_days"], s, 1.0, x)
    p["var_long"] = p["es_long"] = p["var_short"] = p["es_short"] = math.nan
    if n >= rules["var_least"]:
        p["var_long"], p["es_long"] = tail(x, n, rules["var_method"])
        for k in range(n):
            x[k] = -x[k]
        p["var_short"], p["es_short"] = tail(x, n, rules["var_method"])


@kernel_allocating
def tail_risk(a: Row, positions: Record, days: Float64Array, rules: Row) -> tuple[float, float]:
    """(VaR, ES) of the portfolio of the present weights, as shares of equity; NaN while too few days are known."""
    only = -1
    for s in range(positions.shape[0]):
        if positions[s]["weight"] != 0.0:
            if only >= 0:
                x = np.empty(RING)
                n = portfolio_returns(days, a["risk_days"], rules["var_days"], positions, x)
                return tail(x, n, rules["var_method"]) if n >= rules["var_least"] else (math.nan, math.nan)
            only = s
    if only < 0:
        return 0.0, 0.0
    p = positions[only]
    _learn(a, p, days, rules, only)
    weight = p["weight"]
    if weight > 0.0:
        return weight * p["var_long"], weight * p["es_long"]
    return -weight * p["var_short"], -weight * p["es_short"]


@kernel
def correlated_margin(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, s: int, side: int
) -> float:
    """Margin of other symbols' positions of this side that move with symbol ``s``; NaN where that is not known."""
    total = 0.0
    for k in range(positions.shape[0]):
        p = positions[k]
        held = p["side"] if p["side"] != 0 else p["work_side"]
        if k == s or held != side:
            continue
        rho = correlation(days, a["risk_days"], s, k)
        if math.isnan(rho):
            return math.nan
        if abs(rho) > rules["correlation"]:
            total += margin_of(p, instruments[k])
    return total


@kernel
def margin_of(p: Row, instrument: Row) -> float:
    """Margin of a position and of the entry that waits, in quote units."""
    total: float = p["margin"]
    if p["work_side"] != 0:
        total += quantity_of(p["work_lots"], instrument) * price_of(p["last"], instrument) / p["work_leverage"]
    return total


@kernel
def portfolio_values(
    values: Float64Array, a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, s: int,
    side: int, notional: float, leverage: float, risk: float,
) -> None:  # fmt: skip
    """Write the tier's values with a plan of symbol ``s`` (quote units) added to what there is."""
    equity = a["equity"]
    weigh(a, positions, instruments)
    positions[s]["weight"] += side * notional / equity
    gross = 0.0
    largest = 0.0
    for k in range(positions.shape[0]):
        size = abs(positions[k]["weight"])
        gross += size
        largest = max(largest, size)
    values[_VAR], values[_ES] = tail_risk(a, positions, days, rules)
    values[_OPEN_RISK] = (open_risk(positions, instruments, rules, s) + risk) / equity
    values[_EXPOSURE] = gross
    values[_CONCENTRATION] = largest
    others = correlated_margin(a, positions, instruments, days, rules, s, side)
    own = 0.0 if others == 0.0 else margin_of(positions[s], instruments[s]) + notional / leverage
    values[_CORRELATED] = (own + others) / equity
