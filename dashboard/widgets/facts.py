"""A column of facts: caption left, value right."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, QSize
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from dashboard import painting
from dashboard.theme import font


class Facts(QWidget):
    """Rows of (caption, value, token); the value is elided before the caption."""

    def __init__(self, pitch: int = 21) -> None:
        super().__init__()
        self.facts: tuple[tuple[str, str, str], ...] = ()
        self._pitch = pitch
        self.setMinimumWidth(120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_facts(self, *facts: tuple[str, str, str]) -> None:
        """Change the rows."""
        if len(facts) != len(self.facts):
            self.facts = facts
            self.updateGeometry()
        self.facts = facts
        self.setAccessibleDescription("; ".join(f"{a} {b}" for a, b, _ in facts))
        self.update()

    def set_pitch(self, pitch: int) -> None:
        """Pixels from row to row."""
        if pitch != self._pitch:
            self._pitch = pitch
            self.updateGeometry()
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(220, self._pitch * max(1, len(self.facts)))

    def minimumSizeHint(self) -> QSize:
        return QSize(120, self._pitch * max(1, len(self.facts)))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        for i, (caption, value, token) in enumerate(self.facts):
            row = QRectF(0, i * self._pitch, self.width(), self._pitch)
            wide = painting.text(p, row, caption, font(12), "text3")
            painting.text(p, row.adjusted(wide + 10, 0, 0, 0), value, font(12, 600), token, painting.RIGHT)
