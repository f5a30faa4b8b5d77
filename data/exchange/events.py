"""What a market stream or a look over REST says, in the project's words: one frozen value per message.

Symbols are unified, prices quote per base, quantities base units (never contracts), times ms UTC. ``received_ms`` is
our clock corrected to the exchange's: the moment at which the message was known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.market import Float64Array

Channel = Literal["candles", "book", "trades", "premium", "liquidations"]
CHANNELS: tuple[Channel, ...] = ("candles", "book", "trades", "premium", "liquidations")


@dataclass(frozen=True, slots=True)
class Subscription:
    """One thing to listen to; ``timeframe`` belongs to candles only."""

    channel: Channel
    symbol: str
    timeframe: str = ""


@dataclass(frozen=True, slots=True)
class CandleUpdate:
    """A candle as it stands. ``closed`` is the exchange's own flag; ``None``: it sends none."""

    symbol: str
    timeframe: str
    open_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool | None
    event_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class BookSnapshot:
    """The whole visible book as of ``update_id``; levels ``[n, 2]`` (price, size), best first."""

    symbol: str
    update_id: int
    bids: Float64Array
    asks: Float64Array
    event_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True, eq=False)
class BookDelta:
    """Changed levels ``[n, 2]`` (size 0 removes) that carry the book from after ``previous_id`` to ``last_id``.

    Binance: ``U`` first, ``u`` last, ``pu`` previous. An exchange that numbers single updates has first = last.
    ``previous_id`` is ``None`` where the exchange does not say it (then first must be the last one's follower).
    """

    symbol: str
    first_id: int
    last_id: int
    previous_id: int | None
    bids: Float64Array
    asks: Float64Array
    event_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class TradePrint:
    """A trade of the market; ``side`` +1: the taker bought, −1: the taker sold."""

    symbol: str
    trade_id: int
    price: float
    quantity: float
    side: int
    time_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class PremiumUpdate:
    """Mark and index price and the funding that is being built up; NaN or ``None`` where it is not said."""

    symbol: str
    mark_price: float
    index_price: float
    funding_rate: float  # fraction of notional at the next settlement; positive: longs pay
    next_funding_ms: int | None
    interval_ms: int | None  # between settlements, where the message says it
    event_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class Liquidation:
    """A forced order that was filled; ``side`` +1: it bought (a short was closed), −1: it sold."""

    symbol: str
    price: float
    quantity: float
    side: int
    time_ms: int
    received_ms: int


@dataclass(frozen=True, slots=True)
class StreamGap:
    """Messages of a channel may have been lost (disconnect, silence, overflow): ask REST, resync books.

    ``symbol`` empty: every symbol of the channel.
    """

    channel: Channel
    symbol: str
    why: str
    at_ms: int


MarketEvent = CandleUpdate | BookSnapshot | BookDelta | TradePrint | PremiumUpdate | Liquidation | StreamGap
