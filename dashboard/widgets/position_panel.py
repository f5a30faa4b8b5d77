"""The picked position in full: its figures, or its levels and where its stop stood."""

from __future__ import annotations

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.contract.views import PositionRow
from dashboard import numbers, painting
from dashboard.charts.levels import LevelLadder, stop_rule
from dashboard.charts.shares import RangeBar
from dashboard.widgets.cards import Card, label, set_tone
from dashboard.widgets.controls import Badge, Button, Segments
from dashboard.widgets.facts import Facts

FIGURES, LEVELS = "Figures", "Levels"


class PositionPanel(Card):
    """Profit, track, figures or levels, Close."""

    def __init__(self) -> None:
        super().__init__("Position")
        self.title.hide()
        set_tone(self.subtitle, "text")
        self.which = Segments((FIGURES, LEVELS), FIGURES, 24)
        self.which.chosen.connect(lambda _: self._turn())
        self.control(self.which)
        self.protection = Badge()
        self.pnl = label("", 18, 600)
        self.track = RangeBar()
        self.facts = Facts()
        self.levels = QWidget()
        column = QVBoxLayout(self.levels)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.ladder, self.moves = LevelLadder(), Facts(20)
        column.addWidget(self.ladder)
        self.moves_title = label("Stop, newest first", 11, 500, "text3")
        column.addSpacing(4)
        column.addWidget(self.moves_title)
        column.addWidget(self.moves)
        self.close_button = Button("Close…", "danger", height=28)
        for widget in (self.pnl, self.track, self.facts, self.levels):
            self.body(widget, 0)
        self.column.insertWidget(1, self.protection, 0, Qt.AlignmentFlag.AlignLeft)
        self.column.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.column.addStretch(1)
        self.row: PositionRow | None = None
        self._turn()

    def set_narrow(self, narrow: bool) -> None:
        """Lines closer together where the window is low."""
        self.facts.set_pitch(19 if narrow else 21)

    def _turn(self) -> None:
        levels = self.which.current == LEVELS
        self.facts.setVisible(not levels)
        self.levels.setVisible(levels)

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
        self.facts.show_facts(*facts_of(row, currency))
        self.ladder.show_row(row)
        self.moves.show_facts(
            *(
                (
                    numbers.day_clock(move.time_ms),
                    f"{move.rule} · {numbers.number(move.price, row.price_digits)}",
                    "text2",
                )
                for move in row.stops
            )
        )
        self.moves_title.setVisible(bool(row.stops))


def facts_of(row: PositionRow, currency: str) -> list[tuple[str, str, str]]:
    """Caption, value and token of every figure of a position."""
    d, q = row.price_digits, row.quantity_digits
    loss = None if row.loss_at_stop is None else -row.loss_at_stop
    limit = "" if row.margin_limit is None else f" of {numbers.short(row.margin_limit, 'fraction')}"
    size = f"{numbers.number(row.quantity, q)} {row.base}"
    mode = f"{row.margin_mode} " if row.margin_mode else ""
    margin = f"{mode}{numbers.measured(row.leverage, 'x')} · {numbers.percent(row.margin, 1)}{limit}"
    found = [
        ("Stop", _away(row.stop, row.to_stop, d), "loss"),
        ("Stop by", stop_rule(row.stops[0].rule) if row.stops else numbers.UNKNOWN, "text"),
        ("Entry", numbers.number(row.entry, d), "text"),
        ("Last", numbers.number(row.last, d), "text"),
        ("Target", _away(row.target, row.to_target, d), "profit"),
        ("Liquidation", _away(row.liquidation, row.to_liquidation, d), "text"),
        ("Size", f"{size} · {numbers.number(row.notional, 0)} {currency}", "text"),
        ("Protected", f"{numbers.number(row.protecting, q)} of {size}", "text" if row.protected else "danger"),
        ("Margin, of equity", margin, "text"),
        ("Loss at stop", f"{numbers.number(loss)} {currency}", "text"),
        ("Opened", f"{numbers.day_clock(row.opened_ms)} UTC", "text"),
        ("Time left", numbers.span(row.left_s), "text"),
    ]  # fmt: skip
    if row.adds_most:
        found.insert(9, ("Additions", f"{row.adds} of {row.adds_most}", "text"))
    return found


def _away(price: float | None, share: float | None, digits: int) -> str:
    """``118,041.0 · 0.52 % away``."""
    if price is None:
        return numbers.UNKNOWN
    return f"{numbers.number(price, digits)} · {numbers.percent(share)} away"
