"""Raw Binance stream frames as events: every recorded frame, known values of each kind, and frames that are refused."""

from __future__ import annotations

import copy
import gzip
import json
import math
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from data.exchange.binance_messages import STREAMS_A_SOCKET, read_message, stream_groups
from data.exchange.events import (
    BookDelta,
    CandleUpdate,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    Subscription,
    TradePrint,
)

BTC = "BTC/USDT:USDT"


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> dict[str, Any]:
    """Payloads of nautilus_trader's Binance adapter, by file name."""
    payloads = json.loads((shared_data / "fixtures" / "nautilus_binance_futures.json").read_text())
    return {path.rsplit("/", 1)[1].removesuffix(".json"): payload for path, payload in payloads.items()}


def read(message: Any) -> MarketEvent:
    (event,) = read_message(None, message, 7)
    return event


@pytest.mark.data
def test_recorded_candles_carry_the_exchanges_own_flag(recorded: dict[str, Any]) -> None:
    closed, written = read(recorded["kline_stream_closed"]), recorded["kline_stream_open"]
    with pytest.raises(ValueError, match="makes no sense"):
        read(written)  # written by hand: its low lies above its open
    forming = read({**written, "k": {**written["k"], "l": "0.0010"}})
    assert closed == CandleUpdate(BTC, "1m", 1638747660000, 0.001, 0.0025, 0.001, 0.002, 1000.0, True, 1638747660000, 7)
    assert isinstance(forming, CandleUpdate)
    assert forming.closed is False


@pytest.mark.data
def test_a_recorded_book_change_carries_its_ids_and_levels(recorded: dict[str, Any]) -> None:
    event = read(recorded["ws_futures_depth_update"])
    assert isinstance(event, BookDelta)
    ids = event.first_id, event.last_id, event.previous_id, event.event_ms
    assert ids == (390497796, 390497878, 390497794, 1571889248276)
    np.testing.assert_array_equal(event.bids[0], [7403.89, 0.002])
    np.testing.assert_array_equal(event.asks[-1], [7407.20, 0.175])
    assert event.bids.shape == event.asks.shape == (5, 2)


@pytest.mark.data
def test_recorded_trades_tell_who_took(recorded: dict[str, Any]) -> None:
    assert read(recorded["agg_trade_stream"]) == TradePrint(BTC, 5933014, 0.001, 100.0, -1, 123456785, 7)
    assert read(recorded["trade_stream"]) == TradePrint(BTC, 5933014, 0.001, 100.0, -1, 123456785, 7)
    assert read({**recorded["agg_trade_stream"], "m": False}).side == 1  # type: ignore[union-attr]


@pytest.mark.data
def test_a_recorded_mark_price_carries_the_index_and_the_next_settlement(recorded: dict[str, Any]) -> None:
    event = read(recorded["mark_price_stream"])
    assert event == PremiumUpdate(BTC, 11794.15, 11784.62659091, 0.00038167, 1562306400000, None, 1562305380000, 7)
    delivery = read({**recorded["mark_price_stream"], "r": "", "T": 0})
    assert isinstance(delivery, PremiumUpdate)
    assert math.isnan(delivery.funding_rate)
    assert delivery.next_funding_ms is None


@pytest.mark.data
def test_a_recorded_liquidation_counts_what_was_filled_at_its_mean_price(recorded: dict[str, Any]) -> None:
    message = recorded["liquidation_stream"]
    assert read(message) == Liquidation(BTC, 9910.12345678, 0.014, -1, 1568014460893, 7)
    assert read_message(None, {**message, "o": {**message["o"], "z": "0"}}, 7) == []


@pytest.mark.data
def test_other_recorded_frames_are_passed_over(recorded: dict[str, Any]) -> None:
    ours = {"kline", "depthUpdate", "aggTrade", "trade", "markPriceUpdate", "forceOrder"}
    events = 0
    for payload in recorded.values():
        messages = payload if isinstance(payload, list) else [payload]
        for message in (m for m in messages if isinstance(m, dict)):
            kind = message.get("data", message).get("e") if isinstance(message.get("data", message), dict) else None
            if message is not recorded["kline_stream_open"]:
                assert len(read_message(None, message, 0)) == (kind in ours)
            events += kind in ours
    assert events == 9


def test_acknowledgements_errors_and_arrays_of_frames() -> None:
    assert read_message(None, {"result": None, "id": 3}, 0) == []
    assert read_message(None, {"error": {"code": 2, "msg": "Invalid request"}, "id": 3}, 0) == []
    mark = {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "5", "i": "5", "r": "0.0001", "T": 2}
    events = read_message(None, {"stream": "!markPrice@arr", "data": [mark, {**mark, "s": "ETHUSDT"}]}, 0)
    assert [e.symbol for e in events] == [BTC, "ETH/USDT:USDT"]


def test_symbols_are_those_of_the_loaded_markets() -> None:
    markets = {"1000PEPEUSDT": [{"swap": False, "symbol": "?"}, {"swap": True, "symbol": "P/USDT:USDT"}]}
    exchange = SimpleNamespace(markets_by_id=markets)
    frame = {"e": "aggTrade", "a": 1, "s": "1000PEPEUSDT", "p": "1", "q": "1", "T": 1, "m": True}
    (event,) = read_message(exchange, frame, 0)
    assert event.symbol == "P/USDT:USDT"
    (event,) = read_message(None, frame, 0)
    assert event.symbol == "1000PEPE/USDT:USDT"


CANDLE = {"t": 0, "i": "1m", "o": "2", "h": "3", "l": "1", "c": "2", "v": "4", "x": True}
SOUND: dict[str, dict[str, Any]] = {
    "kline": {"e": "kline", "E": 1, "s": "BTCUSDT", "k": CANDLE},
    "depthUpdate": {
        "e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": 1, "u": 2, "pu": 0, "b": [["1", "2"]], "a": [],
    },
    "aggTrade": {"e": "aggTrade", "a": 1, "s": "BTCUSDT", "p": "1", "q": "1", "T": 1, "m": True},
    "markPriceUpdate": {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "5", "i": "5", "r": "0.0001", "T": 2},
    "forceOrder": {"e": "forceOrder", "o": {"s": "BTCUSDT", "S": "BUY", "z": "1", "ap": "2", "T": 3}},
}  # fmt: skip
BROKEN: list[tuple[str, list[str], Any]] = [
    ("kline", ["k", "h"], "1.5"),
    ("kline", ["k", "l"], "0"),
    ("kline", ["k", "c"], "NaN"),
    ("kline", ["k", "h"], "inf"),
    ("kline", ["k", "v"], "-1"),
    ("kline", ["k", "x"], "true"),
    ("kline", ["k"], None),
    ("kline", ["s"], "?!"),
    ("depthUpdate", ["b"], [["1"]]),
    ("depthUpdate", ["b"], [["1", "2", "3"]]),
    ("depthUpdate", ["b"], [["1", "-2"]]),
    ("depthUpdate", ["a"], [["NaN", "1"]]),
    ("depthUpdate", ["pu"], None),
    ("aggTrade", ["p"], "0"),
    ("aggTrade", ["q"], "x"),
    ("aggTrade", ["m"], 1),
    ("markPriceUpdate", ["p"], ""),
    ("forceOrder", ["o", "S"], "HOLD"),
    ("forceOrder", ["o", "ap"], "0"),
]


@pytest.mark.parametrize(("kind", "where", "value"), BROKEN)
def test_a_frame_that_is_not_as_documented_is_refused(kind: str, where: list[str], value: Any) -> None:
    assert len(read_message(None, SOUND[kind], 0)) == 1
    broken = copy.deepcopy(SOUND[kind])
    node = broken
    for name in where[:-1]:
        node = node[name]
    node[where[-1]] = value
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_message(None, broken, 0)
    del node[where[-1]]
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_message(None, broken, 0)


@pytest.mark.parametrize("frame", ["pong", "", 3, None, {"stream": "x"}, {"e": []}, [[3]]])
def test_a_frame_of_another_shape_is_refused(frame: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        read_message(None, frame, 0)


@pytest.mark.data
def test_the_recorded_cryptofeed_session_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "fixtures" / "cryptofeed" / "BINANCE_FUTURES.ws.1.0.txt.gz"
    counted: Counter[str] = Counter()
    last: dict[str, int] = {}
    with gzip.open(path, "rt") as lines:
        for line in lines:
            time, _, text = line.partition(": ")
            if not text.startswith("{"):
                continue
            for event in read_message(None, json.loads(text), round(float(time) * 1000)):
                counted[type(event).__name__] += 1
                if isinstance(event, BookDelta):
                    assert last.setdefault(event.symbol, event.previous_id or 0) == event.previous_id
                    last[event.symbol] = event.last_id
    assert counted == {"BookDelta": 764, "TradePrint": 91, "CandleUpdate": 67}
    assert set(last) == {f"{name}/USDT:USDT" for name in ("SUSHI", "AKRO", "KEEP", "CTK")}


@pytest.mark.data
def test_the_recorded_raw_session_gives_the_trades_and_levels_of_the_tables_beside_it(shared_data: Path) -> None:
    folder = shared_data / "orderbook"
    trades: list[tuple[float, ...]] = []
    ids: list[tuple[int, int, int, int]] = []
    levels: list[np.ndarray] = []
    with gzip.open(folder / "binance_usdm_btcusdt_20240808_raw.jsonl.gz", "rt") as lines:
        for line in lines:
            stamp, _, text = line.partition(" ")
            for event in read_message(None, json.loads(text), int(stamp) // 1_000_000):
                if isinstance(event, TradePrint):
                    trades.append((event.time_ms, event.trade_id, event.price, event.quantity, event.side))
                elif isinstance(event, BookDelta):
                    count = len(event.bids) + len(event.asks)
                    ids += [(event.event_ms, event.first_id, event.last_id, event.previous_id or 0)] * count
                    levels += [event.bids, event.asks]
    table = pq.read_table(folder / "binance_usdm_btcusdt_20240808_trades.parquet").to_pydict()
    side = [-1 if maker else 1 for maker in table["buyer_is_maker"]]
    assert trades == list(zip(table["exch_ms"], table["trade_id"], table["price"], table["qty"], side, strict=True))
    depth = pq.read_table(folder / "binance_usdm_btcusdt_20240808_depth_l2.parquet")
    table = depth.filter(pc.field("pu") != -1).to_pydict()  # without the snapshot, which comes over REST
    assert ids == list(zip(table["exch_ms"], table["U"], table["u"], table["pu"], strict=True))
    np.testing.assert_array_equal(np.concatenate(levels), np.column_stack([table["price"], table["qty"]]))


def test_one_message_subscribes_to_all_of_a_socket_and_books_have_their_own() -> None:
    names = [f"S{i}/USDT:USDT" for i in range(60)]
    candles = [Subscription("candles", name, frame) for name in names for frame in ("1m", "5m", "15m", "1h")]
    books = [Subscription("book", name) for name in names[:5]]
    groups = stream_groups([*candles, *books, Subscription("liquidations", names[0])])
    assert [len(group) for group in groups] == [STREAMS_A_SOCKET, 41, 5]
    assert {s.channel for s in groups[2]} == {"book"}
