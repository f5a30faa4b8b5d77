"""Charts of the Models tab: folds with bands, gain over the base rate, reliability, weights over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QPainter, QPen

from app.contract.results import FoldRow, ReliabilityBin
from app.contract.views import FloatArray, IntArray, no_times
from dashboard import numbers, painting
from dashboard.charts.plot import Plot, curve, edges, grid_time, grid_y, level, polyline, round_ticks
from dashboard.theme import SERIES, font, theme


def _times(folds: Sequence[FoldRow]) -> FloatArray:
    return np.array([f.test_from_ms for f in folds], dtype=np.float64)


def _fold_x(box: QRectF, folds: Sequence[FoldRow]) -> FloatArray:
    t = _times(folds)
    inner = box.adjusted(10, 0, -10, 0)
    reach = (t[-1] - t[0]) or 1.0
    made: FloatArray = inner.left() + (t - t[0]) / reach * inner.width()
    return made


class FoldPlot(Plot):
    """AUC of every fold with its band; the pooled band lies behind, the coin toss is dashed."""

    right = 42.0

    def __init__(self) -> None:
        super().__init__(220, 110)
        self._folds: tuple[FoldRow, ...] = ()
        self._band: tuple[float, float] | None = None

    def show_folds(self, folds: Sequence[FoldRow], low: float | None, high: float | None) -> None:
        """Change the folds; a score without its band is not drawn."""
        self._folds = tuple(f for f in folds if None not in (f.auc, f.auc_low, f.auc_high))
        self._band = (low, high) if low is not None and high is not None else None
        self.update()

    def has_data(self) -> bool:
        return len(self._folds) > 1

    def _reach(self) -> float:
        reach = max(abs((f.auc or 0.5) - 0.5) for f in self._folds)
        ends = [abs(v - 0.5) for f in self._folds for v in (f.auc_low, f.auc_high) if v is not None]
        if ends:
            reach = max(reach, float(np.percentile(ends, 92)))
        return max(0.02, reach * 1.1)

    def draw(self, p: QPainter, box: QRectF) -> None:
        reach = self._reach()
        low, high = 0.5 - reach, 0.5 + reach

        def at(value: float) -> float:
            return box.bottom() - (value - low) / (high - low) * box.height()

        grid_y(p, box, low, high, lambda v, d: numbers.number(v, max(2, d)), max(4, int(box.height() // 36)))
        inner = box.adjusted(10, 0, -10, 0)
        t = _times(self._folds)
        grid_time(p, inner, int(t[0]), int(t[-1]), lines=False)
        if self._band:
            top = at(self._band[1])
            painting.fill(p, QRectF(box.left(), top, box.width(), at(self._band[0]) - top), "accent", 0.10)
        level(p, box, at(0.5), "text2")
        x = _fold_x(box, self._folds)
        p.save()
        p.setClipRect(box)
        for at_x, fold in zip(x.tolist(), self._folds, strict=True):
            clear = fold.auc_low is not None and fold.auc_low > 0.5
            token = "s2" if clear else "s1"
            if fold.auc_low is not None and fold.auc_high is not None:
                wide = 2.0
                top = at(fold.auc_high)
                bar = QRectF(at_x - wide / 2, top, wide, at(fold.auc_low) - top)
                painting.fill(p, bar, token, 0.45)
        scores = np.array([fold.auc for fold in self._folds], dtype=np.float64)
        window = min(6, scores.size)
        if scores.size >= 6:
            mean = np.convolve(scores, np.ones(window) / window, mode="valid")
            curve(p, x[window - 1 :], box.bottom() - (mean - low) / (high - low) * box.height(), "text2", 1.3)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        radius = 4.0 if scores.size <= 40 else 3.0
        for at_x, fold in zip(x.tolist(), self._folds, strict=True):
            clear = fold.auc_low is not None and fold.auc_low > 0.5
            p.setPen(QPen(theme.color("bg1"), 1.5))
            p.setBrush(theme.color("s2" if clear else "s1"))
            p.drawEllipse(QPointF(at_x, at(fold.auc or 0.5)), radius, radius)
        p.restore()
        edges(p, box)


class GainPlot(Plot):
    """Log-loss gain over the base rate, fold by fold, in per cent; better is blue, worse is orange."""

    right = 52.0

    def __init__(self) -> None:
        super().__init__(220, 56)
        self._folds: tuple[FoldRow, ...] = ()
        self._dated = True

    def show_dates(self, shown: bool) -> None:
        """Whether the time axis has its dates; without them the folds' chart above tells the time."""
        self._dated = shown
        self.bottom = 22.0 if shown else 4.0
        self.update()

    @staticmethod
    def gain(fold: FoldRow) -> float | None:
        """Share of the base rate's log-loss that the model saves."""
        if fold.log_loss is None or not fold.base_log_loss:
            return None
        return 1.0 - fold.log_loss / fold.base_log_loss

    def show_folds(self, folds: Sequence[FoldRow]) -> None:
        """Change the folds."""
        self._folds = tuple(f for f in folds if self.gain(f) is not None)
        self.update()

    def has_data(self) -> bool:
        return len(self._folds) > 1

    def draw(self, p: QPainter, box: QRectF) -> None:
        gains = np.array([self.gain(f) for f in self._folds], dtype=np.float64)
        reach = max(0.001, float(np.percentile(np.abs(gains), 95)) * 1.25)
        grid_y(p, box, -reach, reach, lambda v, d: numbers.percent(v, max(0, d - 2), signed=True), 4)
        inner = box.adjusted(10, 0, -10, 0)
        t = _times(self._folds)
        if self._dated:
            grid_time(p, inner, int(t[0]), int(t[-1]), lines=False)
        x = _fold_x(box, self._folds)
        wide = max(2.0, min(11.0, inner.width() / max(1, len(x)) * 0.62))
        middle = box.center().y()
        p.save()
        p.setClipRect(box)
        for at_x, gain in zip(x.tolist(), gains.tolist(), strict=True):
            tall = gain / (2 * reach) * box.height()
            bar = QRectF(round(at_x - wide / 2), middle - max(0.0, tall), round(wide), max(1.0, abs(tall)))
            painting.fill(p, bar, "s1" if gain > 0 else "s5", 0.9)
        p.restore()
        level(p, box, middle, "text3")
        edges(p, box)


class ReliabilityPlot(Plot):
    """Predicted against observed with bands, and how many rows each bin holds."""

    left, right, bottom = 40.0, 8.0, 22.0

    def __init__(self) -> None:
        super().__init__(200, 160)
        self._bins: tuple[ReliabilityBin, ...] = ()
        self._base: float | None = None

    def show_bins(self, bins: Sequence[ReliabilityBin], base_rate: float | None) -> None:
        """Change the bins."""
        self._bins, self._base = tuple(bins), base_rate
        self.update()

    def has_data(self) -> bool:
        return len(self._bins) > 1

    def draw(self, p: QPainter, box: QRectF) -> None:
        upper = box.adjusted(0, 0, 0, -box.height() * 0.14)
        solid = [b for b in self._bins if b.rows >= 20] or list(self._bins)
        low = min(min(b.predicted, b.low) for b in solid)
        high = max(max(b.predicted, b.high) for b in solid)
        low, high = max(0.0, low - 0.03), min(1.0, high + 0.03)

        def point(px: float, py: float) -> QPointF:
            return QPointF(
                upper.left() + (px - low) / (high - low) * upper.width(),
                upper.bottom() - (py - low) / (high - low) * upper.height(),
            )

        for tick in round_ticks(low, high, 5):
            at = point(tick, tick)
            painting.fill(p, QRectF(upper.left(), round(at.y()), upper.width(), 1), "grid")
            painting.fill(p, QRectF(round(at.x()), upper.top(), 1, box.bottom() - upper.top()), "grid")
            words = numbers.number(tick, 2 if (high - low) < 0.4 else 1)
            painting.text(p, QRectF(0, at.y() - 9, 34, 18), words, font(11), "axis", painting.RIGHT)
            painting.text(
                p, QRectF(at.x() - 25, box.bottom() + 4, 50, 18), words, font(11), "axis", painting.CENTER, elide=False
            )
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        p.setPen(QPen(theme.color("text3"), 1, Qt.PenStyle.DashLine))
        p.drawLine(point(low, low), point(high, high))
        painting.text(p, QRectF(upper.left() + 6, upper.top(), 80, 18), "observed", font(11), "text3")
        self._base_rate(p, upper, low, high)
        self._counts(p, box, low, high)
        p.save()
        p.setClipRect(upper)
        p.setPen(QPen(theme.color("s1", 0.5), 2))
        for b in self._bins:
            p.drawLine(point(b.predicted, b.low), point(b.predicted, b.high))
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        p.setPen(QPen(theme.color("s1"), 1.6))
        points = [point(b.predicted, b.observed) for b in self._bins]
        for a, b2 in pairwise(points):
            p.drawLine(a, b2)
        p.setPen(QPen(theme.color("bg1"), 1.5))
        p.setBrush(theme.color("s1"))
        for at in points:
            p.drawEllipse(at, 4.2, 4.2)
        p.restore()

    def _base_rate(self, p: QPainter, box: QRectF, low: float, high: float) -> None:
        if self._base is None or not low < self._base < high:
            return
        y = box.bottom() - (self._base - low) / (high - low) * box.height()
        level(p, box, y, "warn", Qt.PenStyle.DotLine)
        words = f"base rate {numbers.number(self._base)}"
        painting.text(p, QRectF(box.right() - 120, y + 1, 116, 16), words, font(11, 500), "warn", painting.RIGHT)

    def _counts(self, p: QPainter, box: QRectF, low: float, high: float) -> None:
        most = max(b.rows for b in self._bins) or 1
        pitch = box.width() / max(1.0, (high - low) / 0.05)
        room = box.height() * 0.12
        for b in self._bins:
            x = box.left() + (b.predicted - low) / (high - low) * box.width()
            tall = max(1.0, b.rows / most * room)
            bar = QRectF(round(x - pitch * 0.32), box.bottom() - tall, round(pitch * 0.64), tall)
            painting.fill(p, bar, "s6", 0.4)
        painting.text(p, QRectF(box.left() + 6, box.bottom() - room - 8, 90, 16), "rows per bin", font(11), "text3")


class WeightsPlot(Plot):
    """Each member's share of the vote over time, stacked to one."""

    right = 46.0

    def __init__(self) -> None:
        super().__init__(200, 140)
        self._time: IntArray = no_times()
        self._weights: dict[str, FloatArray] = {}

    def show_weights(self, time: IntArray, weights: Mapping[str, FloatArray]) -> None:
        """Change the shares; every series has the length of ``time``."""
        self._time, self._weights = time, dict(weights)
        self.update()

    def has_data(self) -> bool:
        return self._time.size > 1 and bool(self._weights)

    def items(self) -> list[tuple[str, str, str]]:
        """Legend entries."""
        return [(name, SERIES[i % len(SERIES)], "box") for i, name in enumerate(self._weights)]

    def draw(self, p: QPainter, box: QRectF) -> None:
        t = self._time.astype(np.float64)
        x = box.left() + (t - t[0]) / ((t[-1] - t[0]) or 1.0) * box.width()
        step = max(1, x.size // max(1, int(box.width())))
        x = x[::step]
        base = np.zeros(x.size)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for i, series in enumerate(self._weights.values()):
            top = base + np.nan_to_num(series[::step])
            outline = polyline(x, box.bottom() - top * box.height())
            for at_x, at_base in zip(x[::-1].tolist(), base[::-1].tolist(), strict=True):
                outline.append(QPointF(at_x, box.bottom() - at_base * box.height()))
            p.setPen(QPen(theme.color("bg1"), 1))
            p.setBrush(theme.color(SERIES[i % len(SERIES)], 0.62))
            p.drawPolygon(outline)
            base = top
        for share in (0.25, 0.5, 0.75):
            y = box.bottom() - share * box.height()
            box_words = QRectF(box.right() + 6, y - 9, 46, 18)
            painting.text(p, box_words, numbers.percent(share, 0), font(11), "axis", elide=False)
        grid_time(p, box, int(t[0]), int(t[-1]), lines=False)
