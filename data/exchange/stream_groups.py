"""Stream subscriptions: which are kept together, what they are called, how long they may be quiet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from data.exchange.events import CandleUpdate, MarketEvent, Subscription
from data.exchange.stream_lanes import CHANNEL_OF
from data.market import short_symbol
from data.timeframes import timeframe_ms


@dataclass(slots=True, eq=False)
class Group:
    """Subscriptions kept by one task over the same sockets."""

    members: list[Subscription]
    urls: set[str] = field(default_factory=set)
    lost: bool = False  # it was connected and is not
    up_s: float | None = None  # since when its socket speaks
    failures: int = 0
    task: asyncio.Task[None] | None = None


def subscription_of(event: MarketEvent) -> Subscription:
    """The subscription that an event of an exchange belongs to."""
    timeframe = event.timeframe if isinstance(event, CandleUpdate) else ""
    return Subscription(CHANNEL_OF[type(event)], event.symbol, timeframe)


def name_of(subscription: Subscription) -> str:
    """``candles BTCUSDT 1m``."""
    return f"{subscription.channel} {short_symbol(subscription.symbol)} {subscription.timeframe}".rstrip()


def patience_s(subscription: Subscription, silence_s: float) -> float | None:
    """Seconds after which a subscription that says nothing is stale (``None``: it may be quiet for ever)."""
    if subscription.channel == "candles":
        return silence_s + timeframe_ms(subscription.timeframe) / 1000
    return silence_s if subscription.channel in ("premium", "book") else None


def may_be_quiet(group: Group) -> bool:
    """Whether long silence of a whole group says nothing: liquidations alone are rare."""
    return all(s.channel == "liquidations" for s in group.members)


def is_refusal(error: Exception) -> bool:
    """ccxt's ``ExchangeError`` and below: the exchange answered, and said no."""
    return any(kind.__name__ == "ExchangeError" for kind in type(error).__mro__)
