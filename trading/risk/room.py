"""How large a plan may be within the gates, before it is made: the limits in force, read from the other end."""

from __future__ import annotations

import numpy as np

from data.compiled import kernel, kernel_allocating
from data.market import Float64Array, Record
from trading.records import Row
from trading.risk.history import RING, returns_beside
from trading.risk.limits import Gate
from trading.risk.portfolio import correlated_margin, margin_of, open_risk, tail_risk, weigh
from trading.risk.tail import tail
from trading.risk.tightening import limit_of

_MARGIN, _LOSS = int(Gate.MARGIN), int(Gate.LOSS_AT_STOP)
_VAR, _ES, _OPEN_RISK = int(Gate.VAR), int(Gate.SHORTFALL), int(Gate.OPEN_RISK)
_EXPOSURE, _CONCENTRATION, _CORRELATED = int(Gate.EXPOSURE), int(Gate.CONCENTRATION), int(Gate.CORRELATION)
_HALVINGS = 21  # of the span in which the largest size within VaR and ES is looked for


@kernel
def own_room(a: Row, p: Row, instrument: Row, limits: Float64Array, s: int, loss: float, leverage: float) -> float:
    """Notional that the position tier leaves: margin of the symbol, and loss at the stop (a share of notional)."""
    equity = a["equity"]
    margin = limit_of(a, limits, s, _MARGIN) * equity - margin_of(p, instrument)
    return float(max(0.0, min(margin * leverage, limit_of(a, limits, s, _LOSS) * equity / loss)))


@kernel_allocating
def _tail_room(
    a: Row, positions: Record, days: Float64Array, rules: Row, limits: Float64Array, s: int, side: int, share: float,
    alone: bool,
) -> float:  # fmt: skip
    """Most of ``share`` (of equity) that keeps VaR and ES of everything together within their limits; ``alone``: there
    is nothing else."""
    p = positions[s]
    var, es = limit_of(a, limits, s, _VAR), limit_of(a, limits, s, _ES)
    if alone:
        p["weight"] = side * share
        at_risk, shortfall = tail_risk(a, positions, days, rules)
        p["weight"] = 0.0
        return float(share * min(var / at_risk if at_risk > var else 1.0, es / shortfall if shortfall > es else 1.0))
    x, others, unit = np.empty(RING), np.empty(RING), np.empty(RING)
    n = returns_beside(days, a["risk_days"], rules["var_days"], positions, s, others, unit)
    if n < rules["var_least"]:
        return share
    low, high, middle = 0.0, share, share
    for _ in range(_HALVINGS):
        weight = p["weight"] + side * middle
        for k in range(n):
            x[k] = others[k] + weight * unit[k]
        at_risk, shortfall = tail(x, n, rules["var_method"])
        if at_risk > var or shortfall > es:
            high = middle
        elif middle == share:
            return share
        else:
            low = middle
        middle = 0.5 * (low + high)
    return low


@kernel
def portfolio_room(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, limits: Float64Array, s: int,
    side: int, notional: float, loss: float, leverage: float,
) -> float:  # fmt: skip
    """Most of ``notional`` (quote units) that the portfolio tier leaves to a plan beside what is held and works;
    ``loss``: at the stop, a share of notional."""
    most = limit_of(a, limits, s, _OPEN_RISK) * a["equity"] - open_risk(positions, instruments, rules, s)
    return exposure_room(
        a, positions, instruments, days, rules, limits, s, side, min(notional, max(0.0, most) / loss), leverage
    )


@kernel
def exposure_room(
    a: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, limits: Float64Array, s: int,
    side: int, notional: float, leverage: float,
) -> float:  # fmt: skip
    """As :func:`portfolio_room`, open risk apart: an addition brings none."""
    equity = a["equity"]
    gross = weigh(a, positions, instruments)
    own = abs(positions[s]["weight"])
    share = notional / equity
    share = min(share, limit_of(a, limits, s, _EXPOSURE) - gross, limit_of(a, limits, s, _CONCENTRATION) - own)
    others = correlated_margin(a, positions, instruments, days, rules, s, side)
    if others > 0.0:
        taken = (margin_of(positions[s], instruments[s]) + others) / equity
        share = min(share, (limit_of(a, limits, s, _CORRELATED) - taken) * leverage)
    if share <= 0.0:
        return 0.0
    return float(_tail_room(a, positions, days, rules, limits, s, side, share, gross == 0.0) * equity)
