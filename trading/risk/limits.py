"""Which gates there are, and the limit of each for each symbol."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from data.market import Float64Array
from trading.config import TradingConfig
from trading.records import GATE_SLOTS


class Gate(IntEnum):
    """Slots of the gates in ``gate_values`` and bits of the masks."""

    MARGIN = 0
    LEVERAGE = 1
    STOP = 2
    TARGET = 3
    LOSS_AT_STOP = 4
    DAILY_LOSS = 5
    DAILY_TRADES = 6
    LOSS_STREAK = 7
    DRAWDOWN = 8
    SHARPE = 9
    BLACK_SWAN = 10
    SYMBOL = 11
    EXCHANGE_LEVERAGE = 12
    VAR = 13
    SHORTFALL = 14
    OPEN_RISK = 15
    EXPOSURE = 16
    CONCENTRATION = 17
    CORRELATION = 18
    DEPTH = 19
    SPREAD = 20
    QUOTE_AGE = 21


@dataclass(frozen=True, slots=True)
class GateSpec:
    """A gate: passes where the value is at least, or at most, the limit."""

    name: str
    tier: str  # position | daily | system | compliance | portfolio | market
    unit: str
    at_least: bool
    words: str
    tightens: bool = False  # its limit goes down with the account's tightness


GATES: tuple[GateSpec, ...] = (
    GateSpec(
        "Margin", "position", "fraction of equity", False, "Initial margin of the symbol, this plan included", True
    ),
    GateSpec("Leverage", "position", "×", False, "Notional divided by margin"),
    GateSpec("Stop distance", "position", "fraction of price", False, "Distance from the entry to the stop"),
    GateSpec("Target distance", "position", "by profile", True, "Distance to the target (of price, or of the stop)"),
    GateSpec("Loss at stop", "position", "fraction of equity", False, "Loss if the stop is hit, costs included", True),
    GateSpec("Daily loss", "daily", "fraction of equity", False, "Loss since 00:00 UTC, unrealised included", True),
    GateSpec("Daily trades", "daily", "trades", False, "Filled entries since 00:00 UTC, this plan included"),
    GateSpec("Loss streak", "daily", "trades", False, "Closed losing trades in a row since 00:00 UTC"),
    GateSpec("Drawdown", "system", "fraction of peak", False, "Fall from the high-water mark"),
    GateSpec("Sharpe", "system", "a year", True, "95 % upper bound of the Sharpe ratio of the last 90 days"),
    GateSpec("Black swan", "system", "× median", False, "One-hour volatility against its 30-day median"),
    GateSpec("Symbol", "compliance", "1 = allowed", True, "The symbol is on the list of allowed symbols"),
    GateSpec("Exchange leverage", "compliance", "×", False, "Leverage against the rules' and the exchange's maximum"),
    GateSpec("VaR", "portfolio", "fraction of equity", False, "Value at risk 99 %, one day, of everything held", True),
    GateSpec("Expected shortfall", "portfolio", "fraction of equity", False, "Mean of the worst 2.5 % of days", True),
    GateSpec("Open risk", "portfolio", "fraction of equity", False, "Loss if every stop is hit, costs included", True),
    GateSpec("Exposure", "portfolio", "fraction of equity", False, "Gross notional of all positions", True),
    GateSpec("Concentration", "portfolio", "fraction of equity", False, "Notional of the largest symbol", True),
    GateSpec(
        "Correlation",
        "portfolio",
        "fraction of equity",
        False,
        "Margin of positions that move together, 0: none do",
        True,
    ),
    GateSpec("Order size", "market", "fraction of depth", False, "Order against the ten best levels of the book"),
    GateSpec("Spread", "market", "fraction of the stop", False, "Bid-ask spread against the stop distance"),
    GateSpec("Quote age", "market", "s", False, "Age of the newest quote"),
)
TIGHTENS = tuple(spec.tightens for spec in GATES)
MAY_BE_UNMEASURED = 1 << Gate.SHARPE  # too short a history is no fault: live trading stays at its first stage
SYSTEM_GATES = (Gate.DRAWDOWN, Gate.SHARPE, Gate.BLACK_SWAN)


def gate_limits(config: TradingConfig) -> Float64Array:
    """``[S, GATE_SLOTS]``: limits by symbol and gate; unused slots are NaN."""
    limits, profile = config.settings.limits, config.profile
    table = np.full((len(config.symbols), GATE_SLOTS), np.nan)
    for s, rules in enumerate(config.instruments):
        table[s, : len(GATES)] = (
            limits.margin_share, limits.max_leverage, profile.max_stop, profile.min_target, limits.loss_at_stop,
            limits.daily_loss, limits.daily_trades, limits.loss_streak, limits.drawdown, limits.sharpe,
            limits.black_swan, 1.0, min(limits.exchange_leverage, rules.max_leverage),
            limits.value_at_risk, limits.shortfall, limits.open_risk, limits.exposure, limits.concentration,
            limits.margin_share, limits.depth_share, limits.spread_share, limits.quote_age_s,
        )  # fmt: skip
    return table
