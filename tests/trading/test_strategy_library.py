"""The library on recorded Bitcoin bars: signals against TA-Lib and pandas, and both engines over a year."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib
from scipy.stats import norm

from ai.features.engine import FeatureEngine
from ai.features.registry import warmup_bars
from ai.schema import FeatureSchema
from data.grid import Grid, align
from data.instruments import instrument_for
from data.market import Float64Array, Frame, FundingFrame, SeriesKey
from tests.trading.cases import MemoryJournal, random_forecasts
from trading.backtest import run_fast, run_service
from trading.config import TradingConfig
from trading.records import ExitReason, Purpose
from trading.strategy.library import LIBRARY
from trading.strategy.program import EXIT_LONG, EXIT_SHORT, LONG, SHORT, compile_program, signals
from trading.strategy.spec import StrategySpec

pytestmark = pytest.mark.data

YEAR, WARM_UP = 8_760, 2_800
SYMBOL = "BTC/USDT:USDT"
BITS = (LONG, SHORT, EXIT_LONG, EXIT_SHORT)
Bools = tuple["pd.Series[bool] | None", ...]


@pytest.fixture(scope="module")
def bars(shared_data: Path) -> pd.DataFrame:
    """2021-05 to 2022-05: a fall, a rally, a range and a crash."""
    whole = pd.read_parquet(shared_data / "ohlcv/binance_um/1h/BTCUSDT-1h-20190908_20250602.parquet")
    first = int((whole["timestamp"] < "2021-05-01").sum())
    return whole.iloc[first - WARM_UP : first + YEAR].reset_index(drop=True)


@pytest.fixture(scope="module")
def frame(bars: pd.DataFrame) -> Frame:
    times = bars["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    key = SeriesKey("binanceusdm", SYMBOL, "1h")
    return Frame.of(key, times, *(bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")))


@pytest.fixture(scope="module")
def funding(shared_data: Path) -> FundingFrame:
    events = pd.read_parquet(shared_data / "funding/binance_um/BTCUSDT-8h-20190910_20250531.parquet")
    due = events["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    due = (due + 30_000) // 60_000 * 60_000
    return FundingFrame(
        "binanceusdm", SYMBOL, "exchange", due, events["funding_rate"].to_numpy(), np.full(len(due), np.nan)
    )


# ---- the strategies once more, by TA-Lib and pandas -----------------------------------------------------------------


def crosses_above(left: pd.Series, right: pd.Series) -> pd.Series:
    return (left.shift(1) <= right.shift(1)) & (left > right)


def crosses_below(left: pd.Series, right: pd.Series) -> pd.Series:
    return (left.shift(1) >= right.shift(1)) & (left < right)


def t_of_slope(close: pd.Series, bars: int) -> pd.Series:
    """t-value of an ordinary least-squares line, window by window: slope / standard error."""
    windows = np.lib.stride_tricks.sliding_window_view(close.to_numpy(), bars)
    x = np.arange(bars) - (bars - 1) / 2
    centred = windows - windows.mean(axis=1, keepdims=True)
    slope = centred @ x / (x @ x)
    rest = ((centred - slope[:, None] * x) ** 2).sum(axis=1)
    t = slope / np.sqrt(rest / (bars - 2) / (x @ x))
    return pd.Series(np.concatenate([np.full(bars - 1, np.nan), t]))


class Measures:
    """What the oracles read, by TA-Lib and pandas alone."""

    def __init__(self, bars: pd.DataFrame) -> None:
        self.open, self.high, self.low, self.close, self.volume = (
            bars[name].astype(float) for name in ("open", "high", "low", "close", "volume")
        )
        close, self.time = self.close, bars["timestamp"]
        self.rsi, self.ema200 = talib.RSI(close, 14), talib.EMA(close, 200)
        self.macd, self.signal, _ = talib.MACD(close, 12, 26, 9)
        self.upper, self.middle, self.lower = talib.BBANDS(close, 20, 2, 2)
        self.z = (close - talib.SMA(close, 20)) / talib.STDDEV(close, 20)
        self.t = t_of_slope(close, 96)
        self.ranging = self.t.abs() <= 2
        self.slope = 1000 * talib.LINEARREG_SLOPE(close, 10) / close
        returns = np.log(close).diff()
        self.quiet = np.sqrt((returns**2).rolling(12).mean()) / returns.rolling(96).std() < 0.75
        self.busy = self.volume / talib.SMA(self.volume, 20)
        self.place = (close - self.low) - (self.high - close)


def rsi_oversold(m: Measures) -> Bools:
    return (m.rsi < 30) & (m.close > m.ema200), (m.rsi > 70) & (m.close < m.ema200), None, None


def macd_cross(m: Measures) -> Bools:
    up, down = crosses_above(m.macd, m.signal), crosses_below(m.macd, m.signal)
    return up & (m.close > m.ema200), down & (m.close < m.ema200), down, up


def bollinger_reversion(m: Measures) -> Bools:
    return (
        crosses_above(m.close, m.lower) & m.ranging, crosses_below(m.close, m.upper) & m.ranging,
        m.close >= m.middle, m.close <= m.middle,
    )  # fmt: skip


def zscore_scalp(m: Measures) -> Bools:
    return (
        (m.z < -2) & m.ranging & (m.place > 0), (m.z > 2) & m.ranging & (m.place < 0), m.z >= 0, m.z <= 0,
    )  # fmt: skip


def breakout(m: Measures) -> Bools:
    quiet = m.quiet.astype(float).rolling(12).max() == 1
    return (
        quiet & crosses_above(m.close, m.upper) & (m.busy > 1.5),
        quiet & crosses_below(m.close, m.lower) & (m.busy > 1.5), m.close < m.middle, m.close > m.middle,
    )  # fmt: skip


def momentum(m: Measures) -> Bools:
    rise = m.close / m.close.shift(96)
    return (
        (m.t > 2) & (m.slope > 0.5) & (rise > 1), (m.t < -2) & (m.slope < -0.5) & (rise < 1), m.slope < 0, m.slope > 0,
    )  # fmt: skip


def trend_or_range(m: Measures) -> Bools:
    trend, back = momentum(m), bollinger_reversion(m)
    assert trend[0] is not None and trend[1] is not None and back[0] is not None and back[1] is not None
    before = m.z.shift(1)
    up = (m.place > 0).astype(int) + (m.busy >= 1).astype(int) + (before >= -2).astype(int)
    down = (m.place < 0).astype(int) + (m.busy >= 1).astype(int) + (before <= 2).astype(int)
    return (trend[0] | back[0]) & (up >= 2), (trend[1] | back[1]) & (down >= 2), None, None


def turtle(m: Measures) -> Bools:
    high, low = (
        {n: talib.MAX(m.high, n).shift(1) for n in (20, 55)},
        {n: talib.MIN(m.low, n).shift(1) for n in (20, 55)},
    )
    return m.close > high[55], m.close < low[55], m.close < low[20], m.close > high[20]


def chandelier(m: Measures) -> Bools:
    mean = talib.EMA(m.close, 20)
    return crosses_above(m.close, mean) & (m.t > 2), crosses_below(m.close, mean) & (m.t < -2), None, None


def triple_screen(m: Measures) -> Bools:
    long_bars = m.close.groupby(m.time.dt.floor("4h")).agg(["last", "size"])
    slopes = talib.LINEARREG_SLOPE(long_bars["last"].astype(float), 20)
    tide = slopes[long_bars["size"] == 4].rename("tide")
    tide.index += pd.Timedelta("3h")  # known at the close of the fourth bar
    tide = m.time.map(tide).ffill()
    _, wave = talib.STOCH(m.high, m.low, m.close, 14, 3, 0, 3, 0)
    return (tide > 0) & (wave < 30), (tide < 0) & (wave > 70), None, None


ORACLES: Mapping[str, Callable[[Measures], Bools]] = {
    "rsi-oversold": rsi_oversold, "macd-cross": macd_cross, "bollinger-reversion": bollinger_reversion,
    "zscore-scalp": zscore_scalp, "breakout": breakout, "momentum": momentum, "trend-or-range": trend_or_range,
    "turtle": turtle, "chandelier": chandelier, "triple-screen": triple_screen,
}  # fmt: skip


def features(spec: StrategySpec, frame: Frame, funding: FundingFrame, names: tuple[str, ...]) -> Float64Array:
    assert warmup_bars(names, "1h") <= WARM_UP
    return FeatureEngine(FeatureSchema(names), "1h").batch(frame, funding)


def test_there_is_an_oracle_for_every_rule() -> None:
    assert {*ORACLES, "monte-carlo"} == {spec.name for spec in LIBRARY.values() if spec.kind == "rule"}


@pytest.mark.parametrize("name", ORACLES)
def test_conditions_fire_where_talib_and_pandas_say(
    name: str, bars: pd.DataFrame, frame: Frame, funding: FundingFrame
) -> None:
    spec = LIBRARY[name]
    X = features(spec, frame, funding, spec.features())
    program = compile_program(spec, FeatureSchema(spec.features()))
    out = np.zeros(len(frame), dtype=np.uint8)
    signals(program.code, program.constants, program.used, program.depth, program.back, X, out)
    for bit, said in zip(BITS, ORACLES[name](Measures(bars)), strict=True):
        if said is None:
            assert not (out & bit).any()
            continue
        there = np.flatnonzero(out[WARM_UP:] & bit)
        wanted = np.flatnonzero(said.fillna(False).to_numpy()[WARM_UP:])
        assert there.tolist() == wanted.tolist(), bit
        assert len(wanted) >= 5, "a strategy that hardly ever fires is not shown to be right"


def test_monte_carlo_fires_where_the_closed_form_says(bars: pd.DataFrame, frame: Frame, funding: FundingFrame) -> None:
    """Log returns with the drift and spread of 50 bars: P(up in 24) = normal(drift sqrt(24) / spread), known without
    paths. Where it is further than 4.5 standard errors of 1,000 paths from every threshold, both must agree."""
    spec = LIBRARY["monte-carlo"]
    X = features(spec, frame, funding, spec.features())
    program = compile_program(spec, FeatureSchema(spec.features()))
    out = np.zeros(len(frame), dtype=np.uint8)
    signals(program.code, program.constants, program.used, program.depth, program.back, X, out)
    returns = np.log(bars["close"]).diff()
    up = pd.Series(norm.cdf(np.sqrt(24) * returns.rolling(50).mean() / returns.rolling(50).std()))
    slope = Measures(bars).slope
    said = (
        (up > 0.65) | ((up > 0.55) & (slope > 0.5)), (up < 0.35) | ((up < 0.45) & (slope < -0.5)),
        up < 0.45, up > 0.55,
    )  # fmt: skip
    clear = np.all([(up - limit).abs() > 0.07 for limit in (0.35, 0.45, 0.55, 0.65)], axis=0)[WARM_UP:]
    for bit, wanted in zip(BITS, said, strict=True):
        fired = (out[WARM_UP:] & bit) > 0
        assert (fired[clear] == wanted.to_numpy()[WARM_UP:][clear]).all(), bit
        assert fired[clear].sum() > 100 and (~fired[clear]).sum() > 100
    assert clear.mean() > 0.25


def year(spec: StrategySpec, frame: Frame, funding: FundingFrame) -> tuple[TradingConfig, Grid, Float64Array]:
    config = TradingConfig((SYMBOL,), "1h", spec, spec.profile("1h"), (instrument_for(SYMBOL),), enforce=False)
    X = features(spec, frame, funding, config.features())[None]
    late = Frame.of(
        frame.key, frame.open_time[WARM_UP:], frame.open[WARM_UP:], frame.high[WARM_UP:], frame.low[WARM_UP:],
        frame.close[WARM_UP:], frame.volume[WARM_UP:],
    )  # fmt: skip
    return config, align([late], [funding]), np.ascontiguousarray(X[:, :, WARM_UP:])


@pytest.mark.parametrize("name", LIBRARY)
def test_both_engines_trade_a_year_alike(name: str, frame: Frame, funding: FundingFrame) -> None:
    spec = LIBRARY[name]
    config, grid, X = year(spec, frame, funding)
    forecasts: Any = None
    if spec.kind != "rule":
        forecasts = random_forecasts(np.random.default_rng(7), (1, grid.bars))
        config, grid, X = year(spec.model_copy(update={"threshold": 0.2}), frame, funding)
    fast = run_fast(config, grid, X, forecasts)
    service = run_service(config, grid, X, forecasts, MemoryJournal(), 1)
    for part in ("trades", "fills", "equity", "decisions", "codes"):
        assert getattr(fast, part).tobytes() == getattr(service, part).tobytes(), part
    assert fast.metrics == service.metrics
    assert len(fast.trades) >= 5 and {-1, 1} == set(fast.trades["side"].tolist())


def traded(name: str, frame: Frame, funding: FundingFrame, late: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """The trades of a year, and its bars with TA-Lib's ATR as it was at each close."""
    result = run_fast(*year(LIBRARY[name], frame, funding), None)
    bars = late.assign(atr=talib.ATR(late["high"], late["low"], late["close"], 14)).iloc[WARM_UP:]
    return result, bars.set_index(bars["timestamp"].astype("datetime64[ms, UTC]").astype("int64"))


def test_the_chandelier_hangs_three_atr_from_the_best_price_of_the_trade(
    frame: Frame, funding: FundingFrame, bars: pd.DataFrame
) -> None:
    result, table = traded("chandelier", frame, funding, bars)
    assert set(result.trades["exit_reason"].tolist()) <= {ExitReason.STOP, ExitReason.TRAILING, ExitReason.END}
    told = 0
    for trade in result.trades[result.trades["exit_reason"] == ExitReason.TRAILING]:
        held = table.loc[trade["entry_time"] : trade["exit_time"] - 2 * 3_600_000]  # bars whose close moved the stop
        long = trade["side"] > 0
        best = held["high"].cummax() if long else held["low"].cummin()
        level = (best - 3 * held["atr"]).max() if long else (best + 3 * held["atr"]).min()
        last = table.loc[trade["exit_time"] - 3_600_000]
        if (last["open"] > level if long else last["open"] < level) and (last["low"] <= level <= last["high"]):
            told += 1
            assert abs(trade["exit_price"] / level - 1) < 6e-4  # half the spread and the impact away
    assert told > 60


def test_the_turtle_adds_up_to_three_units_and_never_loses_more_than_the_first_may(
    frame: Frame, funding: FundingFrame, bars: pd.DataFrame
) -> None:
    result, _ = traded("turtle", frame, funding, bars)
    assert set(result.trades["exit_reason"].tolist()) <= set(ExitReason) - {ExitReason.TARGET, ExitReason.TIME}
    units, since = [], 0
    for trade in result.trades:
        own = result.fills[(result.fills["time"] >= since) & (result.fills["time"] < trade["exit_time"])]
        entries = own[own["purpose"] == Purpose.ENTRY]
        since = trade["exit_time"]
        units.append(len(entries))
        assert (entries["side"] == trade["side"]).all()
        assert (entries["quantity"] <= entries["quantity"][0] + 1e-9).all()
        assert (trade["side"] * (entries["price"][1:] - entries["price"][0]) > 0).all()  # only what wins is added to
        assert trade["pnl"] - trade["funding"] > -1.05 * trade["risk_amount"]  # a gap costs a little more
    assert max(units) == 4 and np.mean(np.array(units) > 1) > 0.3


def test_the_third_screen_only_buys_where_the_price_turns_back_with_the_tide(
    frame: Frame, funding: FundingFrame, bars: pd.DataFrame
) -> None:
    result, table = traded("triple-screen", frame, funding, bars)
    entries = result.fills[result.fills["purpose"] == Purpose.ENTRY]
    planned = result.decisions[result.decisions["action"] != 0]
    assert 20 < len(entries) < len(planned)  # orders that were not reached expired
    placed = {int(row["plan_id"]): row for row in planned}
    for fill in entries:
        row = placed[int(fill["plan_id"])]
        close, way = table.loc[row["open_time"], "close"], fill["side"]
        assert way * (row["entry"] - close) == pytest.approx(0.25 * abs(row["entry"] - row["stop"]), abs=0.11)
        assert way * (fill["price"] - row["entry"]) >= -0.05
