"""How much: the smallest of risk, Kelly, volatility target and margin, rounded down to the lot."""

from __future__ import annotations

import math

from data.compiled import kernel
from data.market import Float64Array, Record
from trading.costs import quantity_of
from trading.plan import most_lots
from trading.records import Row
from trading.risk.history import correlation
from trading.risk.room import own_room, portfolio_room

_ROUNDING = 1e-12  # a size that fits to the last bit is not cut by a lot


@kernel
def kelly_fraction(p: float, win: float, loss: float) -> float:
    """Kelly's share of equity to lose at the stop, on net payoffs: ``p - (1 - p) · loss / win``; 0 without an edge.

    Kelly (1956), "A New Interpretation of Information Rate".
    """
    if not (win > 0.0 and p > 0.0):
        return 0.0
    return max(0.0, p - (1.0 - p) * loss / win)


@kernel
def notional_of(
    rules: Row, equity: float, free: float, loss: float, win: float, sigma: float, ensemble: bool, lower: float
) -> float:
    """Notional in quote units. ``loss`` and ``win``: net payoffs at stop and target as fractions of notional;
    ``free``: equity not bound as margin; ``lower``: lower 10 % bound of the target's probability."""
    best = min(rules["risk_share"] * equity / loss, rules["margin_share"] * rules["leverage"] * equity)
    best = min(best, max(0.0, free) * rules["leverage"])
    if sigma > 0.0:
        best = min(best, rules["volatility_target"] * equity / (sigma * math.sqrt(rules["bars_per_year"])))
    if ensemble:
        best = min(best, rules["kelly_share"] * kelly_fraction(lower, win, loss) * equity / loss)
    return float(max(0.0, best))


@kernel
def scale_of(
    a: Row, positions: Record, days: Float64Array, rules: Row, s: int, side: int, size: float, regime: float
) -> float:
    """Factor of the size in [0, 1]: drawdown, correlation with what is held, and what the forecast says.

    ``size``: the models' own factor, NaN: none; ``regime``: state by ``ai.regime.Regime``, NaN or negative: unknown.
    """
    factor = 1.0
    if rules["drawdown_floor"] < 1.0:
        factor -= (1.0 - rules["drawdown_floor"]) * min(1.0, max(0.0, a["drawdown"] / rules["limit_drawdown"]))
    if rules["correlation_above"] < 1.0:
        together = 0.0
        for k in range(positions.shape[0]):
            p = positions[k]
            if k != s and (p["side"] if p["side"] != 0 else p["work_side"]) == side:
                rho = abs(correlation(days, a["risk_days"], s, k))
                together += rho if rho > rules["correlation_above"] else 0.0
        factor /= 1.0 + together
    if not math.isnan(size):
        factor *= min(1.0, max(0.0, size))
    if regime >= 0.0:
        factor *= rules["regime"][int(regime)]
    return factor


@kernel
def lots_within(
    account: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row, limits: Float64Array,
    s: int, side: int, notional: float, loss: float, entry: float,
) -> int:  # fmt: skip
    """Lots of ``notional`` at price ``entry`` within symbol rules and gates; 0: no order is allowed.

    Where other positions leave no room for an order the size stays as it is, so that the gates block it and say why.
    """
    instrument = instruments[s]
    if rules["within"] == 1:
        notional = min(notional, own_room(account, positions[s], instrument, limits, s, loss, rules["leverage"]))
    lots = most_lots(notional, entry, instrument)
    if rules["within"] == 0 or lots == 0:
        return lots
    room = portfolio_room(
        account, positions, instruments, days, rules, limits, s, side, lots * entry * quantity_of(1, instrument), loss,
        rules["leverage"],
    )  # fmt: skip
    less = most_lots(room * (1.0 + _ROUNDING), entry, instrument)
    return min(lots, less) if less > 0 else lots
