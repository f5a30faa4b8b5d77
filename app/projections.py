"""Views for the window: every query of the contract is answered from the ledger and, where it runs, from the service.

Nothing is cached: a view says what is committed when it is built. Each is meant to take well under 50 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from app.contract import queries
from app.contract.queries import Query
from app.contract.results import JobsView
from app.contract.views import PositionsView, StripView
from app.projection_context import Context
from app.projections_backtests import backtest, backtests
from app.projections_chart import chart
from app.projections_data import data, findings
from app.projections_decision import decision
from app.projections_house import audit, logs, settings
from app.projections_ledger import orders, signals, trades
from app.projections_models import models
from app.projections_overview import overview
from app.projections_performance import performance
from app.projections_risk import risk
from app.what_if import view as what_if

__all__ = ["Context", "build"]

Builder = Callable[[Any, Context], object]


def _strip(_query: queries.StripQuery, context: Context) -> StripView:
    if context.strip is None:
        raise ValueError("the strip is the running service's: give it in the context")
    return context.strip


def _positions(_query: queries.PositionsQuery, context: Context) -> PositionsView:
    return context.positions


def _jobs(_query: queries.JobsQuery, context: Context) -> JobsView:
    return context.jobs


BUILDERS: dict[type[Any], Builder] = {
    queries.StripQuery: _strip,
    queries.OverviewQuery: overview,
    queries.ChartQuery: chart,
    queries.SignalsQuery: signals,
    queries.DecisionQuery: decision,
    queries.PositionsQuery: _positions,
    queries.OrdersQuery: orders,
    queries.TradesQuery: trades,
    queries.ModelsQuery: models,
    queries.PerformanceQuery: performance,
    queries.BacktestsQuery: backtests,
    queries.BacktestQuery: backtest,
    queries.RiskQuery: risk,
    queries.WhatIfQuery: what_if,
    queries.SettingsQuery: settings,
    queries.LogsQuery: logs,
    queries.AuditQuery: audit,
    queries.JobsQuery: _jobs,
    queries.DataQuery: data,
    queries.FindingsQuery: findings,
}


def build(query: Query, context: Context) -> object:
    """The view that the query's docstring names; an empty one where there is nothing yet.

    Raises:
        UserError: a decision that does not exist.
    """
    return BUILDERS[type(query)](query, context)
