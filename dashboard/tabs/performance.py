"""Performance: is there an edge."""

from __future__ import annotations

from typing import Any

from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.contract.queries import PerformanceQuery
from app.contract.results import PerformanceView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.charts.equity import EquityPlot
from dashboard.charts.shares import Histogram, HourBars, MonthTable, Waterfall
from dashboard.tables_results import GroupTable
from dashboard.tabs.base import Tab
from dashboard.widgets.cards import Card, EmptyView, Verdict, label
from dashboard.widgets.controls import Segments
from dashboard.widgets.findings import ScoreLines

GROUPS = {"Exit": "by_exit", "Symbol": "by_symbol", "Side": "by_side", "Regime": "by_regime", "Hour": "by_hour"}
WORDS = {"Exit": "exit reason", "Symbol": "symbol", "Side": "side", "Regime": "regime at entry", "Hour": "hour, UTC"}


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
        self.months, self.hours, self.groups = MonthTable(), HourBars(), GroupTable("performance.groups")
        self.search = ScoreLines()
        self.results = Histogram(lambda v, d: numbers.number(v, d, signed=True), "trades")
        self.which, self.side = Segments(tuple(GROUPS), "Exit", 26), Segments(("Costs", "Tried"), "Costs", 26)
        self.which.chosen.connect(lambda _: self._show_groups())
        self.side.chosen.connect(lambda _: self._show_side())
        self.group_card.control(self.which)
        self.cost_card.control(self.side)
        self.months.nothing = "The first month is still open."
        self.hours.nothing = "No closed trade yet."
        self.untried = label("No search was made on these series: nothing has to be paid for.", 12, 400, "text3")
        self.untried.setWordWrap(True)
        self.tried = QWidget()
        below = QVBoxLayout(self.tried)
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self.search)
        below.addWidget(self.untried)
        below.addStretch(1)
        self._judged: PerformanceView | None = None
        self.costs.nothing = "No closed trade yet."
        self.results.nothing = "Shown from the second closed trade on."
        pairs = (
            (self.curve_card, self.curve), (self.cost_card, self.costs), (self.month_card, self.months),
            (self.result_card, self.results), (self.group_card, self.groups), (self.hour_card, self.hours),
        )  # fmt: skip
        for card, plot in pairs:
            card.body(plot)
        self.cost_card.body(self.tried)
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
        trades = sum(row.trades for row in self.view.by_side) if self.view is not None else -1
        judged = sum(row.trades for row in self._judged.by_side) if self._judged is not None else -2
        return PerformanceQuery(judged=trades != judged)  # what takes longer only where a trade was closed since

    def show_view(self, view: Any) -> None:
        v: PerformanceView = view
        self.view = v
        if v.by_regime is not None:
            self._judged = v
        empty = v.time.size < 2
        for widget in self._parts:
            widget.setVisible(not empty)
        self.nothing.setVisible(empty)
        for row, share in ((1, 40), (2, 28), (3, 32)):
            self.grid.setRowStretch(row, 0 if empty else share)
        self.verdict.say(v.title, v.level, "", v.sentence, v.scores)
        self.curve_card.subtitle.setText(v.currency)
        self.curve.show_series(v.time, v.equity, v.drawdown, None, v.equity_start, v.drawdown_limit)
        self.costs.show_parts(v.costs)
        self.months.show_months(v.months)
        marks = [(float(v.results_r.mean()), f"mean {numbers.number(float(v.results_r.mean()), signed=True)} R",
                  "accent")] if v.results_r.size else []  # fmt: skip
        self.results.show_values(v.results_r, marks)
        self.hours.show_groups(v.by_hour)
        self._show_groups()

        self.search.show_scores(self._judged.search if self._judged is not None else ())
        self._show_side()

    def choices(self) -> dict[str, str]:
        return {"groups": self.which.current, "side": self.side.current}

    def use_choices(self, kept: dict[str, str]) -> None:
        self.which.choose(kept.get("groups", ""), tell=False)
        self.side.choose(kept.get("side", ""), tell=False)

    def _show_groups(self) -> None:
        if self.view is not None:
            shown = self.which.current
            view = self.view if shown != "Regime" or self.view.by_regime is not None else self._judged
            self.groups.show_groups(getattr(view, GROUPS[shown]) or () if view is not None else ())
            self.group_card.subtitle.setText(WORDS[shown])

    def _show_side(self) -> None:
        """What costs took, or what was tried on the series."""
        costs = self.side.current == "Costs"
        tried = self._judged is not None and bool(self._judged.search)
        currency = self.view.currency if self.view is not None else ""
        self.cost_card.title.setText("From gross to net" if costs else "What was tried")
        self.cost_card.subtitle.setText(currency if costs else "on these series")
        self.costs.setVisible(costs)
        self.tried.setVisible(not costs)
        self.search.setVisible(tried)
        self.untried.setVisible(not tried)
