"""Back-tests and a sweep as the service answers with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import sample_views as sample

from app.contract import backtest_views as b
from app.contract import results as r
from app.contract import views as v
from app.contract.forms import BacktestForm

FORM = BacktestForm(
    ("BTC/USDT:USDT",), "15m", "rsi-oversold", since="2025-01-01", exchange="binanceusdm", source="exchange"
)
SCORES = (
    r.Score("Deflated Sharpe", 0.08, "fraction", passed=False, words="want > 95 %", tip="a tip", zone=(0.95, 1.0)),
    r.Score("Overfitting", 0.61, "fraction", passed=False, words="want < 50 %", zone=(0.0, 0.5)),
    r.Score("Tried", 41.0, "count", words="on this series"),
)
FINDING = b.Finding("Likely over-fitted", "warn", "not for live", "Of 41 settings the best falls back.", SCORES)


def row(number: int, kind: str = "backtest", strategy: str = "rsi-oversold") -> b.BacktestRow:
    return b.BacktestRow(
        number, kind, sample.NOW, strategy, ("BTC/USDT:USDT",), "15m", sample.NOW - 90 * sample.DAY, sample.NOW, 0.025,
        0.8, 562,
    )  # fmt: skip


def listed(*rows: b.BacktestRow) -> b.BacktestsView:
    series = tuple(
        b.SeriesChoice("binanceusdm", f"{base}/USDT:USDT", frame, source, sample.NOW - 900 * sample.DAY, sample.NOW,
                       86_400)
        for base, frame, source in (
            ("BTC", "15m", "exchange"), ("ETH", "15m", "exchange"), ("BTC", "1h", "synthetic"),
        )
    )  # fmt: skip
    strategies = (
        b.StrategyChoice(
            "rsi-oversold", False, "Buys a dip.", (("long.all.0.right", "30"), ("exits.swing.stop", "1.5"))
        ),
        b.StrategyChoice("ensemble", True, "The models.", (("threshold", "0.35"),)),
    )  # fmt: skip
    settings = (
        b.SettingChoice("trading.costs.taker_fee", "0.0005", "fraction of notional", "Taker fee."),
        b.SettingChoice("trading.paper.start_equity", "10000", "USDT", "Start equity."),
    )
    day = sample.NOW - sample.DAY
    schedules = (b.ScheduleChoice("wf-1", "BTC/USDT:USDT", "15m", "binanceusdm", "exchange", day, sample.NOW),)
    return b.BacktestsView(rows, series, strategies, schedules, settings, ("scalp", "swing"), "7")


def backtest(number: int = 118, net: float = 0.025) -> b.BacktestView:
    time, equity, _, drawdown = sample.equity(800)
    performance = sample.performance()
    cards = (
        v.MetricCard("net_return", "Net return", net, "fraction", "tip", signed=True, note="50,000 → 51,265"),
        v.MetricCard("sharpe", "Sharpe", 0.8, "ratio", "tip", signed=True, note="95 % band −1.20 to +2.70"),
        v.MetricCard("max_drawdown", "Deepest drawdown", 0.0352, "fraction", "tip", note="longest 40 days"),
        v.MetricCard("trades", "Trades", 147.0, "count", "tip", note="36.7 % won"),
        v.MetricCard("costs", "Costs", 6214.0, "USDT", "tip", note="69 % of the gross"),
    )
    figures = (
        b.Figure("net_return", "Return", net, "fraction", "tip", True, 1),
        b.Figure("max_drawdown", "Max drawdown", 0.0352, "fraction", "tip", False, -1),
        b.Figure("trades", "Trades", 147.0, "count", "tip"),
        b.Figure("sortino", "Sortino", None, "ratio", "tip", True, 1),
    )
    return b.BacktestView(
        number, sample.NOW, "rsi-oversold", "BTCUSDT 15m", FORM, (), FINDING, cards, figures, time, equity, drawdown,
        50_000.0, 0.05, int(time[500]), performance.months, performance.by_exit, performance.by_symbol,
        (), (r.GroupRow("range", 147, 54, -12.5, 30.0, 42.5, 0.9, -0.1),), performance.by_hour, performance.costs,
        (b.ExcursionRow("Best while held", "fraction", (0.001, 0.002, 0.004, 0.01, 0.02), "tip"),),
        np.array([0.5, -1.0, 2.4]), sample.trades().rows, ("liquidation is tested on the bar's low or high",),
    )  # fmt: skip


def sweep(number: int = 119) -> b.SweepView:
    made = {(0, 0): -0.4, (1, 0): 0.2, (0, 1): 0.8}
    cells = tuple(
        b.SweepCell(x, y, (("long.all.0.right", str(25 + 5 * x)), ("exits.swing.stop", str(y + 1))),
                    made.get((x, y)), 0.01, 0.03, 40)
        for y in range(2) for x in range(2) if (x, y) in made
    )  # fmt: skip
    empty = b.SweepCell(1, 1, (("long.all.0.right", "30"), ("exits.swing.stop", "2")))
    found = replace(FINDING, title="Even the best lost")
    return b.SweepView(
        number, sample.NOW, "rsi-oversold", "BTCUSDT 15m", FORM, found,
        "long.all.0.right", ("25", "30"), "exits.swing.stop", ("1", "2"), (*cells, empty), (0, 1), 4, 3,
    )  # fmt: skip
