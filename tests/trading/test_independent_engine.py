"""A year of recorded 5m Bitcoin bars: every trade of two rules is the one that backtesting.py 0.6.6 makes.

``recorded/record.py`` ran that engine in an environment of its own, with indicators and signals of its own; the answers
are bar numbers and profits in ticks. Rules are the same in: entry at the next open; stop at its price when touched, at
the open when gapped over, on the entry's bar too; a bar that touches stop and target counts as the stop; a signal
leaves at the next open; flat at a close may enter at the next open. Where they differ, and what is done about it:

1. Levels before the fill: there they must be given with the order, here they hang from the fill. The recorder looks
   up the next open and gives levels from it.
2. A target there fills when touched, here when the market trades through it by one tick: there it stands a tick
   further, so that both fill on the same bars; its profit is a tick less here.
3. A gap over the target fills there at the better open, here at the target's price: so does the test. None occurred.
4. Time exits fill there at the next open, here at the close before it. They are the same moment; the test takes the
   difference between the two prices off.
5. Exit bars: there the bar of the fill, here the moment, which is the bar's close unless it filled at the open.
6. Sizes: there whole coins, here lots by risk. Profits are compared for one coin.
7. A bar without volume fills no entry here; it does there. None of the year's entries met one.
8. A last trade still open: there it is not listed, here it ends by ``end``; it is left out.
Spread, impact and funding are nought; both fees are those of a taker. Gates are observed only; there are none there.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ai.exits import DistanceUnit, ExitProfile
from ai.features.engine import FeatureEngine
from ai.schema import FeatureSchema
from data.grid import Grid, align
from data.instruments import instrument_for
from data.market import Float64Array, Frame, FundingFrame, SeriesKey
from trading.backtest import RunResult, run_fast
from trading.config import TradingConfig
from trading.records import ExitReason
from trading.settings import TradingSettings
from trading.strategy.library import load_strategy
from trading.strategy.spec import StrategySpec, parse_strategy

pytestmark = pytest.mark.data

FILE = "ohlcv/binance_um/5m/BTCUSDT-5m-20230101_20240514.parquet"
FIRST, BARS, STEP, TICK, FEE = 1500, 105_120, 300_000, 0.1, 0.0005
ANSWERS: dict[str, list[list[Any]]] = json.loads(
    (Path(__file__).parent / "recorded" / "answers.json").read_text(encoding="utf-8")
)
CROSS = parse_strategy(
    {
        "name": "ema-cross",
        "meaning": "EMA 20 crosses EMA 50; the opposite cross leaves.",
        "long": {"left": "ema_20", "op": "crosses_above", "right": "ema_50"},
        "short": {"left": "ema_20", "op": "crosses_below", "right": "ema_50"},
        "exit_long": {"left": "ema_20", "op": "crosses_below", "right": "ema_50"},
        "exit_short": {"left": "ema_20", "op": "crosses_above", "right": "ema_50"},
    },
    "test",
)
RULES: dict[str, tuple[StrategySpec, float, float, int]] = {
    "ema-cross": (CROSS, 0.006, 2.0, 48),
    "rsi-oversold": (load_strategy("rsi-oversold"), 0.005, 3.0, 12),
}
KINDS = {ExitReason.STOP: "stop", ExitReason.TARGET: "target", ExitReason.TIME: "time", ExitReason.SIGNAL: "signal"}


@cache
def ran(folder: Path, name: str) -> tuple[RunResult, Grid]:
    pandas = pytest.importorskip("pandas")
    bars = pandas.read_parquet(folder / FILE).head(FIRST + BARS)
    key = SeriesKey("binanceusdm", "BTC/USDT:USDT", "5m")
    times = bars["timestamp"].astype("datetime64[ms, UTC]").astype("int64").to_numpy()
    columns = [bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    strategy, stop, ratio, limit = RULES[name]
    config = TradingConfig(
        (key.symbol,), "5m", strategy,
        ExitProfile("test", DistanceUnit.PERCENT, stop, ratio, limit, stop, ratio, True),
        (instrument_for(key.symbol),),
        TradingSettings.model_validate({"costs": {
            "taker_fee": FEE, "maker_fee": FEE, "spread": 0.0, "impact": 0.0, "volume_share": 1.0,
        }}),
        enforce=False,
    )  # fmt: skip
    whole = Frame.of(key, times, *columns)
    none = np.empty(0)
    funding = FundingFrame(key.exchange, key.symbol, "exchange", none.astype(np.int64), none, none)
    X: Float64Array = FeatureEngine(FeatureSchema(config.features()), "5m").batch(whole, funding)[None, :, FIRST:]
    grid = align([Frame.of(key, times[FIRST:], *(column[FIRST:] for column in columns))], [funding])
    return run_fast(config, grid, X, None), grid


def expected(grid: Grid, row: list[Any]) -> tuple[int, int, int, str, int, int]:
    """A recorded trade by the rules here; 1 at the end where the target was gapped over."""
    entry, out, side, kind, won = row[:5]
    moment = int(grid.open_time[out])
    opened = round(side * (grid.open[0, out] - grid.open[0, entry]) / TICK)
    gapped = 0
    if kind == "time":
        won -= round(side * (grid.open[0, out] - grid.close[0, out - 1]) / TICK)
    elif kind != "signal" and (out == entry or opened != won):
        moment += STEP  # within the bar, not at its open
    elif kind == "target":
        gapped = 1
    if kind == "target" and not gapped:
        won -= 1
    return int(grid.open_time[entry]), moment, side, kind, won, gapped


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_years_trades_are_those_of_backtesting_py(shared_data: Path, name: str) -> None:
    result, grid = ran(shared_data, name)
    assert len(grid.open_time) == BARS and (np.diff(grid.open_time) == STEP).all()
    theirs = [expected(grid, row) for row in ANSWERS[name]]
    trades = result.trades[result.trades["exit_reason"] != ExitReason.END]
    ours = [
        (
            int(t["entry_time"]), int(t["exit_time"]), int(t["side"]), KINDS[ExitReason(int(t["exit_reason"]))],
            round(int(t["side"]) * (t["exit_price"] - t["entry_price"]) / TICK), 0,
        )
        for t in trades
    ]  # fmt: skip
    assert ours == theirs
    assert len(result.trades) - len(trades) <= 1


@pytest.mark.parametrize("name", sorted(RULES))
def test_money_for_one_coin_is_the_same_where_the_price_is(shared_data: Path, name: str) -> None:
    """Fees are a share of both sides' value in both engines."""
    result, _ = ran(shared_data, name)
    compared = 0
    for trade, row in zip(result.trades, ANSWERS[name], strict=False):
        if row[3] in ("stop", "signal"):
            assert trade["pnl"] / trade["quantity"] == pytest.approx(row[5], abs=1e-5)
            compared += 1
    assert compared > 25


def test_the_differences_named_are_as_many_as_counted(shared_data: Path) -> None:
    """Enough of every kind to mean something, no gap over a target, and no entry that met a bar without volume."""
    kinds = {name: [row[3] for row in rows] for name, rows in ANSWERS.items()}
    counts = {name: [said.count(kind) for kind in ("stop", "target", "time", "signal")] for name, said in kinds.items()}
    assert counts == {"ema-cross": [252, 174, 429, 724], "rsi-oversold": [28, 3, 77, 0]}
    for name, rows in ANSWERS.items():
        _, grid = ran(shared_data, name)
        assert sum(expected(grid, row)[5] for row in rows) == 0
        assert (grid.volume[0] == 0).sum() == 3
        assert all(grid.volume[0, row[0]] > 0 for row in rows)
