"""Events as stored rows and back: nothing lost, nothing known before it happened."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from data.exchange.events import BookDelta, BookSnapshot, Liquidation, PremiumUpdate, TradePrint
from data.observed import (
    MetricsUpdate,
    books_of,
    events_of,
    liquidations_of,
    metrics_of,
    premiums_of,
    sampled,
    tick_key,
    trades_of,
)
from data.orderbook import BookTop, DepthSync
from tests.data.book_tape import tape

BTC, T = "BTC/USDT:USDT", 1_700_000_000_000


def test_trades_there_and_back() -> None:
    prints = [TradePrint(BTC, 5 + k, 100.0 + k, 0.5, 1 - 2 * (k % 2), T + k, T + k + 20) for k in range(4)]
    stored = trades_of(tick_key("okx", BTC, "trades"), reversed(prints))
    assert stored.id.tolist() == [5, 6, 7, 8] and stored.known_at.tolist() == [T + k + 20 for k in range(4)]
    assert stored.column("side").tolist() == [1, -1, 1, -1]
    assert events_of(stored) == prints


def test_a_message_received_by_a_slow_clock_is_known_when_it_happened() -> None:
    stored = trades_of(tick_key("okx", BTC, "trades"), [TradePrint(BTC, 5, 1.0, 1.0, 1, T, T - 300)])
    assert stored.known_at.tolist() == [T]


def test_premium_there_and_back_with_what_is_not_said() -> None:
    updates = [
        PremiumUpdate(BTC, 100.0, 99.9, 1e-4, T + 3_600_000, 28_800_000, T, T + 10),
        PremiumUpdate(BTC, 100.5, math.nan, math.nan, None, None, T + 1000, T + 1010),
    ]
    stored = premiums_of(tick_key("bybit", BTC, "premium"), updates)
    first, second = events_of(stored)
    assert first == updates[0]
    assert isinstance(second, PremiumUpdate) and math.isnan(second.index_price) and math.isnan(second.funding_rate)
    assert (second.mark_price, second.next_funding_ms, second.interval_ms) == (100.5, None, None)


def test_liquidations_of_one_moment_are_told_apart_and_repeats_are_not_doubled() -> None:
    one = Liquidation(BTC, 100.0, 2.0, 1, T, T + 5)
    other = Liquidation(BTC, 100.0, 2.0, -1, T, T + 5)
    stored = liquidations_of(tick_key("binanceusdm", BTC, "liquidations"), [one, other, one])
    assert len(stored) == 2 and len(set(stored.id.tolist())) == 2
    assert sorted(map(repr, events_of(stored))) == sorted(map(repr, (one, other)))
    again = liquidations_of(tick_key("binanceusdm", BTC, "liquidations"), [other, one])
    np.testing.assert_array_equal(stored.id, again.id)


def test_metrics_there_and_back() -> None:
    update = MetricsUpdate(BTC, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, T, T + 7)
    assert events_of(metrics_of(tick_key("okx", BTC, "metrics"), [update])) == [update]


def test_books_there_and_back() -> None:
    tops = [
        BookTop(np.array([[99.0, 1.0 + k]]), np.array([[101.0, 2.0], [102.0, 3.0]]), k, T + k, T + k) for k in (1, 2)
    ]
    again = events_of(books_of(tick_key("okx", BTC, "book"), tops))
    for top, stored in zip(tops, again, strict=True):
        assert isinstance(stored, BookTop) and (stored.update_id, stored.time_ms) == (top.update_id, top.time_ms)
        np.testing.assert_array_equal(stored.bids, top.bids)
        np.testing.assert_array_equal(stored.asks, top.asks)


@pytest.mark.parametrize(
    "make, kind",
    [(trades_of, "trades"), (premiums_of, "premium"), (books_of, "book"), (liquidations_of, "liquidations"),
     (metrics_of, "metrics")],
)  # fmt: skip
def test_nothing_gives_no_rows(make, kind: str) -> None:  # type: ignore[no-untyped-def]
    stored = make(tick_key("okx", BTC, kind), [])
    assert len(stored) == 0 and events_of(stored) == []


def test_samples_are_the_last_state_before_each_moment() -> None:
    market = tape(4, 200)
    events: list[BookDelta | BookSnapshot] = [market.snapshot(market.ids[0]), *market.diffs]
    tops = list(sampled(events, 100, DepthSync(BTC)))
    begin = events[0].received_ms
    expected = []
    for moment in range((begin // 100 + 1) * 100, events[-1].received_ms + 101, 100):
        known = [d.last_id for d in market.diffs if d.received_ms < moment]
        last = known[-1] if known else market.ids[0]
        if not expected or expected[-1] != last:
            expected.append(last)
    assert [top.update_id for top in tops] == expected
    for top in tops:
        assert top.bid == max(market.states[top.update_id][0]) and top.ask == min(market.states[top.update_id][1])


def test_a_book_that_did_not_change_is_not_sampled_again() -> None:
    market = tape(4, 20)
    last = market.diffs[-1]
    repeats = [replace(last, received_ms=last.received_ms + 100 * k) for k in range(1, 5)]
    tops = list(sampled([market.snapshot(market.ids[0]), *market.diffs, *repeats], 10, DepthSync(BTC)))
    assert [top.update_id for top in tops].count(last.last_id) == 1


def test_no_sample_is_taken_of_a_book_that_can_not_be_trusted() -> None:
    market = tape(4, 200)
    sync = DepthSync(BTC)
    events = [market.snapshot(market.ids[0]), *market.diffs[:50], *market.diffs[51:]]
    tops = list(sampled(events, 10, sync))
    assert sync.gaps == 1
    assert max(top.update_id for top in tops) == market.diffs[49].last_id
