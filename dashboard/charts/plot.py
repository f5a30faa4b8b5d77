"""The ground of every painted chart: margins, scales, round ticks, time ticks, grid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QLinearGradient, QPainter, QPaintEvent, QPen, QPolygonF
from PyQt6.QtWidgets import QWidget

from app.contract.views import FloatArray, IntArray
from dashboard import numbers, painting
from dashboard.theme import font, theme

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
STEPS_MS = (
    *(minutes * 60_000 for minutes in (1, 5, 15, 30)),
    *(hours * HOUR_MS for hours in (1, 2, 4, 6, 12)),
    *(days * DAY_MS for days in (1, 2, 7, 14)),
)


def round_ticks(low: float, high: float, count: int) -> list[float]:
    """About ``count`` round values within a range."""
    reach = high - low
    if not math.isfinite(reach) or reach <= 0 or count < 1:
        return []
    raw = reach / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_digits(ticks: Sequence[float]) -> int:
    """Decimals that tell neighbouring ticks apart."""
    if len(ticks) < 2:
        return 2
    step = abs(ticks[1] - ticks[0])
    for digits in range(7):
        if abs(step * 10**digits - round(step * 10**digits)) < 1e-6:
            return digits
    return 6


def time_ticks(first: int, last: int, count: int) -> list[tuple[int, str]]:
    """Times at round moments with their words: months, days, or hours, as the span asks."""
    if last <= first or count < 1:
        return []
    for step in STEPS_MS:
        if (last - first) / step <= count:
            start = -(-first // step) * step
            return [(t, _tick_words(t, step)) for t in range(start, last + 1, step)]
    return _month_ticks(first, last, count)


def _tick_words(t: int, step: int) -> str:
    at = numbers.moment(t)
    if step < DAY_MS and t % DAY_MS:
        return at.strftime("%H:%M")
    return f"{at.day} {at.strftime('%b')}"


def _month_ticks(first: int, last: int, count: int) -> list[tuple[int, str]]:
    a, b = numbers.moment(first), numbers.moment(last)
    months = (b.year - a.year) * 12 + b.month - a.month
    step = next((s for s in (1, 2, 3, 4, 6, 12, 24, 48) if months / s <= count), 120)
    found = []
    for m in range(a.year * 12 + a.month - 1, b.year * 12 + b.month):
        if m % step:
            continue
        at = a.replace(year=m // 12, month=m % 12 + 1, day=1, hour=0, minute=0, second=0, microsecond=0)
        ms = int(at.timestamp() * 1000)
        if first <= ms <= last:
            found.append((ms, at.strftime("%b %y")))
    return found


class Plot(QWidget):
    """A painted chart with a value axis at the right and words below."""

    left, top, right, bottom = 4.0, 6.0, 56.0, 22.0

    def __init__(self, wide: int = 120, tall: int = 80) -> None:
        super().__init__()
        self.setMinimumSize(wide, tall)
        self.nothing = ""  # words while there is nothing to draw
        self.read_out: Callable[[QPointF], str] | None = None
        self._pointer: QPointF | None = None

    def sizeHint(self) -> QSize:
        return QSize(320, 180)

    def area(self) -> QRectF:
        """Where the data are drawn."""
        return QRectF(
            self.left, self.top, max(10.0, self.width() - self.left - self.right),
            max(10.0, self.height() - self.top - self.bottom),
        )  # fmt: skip

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        if self.has_data():
            self.draw(p, self.area())
        elif self.nothing:
            p.setFont(font(12))
            p.setPen(theme.color("text3"))
            p.drawText(self.rect(), int(painting.CENTER | Qt.TextFlag.TextWordWrap), self.nothing)

    def has_data(self) -> bool:
        """Whether there is something to draw."""
        raise NotImplementedError

    def draw(self, p: QPainter, box: QRectF) -> None:
        """Draw into the data area."""
        raise NotImplementedError


def grid_y(
    p: QPainter, box: QRectF, low: float, high: float, words: Callable[[float, int], str], count: int = 0
) -> None:
    """Value grid and labels at the right."""
    ticks = round_ticks(low, high, count or max(2, int(box.height() // 42)))
    digits = tick_digits(ticks)
    for value in ticks:
        y = round(box.bottom() - (value - low) / (high - low) * box.height())
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        painting.fill(p, QRectF(box.left(), y, box.width(), 1), "grid")
        painting.text(p, QRectF(box.right() + 6, y - 9, 60, 18), words(value, digits), font(11), "axis", elide=False)


def grid_time(p: QPainter, box: QRectF, first: int, last: int, *, lines: bool = True, count: int = 0) -> None:
    """Time grid and labels below."""
    for t, words in time_ticks(first, last, count or max(2, int(box.width() // 90))):
        x = round(box.left() + (t - first) / (last - first) * box.width())
        if lines:
            painting.fill(p, QRectF(x, box.top(), 1, box.height()), "grid")
        if box.left() + 16 < x < box.right() - 10:
            label = QRectF(x - 40, box.bottom() + 4, 80, 18)
            painting.text(p, label, words, font(11), "axis", painting.CENTER, elide=False)


def edges(p: QPainter, box: QRectF) -> None:
    """The axis lines: right and bottom."""
    painting.fill(p, QRectF(box.left(), round(box.bottom()), box.width(), 1), "line")
    painting.fill(p, QRectF(round(box.right()), box.top(), 1, box.height()), "line")


def level(p: QPainter, box: QRectF, y: float, token: str, style: Qt.PenStyle = Qt.PenStyle.DashLine) -> None:
    """A horizontal reference line."""
    p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    p.setPen(QPen(theme.color(token), 1, style))
    p.drawLine(QPointF(box.left(), round(y)), QPointF(box.right(), round(y)))


def upright(p: QPainter, box: QRectF, x: float, token: str, style: Qt.PenStyle = Qt.PenStyle.DashLine) -> None:
    """A vertical reference line."""
    p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    p.setPen(QPen(theme.color(token), 1, style))
    p.drawLine(QPointF(round(x), box.top()), QPointF(round(x), box.bottom()))


def polyline(x: FloatArray, y: FloatArray) -> QPolygonF:
    """Points as a polygon."""
    return QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])


def curve(p: QPainter, x: FloatArray, y: FloatArray, token: str, width: float = 1.7, alpha: float = 1.0) -> None:
    """A line through points; a break at every NaN."""
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    pen = QPen(theme.color(token, alpha), width)
    pen.setJoinStyle(Qt.PenJoinStyle.BevelJoin)  # round ones look the same at this width and take four times as long
    p.setPen(pen)
    p.setBrush(Qt.BrushStyle.NoBrush)
    good = np.isfinite(y) & np.isfinite(x)
    if good.all():
        p.drawPolyline(polyline(x, y))
        return
    marks = np.flatnonzero(np.diff(good.astype(np.int8)))
    for part in np.split(np.arange(y.size), marks + 1):
        if part.size > 1 and good[part[0]]:
            p.drawPolyline(polyline(x[part], y[part]))


def shade_under(p: QPainter, x: FloatArray, y: FloatArray, floor: float, token: str, top: float = 0.24) -> None:
    """A fading ground between a curve and a floor (which may lie above it)."""
    if x.size < 2:
        return
    ground = polyline(x, y)
    ground.append(QPointF(float(x[-1]), floor))
    ground.append(QPointF(float(x[0]), floor))
    peak = float(np.nanmin(y)) if float(np.nanmin(y)) < floor else float(np.nanmax(y))
    shade = QLinearGradient(0, peak, 0, floor)
    shade.setColorAt(0, theme.color(token, top))
    shade.setColorAt(1, theme.color(token, 0.0))
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(shade)
    p.drawPolygon(ground)


def thin(time: IntArray, series: FloatArray, pixels: int) -> tuple[FloatArray, FloatArray]:
    """First, lowest, highest and last of every pixel, so that no spike is lost; times as floats."""
    n = series.size
    if n <= 4 * max(1, pixels):
        return time.astype(np.float64), series
    edges_at = np.linspace(0, n, pixels + 1).astype(np.int64)
    picked: set[int] = set()
    for a, b in zip(edges_at[:-1].tolist(), edges_at[1:].tolist(), strict=True):
        part = series[a:b]
        picked.update((a, a + int(np.argmin(part)), a + int(np.argmax(part)), b - 1))
    index = np.fromiter(sorted(picked), dtype=np.int64)
    return time[index].astype(np.float64), series[index]


def legend(p: QPainter, right: float, middle: float, items: Sequence[tuple[str, str, str]]) -> None:
    """Legend entries (words, token, kind: box | line | dash | dot) ending at ``right``."""
    x = right
    for words, token, kind in reversed(items):
        wide = painting.width_of(words, font(11))
        x -= wide
        painting.text(p, QRectF(x, middle - 9, wide + 2, 18), words, font(11), "text2", elide=False)
        if kind == "box":
            x -= 14
            p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
            painting.fill(p, QRectF(x, middle - 4.5, 9, 9), token, 1.0, 2)
        else:
            x -= 20
            style = {"line": Qt.PenStyle.SolidLine, "dot": Qt.PenStyle.DotLine}.get(kind, Qt.PenStyle.DashLine)
            p.setPen(QPen(theme.color(token), 1.5, style))
            p.drawLine(QPointF(x, round(middle) + 0.5), QPointF(x + 15, round(middle) + 0.5))
        x -= 14


class Legend(QWidget):
    """A legend for a card's title row."""

    def __init__(self, items: Sequence[tuple[str, str, str]]) -> None:
        super().__init__()
        self._items = list(items)
        self._fit()

    def show_items(self, items: Sequence[tuple[str, str, str]]) -> None:
        """Change the entries."""
        self._items = list(items)
        self._fit()
        self.update()

    def _fit(self) -> None:
        wide = sum(painting.width_of(w, font(11)) + (28 if k == "box" else 34) for w, _, k in self._items)
        self.setFixedSize(round(wide), 18)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        legend(QPainter(self), self.width(), self.height() / 2, self._items)
