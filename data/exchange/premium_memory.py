"""What a stream says in parts, as a whole: the newest of each figure of a symbol's premium."""

from __future__ import annotations

import math
from dataclasses import replace

from data.exchange.events import MarketEvent, PremiumUpdate


class PremiumMemory:
    """Fills in what an update does not say. An update that is superseded before it is read then loses nothing."""

    def __init__(self) -> None:
        self._held: dict[str, PremiumUpdate] = {}

    def filled(self, events: list[MarketEvent]) -> list[MarketEvent]:
        """The same events, premium updates with what was said before of their symbol."""
        return [self._filled(event) if isinstance(event, PremiumUpdate) else event for event in events]

    def _filled(self, update: PremiumUpdate) -> PremiumUpdate:
        held = self._held.get(update.symbol)
        if held is not None:
            update = replace(
                update,
                mark_price=_or(update.mark_price, held.mark_price),
                index_price=_or(update.index_price, held.index_price),
                funding_rate=_or(update.funding_rate, held.funding_rate),
                next_funding_ms=update.next_funding_ms or held.next_funding_ms,
                interval_ms=update.interval_ms or held.interval_ms,
            )
        self._held[update.symbol] = update
        return update


def _or(new: float, old: float) -> float:
    return old if math.isnan(new) else new
