"""Parts of an open position, and entries that wait. Conventions as in ``app.contract.views``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A target of an open position; the last one is the plan's own."""

    price: float
    quantity: float  # base units, > 0: all that it closes
    state: str  # taken | next | waits
    filled: float = 0.0  # base units of it that are closed


@dataclass(frozen=True, slots=True)
class StopMove:
    """A level at which the stop stood, and what put it there."""

    time_ms: int
    price: float
    rule: str  # "as planned", "trailed", "moved to break-even", "moved to keep profit", "moved for the addition"


@dataclass(frozen=True, slots=True)
class EntryRow:
    """An entry order that waits for its fill."""

    client_id: str
    symbol: str
    side: str  # long | short
    kind: str  # market | limit | stop_market
    quantity: float  # base units that are still open
    base: str
    price: float | None  # None: at the next open
    last: float | None
    to_price: float | None  # fraction of the last price, >= 0
    created_ms: int
    expires_ms: int
    left_s: float | None
    adds: bool  # to what is held already
    price_digits: int = 1
    quantity_digits: int = 3
