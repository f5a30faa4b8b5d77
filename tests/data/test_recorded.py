"""Recordings line by line: the forms, the order, the recorder's clock."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from data.errors import UserError
from data.exchange.events import BookDelta, BookSnapshot, CandleUpdate, TradePrint
from data.recorded import recorded_events, recorded_lines, recorder_offset_ms

TRADE = {"e": "trade", "E": 1723161256322, "T": 1723161256321, "s": "BTCUSDT", "t": 7, "p": "61800.30", "q": "0.006",
         "X": "MARKET", "m": True}  # fmt: skip


def message(event: dict[str, object], stream: str = "btcusdt@trade") -> str:
    return json.dumps({"stream": stream, "data": event})


def test_nanoseconds_and_seconds_are_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "session.txt"
    address = "https://fapi.binance.com/fapi/v1/depth?symbol=AKROUSDT&limit=1000"
    path.write_text(
        "wss://fstream.binance.com/stream?streams=btcusdt@trade -> opened\n"
        f"1723161255088176367 {message(TRADE)}\n"
        f"1723161256.5: {message(TRADE)}\n"
        f'{address} -> 1723161257.25: {{"lastUpdateId":5,"bids":[["1","2"]],"asks":[]}}\n'
        "\n"
    )
    lines = list(recorded_lines([path]))
    assert [line.local_ms for line in lines] == [1723161255088, 1723161256500, 1723161257250]
    assert [line.address for line in lines] == ["", "", address]
    events = list(recorded_events([path], offset_ms=1000))
    assert events[0] == TradePrint("BTC/USDT:USDT", 7, 61800.3, 0.006, -1, 1723161256321, 1723161256088)
    snapshot = events[2]
    assert isinstance(snapshot, BookSnapshot)
    assert (snapshot.symbol, snapshot.update_id, snapshot.received_ms) == ("AKRO/USDT:USDT", 5, 1723161258250)
    assert snapshot.bids.tolist() == [[1.0, 2.0]] and snapshot.asks.shape == (0, 2)


def test_a_snapshot_without_address_is_of_the_symbol_that_is_told(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    answer = '{"lastUpdateId":5,"T":1723161255000,"bids":[],"asks":[]}'
    path.write_text(f"1723161255088176367 {message(TRADE)}\n1723161255188176367 {answer}\n")
    assert [e.symbol for e in recorded_events([path])] == ["BTC/USDT:USDT"] * 2


def test_files_of_one_session_are_merged_by_time(tmp_path: Path) -> None:
    paths = [tmp_path / "a.gz", tmp_path / "b.gz"]
    for path, seconds in zip(paths, ((1723161255, 1723161258), (1723161256, 1723161257)), strict=True):
        with gzip.open(path, "wt") as file:
            file.writelines(f"{second}.0: {message(TRADE)}\n" for second in seconds)
    assert [line.local_ms // 1000 % 10 for line in recorded_lines(paths)] == [5, 6, 7, 8]


def test_a_broken_payload_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text(f'1723161255088176367 {message(TRADE)}\n1723161255088176367 {{"stream": "bt\n')
    with pytest.raises(UserError, match=r"session\.jsonl, line 2"):
        list(recorded_lines([path]))


def test_the_recorders_clock_is_put_right_where_it_was_slow(tmp_path: Path) -> None:
    path = tmp_path / "session.jsonl"
    path.write_text(f"1723161255088176367 {message(TRADE)}\n1723161257000000000 {message(TRADE)}\n")
    assert recorder_offset_ms([path]) == 1723161256322 - 1723161255088
    path.write_text(f"1723161257000000000 {message(TRADE)}\n")
    assert recorder_offset_ms([path]) == 0


@pytest.mark.data
def test_cryptofeeds_session_holds_what_its_manifest_says(shared_data: Path) -> None:
    folder = shared_data / "fixtures/cryptofeed"
    paths = [folder / f"BINANCE_FUTURES.{name}.0.txt.gz" for name in ("http.0", "ws.1")]
    events = list(recorded_events(paths))
    kinds = [sum(isinstance(e, kind) for e in events) for kind in (BookDelta, BookSnapshot, TradePrint, CandleUpdate)]
    assert kinds == [764, 4, 91, 67]
    received = [e.received_ms for e in events if not isinstance(e, BookSnapshot)]
    assert received == sorted(received)
