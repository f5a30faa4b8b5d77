"""Views of what happened and of what the models and limits say. Conventions as in ``app.contract.views``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from app.contract.judgement import NamedAmount
from app.contract.model_views import LiveLine, OverlayLine, ScoreLine, TrialLine
from app.contract.risk_views import CorrelationView, LimitChange, ReductionRow, TighteningView
from app.contract.views import FloatArray, GateRow, IntArray, no_floats, no_times


@dataclass(frozen=True, slots=True)
class JobView:
    """A long job: import, training, back-test, export."""

    job_id: str
    name: str  # "Training ensemble"
    about: str  # "BTCUSDT 15m"
    step: str  # "fold 17 of 31"
    fraction: float | None  # 0..1; None = not known
    remaining_s: float | None
    state: str  # queued | running | done | failed | cancelled
    cancellable: bool
    error: str = ""  # one sentence
    result: str = ""  # words of a finished job
    result_tab: str = ""  # tab key that shows the result


@dataclass(frozen=True, slots=True)
class JobsView:
    """Running and lately finished jobs, newest first."""

    jobs: tuple[JobView, ...]


@dataclass(frozen=True, slots=True)
class TradeRow:
    """A closed trade, flat to flat."""

    trade_id: int
    symbol: str
    side: str
    quantity: float
    base: str
    entry_ms: int
    entry: float
    exit_ms: int
    exit: float
    exit_reason: str
    fees: float  # >= 0
    funding: float  # + received
    slippage: float  # >= 0
    pnl: float  # net of fees and funding
    pnl_r: float | None
    mfe: float | None  # signed fractions of the entry
    mae: float | None
    decision_id: str = ""
    price_digits: int = 1
    quantity_digits: int = 3


@dataclass(frozen=True, slots=True)
class TradesView:
    """What happened, newest first."""

    rows: tuple[TradeRow, ...]
    total: int
    net: float
    fees: float
    funding: float
    wins: int
    currency: str = "USDT"


@dataclass(frozen=True, slots=True)
class Score:
    """A measured number with its 95 % band and what it would have to be."""

    label: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    passed: bool | None = None  # None: nothing is asked of it
    words: str = ""  # "band holds 0.5", "want > 0.95"
    tip: str = ""
    signed: bool = False
    digits: int | None = None  # decimals of the number as shown; None = by its unit
    zone: tuple[float, float] | None = None  # of 0..1: what would be evidence


@dataclass(frozen=True, slots=True)
class FoldRow:
    """One test window of a walk-forward."""

    test_from_ms: int
    test_to_ms: int
    rows: int
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss: float | None
    base_log_loss: float | None
    brier: float | None = None
    ece: float | None = None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predicted against observed, pooled test rows."""

    predicted: float
    observed: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model of the registry."""

    model_id: str
    kind: str
    trained_from_ms: int | None
    trained_to_ms: int | None
    features: int | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    log_loss_gain: float | None  # fraction of the base rate's log-loss
    ece: float | None
    deflated_sharpe: float | None
    size_bytes: int | None
    state: str  # active | candidate | retired | rejected | training
    state_words: str
    verdict: str
    verdict_level: str
    promote_blocked: str = ""  # why Promote is disabled; empty = enabled


@dataclass(frozen=True, slots=True)
class ModelsView:
    """Can I believe it. ``title`` is empty where nothing was ever trained."""

    title: str  # "No evidence of an edge"
    level: str
    badge: str  # "paper only"
    sentence: str
    scores: tuple[Score, ...] = ()
    symbol: str = ""
    timeframe: str = ""
    about: str = ""  # "train 6 m · test 1 m"
    folds: tuple[FoldRow, ...] = ()
    auc_low: float | None = None
    auc_high: float | None = None
    reliability: tuple[ReliabilityBin, ...] = ()
    base_rate: float | None = None
    weights_time: IntArray = field(default_factory=no_times)
    weights: Mapping[str, FloatArray] = field(default_factory=dict)  # by member, share of the vote
    registry: tuple[ModelRow, ...] = ()
    rollback_to: str = ""
    rollback_blocked: str = ""
    training_blocked: str = ""  # why a walk-forward cannot be started; empty = it can
    lines: tuple[ScoreLine, ...] = ()
    live: tuple[LiveLine, ...] = ()
    trials: tuple[TrialLine, ...] = ()
    overlay: tuple[OverlayLine, ...] = ()  # of the newest promoted model


@dataclass(frozen=True, slots=True)
class MonthRow:
    """Return of one calendar month, fraction."""

    year: int
    month: int  # 1..12
    value: float


@dataclass(frozen=True, slots=True)
class GroupRow:
    """Trades of one group: an exit reason, a symbol, an hour, a regime."""

    name: str
    trades: int
    wins: int
    pnl: float  # net, currency
    gross: float | None = None  # before fees, slippage and funding
    costs: float | None = None  # fees and slippage less funding received
    profit_factor: float | None = None
    expectancy: float | None = None  # net of a trade, currency


@dataclass(frozen=True, slots=True)
class PerformanceView:
    """Is there an edge."""

    title: str
    level: str
    sentence: str
    scores: tuple[Score, ...]
    time: IntArray
    equity: FloatArray
    drawdown: FloatArray
    equity_start: float | None
    drawdown_limit: float | None
    months: tuple[MonthRow, ...] = ()
    by_exit: tuple[GroupRow, ...] = ()
    by_symbol: tuple[GroupRow, ...] = ()
    by_hour: tuple[GroupRow, ...] = ()  # hour UTC of the entry, "00".."23"
    costs: tuple[NamedAmount, ...] = ()  # gross, fees, slippage, funding …; the last one is the net
    results_r: FloatArray = field(default_factory=no_floats)  # net result of each trade in R
    currency: str = "USDT"
    by_side: tuple[GroupRow, ...] = ()
    by_regime: tuple[GroupRow, ...] | None = None  # of the bar that was decided on; None: not asked for
    search: tuple[Score, ...] = ()  # what was tried on the series, and what that costs in evidence


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """A plan that a gate stopped."""

    decision_id: str
    time_ms: int
    symbol: str
    side: str
    gate: str  # "Day · loss"
    value: float | None
    limit: float | None
    unit: str
    expected_value: float | None
    also: tuple[str, ...] = ()  # further gates that it failed


@dataclass(frozen=True, slots=True)
class RiskView:
    """How far from the limits."""

    entries: str  # "entries allowed", "halted: drawdown over 5 %"
    entries_level: str
    gates: tuple[GateRow, ...]  # as the newest plan met them, against the limits in force
    blocked: tuple[BlockedRow, ...] = ()
    blocked_total: int = 0
    exposures: tuple[NamedAmount, ...] = ()  # by symbol, signed fraction of equity
    net_exposure: float | None = None
    gross_exposure: float | None = None
    gross_limit: float | None = None
    day_returns: FloatArray = field(default_factory=no_floats)  # one per UTC day, fraction
    day_limit: float | None = None  # 0.02
    day_now: float | None = None
    drawdown_time: IntArray = field(default_factory=no_times)
    drawdown: FloatArray = field(default_factory=no_floats)
    drawdown_limit: float | None = None
    currency: str = "USDT"
    plan: str = ""  # of the gates: "BTCUSDT long"; empty: no plan was made yet
    plan_ms: int | None = None
    held: tuple[GateRow, ...] = ()  # the portfolio as it is: VaR, shortfall, open risk, exposure, concentration
    held_days: FloatArray = field(default_factory=no_floats)  # what it would have made on each known day, fraction
    tightening: TighteningView | None = None
    correlation: CorrelationView | None = None
    reductions: tuple[ReductionRow, ...] = ()  # newest first
    changes: tuple[LimitChange, ...] = ()  # of the limits, newest first


@dataclass(frozen=True, slots=True)
class RiskFigures:
    """The portfolio as fractions of equity; ``None``: not measured."""

    value_at_risk: float | None
    shortfall: float | None
    open_risk: float | None
    exposure: float | None


@dataclass(frozen=True, slots=True)
class WhatIfPlan:
    """What a trade would come to at the newest bar. Prices in quote per base, money in the account's currency."""

    time_ms: int
    entry: float
    stop: float
    target: float
    quantity: float
    base: str
    notional: float
    leverage: float
    margin: float
    liquidation: float | None  # None: it is never reached
    loss_at_stop: float  # costs included
    fees_at_stop: float
    fees_at_target: float
    expected_funding: float | None  # to be paid until the time limit, negative: received; None: the rate is unknown
    time_limit_ms: int
    before: RiskFigures
    after: RiskFigures
    correlated: tuple[tuple[str, float], ...]  # held symbols that share one margin limit, with their ρ
    gates: tuple[GateRow, ...]
    fails: tuple[str, ...]  # names of the gates that would block it
    price_digits: int = 2
    quantity_digits: int = 3
    currency: str = "USDT"


@dataclass(frozen=True, slots=True)
class WhatIfView:
    """A trade before it is made; ``plan`` is ``None`` where none can be made, and ``refused`` says why."""

    symbol: str
    side: str
    plan: WhatIfPlan | None = None
    refused: str = ""
    symbols: tuple[str, ...] = ()  # that can be asked for


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting. ``value`` and the bounds are text as a person types them."""

    key: str
    label: str
    group: str
    value: str
    default: str
    unit: str
    sentence: str
    kind: str  # number | text | switch | choice
    minimum: str = ""
    maximum: str = ""
    choices: tuple[str, ...] = ()
    needs_restart: bool = False
    locked: str = ""  # why it cannot be changed now; empty = it can


@dataclass(frozen=True, slots=True)
class SettingsView:
    """Every setting, grouped."""

    rows: tuple[SettingRow, ...]
    home: str  # where everything is stored


@dataclass(frozen=True, slots=True)
class LogRow:
    """One log line."""

    time_ms: int
    level: str  # debug | info | warning | error
    source: str
    text: str
    detail: str = ""  # traceback


@dataclass(frozen=True, slots=True)
class LogsView:
    """What the program did, newest first."""

    rows: tuple[LogRow, ...]
    total: int


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry of the hash chain."""

    number: int
    time_ms: int
    kind: str
    words: str
    digest: str  # hex


@dataclass(frozen=True, slots=True)
class AuditView:
    """The audit chain, newest first."""

    rows: tuple[AuditRow, ...]
    entries: int
    head: str
    ok: bool | None = None  # None: not verified yet
    verified_ms: int | None = None
    first_bad: int | None = None
