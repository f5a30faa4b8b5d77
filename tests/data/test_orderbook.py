"""The order book against a market whose every state is known: never a wrong book, never a silent break."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.exchange.events import BookDelta, BookSnapshot
from data.observations import BOOK_COLUMNS
from data.orderbook import LEVELS_KEPT, SETTLING_MS, BookTop, DepthSync, OrderBook, SyncStep
from tests.data.book_tape import SYMBOL, Tape, levels_of, renumbered, tape

FAULTS = st.lists(
    st.tuples(st.sampled_from(["drop", "duplicate", "move", "swap"]), st.integers(0, 40), st.integers(0, 40)),
    max_size=4,
)


def faulty(diffs: list[BookDelta], faults: list[tuple[str, int, int]]) -> list[BookDelta]:
    """The diffs with faults laid over; the last one comes through, so that a loss before it can be seen."""
    told, last = list(diffs[:-1]), diffs[-1]
    for kind, i, j in faults:
        if not told:
            break
        i, j = i % len(told), j % len(told)
        if kind == "drop":
            del told[i]
        elif kind == "duplicate":
            told.insert(max(i, j), told[i])
        elif kind == "move":
            told.insert(j, told.pop(i))
        else:
            told[i], told[j] = told[j], told[i]
    return [*told, last]


def same(book: OrderBook, market: Tape) -> bool:
    bids, asks = book.levels()
    return (levels_of(bids), levels_of(asks)) == market.states[book.update_id]


def synced(market: Tape, at: int = 0, **arguments: bool) -> DepthSync:
    sync = DepthSync(SYMBOL, **arguments)
    assert sync.on_snapshot(market.snapshot(market.ids[at])) is SyncStep.SYNCED
    return sync


@settings(max_examples=400)
@given(st.integers(0, 10_000), st.booleans(), FAULTS, st.integers(0, 40), st.floats(0, 1), st.data())
def test_whatever_is_lost_doubled_or_out_of_order_no_wrong_book_is_served(
    seed: int, numbered: bool, faults: list[tuple[str, int, int]], comes_at: int, of_share: float, data: st.DataObject
) -> None:
    market = tape(seed, 30, numbered)
    messages = faulty(market.diffs, faults)
    sync = DepthSync(SYMBOL)
    asked = comes_at % (len(messages) + 1)
    snapshot = market.snapshot(market.ids[round(of_share * (len(market.ids) - 1))])
    for number, message in enumerate(messages):
        if number == asked:
            sync.on_snapshot(snapshot)
        live = sync.book is not None
        step = sync.on_delta(message)
        assert (step is SyncStep.GAP) == (live and sync.book is None)
        assert sync.book is None or same(sync.book, market)
        if sync.book is None and data.draw(st.booleans(), label="a snapshot comes"):
            sync.on_snapshot(market.snapshot(data.draw(st.sampled_from(market.ids), label="of")))
        assert sync.book is None or same(sync.book, market)
    if sync.book is None:
        assert sync.needs_snapshot
    else:  # nothing is said to be missing: then nothing is
        assert sync.book.update_id >= market.diffs[-1].last_id


@settings(max_examples=200)
@given(st.integers(0, 10_000), st.booleans(), st.integers(0, 30), st.integers(0, 29))
def test_a_whole_tape_gives_the_final_book_from_a_snapshot_of_any_moment(
    seed: int, numbered: bool, comes_at: int, of: int
) -> None:
    market = tape(seed, 30, numbered)
    sync = DepthSync(SYMBOL)
    for number, delta in enumerate(market.diffs):
        if number == comes_at:
            sync.on_snapshot(market.snapshot(market.diffs[of].last_id))
        sync.on_delta(delta)
    if sync.book is None:
        sync.on_snapshot(market.snapshot(market.ids[-1]))
    assert sync.gaps == 0
    assert sync.book is not None and sync.book.update_id == market.ids[-1] and same(sync.book, market)


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("lost", range(2, 19))
def test_every_single_lost_update_is_told_at_the_next_one(lost: int, numbered: bool) -> None:
    market = tape(7, 20, numbered)
    sync = synced(market)
    steps = [sync.on_delta(d) for d in market.diffs[:lost] + market.diffs[lost + 1 :]]
    assert steps[:lost] == [SyncStep.APPLIED] * lost
    assert steps[lost:] == [SyncStep.GAP] + [SyncStep.BUFFERED] * (18 - lost)
    assert sync.gaps == 1 and sync.book is None and sync.top() is None and sync.needs_snapshot
    assert str(market.diffs[lost + 1].last_id) in sync.why


def test_updates_kept_before_the_snapshot_are_applied_from_the_one_that_holds_its_number() -> None:
    market = tape(3, 12)
    sync = DepthSync(SYMBOL)
    assert [sync.on_delta(d) for d in market.diffs[:8]] == [SyncStep.BUFFERED] * 8
    inside = next(i for i in market.ids if market.diffs[4].first_id <= i < market.diffs[4].last_id)
    assert sync.on_snapshot(market.snapshot(inside)) is SyncStep.SYNCED
    assert sync.applied == 4  # the fifth, which holds the number, to the eighth
    assert sync.book is not None and sync.book.update_id == market.diffs[7].last_id and same(sync.book, market)


def test_a_number_between_two_updates_belongs_to_the_one_after_it() -> None:
    """Numbers are shared by all symbols, so a snapshot's may fall where this symbol had none (pu < number < U)."""
    market = tape(3, 12)
    number, after = next(
        (d.first_id - 1, d) for d in market.diffs if d.previous_id is not None and d.first_id - 1 > d.previous_id
    )
    sync = DepthSync(SYMBOL)
    snapshot = replace(market.snapshot(after.previous_id), update_id=number)
    assert sync.on_snapshot(snapshot) is SyncStep.SYNCED
    assert sync.on_delta(after) is SyncStep.APPLIED
    assert sync.book is not None and same(sync.book, market)


def test_a_snapshot_older_than_what_was_kept_is_refused_and_a_newer_one_asked_for() -> None:
    market = tape(5, 12)
    sync = DepthSync(SYMBOL)
    for delta in market.diffs[6:9]:
        sync.on_delta(delta)
    assert sync.on_snapshot(market.snapshot(market.diffs[3].last_id)) is SyncStep.REFUSED
    assert sync.needs_snapshot and sync.refused == 1 and "older" in sync.why
    assert sync.on_snapshot(market.snapshot(market.diffs[6].last_id)) is SyncStep.SYNCED
    assert sync.book is not None and same(sync.book, market) and sync.book.update_id == market.diffs[8].last_id


def test_a_late_snapshot_never_sets_a_live_book_back() -> None:
    market = tape(5, 30)
    sync = synced(market)
    for delta in market.diffs[:20]:
        sync.on_delta(delta)
    assert sync.on_snapshot(market.snapshot(market.diffs[10].last_id)) is SyncStep.SYNCED
    assert sync.book is not None and sync.book.update_id == market.diffs[19].last_id and same(sync.book, market)
    assert [sync.on_delta(d) for d in market.diffs[20:]] == [SyncStep.APPLIED] * 10
    assert sync.resyncs == 1 and sync.gaps == 0


def test_a_snapshot_ahead_of_the_stream_waits_for_it() -> None:
    market = tape(5, 30)
    sync = synced(market)
    sync.on_delta(market.diffs[0])
    assert sync.on_snapshot(market.snapshot(market.diffs[5].last_id)) is SyncStep.SYNCED
    assert [sync.on_delta(d) for d in market.diffs[1:5]] == [SyncStep.OLD] * 4
    assert [sync.on_delta(d) for d in market.diffs[5:]] == [SyncStep.APPLIED] * 25
    assert sync.book is not None and same(sync.book, market)


def test_once_the_book_stands_at_an_update_the_next_must_begin_exactly_there() -> None:
    """The documented rule: each ``pu`` equals the previous ``u``; one that overlaps is another stream's."""
    market = tape(11, 20)
    sync = synced(market)
    sync.on_delta(market.diffs[0])
    sync.on_delta(market.diffs[1])
    assert sync.on_delta(replace(market.diffs[2], previous_id=market.diffs[1].last_id - 1)) is SyncStep.GAP


def test_after_a_break_the_updates_since_it_count_for_the_next_snapshot() -> None:
    market = tape(11, 20)
    sync = synced(market)
    for delta in market.diffs[:5] + market.diffs[6:10]:
        sync.on_delta(delta)
    assert sync.book is None
    assert sync.on_snapshot(market.snapshot(market.diffs[6].last_id)) is SyncStep.SYNCED
    assert sync.book is not None and sync.book.update_id == market.diffs[9].last_id and same(sync.book, market)
    assert (sync.gaps, sync.resyncs) == (1, 1)


def test_a_stream_that_says_it_may_have_lost_something_takes_the_book_away() -> None:
    market = tape(11, 20)
    sync = synced(market)
    sync.on_delta(market.diffs[0])
    assert sync.lost("disconnected") is SyncStep.GAP
    assert sync.book is None and sync.why == "disconnected" and sync.gaps == 1
    sync.lost("disconnected again")
    assert sync.gaps == 1


@pytest.mark.parametrize("size", [math.nan, math.inf, -1.0])
def test_a_level_that_is_no_size_breaks_the_book(size: float) -> None:
    market = tape(2, 5)
    sync = synced(market)
    broken = replace(market.diffs[0], bids=np.array([[50.0, size]]))
    assert sync.on_delta(broken) is SyncStep.GAP
    assert sync.book is None and "50.0" in sync.why


@pytest.mark.parametrize("price", [math.nan, 0.0, -5.0])
def test_a_level_that_is_no_price_breaks_the_book(price: float) -> None:
    market = tape(2, 5)
    sync = synced(market)
    assert sync.on_delta(replace(market.diffs[0], asks=np.array([[price, 1.0]]))) is SyncStep.GAP


def test_a_crossed_book_is_a_break_and_so_is_bid_equal_to_ask() -> None:
    market = tape(2, 5)
    best_ask = min(market.states[market.ids[0]][1])
    for price in (best_ask, best_ask + 1):
        sync = synced(market)
        assert sync.on_delta(replace(market.diffs[0], bids=np.array([[price, 1.0]]))) is SyncStep.GAP
        assert sync.book is None and "crossed" in sync.why


def test_a_crossed_or_broken_snapshot_is_refused() -> None:
    market = tape(2, 5)
    good = market.snapshot(market.ids[0])
    sync = DepthSync(SYMBOL)
    assert sync.on_snapshot(replace(good, bids=good.asks)) is SyncStep.REFUSED
    assert sync.on_snapshot(replace(good, bids=np.array([[99.0, math.nan]]))) is SyncStep.REFUSED
    assert sync.book is None and sync.refused == 2


def test_numbers_that_start_anew_are_told_even_where_they_are_smaller() -> None:
    market = tape(13, 20)
    sync = synced(market)
    for delta in market.diffs[:5]:
        sync.on_delta(delta)
    assert sync.on_delta(renumbered(market.diffs[5], -market.ids[0] + 10, 1000)) is SyncStep.GAP
    assert "restarted" in sync.why


def test_numbers_that_start_anew_right_after_a_snapshot_are_told_after_a_while() -> None:
    market = tape(13, 20)
    sync = synced(market, at=-1)
    step = sync.on_delta(renumbered(market.diffs[5], 0, SETTLING_MS // 2))
    assert step is SyncStep.OLD
    assert sync.on_delta(renumbered(market.diffs[6], 0, 2 * SETTLING_MS)) is SyncStep.GAP


def test_a_snapshot_of_the_stream_starts_the_book_anew_whatever_its_number() -> None:
    """Bybit: after a restart of its service the stream sends a snapshot with number 1."""
    market = tape(17, 20, numbered=True)
    sync = synced(market, windowed=True)
    for delta in market.diffs[:5]:
        sync.on_delta(delta)
    snapshot = market.snapshot(market.diffs[5].last_id)
    by = 1 - snapshot.update_id
    assert sync.on_snapshot(replace(snapshot, update_id=1)) is SyncStep.SYNCED
    assert [sync.on_delta(renumbered(d, by, 0)) for d in market.diffs[6:]] == [SyncStep.APPLIED] * 14
    assert sync.book is not None
    bids, asks = sync.book.levels()
    assert (levels_of(bids), levels_of(asks)) == market.states[market.ids[-1]]
    assert not sync.needs_snapshot


def test_an_update_without_levels_keeps_the_chain() -> None:
    """OKX: with nothing to say it sends previous = last = the number that stands."""
    market = tape(17, 3)
    sync = synced(market, windowed=True)
    sync.on_delta(market.diffs[0])
    last, none = market.diffs[0].last_id, np.empty((0, 2))
    still = BookDelta(SYMBOL, last, last, last, none, none, market.diffs[0].event_ms + 60_000, 0)
    assert sync.on_delta(still) is SyncStep.APPLIED
    assert sync.on_delta(market.diffs[1]) is SyncStep.APPLIED


def ladder(bids: int, asks: int, update_id: int = 10) -> BookSnapshot:
    down = np.array([(100.0 - k, 1.0 + k) for k in range(1, bids + 1)]).reshape(-1, 2)
    up = np.array([(100.0 + k, 2.0 + k) for k in range(1, asks + 1)]).reshape(-1, 2)
    return BookSnapshot(SYMBOL, update_id, down, up, 1000, 1010)


def change(number: int, bids: list[tuple[float, float]], asks: list[tuple[float, float]] | None = None) -> BookDelta:
    none = np.empty((0, 2))
    return BookDelta(
        SYMBOL, number, number, number - 1, np.array(bids) if bids else none, np.array(asks) if asks else none,
        1000 + number, 1010 + number,
    )  # fmt: skip


def test_levels_beyond_the_snapshot_are_not_served_because_some_may_be_hidden() -> None:
    sync = DepthSync(SYMBOL)
    sync.on_snapshot(ladder(40, 40))
    assert not sync.needs_snapshot
    gone = [(100.0 - k, 0.0) for k in range(1, 36)]
    sync.on_delta(change(11, [*gone, (55.0, 3.0)]))  # five levels left in sight, one seen beyond the end
    top = sync.top()
    assert top is not None and top.bids[:, 0].tolist() == [64.0, 63.0, 62.0, 61.0, 60.0]
    assert sync.needs_snapshot and sync.book is not None
    sync.on_delta(change(12, [(60.0 + k, 0.0) for k in range(5)]))
    assert sync.top() is None  # 55 may not be the best bid
    assert sync.on_snapshot(replace(ladder(40, 40), update_id=12)) is SyncStep.SYNCED
    assert sync.top() is not None and not sync.needs_snapshot


def test_a_market_with_few_orders_does_not_ask_for_snapshots_all_the_time() -> None:
    sync = DepthSync(SYMBOL)
    sync.on_snapshot(ladder(6, 3))
    assert not sync.needs_snapshot
    top = sync.top()
    assert top is not None and (len(top.bids), len(top.asks)) == (6, 3)


def test_a_book_holds_a_bounded_number_of_levels() -> None:
    sync = DepthSync(SYMBOL)
    sync.on_snapshot(ladder(20, 20))
    for number in range(11, 31):
        prices = [(101.0 + number * 1000 + k, 1.0) for k in range(1000)]
        sync.on_delta(change(number, [], prices))
        assert sync.book is not None
        assert len(sync.book.levels()[1]) <= 2 * LEVELS_KEPT
    assert sync.book is not None and sync.book.top().asks[0, 0] == 101.0


def test_updates_kept_for_a_snapshot_are_bounded() -> None:
    market = tape(1, 60)
    sync = DepthSync(SYMBOL, recent=10)
    for delta in market.diffs:
        sync.on_delta(delta)
    assert sync.on_snapshot(market.snapshot(market.diffs[20].last_id)) is SyncStep.REFUSED
    assert sync.on_snapshot(market.snapshot(market.diffs[50].last_id)) is SyncStep.SYNCED
    assert sync.book is not None and same(sync.book, market)


def test_figures_of_the_top_are_those_of_the_textbook() -> None:
    top = BookTop(np.array([[99.0, 3.0], [98.0, 1.0]]), np.array([[101.0, 1.0], [102.0, 5.0]]), 1, 2, 3)
    assert (top.bid, top.ask, top.spread, top.mid) == (99.0, 101.0, 2.0, 100.0)
    assert top.spread_fraction == 0.02
    assert top.microprice == (99.0 * 1.0 + 101.0 * 3.0) / 4.0  # near the ask: more wait to buy than to sell
    assert top.imbalance() == (4.0 - 6.0) / 10.0
    assert top.imbalance(1) == 0.5
    assert top.depth(0.01) == (3.0, 1.0)
    assert top.depth(0.02) == (4.0, 6.0)


def test_an_empty_side_has_no_figures() -> None:
    top = BookTop(np.empty((0, 2)), np.array([[101.0, 1.0]]), 1, 2, 3)
    assert all(math.isnan(x) for x in (top.bid, top.mid, top.spread, top.spread_fraction, top.microprice))
    assert top.imbalance() == -1.0
    assert math.isnan(BookTop(np.empty((0, 2)), np.empty((0, 2)), 1, 2, 3).imbalance())


def test_a_top_becomes_stored_columns_and_back() -> None:
    book = OrderBook(ladder(4, 30))
    top = book.top()
    row = dict(zip(BOOK_COLUMNS, top.values().tolist(), strict=True))
    assert (row["bid_price_1"], row["bid_size_1"], row["bid_price_4"]) == (99.0, 2.0, 96.0)
    assert math.isnan(row["bid_price_5"]) and math.isnan(row["bid_size_10"])
    assert (row["ask_price_1"], row["ask_size_10"], row["ask_price_10"]) == (101.0, 12.0, 110.0)
    again = BookTop.from_values(top.values(), 10, 1000, 1010)
    np.testing.assert_array_equal(again.bids, top.bids)
    np.testing.assert_array_equal(again.asks, top.asks)
    assert (again.update_id, again.time_ms, again.known_at) == (top.update_id, top.time_ms, top.known_at)
