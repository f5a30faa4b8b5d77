"""Correlation of the traded symbols: one hue by |ρ|, the number in every cell, what is beyond the limit outlined."""

from __future__ import annotations

from PyQt6.QtCore import QEvent, QRectF, Qt
from PyQt6.QtGui import QHelpEvent, QPainter, QPen
from PyQt6.QtWidgets import QToolTip

from app.contract.risk_views import CorrelationView
from dashboard import numbers, painting
from dashboard.charts.plot import Plot
from dashboard.theme import font, theme

DEEPEST = 0.6  # opacity of |ρ| = 1: text stays readable on it in both palettes
FOOT, GAP, LARGEST = 22.0, 3.0, 110.0


def short_name(symbol: str) -> str:
    """``BTC`` of ``BTC/USDT:USDT`` or ``BTCUSDT``."""
    return numbers.ticker(symbol).removesuffix("USDT")


class CorrelationMap(Plot):
    """The matrix of a ``CorrelationView``; the tip says a pair in one sentence."""

    def __init__(self) -> None:
        super().__init__(200, 120)
        self.view: CorrelationView | None = None

    def show_matrix(self, view: CorrelationView | None) -> None:
        """Change the matrix."""
        if view != self.view:
            self.view = view
            self.setAccessibleDescription("; ".join(self.pairs()))
            self.update()

    def has_data(self) -> bool:
        return self.view is not None and len(self.view.symbols) > 1

    def pairs(self) -> list[str]:
        """Every pair as one sentence."""
        count = len(self.view.symbols) if self.view is not None else 0
        return [self.words(i, j) for i in range(count) for j in range(i)]

    def words(self, i: int, j: int) -> str:
        """One pair as a sentence."""
        v = self.view
        if v is None:
            return ""
        pair = f"{short_name(v.symbols[i])} and {short_name(v.symbols[j])}"
        rho = v.rho[i][j]
        if rho is None:
            return f"{pair}: not measured, fewer than {v.least} of the last {v.days} days are known."
        words = f"{pair}: ρ {numbers.number(rho, 2, signed=True)} over the last {v.days} days"
        if self.is_together(i, j):
            return f"{words}. Held in one direction: they share one margin limit."
        beyond = abs(rho) > v.limit
        return f"{words}, {'beyond' if beyond else 'within'} {numbers.short(v.limit, 'ratio')}."

    def is_together(self, i: int, j: int) -> bool:
        """Whether both are held in one direction beyond the limit."""
        v = self.view
        return v is not None and any({v.symbols[i], v.symbols[j]} == set(pair) for pair in v.together)

    def _names(self) -> float:
        symbols = self.view.symbols if self.view is not None else ()
        widest = max((painting.width_of(short_name(s), font(12)) for s in symbols), default=30.0)
        return min(widest + 10, self.width() * 0.3)

    def cell(self, i: int, j: int) -> QRectF:
        """Where a pair stands: row ``i`` from above, column ``j`` from the left."""
        count, left = len(self.view.symbols) if self.view is not None else 1, self._names()
        wide = min((self.width() - left) / count, LARGEST * 1.6)
        tall = min((self.height() - FOOT) / count, LARGEST)
        return QRectF(left + j * wide, i * tall, wide - GAP, tall - GAP)

    def event(self, event: QEvent | None) -> bool:
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip and self.view is not None:
            count = len(self.view.symbols)
            at = event.pos().toPointF()
            found = [(i, j) for i in range(count) for j in range(count) if i != j and self.cell(i, j).contains(at)]
            if found:
                QToolTip.showText(event.globalPos(), self.words(*found[0]), self)
            return True
        return super().event(event)

    def draw(self, p: QPainter, _box: QRectF) -> None:
        v = self.view
        if v is None:
            return
        left, count = self._names(), len(v.symbols)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for i, symbol in enumerate(v.symbols):
            row, column = self.cell(i, 0), self.cell(count - 1, i)
            name = QRectF(0, row.top(), left - 10, row.height())
            painting.text(p, name, short_name(symbol), font(12), "text2", painting.RIGHT)
            foot = QRectF(column.left(), column.bottom() + GAP, column.width(), FOOT - GAP)
            painting.text(p, foot, short_name(symbol), font(12), "text2", painting.CENTER)
            for j in range(count):
                self._cell(p, self.cell(i, j), i, j)

    def _cell(self, p: QPainter, box: QRectF, i: int, j: int) -> None:
        v = self.view
        rho = v.rho[i][j] if v is not None else None
        if v is None or i == j or rho is None:
            painting.fill(p, box, "bg2", 1.0, 3)
            words, ink = ("1", "text3") if i == j else (numbers.UNKNOWN, "text3")
            painting.text(p, box, words, font(12), ink, painting.CENTER)
            return
        painting.fill(p, box, "bg2", 1.0, 3)
        painting.fill(p, box, "s1", DEEPEST * min(1.0, abs(rho)), 3)
        wide = box.width() >= 42
        words = numbers.number(rho, 2, signed=True)
        if not wide:  # +.83
            words = words.replace("0.", ".", 1)
        painting.text(p, box, words, font(12 if wide else 11, 600), "text", painting.CENTER, elide=False)
        if self.is_together(i, j):
            painting.outline(p, box, "warn", 1.0, 3, 2)
        elif abs(rho) > v.limit:
            p.setPen(QPen(theme.color("text2"), 1, Qt.PenStyle.DashLine))
            p.setBrush(Qt.BrushStyle.NoBrush)
            p.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), 3, 3)
