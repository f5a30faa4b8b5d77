"""What every tab is: a page with a key, a title, a question it asks, and a view it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QFileDialog, QGridLayout, QWidget

from app.contract.commands import Command, ExportTable, Outcome
from app.contract.queries import Query
from dashboard.bridge import Bridge
from dashboard.cells import Cell
from dashboard.numbers import arrow, day_clock, full_time, number, percent, side_words, ticker
from dashboard.painting import money_token
from dashboard.theme import GAP, MARGIN, named
from dashboard.widgets.notices import AskOnce


class Tab(QWidget):
    """A page. ``refresh`` asks, ``show_view`` shows; both run on the window's thread."""

    key = ""
    title = ""
    go = pyqtSignal(str, object)  # to another tab, with what to show there

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self.bridge = bridge
        self.shown = False  # whether a view has come
        named(self, "page")
        self.grid = QGridLayout(self)
        self.grid.setContentsMargins(MARGIN, 14, MARGIN, 14)
        self.grid.setSpacing(GAP)

    def question(self) -> Query:
        """What it asks the service."""
        raise NotImplementedError

    def show_view(self, view: Any) -> None:
        """Show the answer."""
        raise NotImplementedError

    def refresh(self) -> None:
        """Ask anew; an overtaken answer is dropped."""
        self.bridge.ask(self.question(), self._came, self.key)

    def _came(self, view: Any) -> None:
        self.shown = True
        self.show_view(view)

    def focus_on(self, what: object) -> None:
        """Another tab sent a person here to see this."""

    def set_narrow(self, width: int) -> None:
        """Take the form for this window width."""

    def choices(self) -> dict[str, str]:
        """What a person chose here and finds again after a restart."""
        return {}

    def use_choices(self, kept: dict[str, str]) -> None:
        """Take what :meth:`choices` gave before; unknown names and values are left aside."""

    def do(self, command: Command, then: Callable[[Outcome], None] | None = None) -> None:
        """Send a command and ask anew when it is done."""

        def done(outcome: Outcome) -> None:
            if then is not None:
                then(outcome)
            else:
                self.bridge.told.emit(outcome)
            self.refresh()

        self.bridge.send(command, done)

    def ask_once(self, title: str, sentence: str, act: str, command: Command, *, alarm: bool = False) -> AskOnce:
        """Ask before a command that cannot be taken back."""
        dialog = AskOnce(self, title, sentence, act, "Cancel", alarm=alarm)
        dialog.accepted.connect(lambda: self.do(command))
        dialog.open()
        return dialog

    def export(self, table: str) -> None:
        """Ask where to, then write a table."""
        path, _ = QFileDialog.getSaveFileName(
            self, f"Export {table}", f"{table}.csv", "CSV (*.csv);;Parquet (*.parquet)"
        )
        if path:
            self.bridge.send(ExportTable(table, path))


def money_cell(value: float | None, digits: int = 2) -> Cell:
    """Profit or loss: sign, arrow, colour."""
    words = number(value, digits, signed=True)
    return Cell(words, money_token(value), 600, arrow(value), sort=value if value is not None else float("-inf"))


def share_cell(value: float | None, digits: int = 2, *, signed: bool = False, tone: str = "text2") -> Cell:
    """A fraction as per cent."""
    words = percent(value, digits, signed=signed)
    return Cell(words, tone, sort=value if value is not None else float("-inf"))


def number_cell(value: float | None, digits: int, tone: str = "text2", unit: str = "", weight: int = 400) -> Cell:
    """A number with its unit."""
    words = number(value, digits) + (f" {unit}" if unit and value is not None else "")
    return Cell(words, tone, weight, sort=value if value is not None else float("-inf"))


def time_cell(ms: int | None) -> Cell:
    """``31 Jul 07:00``; the tip holds the year and the local time."""
    return Cell(day_clock(ms), "text3", sort=float(ms or 0), tip=full_time(ms))


def symbol_cell(symbol: str, side: str = "") -> Cell:
    """A symbol in bold, its side in grey."""
    return Cell(ticker(symbol), "text", 600, extra=side_words(side) if side else "")


def sentence_words(words: str) -> str:
    """With a capital at the beginning."""
    return words[:1].upper() + words[1:]


def action_cell(action: str) -> Cell:
    """What a decision came to."""
    if action in ("long", "short"):
        return Cell(side_words(action), badge="text2", sort=action)
    if action == "blocked":
        return Cell("Blocked", badge="warn", sort=action)
    return Cell("Abstained", "text3", sort=action)
