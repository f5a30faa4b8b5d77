"""Trades: what happened."""

from __future__ import annotations

from typing import Any

from PyQt6.QtWidgets import QLineEdit

from app.contract.queries import TradesQuery
from app.contract.results import TradeRow, TradesView
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab, money_cell, number_cell, share_cell, symbol_cell, time_cell
from dashboard.tabs.overview import Totals
from dashboard.theme import ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView
from dashboard.widgets.controls import Button, Segments

EXIT_TONES = {"stop": "text2", "liquidation": "danger", "emergency": "danger", "target": "text2"}


def trade_columns() -> list[Column]:
    """Columns of closed trades."""
    return [
        Column("exit_time", "Closed UTC", lambda r: time_cell(r.exit_ms), 98, grow=0),
        Column("symbol", "Trade", lambda r: symbol_cell(r.symbol, r.side), 142, grow=1),
        Column("quantity", "Size", lambda r: number_cell(r.quantity, r.quantity_digits, unit=r.base), 92, right=True),
        Column("entry", "Entry", lambda r: number_cell(r.entry, r.price_digits, "text"), 88, right=True),
        Column("exit", "Exit", lambda r: number_cell(r.exit, r.price_digits, "text"), 88, right=True),
        Column("held", "Held", lambda r: Cell(numbers.span((r.exit_ms - r.entry_ms) / 1000),
                                              sort=float(r.exit_ms - r.entry_ms)), 86, right=True, rank=2),
        Column("reason", "Exit by", lambda r: Cell(r.exit_reason.capitalize(),
                                                   badge=EXIT_TONES.get(r.exit_reason, "text2")), 86),
        Column("mfe", "Best", lambda r: share_cell(r.mfe, signed=True), 72, right=True, rank=3,
               tip="Best excursion while it was open (MFE)"),
        Column("mae", "Worst", lambda r: share_cell(r.mae, signed=True), 72, right=True, rank=3,
               tip="Worst excursion while it was open (MAE)"),
        Column("fees", "Fees", lambda r: number_cell(-r.fees, 2), 70, right=True, rank=1),
        Column("funding", "Funding", lambda r: Cell(numbers.number(r.funding, signed=True), sort=r.funding), 76,
               right=True, rank=4, tip="Plus means received"),
        Column("slippage", "Slippage", lambda r: number_cell(-r.slippage, 2), 76, right=True, rank=5),
        Column("r", "R", lambda r: Cell(numbers.number(r.pnl_r, signed=True), painting.money_token(r.pnl_r),
                                        sort=r.pnl_r), 62, right=True, rank=1),
        Column("pnl", "Net P&L", lambda r: money_cell(r.pnl), 104, right=True),
    ]  # fmt: skip


class TradesTab(Tab):
    """Sortable and filterable; opening one shows it in the chart."""

    key, title = "trades", "Trades"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.card = Card("Trades")
        self.search = QLineEdit()
        self.search.setPlaceholderText("Filter: symbol, side, exit reason")
        self.search.setFixedWidth(240)
        self.search.setClearButtonEnabled(True)
        self.which = Segments(("All", "Won", "Lost"), "All", 28)
        self.on_chart = Button("Show on chart", icon="chart", height=28)
        self.why = Button("Why", icon="list", height=28)
        self.save = Button("Export…", icon="download", height=28)
        self.card.control(self.search, self.which, self.why, self.on_chart, self.save)
        self.table = DataTable(Rows(trade_columns(), lambda r: r.trade_id), row_height=ROW_DENSE_H + 1, sortable=True)
        self.table.setObjectName("trades.table")
        self.totals = Totals()
        self.card.body(self.table)
        self.card.body(self.totals, 0)
        self.card.empty(
            EmptyView("receipt", "No closed trade yet", "A trade is listed when its position is closed.",
                      "See the decisions", lambda: self.go.emit("signals", None))
        )  # fmt: skip
        self.grid.addWidget(self.card, 0, 0)
        self._rows: tuple[TradeRow, ...] = ()
        self._picked: TradeRow | None = None
        self.search.textChanged.connect(self.table.filter)
        self.which.chosen.connect(lambda _: self._show_rows())
        self.on_chart.clicked.connect(lambda: self._open(self._picked))
        self.why.clicked.connect(self._why)
        self.save.clicked.connect(lambda: self.export("trades"))
        self.table.opened.connect(self._open)
        self.table.picked.connect(self._pick)
        self._pick(None)

    def question(self) -> TradesQuery:
        return TradesQuery()

    def show_view(self, view: Any) -> None:
        v: TradesView = view
        self._rows = v.rows
        shown = "" if v.total == len(v.rows) else f" · {len(v.rows):,} shown"
        self.card.subtitle.setText(f"{v.total:,} closed{shown}" if v.total else "")
        self.card.show_empty(not v.rows)
        self.save.block("" if v.rows else "There is no trade to export yet.")
        won = numbers.percent(v.wins / v.total if v.total else None, 1)
        self.totals.show_items(
            ("Net", f"{numbers.number(v.net, signed=True)} {v.currency}", painting.money_token(v.net)),
            ("Fees", f"{numbers.number(-v.fees)} {v.currency}", "text"),
            ("Funding", f"{numbers.number(v.funding, signed=True)} {v.currency}", "text"),
            ("Won", f"{won} of {v.total:,}", "text"),
        )
        self._show_rows()

    def set_narrow(self, width: int) -> None:
        self.search.setFixedWidth(240 if width >= 1500 else 200)

    def _show_rows(self) -> None:
        which = self.which.current
        rows = [r for r in self._rows if which == "All" or (r.pnl > 0) == (which == "Won")]
        self.table.rows.replace(rows)

    def _pick(self, row: TradeRow | None) -> None:
        self._picked = row
        reason = "" if row is not None else "Pick a trade first."
        self.on_chart.block(reason)
        no_decision = "" if row is None or row.decision_id else "The decision of this trade is not stored."
        self.why.block(reason or no_decision)

    def _open(self, row: object) -> None:
        if isinstance(row, TradeRow):
            self.go.emit("chart", (row.symbol, row.entry_ms, row.exit_ms))

    def _why(self) -> None:
        if self._picked is not None:
            self.go.emit("signals", self._picked.decision_id)
