"""What the order manager asks of a place where orders are executed."""

from __future__ import annotations

from typing import Protocol

from trading.execution.orders import Order


class Venue(Protocol):
    """A venue takes orders and cancels; what happened to them comes back through its own events."""

    def submit(self, order: Order) -> None:
        """Send an order that is already journalled.

        Raises:
            data.errors.Rejected: the venue refused it.
            data.errors.Unknown: the outcome is not known; ask by client id.
        """
        ...

    def cancel(self, order: Order) -> None:
        """Take an order back; harmless when it is gone already."""
        ...
