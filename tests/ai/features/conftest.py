"""Real and made markets for the feature tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.beside import BESIDE, Beside
from data.market import Float64Array, Frame, FundingFrame, SeriesKey
from data.timeframes import timeframe_ms

START_MS = 1_704_067_200_000  # 2024-01-01 00:00 UTC

MakeMarket = Callable[..., Frame]
MakeBeside = Callable[..., Beside]


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


def seeded_beside(frame: Frame, seed: int = 11) -> Beside:
    """Plausible values beside a frame, each row with single holes, and all of them with one of 200 bars."""
    generator, bars = np.random.default_rng(seed), len(frame)

    def walk(start: float, size: float) -> Float64Array:
        return start * np.exp(np.cumsum(generator.normal(0.0, size, bars)))

    index = frame.close * np.exp(generator.normal(0.0, 3e-4, bars))
    bid = frame.close * (1.0 - generator.uniform(1e-6, 1e-4, bars))
    ask = frame.close * (1.0 + generator.uniform(1e-6, 1e-4, bars))
    bought = frame.volume * generator.uniform(0.1, 0.8, bars)
    quiet = generator.random(bars) < 0.8
    values = np.array([
        index * np.exp(generator.normal(0.0, 2e-4, bars)), index, walk(9e4, 4e-3), walk(1.5, 1e-2), walk(1.2, 1e-2),
        walk(1.1, 1e-2), walk(1.0, 5e-2), bid, ask, *generator.uniform(-1, 1, (3, bars)),
        bid + (ask - bid) * generator.random(bars), bought, frame.volume - bought, generator.integers(50, 5e4, bars),
        *np.where(quiet, 0.0, generator.lognormal(1.0, 1.0, (2, bars))), frame.close * walk(0.05, 3e-3),
        walk(150.0, 6e-3),
    ])  # fmt: skip
    assert len(values) == len(BESIDE)
    values[generator.random(values.shape) < 0.02] = np.nan
    values[:, bars // 2 : bars // 2 + 200] = np.nan
    return Beside(frame.open_time, values)


@pytest.fixture(scope="session")
def make_beside() -> MakeBeside:
    """``make_beside(frame, seed=11)``."""
    return seeded_beside


@pytest.fixture(scope="session")
def btc_beside(btc: Frame, shared_data: Path) -> Beside:
    """Recorded mark prices of 2025, open interest and ratios of 2024, and the closes of Ethereum and Solana beside the
    hours of Bitcoin; what is not recorded is seeded."""
    values = seeded_beside(btc).values
    interest = "oi_liq_lsr/binance_BTC_open_interest_30m_2024.parquet"
    ratio = "oi_liq_lsr/binance_BTCUSDT_long_short_account_ratio_30m_2024.parquet"
    mark = "mark/binance_um/1h/BTCUSDT-1h-mark-20241231_20250930.parquet"
    others = [f"ohlcv/binance_um/1h/{name}" for name in ("ETHUSDT-1h-20220601_20250731.parquet",
                                                         "SOLUSDT-1h-20220625_20250731.parquet")]  # fmt: skip
    for row, name, column, opens in (
        ("mark_price", mark, "close", True), ("open_interest", interest, "close", False),
        ("account_ratio", ratio, "longShortRatio", False), ("cross_1_close", others[0], "close", True),
        ("cross_2_close", others[1], "close", True),
    ):  # fmt: skip
        table = pd.read_parquet(shared_data / name)
        times = table["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
        told = pd.Series(table[column].to_numpy(), times).reindex(btc.open_time + (0 if opens else btc.key.step_ms))
        here = told.notna().to_numpy()
        values[BESIDE.index(row), here] = told.to_numpy()[here]
    return Beside(btc.open_time, values)
