"""The performance tab's figures of a finished account, reckoned another way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ai.regime import REGIME_NAMES, regime_labels
from ai.validation.overfitting import probabilistic_sharpe, sharpe_moments
from app.contract import queries as q
from app.contract.results import PerformanceView
from app.projections import Context, build
from app.trials import tried
from app.wiring import Workplace
from data.market import SeriesKey
from data.timeframes import HOUR_MS
from trading.metrics_meaning import MEASURES

KEY = SeriesKey("binanceusdm", "BTC/USDT:USDT", "1h", "ohlcv", "synthetic")


@pytest.fixture
def context(market_home: Path) -> Iterator[Context]:
    with Workplace.opened(market_home) as place:
        account = place.database.accounts.newest()
        assert account is not None
        yield Context(place, account, (KEY,))


def test_every_grouping_adds_up_and_regimes_are_those_of_the_bars_decided_on(context: Context) -> None:
    view = build(q.PerformanceQuery(judged=True), context)
    assert isinstance(view, PerformanceView) and context.account is not None and view.by_regime is not None
    trades = context.place.database.trading.trades(context.account.id)
    net, count = float(trades["pnl"].sum()), len(trades)
    for groups in (view.by_exit, view.by_symbol, view.by_side, view.by_hour, view.by_regime):
        assert sum(row.trades for row in groups) == count > 0
        assert sum(row.pnl for row in groups) == pytest.approx(net)
        assert sum((row.gross or 0.0) - (row.costs or 0.0) for row in groups) == pytest.approx(net)
    frame = context.place.database.candles.read(KEY)
    states = regime_labels(frame)
    decided = np.searchsorted(frame.open_time, trades["entry_time"] - HOUR_MS)
    names = [REGIME_NAMES[states[bar]] if states[bar] >= 0 else "unknown" for bar in decided]
    assert {row.name: row.trades for row in view.by_regime} == {name: names.count(name) for name in set(names)}
    assert {row.name for row in view.by_regime} - {"unknown"}


def test_what_was_tried_is_counted_and_asked_for_only_where_it_is_wanted(context: Context) -> None:
    view = build(q.PerformanceQuery(judged=True), context)
    plain = build(q.PerformanceQuery(), context)
    assert isinstance(view, PerformanceView) and isinstance(plain, PerformanceView)
    assert plain.by_regime is None and plain.search == () and plain.by_exit == view.by_exit
    found = {score.label: score for score in view.search}
    assert found["Tried"].value == len(tried(context.place, KEY)) + 1
    days = (view.time - 1) // 86_400_000
    closes = [view.equity_start, *(view.equity[np.flatnonzero(days == day)[-1]] for day in np.unique(days))]
    returns = np.diff(closes) / closes[:-1]
    sharpe, skew, kurtosis = sharpe_moments(returns)
    alone = probabilistic_sharpe(sharpe, 0.0, len(returns), skew, kurtosis)
    deflated = found["Deflated Sharpe"].value
    assert found["Track record"].value == len(returns)
    assert deflated is None or deflated <= alone + 1e-12, "a search takes away from the chance, it adds nothing"


def test_every_score_says_its_unit_and_meaning(context: Context) -> None:
    view = build(q.PerformanceQuery(judged=True), context)
    assert isinstance(view, PerformanceView)
    assert all(score.tip for score in (*view.scores, *view.search))
    drawdown = next(score for score in view.scores if score.label == "Deepest drawdown")
    assert MEASURES["max_drawdown"].meaning in drawdown.tip and "Unit: fraction" in drawdown.tip
