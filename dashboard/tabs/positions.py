"""Positions & orders: what do I hold, is it protected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.contract.commands import ClosePosition
from app.contract.queries import OrdersQuery, PositionsQuery
from app.contract.views import OrderRow, OrdersView, PositionRow, PositionsView
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.charts.shares import RangeBar
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab, money_cell, number_cell, share_cell, symbol_cell, time_cell
from dashboard.theme import ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView, label, set_tone
from dashboard.widgets.controls import Badge, Button, Segments
from dashboard.widgets.facts import Facts

STATUS_TONES = {
    "resting": "accent", "filled": "profit", "planned": "text2", "cancelled": "text3", "expired": "text3",
    "rejected": "danger", "unknown": "warn",
}  # fmt: skip


def protection_cell(row: PositionRow) -> Cell:
    """Whether the stop rests, in words."""
    return Cell(row.protection, badge="profit" if row.protected else "danger", sort=row.protection)


def bare_first(rows: Sequence[PositionRow]) -> list[PositionRow]:
    """Positions without a resting stop first, so that none hides below the edge."""
    return sorted(rows, key=lambda r: r.protected)


def position_columns() -> list[Column]:
    """Columns of open positions, here and on the overview."""
    return [
        Column("symbol", "Position", lambda r: symbol_cell(r.symbol, r.side), 136, grow=2),
        Column("size", "Size", lambda r: number_cell(r.quantity, r.quantity_digits, unit=r.base), 88, right=True),
        Column("entry", "Entry", lambda r: number_cell(r.entry, r.price_digits), 80, right=True, rank=1),
        Column("last", "Last", lambda r: number_cell(r.last, r.price_digits, "text"), 80, right=True),
        Column("pnl", "P&L USDT", lambda r: money_cell(r.pnl), 84, right=True),
        Column("r", "R", lambda r: Cell(numbers.number(r.pnl_r, signed=True), painting.money_token(r.pnl_r)), 54,
               right=True, rank=2, tip="Profit in multiples of the loss at the stop"),
        Column("to_stop", "To stop", lambda r: share_cell(r.to_stop), 68, right=True),
        Column("to_target", "To target", lambda r: share_cell(r.to_target), 72, right=True, rank=3),
        Column("to_liq", "To liq.", lambda r: share_cell(r.to_liquidation, 1), 58, right=True, rank=4,
               tip="Distance to the liquidation price"),
        Column("left", "Left", lambda r: Cell(numbers.span(r.left_s), sort=r.left_s), 72, right=True, rank=2,
               tip="Time to the time exit"),
        Column("protection", "Protection", protection_cell, 126, grow=1),
    ]  # fmt: skip


def order_columns() -> list[Column]:
    """Columns of orders."""
    return [
        Column("updated", "Time UTC", lambda r: time_cell(r.updated_ms), 98, grow=0),
        Column("symbol", "Symbol", lambda r: Cell(numbers.ticker(r.symbol), "text", 600), 84),
        Column("purpose", "Purpose", lambda r: Cell(r.purpose.capitalize()), 74),
        Column("side", "Side", lambda r: Cell(r.side.capitalize()), 52),
        Column("kind", "Kind", lambda r: Cell(r.kind.replace("_", " ")), 104, rank=2),
        Column("quantity", "Quantity", lambda r: number_cell(r.quantity, r.quantity_digits), 84, right=True),
        Column("price", "Price", lambda r: number_cell(r.price, r.price_digits, "text"), 90, right=True),
        Column("reduce", "Reduce only", lambda r: Cell("yes" if r.reduce_only else "no", "text3"), 84, rank=3),
        Column("status", "Status", lambda r: Cell(r.status.capitalize(), badge=STATUS_TONES.get(r.status, "text2")),
               92),
        Column("story", "Last step", lambda r: Cell(r.history[-1][2] if r.history else "–", "text3"), 130, grow=3,
               rank=1),
        Column("id", "Client id", lambda r: Cell(r.client_id, "text3", mono=True), 120, grow=2, rank=4),
    ]  # fmt: skip


class PositionPanel(Card):
    """The picked position in full."""

    def __init__(self) -> None:
        super().__init__("Position")
        self.protection = Badge()
        self.control(self.protection)
        self.side = label("", 12, 400, "text2")
        self.pnl = label("", 18, 600)
        self.track = RangeBar()
        self.facts = Facts()
        self.close_button = Button("Close…", "danger", height=28)
        for widget in (self.pnl, self.track, self.facts):
            self.body(widget, 0)
        self.column.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.column.addStretch(1)
        self.row: PositionRow | None = None

    def show_row(self, row: PositionRow | None, currency: str) -> None:
        """Change the position; ``None`` hides the panel."""
        self.row = row
        self.setVisible(row is not None)
        if row is None:
            return
        self.subtitle.setText(f"{numbers.ticker(row.symbol)}  {numbers.side_words(row.side)}")
        self.protection.show_words(row.protection, "profit" if row.protected else "danger")
        way = {1: "▲ ", -1: "▼ "}.get(numbers.arrow(row.pnl), "")
        r = f"   {numbers.number(row.pnl_r, signed=True)} R" if row.pnl_r is not None else ""
        self.pnl.setText(f"{way}{numbers.number(row.pnl, signed=True)} {currency}{r}")
        set_tone(self.pnl, painting.money_token(row.pnl))
        self.track.show_prices(row.stop, row.entry, row.target, row.last)
        d = row.price_digits
        limit = "" if row.margin_limit is None else f" · limit {numbers.short(row.margin_limit, 'fraction')}"
        loss = None if row.loss_at_stop is None else -row.loss_at_stop
        self.facts.show_facts(
            ("Stop", f"{numbers.number(row.stop, d)}   {numbers.percent(row.to_stop)} away", "loss"),
            ("Entry", numbers.number(row.entry, d), "text"),
            ("Last", numbers.number(row.last, d), "text"),
            ("Target", f"{numbers.number(row.target, d)}   {numbers.percent(row.to_target)} away", "profit"),
            ("Size", f"{numbers.number(row.quantity, row.quantity_digits)} {row.base} · "
                     f"{numbers.number(row.notional, 0)} {currency}", "text"),
            ("Margin", f"{numbers.percent(row.margin, 1)} of equity{limit}", "text"),
            ("Leverage", numbers.measured(row.leverage, "x"), "text"),
            ("Loss at stop", f"{numbers.number(loss)} {currency}", "text"),
            ("To liquidation", numbers.percent(row.to_liquidation, 1), "text"),
            ("Opened", f"{numbers.day_clock(row.opened_ms)} UTC", "text"),
            ("Time left", numbers.span(row.left_s), "text"),
        )  # fmt: skip


class OrderPanel(Card):
    """The picked order's story."""

    def __init__(self) -> None:
        super().__init__("Order history")
        self.facts = Facts()
        self.body(self.facts, 0)
        self.column.addStretch(1)

    def show_row(self, row: OrderRow | None) -> None:
        """Change the order."""
        self.setVisible(row is not None)
        if row is not None:
            self.subtitle.setText(row.client_id)
            steps = row.history or ((row.updated_ms, row.status, ""),)
            self.facts.show_facts(
                *(
                    (numbers.day_clock(ms), f"{status}{' · ' + words if words else ''}", "text2")
                    for ms, status, words in steps[-9:]
                )
            )


class PositionsTab(Tab):
    """Positions above, orders below, the picked one at the right."""

    key, title = "positions-orders", "Positions & orders"

    def __init__(self, bridge: Bridge) -> None:
        super().__init__(bridge)
        self.currency = "USDT"
        self.positions_card, self.orders_card = Card("Open positions"), Card("Orders")
        self.positions = DataTable(Rows(position_columns(), lambda r: r.symbol, lambda r: not r.protected))
        self.positions.setObjectName("positions.positions")
        self.orders = DataTable(Rows(order_columns(), lambda r: r.client_id), row_height=ROW_DENSE_H, sortable=True)
        self.orders.setObjectName("positions.orders")
        self.positions_card.body(self.positions)
        self.positions_card.empty(
            EmptyView(
                "wallet", "No open position", "A position opens when a plan has passed every gate.",
                "See why not", lambda: self.go.emit("signals", None),
            )
        )  # fmt: skip
        self.which = Segments(("All", "Working", "Filled"), "All", 26)
        self.which.chosen.connect(self._show_orders)
        self.orders_card.control(self.which)
        self.orders_card.body(self.orders)
        self.orders_card.empty(
            EmptyView("receipt", "No order here", "Orders appear with the first plan that passed every gate.")
        )
        self.panel, self.story = PositionPanel(), OrderPanel()
        self.panel.close_button.clicked.connect(self._close)
        side = QWidget()
        column = QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(self.panel)
        column.addWidget(self.story, 1)
        self.side = side
        self.grid.addWidget(self.positions_card, 0, 0)
        self.grid.addWidget(self.orders_card, 1, 0)
        self.grid.addWidget(side, 0, 1, 2, 1)
        self.grid.setColumnStretch(0, 1)
        side.setFixedWidth(316)
        self.grid.setRowStretch(0, 2)
        self.grid.setRowStretch(1, 3)
        self._orders: tuple[OrderRow, ...] = ()
        self.panel.hide()
        self.story.hide()
        side.hide()
        self.positions.picked.connect(lambda row: self._pick(row))
        self.orders.picked.connect(lambda row: self._pick_order(row))

    def question(self) -> PositionsQuery:
        return PositionsQuery()

    def refresh(self) -> None:
        super().refresh()
        self.bridge.ask(OrdersQuery(), self.show_orders, "orders")

    def show_view(self, view: Any) -> None:
        v: PositionsView = view
        self.currency = v.currency
        self.positions.rows.replace(bare_first(v.positions))
        self.positions_card.show_empty(not v.positions)
        words = f"{len(v.positions)} · exposure {numbers.percent(v.exposure, 1)}" if v.positions else ""
        if v.exposure_limit is not None and v.positions:
            words += f" of {numbers.short(v.exposure_limit, 'fraction')}"
        self.positions_card.subtitle.setText(words)
        current = self.panel.row.symbol if self.panel.row is not None else ""
        ordered = bare_first(v.positions)
        row = next((r for r in ordered if r.symbol == current), ordered[0] if ordered else None)
        self._pick(row)

    def show_orders(self, view: OrdersView) -> None:
        """Show the orders."""
        self._orders = view.orders
        self.orders_card.subtitle.setText(
            f"{view.working} working · {len(view.orders):,} of {view.total:,} shown" if view.total else ""
        )
        self._show_orders(self.which.current)

    def _show_orders(self, which: str) -> None:
        wanted = {"Working": ("planned", "resting", "unknown"), "Filled": ("filled",)}.get(which)
        rows = [row for row in self._orders if wanted is None or row.status in wanted]
        self.orders.rows.replace(rows)
        self.orders_card.show_empty(not rows)
        if rows and self.story.isHidden():
            self._pick_order(rows[0])

    def _pick(self, row: PositionRow | None) -> None:
        self.panel.show_row(row, self.currency)
        self._side()

    def _pick_order(self, row: OrderRow | None) -> None:
        self.story.show_row(row)
        self._side()

    def _side(self) -> None:
        self.side.setVisible(not self.panel.isHidden() or not self.story.isHidden())

    def _close(self) -> None:
        row = self.panel.row
        if row is not None:
            words = f"{numbers.number(row.quantity, row.quantity_digits)} {row.base}"
            self.ask_once(
                f"Close {numbers.ticker(row.symbol)}?",
                f"{words} close at market, and the stop and target orders are cancelled.",
                "Close at market", ClosePosition(row.symbol), alarm=True,
            )  # fmt: skip
