"""Markets to practise against: candles from a file moved to the present, a recorded session, or made-up ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from data.instruments import INSTRUMENTS
from data.market import Frame, FundingFrame, Int64Array, SeriesKey, short_symbol, unified_symbol
from data.synthetic import synthetic_market
from data.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES
from tests.exchange.binance_server import BinanceServer
from tests.exchange.recording import read_recording

KLINE_COLUMNS = ("open_time", "open", "high", "low", "close", "volume")
TIME_COLUMNS = ("timestamp", "open_time", "time", "date", "datetime")
FUNDING_MS = 8 * HOUR_MS
AFTER_DAYS = 3  # made-up markets go on for so long


def serve_synthetic(server: BinanceServer, days: int, seed: int) -> list[str]:
    """Give a server made-up minutes of the eight symbols: ``days`` of history and three days to come."""
    start = server.now_ms // DAY_MS * DAY_MS - days * DAY_MS
    bars = (days + AFTER_DAYS) * DAY_MS // MINUTE_MS
    for symbol in INSTRUMENTS:
        server.market.add(*synthetic_market(symbol, "1m", bars, seed, start))
    return server.market.symbols


def serve_file(server: BinanceServer, path: Path, at: float, symbol: str | None) -> str:
    """Give a server the candles or the raw session in a file, so that its share ``at`` is the past by now.

    Returns what was found. Raises ValueError, in a sentence, where the file holds neither.
    """
    if ".jsonl" in path.suffixes:
        recording = read_recording(path)
        shift = (server.now_ms - recording.first_ms) // MINUTE_MS * MINUTE_MS + MINUTE_MS
        recording = read_recording(path, shift)
        server.replay(recording)
        length = (recording.last_ms - recording.first_ms) / 1000
        return f"{', '.join(recording.names)}: {length:.0f} s of messages, beginning within a minute"
    frame = read_candles(path, symbol)
    now_bar = int(frame.open_time[min(len(frame) - 1, round(at * len(frame)))])
    grid = max(FUNDING_MS, frame.key.step_ms)  # bars and settlements keep their places in the day
    shift = round((server.now_ms - now_bar) / grid) * grid
    moved = Frame.of(frame.key, frame.open_time + shift, frame.open, frame.high, frame.low, frame.close, frame.volume)
    server.market.add(moved, _funding(moved))
    name = f"{short_symbol(frame.key.symbol)} {frame.key.timeframe}"
    return f"{name}: {len(frame):,} bars, moved by {shift / DAY_MS:.1f} days"


def _funding(frame: Frame) -> FundingFrame:
    first, last = -(-int(frame.open_time[0]) // FUNDING_MS) * FUNDING_MS, int(frame.open_time[-1])
    times = np.arange(first, last + 1, FUNDING_MS, dtype=np.int64)
    row = np.searchsorted(frame.open_time, times)
    rates = np.full(len(times), 0.0001)
    return FundingFrame("binanceusdm", frame.key.symbol, "exchange", times, rates, frame.open[row])


def read_candles(path: Path, symbol: str | None = None) -> Frame:
    """Candles of a Parquet, Feather or CSV file (with or without a header), named by ``symbol`` or the file's name.

    Raises:
        ValueError: no symbol, no such columns, or no regular timeframe.
    """
    table = _table(path)
    columns = {str(name).lower(): name for name in table.columns}
    time_name = next((columns[name] for name in TIME_COLUMNS if name in columns), None)
    if time_name is None or not all(name in columns for name in KLINE_COLUMNS[1:]):
        raise ValueError(f"{path.name} holds no candles: it needs a time and open, high, low, close, volume.")
    named = symbol or next(iter(re.findall(r"[A-Z0-9]{2,12}USDT", path.name.upper())), None)
    if named is None:
        raise ValueError(f"{path.name} does not name its symbol: say --symbol BTCUSDT.")
    times = _milliseconds(table[time_name])
    step = int(np.median(np.diff(times))) if len(times) > 1 else 0
    timeframe = next((name for name, length in TIMEFRAMES.items() if length == step), None)
    if timeframe is None:
        raise ValueError(f"{path.name} holds no bars of {', '.join(TIMEFRAMES)}.")
    key = SeriesKey("binanceusdm", unified_symbol(named), timeframe)
    return Frame.of(key, times, *(table[columns[name]].to_numpy(np.float64) for name in KLINE_COLUMNS[1:]))


def _table(path: Path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    if path.suffix == ".feather":
        return pd.read_feather(path)
    if path.suffix == ".csv":
        with path.open() as lines:
            bare = lines.readline()[:1].isdigit()
        table = pd.read_csv(path, header=None if bare else 0)
        return table.iloc[:, :6].set_axis(list(KLINE_COLUMNS), axis=1) if bare else table
    raise ValueError(f"{path.name} is neither .parquet, .feather, .csv nor a raw .jsonl(.gz) recording.")


def _milliseconds(column: pd.Series) -> Int64Array:
    if not pd.api.types.is_numeric_dtype(column):
        return pd.to_datetime(column, utc=True).dt.as_unit("ms").astype(np.int64).to_numpy()
    times = column.to_numpy(np.float64)
    for longest, factor in ((1e11, 1000.0), (1e14, 1.0), (1e17, 1e-3)):
        if times[0] < longest:
            return np.round(times * factor).astype(np.int64)
    return np.round(times * 1e-6).astype(np.int64)
