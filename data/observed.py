"""Events as observations and back: the one place where a message's fields become stored columns.

``time`` is the exchange's moment, ``known_at`` the moment of receipt, never before ``time`` (two clocks differ by a
little). The liquidation feed carries no number, so a row's ``id`` is made from its content: what is told twice is
stored once.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.exchange.events import BookDelta, BookSnapshot, Liquidation, MarketEvent, PremiumUpdate, TradePrint
from data.market import TICK, Float64Array, Int64Array, SeriesKey
from data.observations import COLUMNS, METRIC_COLUMNS, Observations
from data.orderbook import BookTop, DepthSync


@dataclass(frozen=True, slots=True)
class MetricsUpdate:
    """Open interest and ratios at a moment (METRIC_COLUMNS); NaN where the exchange does not give one."""

    symbol: str
    open_interest: float
    open_interest_value: float
    top_account_ratio: float
    top_position_ratio: float
    account_ratio: float
    taker_ratio: float
    time_ms: int
    known_at: int


Row = tuple[int, int, int, Sequence[float] | Float64Array]  # time, id, received, values
Observed = TradePrint | BookTop | PremiumUpdate | Liquidation | MetricsUpdate


def tick_key(exchange: str, symbol: str, kind: str, source: str = "exchange") -> SeriesKey:
    """The series that a symbol's events of one kind are stored in."""
    return SeriesKey(exchange, symbol, TICK, kind, source)


def trades_of(key: SeriesKey, prints: Iterable[TradePrint]) -> Observations:
    """Trades of one symbol; ``id`` is the trade's."""
    return _table(key, [(t.time_ms, t.trade_id, t.received_ms, (t.price, t.quantity, t.side)) for t in prints])


def liquidations_of(key: SeriesKey, orders: Iterable[Liquidation]) -> Observations:
    """Liquidations of one symbol; ``id`` from price, quantity and side."""
    rows: list[Row] = []
    for order in orders:
        values = (order.price, order.quantity, float(order.side))
        rows.append((order.time_ms, zlib.crc32(repr(values).encode()), order.received_ms, values))
    return _table(key, rows)


def premiums_of(key: SeriesKey, updates: Iterable[PremiumUpdate]) -> Observations:
    """Mark, index and current funding of one symbol."""
    rows: list[Row] = [
        (
            u.event_ms, 0, u.received_ms,
            (u.mark_price, u.index_price, u.funding_rate, _number(u.next_funding_ms), _number(u.interval_ms)),
        )
        for u in updates
    ]  # fmt: skip
    return _table(key, rows)


def books_of(key: SeriesKey, tops: Iterable[BookTop]) -> Observations:
    """Best ten levels of one symbol; ``id`` is the book's update."""
    return _table(key, [(top.time_ms, top.update_id, top.known_at, top.values()) for top in tops])


def metrics_of(key: SeriesKey, updates: Iterable[MetricsUpdate]) -> Observations:
    """Open interest and ratios of one symbol."""
    return _table(key, [(u.time_ms, 0, u.known_at, [getattr(u, name) for name in METRIC_COLUMNS]) for u in updates])


def events_of(observations: Observations) -> list[Observed]:
    """The rows as events, in their order; ``received_ms`` is ``known_at``."""
    key, kind = observations.key, observations.key.kind
    symbol, values = key.symbol, observations.values
    times, ids, known = observations.time.tolist(), observations.id.tolist(), observations.known_at.tolist()
    if kind == "book":
        return [BookTop.from_values(v, i, t, k) for t, i, k, v in zip(times, ids, known, values, strict=True)]
    rows = zip(times, ids, known, values.tolist(), strict=True)
    if kind == "trades":
        return [TradePrint(symbol, i, p, q, int(side), t, k) for t, i, k, (p, q, side) in rows]
    if kind == "liquidations":
        return [Liquidation(symbol, p, q, int(side), t, k) for t, _, k, (p, q, side) in rows]
    if kind == "premium":
        return [PremiumUpdate(symbol, m, i, f, _whole(n), _whole(w), t, k) for t, _, k, (m, i, f, n, w) in rows]
    return [MetricsUpdate(symbol, a, b, c, d, e, f, t, k) for t, _, k, (a, b, c, d, e, f) in rows]


def sampled(events: Iterable[MarketEvent], every_ms: int, sync: DepthSync) -> Iterator[BookTop]:
    """The top of one symbol's book at every multiple of ``every_ms`` of receipt time, from its diffs and snapshots.

    Each is the last state known before that moment, with its own times; where nothing changed since the last one, or
    the book cannot be trusted, there is none. ``sync`` may be looked at afterwards for what was missing.
    """
    due: int | None = None
    given = -1
    for event in events:
        if not isinstance(event, BookDelta | BookSnapshot) or event.symbol != sync.symbol:
            continue
        if due is None or event.received_ms >= due:
            top = sync.top()
            if top is not None and top.update_id != given:
                given = top.update_id
                yield top
            due = (event.received_ms // every_ms + 1) * every_ms
        if isinstance(event, BookDelta):
            sync.on_delta(event)
        else:
            sync.on_snapshot(event)
    top = sync.top()
    if top is not None and top.update_id != given:
        yield top


def _table(key: SeriesKey, rows: list[Row]) -> Observations:
    if not rows:
        return Observations.empty(key)
    time: Int64Array = np.array([row[0] for row in rows], dtype=np.int64)
    ids: Int64Array = np.array([row[1] for row in rows], dtype=np.int64)
    received: Int64Array = np.array([row[2] for row in rows], dtype=np.int64)
    values = np.array([row[3] for row in rows], dtype=np.float64).reshape(len(rows), len(COLUMNS[key.kind]))
    return Observations.of(key, time, values, np.maximum(received, time), ids)


def _number(value: int | None) -> float:
    return float("nan") if value is None else float(value)


def _whole(value: float) -> int | None:
    return None if value != value else int(value)
