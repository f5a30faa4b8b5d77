"""Many subscriptions by one message over one socket, for exchanges whose sockets carry everything of a kind.

ccxt's ``watch_*`` send one message per channel (and symbol); its ``watch_multiple`` below them takes any number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data.exchange.events import Subscription

TOPICS_A_MESSAGE = 100


@dataclass(frozen=True, slots=True)
class Topic:
    """One thing that the exchange sends: what ccxt calls it, what the exchange calls it."""

    name: str
    wire: Any


Request = Callable[[str, list[Any], str], dict[str, Any]]  # (subscribe or unsubscribe, wires, number of the request)


def topic_name(subscription: Subscription, part: str = "") -> str:
    """A name of our own under which ccxt remembers a subscription (or a part of it)."""
    return ":".join(("ours", part or subscription.channel, subscription.symbol, subscription.timeframe))


def grouped(
    subscriptions: Sequence[Subscription], socket_of: Callable[[Subscription], str]
) -> list[tuple[Subscription, ...]]:
    """Subscriptions by the socket that carries them, as many together as one message takes."""
    groups: list[tuple[Subscription, ...]] = []
    for socket in dict.fromkeys(map(socket_of, subscriptions)):
        held = [s for s in subscriptions if socket_of(s) == socket]
        groups += [tuple(held[i : i + TOPICS_A_MESSAGE]) for i in range(0, len(held), TOPICS_A_MESSAGE)]
    return groups


async def subscribe(exchange: Any, url: str, topics: Sequence[Topic], request: Request) -> None:
    """Ask for the topics that this socket does not have yet, and wait for ccxt to see one of them, or an error."""
    names, number = [topic.name for topic in topics], exchange.request_id()
    message = request("subscribe", [topic.wire for topic in topics], number)
    await exchange.watch_multiple(url, names, message, names, {"id": number})


async def unsubscribe(exchange: Any, url: str, topics: Sequence[Topic], request: Request) -> bool:
    """Say that the topics are not wanted any more; False: the socket is not open."""
    client = (exchange.clients or {}).get(url)
    if client is None or client.closed():
        return False
    for topic in topics:
        client.subscriptions.pop(topic.name, None)
    await client.send(request("unsubscribe", [topic.wire for topic in topics], exchange.request_id()))
    return True
