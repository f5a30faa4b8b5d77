"""What screens and the API show: frozen values, ready to show, with raw numbers.

Conventions, for every view:

* Times are ``int`` milliseconds UTC; series of times are ``int64[N]``, series of values ``float64[N]``.
* A share (return, drawdown, distance, probability) is a fraction: 0.02 is two per cent. Its unit is ``"fraction"``.
* ``None`` means *unknown* or *does not apply*; it is never written as zero. NaN is allowed inside series only.
* Other units: ``"USDT"`` (the account's quote), ``"count"``, ``"ratio"`` (no unit, two decimals), ``"s"``, ``"x"``
  (multiples), ``"R"`` (multiples of the risk at the stop), ``"ATR"``, ``"bars"``, ``"ms"``, ``"price"``.
* ``level`` is one of ``ok warn bad info idle``; ``side`` is ``long`` or ``short``.
* ``digits`` of a row: decimals of its price (from the tick) and of its quantity (from the lot).
* A tuple that is empty is an empty screen, and the window says what fills it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.contract.judgement import JudgementView, NamedAmount, PathsView
from app.contract.position_views import EntryRow, StopMove, TargetRow

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def no_floats() -> FloatArray:
    """An empty series of values."""
    return np.empty(0, dtype=np.float64)


def no_times() -> IntArray:
    """An empty series of times."""
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class StripView:
    """The status strip: is it trading, with what money, on what data, how safe."""

    mode: str  # paper | live | replay
    state: str  # STOPPED | WARMING_UP | RUNNING | PAUSED | HALTED
    state_why: str  # words: why halted, what it warms up
    running_since_ms: int | None
    now_ms: int  # wall clock of the service
    bar_ms: int | None  # close of the newest bar committed
    revision: int  # grows whenever a visible tab would show something new (a bar committed, a job ended)
    feed: str  # exchange or "synthetic"
    feed_state: str  # live | replay | synthetic | stale | none
    stale_s: float | None
    currency: str  # USDT
    equity: float | None
    day_pnl: float | None  # currency
    day_pnl_fraction: float | None
    open_risk: float | None  # loss at the stops as a fraction of equity
    open_risk_limit: float | None
    drawdown: float | None  # >= 0
    drawdown_limit: float | None
    positions: int
    orders: int
    exposure: float | None  # gross notional, currency
    unprotected: int
    banner: str = ""  # one plain sentence over the tabs; synthetic data say so here and how to bring real data
    start_blocked: str = ""  # why Start is disabled; empty = enabled
    pause_blocked: str = ""
    stop_blocked: str = ""


@dataclass(frozen=True, slots=True)
class MetricCard:
    """One card of the overview."""

    key: str  # equity | day_pnl | win_rate | trades | sharpe | drawdown
    title: str
    value: float | None
    unit: str
    tip: str  # what the number means, from the definitions
    suffix: str = ""  # words beside the value: "closed", "46 of 90 d"
    signed: bool = False  # write the sign and take the colour of profit or loss
    change: float | None = None  # shown with sign and arrow under the value
    change_unit: str = "fraction"
    note: str = ""  # words under the value where there is no change
    right: str = ""  # words at the right: "limit −2 %"
    series: FloatArray = field(default_factory=no_floats)
    reference: float | None = None  # dotted line in the sparkline
    bars: bool = False  # bars around zero instead of a line


@dataclass(frozen=True, slots=True)
class HealthRow:
    """One service: feed, venue, model, database, audit chain."""

    name: str
    state: str
    level: str
    detail: str


@dataclass(frozen=True, slots=True)
class PositionRow:
    """An open position."""

    symbol: str
    side: str
    quantity: float  # > 0, base units
    base: str  # BTC
    entry: float
    last: float | None
    pnl: float | None  # currency, unrealised
    pnl_r: float | None
    stop: float | None
    target: float | None
    to_stop: float | None  # fractions of the last price, >= 0
    to_target: float | None
    to_liquidation: float | None
    opened_ms: int
    closes_ms: int | None  # time limit
    left_s: float | None
    notional: float
    margin: float | None  # fraction of equity
    margin_limit: float | None
    loss_at_stop: float | None  # currency, >= 0, costs included
    leverage: float | None
    protected: bool
    protection: str  # "Stop resting", "Stop moved", "Stop missing", "Closing at the next price"
    price_digits: int = 1
    quantity_digits: int = 3
    liquidation: float | None = None  # None: it is never reached
    margin_mode: str = ""  # isolated | cross
    protecting: float | None = None  # base units that the resting stop would close
    stops: tuple[StopMove, ...] = ()  # newest first: where the stop stands and stood
    targets: tuple[TargetRow, ...] = ()  # by their order; the last is the plan's own
    adds: int = 0  # additions planned so far
    adds_most: int = 0


@dataclass(frozen=True, slots=True)
class SignalRow:
    """One decision in a list."""

    decision_id: str
    time_ms: int  # close of the bar decided on
    symbol: str
    action: str  # long | short | blocked | abstain
    expected_value: float | None  # fraction of notional after costs; None for rules
    why: str
    outcome: float | None = None  # net profit of the trade it led to, currency
    outcome_r: float | None = None
    open: bool = False  # its position is still open


@dataclass(frozen=True, slots=True)
class OverviewView:
    """How am I doing, what is open."""

    cards: tuple[MetricCard, ...]
    time: IntArray
    equity: FloatArray
    high_water: FloatArray
    drawdown: FloatArray  # >= 0, fraction
    equity_start: float | None
    drawdown_limit: float | None
    account: str  # "paper account", "synthetic replay"
    currency: str
    positions: tuple[PositionRow, ...] = ()
    exposure: float | None = None  # fractions of equity
    exposure_limit: float | None = None
    net_exposure: float | None = None
    loss_at_stops: float | None = None  # currency, >= 0
    decisions: tuple[SignalRow, ...] = ()
    health: tuple[HealthRow, ...] = ()
    paper_days: float | None = None
    paper_days_advised: float | None = None
    waiting: int = 0  # entry orders that wait


@dataclass(frozen=True, slots=True)
class BarView:
    """The newest candle of one series, closed or forming."""

    symbol: str
    timeframe: str
    time_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True, slots=True)
class TradeMarker:
    """A closed trade as it is drawn into the chart."""

    trade_id: int
    side: str
    entry_ms: int
    entry: float
    exit_ms: int
    exit: float
    pnl: float
    exit_reason: str  # stop target trailing time liquidation signal emergency end


@dataclass(frozen=True, slots=True)
class ChartView:
    """What the market is doing, what we did. All series have one length N, oldest first."""

    symbol: str
    timeframe: str
    origin: str  # "binanceusdm", "synthetic"
    symbols: tuple[str, ...]
    timeframes: tuple[str, ...]
    time: IntArray  # open times
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    base: str
    price_digits: int
    indicators: Mapping[str, FloatArray] = field(default_factory=dict)  # "EMA 20", "RSI 14", "ATR 14"; NaN in warm-up
    trades: tuple[TradeMarker, ...] = ()
    position: PositionRow | None = None
    currency: str = "USDT"


@dataclass(frozen=True, slots=True)
class SignalsView:
    """Why did it (not) trade."""

    rows: tuple[SignalRow, ...]  # newest first
    total: int  # matching rows in the ledger; rows may be fewer
    symbols: tuple[str, ...]
    currency: str = "USDT"


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """One value that the decision read."""

    name: str
    label: str
    value: float | None
    unit: str
    percentile: float | None  # 0..1 within the training span (or the last bars); None = not known
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One model's calibrated probabilities and its say."""

    name: str
    p_short: float
    p_neutral: float
    p_long: float
    weight: float | None


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate: value against limit."""

    key: str
    label: str
    tier: str  # Position | Day | System | Compliance | Market | Portfolio
    value: float | None
    limit: float | None
    unit: str
    passed: bool
    measured: bool  # False: could not be measured; fails in live, is marked in paper
    words: str  # one sentence for the tip
    at_least: bool = False  # the limit is a minimum
    by_design: bool = False  # it stands on its limit by construction (leverage, stop distance)
    text: str = ""  # shown instead of value / limit where there is no number: "BTCUSDT / allowed"
    set_limit: float | None = None  # the limit as set, where the one in force has tightened


@dataclass(frozen=True, slots=True)
class PlanView:
    """The plan a decision made."""

    plan_id: int
    side: str
    entry: float
    stop: float
    target: float
    quantity: float
    notional: float
    notional_fraction: float | None  # of equity
    leverage: float | None
    loss_at_stop: float | None
    loss_fraction: float | None
    reward_to_risk: float | None
    time_limit_ms: int | None
    bars: int | None
    profile: str
    bound_by: str = ""  # what bound the size: "risk", "Kelly", "margin"


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """What became of the plan, with the bars around it."""

    words: str  # "Stopped out", "Open", "Target reached"
    level: str
    pnl: float | None
    pnl_r: float | None
    best: float | None  # MFE and MAE, signed fractions
    worst: float | None
    minutes: float | None
    entry_ms: int | None
    exit_ms: int | None
    entry: float | None
    exit: float | None
    time: IntArray = field(default_factory=no_times)
    open: FloatArray = field(default_factory=no_floats)
    high: FloatArray = field(default_factory=no_floats)
    low: FloatArray = field(default_factory=no_floats)
    close: FloatArray = field(default_factory=no_floats)


@dataclass(frozen=True, slots=True)
class DecisionDetail:
    """One decision, opened."""

    decision_id: str
    time_ms: int
    symbol: str
    timeframe: str
    action: str  # long | short | blocked | abstain
    model: str  # model or rule that made the signal
    sentence: str  # the whole story in plain words
    features: tuple[FeatureValue, ...] = ()
    members: tuple[MemberRow, ...] = ()
    ensemble: MemberRow | None = None
    side: str = "long"  # which probability the threshold applies to
    threshold: float | None = None
    gates: tuple[GateRow, ...] = ()
    plan: PlanView | None = None
    expected: tuple[NamedAmount, ...] = ()  # fractions of notional; the last one is the sum
    outcome: OutcomeView | None = None
    currency: str = "USDT"
    base: str = ""
    price_digits: int = 1
    quantity_digits: int = 3
    judgement: JudgementView | None = None  # None: no model forecast the bar
    paths: PathsView | None = None


@dataclass(frozen=True, slots=True)
class OrderRow:
    """An order with its story."""

    client_id: str
    plan_id: int
    symbol: str
    purpose: str  # entry | stop | target | exit
    side: str  # buy | sell
    kind: str  # market | limit | stop_market | take_profit_market
    quantity: float
    price: float | None
    reduce_only: bool
    status: str  # planned | resting | filled | cancelled | rejected | expired | unknown
    created_ms: int
    updated_ms: int
    history: tuple[tuple[int, str, str], ...] = ()  # (ms, status, words)
    price_digits: int = 1
    quantity_digits: int = 3


@dataclass(frozen=True, slots=True)
class PositionsView:
    """What do I hold, is it protected."""

    positions: tuple[PositionRow, ...]
    unrealised: float | None
    exposure: float | None  # fractions of equity
    exposure_limit: float | None
    net_exposure: float | None
    loss_at_stops: float | None
    currency: str = "USDT"
    entries: tuple[EntryRow, ...] = ()


@dataclass(frozen=True, slots=True)
class OrdersView:
    """Orders, newest first."""

    orders: tuple[OrderRow, ...]
    total: int
    working: int
