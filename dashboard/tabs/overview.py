"""Overview: how am I doing, what is open."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.contract.commands import EmergencyStop
from app.contract.queries import OverviewQuery
from app.contract.views import HealthRow, OverviewView, SignalRow
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.charts.equity import SPANS_MS, EquityPlot
from dashboard.charts.plot import Legend
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab, action_cell, sentence_words
from dashboard.tabs.positions import bare_first, position_columns
from dashboard.theme import GAP, NARROW, ROW_DENSE_H, ROW_H, font
from dashboard.widgets.cards import Card, EmptyView, MetricCardView
from dashboard.widgets.controls import Badge, Button, Segments, level_tone


class Totals(QWidget):
    """Caption and value pairs in one line: unrealised, net exposure, loss at the stops."""

    def __init__(self) -> None:
        super().__init__()
        self._items: tuple[tuple[str, str, str], ...] = ()
        self.setFixedHeight(24)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_items(self, *items: tuple[str, str, str]) -> None:
        """Change them: (caption, value, token)."""
        self._items = items
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        x = 8.0
        for caption, value, token in self._items:
            box = QRectF(x, 0, self.width() - x, self.height())
            x += painting.text(p, box, caption, font(12), "text3") + 8
            box.setLeft(x)
            x += painting.text(p, box, value, font(12, 600), token) + 22


class PaperBar(QWidget):
    """How much of the advised time on paper is done."""

    def __init__(self) -> None:
        super().__init__()
        self.days: float | None = None
        self.advised: float | None = None
        self.setFixedHeight(22)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        if self.days is None or not self.advised:
            return
        p = QPainter(self)
        box = QRectF(self.rect()).adjusted(8, 0, -8, 0)
        wide = painting.text(p, box, "Paper before live", font(12), "text2")
        words = f"{numbers.number(self.days, 0)} of {numbers.number(self.advised, 0)} days advised"
        tail = painting.text(p, box, words, font(12), "text3", painting.RIGHT)
        track = QRectF(box.left() + wide + 24, box.center().y() - 2.5, max(10, box.width() - wide - tail - 40), 5)
        painting.bar(p, track, self.days / self.advised)


def decision_columns() -> list[Column]:
    """Columns of the last decisions."""
    return [
        Column("time", "Time", lambda r: Cell(numbers.clock(r.time_ms), "text3", tip=numbers.full_time(r.time_ms)), 58,
               grow=0),
        Column("symbol", "Symbol", lambda r: Cell(numbers.ticker(r.symbol), "text", 500), 84, grow=0),
        Column("action", "Decision", lambda r: action_cell(r.action), 92, grow=0),
        Column("ev", "EV", lambda r: Cell(numbers.percent(r.expected_value, 3, signed=True), "text2"), 76, right=True,
               grow=0, rank=1, tip="Expected value after costs, share of the notional. Rules have none."),
        Column("why", "Why", lambda r: Cell(sentence_words(r.why), "text2", tip=r.why), 90),
    ]  # fmt: skip


def health_columns() -> list[Column]:
    """Columns of the service health."""
    return [
        Column("name", "Service", lambda r: Cell(r.name, "text", 500, dot=level_tone(r.level)), 130, grow=1),
        Column(
            "state", "State",
            lambda r: Cell(r.state, level_tone(r.level) if r.level in ("warn", "bad") else "text2",
                           600 if r.level in ("warn", "bad") else 400), 84, grow=1,
        ),
        Column("detail", "Detail", lambda r: Cell(r.detail, "text3", tip=r.detail), 120, grow=3),
    ]  # fmt: skip


class OverviewTab(Tab):
    """Cards, equity, positions, decisions, health."""

    key, title = "overview", "Overview"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.cards = [MetricCardView() for _ in range(6)]
        row = QHBoxLayout()
        row.setSpacing(GAP)
        for card in self.cards:
            row.addWidget(card, 1)
        self.grid.addLayout(row, 0, 0, 1, 2)
        self.grid.addWidget(self._equity_card(), 1, 0)
        self.grid.addWidget(self._health_card(), 1, 1)
        self.grid.addWidget(self._positions_card(), 2, 0)
        self.grid.addWidget(self._decisions_card(), 2, 1)
        self.grid.setColumnStretch(0, 62)
        self.grid.setColumnStretch(1, 38)
        self.grid.setRowStretch(1, 57)
        self.grid.setRowStretch(2, 43)

    def _equity_card(self) -> Card:
        self.equity_card = Card("Equity")
        self.equity = EquityPlot()
        self.legend = Legend(
            [("Equity", "accent", "line"), ("High-water mark", "text3", "dot"), ("Start", "line3", "dash")]
        )
        self.span = Segments(tuple(SPANS_MS), "All", 26)
        self.span.chosen.connect(self.equity.show_span)
        self.equity_card.control(self.legend, self.span)
        self.equity_card.body(self.equity)
        self.equity_card.empty(
            EmptyView("trend", "No equity yet", "The curve begins with the first bar that the run has decided on.")
        )
        return self.equity_card

    def _health_card(self) -> Card:
        card = Card("Service health")
        self.warnings = Badge()
        card.control(self.warnings)
        self.health = DataTable(Rows(health_columns(), lambda r: r.name), row_height=ROW_DENSE_H)
        self.health.setObjectName("overview.health")
        self.paper = PaperBar()
        card.body(self.health)
        card.column.addWidget(self.paper)
        return card

    def _positions_card(self) -> Card:
        self.positions_card = Card("Open positions")
        self.unprotected = Badge()
        self.close_all = Button("Close all…", "danger", height=24)
        self.close_all.clicked.connect(self._close_all)
        self.close_all.hide()
        self.positions_card.control(self.unprotected, self.close_all)
        rows = Rows(position_columns(), lambda r: r.symbol, lambda r: not r.protected)
        self.positions = DataTable(rows)
        self.positions.setObjectName("overview.positions")
        self.positions.opened.connect(lambda row: self.go.emit("chart", row.symbol))
        self.totals = Totals()
        self.positions_card.body(self.positions)
        self.positions_card.body(self.totals, 0)
        self.positions_card.empty(
            EmptyView("wallet", "No open position", "A position opens when a plan has passed every gate.")
        )
        return self.positions_card

    def _decisions_card(self) -> Card:
        card = Card("Last decisions")
        more = Button("All signals", "link")
        more.clicked.connect(lambda: self.go.emit("signals", None))
        card.control(more)
        self.decisions = DataTable(Rows(decision_columns(), lambda r: r.decision_id), row_height=ROW_DENSE_H + 1)
        self.decisions.setObjectName("overview.decisions")
        for table in (self.decisions, self.health):
            table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.decisions.opened.connect(self._open_decision)
        card.body(self.decisions)
        card.empty(EmptyView("list", "No decision yet", "Every closed bar leaves one, whether it traded or not."))
        self.decisions_card = card
        return card

    def question(self) -> OverviewQuery:
        return OverviewQuery()

    def set_narrow(self, width: int) -> None:
        wide = width >= NARROW
        self.legend.setVisible(wide)
        self.positions.set_row_height(ROW_H if wide else 28)
        self.health.set_row_height(ROW_DENSE_H if wide else 25)
        self.grid.setRowStretch(1, 57 if wide else 52)
        self.grid.setRowStretch(2, 43 if wide else 48)
        for card in self.cards:
            card.setFixedHeight(126 if wide else 112)

    def show_view(self, view: Any) -> None:
        v: OverviewView = view
        for widget, card in zip(self.cards, v.cards, strict=False):
            widget.show_card(card)
        for i, widget in enumerate(self.cards):
            widget.setVisible(i < len(v.cards))
        self.equity_card.subtitle.setText(f"{v.currency}, {v.account}")
        self.equity_card.show_empty(v.time.size < 2)
        self.equity.show_series(v.time, v.equity, v.drawdown, v.high_water, v.equity_start, v.drawdown_limit)
        self._show_health(v.health)
        self.paper.days, self.paper.advised = v.paper_days, v.paper_days_advised
        self.paper.setVisible(v.paper_days is not None and bool(v.paper_days_advised))
        self.paper.update()
        self._show_positions(v)
        self.decisions_card.show_empty(not v.decisions)
        self.decisions.rows.replace(v.decisions)

    def _show_health(self, health: tuple[HealthRow, ...]) -> None:
        self.health.rows.replace(health)
        bad = sum(r.level == "bad" for r in health)
        late = sum(r.level == "warn" for r in health)
        if bad:
            self.warnings.show_words(f"{bad} failed", "danger")
        else:
            self.warnings.show_words(f"{late} warning{'s' if late > 1 else ''}" if late else "", "warn")

    def _show_positions(self, v: OverviewView) -> None:
        self.positions_card.show_empty(not v.positions)
        self.positions.rows.replace(bare_first(v.positions))
        words = str(len(v.positions)) if v.positions else ""
        if v.exposure is not None and v.positions:
            words += f" · exposure {numbers.percent(v.exposure, 1)}"
            if v.exposure_limit is not None:
                words += f" of {numbers.short(v.exposure_limit, 'fraction')}"
        if v.waiting:
            waits = f"{v.waiting} entr{'ies wait' if v.waiting != 1 else 'y waits'}"
            words = f"{words} · {waits}" if words else waits
        self.positions_card.subtitle.setText(words)
        bare = sum(not r.protected for r in v.positions)
        self.unprotected.show_words(f"{bare} unprotected" if bare else "", "dangerFill", solid=True)
        self.close_all.setVisible(bool(v.positions))
        pnl = sum(r.pnl for r in v.positions if r.pnl is not None)
        loss = None if v.loss_at_stops is None else -v.loss_at_stops
        self.totals.show_items(
            ("Unrealised", f"{numbers.number(pnl, signed=True)} {v.currency}", painting.money_token(pnl)),
            ("Net exposure", numbers.percent(v.net_exposure, 1, signed=True), "text"),
            ("Loss if every stop fills", f"{numbers.number(loss)} {v.currency}", "text"),
        )

    def _open_decision(self, row: object) -> None:
        if isinstance(row, SignalRow):
            self.go.emit("signals", row.decision_id)

    def _close_all(self) -> None:
        count = self.positions.rows.rowCount()
        self.ask_once(
            "Close every position?",
            f"Entries halt, orders are cancelled and {count} position{'s' if count != 1 else ''} close at market. "
            "Trading stays halted until you start it again.",
            "Close everything",
            EmergencyStop("close all, from the overview"),
            alarm=True,
        )
