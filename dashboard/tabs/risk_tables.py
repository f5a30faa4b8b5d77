"""Tables of the Risk tab: blocked plans, reductions, steps of the limits; one of them in sight."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QStackedWidget

from app.contract.results import BlockedRow, RiskView
from app.contract.risk_views import LimitChange
from dashboard import numbers
from dashboard.cells import Cell, Column
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import money_cell, number_cell, sentence_words, share_cell, symbol_cell, time_cell
from dashboard.theme import ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView
from dashboard.widgets.controls import Button, Segments

BLOCKED, REDUCED, LIMITS = "Blocked plans", "Reduced", "Limits"
EMPTY = {
    BLOCKED: ("No plan was blocked", "A plan that breaks a limit is listed here with the gate that stopped it."),
    REDUCED: (
        "Nothing was reduced",
        "A position that takes the portfolio over a limit is cut at the next open, and listed here with the limit.",
    ),
    LIMITS: (
        "The limits are as set",
        "A deep drawdown or a day that lost its whole limit tightens them by itself; it is listed here, and who "
        "loosened them.",
    ),
}  # fmt: skip


def blocked_columns() -> list[Column]:
    """Columns of the plans that a gate stopped."""
    return [
        Column("time", "Time UTC", lambda r: time_cell(r.time_ms), 98, grow=0),
        Column("plan", "Plan", lambda r: symbol_cell(r.symbol, r.side), 142, grow=1),
        Column("gate", "Blocked by", _gate_cell, 170, grow=2),
        Column("value", "Measured", lambda r: Cell(numbers.measured(r.value, r.unit), "danger", 600), 92, right=True),
        Column("limit", "Limit", lambda r: Cell(numbers.short(r.limit, r.unit)), 76, right=True),
        Column("ev", "EV", lambda r: Cell(numbers.percent(r.expected_value, 3, signed=True)), 84, right=True, rank=1,
               tip="Expected value after costs, share of the notional. Rules have none."),
    ]  # fmt: skip


def _gate_cell(row: BlockedRow) -> Cell:
    tip = f"Also: {', '.join(row.also)}" if row.also else ""
    return Cell(row.gate, "text2", extra=f"+{len(row.also)}" if row.also else "", tip=tip)


def reduced_columns() -> list[Column]:
    """Columns of what was cut back to a limit."""
    return [
        Column("time", "Time UTC", lambda r: time_cell(r.time_ms), 98, grow=0),
        Column("symbol", "Symbol", lambda r: symbol_cell(r.symbol), 96, grow=1),
        Column("why", "Held beyond", lambda r: Cell(r.gates, tip=r.gates), 150, grow=3),
        Column("share", "Cut", lambda r: share_cell(r.share, 1, tone="text"), 66, right=True,
               tip="Share of the position that was closed"),
        Column("quantity", "Quantity", lambda r: number_cell(r.quantity, r.quantity_digits), 88, right=True, rank=2),
        Column("price", "At", lambda r: number_cell(r.price, r.price_digits, "text"), 88, right=True, rank=1,
               tip="Price of the fill; a dash where something else closed it before"),
        Column("result", "Gross P&L", lambda r: money_cell(r.result), 92, right=True),
    ]  # fmt: skip


def change_columns() -> list[Column]:
    """Columns of the limits' steps."""
    return [
        Column("time", "Time UTC", lambda r: time_cell(r.time_ms), 98, grow=0),
        Column("what", "Limits", _change_cell, 110, grow=0),
        Column("left", "Left", lambda r: share_cell(r.left, 0, tone="text"), 66, right=True, grow=0,
               tip="What is left of the limits on money at risk"),
        Column("why", "Why", lambda r: Cell(sentence_words(numbers.typeset(r.words)), tip=r.words), 200, grow=3),
    ]  # fmt: skip


def _change_cell(row: LimitChange) -> Cell:
    if row.kind == "tighten":
        return Cell("Tightened", badge="warn", sort=row.kind)
    return Cell("Loosened", badge="text2", sort=row.kind)


class HistoryCard(Card):
    """What the limits did: to plans, to what is held, and to themselves."""

    opened = pyqtSignal(str)  # a decision's id

    def __init__(self) -> None:
        super().__init__("History")
        self.which = Segments((BLOCKED, REDUCED, LIMITS), BLOCKED, 26)
        self.why = Button("Open the decision", icon="list", height=26)
        self.save = Button("Export…", icon="download", height=26)
        self.control(self.which, self.why, self.save)
        self.blocked = DataTable(Rows(blocked_columns(), lambda r: (r.decision_id, r.gate)), row_height=ROW_DENSE_H)
        self.reduced = DataTable(Rows(reduced_columns(), lambda r: r.number), row_height=ROW_DENSE_H)
        self.limits = DataTable(Rows(change_columns(), lambda r: r.number), row_height=ROW_DENSE_H)
        self.tables = {BLOCKED: self.blocked, REDUCED: self.reduced, LIMITS: self.limits}
        self.stack = QStackedWidget()
        for name, table in self.tables.items():
            table.setObjectName(f"risk.{name.split()[0].lower()}")
            self.stack.addWidget(table)
        self.nothing = EmptyView("shield", *EMPTY[BLOCKED])
        self.stack.addWidget(self.nothing)
        self.body(self.stack)
        self._total = 0
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._picked: BlockedRow | None = None
        self.which.chosen.connect(lambda _: self._show())
        self.blocked.picked.connect(self._pick)
        self.blocked.opened.connect(self._open)
        self.why.clicked.connect(lambda: self._open(self._picked))
        self._pick(None)
        self._show()

    def show_view(self, v: RiskView) -> None:
        """Change the rows of all three."""
        self._total = v.blocked_total
        for name, rows in ((BLOCKED, v.blocked), (REDUCED, v.reductions), (LIMITS, v.changes)):
            if rows != self._shown.get(name):  # two hundred rows are not made anew each second for nothing
                self._shown[name] = rows
                self.tables[name].rows.replace(rows)
        self.save.block("" if v.blocked else "There is nothing to export yet.")
        self._show()

    def set_narrow(self, narrow: bool) -> None:
        """Icons alone where room is short."""
        for button in (self.why, self.save):
            button.set_compact(narrow)

    def _show(self) -> None:
        name = self.which.current
        table = self.tables[name]
        count = table.rows.rowCount()
        self.nothing.say(*EMPTY[name])
        self.stack.setCurrentWidget(table if count else self.nothing)
        total = self._total if name == BLOCKED else count
        self.subtitle.setText(f"{total:,}" if total else "")
        self.why.setVisible(name == BLOCKED)
        self.save.setVisible(name == BLOCKED)

    def _pick(self, row: BlockedRow | None) -> None:
        self._picked = row
        self.why.block("" if row is not None else "Pick a plan first.", "Open the decision")

    def _open(self, row: object) -> None:
        if isinstance(row, BlockedRow):
            self.opened.emit(row.decision_id)
