"""Performance: is there an edge."""

from __future__ import annotations

from typing import Any

from app.contract.queries import PerformanceQuery
from app.contract.results import PerformanceView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.charts.equity import EquityPlot
from dashboard.charts.shares import GroupBars, Histogram, HourBars, MonthTable, Waterfall
from dashboard.tabs.base import Tab
from dashboard.widgets.cards import Card, EmptyView, Verdict
from dashboard.widgets.controls import Segments


class PerformanceTab(Tab):
    """The verdict, the curve, months, the distribution, groups and costs."""

    key, title = "performance", "Performance"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.verdict = Verdict()
        self.curve_card, self.cost_card = Card("Equity and drawdown"), Card("From gross to net")
        self.month_card, self.result_card = Card("Months", "% of equity"), Card("Result of a trade", "net, in R")
        self.group_card, self.hour_card = Card("Net by"), Card("Net by hour of entry", "UTC")
        self.curve, self.costs = EquityPlot(), Waterfall(lambda v: numbers.number(v, signed=True))
        self.months, self.hours, self.groups = MonthTable(), HourBars(), GroupBars()
        self.results = Histogram(lambda v, d: numbers.number(v, d, signed=True), "trades")
        self.which = Segments(("Exit", "Symbol"), "Exit", 26)
        self.which.chosen.connect(lambda _: self._show_groups())
        self.group_card.control(self.which)
        self.months.nothing = "The first month is still open."
        self.groups.nothing = self.hours.nothing = "No closed trade yet."
        self.costs.nothing = "No closed trade yet."
        self.results.nothing = "Shown from the second closed trade on."
        pairs = (
            (self.curve_card, self.curve), (self.cost_card, self.costs), (self.month_card, self.months),
            (self.result_card, self.results), (self.group_card, self.groups), (self.hour_card, self.hours),
        )  # fmt: skip
        for card, plot in pairs:
            card.body(plot)
        self.grid.addWidget(self.verdict, 0, 0, 1, 12)
        self.grid.addWidget(self.curve_card, 1, 0, 1, 8)
        self.grid.addWidget(self.cost_card, 1, 8, 1, 4)
        self.grid.addWidget(self.month_card, 2, 0, 1, 8)
        self.grid.addWidget(self.result_card, 2, 8, 1, 4)
        self.grid.addWidget(self.group_card, 3, 0, 1, 8)
        self.grid.addWidget(self.hour_card, 3, 8, 1, 4)
        for column in range(12):
            self.grid.setColumnStretch(column, 1)
        self._parts = (self.verdict, *(card for card, _ in pairs))
        self.nothing = Card()
        self.nothing.body(
            EmptyView("trend", "Nothing to measure yet", "Performance begins with the first bars of the run.")
        )
        self.grid.addWidget(self.nothing, 4, 0, 1, 12)
        for widget in self._parts:
            widget.hide()
        self.view: PerformanceView | None = None

    def question(self) -> PerformanceQuery:
        return PerformanceQuery()

    def show_view(self, view: Any) -> None:
        v: PerformanceView = view
        self.view = v
        empty = v.time.size < 2
        for widget in self._parts:
            widget.setVisible(not empty)
        self.nothing.setVisible(empty)
        for row, share in ((1, 40), (2, 30), (3, 30)):
            self.grid.setRowStretch(row, 0 if empty else share)
        self.verdict.say(v.title, v.level, "", v.sentence, v.scores)
        self.curve_card.subtitle.setText(v.currency)
        self.curve.show_series(v.time, v.equity, v.drawdown, None, v.equity_start, v.drawdown_limit)
        self.cost_card.subtitle.setText(f"{v.currency}, all closed trades")
        self.costs.show_parts(v.costs)
        self.months.show_months(v.months)
        marks = [(float(v.results_r.mean()), f"mean {numbers.number(float(v.results_r.mean()), signed=True)} R",
                  "accent")] if v.results_r.size else []  # fmt: skip
        self.results.show_values(v.results_r, marks)
        self.hours.show_groups(v.by_hour)
        self._show_groups()

    def _show_groups(self) -> None:
        if self.view is not None:
            by_exit = self.which.current == "Exit"
            self.groups.show_groups(self.view.by_exit if by_exit else self.view.by_symbol)
            self.group_card.subtitle.setText("exit reason" if by_exit else "symbol")
