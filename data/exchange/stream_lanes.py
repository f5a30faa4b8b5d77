"""Where stream events wait to be read: bounded, the newest price first, and nothing lost without a word.

What only its newest value matters of (a forming candle, the premium) is superseded by the next one. Closed candles
are all kept. Book changes, trades and liquidations are kept up to a bound; above it the fullest lane is emptied and a
:class:`StreamGap` stands where its events stood.
"""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from operator import itemgetter

from data.exchange.events import (
    BookDelta,
    BookSnapshot,
    CandleUpdate,
    Channel,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    StreamGap,
    TradePrint,
)
from data.exchange.health import StreamHealth

CHANNEL_OF: dict[type, Channel] = {
    CandleUpdate: "candles",
    BookSnapshot: "book",
    BookDelta: "book",
    TradePrint: "trades",
    PremiumUpdate: "premium",
    Liquidation: "liquidations",
}
LaneKey = tuple[Channel, str]
Numbered = tuple[int, MarketEvent]


class StreamLanes:
    """Events by channel and symbol, given out together in the order in which they came.

    Args:
        capacity: book changes, trades and liquidations held at most, all lanes together.
        health: its ``coalesced`` and ``dropped`` are kept here.
    """

    def __init__(self, capacity: int, health: StreamHealth) -> None:
        self._capacity = capacity
        self._health = health
        self._number = 0
        self._held = 0
        self._newest: dict[tuple[str, str, int], Numbered] = {}  # forming candles by bar, premium by symbol
        self._kept: list[Numbered] = []  # closed candles
        self._lanes: dict[LaneKey, list[Numbered]] = {}  # bounded events, and the gaps of every channel

    def __bool__(self) -> bool:
        return bool(self._newest or self._kept or self._lanes)

    def put(self, event: MarketEvent) -> None:
        """Take an event; a gap stands for everything that its lane may have missed until now."""
        self._number += 1
        if isinstance(event, CandleUpdate):
            self._put_candle(event)
        elif isinstance(event, PremiumUpdate):
            key = event.symbol, "", 0
            waiting = self._newest.get(key)
            self._supersede(key, event if waiting is None else _completed(event, waiting[1]))
        elif isinstance(event, StreamGap):
            self._put_gap(event)
        else:
            if self._held >= self._capacity:
                self._empty_fullest(event.received_ms)
            self._lanes.setdefault((CHANNEL_OF[type(event)], event.symbol), []).append((self._number, event))
            self._held += 1

    def drain(self) -> list[MarketEvent]:
        """Everything that waits, oldest first; nothing waits afterwards."""
        waiting = [*self._kept, *self._newest.values()]
        for lane in self._lanes.values():
            waiting += lane
        waiting.sort(key=itemgetter(0))
        self._newest, self._kept, self._lanes, self._held = {}, [], {}, 0
        return [event for _, event in waiting]

    def _put_candle(self, event: CandleUpdate) -> None:
        bar = event.symbol, event.timeframe, event.open_time
        if event.closed:
            if self._newest.pop(bar, None) is not None:
                self._health.coalesced += 1
            self._kept.append((self._number, event))
        else:
            self._supersede(bar, event)

    def _supersede(self, key: tuple[str, str, int], event: MarketEvent) -> None:
        if self._newest.pop(key, None) is not None:
            self._health.coalesced += 1
        self._newest[key] = self._number, event

    def _put_gap(self, gap: StreamGap) -> None:
        """Two gaps with nothing of their lane between them are one, the later."""
        lane = self._lanes.setdefault((gap.channel, gap.symbol), [])
        if lane and isinstance(lane[-1][1], StreamGap):
            lane.pop()
        lane.append((self._number, gap))

    def _empty_fullest(self, at_ms: int) -> None:
        key, lane = max(self._lanes.items(), key=lambda item: len(item[1]))
        lost = sum(not isinstance(event, StreamGap) for _, event in lane)
        self._health.dropped += lost
        self._held -= lost
        channel, symbol = key
        why = f"{lost} messages came faster than they were read"
        self._lanes[key] = [(lane[-1][0], StreamGap(channel, symbol, why, at_ms))]


def _completed(event: PremiumUpdate, older: MarketEvent) -> PremiumUpdate:
    """``event`` with what it leaves open (some exchanges say mark, index and funding apart) as it was said before."""
    if not isinstance(older, PremiumUpdate):
        return event
    return replace(
        event,
        mark_price=older.mark_price if isnan(event.mark_price) else event.mark_price,
        index_price=older.index_price if isnan(event.index_price) else event.index_price,
        funding_rate=older.funding_rate if isnan(event.funding_rate) else event.funding_rate,
        next_funding_ms=older.next_funding_ms if event.next_funding_ms is None else event.next_funding_ms,
        interval_ms=older.interval_ms if event.interval_ms is None else event.interval_ms,
    )
