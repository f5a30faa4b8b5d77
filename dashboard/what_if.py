"""What a trade would come to before it is made: asked anew as one types, answered by the service's own kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QShowEvent
from PyQt6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLineEdit, QStackedWidget, QVBoxLayout, QWidget

from app.contract.queries import WhatIfQuery
from app.contract.results import WhatIfPlan, WhatIfView
from app.contract.views import StripView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.charts.shares import RangeBar
from dashboard.widgets.before_after import BeforeAfter, Change
from dashboard.widgets.cards import Card, Elided, EmptyView, label, set_tone
from dashboard.widgets.controls import Button, Picker, Segments
from dashboard.widgets.facts import Facts
from dashboard.widgets.gate_bars import GateBars, passing_words
from dashboard.widgets.tray import IconView

WAIT_MS, AGAIN_MS = 180, 1000  # after the last key; between looks whether a bar has come
WIDE, TALL = 980, 660
SIDES = {"↗ Long": "long", "↘ Short": "short"}


def typed_number(words: str) -> float | None:
    """A positive number as a person types it; ``None`` for an empty field.

    Raises:
        ValueError: it is no such number.
    """
    bare = words.replace(",", "").replace(numbers.NBSP, "").replace(" ", "")
    if not bare:
        return None
    value = float(bare)
    if not math.isfinite(value) or value <= 0.0:
        raise ValueError(words)
    return value


class WhatIfDialog(QDialog):
    """Symbol, side, quantity and stop above; plan, risk and gates below. It stays beside the window."""

    def __init__(self, over: QWidget, bridge: Bridge, symbol: str = "") -> None:
        super().__init__(over)
        self._bridge, self._wanted = bridge, symbol
        self.view: WhatIfView | None = None
        self.setWindowTitle("What if")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(WIDE, TALL)
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 14, 16, 14)
        column.setSpacing(12)
        column.addWidget(self._form())
        self.pages = QStackedWidget()
        self.pages.addWidget(self._answer())
        self.nothing_card = Card()
        self.nothing = EmptyView("scales", "Asking", "The service works it out at the newest bar.")
        self.nothing_card.body(self.nothing)
        self.pages.addWidget(self.nothing_card)
        self.pages.setCurrentWidget(self.nothing_card)
        column.addWidget(self.pages, 1)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self.ask)
        self.symbol.currentTextChanged.connect(lambda _: self._changed())
        self.side.chosen.connect(lambda _: self._changed())
        self._bar: int | None = None
        self._newest: int | None = None
        bridge.latest.connect(self._latest)
        self._again = QTimer(self)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(self._follow)
        self._again.start()
        for field in (self.quantity, self.stop):
            field.textChanged.connect(lambda _: self._changed())
            field.returnPressed.connect(self.ask)
        self.ask()

    def _form(self) -> Card:
        card = Card("What if")
        self.asked = card.subtitle
        self.symbol, self.side = Picker((), 150), Segments(tuple(SIDES), next(iter(SIDES)), 28)
        self.quantity, self.stop = QLineEdit(), QLineEdit()
        self.quantity.setPlaceholderText("by sizing")
        self.stop.setPlaceholderText("by the exit profile")
        for field, name in ((self.quantity, "Quantity"), (self.stop, "Stop price")):
            field.setFixedWidth(150)
            field.setAccessibleName(name)
            field.setClearButtonEnabled(True)
        self.symbol.setAccessibleName("Symbol")
        self.side.setAccessibleName("Side")
        self.quantity_title = label("Quantity", 12, 400, "text2")
        row = QHBoxLayout()
        row.setSpacing(8)
        pairs: tuple[tuple[QWidget, QWidget], ...] = (
            (label("Symbol", 12, 400, "text2"), self.symbol), (label("Side", 12, 400, "text2"), self.side),
            (self.quantity_title, self.quantity), (label("Stop", 12, 400, "text2"), self.stop),
        )  # fmt: skip
        for title, asked in pairs:
            row.addWidget(title)
            row.addWidget(asked)
            row.addSpacing(10)
        row.addStretch(1)
        close = Button("Close", "ghost", height=26)
        close.clicked.connect(self.reject)
        card.control(close)
        card.column.addLayout(row)
        verdict = QHBoxLayout()
        verdict.setSpacing(8)
        self.icon, self.verdict = IconView("info", "idle", 16), Elided("", 13, 600, "text")
        verdict.addWidget(self.icon)
        verdict.addWidget(self.verdict, 1)
        card.column.addLayout(verdict)
        return card

    def _answer(self) -> QWidget:
        page = QWidget()
        grid = QGridLayout(page)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(12)
        self.plan_card, self.risk_card, self.gates_card = Card("Plan"), Card("Portfolio"), Card("Gates")
        self.track, self.facts = RangeBar(), Facts(21)
        self.plan_card.body(self.track, 0)
        self.plan_card.body(self.facts, 0)
        self.plan_card.column.addStretch(1)
        self.changes, self.correlated = BeforeAfter(), label("", 12, 400, "text3", wrap=True)
        self.risk_card.subtitle.setText("share of equity, before → after")
        self.risk_card.body(self.changes, 0)
        self.risk_card.body(self.correlated, 0)
        self.risk_card.column.addStretch(1)
        self.gates = GateBars(0.3)
        self.gates_card.body(self.gates)
        grid.addWidget(self.plan_card, 0, 0)
        grid.addWidget(self.risk_card, 1, 0)
        grid.addWidget(self.gates_card, 0, 1, 2, 1)
        grid.setColumnStretch(0, 46)
        grid.setColumnStretch(1, 54)
        grid.setRowStretch(0, 1)
        return page

    def showEvent(self, a0: QShowEvent | None) -> None:
        super().showEvent(a0)
        self.quantity.setFocus()

    # ---- asking ------------------------------------------------------------------------------------------------------

    def question(self) -> WhatIfQuery:
        """What the fields ask.

        Raises:
            ValueError: a field holds no number; its words.
        """
        symbol = next((s for s in self._symbols() if numbers.ticker(s) == self.symbol.currentText()), self._wanted)
        found: list[float | None] = []
        for field in (self.quantity, self.stop):
            try:
                found.append(typed_number(field.text()))
            except ValueError:
                raise ValueError(field.text().strip()) from None
        return WhatIfQuery(symbol, SIDES[self.side.current], *found)

    def _symbols(self) -> Sequence[str]:
        return () if self.view is None else self.view.symbols

    def _changed(self) -> None:
        self._say("info", "Asking…", "text3")
        self._timer.start()

    def _latest(self, topic: str, view: object) -> None:
        if topic == "strip" and isinstance(view, StripView):
            self._newest = view.bar_ms

    def _follow(self) -> None:
        """A plan is of the newest bar: asked anew when another one has come, once a second at most."""
        if self._newest != self._bar and not self._timer.isActive() and self.isVisible():
            self._bar = self._newest
            self.ask()

    def ask(self) -> None:
        """Ask now; an answer that was overtaken is dropped."""
        self._timer.stop()
        try:
            question = self.question()
        except ValueError as wrong:
            self._refuse(f"'{wrong}' is no quantity or price: give a number over 0, as 0.25.")
            return
        self._bridge.ask(question, self.show_view, "what-if")

    # ---- showing -----------------------------------------------------------------------------------------------------

    def show_view(self, view: WhatIfView) -> None:
        """Show an answer."""
        self.view = view
        self._wanted = view.symbol
        self.symbol.offer([numbers.ticker(s) for s in view.symbols], numbers.ticker(view.symbol))
        plan = view.plan
        if plan is None:
            self._refuse(view.refused)
            return
        self.quantity_title.setText(f"Quantity {plan.base}")
        self.asked.setText(f"at the close of {numbers.day_clock(plan.time_ms)} UTC; nothing is sent")
        self.pages.setCurrentIndex(0)
        self._show_plan(plan)
        self._show_verdict(plan)
        limits = {gate.label: gate.limit for gate in plan.gates}
        b, a = plan.before, plan.after
        self.changes.show_rows(
            (
                Change("VaR 99 %, one day", b.value_at_risk, a.value_at_risk, limits.get("VaR")),
                Change("Shortfall 97.5 %", b.shortfall, a.shortfall, limits.get("Expected shortfall")),
                Change("Open risk at stops", b.open_risk, a.open_risk, limits.get("Open risk")),
                Change("Gross exposure", b.exposure, a.exposure, limits.get("Exposure")),
            )
        )
        self.gates.show_gates(plan.gates)
        self.gates_card.subtitle.setText(passing_words(plan.gates))
        pairs = ", ".join(f"{numbers.ticker(s)} ρ {numbers.number(rho, 2, signed=True)}" for s, rho in plan.correlated)
        words = f"Moves with {pairs}: they share one margin limit." if pairs else "No held position moves with it."
        self.correlated.setText(words)
        set_tone(self.correlated, "warn" if pairs else "text3")

    def _show_plan(self, plan: WhatIfPlan) -> None:
        d, currency = plan.price_digits, plan.currency

        def away(price: float | None) -> str:
            if price is None:
                return "never reached"
            return f"{numbers.number(price, d)} · {numbers.percent(abs(price / plan.entry - 1.0))} away"

        def money(value: float | None) -> str:
            return f"{numbers.number(value)} {currency}"

        funding = plan.expected_funding
        paid = "the rate is unknown" if funding is None else money(-funding)
        fees = f"{numbers.number(-plan.fees_at_stop)} · {money(-plan.fees_at_target)}"
        self.track.show_prices(plan.stop, plan.entry, plan.target, plan.entry)
        self.facts.show_facts(
            ("Entry", numbers.number(plan.entry, d), "text"),
            ("Stop", away(plan.stop), "loss"),
            ("Target", away(plan.target), "profit"),
            ("Liquidation", away(plan.liquidation), "text"),
            ("Size", f"{numbers.number(plan.quantity, plan.quantity_digits)} {plan.base} · "
                     f"{numbers.number(plan.notional, 0)} {currency}", "text"),
            ("Margin", f"{money(plan.margin)} at {numbers.measured(plan.leverage, 'x')}", "text"),
            ("Loss at the stop, costs included", money(-plan.loss_at_stop), "loss"),
            ("Fees to the stop · to the target", fees, "text"),
            ("Expected funding", paid, "text" if funding is not None else "warn"),
            ("Closed by time at", f"{numbers.day_clock(plan.time_limit_ms)} UTC", "text"),
        )  # fmt: skip

    def _show_verdict(self, plan: WhatIfPlan) -> None:
        unknown = sum(not gate.measured for gate in plan.gates)
        if plan.fails:
            count = len(plan.fails)
            self._say(
                "bad", f"{count} gate{'s' if count != 1 else ''} would block it: {', '.join(plan.fails)}.", "danger"
            )
        else:
            rest = f"; {unknown} cannot be measured here" if unknown else ""
            self._say("check", f"Every gate would let it pass{rest}.", "text", "profit")

    def _refuse(self, sentence: str) -> None:
        self._say("warn", sentence, "warn")
        self.nothing.say("No plan to show", "Change symbol, side, quantity or stop.")
        self.pages.setCurrentWidget(self.nothing_card)

    def _say(self, icon: str, words: str, tone: str, icon_tone: str = "") -> None:
        self.icon.show_icon(icon, icon_tone or tone)
        self.verdict.show_words(numbers.typeset(words), tone)
