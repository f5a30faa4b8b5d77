"""What the back-test tab shows of one result: a back-test beside an earlier one, or a sweep as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from app.contract.backtest_views import BacktestRow, BacktestView, SweepCell, SweepView
from app.contract.results import TradeRow
from app.contract.views import FloatArray
from dashboard import numbers
from dashboard.charts.plot import Legend
from dashboard.charts.results import ComparedRuns, ExcursionPlot, HeatMap, Run
from dashboard.charts.shares import MonthTable, Waterfall
from dashboard.long_tables import LongRows, LongTable
from dashboard.tables import DataTable, Rows
from dashboard.tables_results import (
    TRADE_ORDERS,
    FigureLine,
    GroupTable,
    back_trade_columns,
    combination_columns,
    excursion_columns,
    figure_columns,
    ranked,
)
from dashboard.theme import GAP, NARROW, ROW_DENSE_H
from dashboard.widgets.cards import Card, label
from dashboard.widgets.controls import Button, Picker, Segments
from dashboard.widgets.facts import Facts
from dashboard.widgets.findings import FigureCard, FindingCard

PAGES = ("Trades", "Groups", "Months", "Reach", "Costs", "Rules")
GROUPS = {
    "Exit reason": "by_exit", "Symbol": "by_symbol", "Side": "by_side", "Regime at entry": "by_regime",
    "Hour of entry, UTC": "by_hour",
}  # fmt: skip
FIGURES = {"Sharpe": "sharpe", "Return": "net_return", "Drawdown": "max_drawdown", "Trades": "trades"}
ALONE = "no other run"
SIDE_W, NARROW_W = 404, 316  # of the cards at the right


def _row_of(*widgets: QWidget, first: int = 1) -> QWidget:
    holder = QWidget()
    row = QHBoxLayout(holder)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(GAP)
    for widget in widgets:
        row.addWidget(widget, first if widget is widgets[0] else 1)
    return holder


class BacktestPage(QWidget):
    """One back-test: cards, curve, tables; what it is worth and how it stands beside another at the right."""

    beside = pyqtSignal(int)  # number of the run to stand beside; 0: none
    to_chart = pyqtSignal(object)  # a TradeRow
    export = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.view: BacktestView | None = None
        self.other: BacktestView | None = None
        self._picked: TradeRow | None = None
        self._others: dict[str, int] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(GAP)
        self.cards = [FigureCard() for _ in range(5)]
        grid.addWidget(_row_of(*self.cards), 0, 0, 1, 2)
        self._curve_card()
        self._detail_card()
        self._right_cards()
        grid.addWidget(self.curve_card, 1, 0)
        grid.addWidget(self.finding, 1, 1)
        grid.addWidget(self.detail_card, 2, 0)
        grid.addWidget(self.compare_card, 2, 1)
        grid.setColumnStretch(0, 1)
        grid.setRowStretch(1, 50)
        grid.setRowStretch(2, 50)

    def _curve_card(self) -> None:
        self.curve_card = Card("Return and drawdown", "% of the start equity")
        self.legend, self.curve = Legend([]), ComparedRuns()
        self.curve.nothing = "There is no bar to draw."
        self.curve_card.control(self.legend)
        self.curve_card.body(self.curve)

    def _detail_card(self) -> None:
        self.detail_card = Card()
        self.page = Segments(PAGES, PAGES[0], 26)
        self.kept, self.by = Segments(("All", "Wins", "Losses"), "All", 26), Picker(tuple(GROUPS), 150)
        self.on_chart = Button("Show on chart", icon="chart", height=26)
        self.save = Button("Export CSV", icon="download", height=26)
        head = QWidget()
        row = QHBoxLayout(head)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.page)
        row.addStretch(1)
        for widget in (self.kept, self.by, self.on_chart, self.save):
            row.addWidget(widget)
        self.detail_card.body(head, 0)
        self.trades = LongTable(
            LongRows(back_trade_columns(), lambda r: r.trade_id), TRADE_ORDERS, row_height=ROW_DENSE_H
        )
        self.trades.setObjectName("backtest.trades")
        self.groups, self.months = GroupTable("backtest.groups"), MonthTable()
        self.quantiles = DataTable(Rows(excursion_columns(), lambda r: r.name), row_height=ROW_DENSE_H)
        self.quantiles.setObjectName("backtest.reach")
        self.scatter = ExcursionPlot()
        self.costs = Waterfall(lambda v: numbers.number(v, signed=True))
        self.rules = label("", 12, 400, "text2", wrap=True)
        self.rules.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.scatter.nothing = self.costs.nothing = "No trade was closed."
        self.months.nothing = "There is no bar to draw."
        self.bodies: dict[str, QWidget] = {
            "Trades": self.trades, "Groups": self.groups, "Months": self.months,
            "Reach": _row_of(self.quantiles, self.scatter, first=2), "Costs": self.costs, "Rules": self.rules,
        }  # fmt: skip
        for body in self.bodies.values():
            self.detail_card.body(body)
        self.page.chosen.connect(lambda _: self._show_page())
        self.kept.chosen.connect(lambda _: self._show_trades())
        self.by.currentTextChanged.connect(lambda _: self._show_groups())
        self.on_chart.clicked.connect(lambda: self._open(self._picked))
        self.save.clicked.connect(lambda: self.export.emit(self.view.number if self.view is not None else 0))
        self.trades.opened.connect(self._open)
        self.trades.picked.connect(self._pick)

    def _right_cards(self) -> None:
        self.finding = FindingCard()
        self.compare_card = Card("Figures")
        self.with_run = Picker((ALONE,), 158)
        self.compare_card.control(self.with_run)
        self.figures = DataTable(Rows(figure_columns(), lambda r: r.figure.key), row_height=24)
        self.figures.setObjectName("backtest.figures")
        self.compare_card.body(self.figures)
        self.with_run.currentTextChanged.connect(lambda words: self.beside.emit(self._others.get(words, 0)))
        self.set_narrow(NARROW)

    def set_narrow(self, width: int) -> None:
        """Take the form for this window width."""
        wide = SIDE_W if width >= NARROW else NARROW_W
        self.finding.setFixedWidth(wide)
        self.compare_card.setFixedWidth(wide)
        for button in (self.on_chart, self.save):
            button.set_compact(width < NARROW)

    # ---- views -------------------------------------------------------------------------------------------------------

    def offer(self, rows: Sequence[BacktestRow], beside: int) -> None:
        """Other runs that this one may stand beside."""
        here = self.view.number if self.view is not None else 0
        self._others = {
            f"beside run {r.number}": r.number for r in rows if r.kind == "backtest" and r.number != here
        }  # fmt: skip
        now = next((words for words, number in self._others.items() if number == beside), ALONE)
        self.with_run.offer([ALONE, *self._others], now)

    def show_result(self, view: BacktestView) -> None:
        """Change the run in sight."""
        self.view = view
        for card, shown in zip(self.cards, view.cards, strict=True):
            card.show_card(shown)
        self.finding.show_finding(view.finding)
        self._pick(None)
        self.months.show_months(view.months)
        self.quantiles.rows.replace(view.excursions)
        self.scatter.show_trades(view.trades)
        self.costs.show_parts(view.costs)
        self.rules.setText("\n".join(f"·  {words[:1].upper()}{words[1:]}" for words in view.assumptions))
        self.save.block("" if view.trades else "There is no trade to export.")
        self._show_trades()
        self._show_groups()
        self._show_page()
        self._show_both()

    def show_beside(self, view: BacktestView | None) -> None:
        """Change the run that stands beside it."""
        self.other = view
        self._show_both()

    def _show_both(self) -> None:
        if self.view is None:
            return
        both = [v for v in (self.view, self.other) if v is not None]
        self.curve.show_runs([run_of(v) for v in both], self.view.drawdown_limit)
        tokens = ("s1", "s2")
        self.legend.show_items(
            [(f"run {v.number} · {v.title}", token, "line") for v, token in zip(both, tokens, strict=False)]
        )
        others = {f.key: f for f in self.other.figures} if self.other is not None else {}
        self.figures.rows.replace([FigureLine(f, others.get(f.key)) for f in self.view.figures])

    def _show_page(self) -> None:
        shown = self.page.current
        for name, body in self.bodies.items():
            body.setVisible(name == shown)
        for widget in (self.kept, self.on_chart):
            widget.setVisible(shown == "Trades")
        self.by.setVisible(shown == "Groups")

    def _show_trades(self) -> None:
        trades: Sequence[TradeRow] = self.view.trades if self.view is not None else ()
        which = self.kept.current
        self.trades.show_rows([t for t in trades if which == "All" or (t.pnl > 0) == (which == "Wins")])

    def _show_groups(self) -> None:
        if self.view is not None:
            self.groups.show_groups(getattr(self.view, GROUPS[self.by.currentText()]))

    def _pick(self, row: Any) -> None:
        self._picked = row
        self.on_chart.block("" if row is not None else "Pick a trade first.")

    def _open(self, row: object) -> None:
        if isinstance(row, TradeRow):
            self.to_chart.emit(row)


def run_of(view: BacktestView) -> Run:
    """The curve of a back-test."""
    start = view.equity_start or 1.0
    value: FloatArray = view.equity / start - 1.0
    return Run(f"run {view.number}", view.time, value, view.drawdown, view.halted_ms)


class SweepPage(QWidget):
    """One sweep: the map, the combinations, what the search costs, and the cell that was picked."""

    again = pyqtSignal(object)  # a SweepCell to back-test
    export = pyqtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.view: SweepView | None = None
        self.cell: SweepCell | None = None
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(GAP)
        self.map_card, self.map = Card("Sweep"), HeatMap()
        self.map.nothing = "No combination was run."
        self.figure = Segments(tuple(FIGURES), "Sharpe", 26)
        self.map_card.control(self.figure)
        self.map_card.body(self.map)
        self.table_card = Card("Combinations", "best Sharpe ratio first")
        self.save = Button("Export CSV", icon="download", height=26)
        self.table_card.control(self.save)
        self.table = DataTable(Rows(combination_columns(), lambda c: (c.x, c.y)), row_height=ROW_DENSE_H)
        self.table.setObjectName("backtest.combinations")
        self.table_card.body(self.table)
        self.finding = FindingCard()
        self.cell_card = Card("Chosen combination")
        self.facts = Facts(22)
        self.try_it = Button("Back-test it", icon="play", height=28)
        self.cell_card.body(self.facts, 0)
        self.cell_card.body(self.try_it, 0)
        self.cell_card.column.addStretch(1)
        grid.addWidget(self.map_card, 0, 0)
        grid.addWidget(self.finding, 0, 1)
        grid.addWidget(self.table_card, 1, 0)
        grid.addWidget(self.cell_card, 1, 1)
        grid.setColumnStretch(0, 1)
        grid.setRowStretch(0, 58)
        grid.setRowStretch(1, 42)
        self.figure.chosen.connect(lambda _: self._show_map())
        self.map.picked.connect(self.pick)
        self.table.picked.connect(self.pick)
        self.save.clicked.connect(lambda: self.export.emit(self.view.number if self.view is not None else 0))
        self.try_it.clicked.connect(lambda: self.again.emit(self.cell))
        self.set_narrow(NARROW)

    def set_narrow(self, width: int) -> None:
        """Take the form for this window width."""
        wide = SIDE_W if width >= NARROW else NARROW_W
        self.finding.setFixedWidth(wide)
        self.cell_card.setFixedWidth(wide)

    def show_result(self, view: SweepView) -> None:
        """Change the sweep in sight; its best cell is chosen."""
        self.view = view
        self.map_card.subtitle.setText(f"{view.title} · {view.about}")
        self.finding.show_finding(view.finding)
        self.table.rows.replace(ranked(view.cells))
        self._show_map()
        self.pick(next((c for c in view.cells if (c.x, c.y) == view.best), None))

    def _show_map(self) -> None:
        if self.view is not None:
            self.map.show_sweep(self.view, FIGURES[self.figure.current])

    def pick(self, cell: SweepCell | None) -> None:
        """Choose a combination."""
        self.cell = cell
        self.map.choose(cell)
        if cell is None:
            self.facts.show_facts(("Nothing is chosen", "", "text3"))
            self.try_it.block("Pick a cell of the map first.")
            return
        self.facts.show_facts(
            *((key, value, "text") for key, value in cell.parameters),
            ("Sharpe", numbers.number(cell.sharpe, signed=True), "text"),
            ("Return", numbers.percent(cell.net_return, signed=True), "text"),
            ("Deepest drawdown", numbers.percent(cell.max_drawdown), "text"),
            ("Trades", numbers.UNKNOWN if cell.trades is None else f"{cell.trades:,}", "text"),
        )
        self.try_it.block("", "Run this combination by itself, with its curve and trades")
