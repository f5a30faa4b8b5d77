"""Views of the window from a finished account: complete, true to the ledger, quick, empty where nothing is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.contract import queries as q
from app.contract.results import (
    AuditView,
    LogsView,
    ModelsView,
    PerformanceView,
    RiskView,
    SettingsView,
    TradesView,
)
from app.contract.views import ChartView, DecisionDetail, OrdersView, OverviewView, PositionsView, SignalsView
from app.projection_context import thinned
from app.projections import BUILDERS, Context, build
from app.wiring import Workplace
from data.errors import UserError
from data.market import SeriesKey
from data.timeframes import HOUR_MS, parse_time

ANSWERS = {
    q.OverviewQuery(): OverviewView, q.ChartQuery(): ChartView, q.SignalsQuery(): SignalsView,
    q.PositionsQuery(): PositionsView, q.OrdersQuery(): OrdersView, q.TradesQuery(): TradesView,
    q.ModelsQuery(): ModelsView, q.PerformanceQuery(): PerformanceView, q.RiskQuery(): RiskView,
    q.SettingsQuery(): SettingsView, q.LogsQuery(): LogsView, q.AuditQuery(): AuditView,
}  # fmt: skip
SLOW_S = 0.25  # five times what is aimed at: the machine that runs the tests is busy


@pytest.fixture
def context(market_home: Path) -> Iterator[Context]:
    with Workplace.opened(market_home) as place:
        account = place.database.accounts.newest()
        assert account is not None
        yield Context(place, account, (SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic"),))


def test_every_query_of_the_contract_has_a_builder() -> None:
    from typing import get_args

    assert set(BUILDERS) == set(get_args(q.Query))


@pytest.mark.parametrize(("query", "kind"), ANSWERS.items(), ids=lambda v: type(v).__name__)
def test_each_query_is_answered_by_its_view_in_time(context: Context, query: q.Query, kind: type) -> None:
    build(query, context)  # compiles what has to be compiled
    started = time.perf_counter()
    assert isinstance(build(query, context), kind)
    assert time.perf_counter() - started < SLOW_S


@pytest.mark.parametrize("query", ANSWERS, ids=lambda v: type(v).__name__)
def test_each_view_is_empty_before_the_first_run(home: Path, query: q.Query) -> None:
    with Workplace.opened(home) as place:
        assert isinstance(build(query, Context(place)), ANSWERS[query])


def test_trades_orders_and_signals_agree(context: Context) -> None:
    trades = build(q.TradesQuery(), context)
    traded = build(q.SignalsQuery(action="traded"), context)
    assert isinstance(trades, TradesView)
    assert isinstance(traded, SignalsView)
    assert trades.total == len(trades.rows) > 0
    assert trades.net == pytest.approx(sum(row.pnl for row in trades.rows))
    by_decision = {row.decision_id: row for row in traded.rows}
    for row in trades.rows:
        assert by_decision[row.decision_id].outcome == row.pnl
    assert [row.exit_ms for row in trades.rows] == sorted((row.exit_ms for row in trades.rows), reverse=True)


def test_the_kinds_of_decisions_add_up(context: Context) -> None:
    totals = {}
    for action in ("all", "traded", "blocked", "abstained"):
        view = build(q.SignalsQuery(action=action, limit=50), context)
        assert isinstance(view, SignalsView)
        totals[action] = view.total
        assert len(view.rows) == min(view.total, 50)
    assert totals["all"] == totals["traded"] + totals["blocked"] + totals["abstained"] == 31 * 24


def test_a_decision_shows_the_features_that_it_read(context: Context) -> None:
    traded = build(q.SignalsQuery(action="traded"), context)
    assert isinstance(traded, SignalsView)
    for row in traded.rows:
        detail = build(q.DecisionQuery(row.decision_id), context)
        assert isinstance(detail, DecisionDetail)
        values = {f.name: f for f in detail.features}
        rsi, close, average = (values[name].value for name in ("rsi_14", "close", "ema_200"))
        assert rsi is not None and close is not None and average is not None
        if row.action == "long":  # the rule's own condition holds on the values that are shown
            assert rsi < 30 and close > average
        else:
            assert rsi > 70 and close < average
        assert detail.plan is not None
        assert detail.plan.entry == close
        assert 0.0 <= (values["rsi_14"].percentile or 0.0) <= 1.0
        assert len(detail.gates) >= 13
        assert detail.outcome is not None
        assert len(detail.outcome.time) > 0


def test_no_view_shows_a_bar_beyond_the_account_s_newest(context: Context) -> None:
    assert context.account is not None and context.account.last_bar_ms is not None
    traded = build(q.SignalsQuery(action="traded"), context)
    assert isinstance(traded, SignalsView)
    newest = traded.rows[0]
    entered = newest.time_ms  # as if the run had come no further: the store knows what follows
    account = replace(context.account, last_bar_ms=entered + HOUR_MS)
    early = replace(context, account=account)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(context.place.database.accounts), "get", lambda _self, _id: account)
        detail = build(q.DecisionQuery(newest.decision_id), early)
    assert isinstance(detail, DecisionDetail)
    assert detail.outcome is not None
    assert int(detail.outcome.time[-1]) == account.last_bar_ms
    chart = build(q.ChartQuery(bars=100), early)
    assert isinstance(chart, ChartView)
    assert int(chart.time[-1]) == account.last_bar_ms


def test_before_its_first_bar_a_replay_shows_what_lies_before_its_span(context: Context) -> None:
    assert context.account is not None
    fresh = replace(context, account=replace(context.account, last_bar_ms=None))
    chart = build(q.ChartQuery(bars=100), fresh)
    assert isinstance(chart, ChartView)
    assert int(chart.time[-1]) == parse_time("2024-05-01") - HOUR_MS


@pytest.mark.parametrize("days", [2, 29, 30, 31])
def test_the_sharpe_ratio_is_unknown_under_thirty_days_and_one_number_everywhere(context: Context, days: int) -> None:
    place = context.place
    account = context.account
    assert account is not None
    start = int(place.database.trading.equity(account.id)["open_time"][0])
    rows = [(start + (k + 1) * HOUR_MS * 24 - HOUR_MS, 10_000.0 * (1 + 0.01 * (k % 3))) for k in range(days)]
    table = np.array([(t, e, 0.0) for t, e in rows], dtype=[("t", "<i8"), ("e", "<f8"), ("d", "<f8")])
    times, levels = table["t"] + HOUR_MS, np.ascontiguousarray(table["e"])
    with pytest.MonkeyPatch.context() as patch:
        for module in ("app.projections_overview", "app.projections_performance"):
            patch.setattr(f"{module}.curve", lambda *_: (times, levels, np.ascontiguousarray(table["d"])))
        overview, performance = build(q.OverviewQuery(), context), build(q.PerformanceQuery(), context)
    assert isinstance(overview, OverviewView)
    assert isinstance(performance, PerformanceView)
    card = next(c for c in overview.cards if c.key == "sharpe")
    score = next(s for s in performance.scores if s.label == "Sharpe")
    assert card.value == score.value
    if days < 30:
        assert card.value is None
        assert "needs 30 days" in (card.right, score.words)
        assert len(card.series) == 0
    else:
        path = np.concatenate([[account.start_equity], levels])
        returns = path[1:] / path[:-1] - 1
        assert card.value == pytest.approx(returns.mean() / returns.std(ddof=1) * np.sqrt(365))


def test_an_unknown_decision_is_one_sentence(context: Context) -> None:
    with pytest.raises(UserError, match="There is no decision 999999999"):
        build(q.DecisionQuery("999999999"), context)
    with pytest.raises(UserError):
        build(q.DecisionQuery("'; DROP TABLE decisions"), context)


def test_the_chart_holds_the_asked_bars_up_to_the_account_s_last_one(context: Context) -> None:
    view = build(q.ChartQuery(bars=300, indicators=("EMA 20", "RSI 14", "Tea 5")), context)
    assert isinstance(view, ChartView)
    assert context.account is not None
    assert (len(view.time), int(view.time[-1])) == (300, context.account.last_bar_ms)
    assert set(view.indicators) == {"EMA 20", "RSI 14"}
    assert all(len(values) == 300 for values in view.indicators.values())
    assert view.origin == "synthetic"


def test_the_risk_of_a_stopped_account_is_that_of_its_checkpoint(context: Context) -> None:
    view = build(q.RiskQuery(), context)
    overview = build(q.OverviewQuery(), context)
    assert isinstance(view, RiskView) and isinstance(overview, OverviewView) and context.account is not None
    held = context.place.database.trading.positions(context.account.id)
    exposure = next(row for row in view.held if row.label == "Exposure")
    assert (exposure.value == 0.0) == (not held) and exposure.limit == 1.0
    assert view.correlation is not None and view.correlation.symbols == context.account.symbols
    assert view.tightening is not None and view.tightening.blocked
    traded = build(q.SignalsQuery(action="traded", limit=1), context)
    blocked = build(q.SignalsQuery(action="blocked", limit=1), context)
    assert isinstance(traded, SignalsView) and isinstance(blocked, SignalsView)
    assert view.plan_ms == max(row.time_ms for row in (*traded.rows, *blocked.rows))


def test_months_multiply_to_the_net_return(context: Context) -> None:
    view = build(q.PerformanceQuery(), context)
    assert isinstance(view, PerformanceView)
    product = float(np.prod([1.0 + month.value for month in view.months]))
    assert product == pytest.approx(float(view.equity[-1]) / (view.equity_start or 1.0))
    assert view.costs[-1].value == pytest.approx(sum(part.value for part in view.costs[:-1]))
    groups = (view.by_exit, view.by_symbol, view.by_hour)
    assert len({sum(group.trades for group in rows) for rows in groups}) == 1


def test_the_models_view_shows_the_stored_walk_forward(context: Context) -> None:
    view = build(q.ModelsQuery(), context)
    assert isinstance(view, ModelsView)
    assert view.folds
    assert view.auc_low is not None and view.auc_high is not None
    assert (view.title == "No evidence of an edge") == (view.auc_low <= 0.5 <= view.auc_high)
    assert all(b.low <= b.observed <= b.high for b in view.reliability)
    assert set(view.weights) == {"Logistic"}
    assert np.allclose(view.weights["Logistic"], 1.0)
    assert all(f.auc_low < f.auc < f.auc_high for f in view.folds if f.auc is not None)  # type: ignore[operator]


def test_thinning_keeps_the_ends_and_the_extremes() -> None:
    values = np.sin(np.linspace(0, 60, 50_000))
    values[31_415], values[27_182] = 9.0, -9.0
    kept = thinned(values, 400)
    assert len(kept) <= 402
    assert {0, len(values) - 1, 31_415, 27_182} <= set(kept.tolist())
    assert thinned(values[:10], 400).tolist() == list(range(10))
