"""The shared recorded series as frames, read once each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from data.market import Frame, FundingFrame, SeriesKey, unified_symbol

MINUTE = 60_000


def names(shared_data: Path, timeframe: str, exchange: str = "binance_um", kind: str = "ohlcv") -> list[str]:
    """File names (without ending) of one timeframe, as ``BTCUSDT-5m-20230101_20240514``."""
    return sorted(p.stem for p in (shared_data / kind / exchange / timeframe).glob("*.parquet"))


@cache
def recorded(shared_data: Path, name: str, exchange: str = "binance_um", kind: str = "ohlcv") -> Frame:
    """One recorded candle file as it is."""
    symbol, timeframe = name.split("-")[:2]
    table = pq.read_table(shared_data / kind / exchange / timeframe / f"{name}.parquet")
    key = SeriesKey("binanceusdm", unified_symbol(symbol), timeframe, kind)
    prices = [table[c].to_numpy() for c in ("open", "high", "low", "close")]
    volume = table["volume"].to_numpy() if kind == "ohlcv" else np.zeros(len(table))
    return Frame.of(key, milliseconds(table), *prices, volume)


@cache
def recorded_funding(shared_data: Path, name: str) -> FundingFrame:
    """One recorded file of settlements, times rounded to the minute as the store keeps them."""
    table = pq.read_table(shared_data / "funding" / "binance_um" / f"{name}.parquet")
    time = (milliseconds(table) + MINUTE // 2) // MINUTE * MINUTE
    symbol = unified_symbol(name.split("-")[0])
    return FundingFrame(
        "binanceusdm", symbol, "exchange", time, table["funding_rate"].to_numpy(), np.full(len(time), np.nan)
    )


def milliseconds(table: pa.Table) -> np.ndarray:
    """The table's times as ms UTC."""
    return table["timestamp"].to_numpy().astype("datetime64[ms]").astype(np.int64)
