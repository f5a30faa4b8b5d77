"""Risk: how far from the limits."""

from __future__ import annotations

from typing import Any

from app.contract.queries import RiskQuery
from app.contract.results import RiskView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.charts.correlation import CorrelationMap
from dashboard.charts.plot import Legend
from dashboard.charts.shares import ExposureBars, Histogram
from dashboard.tabs.base import Tab
from dashboard.tabs.risk_tables import HistoryCard
from dashboard.theme import NARROW
from dashboard.widgets.cards import Card, Elided, EmptyView
from dashboard.widgets.controls import Badge, Button, Segments, level_tone
from dashboard.widgets.gate_bars import GateBars, passing_words
from dashboard.widgets.limit_figures import LimitFigures
from dashboard.widgets.tightening import LoosenDialog, TighteningBar

HELD, LIVED = "What is held", "Days so far"
FIGURES = ("var", "expected_shortfall", "open_risk")


class RiskTab(Tab):
    """Gates at the left; loss of a day, exposure, correlation and what the limits did at the right."""

    key, title = "risk", "Risk"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.view: RiskView | None = None
        self.history = HistoryCard()
        self.history.opened.connect(lambda decision: self.go.emit("signals", decision))
        self.history.save.clicked.connect(lambda: self.export("decisions"))
        self.grid.addWidget(self._gates_card(), 0, 0, 3, 1)
        self.grid.addWidget(self._loss_card(), 0, 1)
        self.grid.addWidget(self._exposure_card(), 1, 1)
        self.grid.addWidget(self._correlation_card(), 0, 2, 2, 1)
        self.grid.addWidget(self.history, 2, 1, 1, 2)
        for column, share in ((0, 36), (1, 34), (2, 30)):
            self.grid.setColumnStretch(column, share)
        for row, share in ((0, 36), (1, 26), (2, 38)):
            self.grid.setRowStretch(row, share)

    def _gates_card(self) -> Card:
        self.gates_card = card = Card("Gates")
        self.entries, self.gates = Badge(), GateBars(0.33)
        self.ask = Button("What if…", icon="scales", height=26)
        self.ask.setToolTip("What a trade would come to, before it is made")
        self.ask.clicked.connect(lambda: self.go.emit("what-if", None))
        self.legend = Legend(
            [("used", "accent", "box"), ("over 80 % of the limit", "warn", "box"), ("blocks", "danger", "box")]
        )
        self.halted, self.tightening = Elided("", 12, 400, "danger"), TighteningBar()
        self.tightening.loosen.connect(self.ask_loosen)
        self.halted.hide()
        card.control(self.entries, self.ask)
        for widget in (self.halted, self.tightening, self.legend):
            card.column.addWidget(widget)
        card.body(self.gates)
        self.note = Elided("", 12, 400, "text3")
        card.column.addWidget(self.note)
        card.empty(EmptyView("shield", "No gate was asked yet", "Gates show their values with the first bar."))
        return card

    def _loss_card(self) -> Card:
        self.loss_card = card = Card("One-day loss")
        self.figures = LimitFigures()
        self.which = Segments((HELD, LIVED), HELD, 26)
        self.days = Histogram(lambda v, d: numbers.percent(v, max(0, d - 2), signed=True), "days")
        self.which.chosen.connect(lambda _: self._show_days())
        card.control(self.which)
        card.body(self.figures, 0)
        card.body(self.days)
        card.empty(EmptyView("scales", "Nothing is measured yet", "The portfolio is measured with the first bar."))
        return card

    def _exposure_card(self) -> Card:
        self.exposure_card = card = Card("Exposure")
        self.exposure = ExposureBars()
        self.exposure.nothing = "No open position: nothing is exposed."
        self.exposure_legend = Legend([("long", "s3", "box"), ("short", "s5", "box"), ("limit", "danger", "dash")])
        card.control(self.exposure_legend)
        card.body(self.exposure)
        return card

    def _correlation_card(self) -> Card:
        self.correlation_card = card = Card("Correlation")
        self.correlation = CorrelationMap()
        self.correlation_note = Elided("", 12, 400, "text3")
        card.body(self.correlation)
        card.body(self.correlation_note, 0)
        card.empty(EmptyView("chart", "No pair to compare", "A run over two symbols or more shows how they move."))
        return card

    def question(self) -> RiskQuery:
        return RiskQuery()

    def choices(self) -> dict[str, str]:
        return {"days": self.which.current, "history": self.history.which.current}

    def use_choices(self, kept: dict[str, str]) -> None:
        self.which.choose(kept.get("days", ""))
        self.history.which.choose(kept.get("history", ""))

    def set_narrow(self, width: int) -> None:
        wide = width >= NARROW
        self.legend.setVisible(wide)
        self.exposure_legend.setVisible(wide)
        self.history.set_narrow(not wide)

    def show_view(self, view: Any) -> None:
        self.view = v = view
        words, _, why = v.entries.partition(": ")
        self.entries.show_words(words, level_tone(v.entries_level) if v.entries_level != "idle" else "text2")
        self.halted.show_words(numbers.sentence(why))
        self.halted.setVisible(bool(why) and v.entries_level == "bad")
        self.tightening.show_view(v.tightening)
        self._show_gates(v)
        self._show_loss(v)
        self._show_exposure(v)
        self._show_correlation(v)
        self.history.show_view(v)

    def _show_gates(self, v: RiskView) -> None:
        self.gates.show_gates(v.gates)
        self.gates_card.show_empty(not v.gates)
        asked = bool(v.gates) and bool(v.plan)
        self.gates_card.subtitle.setText(passing_words(v.gates) if asked else "")
        if asked:
            symbol, _, side = v.plan.partition(" ")
            plan = f"{numbers.ticker(symbol)} {numbers.side_words(side)}"
            words = f"Met by {plan}, {numbers.day_clock(v.plan_ms)} UTC. Unknown blocks in live."
        else:
            words = "No plan was made yet: only the limits are known." if v.gates else ""
        self.note.show_words(words)

    def _show_loss(self, v: RiskView) -> None:
        self.loss_card.show_empty(not v.held and v.day_returns.size == 0)
        by_key = {row.key: row for row in v.held}
        self.figures.show_rows([by_key[key] for key in FIGURES if key in by_key])
        self.figures.setVisible(bool(v.held))
        self._show_days()

    def _show_days(self) -> None:
        v = self.view
        if v is None:
            return
        marks: list[tuple[float, str, str]] = []
        held = self.which.current == HELD
        if held:
            self.days.nothing = "Nothing is held: no day could cost anything." if v.held else ""
            at_risk = next((row for row in v.held if row.key == "var"), None)
            if at_risk is not None and at_risk.value and at_risk.limit is not None:
                marks.append(
                    (-at_risk.limit, f"limit {numbers.MINUS}{numbers.short(at_risk.limit, 'fraction')}", "danger")
                )
                marks.append((-at_risk.value, f"VaR {numbers.percent(-at_risk.value)}", "accent"))
        else:
            self.days.nothing = "The first day is still open."
            if v.day_limit is not None:
                limit = numbers.short(v.day_limit, "fraction")
                marks.append((-abs(v.day_limit), f"limit {numbers.MINUS}{limit}", "danger"))
            if v.day_now is not None:
                marks.append((v.day_now, f"today {numbers.percent(v.day_now, signed=True)}", "accent"))
        self.days.show_values(v.held_days if held else v.day_returns, marks)

    def _show_exposure(self, v: RiskView) -> None:
        words = "% of equity"
        if v.gross_exposure is not None and v.gross_limit is not None:
            gross = numbers.percent(v.gross_exposure, 1)
            words = f"gross {gross} of {numbers.short(v.gross_limit, 'fraction')}"
        self.exposure_card.subtitle.setText(words)
        self.exposure.show_exposure(
            v.exposures, v.net_exposure if v.exposures else None, v.gross_exposure if v.exposures else None,
            v.gross_limit,
        )  # fmt: skip

    def _show_correlation(self, v: RiskView) -> None:
        c = v.correlation
        self.correlation_card.show_empty(c is None or len(c.symbols) < 2)
        self.correlation.show_matrix(c)
        if c is None:
            return
        self.correlation_card.subtitle.setText(f"daily returns · {c.days} days")
        limit = numbers.number(c.limit, 2)
        if c.together:
            words = f"Amber: held in one direction beyond |ρ| {limit}, one margin limit."
        else:
            words = f"Dashed: beyond |ρ| {limit}. Held in one direction, they share one margin limit."
        self.correlation_note.show_words(words)

    def ask_loosen(self) -> LoosenDialog | None:
        """Ask why the limits may be as set again."""
        if self.view is None or self.view.tightening is None:
            return None
        dialog = LoosenDialog(self, self.bridge, self.view.tightening)
        dialog.accepted.connect(self.refresh)
        dialog.open()
        return dialog
