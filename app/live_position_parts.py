"""What belongs to an open position of a running service: where its stop stood, its targets, the entries that wait."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.contract.position_views import EntryRow, StopMove, TargetRow
from app.projection_context import base, decimals
from trading.costs import price_of, quantity_of

if TYPE_CHECKING:
    from trading.config import TradingConfig
    from trading.execution.orders import Order
    from trading.records import Row
    from trading.state import TradingState

AS_PLANNED = "as planned"
MOST_MOVES = 6
_ROUNDING = 1e-9
_SIDES = {1: "long", -1: "short"}


def by_slot(orders: Iterable[Order]) -> dict[tuple[int, str], Order]:
    """Open orders by symbol and slot (``S`` stop, ``E`` entry)."""
    return {(order.s, order.slot): order for order in orders}


def stop_moves(p: Row, instrument: Row, stop: Order | None) -> tuple[StopMove, ...]:
    """Where the stop stands and stood, newest first; a change of its quantity alone is none.

    The order's history says each level and the rule behind it as ``trailed: 0.094 at 118041.0``.
    """
    level = price_of(p["origin"] - p["side"] * p["distance"], instrument)
    moves = [StopMove(int(p["entry_time"]), level, AS_PLANNED)]
    for ms, _status, words in () if stop is None else stop.history:
        rule, _, rest = words.partition(": ")
        price = rest.partition(" at ")[2]
        if price and float(price) != moves[-1].price:
            moves.append(StopMove(ms, float(price), rule))
    return tuple(moves[: -MOST_MOVES - 1 : -1])


def targets(p: Row, instrument: Row, rules: Row) -> tuple[TargetRow, ...]:
    """Partial targets and the plan's own: what they close, and which are taken."""
    taken, parts = int(p["next_part"]), int(p["parts"])
    rows, left = [], int(p["lots"])
    for k in range(parts):
        ticks, open_lots = int(p["part_ticks"][k]), int(p["part_lots"][k])
        whole = max(open_lots, _part_lots(p, rules, ticks))
        left -= open_lots
        state = "taken" if k < taken else "next" if k == taken else "waits"
        filled = quantity_of(whole - open_lots, instrument)
        rows.append(TargetRow(price_of(ticks, instrument), quantity_of(whole, instrument), state, filled))
    if left > 0:
        state = "next" if taken == parts else "waits"
        rows.append(TargetRow(price_of(p["target"], instrument), quantity_of(left, instrument), state))
    return tuple(rows)


def _part_lots(p: Row, rules: Row, ticks: int) -> int:
    """Lots that the partial target at this level had before any of it was filled; the state keeps what is left.

    As ``trading.positions.set_parts`` shares out what was opened.
    """
    for at, share in zip(rules["part_at"][: rules["parts"]], rules["part_share"], strict=False):
        away = math.ceil(float(at) * int(p["distance"]) - _ROUNDING)
        if ticks == max(1, int(p["origin"]) + int(p["side"]) * away):
            return math.floor(float(share) * int(p["opened"]) + _ROUNDING)
    return 0


def entries(
    config: TradingConfig, state: TradingState, orders: dict[tuple[int, str], Order], now_ms: int | None
) -> tuple[EntryRow, ...]:
    """Entry orders that wait, in the order of the symbols; ``now_ms`` is the close of the newest bar."""
    rows = []
    for s, symbol in enumerate(config.symbols):
        p, instrument, rules = state.positions[s], state.instruments[s], config.instruments[s]
        order = orders.get((s, "E"))
        if int(p["work_side"]) == 0 or order is None:
            continue
        price = None if order.price is None else float(order.price)
        last = price_of(p["last"], instrument) if p["last"] > 0 else None
        until = int(p["work_until"])
        rows.append(
            EntryRow(
                client_id=order.client_id, symbol=symbol, side=_SIDES[int(p["work_side"])], kind=order.kind,
                quantity=quantity_of(p["work_lots"], instrument), base=base(symbol), price=price, last=last,
                to_price=None if price is None or not last else abs(price - last) / last,
                created_ms=order.created_ms, expires_ms=until,
                left_s=None if now_ms is None else max(0.0, (until - now_ms) / 1000), adds=int(p["side"]) != 0,
                price_digits=decimals(rules.tick), quantity_digits=decimals(rules.lot),
            )
        )  # fmt: skip
    return tuple(rows)
