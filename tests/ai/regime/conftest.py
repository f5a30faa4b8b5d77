"""Recorded and made markets for the regime tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.market import Frame, SeriesKey
from data.synthetic import synthetic_market


@pytest.fixture(scope="session")
def btc(shared_data: Path) -> Frame:
    """16,000 recorded hours of Bitcoin up to June 2025."""
    table = pd.read_parquet(shared_data / "ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet").tail(16_000)
    times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    columns = [table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    return Frame.of(SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h"), times, *columns)


@pytest.fixture(scope="session")
def made() -> Frame:
    """3,000 synthetic bars of four hours, some of them missing."""
    frame, _ = synthetic_market("BTCUSDT", "4h", 3_000, 3)
    return frame.take(np.setdiff1d(np.arange(3_000), [800, 801, 1_500, 2_900]))
