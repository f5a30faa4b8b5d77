"""Margin: what a position must keep by its tier, and the price at which it is liquidated.

Isolated margin: the position's own margin stands behind it. Cross margin: the wallet of the account does, with the
profit of the other positions and without the margin these must keep, as of the last close. Binance, "How to Calculate
Liquidation Price of USDⓈ-M Futures Contracts": price = (wallet + maintenance amount - side·qty·entry) /
(qty·(maintenance rate - side)), with the tier of the position's value at that price.
"""

from __future__ import annotations

import math

from data.compiled import kernel
from data.market import Record
from trading.costs import price_of, quantity_of, value_of
from trading.records import Row


@kernel
def maintenance_of(notional: float, instrument: Row) -> float:
    """Margin that a position of ``notional`` (quote) must keep: notional × rate - amount of its tier."""
    k = 0
    while k + 1 < instrument["tiers"] and notional > instrument["tier_floor"][k + 1]:
        k += 1
    return max(0.0, float(notional * instrument["tier_rate"][k] - instrument["tier_amount"][k]))


@kernel
def liquidation_price(side: int, paid: float, quantity: float, wallet: float, instrument: Row) -> float:
    """Price at which ``wallet`` plus profit is down to the maintenance margin; ``paid`` = quantity × entry price.

    Not positive: it is never reached.
    """
    price = 0.0
    for k in range(instrument["tiers"]):
        amount = instrument["tier_amount"][k]
        price = (wallet + amount - side * paid) / (quantity * (instrument["tier_rate"][k] - side))
        if k + 1 == instrument["tiers"] or price * quantity <= instrument["tier_floor"][k + 1]:
            break
    return price


@kernel
def reprice(p: Row, instrument: Row) -> None:
    """The liquidation level of POSITION ``p`` from its cost and wallet, at the tick first reached."""
    side = p["side"]
    price = liquidation_price(
        side, value_of(p["cost"], instrument), quantity_of(p["lots"], instrument), p["wallet"], instrument
    )
    ticks: float = price * instrument["tick_den"] / instrument["tick_num"]
    p["liquidation"] = math.ceil(ticks) if side > 0 else math.floor(ticks)


@kernel
def share_wallet(a: Row, positions: Record, instruments: Record) -> None:
    """Cross margin, at a close: the wallet behind every position, by mark prices, and the level that follows."""
    total = 0.0
    for s in range(positions.shape[0]):
        p = positions[s]
        if p["side"] != 0:
            total += maintenance_of(price_of(p["mark"], instruments[s]) * quantity_of(p["lots"], instruments[s]),
                                    instruments[s])  # fmt: skip
    a["maintenance"] = total
    for s in range(positions.shape[0]):
        p = positions[s]
        if p["side"] != 0:
            own = price_of(p["mark"], instruments[s]) * quantity_of(p["lots"], instruments[s])
            profit = p["side"] * value_of(p["mark"] * p["lots"] - p["cost"], instruments[s])
            p["wallet"] = a["equity"] - profit - (total - maintenance_of(own, instruments[s]))
            reprice(p, instruments[s])
