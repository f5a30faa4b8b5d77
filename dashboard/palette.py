"""The command palette (Ctrl+K): symbols, tabs and commands by a few letters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PyQt6.QtCore import QEvent, QObject, QRectF, Qt
from PyQt6.QtGui import QKeyEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QFrame, QLineEdit, QVBoxLayout, QWidget

from dashboard import painting
from dashboard.theme import font
from dashboard.widgets.notices import shadow

MOST, ROW = 9, 34


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that can be done: its words, what kind it is, its icon, and the act."""

    words: str
    kind: str
    icon: str
    act: Callable[[], object]


def matching(entries: Sequence[Entry], typed: str) -> list[Entry]:
    """Entries that hold every typed word, best first: at the start of the text, of a word, anywhere."""
    parts = typed.lower().split()
    if not parts:
        return list(entries)
    found = []
    for at, entry in enumerate(entries):
        words = entry.words.lower()
        if not all(part in words for part in parts):
            continue
        rank = 0 if words.startswith(parts[0]) else 1 if f" {parts[0]}" in words else 2
        found.append((rank, at, entry))
    return [entry for _, _, entry in sorted(found, key=lambda f: f[:2])]


class PaletteList(QWidget):
    """The entries that match, one picked."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[Entry] = []
        self.at = 0
        self.setMouseTracking(True)

    def show_entries(self, entries: list[Entry]) -> None:
        """Change them; the first is picked."""
        self.entries, self.at = entries[:MOST], 0
        self.setFixedHeight(max(1, len(self.entries)) * ROW + 4)
        self.update()

    def step(self, by: int) -> None:
        """Pick the next or the one before."""
        if self.entries:
            self.at = (self.at + by) % len(self.entries)
            self.update()

    def mouseMoveEvent(self, a0: object) -> None:
        place = getattr(a0, "position", None)
        if place is not None:
            self.at = min(max(0, int(place().y() // ROW)), max(0, len(self.entries) - 1))
            self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        if not self.entries:
            painting.text(p, QRectF(14, 0, self.width(), ROW), "Nothing is called so", font(12), "text3")
        for i, entry in enumerate(self.entries):
            row = QRectF(6, i * ROW, self.width() - 12, ROW)
            if i == self.at:
                painting.fill(p, row, "bg3", 1.0, 6)
            painting.icon(p, 16, row.center().y(), entry.icon, "text2", 15)
            tail = painting.text(p, row.adjusted(0, 0, -12, 0), entry.kind, font(11), "text2", painting.RIGHT)
            face = font(13, 600 if i == self.at else 400)
            painting.text(p, row.adjusted(38, 0, -tail - 24, 0), entry.words, face, "text")


class Palette(QFrame):
    """A field over a list; Enter does, Escape leaves."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self._over = over
        self._entries: Sequence[Entry] = ()
        self.setFixedWidth(520)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 10, 8, 8)
        column.setSpacing(6)
        self.field = QLineEdit()
        self.field.setPlaceholderText("Symbol, tab or command")
        self.field.setFont(font(13))
        self.list = PaletteList()
        column.addWidget(self.field)
        column.addWidget(self.list)
        self.field.textChanged.connect(self._typed)
        self.field.installEventFilter(self)
        self.list.installEventFilter(self)
        shadow(self)
        self.hide()

    def open(self, entries: Sequence[Entry]) -> None:
        """Show it with these entries."""
        self._entries = entries
        self.field.clear()
        self._typed("")
        self.move((self._over.width() - self.width()) // 2, 96)
        self.show()
        self.raise_()
        self.field.setFocus()

    def _typed(self, typed: str) -> None:
        self.list.show_entries(matching(self._entries, typed))
        self.adjustSize()

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        if a0 is self.field and isinstance(a1, QKeyEvent) and a1.type() == QEvent.Type.KeyPress:
            key = a1.key()
            if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                self.list.step(1 if key == Qt.Key.Key_Down else -1)
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.act()
                return True
            if key == Qt.Key.Key_Escape:
                self.hide()
                return True
        if a0 is self.field and a1 is not None and a1.type() == QEvent.Type.FocusOut:
            self.hide()
        if a0 is self.list and a1 is not None and a1.type() == QEvent.Type.MouseButtonPress:
            self.act()
            return True
        return super().eventFilter(a0, a1)

    def act(self) -> None:
        """Do what is picked."""
        if self.list.entries:
            entry = self.list.entries[self.list.at]
            self.hide()
            entry.act()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, QRectF(self.rect()), "bg2", 1.0, 8)
        painting.outline(p, QRectF(self.rect()), "line3", 1.0, 8)
