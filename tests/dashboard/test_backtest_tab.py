"""The back-test tab over a service that answers from a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sample_backtests as samples
import sample_views as sample
from fake_service import FakeService
from PyQt6.QtCore import QPoint, QSettings, Qt
from PyQt6.QtWidgets import QApplication

from app.contract import queries as q
from app.contract import results as r
from app.contract.backtest_views import BacktestView, SweepView
from app.contract.commands import CancelJob, Outcome, RemoveBacktest, RunBacktest, RunSweep
from dashboard.bridge import Bridge
from dashboard.main_window import MainWindow
from dashboard.numbers import NBSP
from dashboard.sweeping import SweepDialog, suggested
from dashboard.tabs.backtest import BacktestTab
from dashboard.tabs.chart import ChartTab
from dashboard.tabs.performance import PerformanceTab
from dashboard.widgets.notices import AskOnce

pytestmark = pytest.mark.qt
Opened = Callable[..., MainWindow]


class Stored(FakeService):
    """Answers a question for one result by its number."""

    def __init__(self, home: Any) -> None:
        super().__init__(home)
        self.results: dict[int, BacktestView | SweepView] = {
            118: samples.backtest(), 117: samples.backtest(117, -0.028), 119: samples.sweep(),
        }  # fmt: skip
        self.answers[q.BacktestsQuery] = samples.listed(samples.row(118), samples.row(117), samples.row(119, "sweep"))

    async def query(self, query: Any) -> Any:
        if isinstance(query, q.BacktestQuery):
            self.asked.append(query)
            return self.results[query.number]
        return await super().query(query)


@pytest.fixture
def stored(tmp_path: Any) -> Any:
    made = Stored(tmp_path)
    yield made
    made.end()


@pytest.fixture
def tab(stored: Stored, dressed: QApplication, qtbot: Any) -> Iterator[BacktestTab]:
    """The tab by itself: a whole window takes longer to build."""
    made = BacktestTab(Bridge(stored))
    qtbot.addWidget(made)
    made.resize(1600, 740)
    made.show()
    made.refresh()
    qtbot.waitUntil(lambda: made.page.isVisible() and made.page.view is not None)
    yield made
    qtbot.waitUntil(lambda: not made.bridge._asked)


def in_window(stored: Stored, open_window: Opened, qtbot: Any) -> tuple[MainWindow, BacktestTab]:
    window = open_window(stored)
    window.go_to("back-test", None)
    found = window.tab
    assert isinstance(found, BacktestTab)
    qtbot.waitUntil(lambda: found.page.isVisible() and found.page.view is not None)
    return window, found


def cell(table: Any, row: int, key: str) -> str:
    at = [column.key for column in table.rows.columns].index(key)
    words = table.rows.data(table.rows.index(row, at))
    return str(words)


def test_the_newest_run_is_in_sight_with_its_figures_and_its_verdict(tab: BacktestTab) -> None:
    page = tab.page
    assert [card.words() for card in page.cards] == [f"+2.50{NBSP}%", "+0.80", f"3.52{NBSP}%", "147", "6,214.00"]
    assert page.finding.title.text() == "Likely over-fitted" and page.finding.badge.words == "not for live"
    assert page.finding.scores.toolTip() == "" and "41 settings" in page.finding.reason.text()
    assert cell(page.figures, 0, "this") == f"+2.50{NBSP}%" and cell(page.figures, 3, "this") == "–"
    assert page.trades.rows.rowCount() == 147


def test_a_run_stands_beside_an_earlier_one(tab: BacktestTab, qtbot: Any) -> None:
    page = tab.page
    page.with_run.setCurrentText("beside run 117")
    qtbot.waitUntil(lambda: page.other is not None)
    assert [run.name for run in page.curve.runs] == ["run 118", "run 117"]
    assert cell(page.figures, 0, "beside") == f"−2.80{NBSP}%" and cell(page.figures, 0, "change") == f"+5.30{NBSP}%"
    assert cell(page.figures, 3, "change") == ""
    page.grab()
    page.with_run.setCurrentText("no other run")
    assert len(page.curve.runs) == 1


def test_every_page_draws_and_groups_are_chosen(tab: BacktestTab) -> None:
    page = tab.page
    for name in page.page.choices():
        page.page.choose(name)
        assert [n for n, body in page.bodies.items() if body.isVisible()] == [name]
        page.grab()
    page.page.choose("Groups")
    page.by.setCurrentText("Regime at entry")
    assert [cell(page.groups, 0, key) for key in ("name", "costs", "net")] == ["Range", "−42.50", "−12.50"]


def test_trades_are_sorted_by_a_head_and_filtered(tab: BacktestTab, qtbot: Any) -> None:
    table = tab.page.trades
    at = [column.key for column in table.rows.columns].index("pnl")
    head = table.horizontalHeader()
    assert head is not None
    place = QPoint(head.sectionViewportPosition(at) + 20, 10)
    for expected in (True, False):
        qtbot.mouseClick(head.viewport(), Qt.MouseButton.LeftButton, pos=place)
        shown = [table.rows.row(k).pnl for k in range(table.rows.rowCount())]
        assert shown == sorted(shown, reverse=expected)
    tab.page.kept.choose("Losses")
    assert 0 < table.rows.rowCount() < 147
    assert all(table.rows.row(k).pnl <= 0 for k in range(table.rows.rowCount()))


def test_only_cells_in_sight_are_made(tab: BacktestTab) -> None:
    tab.page.grab()
    rows = tab.page.trades.rows
    assert 0 < len(rows._made) < rows.rowCount() * len(rows.columns) / 2


def test_a_trade_is_shown_on_the_chart_of_its_run(stored: Stored, open_window: Opened, qtbot: Any) -> None:
    window, tab = in_window(stored, open_window, qtbot)
    tab.page.trades.selectRow(3)
    tab.page.on_chart.click()
    trade = tab.page.trades.rows.row(3)
    chart = window.tab
    assert isinstance(chart, ChartTab)
    qtbot.waitUntil(lambda: any(isinstance(a, q.ChartQuery) for a in stored.asked))
    asked = next(a for a in stored.asked if isinstance(a, q.ChartQuery))
    assert (asked.symbol, asked.timeframe, asked.backtest, asked.from_ms) == (trade.symbol, "15m", 118, trade.entry_ms)
    qtbot.waitUntil(lambda: chart.trades.title.text() == "Trades of run 118")
    chart.focus_on("ETH/USDT:USDT")
    assert chart.question().backtest == 0


def test_run_sends_the_form_and_a_refusal_is_said_in_it(tab: BacktestTab, stored: Stored, qtbot: Any) -> None:
    tab.form.since.setText("2025-02-01")
    tab.form.toggle("ETH/USDT:USDT", True)
    tab.form.costs["trading.costs.taker_fee"].setText("0.04")
    tab.form.equity.setText("25,000")
    tab.form.gates.setChecked(False)
    stored.outcome = Outcome(False, "The period ends before it begins.")
    tab.form.go.click()
    qtbot.waitUntil(lambda: tab.form.refused.isVisible())
    assert tab.form.refused.text() == "The period ends before it begins."
    (command,) = stored.sent
    assert isinstance(command, RunBacktest)
    form = command.form
    assert form.symbols == ("BTC/USDT:USDT", "ETH/USDT:USDT")
    assert (form.since, form.gates, form.exchange) == ("2025-02-01", "observe", "binanceusdm")
    assert dict(form.overrides) == {"trading.costs.taker_fee": "0.0004", "trading.paper.start_equity": "25000"}
    assert not tab.form.vary.isEnabled() and "one symbol" in tab.form.vary.toolTip()


def test_forecasts_are_offered_to_what_reads_them(tab: BacktestTab) -> None:
    assert not tab.form.forecasts.isEnabled()
    tab.form.strategy.setCurrentText("ensemble")
    assert [tab.form.forecasts.itemText(i) for i in range(2)] == ["newest walk-forward", "wf-1"]
    tab.form.forecasts.setCurrentText("wf-1")
    assert tab.form.form().schedule == "wf-1"
    tab.form.series.setCurrentText("1h synthetic")
    assert tab.form.form().source == "synthetic" and tab.form.form().schedule == ""


def test_a_running_job_shows_its_progress_and_can_be_cancelled(tab: BacktestTab, stored: Stored, qtbot: Any) -> None:
    job = r.JobView("4", "Sweep", "rsi-oversold BTCUSDT 15m", "9 of 48 back-tests", 0.1875, 70.0, "running", True)
    stored.publish("jobs", r.JobsView((job,)))
    qtbot.waitUntil(lambda: tab.form.progress.isVisible())
    assert tab.form.words.words == f"9 of 48 back-tests · 19{NBSP}% · 1{NBSP}min 10{NBSP}s left"
    assert not tab.form.go.isEnabled() and "runs already" in tab.form.go.toolTip()
    tab.form.stop.click()
    qtbot.waitUntil(lambda: stored.sent == [CancelJob("4")])
    stored.publish("jobs", r.JobsView((replace(job, state="cancelled"),)))
    qtbot.waitUntil(lambda: not tab.form.progress.isVisible() and tab.form.go.isEnabled())


def test_a_new_result_comes_into_sight_by_itself(tab: BacktestTab, stored: Stored, qtbot: Any) -> None:
    stored.results[120] = samples.backtest(120, 0.01)
    tab.show_view(samples.listed(samples.row(120), samples.row(118)))
    qtbot.waitUntil(lambda: tab.page.view is not None and tab.page.view.number == 120)
    asked = len([a for a in stored.asked if isinstance(a, q.BacktestQuery)])
    tab.show_view(samples.listed(samples.row(120), samples.row(118)))
    QApplication.processEvents()
    assert len([a for a in stored.asked if isinstance(a, q.BacktestQuery)]) == asked, "a result is asked for once"


def test_a_sweep_is_a_map_whose_cells_can_be_run(tab: BacktestTab, stored: Stored, qtbot: Any) -> None:
    tab.focus_on(119)
    page = tab.sweep_page
    qtbot.waitUntil(lambda: page.isVisible() and page.view is not None)
    page.grab()
    assert not tab.page.isVisible() and page.cell is not None and (page.cell.x, page.cell.y) == (0, 1)
    assert [cell(page.table, k, "sharpe") for k in range(4)] == ["+0.80", "+0.20", "−0.40", "–"]
    field = page.map.field()
    corner = QPoint(round(field.left() + field.width() * 0.75), round(field.top() + field.height() * 0.25))
    qtbot.mouseClick(page.map, Qt.MouseButton.LeftButton, pos=corner)
    assert page.cell.parameters == (("long.all.0.right", "30"), ("exits.swing.stop", "1"))
    page.try_it.click()
    qtbot.waitUntil(lambda: bool(stored.sent))
    assert stored.sent == [RunBacktest(samples.FORM, page.cell.parameters)]


def test_the_sweep_dialog_suggests_values_and_counts_them(tab: BacktestTab, stored: Stored, qtbot: Any) -> None:
    tab.form.vary.click()
    dialog = tab.findChild(SweepDialog)
    assert dialog is not None
    assert dialog.first.pair() == ("long.all.0.right", "18, 24, 30, 36, 42")
    assert dialog.second.pair() == ("exits.swing.stop", "0.9, 1.2, 1.5, 1.8, 2.1")
    assert dialog.count.text() == "25 combinations"
    dialog.second.key.setCurrentText("none")
    dialog.first.values.setText("30")
    assert not dialog.go.isEnabled()
    dialog.first.values.setText("25, 30")
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(stored.sent))
    (command,) = stored.sent
    assert isinstance(command, RunSweep) and command.grid == (("long.all.0.right", "25, 30"),)
    assert suggested("") == "" and suggested("24") == "14, 19, 24, 29, 34"


def test_a_run_is_put_away_after_asking(tab: BacktestTab, stored: Stored, qtbot: Any) -> None:
    tab.remove.click()
    dialog = tab.findChild(AskOnce)
    assert dialog is not None and not stored.sent
    dialog.accept()
    qtbot.waitUntil(lambda: stored.sent == [RemoveBacktest(118)])
    tab.show_view(samples.listed())
    assert tab.nothing.isVisible() and not tab.page.isVisible() and not tab.remove.isEnabled()


def test_what_was_chosen_comes_back(tab: BacktestTab, stored: Stored, open_window: Opened, qtbot: Any) -> None:
    tab.focus_on(117)
    qtbot.waitUntil(lambda: tab.page.view is not None and tab.page.view.number == 117)
    tab.page.page.choose("Months")
    tab.form.since.setText("2025-03-01")
    tab.form.toggle("ETH/USDT:USDT", True)
    tab.form.costs["trading.costs.taker_fee"].setText("0.03")
    kept = QSettings(str(stored.home / "window.ini"), QSettings.Format.IniFormat)
    for name, words in tab.choices().items():
        kept.setValue(f"choices/back-test/{name}", words)
    kept.sync()
    window = open_window(stored)
    again = window.by_key["back-test"]
    assert isinstance(again, BacktestTab)
    again.refresh()
    qtbot.waitUntil(lambda: again.page.view is not None)
    assert again.page.view is not None and again.page.view.number == 117 and again.page.page.current == "Months"
    form = again.form.form()
    assert (form.since, form.symbols) == ("2025-03-01", ("BTC/USDT:USDT", "ETH/USDT:USDT"))
    assert dict(form.overrides) == {"trading.costs.taker_fee": "0.0003"}
    window.settings.remove("choices")
    window.keep_layout()
    assert {name: window.settings.value(f"choices/back-test/{name}") for name in again.choices()} == tab.choices()


@pytest.fixture
def performance(service: FakeService, dressed: QApplication, qtbot: Any) -> Iterator[PerformanceTab]:
    made = PerformanceTab(Bridge(service))
    qtbot.addWidget(made)
    made.show()
    yield made
    qtbot.waitUntil(lambda: not made.bridge._asked)


def test_performance_asks_for_what_takes_longer_only_after_a_trade(
    performance: PerformanceTab, service: FakeService, qtbot: Any
) -> None:
    row = r.GroupRow("range", 147, 54, 561.9, 600.0, 38.1, 1.1, 3.8)
    view = replace(sample.performance(), by_side=(replace(row, name="long"),), by_regime=(row,), search=samples.SCORES)
    service.answers[q.PerformanceQuery] = view
    tab = performance
    tab.refresh()
    qtbot.waitUntil(lambda: tab.view is not None)
    tab.which.choose("Regime")
    tab.side.choose("Tried")
    assert cell(tab.groups, 0, "name") == "Range" and cell(tab.groups, 0, "factor") == "1.10"
    assert tab.search.isVisible() and not tab.costs.isVisible()
    tab.show_view(replace(view, by_regime=None, search=()))
    assert cell(tab.groups, 0, "name") == "Range" and not tab.question().judged
    tab.show_view(replace(view, by_side=(replace(row, name="long", trades=148),), by_regime=None))
    assert tab.question().judged
