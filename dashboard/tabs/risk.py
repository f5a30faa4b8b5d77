"""Risk: how far from the limits."""

from __future__ import annotations

from typing import Any

from app.contract.queries import RiskQuery
from app.contract.results import BlockedRow, RiskView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.charts.plot import Legend
from dashboard.charts.shares import ExposureBars, Histogram
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab, symbol_cell, time_cell
from dashboard.theme import NARROW
from dashboard.widgets.cards import Card, Elided, EmptyView
from dashboard.widgets.controls import Badge, Button, level_tone
from dashboard.widgets.gate_bars import GateBars


def blocked_columns() -> list[Column]:
    """Columns of the plans that a gate stopped."""
    return [
        Column("time", "Time UTC", lambda r: time_cell(r.time_ms), 98, grow=0),
        Column("plan", "Plan", lambda r: symbol_cell(r.symbol, r.side), 142, grow=1),
        Column("gate", "Blocked by", lambda r: Cell(r.gate), 150, grow=2),
        Column("value", "Measured", lambda r: Cell(numbers.measured(r.value, r.unit), "danger", 600), 92, right=True),
        Column("limit", "Limit", lambda r: Cell(numbers.short(r.limit, r.unit)), 76, right=True),
        Column("ev", "EV", lambda r: Cell(numbers.percent(r.expected_value, 3, signed=True)), 84, right=True, rank=1),
    ]  # fmt: skip


class RiskTab(Tab):
    """Gates at the left; days, exposure and blocked plans at the right."""

    key, title = "risk", "Risk"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.gates_card = Card("Gates")
        self.entries, self.gates = Badge(), GateBars(0.33)
        self.legend = Legend(
            [("used", "accent", "box"), ("over 80 % of the limit", "warn", "box"), ("blocks", "danger", "box")]
        )
        self.gates_card.control(self.entries)
        self.gates_card.column.addWidget(self.legend)
        self.gates_card.body(self.gates)
        self.note = Elided("A gate that cannot be measured blocks in live and is marked in paper.", 12, 400, "text3")
        self.gates_card.column.addWidget(self.note)
        self.gates_card.empty(
            EmptyView("shield", "No gate was asked yet", "Gates show their values with the first bar of the run.")
        )
        self.days_card, self.exposure_card = Card("Result of a day", "% of equity at 00:00 UTC"), Card("Exposure")
        self.days = Histogram(lambda v, d: numbers.percent(v, max(0, d - 2), signed=True), "days")
        self.days.nothing = "The first day is still open."
        self.days_card.body(self.days)
        self.exposure = ExposureBars()
        self.exposure.nothing = "No open position: nothing is exposed."
        self.exposure_card.control(Legend([("long", "s3", "box"), ("short", "s5", "box"), ("limit", "danger", "dash")]))
        self.exposure_card.body(self.exposure)
        self.blocked_card = Card("Blocked plans")
        self.save = Button("Export…", icon="download", height=26)
        self.why = Button("Open the decision", icon="list", height=26)
        self.blocked_card.control(self.why, self.save)
        self.blocked = DataTable(Rows(blocked_columns(), lambda r: (r.decision_id, r.gate)))
        self.blocked.setObjectName("risk.blocked")
        self.blocked_card.body(self.blocked)
        self.blocked_card.empty(
            EmptyView("shield", "No plan was blocked", "A plan that breaks a limit is listed here with the gate.")
        )
        self.grid.addWidget(self.gates_card, 0, 0, 2, 1)
        self.grid.addWidget(self.days_card, 0, 1)
        self.grid.addWidget(self.exposure_card, 0, 2)
        self.grid.addWidget(self.blocked_card, 1, 1, 1, 2)
        for column, share in ((0, 36), (1, 32), (2, 32)):
            self.grid.setColumnStretch(column, share)
        self.grid.setRowStretch(0, 45)
        self.grid.setRowStretch(1, 55)
        self._picked: BlockedRow | None = None
        self.blocked.picked.connect(self._pick)
        self.blocked.opened.connect(self._open)
        self.why.clicked.connect(lambda: self._open(self._picked))
        self.save.clicked.connect(lambda: self.export("decisions"))
        self._pick(None)

    def question(self) -> RiskQuery:
        return RiskQuery()

    def set_narrow(self, width: int) -> None:
        self.legend.setVisible(width >= NARROW)

    def show_view(self, view: Any) -> None:
        v: RiskView = view
        self.entries.show_words(v.entries, level_tone(v.entries_level) if v.entries_level != "idle" else "text2")
        self.gates.show_gates(v.gates)
        self.gates_card.show_empty(not v.gates)
        self.gates_card.subtitle.setText(f"{sum(g.passed for g in v.gates)} of {len(v.gates)} pass" if v.gates else "")
        marks: list[tuple[float, str, str]] = []
        if v.day_limit is not None:
            limit = numbers.short(v.day_limit, "fraction")
            marks.append((-abs(v.day_limit), f"limit {numbers.MINUS}{limit}", "danger"))
        if v.day_now is not None:
            marks.append((v.day_now, f"today {numbers.percent(v.day_now, signed=True)}", "accent"))
        self.days.show_values(v.day_returns, marks)
        words = "% of equity"
        if v.gross_exposure is not None and v.gross_limit is not None:
            gross = numbers.percent(v.gross_exposure, 1)
            words = f"gross {gross} of {numbers.short(v.gross_limit, 'fraction')}"
        self.exposure_card.subtitle.setText(words)
        self.exposure.show_exposure(
            v.exposures, v.net_exposure if v.exposures else None, v.gross_exposure if v.exposures else None,
            v.gross_limit,
        )  # fmt: skip
        self.blocked_card.subtitle.setText(f"{v.blocked_total:,}" if v.blocked_total else "")
        self.blocked_card.show_empty(not v.blocked)
        self.blocked.rows.replace(v.blocked)
        self.save.block("" if v.blocked else "There is nothing to export yet.")

    def _pick(self, row: BlockedRow | None) -> None:
        self._picked = row
        self.why.block("" if row is not None else "Pick a plan first.")

    def _open(self, row: object) -> None:
        if isinstance(row, BlockedRow):
            self.go.emit("signals", row.decision_id)
