"""Raw stream messages of Bybit, OKX and WEEX become events: the samples in ccxt's parsers, figures by hand.

Where a sample names another market than those served here, only its name is changed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import ccxt.pro
import pytest

from data.exchange.catalogue import quirks_of
from data.exchange.events import (
    BookDelta,
    BookSnapshot,
    CandleUpdate,
    Liquidation,
    PremiumUpdate,
    Subscription,
    TradePrint,
)
from data.exchange.payloads import trade_id

BTC, ETH = "BTC/USDT:USDT", "ETH/USDT:USDT"
AT = 1_800_000_000_000


def client(name: str) -> Any:
    """A ccxt.pro instance that knows two contracts (and on WEEX the spot markets of the same ids)."""
    exchange = getattr(ccxt.pro, name)()
    ids = {"bybit": "{}USDT", "okx": "{}-USDT-SWAP", "weex": "{}USDT"}[name]
    units = {"BTC": "0.01", "ETH": "0.1"}
    markets = [
        {
            "id": ids.format(base), "symbol": f"{base}/USDT:USDT", "base": base, "quote": "USDT", "settle": "USDT",
            "type": "swap", "spot": False, "swap": True, "future": False, "option": False, "contract": True,
            "linear": True, "inverse": False,
            "info": {"ctVal": units[base], "ctMult": "1", "instFamily": f"{base}-USDT"},
        }
        for base in ("BTC", "ETH")
    ]  # fmt: skip
    spot = {"id": "ETHUSDT", "symbol": "ETH/USDT", "type": "spot", "spot": True, "swap": False, "linear": None}
    exchange.set_markets([*markets, spot] if name == "weex" else markets)
    return exchange


def read(name: str, *messages: Any) -> list[Any]:
    """Events of messages heard one after the other."""
    quirks, exchange = quirks_of(name), client(name)
    return [event for message in messages for event in quirks.read_message(exchange, message, AT)]


def bybit_kline(confirm: bool) -> dict[str, Any]:
    row = {
        "start": 1672324800000, "end": 1672325099999, "interval": "5", "open": "16649.5", "close": "16677",
        "high": "16677", "low": "16608", "volume": "2.081", "turnover": "34666.4005", "confirm": confirm,
        "timestamp": 1672324988882,
    }  # fmt: skip
    return {"topic": "kline.5.BTCUSDT", "data": [row], "ts": 1672324988882, "type": "snapshot"}


@pytest.mark.parametrize("confirm", [True, False])
def test_bybit_says_itself_whether_a_bar_is_closed(confirm: bool) -> None:
    assert read("bybit", bybit_kline(confirm)) == [
        CandleUpdate(BTC, "5m", 1672324800000, 16649.5, 16677.0, 16608.0, 16677.0, 2.081, confirm, 1672324988882, AT)
    ]


def test_bybit_s_book_begins_with_a_snapshot_and_counts_on() -> None:
    def message(kind: str, update: int) -> dict[str, Any]:
        data = {
            "s": "BTCUSDT", "b": [["16493.00", "0.100"], ["16493.50", "0.006"]],
            "a": [["16611.00", "0.029"], ["16612.00", "0"]], "u": update, "seq": 7961638724,
        }  # fmt: skip
        return {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": 1672304484978, "data": data}

    whole, change, restart = read(
        "bybit", message("snapshot", 18521288), message("delta", 18521289), message("delta", 1)
    )
    assert isinstance(whole, BookSnapshot) and whole.update_id == 18521288 and whole.event_ms == 1672304484978
    assert whole.bids.tolist() == [[16493.5, 0.006], [16493.0, 0.1]]
    assert isinstance(change, BookDelta)
    assert (change.first_id, change.last_id, change.previous_id) == (18521289, 18521289, 18521288)
    assert change.asks.tolist() == [[16611.0, 0.029], [16612.0, 0.0]]
    assert isinstance(restart, BookSnapshot) and restart.update_id == 1


def test_bybit_s_trades() -> None:
    row = {
        "T": 1672304486865, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50", "L": "PlusTick",
        "i": "20f43950-d8dd-5b31-9112-a178eb6023af", "BT": False,
    }  # fmt: skip
    message = {
        "topic": "publicTrade.BTCUSDT",
        "type": "snapshot",
        "ts": 1672304486868,
        "data": [row, {**row, "S": "Sell"}],
    }
    bought, sold = read("bybit", message)
    assert bought == TradePrint(BTC, 0x20F43950D8DD5B3, 16578.5, 0.001, 1, 1672304486865, AT)
    assert sold.side == -1


def test_bybit_s_ticker_is_whole_though_it_comes_in_parts() -> None:
    first = {
        "symbol": "BTCUSDT", "lastPrice": "17216.00", "markPrice": "17217.33", "indexPrice": "17227.36",
        "openInterest": "68744.761", "nextFundingTime": "1673280000000", "fundingRate": "-0.000212",
    }  # fmt: skip
    topic = {"topic": "tickers.BTCUSDT", "cs": 24987956059}
    events = read(
        "bybit",
        {**topic, "type": "snapshot", "data": first, "ts": 1673272861686},
        {**topic, "type": "delta", "data": {"symbol": "BTCUSDT", "bid1Price": "17215.5"}, "ts": 1673272861786},
        {**topic, "type": "delta", "data": {"symbol": "BTCUSDT", "markPrice": "17218"}, "ts": 1673272861886},
    )
    assert events == [
        PremiumUpdate(BTC, 17217.33, 17227.36, -0.000212, 1673280000000, None, 1673272861686, AT),
        PremiumUpdate(BTC, 17218.0, 17227.36, -0.000212, 1673280000000, None, 1673272861886, AT),
    ]


def test_bybit_names_the_side_of_the_position_that_was_liquidated() -> None:
    rows = [{"T": 1739502302929, "s": "BTCUSDT", "S": side, "v": "20000", "p": "0.04499"} for side in ("Sell", "Buy")]
    message = {"topic": "allLiquidation.BTCUSDT", "type": "snapshot", "ts": 1739502303204, "data": rows}
    short, long = read("bybit", message)
    assert short == Liquidation(BTC, 0.04499, 20000.0, 1, 1739502302929, AT)
    assert long.side == -1


def okx(channel: str, *rows: Any, name: str = "BTC-USDT-SWAP", **more: Any) -> dict[str, Any]:
    return {"arg": {"channel": channel, "instId": name}, "data": list(rows), **more}


@pytest.mark.parametrize(("flag", "closed"), [("0", False), ("1", True)])
def test_okx_says_in_the_ninth_place_whether_a_bar_is_closed(flag: str, closed: bool) -> None:
    row = ["1678928760000", "24341.4", "24344", "24313.2", "24323", "628", "2.5819", "62800", flag]
    assert read("okx", okx("candle1Dutc", row)) == [
        CandleUpdate(BTC, "1d", 1678928760000, 24341.4, 24344.0, 24313.2, 24323.0, 2.5819, closed, AT, AT)
    ]
    assert read("okx", okx("candle1D", row)) == []  # a day of Hong Kong


def test_okx_s_book_is_in_base_units_and_chained_by_its_numbers() -> None:
    def row(seq: int, before: int) -> dict[str, Any]:
        return {
            "asks": [["31738.3", "7", "0", "3"]], "bids": [["31736.3", "1", "0", "2"], ["31738.2", "67", "0", "9"]],
            "ts": "1626537446491", "checksum": -855196043, "prevSeqId": before, "seqId": seq,
        }  # fmt: skip

    whole, change = read(
        "okx", okx("books", row(123456, -1), action="snapshot"), okx("books", row(123457, 123456), action="update")
    )
    assert isinstance(whole, BookSnapshot) and whole.update_id == 123456
    assert whole.bids.tolist() == [[31738.2, 0.67], [31736.3, 0.01]]
    assert whole.asks.tolist() == [[31738.3, 0.07]]
    assert isinstance(change, BookDelta)
    assert (change.first_id, change.last_id, change.previous_id) == (123457, 123457, 123456)
    assert change.event_ms == 1626537446491


def test_okx_s_trades_are_in_base_units() -> None:
    row = {
        "instId": "ETH-USDT-SWAP", "tradeId": "216970876", "px": "31684.5", "sz": "7", "side": "sell",
        "ts": "1626531038288",
    }  # fmt: skip
    assert read("okx", okx("trades-all", row, name="ETH-USDT-SWAP")) == [
        TradePrint(ETH, 216970876, 31684.5, 0.7, -1, 1626531038288, AT)
    ]


def test_okx_s_premium_is_put_together_from_three_channels() -> None:
    funding = {
        "fundingRate": "0.0001875391284828", "fundingTime": "1700726400000", "instId": "BTC-USDT-SWAP",
        "instType": "SWAP", "method": "next_period", "nextFundingRate": "0.0002608059239328",
        "nextFundingTime": "1700755200000", "premium": "0.0001233824646391", "ts": "1700724675402",
    }  # fmt: skip
    mark = {"instId": "BTC-USDT-SWAP", "instType": "SWAP", "markPx": "42310.6", "ts": "1700724675500"}
    index = {"instId": "BTC-USDT", "idxPx": "42309.1", "high24h": "1", "ts": "1700724675600"}
    events = read(
        "okx", okx("funding-rate", funding), okx("mark-price", mark), okx("index-tickers", index, name="BTC-USDT")
    )
    rate, due, interval = 0.0001875391284828, 1700726400000, 28_800_000
    assert math.isnan(events[0].mark_price) and events[0].funding_rate == rate
    assert events[1].mark_price == 42310.6 and events[1].interval_ms == interval
    assert events[2] == PremiumUpdate(BTC, 42310.6, 42309.1, rate, due, interval, 1700724675600, AT)


def test_okx_s_liquidations_of_known_contracts_come_out_in_base_units() -> None:
    details = [{"bkLoss": "0", "bkPx": "30000.5", "ccy": "", "posSide": "short", "side": "buy", "sz": "13",
                "ts": "1692266434010"}]  # fmt: skip
    rows = [{"details": details, "instId": name, "instType": "SWAP"} for name in ("BTC-USD-SWAP", "BTC-USDT-SWAP")]
    message = {"arg": {"channel": "liquidation-orders", "instType": "SWAP"}, "data": rows}
    assert read("okx", message) == [Liquidation(BTC, 30000.5, 0.13, 1, 1692266434010, AT)]


def sample(shared_data: Path, method: str) -> Any:
    held = json.loads((shared_data / "fixtures/weex_payload_samples.json").read_text())
    found = next(case for case in held["ws"] if case["method"] == method)
    return found["payload"]


@pytest.mark.data
def test_weex_s_recorded_messages(shared_data: Path) -> None:
    depth, trade, ticker = (sample(shared_data, f"handle{what}") for what in ("OrderBook", "Trade", "Ticker"))
    change, whole, sold, premium = read("weex", depth, {**depth, "e": "depthSnapshot"}, trade, ticker)
    assert isinstance(change, BookDelta) and isinstance(whole, BookSnapshot)
    assert (change.first_id, change.last_id, change.previous_id) == (14181847790, 14181847802, None)
    assert change.bids.tolist() == [[2227.21, 0.0], [2227.2, 46.519]]
    assert whole.update_id == 14181847802 and whole.event_ms == 1776098967972
    assert sold == TradePrint(ETH, 0x4109926579854F4, 2225.15, 0.02525, 1, 1776104608298, AT)
    assert (premium.symbol, premium.mark_price, premium.index_price) == (ETH, 2184.28, 2185.2025)
    assert math.isnan(premium.funding_rate) and premium.next_funding_ms is None


def test_weex_does_not_say_whether_a_bar_is_closed() -> None:
    row = {
        "t": 1776092400000, "T": 1776096000000, "s": "ETHUSDT", "i": "1h", "o": "2234.18", "c": "2205.15",
        "h": "2236.43", "l": "2199.53", "v": "12505.60574", "n": 3381, "q": "27682528.6655305",
    }  # fmt: skip
    message = {"e": "kline", "E": 1776095535012, "s": "ETHUSDT", "p": "LAST_PRICE", "d": [row]}
    assert read("weex", message) == [
        CandleUpdate(ETH, "1h", 1776092400000, 2234.18, 2236.43, 2199.53, 2205.15, 12505.60574, None, 1776095535012, AT)
    ]
    assert read("weex", {**message, "p": "MARK_PRICE"}) == []


QUIET: dict[str, list[Any]] = {
    "bybit": [{"success": True, "ret_msg": "", "conn_id": "x", "req_id": "1", "op": "subscribe"}, {"op": "pong"}],
    "okx": ["pong", {"event": "subscribe", "arg": {"channel": "trades-all", "instId": "BTC-USDT-SWAP"}, "connId": "a4"},
            {"event": "error", "msg": "doesn't exist", "code": "60018"}],
    "weex": [{"result": True, "id": 2}, {"id": "5", "method": "PONG"}, {"event": "ping", "time": "1776078750000"}],
}  # fmt: skip


@pytest.mark.parametrize("name", QUIET)
def test_acknowledgements_and_pongs_are_no_events(name: str) -> None:
    assert read(name, *QUIET[name]) == []


BROKEN: list[tuple[str, Any]] = [
    ("bybit", {"topic": "kline.5.BTCUSDT", "data": [{}], "ts": 1}),
    ("bybit", {"topic": "publicTrade.NOTUSDT", "data": [], "ts": 1}),
    (
        "bybit",
        {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 1, "data": {"u": 2, "b": [["x", "1"]], "a": []}},
    ),
    ("okx", okx("candle1m", ["1678928760000", "24341.4"])),
    ("okx", okx("books", {"asks": [["1", "NaN"]], "bids": [], "seqId": 1, "ts": "1"}, action="snapshot")),
    ("okx", okx("trades-all", {"tradeId": "one", "px": "1", "sz": "1", "side": "buy", "ts": "1"})),
    ("okx", okx("trades-all", {"tradeId": "1", "px": "1", "sz": "?", "side": "buy", "ts": "1"})),
    ("weex", {"e": "depth", "E": 1, "s": "ETHUSDT", "U": 1, "b": [], "a": []}),
    ("weex", {"e": "trade", "E": 1, "s": "ETHUSDT", "d": None}),
]


@pytest.mark.parametrize(("name", "message"), BROKEN)
def test_a_message_that_is_not_as_documented_raises_what_the_stream_counts(name: str, message: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, IndexError)):
        read(name, message)


def test_ids_of_trades_are_numbers_that_differ() -> None:
    assert trade_id("216970876") == 216970876
    assert trade_id("2100000000007764263") < 2**63
    ids = {trade_id(f"875fba11-f8a1-42ad-915d-0{n:011x}") for n in range(50)} | {
        trade_id(f"{n:032x}") for n in range(9)
    }
    assert all(0 <= number < 2**63 for number in ids)
    with pytest.raises(ValueError, match="no id"):
        trade_id("x1")


def test_subscriptions_of_one_socket_are_one_message() -> None:
    both = [Subscription("candles", BTC, "1m"), Subscription("trades", BTC), Subscription("book", ETH)]
    assert [len(group) for group in quirks_of("bybit").stream_groups(both)] == [3]
    assert [len(group) for group in quirks_of("okx").stream_groups(both)] == [2, 1]
    assert [len(group) for group in quirks_of("weex").stream_groups(both * 40)] == [100, 20]
