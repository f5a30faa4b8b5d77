"""The rule strategy on recorded Bitcoin bars: both engines, the ledger identity, and sane figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ai.features.engine import FeatureEngine
from ai.schema import FeatureSchema
from data.grid import align
from data.instruments import instrument_for
from data.market import Frame, FundingFrame, SeriesKey
from tests.trading.cases import MemoryJournal
from trading.backtest import run_fast, run_service
from trading.config import TradingConfig
from trading.records import ExitReason
from trading.strategy.library import load_strategy


@pytest.mark.data
def test_rsi_oversold_on_hourly_bitcoin(shared_data: Path) -> None:
    pandas = pytest.importorskip("pandas")
    bars = pandas.read_parquet(shared_data / "ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet").tail(12_000)
    events = pandas.read_parquet(shared_data / "funding/binance_um/BTCUSDT-8h-20190910_20250531.parquet")
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")
    times = bars["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    frame = Frame.of(key, times, *(bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")))
    due = events["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    due = (due + 30_000) // 60_000 * 60_000
    none = np.full(len(due), np.nan)
    funding = FundingFrame("binanceusdm", key.symbol, "exchange", due, events["funding_rate"].to_numpy(), none)
    strategy = load_strategy("rsi-oversold")
    config = TradingConfig(
        (key.symbol,), "1h", strategy, strategy.profile("1h"), (instrument_for(key.symbol),), enforce=False
    )
    X = FeatureEngine(FeatureSchema(config.features()), "1h").batch(frame, funding)[None]
    grid = align([frame], [funding])
    fast = run_fast(config, grid, X, None)
    service = run_service(config, grid, X, None, MemoryJournal(), 1)
    for part in ("trades", "fills", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    assert len(fast.trades) > 10 and fast.funding != 0.0
    assert fast.equity_end == pytest.approx(10_000 + fast.trades["pnl"].sum(), abs=0.005)
    stopped = fast.trades[fast.trades["exit_reason"] == ExitReason.STOP]
    assert (-stopped["pnl"] < 0.02 * 10_000).all()
    assert (fast.trades["quantity"] * fast.trades["entry_price"] < 0.41 * fast.equity["equity"].max()).all()
