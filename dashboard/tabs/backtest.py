"""Back-test: would it have worked."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from PyQt6.QtWidgets import QFileDialog, QVBoxLayout, QWidget

from app.contract.backtest_views import BacktestRow, BacktestsView, BacktestView, SweepCell, SweepView
from app.contract.commands import CancelJob, Command, ExportBacktest, Outcome, RemoveBacktest, RunBacktest
from app.contract.forms import BacktestForm
from app.contract.queries import BacktestQuery, BacktestsQuery
from app.contract.results import JobsView, TradeRow
from dashboard.backtest_form import BacktestFormCard
from dashboard.backtest_pages import BacktestPage, SweepPage
from dashboard.bridge import Bridge
from dashboard.sweeping import SweepDialog
from dashboard.tables import DataTable, Rows
from dashboard.tables_results import run_columns
from dashboard.tabs.base import Tab
from dashboard.theme import GAP, ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView
from dashboard.widgets.controls import Button

JOBS = ("Back-test", "Sweep")
SIDE_W = 300
NEWER = "back-test.result"  # lanes of the bridge
BESIDE = "back-test.beside"


class BacktestTab(Tab):
    """The form and earlier runs at the left, the run in sight at the right."""

    key, title = "back-test", "Back-test"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.view: BacktestsView | None = None
        self.number, self.beside = 0, 0  # runs in sight
        self._newest = -1  # of the list as it was shown last
        self._form_text = ""
        self._side()
        self.page, self.sweep_page = BacktestPage(), SweepPage()
        self.nothing = Card()
        self.empty_view = EmptyView(
            "history", "No back-test was run yet",
            "Choose a strategy, symbols and a period at the left: the result stays here, with what it is worth.",
            "Run it", lambda: self.form.run.emit(self.form.form()),
        )  # fmt: skip
        self.nothing.body(self.empty_view)
        for page in (self.page, self.sweep_page, self.nothing):
            self.grid.addWidget(page, 0, 1)
        self.grid.setColumnStretch(1, 1)
        self.page.hide()
        self.sweep_page.hide()
        self.page.beside.connect(self._stand_beside)
        self.page.to_chart.connect(self._to_chart)
        self.page.export.connect(self._export)
        self.sweep_page.export.connect(self._export)
        self.sweep_page.again.connect(self._run_cell)
        self.bridge.latest.connect(self._latest)

    def _side(self) -> None:
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GAP)
        self.form = BacktestFormCard()
        self.runs_card = Card("Earlier runs")
        self.remove = Button("Put away", "ghost", height=24)
        self.runs_card.control(self.remove)
        self.runs = DataTable(Rows(run_columns(), lambda r: r.number), row_height=ROW_DENSE_H - 1)
        self.runs.setObjectName("backtest.runs")
        self.runs_card.body(self.runs)
        self.runs_card.setMinimumHeight(124)
        column.addWidget(self.form, 0)
        column.addWidget(self.runs_card, 1)
        side.setFixedWidth(SIDE_W)
        self.grid.addWidget(side, 0, 0)
        self.form.run.connect(lambda form: self._start(RunBacktest(form)))
        self.form.sweep.connect(self._ask_sweep)
        self.form.cancel.connect(lambda job: self.bridge.send(CancelJob(job)))
        self.runs.picked.connect(self._picked)
        self.remove.clicked.connect(self._remove)

    # ---- the list and the result in sight ----------------------------------------------------------------------------

    def question(self) -> BacktestsQuery:
        return BacktestsQuery()

    def show_view(self, view: Any) -> None:
        v: BacktestsView = view
        first, self.view = self.view is None, v
        self.form.offer(v)
        if first and self._form_text:
            self._fill_kept()
        self.runs.rows.replace(v.rows)
        self.runs_card.subtitle.setText(f"{len(v.rows):,}" if v.rows else "")
        newest = v.rows[0].number if v.rows else 0
        fresh, self._newest = newest > self._newest >= 0, newest
        known = {row.number for row in v.rows}
        self._show_run(newest if fresh or self.number not in known else self.number)
        self.empty_view.button.block(v.blocked or ("" if v.series else "Import or download candles first."))  # type: ignore[union-attr]

    def _show_run(self, number: int) -> None:
        """Bring a stored result into sight; it never changes, so it is asked for once."""
        rows = self.view.rows if self.view is not None else ()
        self.nothing.setVisible(not number)
        self.remove.block("" if number else "There is no run to put away.")
        if not number:
            self.number = 0
            self.page.hide()
            self.sweep_page.hide()
            return
        self.runs.pick(number)
        loaded = self.page.view if not self.page.isHidden() else self.sweep_page.view
        if loaded is None or loaded.number != number:
            self.number = number
            self.bridge.ask(BacktestQuery(number), self._came_one, NEWER)
        else:
            self.number = number
            self.page.offer(rows, self.beside)

    def _came_one(self, view: BacktestView | SweepView) -> None:
        if view.number != self.number:
            return
        is_sweep = isinstance(view, SweepView)
        self.page.setVisible(not is_sweep)
        self.sweep_page.setVisible(is_sweep)
        if isinstance(view, SweepView):
            self.sweep_page.show_result(view)
            return
        self.page.show_result(view)
        known = {row.number for row in self.view.rows} if self.view is not None else set()
        self.beside = self.beside if self.beside in known and self.beside != view.number else 0
        self.page.offer(self.view.rows if self.view is not None else (), self.beside)
        self._stand_beside(self.beside)

    def _stand_beside(self, number: int) -> None:
        self.beside = number
        other = self.page.other
        if not number:
            self.page.show_beside(None)
        elif other is None or other.number != number:
            self.bridge.ask(BacktestQuery(number), self.page.show_beside, BESIDE)

    def _picked(self, row: Any) -> None:
        if isinstance(row, BacktestRow) and row.number != self.number:
            self._show_run(row.number)

    def focus_on(self, what: object) -> None:
        """The number of a run."""
        if isinstance(what, int):
            self._show_run(what)

    def set_narrow(self, width: int) -> None:
        self.page.set_narrow(width)
        self.sweep_page.set_narrow(width)

    # ---- commands ----------------------------------------------------------------------------------------------------

    def _start(self, command: Command) -> None:
        self.form.refuse("")
        self.do(command, self._started)

    def _started(self, outcome: Outcome) -> None:
        self.form.refuse("" if outcome.ok else outcome.sentence)

    def _ask_sweep(self, form: BacktestForm) -> None:
        if self.view is not None:
            SweepDialog(self, self.bridge, form, self.view).open()

    def _run_cell(self, cell: SweepCell | None) -> None:
        view = self.sweep_page.view
        if view is not None and cell is not None:
            self._start(RunBacktest(view.form, cell.parameters))

    def _remove(self) -> None:
        if self.number:
            self.ask_once(
                f"Put run {self.number} away?", "Its result is gone for good; that it was tried stays counted.",
                "Put away", RemoveBacktest(self.number),
            )  # fmt: skip

    def _export(self, number: int) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Export", f"back-test-{number}.csv", "CSV (*.csv)")
        if path:
            self.bridge.send(ExportBacktest(number, path))

    def _to_chart(self, trade: TradeRow) -> None:
        view = self.page.view
        if view is not None:
            place = trade.symbol, trade.entry_ms, trade.exit_ms, view.form.timeframe, view.number
            self.go.emit("chart", place)

    def _latest(self, topic: str, view: object) -> None:
        if topic == "jobs" and isinstance(view, JobsView):
            self.form.show_job(next((j for j in view.jobs if j.name in JOBS and j.state == "running"), None))

    # ---- what comes back after a restart -----------------------------------------------------------------------------

    def choices(self) -> dict[str, str]:
        form = json.dumps(asdict(self.form.form())) if self.view is not None else self._form_text
        return {"run": str(self.number), "beside": str(self.beside), "form": form, "page": self.page.page.current}

    def use_choices(self, kept: dict[str, str]) -> None:
        self.number, self.beside = (int(kept.get(name) or 0) for name in ("run", "beside"))
        self._form_text = kept.get("form", "")
        self.page.page.choose(kept.get("page", ""), tell=False)

    def _fill_kept(self) -> None:
        try:
            stored = json.loads(self._form_text)
            pairs = tuple((str(key), str(text)) for key, text in stored["overrides"])
            form = BacktestForm(**{**stored, "symbols": tuple(stored["symbols"]), "overrides": pairs})
        except (ValueError, TypeError, KeyError):  # written by another version: the form begins with its defaults
            return
        self.form.fill(form)
