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
from trading.records import Entry, ExitReason, Purpose

_TARGETS = {"limit": "limit", "market": "take_profit_market"}  # by ``trading.matching.target_order``
_ENTRIES = {Entry.MARKET: "market", Entry.LIMIT: "limit", Entry.STOP: "stop_market"}
_WORDS = {
    ExitReason.STOP: "stop reached", ExitReason.TARGET: "target reached", ExitReason.TRAILING: "moved stop reached",
    ExitReason.TIME: "time limit", ExitReason.LIQUIDATION: "liquidation", ExitReason.SIGNAL: "exit signal",
    ExitReason.EMERGENCY: "flattened", ExitReason.END: "end of the back-test",
    ExitReason.LIMIT: "reduced to a portfolio limit",
}  # fmt: skip
_STOPS = (ExitReason.STOP, ExitReason.TRAILING)


class OrderManager:
    """Orders of one account by symbol and slot (``Order.slot``); at most one open order of each.

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
        kind = Entry(int(plan["kind"]))
        price = None if kind is Entry.MARKET else int(plan["price"])
        order = self._plan(
            s, int(plan["plan_id"]), "entry", "E", int(plan["side"]), int(plan["lots"]), price, ms, "planned",
            _ENTRIES[kind],
        )  # fmt: skip
        self._venue.submit(order)
        self._keep(order.moved(Status.RESTING, ms, "works from the next open"))

    def leave(self, s: int, position: Record, reason: ExitReason, ms: int, why: str = "") -> None:
        """Send a market exit of the whole position; it works from the next open. One at a time."""
        if (s, "X") in self._open and int(position["cut_lots"]) == 0:
            return
        self._drop(s, "X", ms, "the whole position is closed instead")
        order = self._exit(s, position, int(position["lots"]), ms, why or _WORDS[reason])
        self._venue.submit_exit(order, reason)
        self._keep(order.moved(Status.RESTING, ms, "works from the next open"))

    def reduce(self, s: int, position: Record, ms: int, why: str) -> bool:
        """Send a market exit of ``cut_lots`` of the position, or let the one that waits grow to it; it works from the
        next open. False where one of that size or of the whole position is out already."""
        leaving, quantity = int(position["exit_at_open"]), self._quantity(s, int(position["cut_lots"]))
        if leaving != 0:
            if leaving != ExitReason.LIMIT or self._open[(s, "X")].quantity == quantity:
                return False
            self._keep(self._open[(s, "X")].amended(quantity, None, ms, why))
            return True
        side, plan_id = -int(position["side"]), int(position["plan_id"])
        order = self._plan(
            s, plan_id, "exit", f"X{int(position['cuts'])}", side, int(position["cut_lots"]), None, ms, why
        )
        self._venue.submit_exit(order, ExitReason.LIMIT)
        self._keep(order.moved(Status.RESTING, ms, "works from the next open"))
        return True

    def cancel_entries(self, ms: int, words: str, s: int | None = None) -> int:
        """Cancel every working entry, or only that of symbol ``s``; how many there were."""
        entries = [o for o in self._open.values() if o.purpose == "entry" and s in (None, o.s)]
        for order in entries:
            self._venue.cancel(order)
            self._keep(order.moved(Status.CANCELLED, ms, words))
        return len(entries)

    def entry_gone(self, s: int, ms: int) -> None:
        """The venue dropped the entry of ``s``, or what was left of it, without a fill."""
        order = self._open.get((s, "E"))
        if order is None:
            return
        late = ms >= order.created_ms + self.config.in_force.matching.entry_bars * self.config.step_ms
        words = "not reached in time" if order.price is not None else "no bar followed in time"
        words = words if late else "volume or risk allow no lot"
        self._keep(order.moved(Status.EXPIRED if late else Status.CANCELLED, ms, words))

    def filled(self, s: int, intent: Record, position: Record, ms: int) -> None:
        """A fill of ``s`` was booked: entries get their protection, parts shrink it, the last exit ends it."""
        if int(intent["purpose"]) == Purpose.ENTRY:
            self._entered(s, intent, position, ms)
            return
        reason, lots = ExitReason(int(intent["reason"])), int(intent["lots"])
        held = int(position["side"]) != 0
        order = self._filled_exit(s, reason, position, lots, ms, held)
        done = order.quantity == self._quantity(s, lots)
        words = f"{_WORDS[reason]}: {self._quantity(s, lots)} at {self._price(s, int(intent['ticks']))}"
        self._keep(order.moved(Status.FILLED, ms, words) if done else order.amended(
            order.quantity - self._quantity(s, lots), order.price, ms, words
        ))  # fmt: skip
        self._drop(s, "E", ms, "a part was closed" if held else "the position is closed")
        if held:
            self.protect(s, position, ms, "follows what is held")
            return
        for left in [o.slot for o in self._open.values() if o.s == s]:
            self._drop(s, left, ms, "the position is closed")

    def _filled_exit(
        self, s: int, reason: ExitReason, position: Record, lots: int, ms: int, held: bool
    ) -> Order:  # fmt: skip
        """The order that an exit fill belongs to; a market exit is made where none was sent."""
        if reason is ExitReason.TARGET:
            slots = sorted(o.slot for o in self._open.values() if o.s == s and o.purpose == "target")
            return self._open[(s, slots[1] if len(slots) > 1 else slots[0])]
        pending = self._open.get((s, "X"))
        if pending is not None and pending.of_part and reason is not ExitReason.LIMIT:
            self._drop(s, "X", ms, "the whole position is closed instead")
        slot = "S" if reason in _STOPS and (s, "X") not in self._open else "X"
        order = self._open.get((s, slot))
        if order is not None:
            return order
        whole = lots + (int(position["lots"]) if held else 0)
        return self._exit(s, position, whole, ms, _WORDS[reason]).moved(Status.RESTING, ms, "at market")

    def _entered(self, s: int, intent: Record, position: Record, ms: int) -> None:
        entry = self._open[(s, "E")]
        quantity = self._quantity(s, int(intent["lots"]))
        words = f"{quantity} at {self._price(s, int(intent['ticks']))}"
        if int(position["work_side"]) != 0:
            self._keep(entry.amended(entry.quantity - quantity, entry.price, ms, f"{words}, the rest works on"))
        else:
            rest = "" if quantity == entry.quantity else f", the rest of {entry.quantity} is cancelled"
            self._keep(entry.moved(Status.FILLED, ms, words + rest))
        self.protect(s, position, ms, "follows what is held")

    def protect(self, s: int, position: Record, ms: int, words: str) -> None:
        """Stop and targets of a held position: for exactly what is held, at its levels.

        While a market exit goes on over several bars there are no targets, but the one that it comes from.
        """
        lots, taken = int(position["lots"]), int(position["next_part"])
        self._rest(s, position, "stop", "S", lots, int(position["stop"]), ms, words)
        leaving = int(position["exit_at_open"]) not in (0, ExitReason.TARGET) and int(position["exit_bar"]) != 0
        wanted: dict[str, tuple[int, int]] = {}
        if not leaving:
            for k in range(taken, int(position["parts"])):
                wanted[f"T{k + 1}"] = int(position["part_lots"][k]), int(position["part_ticks"][k])
            wanted["T"] = lots - sum(part for part, _ in wanted.values()), int(position["target"])
        for slot in [o.slot for o in self._open.values() if o.s == s and o.purpose == "target"]:
            if slot not in wanted:
                self._drop(s, slot, ms, words)
        for slot, (part, ticks) in wanted.items():
            self._rest(s, position, "target", slot, part, ticks, ms, words)

    def _rest(
        self, s: int, position: Record, purpose: str, slot: str, lots: int, ticks: int, ms: int, words: str
    ) -> None:
        """Let a protective order rest for ``lots`` at ``ticks``: sent, or amended where it differs."""
        order = self._open.get((s, slot))
        quantity, price = self._quantity(s, lots), self._price(s, ticks)
        if order is None:
            side, plan_id = -int(position["side"]), int(position["plan_id"])
            order = self._plan(s, plan_id, purpose, slot, side, lots, ticks, ms, "protects the position")
            self._venue.submit(order)
            self._keep(order.moved(Status.RESTING, ms, f"rests for {quantity}"))
        elif (order.quantity, order.price) != (quantity, price):
            self._keep(order.amended(quantity, price, ms, f"{words}: {quantity} at {price}"))

    def _drop(self, s: int, slot: str, ms: int, words: str) -> None:
        order = self._open.get((s, slot))
        if order is not None:
            self._keep(order.moved(Status.CANCELLED, ms, words))

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
        self._open = {(order.s, order.slot): order for order in map(Order.of, documents)}

    def _exit(self, s: int, position: Record, lots: int, ms: int, words: str) -> Order:
        side = -int(position["side"]) or self._leaving_side(s)
        return self._plan(s, int(position["plan_id"]), "exit", "X", side, lots, None, ms, words)

    def _leaving_side(self, s: int) -> int:
        return 1 if self._open[(s, "S")].side == "buy" else -1

    def _plan(
        self, s: int, plan_id: int, purpose: str, slot: str, side: int, lots: int, ticks: int | None, ms: int,
        words: str, kind: str = "",
    ) -> Order:  # fmt: skip
        return Order.planned(
            f"{self._stem}{plan_id:x}{slot}", plan_id, s, self.config.symbols[s], purpose,
            "buy" if side > 0 else "sell", kind or self._kind(purpose), self._quantity(s, lots),
            None if ticks is None else self._price(s, ticks), purpose != "entry", ms, words,
        )  # fmt: skip

    def _kind(self, purpose: str) -> str:
        if purpose == "target":
            return _TARGETS[self.config.in_force.matching.target_order]
        return "stop_market" if purpose == "stop" else "market"

    def _quantity(self, s: int, lots: int) -> Decimal:
        return lots * self.config.instruments[s].lot

    def _price(self, s: int, ticks: int) -> Decimal:
        return ticks * self.config.instruments[s].tick

    def _keep(self, order: Order) -> None:
        self._changed[order.client_id] = order
        if order.is_open:
            self._open[(order.s, order.slot)] = order
        else:
            self._open.pop((order.s, order.slot), None)
