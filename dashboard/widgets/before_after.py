"""A few risk figures before and after a trade, each against its limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PyQt6.QtCore import QRectF, QSize
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from dashboard import numbers, painting
from dashboard.theme import font

PITCH, HEAD = 26, 20


@dataclass(frozen=True, slots=True)
class Change:
    """One figure as fractions; ``None``: not measured."""

    label: str
    before: float | None
    after: float | None
    limit: float | None

    @property
    def over(self) -> bool:
        """Whether it ends beyond its limit."""
        return self.after is not None and self.limit is not None and self.after > self.limit


class BeforeAfter(QWidget):
    """Label, before → after, bar from nothing to the limit with what the trade adds, limit."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: tuple[Change, ...] = ()
        self.setMinimumWidth(260)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_rows(self, rows: Sequence[Change]) -> None:
        """Change the figures."""
        grew = len(rows) != len(self.rows)
        self.rows = tuple(rows)
        self.setAccessibleDescription("; ".join(f"{r.label} {self.words(r)}" for r in rows))
        if grew:
            self.updateGeometry()
        self.update()

    @staticmethod
    def words(row: Change) -> str:
        """``0.34 % → 0.91 %``; what is not measured says so."""
        before, after = ("unknown" if v is None else numbers.percent(v) for v in (row.before, row.after))
        return f"{before} → {after}"

    def sizeHint(self) -> QSize:
        return QSize(420, PITCH * len(self.rows))

    def minimumSizeHint(self) -> QSize:
        return QSize(260, PITCH * len(self.rows))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        name = max((painting.width_of(r.label, font(12)) for r in self.rows), default=60.0) + 14
        tail = max((painting.width_of(self.words(r), font(12, 600)) for r in self.rows), default=60.0) + 10
        edge = max((painting.width_of(self._limit(r), font(12)) for r in self.rows), default=40.0) + 4
        for at, row in enumerate(self.rows):
            line = QRectF(0, at * PITCH, self.width(), PITCH)
            painting.text(p, QRectF(0, line.top(), name, PITCH), row.label, font(12), "text2")
            value = QRectF(line.right() - edge - tail, line.top(), tail - 6, PITCH)
            ink = "danger" if row.over else "warn" if row.after is None else "text"
            painting.text(p, value, self.words(row), font(12, 600), ink, painting.RIGHT, elide=False)
            painting.text(p, line, self._limit(row), font(12), "text3", painting.RIGHT, elide=False)
            room = self.width() - name - tail - edge - 8
            if room >= 24:
                self._bar(p, QRectF(name, line.center().y() - 3, room, 6), row)

    @staticmethod
    def _limit(row: Change) -> str:
        return "" if row.limit is None else f"/ {numbers.short(row.limit, 'fraction')}"

    @staticmethod
    def _bar(p: QPainter, box: QRectF, row: Change) -> None:
        if row.limit is None or row.after is None:
            painting.bar(p, box, None)
            return
        before = row.before or 0.0
        top = max(row.limit, row.after, before) or 1.0
        painting.bar(p, box, row.after / top, "danger" if row.over else "accent")
        if before > 0.0:  # what was there already lies over it
            held = QRectF(box.left(), box.top(), max(box.height(), box.width() * before / top), box.height())
            painting.fill(p, held, "s6", 1.0, box.height() / 2)
        x = box.left() + box.width() * row.limit / top
        painting.fill(p, QRectF(min(x, box.right()) - 0.75, box.center().y() - 6, 1.5, 12), "text2")
