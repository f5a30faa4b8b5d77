"""The rule strategy on recorded Bitcoin bars: both engines, the ledger identity, and sane figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ai.features.engine import FeatureEngine
from ai.schema import FeatureSchema
from data.grid import align
from data.instruments import instrument_for
from data.market import Frame, FundingFrame, SeriesKey
from tests.trading.cases import GO, LOOSE, MemoryJournal, config_of, features_of, merged, profile
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


@pytest.mark.data
def test_recorded_mark_prices_decide_liquidations_in_both_engines(shared_data: Path) -> None:
    """Five months of hours at twenty times leverage: mark prices stand beside every bar but those that are missing."""
    pandas = pytest.importorskip("pandas")
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h")

    def read(path: str, kind: str) -> Frame:
        rows = pandas.read_parquet(shared_data / path)
        rows = rows[(rows["timestamp"] >= "2025-01-01") & (rows["timestamp"] < "2025-06-01")]
        times = rows["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
        columns = [rows[name].to_numpy(dtype=float) for name in ("open", "high", "low", "close")]
        return Frame.of(replace(key, kind=kind), times, *columns, np.ones(len(rows)) * 1e4)

    last = read("ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet", "ohlcv")
    mark = read("mark/binance_um/1h/BTCUSDT-1h-mark-20241231_20250930.parquet", "mark")
    settings = merged(LOOSE, {"sizing": {"leverage": 20.0}, "limits": {"max_leverage": 20.0, "drawdown": 1.0}})
    config = config_of(GO, profile(0.2, 2.0, 200), settings, timeframe="1h")
    found = {}
    for name, marks in (("last", ()), ("mark", (mark,))):
        grid = align([last], [FundingFrame.empty(key.exchange, key.symbol)], marks)
        X = features_of(config, grid, go=np.where(np.arange(grid.bars) % 48 == 0, 1.0, 0.0))
        fast, service = run_fast(config, grid, X, None), run_service(config, grid, X, None, MemoryJournal(), 1)
        for part in ("trades", "fills", "equity", "decisions", "codes"):
            assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
        found[name] = fast
    assert found["mark"].assumptions == () and len(found["last"].assumptions) == 1
    assert {ExitReason.LIQUIDATION} <= set(found["mark"].trades["exit_reason"].tolist())
    assert found["mark"].equity_end != found["last"].equity_end
    basis = np.abs(mark.close / last.close - 1.0)
    assert 0.0 < basis.max() < 0.01
