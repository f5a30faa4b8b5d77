"""Real and made markets for the feature tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.market import Frame, FundingFrame, SeriesKey
from data.timeframes import timeframe_ms

START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC

MakeMarket = Callable[..., Frame]


def read_frame(path: Path, timeframe: str, bars: int) -> Frame:
    """The last ``bars`` bars of a recorded file."""
    table = pd.read_parquet(path).tail(bars)
    times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    columns = [table[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    return Frame.of(SeriesKey("binanceusdm", "BTC/USDT:USDT", timeframe), times, *columns)


@pytest.fixture(scope="session")
def btc(shared_data: Path) -> Frame:
    """8,000 recorded hours of Bitcoin."""
    return read_frame(shared_data / "ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet", "1h", 8_000)


@pytest.fixture(scope="session")
def btc_quarters(shared_data: Path) -> Frame:
    """8,000 recorded quarter hours of Bitcoin."""
    return read_frame(shared_data / "ohlcv/binance_um/15m/BTCUSDT-15m-20220601_20250731.parquet", "15m", 8_000)


@pytest.fixture(scope="session")
def btc_funding(shared_data: Path) -> FundingFrame:
    """Recorded funding of Bitcoin."""
    table = pd.read_parquet(shared_data / "funding/binance_um/BTCUSDT-8h-20190910_20250531.parquet")
    times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    rates = table["funding_rate"].to_numpy(dtype=np.float64)
    return FundingFrame("binanceusdm", "BTC/USDT:USDT", "exchange", times, rates, np.full(len(times), np.nan))


@pytest.fixture(scope="session")
def make_market() -> MakeMarket:
    """A seeded random walk: ``make_market(bars, timeframe="1h", seed=1, skip=())``, without the bars in ``skip``."""

    def make(bars: int, timeframe: str = "1h", seed: int = 1, skip: tuple[int, ...] = ()) -> Frame:
        generator = np.random.default_rng(seed)
        close = 30_000.0 * np.exp(np.cumsum(generator.normal(0.0, 4e-3, bars)))
        open_ = np.concatenate(([close[0]], close[:-1]))
        high = np.maximum(open_, close) * np.exp(np.abs(generator.normal(0.0, 2e-3, bars)))
        low = np.minimum(open_, close) * np.exp(-np.abs(generator.normal(0.0, 2e-3, bars)))
        volume = generator.lognormal(5.0, 1.0, bars)
        times = START_MS + timeframe_ms(timeframe) * np.arange(bars, dtype=np.int64)
        keep = np.setdiff1d(np.arange(bars), np.asarray(skip, dtype=np.int64))
        columns = [column[keep] for column in (times, open_, high, low, close, volume)]
        return Frame.of(SeriesKey("synthetic", "BTC/USDT:USDT", timeframe, source="synthetic"), *columns)

    return make


@pytest.fixture(scope="session")
def make_funding() -> Callable[[Frame], FundingFrame]:
    """Seeded settlements every 8 hours over a frame's span."""

    def make(frame: Frame) -> FundingFrame:
        step = 8 * 3_600_000
        first = -(-int(frame.open_time[0]) // step) * step
        times = np.arange(first, int(frame.open_time[-1]) + frame.key.step_ms + 1, step, dtype=np.int64)
        rates = np.random.default_rng(5).normal(1e-4, 1e-4, len(times))
        return FundingFrame("synthetic", frame.key.symbol, "synthetic", times, rates, np.full(len(times), np.nan))

    return make
