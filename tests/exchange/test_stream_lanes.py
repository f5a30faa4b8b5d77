"""Lanes: order, superseding, the bound, and that every loss is told."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from data.exchange.binance_messages import NO_LEVELS
from data.exchange.events import (
    BookDelta,
    CandleUpdate,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    StreamGap,
    TradePrint,
)
from data.exchange.health import StreamHealth
from data.exchange.stream_lanes import StreamLanes

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"


def candle(close: float, closed: bool | None, open_time: int = 0, timeframe: str = "1m") -> CandleUpdate:
    return CandleUpdate(BTC, timeframe, open_time, 1.0, 9.0, 0.5, close, 1.0, closed, 5, 5)


def trade(number: int, symbol: str = BTC) -> TradePrint:
    return TradePrint(symbol, number, 1.0, 1.0, 1, number, number)


def premium(mark: float, symbol: str = BTC) -> PremiumUpdate:
    return PremiumUpdate(symbol, mark, mark, 0.0001, None, None, 1, 1)


def delta(last: int, symbol: str = BTC) -> BookDelta:
    return BookDelta(symbol, last, last, last - 1, NO_LEVELS, NO_LEVELS, last, last)


def lanes(capacity: int = 100) -> tuple[StreamLanes, StreamHealth]:
    health = StreamHealth()
    return StreamLanes(capacity, health), health


def test_events_of_all_lanes_come_out_in_the_order_they_came() -> None:
    held, _ = lanes()
    events: list[MarketEvent] = [trade(1), delta(2), candle(1.0, True), trade(3, ETH), premium(4.0), trade(5)]
    for event in events:
        held.put(event)
    assert held.drain() == events
    assert held.drain() == []
    assert not held


def test_a_forming_candle_is_superseded_by_the_next_and_by_its_close_but_never_by_another_bar() -> None:
    held, health = lanes()
    last_of_bar_0, close_of_bar_1 = candle(2.0, False, 0), candle(4.0, True, 60_000)
    for event in (candle(1.0, False, 0), last_of_bar_0, candle(3.0, False, 60_000), close_of_bar_1):
        held.put(event)
    held.put(candle(3.5, False, 0, "5m"))
    assert held.drain() == [last_of_bar_0, close_of_bar_1, candle(3.5, False, 0, "5m")]
    assert health.coalesced == 2


def test_candles_without_the_exchanges_flag_are_superseded_within_their_bar() -> None:
    held, _ = lanes()
    for event in (candle(1.0, None, 0), candle(2.0, None, 0), candle(3.0, None, 60_000)):
        held.put(event)
    assert held.drain() == [candle(2.0, None, 0), candle(3.0, None, 60_000)]


def test_a_premium_that_says_a_part_only_is_completed_by_what_waits() -> None:
    """OKX says mark, index and funding over three channels; Bybit sends what has changed."""
    held, health = lanes()
    nan = math.nan
    held.put(PremiumUpdate(BTC, 10.0, nan, 0.0001, 800, 28_800_000, 1, 1))
    held.put(PremiumUpdate(BTC, nan, 9.5, nan, None, None, 2, 2))
    held.put(PremiumUpdate(BTC, 11.0, nan, nan, None, None, 3, 3))
    assert held.drain() == [PremiumUpdate(BTC, 11.0, 9.5, 0.0001, 800, 28_800_000, 3, 3)]
    assert health.coalesced == 2
    held.put(PremiumUpdate(BTC, 12.0, nan, nan, None, None, 4, 4))
    (event,) = held.drain()
    assert isinstance(event, PremiumUpdate)
    assert math.isnan(event.index_price)  # what has been read is not said again


def test_f14_an_overflow_empties_the_fullest_lane_and_says_so_where_its_events_stood() -> None:
    held, health = lanes(capacity=10)
    for number in range(8):
        held.put(trade(number))
    book = [delta(0, ETH), delta(1, ETH)]
    for change in book:
        held.put(change)
    held.put(trade(8))
    held.put(trade(9))
    out = held.drain()
    assert [e for e in out if isinstance(e, StreamGap)] == [out[0]]
    assert (out[0].channel, out[0].symbol) == ("trades", BTC)  # type: ignore[union-attr]
    assert out[1:] == [*book, trade(8), trade(9)]
    assert health.dropped == 8


def test_f14_a_flood_leaves_one_gap_a_lane_closed_candles_and_the_newest_prices() -> None:
    held, health = lanes(capacity=1000)
    for number in range(50_000):
        held.put(trade(number))
        held.put(delta(number, ETH))
        held.put(premium(float(number + 1)))
        if number % 1000 == 0:
            held.put(candle(float(number + 1), True, number * 60_000))
    out = held.drain()
    gaps = [(e.channel, e.symbol) for e in out if isinstance(e, StreamGap)]
    assert sorted(gaps) == [("book", ETH), ("trades", BTC)]
    assert sum(isinstance(e, CandleUpdate) for e in out) == 50
    assert [e.mark_price for e in out if isinstance(e, PremiumUpdate)] == [50_000.0]
    numbers = [e.trade_id for e in out if isinstance(e, TradePrint)]
    assert numbers == list(range(numbers[0], 50_000))
    kept = sum(isinstance(e, TradePrint | BookDelta) for e in out)
    assert health.dropped == 100_000 - kept
    assert kept <= 1000


def test_gaps_with_nothing_between_them_are_one_and_others_stay_where_they_stand() -> None:
    held, _ = lanes()
    first, second, third = (StreamGap("trades", BTC, why, 0) for why in ("one", "two", "three"))
    for event in (first, second, trade(1), third):
        held.put(event)
    assert held.drain() == [second, trade(1), third]


@given(
    st.lists(st.tuples(st.sampled_from(["trade", "delta", "liquidation", "gap", "read"]), st.sampled_from([BTC, ETH])))
)
def test_f14_no_event_is_lost_without_a_gap_after_it(steps: list[tuple[str, str]]) -> None:
    """Numbered events of a lane come out in order, and where a number is missing a gap stood in between."""
    held, health = lanes(capacity=5)
    out: list[MarketEvent] = []
    put = 0
    for number, (kind, symbol) in enumerate(steps):
        if kind == "read":
            out += held.drain()
        elif kind == "gap":
            held.put(StreamGap("trades", symbol, "told", number))
        else:
            put += 1
            held.put(
                {
                    "trade": trade(number, symbol),
                    "delta": delta(number, symbol),
                    "liquidation": Liquidation(symbol, 1.0, 1.0, 1, number, number),
                }[kind]  # type: ignore[arg-type]
            )
    out += held.drain()
    events = [e for e in out if not isinstance(e, StreamGap)]
    assert len(events) + health.dropped == put
    sent = {"trade": TradePrint, "delta": BookDelta, "liquidation": Liquidation}
    for kind, cls in sent.items():
        for symbol in (BTC, ETH):
            numbers = [n for n, (k, s) in enumerate(steps) if (k, s) == (kind, symbol)]
            channel = {"trade": "trades", "delta": "book", "liquidation": "liquidations"}[kind]
            lane = [
                e for e in out
                if (isinstance(e, cls) and e.symbol == symbol)
                or (isinstance(e, StreamGap) and (e.channel, e.symbol) == (channel, symbol))
            ]  # fmt: skip
            told = False
            for entry in lane:
                if isinstance(entry, StreamGap):
                    told = True
                    continue
                if entry.received_ms != numbers[0]:
                    assert told
                    del numbers[: numbers.index(entry.received_ms)]
                del numbers[0]
                told = False
            assert not numbers or told
