"""Views of back-tests and sweeps. Conventions as in ``app.contract.views``."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.contract.forms import BacktestForm
from app.contract.judgement import NamedAmount
from app.contract.results import GroupRow, MonthRow, Score, TradeRow
from app.contract.views import FloatArray, IntArray, MetricCard, no_floats, no_times


@dataclass(frozen=True, slots=True)
class SeriesChoice:
    """Stored candles that may be back-tested; ``to_ms`` is the end of the last one."""

    exchange: str
    symbol: str
    timeframe: str
    source: str
    from_ms: int
    to_ms: int
    rows: int


@dataclass(frozen=True, slots=True)
class StrategyChoice:
    """A strategy of the library."""

    name: str
    reads_forecasts: bool
    sentence: str
    numbers: tuple[tuple[str, str], ...] = ()  # what a sweep may vary of it: key, value as written


@dataclass(frozen=True, slots=True)
class ScheduleChoice:
    """Stored forecasts of a walk-forward."""

    run_id: str
    symbol: str
    timeframe: str
    exchange: str
    source: str
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class SettingChoice:
    """A ``trading.`` setting that a back-test may override and a sweep may vary."""

    key: str
    value: str
    unit: str
    sentence: str


@dataclass(frozen=True, slots=True)
class BacktestRow:
    """A stored result in the list."""

    number: int
    kind: str  # backtest | sweep
    made_ms: int
    strategy: str
    symbols: tuple[str, ...]
    timeframe: str
    from_ms: int
    to_ms: int
    net_return: float | None  # of a sweep: of its best
    sharpe: float | None
    trades: int | None
    about: str = ""  # "41 of 48 combinations", "halted 21 May 2025"


@dataclass(frozen=True, slots=True)
class BacktestsView:
    """Would it have worked: what can be asked, and what was asked before, the newest first."""

    rows: tuple[BacktestRow, ...]
    series: tuple[SeriesChoice, ...] = ()
    strategies: tuple[StrategyChoice, ...] = ()
    schedules: tuple[ScheduleChoice, ...] = ()
    settings: tuple[SettingChoice, ...] = ()
    exits: tuple[str, ...] = ()
    seed: str = ""
    blocked: str = ""  # why nothing can be run; empty = it can


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run. ``better``: 1 more is better, −1 less is better, 0 neither."""

    key: str
    label: str
    value: float | None
    unit: str
    tip: str
    signed: bool = False
    better: int = 0


@dataclass(frozen=True, slots=True)
class ExcursionRow:
    """How far prices went while a position was held: the 5, 25, 50, 75 and 95 % quantiles."""

    name: str
    unit: str  # fraction of the entry, or R
    quantiles: tuple[float, ...]
    tip: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a result is worth, in words, with the numbers that say so."""

    title: str
    level: str
    badge: str
    sentence: str
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class BacktestView:
    """One back-test, whole."""

    number: int
    made_ms: int
    title: str  # "rsi-oversold"
    about: str  # "BTCUSDT 15m · 2025-01-01 … 2025-07-01 · gates enforced"
    form: BacktestForm
    parameters: tuple[tuple[str, str], ...]  # numbers of the strategy that were changed
    finding: Finding
    cards: tuple[MetricCard, ...]
    figures: tuple[Figure, ...]
    time: IntArray = field(default_factory=no_times)  # closes, thinned with their extremes kept
    equity: FloatArray = field(default_factory=no_floats)
    drawdown: FloatArray = field(default_factory=no_floats)
    equity_start: float | None = None
    drawdown_limit: float | None = None
    halted_ms: int | None = None
    months: tuple[MonthRow, ...] = ()
    by_exit: tuple[GroupRow, ...] = ()
    by_symbol: tuple[GroupRow, ...] = ()
    by_side: tuple[GroupRow, ...] = ()
    by_regime: tuple[GroupRow, ...] = ()
    by_hour: tuple[GroupRow, ...] = ()
    costs: tuple[NamedAmount, ...] = ()  # gross, fees, slippage, funding, net
    excursions: tuple[ExcursionRow, ...] = ()
    results_r: FloatArray = field(default_factory=no_floats)
    trades: tuple[TradeRow, ...] = ()  # newest first
    assumptions: tuple[str, ...] = ()
    currency: str = "USDT"


@dataclass(frozen=True, slots=True)
class SweepCell:
    """One combination; ``x`` and ``y`` are places on the axes. Without figures: not run, or see ``error``."""

    x: int
    y: int
    parameters: tuple[tuple[str, str], ...]
    sharpe: float | None = None
    net_return: float | None = None
    max_drawdown: float | None = None
    trades: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class SweepView:
    """One sweep: figures over two parameters, and what the search costs in evidence."""

    number: int
    made_ms: int
    title: str
    about: str
    form: BacktestForm
    finding: Finding
    x_key: str
    x_values: tuple[str, ...]
    y_key: str  # empty: one parameter was varied
    y_values: tuple[str, ...]
    cells: tuple[SweepCell, ...]
    best: tuple[int, int] | None  # of all, by Sharpe ratio
    planned: int
    done: int
    assumptions: tuple[str, ...] = ()
