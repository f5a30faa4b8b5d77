"""The trading rules of a run's symbols as kernels read them: steps, bounds, fees and leverage tiers in one record."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np

from data.errors import UserError
from data.instruments import Instrument, LeverageTier
from data.market import Record, short_symbol
from trading.config import TradingConfig

TIERS = 64  # leverage tiers of a symbol; beyond the last one nothing is opened
NO_BOUND = 2**53  # lots: more than any order
MOST_STEPS = 2.0**62  # tick × lot steps that a position may be worth: money is reckoned in 64-bit integers
ROOM = 100.0  # a position may grow to so many times what the account can open

INSTRUMENT = np.dtype(
    [
        ("tick_num", "<f8"), ("tick_den", "<f8"), ("lot_num", "<f8"), ("lot_den", "<f8"),
        ("value_num", "<f8"), ("value_den", "<f8"),  # money of one tick × lot
        ("min_notional", "<f8"), ("liquidation_fee", "<f8"), ("taker", "<f8"), ("maker", "<f8"),
        ("min_lots", "<i8"), ("max_lots", "<i8"),  # of an order, and so of a position: exits are never split
        ("max_notional", "<f8"),  # of a position, by the tiers that allow the leverage it is opened with
        ("tiers", "<i8"),  # how many of the next are in use
        ("tier_floor", "<f8", (TIERS,)), ("tier_rate", "<f8", (TIERS,)), ("tier_amount", "<f8", (TIERS,)),
        ("allowed", "<f8"),  # 1 = on the list of symbols that may be traded
    ]
)  # fmt: skip


def _ratio(step: Decimal) -> tuple[float, float]:
    numerator, denominator = step.as_integer_ratio()
    return float(numerator), float(denominator)


def _tiers(rules: Instrument) -> tuple[LeverageTier, ...]:
    """The first ``TIERS`` tiers, each with its maintenance amount; one over everything where none are known.

    Where an exchange tells no amounts they follow from the rates: margin grows without steps, so
    ``amount = floor × (rate - rate below) + amount below`` (Binance, "Maintenance Amount").
    """
    if not rules.tiers:
        return (LeverageTier(0.0, float("inf"), rules.max_leverage, rules.maintenance_rate),)
    told = any(tier.maintenance_amount for tier in rules.tiers)
    made: list[LeverageTier] = []
    for tier in rules.tiers[:TIERS]:
        amount = tier.maintenance_amount
        if made and not told:
            below = made[-1]
            amount = tier.floor * (tier.maintenance_rate - below.maintenance_rate) + below.maintenance_amount
        made.append(LeverageTier(tier.floor, tier.cap, tier.max_leverage, tier.maintenance_rate, amount))
    return tuple(made)


def _lots(quantity: Decimal, rules: Instrument, rounding: str) -> int:
    return int((quantity / rules.lot).to_integral_value(rounding))


def instrument_records(config: TradingConfig) -> Record:
    """``INSTRUMENT[S]``. Fees of the symbol where the exchange says them, else those of the settings.

    Raises:
        UserError: a symbol's tick and lot are too fine for the account to be reckoned in whole steps of them.
    """
    settings = config.in_force
    leverage = settings.sizing.leverage
    allowed = set(settings.limits.allowed_symbols)
    rows = np.zeros(len(config.symbols), dtype=INSTRUMENT)
    for row, rules in zip(rows, config.instruments, strict=True):
        if ROOM * leverage * config.start_equity > MOST_STEPS * float(rules.tick * rules.lot):
            raise UserError(
                f"{short_symbol(rules.symbol)}: tick {rules.tick} and lot {rules.lot} are too fine for an account of "
                f"{config.start_equity:g}: give the symbol its exchange's rules."
            )
        row["tick_num"], row["tick_den"] = _ratio(rules.tick)
        row["lot_num"], row["lot_den"] = _ratio(rules.lot)
        row["value_num"] = row["tick_num"] * row["lot_num"]
        row["value_den"] = row["tick_den"] * row["lot_den"]
        row["min_notional"], row["liquidation_fee"] = rules.min_notional, rules.liquidation_fee
        row["taker"] = settings.costs.taker_fee if rules.taker_fee is None else rules.taker_fee
        row["maker"] = settings.costs.maker_fee if rules.maker_fee is None else rules.maker_fee
        row["min_lots"] = max(1, _lots(rules.min_quantity, rules, ROUND_CEILING))
        caps = (rules.max_quantity, rules.market_max_quantity)
        row["max_lots"] = min([NO_BOUND, *(_lots(cap, rules, ROUND_FLOOR) for cap in caps if cap is not None)])
        tiers = _tiers(rules)
        row["max_notional"] = max([0.0, *(tier.cap for tier in tiers if tier.max_leverage >= leverage)])
        if not rules.tiers:
            row["max_notional"] = float("inf")  # the gate of the exchange's leverage says so with its reason
        row["tiers"] = len(tiers)
        for k, tier in enumerate(tiers):
            row["tier_floor"][k] = tier.floor
            row["tier_rate"][k] = tier.maintenance_rate
            row["tier_amount"][k] = tier.maintenance_amount
        row["allowed"] = rules.symbol in allowed
    return rows
