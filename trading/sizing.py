"""How much: the smallest of risk, Kelly, volatility target and margin, rounded down to the lot."""

from __future__ import annotations

import math

from data.compiled import kernel
from trading.records import Row


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
