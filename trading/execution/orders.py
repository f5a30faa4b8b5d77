"""An order and the only moves it can make."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

from trading.journal import OrderRow


class Status(StrEnum):
    """Where an order stands."""

    PLANNED = "planned"
    RESTING = "resting"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


_OUTCOMES = frozenset({Status.FILLED, Status.CANCELLED, Status.REJECTED, Status.EXPIRED})
MOVES: dict[Status, frozenset[Status]] = {
    Status.PLANNED: frozenset({Status.RESTING, Status.REJECTED, Status.UNKNOWN, Status.CANCELLED}),
    Status.RESTING: frozenset({Status.FILLED, Status.CANCELLED, Status.EXPIRED, Status.UNKNOWN}),
    Status.UNKNOWN: frozenset({Status.RESTING}) | _OUTCOMES,
    Status.FILLED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.REJECTED: frozenset(),
    Status.EXPIRED: frozenset(),
}


class IllegalMove(Exception):
    """An order was asked to go where it cannot go from where it stands; a defect of the program."""


@dataclass(frozen=True, slots=True)
class Order:
    """One order with its history. ``s`` is the symbol's index in the run; prices and quantities are exact."""

    client_id: str
    plan_id: int
    s: int
    symbol: str
    purpose: str  # entry | stop | target | exit
    side: str  # buy | sell
    kind: str
    quantity: Decimal
    price: Decimal | None
    reduce_only: bool
    status: Status
    created_ms: int
    updated_ms: int
    history: tuple[tuple[int, str, str], ...]

    @classmethod
    def planned(
        cls, client_id: str, plan_id: int, s: int, symbol: str, purpose: str, side: str, kind: str, quantity: Decimal,
        price: Decimal | None, reduce_only: bool, ms: int, words: str,
    ) -> Self:  # fmt: skip
        """A new order. Its client id has 1-32 letters and digits."""
        if not (1 <= len(client_id) <= 32 and client_id.isascii() and client_id.isalnum()):
            raise IllegalMove(f"'{client_id}' is no client id: 1-32 letters and digits")
        history = ((ms, Status.PLANNED.value, words),)
        return cls(
            client_id, plan_id, s, symbol, purpose, side, kind, quantity, price, reduce_only, Status.PLANNED, ms, ms,
            history,
        )  # fmt: skip

    def moved(self, status: Status, ms: int, words: str) -> Self:
        """This order after a move.

        Raises:
            IllegalMove: the move is not in ``MOVES``.
        """
        if status not in MOVES[self.status]:
            raise IllegalMove(f"order {self.client_id} cannot go from {self.status} to {status}")
        entry = (ms, status.value, words)
        return replace(self, status=status, updated_ms=ms, history=(*self.history, entry))

    def amended(self, quantity: Decimal, price: Decimal | None, ms: int, words: str) -> Self:
        """This order for another quantity or price, its status as it is.

        Raises:
            IllegalMove: it does not rest, or nothing would be left of it.
        """
        if self.status is not Status.RESTING or quantity <= 0:
            raise IllegalMove(f"order {self.client_id} ({self.status}) cannot be amended to {quantity}")
        history = (*self.history, (ms, self.status.value, words))
        return replace(self, quantity=quantity, price=price, updated_ms=ms, history=history)

    @property
    def slot(self) -> str:
        """What it is in its plan: ``E`` entry, ``S`` stop, ``T`` target, ``T1`` a partial one, ``X`` market exit
        (of a part too: ``X1`` in its id)."""
        slot = self.client_id[self.client_id.rindex("P") + 1 :].lstrip("0123456789abcdef")
        return "X" if slot.startswith("X") else slot

    @property
    def of_part(self) -> bool:
        """Whether it is a market exit of a part."""
        return self.slot == "X" and not self.client_id.endswith("X")

    @property
    def is_open(self) -> bool:
        """Whether it may still fill."""
        return self.status not in _OUTCOMES

    def row(self) -> OrderRow:
        """The journalled form."""
        return OrderRow(
            self.client_id, self.plan_id, self.symbol, self.purpose, self.side, self.kind, str(self.quantity),
            None if self.price is None else str(self.price), self.reduce_only, self.status.value, self.created_ms,
            self.updated_ms, self.history,
        )  # fmt: skip

    def document(self) -> dict[str, object]:
        """Plain JSON values, for a checkpoint."""
        price = None if self.price is None else str(self.price)
        return {**asdict(self), "quantity": str(self.quantity), "price": price, "status": self.status.value}

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """The order of :meth:`document`."""
        price = None if document["price"] is None else Decimal(document["price"])
        history = tuple((int(ms), str(status), str(words)) for ms, status, words in document["history"])
        return cls(
            **{
                **document,
                "quantity": Decimal(document["quantity"]),
                "price": price,
                "status": Status(document["status"]),
                "history": history,
            }
        )
