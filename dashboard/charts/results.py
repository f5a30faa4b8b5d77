"""Charts of back-tests: two runs over one time axis, a map over two parameters, how far prices went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, QSizeF, Qt, pyqtSignal
from PyQt6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen, QPixmap, QPolygonF, QResizeEvent

from app.contract.backtest_views import SweepCell, SweepView
from app.contract.results import TradeRow
from app.contract.views import FloatArray, IntArray, no_floats, no_times
from dashboard import numbers, painting
from dashboard.charts.equity import drawdown_marks
from dashboard.charts.plot import (
    Plot,
    curve,
    edges,
    grid_time,
    grid_y,
    level,
    round_ticks,
    shade_under,
    thin,
    tick_digits,
    upright,
)  # fmt: skip
from dashboard.theme import font, theme

PITCH = 3.0  # pixels of which a curve keeps first, lowest, highest and last: a stroke is nearly as wide
FIRST, SECOND = "s1", "s2"  # colours of the run in sight and of the one beside it


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A curve: closes, return since the start and drawdown, all fractions."""

    name: str = ""
    time: IntArray = field(default_factory=no_times)
    value: FloatArray = field(default_factory=no_floats)
    drawdown: FloatArray = field(default_factory=no_floats)
    halted_ms: int | None = None


class StillPlot(Plot):
    """A plot whose picture is kept: the pointer moves over it without it being drawn anew."""

    def __init__(self, wide: int, tall: int) -> None:
        super().__init__(wide, tall)
        self._still = QPixmap()
        theme.changed.connect(self.changed)
        self.setMouseTracking(True)

    def changed(self) -> None:
        """What is drawn has changed."""
        self._still = QPixmap()
        self.update()

    def resizeEvent(self, a0: QResizeEvent | None) -> None:
        self._still = QPixmap()
        super().resizeEvent(a0)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        if not self.has_data():
            super().paintEvent(_event)
            return
        ratio = self.devicePixelRatioF()
        if self._still.isNull() or self._still.devicePixelRatioF() != ratio:
            self._still = QPixmap(self.size() * ratio)
            self._still.setDevicePixelRatio(ratio)
            self._still.fill(Qt.GlobalColor.transparent)
            brush = QPainter(self._still)
            self.draw(brush, self.area())
            brush.end()
        p = QPainter(self)
        p.drawPixmap(0, 0, self._still)
        self.over(p, self.area())

    def over(self, p: QPainter, box: QRectF) -> None:
        """Draw what moves."""


class ComparedRuns(StillPlot):
    """Return since the start above, drawdown below; a second run beside the first. The pointer reads both."""

    right = 62.0

    def __init__(self) -> None:
        super().__init__(260, 130)
        self.runs: tuple[Run, ...] = ()
        self.limit: float | None = None

    def show_runs(self, runs: Sequence[Run], limit: float | None) -> None:
        """Change the curves; ``limit``: drawdown at which the first run halts."""
        self.runs, self.limit = tuple(run for run in runs if run.time.size > 1), limit
        self.changed()

    def has_data(self) -> bool:
        return bool(self.runs)

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        self._pointer = a0.position() if a0 is not None else None
        self.update()

    def leaveEvent(self, _a0: object) -> None:
        self._pointer = None
        self.update()

    def draw(self, p: QPainter, box: QRectF) -> None:
        span = self._span()
        low_pane = max(40.0, box.height() * 0.26)
        upper = QRectF(box.left(), box.top(), box.width(), box.height() - low_pane)
        lower = QRectF(box.left(), upper.bottom() + 8, box.width(), low_pane - 8)
        grid_time(p, box, *span)
        floor = min(0.0, *(float(r.value.min()) for r in self.runs))
        top = max(0.0, *(float(r.value.max()) for r in self.runs))
        reach = (top - floor) or 0.01
        scale = floor - reach * 0.06, top + reach * 0.06
        grid_y(p, upper, *scale, lambda v, d: numbers.percent(v, max(0, d - 2), signed=True))
        level(p, upper, upper.bottom() + scale[0] / (scale[1] - scale[0]) * upper.height(), "line3")
        for run, token in zip(self.runs[::-1], (FIRST, SECOND)[: len(self.runs)][::-1], strict=True):
            self._curve(p, upper, run, token, span, scale)
        self._drawdowns(p, lower, span)
        edges(p, box)

    def over(self, p: QPainter, box: QRectF) -> None:
        if self._pointer is not None and box.contains(self._pointer):
            self._read(p, box, self._span())

    def _span(self) -> tuple[int, int]:
        return min(int(r.time[0]) for r in self.runs), max(int(r.time[-1]) for r in self.runs)

    def _curve(
        self, p: QPainter, box: QRectF, run: Run, token: str, span: tuple[int, int], scale: tuple[float, float]
    ) -> None:
        t, values = thin(run.time, run.value, int(box.width() / PITCH))
        x = box.left() + (t - span[0]) / (span[1] - span[0]) * box.width()
        y = box.bottom() - (values - scale[0]) / (scale[1] - scale[0]) * box.height()
        if token == FIRST:
            shade_under(p, x, y, box.bottom(), token)
        curve(p, x, y, token, 1.6)
        if run.halted_ms is not None:
            at = box.left() + (run.halted_ms - span[0]) / (span[1] - span[0]) * box.width()
            upright(p, box, at, token)
            words = f"{run.name} halted"
            wide = painting.width_of(words, font(11, 600)) + 10
            left = at + 4 if at + 4 + wide < box.right() else at - 4 - wide
            painting.text(p, QRectF(left, box.top() + (2 if token == FIRST else 18), wide, 16), words, font(11, 600),
                          token)  # fmt: skip

    def _drawdowns(self, p: QPainter, box: QRectF, span: tuple[int, int]) -> None:
        worst = max(float(r.drawdown.max()) for r in self.runs)
        deepest = max(worst * 1.15, (self.limit or 0.0) * 1.08, 1e-4)
        for run, token in zip(self.runs, (FIRST, SECOND), strict=False):
            t, values = thin(run.time, run.drawdown, int(box.width() / PITCH))
            x = box.left() + (t - span[0]) / (span[1] - span[0]) * box.width()
            y = box.top() + values / deepest * box.height()
            if token == FIRST:
                shade_under(p, x, y, box.top(), token)
            curve(p, x, y, token, 1.2)
        drawdown_marks(p, box, deepest, worst, self.limit)

    def _read(self, p: QPainter, box: QRectF, span: tuple[int, int]) -> None:
        pointer = self._pointer or QPointF()
        moment = span[0] + (pointer.x() - box.left()) / box.width() * (span[1] - span[0])
        upright(p, box, pointer.x(), "cross")
        lines = []
        for run in self.runs:
            at = min(int(np.searchsorted(run.time, moment)), run.time.size - 1)
            value, fall = numbers.percent(float(run.value[at]), signed=True), numbers.percent(-float(run.drawdown[at]))
            lines.append(f"{run.name}   {value}   drawdown {fall}")
        words = "   ·   ".join([f"{numbers.date(int(moment))} UTC", *lines])
        wide = painting.width_of(words, font(11, 500)) + 16
        plate = QRectF(box.left() + 4, box.top() + 2, wide, 20)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, plate, "crossLabel", 1.0, 4)
        painting.text(p, plate, words, font(11, 500), "onFill", painting.CENTER, elide=False)


class HeatMap(StillPlot):
    """A figure over two parameters: orange below nought, blue above, the number in every cell, the best outlined."""

    left, top, right, bottom = 6.0, 4.0, 6.0, 40.0
    picked = pyqtSignal(object)  # a SweepCell

    def __init__(self) -> None:
        super().__init__(260, 120)
        self.view: SweepView | None = None
        self.figure = "sharpe"
        self.chosen: tuple[int, int] | None = None

    def show_sweep(self, view: SweepView, figure: str) -> None:
        """Change the map; ``figure`` is a field of ``SweepCell``."""
        self.view, self.figure = view, figure
        self.changed()

    def choose(self, cell: SweepCell | None) -> None:
        """Outline a cell."""
        self.chosen = None if cell is None else (cell.x, cell.y)
        self.update()

    def has_data(self) -> bool:
        return self.view is not None and bool(self.view.cells)

    def field(self) -> QRectF:
        """Where the cells stand, right of the lines' values."""
        box = self.area()
        view = self.view
        values = view.y_values if view is not None else ()
        wide = max((painting.width_of(v, font(11)) for v in values), default=0.0) + 10
        return box.adjusted(wide + 14 if view is not None and view.y_key else wide, 0, 0, 0)

    def at(self, point: QPointF) -> SweepCell | None:
        """The cell under a point."""
        view, box = self.view, self.field()
        if view is None or not box.contains(point):
            return None
        x = int((point.x() - box.left()) / box.width() * len(view.x_values))
        y = int((point.y() - box.top()) / box.height() * len(view.y_values))
        return next((c for c in view.cells if (c.x, c.y) == (x, y)), None)

    def mousePressEvent(self, a0: QMouseEvent | None) -> None:
        cell = self.at(a0.position()) if a0 is not None else None
        if cell is not None:
            self.choose(cell)
            self.picked.emit(cell)

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        cell = self.at(a0.position()) if a0 is not None else None
        self.setToolTip("" if cell is None else cell_words(cell))

    def value(self, cell: SweepCell) -> float | None:
        """The figure of a cell."""
        found = getattr(cell, self.figure)
        return None if found is None else float(found)

    def words(self, value: float) -> str:
        """The figure as written in a cell."""
        if self.figure == "trades":
            return numbers.number(value, 0)
        if self.figure == "sharpe":
            return numbers.number(value)
        return numbers.percent(value, 1)

    def draw(self, p: QPainter, _box: QRectF) -> None:
        view = self.view
        if view is None:
            return
        box = self.field()
        wide, tall = box.width() / len(view.x_values), box.height() / len(view.y_values)
        known = [abs(v) for c in view.cells if (v := self.value(c)) is not None]
        top = max(known, default=1.0) or 1.0
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        gap = 1.5 if min(wide, tall) > 16 else 0.5
        for cell in view.cells:
            corner = QPointF(box.left() + cell.x * wide + gap, box.top() + cell.y * tall + gap)
            place = QRectF(corner, QSizeF(wide - 2 * gap, tall - 2 * gap))
            self._cell(p, place, cell, top)
        self._axes(p, box, view, wide, tall)

    def _cell(self, p: QPainter, place: QRectF, cell: SweepCell, top: float) -> None:
        value = self.value(cell)
        round_by = 3.0 if place.height() > 12 else 1.0
        if value is None:
            painting.fill(p, place, "bg2", 1.0, round_by)
            words = "error" if cell.error and place.width() > 34 else "·"
            painting.text(p, place, words, font(11), "warn" if cell.error else "text3", painting.CENTER)
        else:
            share = min(1.0, abs(value) / top)
            falls = self.figure == "max_drawdown"
            painting.fill(p, place, "s5" if value < 0 or falls else "s1", 0.06 + 0.54 * share, round_by)
            face = font(12 if place.width() > 46 else 11, 600)
            if place.width() > 26 and place.height() > 12:
                painting.text(p, place, self.words(value), face, "text", painting.CENTER)
        if (cell.x, cell.y) == (self.view.best if self.view is not None else None):
            painting.outline(p, place, "text", 1.0, round_by, 2)
            if place.height() > 34:
                mark = place.adjusted(0, place.height() / 2 + 4, 0, 0)
                painting.text(p, mark, "best", font(11), "text2", painting.CENTER)

    def over(self, p: QPainter, _box: QRectF) -> None:
        view, box = self.view, self.field()
        if view is None or self.chosen is None or self.chosen == view.best:
            return
        wide, tall = box.width() / len(view.x_values), box.height() / len(view.y_values)
        corner = QPointF(box.left() + self.chosen[0] * wide, box.top() + self.chosen[1] * tall)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.outline(p, QRectF(corner, QSizeF(wide, tall)), "accent", 1.0, 3, 2)

    def _axes(self, p: QPainter, box: QRectF, view: SweepView, wide: float, tall: float) -> None:
        widest = max(painting.width_of(words, font(11)) for words in view.x_values)
        across, down = (max(1, -(-round(need) // max(1, round(has)))) for need, has in ((widest + 8, wide), (15, tall)))
        for x, words in enumerate(view.x_values):
            if x % across:
                continue
            place = QRectF(box.left() + (x + 0.5) * wide - 50, box.bottom() + 3, 100, 16)
            painting.text(p, place, words, font(11), "axis", painting.CENTER)
        for y, words in enumerate(view.y_values):
            if y % down == 0:
                place = QRectF(0, box.top() + (y + 0.5) * tall - 9, box.left() - 6, 18)
                painting.text(p, place, words, font(11), "axis", painting.RIGHT)
        name = QRectF(box.left(), box.bottom() + 19, box.width(), 18)
        painting.text(p, name, f"→ {view.x_key}", font(11, 500), "text3", painting.CENTER)
        if view.y_key:
            p.save()
            p.translate(10, box.center().y())
            p.rotate(-90)
            half = box.height() / 2
            painting.text(p, QRectF(-half, -9, box.height(), 18), view.y_key, font(11, 500), "text3", painting.CENTER)
            p.restore()


def cell_words(cell: SweepCell) -> str:
    """A combination and its figures."""
    said = ", ".join(f"{key} = {value}" for key, value in cell.parameters)
    if cell.error:
        return f"{said}\n{cell.error}"
    if cell.trades is None:
        return f"{said}\nnot run"
    return (
        f"{said}\nSharpe {numbers.number(cell.sharpe, signed=True)}, "
        f"return {numbers.percent(cell.net_return, signed=True)}, "
        f"drawdown {numbers.percent(cell.max_drawdown)}, {cell.trades:,} trades"
    )


class ExcursionPlot(StillPlot):
    """Every trade: how far the price went against it (across) and in its favour (up); won is blue, lost orange."""

    left, right, bottom = 46.0, 10.0, 34.0

    def __init__(self) -> None:
        super().__init__(200, 110)
        self._points: dict[str, tuple[FloatArray, FloatArray]] = {}
        self._top = (0.0, 0.0)

    def show_trades(self, trades: Sequence[TradeRow]) -> None:
        """Change the trades; those without excursions are left out."""
        rows = [(abs(t.mae), t.mfe, t.pnl) for t in trades if t.mae is not None and t.mfe is not None]
        table = np.array(rows, dtype=np.float64).reshape(len(rows), 3)
        self._points = {
            token: (table[mask, 0], table[mask, 1])
            for token, mask in (("s5", table[:, 2] <= 0), ("s1", table[:, 2] > 0))
        }
        ends = (float(np.percentile(table[:, k], 99)) if len(table) else 0.0 for k in (0, 1))
        self._top = tuple(max(1e-4, end * 1.05) for end in ends)  # type: ignore[assignment]
        self.changed()

    def has_data(self) -> bool:
        return any(len(x) for x, _ in self._points.values())

    def draw(self, p: QPainter, box: QRectF) -> None:
        across, up = self._top
        for tick in (ticks := round_ticks(0.0, up, max(2, int(box.height() // 36)))):
            y = round(box.bottom() - tick / up * box.height())
            painting.fill(p, QRectF(box.left(), y, box.width(), 1), "grid")
            words = numbers.percent(tick, max(0, tick_digits(ticks) - 2))
            painting.text(p, QRectF(0, y - 9, box.left() - 6, 18), words, font(11), "axis", painting.RIGHT)
        for tick in (ticks := round_ticks(0.0, across, max(2, int(box.width() // 70)))):
            x = round(box.left() + tick / across * box.width())
            painting.fill(p, QRectF(x, box.top(), 1, box.height()), "grid")
            words = numbers.percent(-tick, max(0, tick_digits(ticks) - 2))
            label = QRectF(x - 40, box.bottom() + 2, 80, 16)
            painting.text(p, label, words, font(11), "axis", painting.CENTER, elide=False)
        name = QRectF(box.left(), box.bottom() + 17, box.width(), 16)
        painting.text(p, name, "worst → · best ↑, while held", font(11, 500), "text3", painting.CENTER)
        p.save()
        p.setClipRect(box)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        for token, (against, favour) in self._points.items():
            p.setPen(QPen(theme.color(token, 0.75), 3))
            columns = box.left() + np.minimum(against / across, 1.0) * box.width()
            lines = box.bottom() - np.minimum(favour / up, 1.0) * box.height()
            p.drawPoints(QPolygonF([QPointF(a, b) for a, b in zip(columns.tolist(), lines.tolist(), strict=True)]))
        p.restore()
