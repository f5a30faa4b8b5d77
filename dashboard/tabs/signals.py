"""Signals: why did it (not) trade."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QGridLayout, QHBoxLayout, QWidget

from app.contract.queries import DecisionQuery, SignalsQuery
from app.contract.views import DecisionDetail, SignalRow, SignalsView
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.charts.decision import FeatureRows, MemberBars, MiniTrade
from dashboard.charts.shares import Waterfall
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab, action_cell, money_cell, sentence_words, time_cell
from dashboard.theme import GAP, ROW_DENSE_H
from dashboard.widgets.cards import Card, Elided, EmptyView, label, set_tone
from dashboard.widgets.controls import Badge, Button, Picker, Segments, level_tone
from dashboard.widgets.facts import Facts
from dashboard.widgets.gate_bars import GateBars

ALL_SYMBOLS = "All symbols"
ACTIONS = {"All": "all", "Traded": "traded", "Blocked": "blocked", "Abstained": "abstained"}


SHORT = {  # of a narrow column; the whole sentence stands in the tip
    "a position is open already": "in position", "the probability is below the threshold": "P too low",
    "the expected value after costs is not positive": "EV ≤ 0", "features are still warming up": "warming up",
    "no trained model covers this bar": "no model", "the stored forecasts do not cover this bar": "no forecast",
    "the model was trained on this bar": "in sample", "trading is halted": "halted", "entries are paused": "paused",
    "the order would be below the minimum notional": "too small", "the bar is missing": "no bar",
}  # fmt: skip


def _outcome_cell(row: SignalRow) -> Cell:
    if row.outcome is not None:
        return money_cell(row.outcome)
    words = SHORT.get(row.why, row.why.removeprefix("blocked by "))
    return Cell("Open" if row.open else sentence_words(words), "text2", tip=row.why)


def _symbol_cell(symbol: str) -> Cell:
    return Cell(numbers.ticker(symbol).removesuffix("USDT"), "text", 500, tip=symbol)


def signal_columns() -> list[Column]:
    """Columns of the list of decisions."""
    return [
        Column("time", "Time UTC", lambda r: time_cell(r.time_ms), 102, grow=0),
        Column("symbol", "Symbol", lambda r: _symbol_cell(r.symbol), 56, grow=0),
        Column("action", "Decision", lambda r: action_cell(r.action), 80, grow=0),
        Column("ev", "EV", lambda r: Cell(numbers.percent(r.expected_value, 3, signed=True)), 60, right=True, grow=0,
               rank=1, tip="Expected value after costs, share of the notional. Rules have none."),
        Column("why", "Outcome", _outcome_cell, 84),
    ]  # fmt: skip


class OutcomeCard(Card):
    """What became of the plan."""

    def __init__(self) -> None:
        super().__init__("Outcome")
        self.badge = Badge()
        self.control(self.badge)
        self.pnl = label("", 18, 600)
        self.facts = Elided("", 12, 400, "text2")
        self.trade = MiniTrade()
        self.body(self.pnl, 0)
        self.body(self.facts, 0)
        self.body(self.trade, 1)
        self.column.setSpacing(5)

    def show_detail(self, d: DecisionDetail) -> None:
        """Change it; hidden where no plan was sent."""
        o = d.outcome
        self.setVisible(o is not None)
        if o is None:
            return
        self.badge.show_words(o.words, level_tone(o.level) if o.level != "idle" else "text2")
        self.pnl.setVisible(o.pnl is not None)
        self.facts.setVisible(o.best is not None)
        way = {1: "▲ ", -1: "▼ "}.get(numbers.arrow(o.pnl), "")
        held = "" if o.minutes is None else numbers.span(o.minutes * 60).removesuffix(f" 00{numbers.NBSP}s")
        r = f"{numbers.number(o.pnl_r, signed=True)} R" if o.pnl_r is not None else ""
        self.subtitle.setText(r)
        self.pnl.setText(f"{way}{numbers.number(o.pnl, signed=True)} {d.currency}")
        set_tone(self.pnl, painting.money_token(o.pnl))
        best, worst = numbers.percent(o.best, signed=True), numbers.percent(o.worst, signed=True)
        self.facts.show_words(f"Best {best}  Worst {worst}  {held}")
        side = d.plan.side if d.plan is not None else d.side
        self.trade.show_outcome(o, side, d.price_digits)


class SignalsTab(Tab):
    """The list at the left, the opened decision at the right."""

    key, title = "signals", "Signals"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.detail: DecisionDetail | None = None
        self._wanted = ""
        self._symbols: tuple[str, ...] = ()
        self.grid.addWidget(self._list_card(), 0, 0)
        self.pages = QWidget()
        self.body = QGridLayout(self.pages)
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(GAP)
        self._head_card()
        self._evidence()
        self.grid.addWidget(self.pages, 0, 1)
        self.grid.setColumnStretch(1, 1)
        self.pages.hide()
        self.nothing = Card()
        self.nothing.body(
            EmptyView("list", "No decision to open", "Every closed bar leaves one, as soon as the run begins.")
        )
        self.grid.addWidget(self.nothing, 0, 1)

    def _list_card(self) -> Card:
        self.list_card = Card("Decisions")
        self.count = label("", 12, 400, "text3")
        self.list_card.control(self.count)
        self.which = Segments(tuple(ACTIONS), "All", 26)
        self.symbols = Picker((ALL_SYMBOLS,), 112)
        tools = QWidget()
        row = QHBoxLayout(tools)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.which)
        row.addStretch(1)
        row.addWidget(self.symbols)
        self.list = DataTable(Rows(signal_columns(), lambda r: r.decision_id), row_height=ROW_DENSE_H + 2)
        self.list.setObjectName("signals.list")
        self.list_card.column.addWidget(tools)
        self.list_card.body(self.list)
        self.list_card.empty(EmptyView("list", "No such decision", "Choose All, or wait for the next closed bar."))
        self.list_card.setFixedWidth(424)
        self.which.chosen.connect(lambda _: self.refresh())
        self.symbols.currentTextChanged.connect(lambda _: self.refresh())
        self.list.picked.connect(self._open)
        return self.list_card

    def _head_card(self) -> None:
        card = Card()
        top = QHBoxLayout()
        top.setSpacing(10)
        self.name, self.action = label("", 15, 600), Badge()
        self.about = label("", 12, 400, "text3")
        self.on_chart = Button("Show on chart", icon="chart", height=26)
        self.on_chart.clicked.connect(self._show_on_chart)
        for widget in (self.name, self.action, self.about):
            top.addWidget(widget)
        top.addStretch(1)
        top.addWidget(self.on_chart)
        self.sentence = label("", 13, 400, "text2", wrap=True)
        self.sentence.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        card.column.addLayout(top)
        card.column.addWidget(self.sentence)
        card.column.setSpacing(5)
        self.body.addWidget(card, 0, 0, 1, 3)

    def _evidence(self) -> None:
        self.features_card, self.members_card = Card("Features", "percentile in history"), Card("Members")
        self.gates_card, self.plan_card = Card("Gates"), Card("Plan")
        self.value_card, self.outcome_card = Card("Expected value", "%"), OutcomeCard()
        self.features, self.members = FeatureRows(), MemberBars()
        self.features.nothing = "This decision read no feature."
        self.members.nothing = "A rule made this signal: it has no probabilities."
        self.gates, self.gate_badge = GateBars(0.34), Badge()
        self.plan, self.profile = Facts(20), Badge()
        self.no_plan = label("", 12, 400, "text2", wrap=True)
        self.value = Waterfall(lambda v: numbers.number(v * 100, 3, signed=True))
        self.value.nothing = "Rules state no probability,\nso there is no expected value."
        self.threshold = label("", 12, 400, "text3")
        self.members_card.control(self.threshold)
        self.features_card.body(self.features)
        self.members_card.body(self.members)
        self.judgement = Facts(19)
        self.members_card.body(self.judgement, 0)
        self.gates_card.control(self.gate_badge)
        self.gates_card.body(self.gates)
        self.gates_card.empty(EmptyView("shield", "No gate was asked", "Gates judge a plan, and this bar made none."))
        self.plan_card.control(self.profile)
        self.plan_card.body(self.plan, 0)
        self.plan_card.column.addWidget(self.no_plan)
        self.plan_card.column.addStretch(1)
        self.value_card.body(self.value)
        lower = QWidget()
        self.lower_row = QHBoxLayout(lower)
        self.lower_row.setContentsMargins(0, 0, 0, 0)
        self.lower_row.setSpacing(GAP)
        self.lower_cards = (self.plan_card, self.value_card, self.outcome_card)
        for card, share in zip(self.lower_cards, (36, 28, 36), strict=True):
            self.lower_row.addWidget(card, share)
        self.body.addWidget(self.features_card, 1, 0)
        self.body.addWidget(self.members_card, 1, 1)
        self.body.addWidget(lower, 2, 0, 1, 2)
        self.body.addWidget(self.gates_card, 1, 2, 2, 1)
        for column, share in ((0, 34), (1, 31), (2, 35)):
            self.body.setColumnStretch(column, share)
        self.body.setRowStretch(1, 62)
        self.body.setRowStretch(2, 38)

    def question(self) -> SignalsQuery:
        shown = self.symbols.currentText()
        symbol = next((s for s in self._symbols if numbers.ticker(s) == shown), "")
        return SignalsQuery(ACTIONS[self.which.current], symbol)

    def show_view(self, view: Any) -> None:
        v: SignalsView = view
        self._symbols = v.symbols
        self.symbols.offer(
            (ALL_SYMBOLS, *(numbers.ticker(s) for s in v.symbols)), self.symbols.currentText() or ALL_SYMBOLS
        )
        self.count.setText(f"{v.total:,}" if v.total == len(v.rows) else f"{len(v.rows):,} of {v.total:,}")
        self.list_card.show_empty(not v.rows)
        self.list.rows.replace(v.rows)
        if self._wanted:
            self.list.pick(self._wanted)
        elif self.detail is None and v.rows:
            best = next((r for r in v.rows if r.action in ("long", "short")), v.rows[0])
            self.list.pick(best.decision_id)
        self._wanted = ""

    def set_narrow(self, width: int) -> None:
        wide = width >= 1500
        self.list_card.setFixedWidth(424 if wide else 386)
        self.symbols.setFixedWidth(112 if wide else 104)
        self.count.setVisible(wide)
        for card in (self.value_card, self.outcome_card):
            card.subtitle.setVisible(wide)
        self.threshold.setVisible(wide)
        self.plan.set_pitch(20 if wide else 17)
        for card, share in zip(self.lower_cards, (36, 28, 36) if wide else (36, 31, 33), strict=True):
            self.lower_row.setStretchFactor(card, share)

    def focus_on(self, what: object) -> None:
        if isinstance(what, str) and what:
            self._wanted = what
            self.bridge.ask(DecisionQuery(what), self.show_detail, "decision")

    def _open(self, row: object) -> None:
        if isinstance(row, SignalRow):
            self.bridge.ask(DecisionQuery(row.decision_id), self.show_detail, "decision")

    def show_detail(self, detail: DecisionDetail) -> None:
        """Show one decision in full."""
        d = self.detail = detail
        self.nothing.hide()
        self.pages.show()
        self.name.setText(numbers.ticker(d.symbol))
        cell = action_cell(d.action)
        self.action.show_words(cell.words, cell.badge or "text3")
        moment = numbers.full_time(d.time_ms).split(" · ")[0]
        self.about.setText(f"{d.timeframe} · {moment} · decision {d.decision_id[:12]} · {d.model}")
        self.sentence.setText(numbers.typeset(d.sentence))
        self.features.show_features(d.features)
        self.members.show_members(d.members, d.ensemble, d.side, d.threshold)
        self.threshold.setText(f"P({d.side}) against the threshold" if d.members else "")
        self._show_judgement(d)
        self.gates.show_gates(d.gates)
        self.gates_card.show_empty(not d.gates)
        passed = sum(g.passed for g in d.gates)
        tone = "profit" if passed == len(d.gates) else "warn"
        self.gate_badge.show_words(f"{passed} of {len(d.gates)} passed" if d.gates else "", tone)
        self._show_plan(d)
        self.value.show_parts(d.expected)
        self.value_card.setVisible(len(d.expected) > 1)
        modelled = bool(d.members) or d.ensemble is not None or d.paths is not None
        self.members_card.setVisible(modelled)
        self.body.addWidget(self.features_card, 1, 0, 1, 1 if modelled else 2)
        self.outcome_card.show_detail(d)

    def _show_judgement(self, d: DecisionDetail) -> None:
        """What the models say beside their probabilities, and what simulated paths imply."""
        facts: list[tuple[str, str, str]] = []
        j, m = d.judgement, d.paths
        if j is not None:
            if j.regime:
                chance = next((r.value for r in j.regimes if r.label == j.regime), None)
                facts.append(("Regime in 4 bars", f"{j.regime} {numbers.percent(chance, 0)}", "text"))
            facts.append(("Members apart by", numbers.number(j.spread, 3), "text"))
            facts.append(("Outside training", numbers.percent(j.outside, 1), "warn" if j.outside else "text"))
            if j.possible:
                facts.append(("Still possible", ", ".join(j.possible), "text"))
            if j.take is not None:
                facts.append(("Worth its costs", numbers.percent(j.take, 0), "text"))
            if j.size is not None and j.size < 1.0:
                facts.append(("Size, live forecasts worse", numbers.percent(j.size, 0), "warn"))
        if m is not None:
            facts.append((f"{m.paths:,} paths, {m.bars} bars: up", numbers.percent(m.up, 0), "text"))
            if m.target_first is not None:
                first = f"{numbers.percent(m.target_first, 0)} / {numbers.percent(m.stop_first, 0)}"
                facts.append(("Target / stop first", first, "text"))
        self.judgement.show_facts(*facts)

    def _show_plan(self, d: DecisionDetail) -> None:
        plan = d.plan
        self.plan.setVisible(plan is not None)
        self.no_plan.setVisible(plan is None)
        self.profile.show_words(plan.profile if plan else "", "text2")
        if plan is None:
            self.no_plan.setText("No plan was made on this bar.")
            return
        digits = d.price_digits
        loss = None if plan.loss_at_stop is None else -plan.loss_at_stop
        bound = f" · {plan.bound_by}" if plan.bound_by else ""
        limit = f"{plan.bars} bars · " if plan.bars else ""
        away = abs(plan.stop - plan.entry)
        times = abs(plan.target - plan.entry) / away if away > 0 else None
        self.plan.show_facts(
            ("Entry, next open", numbers.number(plan.entry, digits), "text"),
            ("Stop", f"{numbers.number(plan.stop, digits)}   "
                     f"{numbers.percent(plan.stop / plan.entry - 1, signed=True)}", "loss"),
            (f"Target · {numbers.number(times, 1)} ×", f"{numbers.number(plan.target, digits)}   "
             f"{numbers.percent(plan.target / plan.entry - 1, signed=True)}", "profit"),
            ("Quantity", f"{numbers.number(plan.quantity, d.quantity_digits)} {d.base}{bound}", "text"),
            ("Notional", f"{numbers.number(plan.notional, 0)} {d.currency} · "
                         f"{numbers.percent(plan.notional_fraction, 1)}", "text"),
            ("Loss at stop", f"{numbers.number(loss)} {d.currency} · {numbers.percent(plan.loss_fraction)}", "text"),
            ("Reward, net", f"{numbers.number(plan.reward_to_risk)} × loss", "text"),
            ("Time limit", f"{limit}{numbers.clock(plan.time_limit_ms)} UTC", "text"),
        )  # fmt: skip

    def _show_on_chart(self) -> None:
        d = self.detail
        if d is not None:
            end = d.outcome.exit_ms if d.outcome is not None and d.outcome.exit_ms else d.time_ms
            self.go.emit("chart", (d.symbol, d.time_ms, end))
