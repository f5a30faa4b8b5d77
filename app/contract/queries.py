"""Questions the window and the API ask; each names the view that answers it. ``limit`` = at most so many rows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StripQuery:
    """Answered by ``views.StripView``."""


@dataclass(frozen=True, slots=True)
class OverviewQuery:
    """Answered by ``views.OverviewView``; ``points``: the equity curve is thinned to about so many (extremes kept)."""

    points: int = 4000


@dataclass(frozen=True, slots=True)
class ChartQuery:
    """Answered by ``views.ChartView``. Empty symbol or timeframe: what the run trades. ``bars`` newest ones.

    ``indicators``: names such as ``"EMA 20"``, ``"RSI 14"``, ``"ATR 14"``; an unknown one is left out. ``backtest``:
    the trades of this stored back-test instead of the account's; ``from_ms``: further back, to this time at least.
    """

    symbol: str = ""
    timeframe: str = ""
    bars: int = 20_000
    indicators: tuple[str, ...] = ("EMA 20", "EMA 50", "EMA 200", "RSI 14")
    backtest: int = 0
    from_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SignalsQuery:
    """Answered by ``views.SignalsView``; ``action``: ``all``, ``traded``, ``blocked`` or ``abstained``."""

    action: str = "all"
    symbol: str = ""
    limit: int = 500


@dataclass(frozen=True, slots=True)
class DecisionQuery:
    """Answered by ``views.DecisionDetail``."""

    decision_id: str


@dataclass(frozen=True, slots=True)
class PositionsQuery:
    """Answered by ``views.PositionsView``."""


@dataclass(frozen=True, slots=True)
class OrdersQuery:
    """Answered by ``views.OrdersView``."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class TradesQuery:
    """Answered by ``results.TradesView``."""

    limit: int = 5000


@dataclass(frozen=True, slots=True)
class ModelsQuery:
    """Answered by ``results.ModelsView``; empty symbol: the newest walk-forward."""

    symbol: str = ""
    timeframe: str = ""


@dataclass(frozen=True, slots=True)
class PerformanceQuery:
    """Answered by ``results.PerformanceView``.

    ``judged``: with what takes longer, the regimes at the entries and the price of what was tried on the series.
    """

    points: int = 4000
    judged: bool = False


@dataclass(frozen=True, slots=True)
class BacktestsQuery:
    """Answered by ``backtest_views.BacktestsView``: the form's choices and the list of stored results."""


@dataclass(frozen=True, slots=True)
class BacktestQuery:
    """Answered by ``backtest_views.BacktestView`` or ``SweepView``, by the kind of the result."""

    number: int


@dataclass(frozen=True, slots=True)
class RiskQuery:
    """Answered by ``results.RiskView``."""

    blocked_limit: int = 200


@dataclass(frozen=True, slots=True)
class WhatIfQuery:
    """Answered by ``results.WhatIfView``. Without a symbol it is the run's first that is not held.

    ``side`` is long or short; without ``quantity`` (base units) and ``stop`` (price) sizing and exit profile say them.
    """

    symbol: str = ""
    side: str = "long"
    quantity: float | None = None
    stop: float | None = None


@dataclass(frozen=True, slots=True)
class SettingsQuery:
    """Answered by ``results.SettingsView``."""


@dataclass(frozen=True, slots=True)
class LogsQuery:
    """Answered by ``results.LogsView``; rows of ``level`` and above whose text holds ``text``."""

    level: str = "info"
    text: str = ""
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Answered by ``results.AuditView``."""

    limit: int = 500


@dataclass(frozen=True, slots=True)
class JobsQuery:
    """Answered by ``results.JobsView``."""


@dataclass(frozen=True, slots=True)
class DataQuery:
    """Answered by ``market_views.DataView``; ``bins``: cells of a coverage strip."""

    bins: int = 120


@dataclass(frozen=True, slots=True)
class FindingsQuery:
    """Answered by ``market_views.FindingsView``; ``key`` is that of a ``SeriesRow``."""

    key: str


Query = (
    StripQuery | OverviewQuery | ChartQuery | SignalsQuery | DecisionQuery | PositionsQuery | OrdersQuery | TradesQuery
    | ModelsQuery | PerformanceQuery | BacktestsQuery | BacktestQuery | RiskQuery | WhatIfQuery | SettingsQuery
    | LogsQuery | AuditQuery | JobsQuery | DataQuery | FindingsQuery
)  # fmt: skip
