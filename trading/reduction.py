"""The service's side of what is held beyond a portfolio limit: the orders that reduce it, and words for the audit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trading.execution.order_manager import OrderManager
from trading.risk.limits import GATES
from trading.state import TradingState
from trading.steps import cut_held


def reduce_held(
    state: TradingState, orders: OrderManager, symbols: Sequence[str], ms: int
) -> Iterator[dict[str, object]]:  # fmt: skip
    """Send what :func:`trading.risk.held.cut_held` asks for; symbol, gates and share of each cut, for the audit."""
    if not state.rules["reduces"][0]:
        return
    asked = cut_held(state.account, state.positions, state.instruments, state.days, state.rules, state.limits)
    if not asked:
        return
    why = ", ".join(spec.name for g, spec in enumerate(GATES) if asked >> g & 1)
    for s, position in enumerate(state.positions):
        if position["cut_lots"] > 0 and orders.reduce(s, position, ms, f"held beyond the limit: {why}"):
            share = int(position["cut_lots"]) / int(position["lots"])
            yield {"symbol": symbols[s], "why": why, "share": share}
