"""What the settings say to the kernels of the portfolio tier, of tightening and of sizes."""

from __future__ import annotations

import math
from typing import Any

from ai.schema import FeatureSchema
from trading.config import TradingConfig
from trading.risk.tail import METHODS

SPREAD_FEATURE = "book_spread"


def risk_rules(config: TradingConfig, schema: FeatureSchema) -> dict[str, Any]:
    """Fields of a RULES record."""
    limits, sizing = config.in_force.limits, config.in_force.sizing
    steps = limits.tighten_factor < 1.0
    drawdown, day = limits.tighten_drawdown * limits.drawdown, limits.tighten_day * limits.daily_loss
    return {
        "strict": config.strict,
        "row_spread": schema.index(SPREAD_FEATURE) if SPREAD_FEATURE in schema.names else -1,
        "var_method": METHODS.index(limits.var_method), "var_days": limits.var_days, "var_least": limits.var_min_days,
        "correlation": limits.correlation,
        "reduces": config.enforce and limits.held == "reduce", "held_room": limits.held_room,
        "tighten_factor": limits.tighten_factor, "tighten_floor": min(limits.tighten_floor, limits.tighten_factor),
        "tighten_drawdown": drawdown if steps and drawdown > 0.0 and config.enforce else math.inf,
        "tighten_day": day if steps and day > 0.0 and config.enforce else math.inf,
        "within": sizing.beyond_limits == "cut" and config.enforce,
        "drawdown_floor": sizing.drawdown_floor, "correlation_above": sizing.correlation_above,
        "regime": sizing.regime_factors,
    }  # fmt: skip
