"""The order manager: the only way from a plan to a venue. It keeps every order's state history."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from data.market import Record
from trading.config import TradingConfig
from trading.execution.orders import Order, Status
from trading.execution.paper import PaperVenue
from trading.journal import OrderRow
from trading.records import ExitReason, Purpose

_LETTER = {"entry": "E", "stop": "S", "target": "T", "exit": "X"}
_WORDS = {
    ExitReason.STOP: "stop reached", ExitReason.TARGET: "target reached", ExitReason.TRAILING: "trailing stop reached",
    ExitReason.TIME: "time limit", ExitReason.LIQUIDATION: "liquidation", ExitReason.SIGNAL: "exit signal",
    ExitReason.EMERGENCY: "flattened", ExitReason.END: "end of the back-test",
}  # fmt: skip
_PROTECTIVE = {ExitReason.STOP: "stop", ExitReason.TARGET: "target"}


class OrderManager:
    """Orders of one account by symbol and purpose; at most one open order of each.

    ``config`` holds the trading rules in force; orders already sent keep those they were made under.
    """

    def __init__(self, config: TradingConfig, account_id: int, venue: PaperVenue) -> None:
        self.config = config
        self._stem = f"Q{account_id:x}D{config.identity()[:10]}P"
        self._venue = venue
        self._open: dict[tuple[int, str], Order] = {}
        self._changed: dict[str, Order] = {}

    def open_orders(self) -> tuple[Order, ...]:
        """Orders that may still fill."""
        return tuple(self._open.values())

    def enter(self, s: int, plan: Record, ms: int) -> None:
        """Send the entry of a plan; it works from the next open."""
        order = self._plan(s, int(plan["plan_id"]), "entry", int(plan["side"]), int(plan["lots"]), None, ms, "planned")
        self._venue.submit(order)
        self._keep(order.moved(Status.RESTING, ms, "works from the next open"))

    def leave(self, s: int, position: Record, reason: ExitReason, ms: int, why: str = "") -> None:
        """Send a market exit of the whole position; it works from the next open. One at a time."""
        if (s, "exit") in self._open:
            return
        side, lots = -int(position["side"]), int(position["lots"])
        order = self._plan(s, int(position["plan_id"]), "exit", side, lots, None, ms, why or _WORDS[reason])
        self._venue.submit_exit(order, reason)
        self._keep(order.moved(Status.RESTING, ms, "works from the next open"))

    def cancel_entries(self, ms: int, words: str, s: int | None = None) -> int:
        """Cancel every working entry, or only that of symbol ``s``; how many there were."""
        entries = [o for o in self._open.values() if o.purpose == "entry" and s in (None, o.s)]
        for order in entries:
            self._venue.cancel(order)
            self._keep(order.moved(Status.CANCELLED, ms, words))
        return len(entries)

    def entry_gone(self, s: int, ms: int) -> None:
        """The venue dropped the entry of ``s`` without a fill."""
        order = self._open.get((s, "entry"))
        if order is None:
            return
        late = ms >= order.created_ms + self.config.step_ms
        words = "no bar followed in time" if late else "the bar's volume allows no lot"
        self._keep(order.moved(Status.EXPIRED if late else Status.CANCELLED, ms, words))

    def filled(self, s: int, intent: Record, position: Record, ms: int) -> None:
        """A fill of ``s`` was booked: entries get their protection, exits cancel what is left."""
        if int(intent["purpose"]) == Purpose.ENTRY:
            self._entered(s, intent, position, ms)
            return
        reason = ExitReason(int(intent["reason"]))
        name = _PROTECTIVE.get(reason, "exit")
        order = self._open.get((s, name))
        if order is None:
            lots, side = int(intent["lots"]), int(intent["side"])
            planned = self._plan(s, int(position["plan_id"]), "exit", side, lots, None, ms, _WORDS[reason])
            order = planned.moved(Status.RESTING, ms, "at market")
        price = self._price(s, int(intent["ticks"]))
        self._keep(order.moved(Status.FILLED, ms, f"{_WORDS[reason]}: {order.quantity} at {price}"))
        for left in ("stop", "target", "exit"):
            other = self._open.get((s, left))
            if other is not None:
                self._keep(other.moved(Status.CANCELLED, ms, "the position is closed"))

    def _entered(self, s: int, intent: Record, position: Record, ms: int) -> None:
        entry = self._open[(s, "entry")]
        lots = int(intent["lots"])
        quantity = lots * self.config.instruments[s].lot
        rest = "" if quantity == entry.quantity else f", the rest of {entry.quantity} is cancelled"
        self._keep(entry.moved(Status.FILLED, ms, f"{quantity} at {self._price(s, int(intent['ticks']))}{rest}"))
        for purpose in ("stop", "target"):
            side, ticks = -int(position["side"]), int(position[purpose])
            order = self._plan(s, entry.plan_id, purpose, side, lots, ticks, ms, "protects the position")
            self._venue.submit(order)
            self._keep(order.moved(Status.RESTING, ms, "rests for the full quantity"))

    def changed(self) -> list[OrderRow]:
        """Orders that changed since the last :meth:`journalled`."""
        return [order.row() for order in self._changed.values()]

    def journalled(self) -> None:
        """The journal holds what :meth:`changed` said."""
        self._changed = {}

    def documents(self) -> list[dict[str, object]]:
        """Open orders, for a checkpoint."""
        return [order.document() for order in self._open.values()]

    def restore(self, documents: Iterable[dict[str, Any]]) -> None:
        """Open orders of a checkpoint."""
        self._changed = {}
        self._open = {(order.s, order.purpose): order for order in map(Order.of, documents)}

    def _plan(
        self, s: int, plan_id: int, purpose: str, side: int, lots: int, ticks: int | None, ms: int, words: str
    ) -> Order:
        kind = {"stop": "stop_market", "target": "limit"}.get(purpose, "market")
        return Order.planned(
            f"{self._stem}{plan_id:x}{_LETTER[purpose]}", plan_id, s, self.config.symbols[s], purpose,
            "buy" if side > 0 else "sell", kind, lots * self.config.instruments[s].lot,
            None if ticks is None else self._price(s, ticks), purpose != "entry", ms, words,
        )  # fmt: skip

    def _price(self, s: int, ticks: int) -> Decimal:
        return ticks * self.config.instruments[s].tick

    def _keep(self, order: Order) -> None:
        self._changed[order.client_id] = order
        if order.is_open:
            self._open[(order.s, order.purpose)] = order
        else:
            self._open.pop((order.s, order.purpose), None)
