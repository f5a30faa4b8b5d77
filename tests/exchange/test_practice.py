"""The exchange that is started by hand: what it serves, how it says where it is, and how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import numpy as np
import pandas as pd
import pytest

from data.clock import ManualClock
from data.synthetic import DEFAULT_START_MS as START
from data.synthetic import synthetic_market
from data.timeframes import DAY_MS
from tests.exchange.__main__ import main
from tests.exchange.binance_server import BinanceServer
from tests.exchange.practice import read_candles, serve_file, serve_synthetic

REPOSITORY = Path(__file__).resolve().parents[2]
NAMES = ("open", "high", "low", "close", "volume")


def table(bars: int = 500) -> pd.DataFrame:
    frame = synthetic_market("ETHUSDT", "5m", bars, 3)[0]
    return pd.DataFrame({"timestamp": frame.open_time, **{name: getattr(frame, name) for name in NAMES}})


def parquet(path: Path) -> Path:
    found = table()
    found["timestamp"] = pd.to_datetime(found["timestamp"], unit="ms", utc=True)
    found.to_parquet(path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


def with_header(path: Path) -> Path:
    found = table().rename(columns={"timestamp": "open_time"})
    found["open_time"] //= 1000
    found.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv")


def without_header(path: Path) -> Path:
    found = table()
    found["timestamp"] *= 1000
    found.to_csv(path.with_suffix(".csv"), index=False, header=False)
    return path.with_suffix(".csv")


def feather(path: Path) -> Path:
    table().to_feather(path.with_suffix(".feather"))
    return path.with_suffix(".feather")


@pytest.mark.parametrize("made", [parquet, with_header, without_header, feather])
def test_candles_are_read_from_every_kind_of_file(tmp_path: Path, made) -> None:
    frame = read_candles(made(tmp_path / "ETHUSDT-5m"))
    expected = synthetic_market("ETHUSDT", "5m", 500, 3)[0]
    assert (frame.key.symbol, frame.key.timeframe) == ("ETH/USDT:USDT", "5m")
    for name in ("open_time", *NAMES):
        assert np.array_equal(getattr(frame, name), getattr(expected, name))


async def test_a_files_past_is_past_and_the_rest_is_still_to_come(tmp_path: Path) -> None:
    now = START + 900 * DAY_MS + 7 * 3_600_000
    async with BinanceServer(ManualClock(now)) as server:
        said = serve_file(server, parquet(tmp_path / "ETHUSDT-5m"), 0.75, None)
        frame = server.market.candles["ETHUSDT", "5m"]
        assert said.startswith("ETHUSDT 5m: 500 bars, moved by ")
        assert frame.open_time[0] < now < frame.open_time[-1]
        assert (frame.open_time[0] - START) % (DAY_MS // 3) == 0
        async with aiohttp.ClientSession() as session:
            for path in ("klines?symbol=ETHUSDT&interval=15m&limit=5", "fundingRate?symbol=ETHUSDT"):
                async with session.get(f"{server.url}/fapi/v1/{path}") as response:
                    assert len(await response.json()) >= 1


async def test_made_up_markets_are_eight_and_go_on() -> None:
    async with BinanceServer(ManualClock(START + 100 * DAY_MS + 5)) as server:
        assert len(serve_synthetic(server, 1, 1)) == 8
        for name in server.market.symbols:
            frame = server.market.base(name)
            assert frame.open_time[0] <= server.now_ms - DAY_MS
            assert frame.open_time[-1] > server.now_ms + 2 * DAY_MS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("BTCUSDT.csv", "a,b\n1,2\n", "holds no candles"),
        ("BTCUSDT.txt", "x", "is neither"),
        ("prices.csv", "timestamp,open,high,low,close,volume\n1,1,1,1,1,1\n60001,1,1,1,1,1\n", "does not name"),
        ("BTCUSDT.csv", "timestamp,open,high,low,close,volume\n1,1,1,1,1,1\n8,1,1,1,1,1\n", "holds no bars"),
        ("BTCUSDT_raw.jsonl", '1723161255030314667 {"x": 1}\n', "holds a line that is neither"),
    ],
)
def test_a_file_of_something_else_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    assert main(["--port", "0", "--replay", str(path)]) == 1
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1


def test_a_taken_port_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["--port", str(taken.getsockname()[1]), "--days", "1"]) == 1
    assert "address already in use" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
async def test_it_says_where_it_is_serves_on_the_real_clock_and_ends_at_ctrl_c() -> None:
    command = [sys.executable, "-m", "tests.exchange", "--port", "0", "--days", "1"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        shown = ""
        while "Ctrl+C" not in shown:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, shown
            shown += line
        found = re.search(r"http://127\.0\.0\.1:\d+", shown)
        assert found is not None
        assert f"QUANTAI_DATA__BASE_URL={found[0]}" in shown
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"{found[0]}/market/ws/0") as stream,
        ):
            await stream.send_json({"method": "SUBSCRIBE", "params": ["btcusdt@kline_1m"], "id": 1})
            assert await stream.receive_json(timeout=10) == {"result": None, "id": 1}
            assert (await stream.receive_json(timeout=10))["k"]["i"] == "1m"
    finally:
        process.send_signal(signal.SIGINT)
        rest, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    assert "Ended after 0 requests and 1 stream connections" in rest
