"""Equity with its high-water mark, and the drawdown below it against the limit."""

from __future__ import annotations

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QMouseEvent, QPainter, QPen

from app.contract.views import FloatArray, IntArray, no_floats, no_times
from dashboard import numbers, painting
from dashboard.charts.plot import (
    Plot,
    curve,
    edges,
    grid_time,
    grid_y,
    level,
    polyline,
    shade_under,
    thin,
    upright,
)  # fmt: skip
from dashboard.theme import font, theme

SPANS_MS = {"1 D": 86_400_000, "1 W": 7 * 86_400_000, "1 M": 30 * 86_400_000, "All": 0}


def drawdown_marks(p: QPainter, box: QRectF, deepest: float, worst: float, limit: float | None) -> None:
    """Nought and the limit (without one the worst) at the right of a drawdown, ``deepest`` at its bottom; fractions."""
    for value in (0.0, limit or worst):
        at = box.top() + value / deepest * box.height()
        words = numbers.percent(-value, 0 if value == round(value, 2) else 1)
        painting.text(p, QRectF(box.right() + 6, at - 9, 58, 18), words, font(11), "axis", elide=False)
    if limit:
        at = box.top() + limit / deepest * box.height()
        level(p, box, at, "danger")
        words = f"Drawdown · halts at {numbers.percent(-limit, 0)}"
        painting.text(p, QRectF(box.left() + 8, at - 19, 220, 18), words, font(11), "text3")


class EquityPlot(Plot):
    """Two panes over one time axis; the pointer reads both."""

    right = 62.0

    def __init__(self, with_drawdown: bool = True) -> None:
        super().__init__(260, 150)
        self._with_drawdown = with_drawdown
        self.time, self.equity = no_times(), no_floats()
        self.high_water, self.drawdown = no_floats(), no_floats()
        self.start: float | None = None
        self.limit: float | None = None
        self.span = "All"
        self.setMouseTracking(True)

    def show_series(
        self, time: IntArray, equity: FloatArray, drawdown: FloatArray, high_water: FloatArray | None = None,
        start: float | None = None, limit: float | None = None,
    ) -> None:  # fmt: skip
        """Change the curves; all of one length."""
        self.time, self.equity, self.drawdown = time, equity, drawdown
        self.high_water = no_floats() if high_water is None else high_water
        self.start, self.limit = start, limit
        self.update()

    def show_span(self, name: str) -> None:
        """The newest part of the curve: a key of ``SPANS_MS``."""
        self.span = name
        self.update()

    def has_data(self) -> bool:
        return self.time.size > 1 and self.equity.size == self.time.size

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        self._pointer = a0.position() if a0 is not None else None
        self.update()

    def leaveEvent(self, _a0: object) -> None:
        self._pointer = None
        self.update()

    def _first(self) -> int:
        reach = SPANS_MS[self.span]
        at = int(np.searchsorted(self.time, self.time[-1] - reach)) if reach else 0
        return min(at, self.time.size - 2)

    def draw(self, p: QPainter, box: QRectF) -> None:
        a = self._first()
        time, equity = self.time[a:], self.equity[a:]
        first, last = int(time[0]), int(time[-1])
        low_pane = box.height() * 0.25 if self._with_drawdown and self.drawdown.size == self.time.size else 0.0
        upper = QRectF(box.left(), box.top(), box.width(), box.height() - low_pane)
        lower = QRectF(box.left(), upper.bottom() + 8, box.width(), max(1.0, low_pane - 8))
        grid_time(p, box, first, last)
        values = [equity] + ([self.high_water[a:]] if self.high_water.size == self.time.size else [])
        floor, top = min(float(np.nanmin(v)) for v in values), max(float(np.nanmax(v)) for v in values)
        if self.start is not None:
            floor, top = min(floor, self.start), max(top, self.start)
        reach = (top - floor) or max(1.0, abs(top) * 0.01)
        floor, top = floor - reach * 0.06, top + reach * 0.06
        clear = 12 / max(1.0, upper.height()) * (top - floor) if low_pane else 0.0  # room for the lower pane's label
        grid_y(p, upper, floor, top, lambda v, d: numbers.number(v, d) if v - floor >= clear else "")
        self._upper(p, upper, a, (floor, top), (first, last))
        if low_pane:
            self._lower(p, lower, a, (first, last))
        edges(p, box)
        if self._pointer is not None and box.contains(self._pointer):
            self._read(p, box, time, equity, a)

    def _upper(self, p: QPainter, box: QRectF, a: int, scale: tuple[float, float], span: tuple[int, int]) -> None:
        floor, top = scale

        def at_y(values: FloatArray) -> FloatArray:
            return box.bottom() - (values - floor) / (top - floor) * box.height()

        t, equity = thin(self.time[a:], self.equity[a:], int(box.width()))
        x = box.left() + (t - span[0]) / (span[1] - span[0]) * box.width()
        if self.start is not None:
            level(p, box, float(at_y(np.array([self.start]))[0]), "line3")
        if self.high_water.size == self.time.size:
            t_high, high = thin(self.time[a:], self.high_water[a:], int(box.width()))
            p.setPen(QPen(theme.color("text3", 0.8), 1, Qt.PenStyle.DotLine))
            p.drawPolyline(polyline(box.left() + (t_high - span[0]) / (span[1] - span[0]) * box.width(), at_y(high)))
        y = at_y(equity)
        shade_under(p, x, y, box.bottom(), "accent")
        curve(p, x, y, "accent", 1.6)
        painting.fill(p, QRectF(float(x[-1]) - 3, float(y[-1]) - 3, 6, 6), "accent", 1.0, 3)

    def _lower(self, p: QPainter, box: QRectF, a: int, span: tuple[int, int]) -> None:
        worst = float(np.nanmax(self.drawdown[a:]))
        deepest = max(worst * 1.15, (self.limit or 0.0) * 1.08, 1e-4)
        t, draw = thin(self.time[a:], self.drawdown[a:], int(box.width()))
        x = box.left() + (t - span[0]) / (span[1] - span[0]) * box.width()
        y = box.top() + draw / deepest * box.height()
        shade_under(p, x, y, box.top(), "loss", 0.30)
        curve(p, x, y, "loss", 1.2)
        drawdown_marks(p, box, deepest, worst, self.limit)

    def _read(self, p: QPainter, box: QRectF, time: IntArray, equity: FloatArray, a: int) -> None:
        pointer = self._pointer or QPointF()
        share = (pointer.x() - box.left()) / box.width()
        at = int(np.searchsorted(time, time[0] + share * (int(time[-1]) - int(time[0]))))
        at = min(at, time.size - 1)
        upright(p, box, pointer.x(), "cross")
        words = f"{numbers.day_clock(int(time[at]))} UTC   {numbers.number(float(equity[at]))}"
        if self.drawdown.size == self.time.size:
            words += f"   drawdown {numbers.percent(-float(self.drawdown[a + at]))}"
        wide = painting.width_of(words, font(11, 500)) + 16
        plate = QRectF(box.left() + 4, box.top() + 2, wide, 20)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, plate, "crossLabel", 1.0, 4)
        painting.text(p, plate, words, font(11, 500), "onFill", painting.CENTER, elide=False)
