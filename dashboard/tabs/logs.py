"""Logs & audit: what did the program do."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QLineEdit

from app.contract.commands import VerifyAudit
from app.contract.queries import AuditQuery, LogsQuery
from app.contract.results import AuditView, LogsView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab
from dashboard.theme import ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView
from dashboard.widgets.controls import Badge, Button, Segments

LEVEL_TONES = {"debug": "text3", "info": "text2", "warning": "warn", "error": "danger"}
LEVELS = {"All": "debug", "Info": "info", "Warnings": "warning", "Errors": "error"}


def _stamp(ms: int) -> Cell:
    words = f"{numbers.moment(ms).strftime('%m-%d')} {numbers.clock(ms, True)}"
    return Cell(words, "text3", mono=True, tip=numbers.full_time(ms))


def log_columns() -> list[Column]:
    """Columns of the log."""
    return [
        Column("time", "Time UTC", lambda r: _stamp(r.time_ms), 128, grow=0),
        Column("level", "Level", lambda r: Cell(r.level.capitalize(), badge=LEVEL_TONES.get(r.level, "text2")), 84,
               grow=0),
        Column("source", "From", lambda r: Cell(r.source, "text3", mono=True, tip=r.source), 120, grow=0, rank=1),
        Column("text", "What", lambda r: Cell(numbers.typeset(r.text), "danger" if r.level == "error" else "text",
                                              tip=r.detail or r.text), 200, grow=1),
    ]  # fmt: skip


def audit_columns() -> list[Column]:
    """Columns of the audit chain."""
    return [
        Column("number", "No.", lambda r: Cell(f"{r.number:,}", "text3"), 64, right=True, grow=0),
        Column("time", "Time UTC", lambda r: _stamp(r.time_ms), 128, grow=0),
        Column("kind", "Kind", lambda r: Cell(r.kind, "text", 500), 110, grow=1),
        Column("words", "What", lambda r: Cell(r.words, tip=r.words), 140, grow=4),
        Column("hash", "Hash", lambda r: Cell(r.digest[:10], "text3", mono=True, tip=r.digest), 100, grow=0, rank=1),
    ]  # fmt: skip


class LogsTab(Tab):
    """The log at the left, the audit chain at the right."""

    key, title = "logs-audit", "Logs & audit"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.log_card, self.audit_card = Card("Log"), Card("Audit chain")
        self.level = Segments(tuple(LEVELS), "Info", 26)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Filter")
        self.search.setFixedWidth(150)
        self.log_card.control(self.search, self.level)
        self.log = DataTable(Rows(log_columns(), lambda r: r), row_height=ROW_DENSE_H - 1)
        self.log.setObjectName("logs.log")
        self.log_card.body(self.log)
        self.log_card.empty(EmptyView("list", "No such line", "Choose a lower level or clear the filter."))
        self.badge, self.verify = Badge(), Button("Verify", icon="seal", height=26)
        self.save = Button("Export…", icon="download", height=26)
        self.audit_card.control(self.badge, self.verify, self.save)
        self.audit = DataTable(Rows(audit_columns(), lambda r: r.number), row_height=ROW_DENSE_H - 1)
        self.audit.setObjectName("logs.audit")
        self.audit_card.body(self.audit)
        self.audit_card.empty(
            EmptyView("link", "The chain is empty", "Starts, halts, settings and model switches are chained here.")
        )
        self.grid.addWidget(self.log_card, 0, 0)
        self.grid.addWidget(self.audit_card, 0, 1)
        self.grid.setColumnStretch(0, 52)
        self.grid.setColumnStretch(1, 48)
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(250)
        self._typing.timeout.connect(self.refresh)
        self.search.textChanged.connect(lambda _: self._typing.start())
        self.level.chosen.connect(lambda _: self.refresh())
        self.verify.clicked.connect(self._verify)
        self.save.clicked.connect(lambda: self.export("audit"))

    def question(self) -> LogsQuery:
        return LogsQuery(LEVELS[self.level.current], self.search.text())

    def refresh(self) -> None:
        super().refresh()
        self.bridge.ask(AuditQuery(), self.show_audit, "audit")

    def show_view(self, view: Any) -> None:
        v: LogsView = view
        self.log_card.subtitle.setText(f"{v.total:,} lines" if v.total else "")
        self.log_card.show_empty(not v.rows)
        self.log.rows.replace(list(dict.fromkeys(v.rows)))

    def show_audit(self, view: AuditView) -> None:
        """Show the chain."""
        head = f" · head {view.head[:10]}" if view.head else ""
        self.audit_card.subtitle.setText(f"{view.entries:,} entries{head}" if view.entries else "")
        self.audit_card.show_empty(not view.rows)
        self.audit.rows.replace(view.rows)
        if view.ok is None:
            self.badge.show_words("not verified" if view.entries else "", "text2")
        elif view.ok:
            self.badge.show_words(f"Verified {numbers.clock(view.verified_ms)}", "profit")
        else:
            self.badge.show_words(f"Broken at {view.first_bad}", "danger")
        self.verify.block("" if view.entries else "There is nothing to verify yet.", "Check every link of the chain")
        self.save.block("" if view.entries else "There is nothing to export yet.")

    def _verify(self) -> None:
        self.verify.block("The chain is being checked.")
        self.do(VerifyAudit())
