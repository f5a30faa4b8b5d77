"""Positions & orders: what do I hold, is it protected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.contract.commands import ClosePosition
from app.contract.position_views import EntryRow
from app.contract.queries import OrdersQuery, PositionsQuery
from app.contract.views import OrderRow, OrdersView, PositionRow, PositionsView
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.cells import Cell, Column
from dashboard.charts.levels import stop_rule
from dashboard.tables import DataTable, Rows
from dashboard.tabs.base import Tab, money_cell, number_cell, share_cell, symbol_cell, time_cell
from dashboard.theme import HEAD_H, NARROW, ROW_DENSE_H
from dashboard.widgets.cards import Card, EmptyView
from dashboard.widgets.controls import Button, Segments
from dashboard.widgets.facts import Facts
from dashboard.widgets.position_panel import PositionPanel

LONG_SIZE = 13  # letters of quantity and unit that fit into their column
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
        Column("symbol", "Position", lambda r: symbol_cell(r.symbol, r.side), 168, grow=2),
        Column("size", "Size", size_cell, 96, right=True),
        Column("entry", "Entry", lambda r: number_cell(r.entry, r.price_digits), 88, right=True, rank=1),
        Column("last", "Last", lambda r: number_cell(r.last, r.price_digits, "text"), 88, right=True),
        Column("pnl", "P&L USDT", lambda r: money_cell(r.pnl), 96, right=True),
        Column("r", "R", lambda r: Cell(numbers.number(r.pnl_r, signed=True), painting.money_token(r.pnl_r)), 54,
               right=True, rank=4, tip="Profit in multiples of the loss at the stop"),
        Column("to_stop", "To stop", lambda r: share_cell(r.to_stop), 68, right=True),
        Column("to_target", "To target", lambda r: share_cell(r.to_target), 72, right=True, rank=5),
        Column("to_liq", "To liq.", lambda r: share_cell(r.to_liquidation, 1), 58, right=True, rank=4,
               tip="Distance to the liquidation price"),
        Column("left", "Left", lambda r: Cell(numbers.span(r.left_s), sort=r.left_s), 72, right=True, rank=2,
               tip="Time to the time exit"),
        Column("targets", "Targets", targets_cell, 62, right=True, rank=3, tip="Targets taken, of all"),
        Column("stop_by", "Stop by", stop_cell, 96, rank=3, tip="The rule that put the stop where it stands"),
        Column("adds", "Added", lambda r: Cell(f"{r.adds} of {r.adds_most}" if r.adds_most else numbers.UNKNOWN), 56,
               right=True, rank=7, tip="Additions planned, of those allowed"),
        Column("protection", "Protection", protection_cell, 116, grow=1),
    ]  # fmt: skip


def size_cell(row: PositionRow | EntryRow) -> Cell:
    """Quantity with its unit; the unit goes into the tip where the number is long."""
    words = numbers.number(row.quantity, row.quantity_digits)
    unit = f" {row.base}" if len(words) + len(row.base) < LONG_SIZE else ""
    return Cell(words + unit, sort=row.quantity, tip=f"{words} {row.base}")


def targets_cell(row: PositionRow) -> Cell:
    """How many targets are taken."""
    if len(row.targets) < 2:
        return Cell(numbers.UNKNOWN, "text3")
    taken = sum(target.state == "taken" for target in row.targets)
    return Cell(f"{taken} of {len(row.targets)}", sort=float(taken))


def stop_cell(row: PositionRow) -> Cell:
    """Which rule moved the stop last; the tip says when."""
    if not row.stops:
        return Cell(numbers.UNKNOWN, "text3")
    newest = row.stops[0]
    return Cell(stop_rule(newest.rule), tip=f"{newest.rule} at {numbers.full_time(newest.time_ms)}")


def entry_columns() -> list[Column]:
    """Columns of entry orders that wait."""
    return [
        Column("symbol", "Entry", lambda r: symbol_cell(r.symbol, r.side), 142, grow=2),
        Column("for", "For", lambda r: Cell("an addition" if r.adds else "a new position"), 100, rank=2),
        Column("kind", "Kind", lambda r: Cell(r.kind.replace("_", " ")), 84, rank=1),
        Column("size", "Size", size_cell, 96, right=True),
        Column("at", "At", lambda r: entry_price(r), 88, right=True),
        Column("away", "To go", lambda r: share_cell(r.to_price), 68, right=True, tip="Distance of the last price"),
        Column("sent", "Sent UTC", lambda r: time_cell(r.created_ms), 98, rank=3),
        Column("expires", "Expires", lambda r: Cell(numbers.day_clock(r.expires_ms), sort=float(r.expires_ms),
                                                    tip=numbers.full_time(r.expires_ms)), 98),
        Column("left", "Left", lambda r: Cell(numbers.span(r.left_s), sort=r.left_s), 78, right=True),
    ]  # fmt: skip


def entry_price(row: EntryRow) -> Cell:
    """The level, or that it fills at the next open."""
    return Cell("next open", "text2") if row.price is None else number_cell(row.price, row.price_digits, "text")


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
        self.ask = Button("What if…", icon="scales", height=26)
        self.ask.setToolTip("What a trade would come to, before it is made")
        self.ask.clicked.connect(lambda: self.go.emit("what-if", None))
        self.positions_card.control(self.ask)
        self.entries_card = Card("Entries that wait")
        self.entries = DataTable(Rows(entry_columns(), lambda r: r.client_id), row_height=ROW_DENSE_H)
        self.entries.setObjectName("positions.entries")
        self.entries_card.body(self.entries)
        self.entries_card.hide()
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
        self.grid.addWidget(self.entries_card, 1, 0)
        self.grid.addWidget(self.orders_card, 2, 0)
        self.grid.addWidget(side, 0, 1, 3, 1)
        self.grid.setColumnStretch(0, 1)
        side.setFixedWidth(316)
        self.grid.setRowStretch(0, 2)
        self.grid.setRowStretch(2, 3)
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
        self._show_entries(v)
        current = self.panel.row.symbol if self.panel.row is not None else ""
        ordered = bare_first(v.positions)
        row = next((r for r in ordered if r.symbol == current), ordered[0] if ordered else None)
        self._pick(row)

    def _show_entries(self, v: PositionsView) -> None:
        """The card is as tall as its rows, and away without any."""
        self.entries.rows.replace(v.entries)
        self.entries_card.setVisible(bool(v.entries))
        self.entries_card.subtitle.setText(str(len(v.entries)))
        self.entries.setFixedHeight(HEAD_H + ROW_DENSE_H * min(4, len(v.entries)))

    def choices(self) -> dict[str, str]:
        return {"panel": self.panel.which.current, "orders": self.which.current}

    def use_choices(self, kept: dict[str, str]) -> None:
        self.panel.which.choose(kept.get("panel", ""))
        self.which.choose(kept.get("orders", ""))

    def set_narrow(self, width: int) -> None:
        self.panel.set_narrow(width < NARROW)

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
