"""Figures against their limits side by side: caption, limit, value, bar."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QEvent, QRectF, QSize
from PyQt6.QtGui import QHelpEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.contract.views import GateRow
from dashboard import numbers, painting
from dashboard.theme import font
from dashboard.widgets.gate_bars import UNMEASURED, look_of

TALL, APART = 56, 20.0


class LimitFigures(QWidget):
    """A few gates as large figures; one that cannot be measured says so in words."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[GateRow, ...] = ()
        self.setFixedHeight(TALL)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_rows(self, rows: Sequence[GateRow]) -> None:
        """Change the figures."""
        if tuple(rows) != self.rows:
            self.rows = tuple(rows)
            self.setAccessibleDescription("; ".join(self.words(row) for row in rows))
            self.update()

    @staticmethod
    def words(row: GateRow) -> str:
        """One figure in words."""
        look = look_of(row)
        return f"{row.label} {look.value}{look.limit}"

    def minimumSizeHint(self) -> QSize:
        return QSize(200, TALL)

    def _box(self, at: int) -> QRectF:
        wide = (self.width() - APART * (len(self.rows) - 1)) / max(1, len(self.rows))
        return QRectF(at * (wide + APART), 0, wide, TALL)

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            for at, row in enumerate(self.rows):
                if self._box(at).contains(event.pos().toPointF()):
                    QToolTip.showText(event.globalPos(), f"{row.label}. {row.words}", self)
            return True
        return super().event(event)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        for at, row in enumerate(self.rows):
            self._figure(p, self._box(at), row)

    @staticmethod
    def _figure(p: QPainter, box: QRectF, row: GateRow) -> None:
        look = look_of(row)
        top, middle = QRectF(box.left(), 0, box.width(), 16), QRectF(box.left(), 18, box.width(), 24)
        limit = f"limit {numbers.short(row.limit, row.unit)}"
        room = painting.width_of(row.label, font(12)) + painting.width_of(limit, font(11)) + 8
        if room <= box.width():
            painting.text(p, top, limit, font(11), "warn" if look.old else "text3", painting.RIGHT)
        else:  # the value leaves room for it
            painting.text(p, middle, limit, font(11), "warn" if look.old else "text3", painting.RIGHT)
        painting.text(p, top, row.label, font(12), "text2")
        small = look.value == UNMEASURED
        painting.text(p, middle, look.value, font(13 if small else 18, 600), look.ink, elide=False)
        bar = QRectF(box.left(), TALL - 8, box.width(), 5)
        painting.bar(p, bar, look.share, look.tone)
        if look.old:
            x = bar.left() + bar.width() * look.tick
            painting.fill(p, QRectF(x - 0.75, bar.center().y() - 5, 1.5, 10), "warn")
