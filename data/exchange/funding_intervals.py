"""Funding intervals of exchanges that tell them apart from the premium: learnt once, and again when they may change.

An interval changes at a settlement, so a next settlement other than the one seen before asks for a fresh look.
"""

from __future__ import annotations

from collections.abc import Mapping

SHARED_MS = 60_000  # settlements of many symbols pass together: one look serves them all


class FundingIntervals:
    """What was learnt, and which next settlement of each symbol it belongs to."""

    def __init__(self) -> None:
        self._listed: Mapping[str, int] = {}
        self._learnt_ms: int | None = None
        self._next: dict[str, int | None] = {}

    def outdated(self, symbol: str, next_funding_ms: int | None, now_ms: int) -> bool:
        """Whether the intervals have to be read (again) before that of ``symbol`` is believed."""
        if self._learnt_ms is None:
            return True
        return self._next.get(symbol) != next_funding_ms and now_ms - self._learnt_ms >= SHARED_MS

    def learn(self, listed: Mapping[str, int], now_ms: int) -> None:
        """Take the exchange's list (ms by its own symbol id)."""
        self._listed, self._learnt_ms = listed, now_ms

    def of(self, market_id: str) -> int | None:
        """Interval in ms, ``None`` where the list does not hold it."""
        return self._listed.get(market_id)

    def saw(self, symbol: str, next_funding_ms: int | None) -> None:
        """The interval now known belongs to this next settlement."""
        self._next[symbol] = next_funding_ms
