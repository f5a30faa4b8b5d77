"""What is drawn over the time axis of the candle chart.

A layer lives in a pyqtgraph view (x = bar index, y = price) and paints in pixels: the view's transform is read once,
arrays are mapped by numpy, and only what is in sight is touched. Bars narrower than a pixel are merged per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QLineF, QPointF, QRectF, Qt
from PyQt6.QtGui import QPainter, QPen
from pyqtgraph.Qt.internals import PrimitiveArray

from app.contract.views import ChartView, FloatArray, IntArray, PositionRow, TradeMarker, no_floats
from dashboard import numbers, painting
from dashboard.charts.plot import round_ticks, time_ticks
from dashboard.theme import font, theme

COARSE = 64  # bars merged ahead of time, for views of very many bars
VOLUME_SHARE = 0.13
POINT_PX = 1.5  # pixels between two points of a line that is thinned


@dataclass(frozen=True, slots=True)
class Mapping:
    """From data to pixels of the viewport: ``px = ax * x + bx``, ``py = ay * y + by``; ``box`` is the pane."""

    ax: float
    bx: float
    ay: float
    by: float
    box: QRectF
    first: float  # data x at the left and right edge
    last: float

    def x(self, index: float) -> float:
        """Pixel of a bar index."""
        return self.ax * index + self.bx

    def y(self, price: float) -> float:
        """Pixel of a price."""
        return self.ay * price + self.by


class Layer(pg.GraphicsObject):  # type: ignore[misc]
    """Base of the layers; ``draw`` gets a painter in pixels."""

    def boundingRect(self) -> QRectF:
        view = self.viewRect()
        return QRectF(view) if view is not None else QRectF()

    def viewRangeChanged(self) -> None:
        self.prepareGeometryChange()
        self.update()

    def paint(self, p: QPainter, *_: object) -> None:
        rect = self.viewRect()
        if rect is None or rect.width() <= 0 or rect.height() == 0:
            return
        t = p.worldTransform()
        p.save()
        p.resetTransform()
        box = t.mapRect(QRectF(rect))
        p.setClipRect(box)
        self.draw(p, Mapping(t.m11(), t.dx(), t.m22(), t.dy(), box, rect.left(), rect.right()))
        p.restore()

    def draw(self, p: QPainter, m: Mapping) -> None:
        """Draw in pixels."""
        raise NotImplementedError


class GridLayer(Layer):
    """Value and time grid under everything."""

    def __init__(self) -> None:
        super().__init__()
        self.setZValue(-50)
        self.time: IntArray = np.empty(0, dtype=np.int64)
        self.fixed: tuple[float, ...] = ()
        self.band: tuple[float, float] | None = None
        self.name = ""

    def draw(self, p: QPainter, m: Mapping) -> None:
        if self.band:
            top, bottom = m.y(self.band[1]), m.y(self.band[0])
            painting.fill(p, QRectF(m.box.left(), top, m.box.width(), bottom - top), "s4", 0.05)
        low = (m.box.bottom() - m.by) / m.ay
        high = (m.box.top() - m.by) / m.ay
        ticks = self.fixed or round_ticks(low, high, max(2, int(m.box.height() // 70)))
        for price in ticks:
            if self.fixed and price != 50:
                p.setPen(QPen(theme.color("line3"), 1, Qt.PenStyle.DashLine))
                p.drawLine(QPointF(m.box.left(), round(m.y(price))), QPointF(m.box.right(), round(m.y(price))))
            else:
                painting.fill(p, QRectF(m.box.left(), round(m.y(price)), m.box.width(), 1), "grid")
        for index, _ in index_ticks(self.time, m.first, m.last, max(2, int(m.box.width() // 100))):
            painting.fill(p, QRectF(round(m.x(index)), m.box.top(), 1, m.box.height()), "grid")
        if self.name:
            painting.fill(p, QRectF(m.box.left(), m.box.top(), m.box.width(), 1), "line")
            painting.text(p, QRectF(m.box.left() + 4, m.box.top() + 3, 120, 18), self.name, font(11, 500), "text3")


def index_ticks(time: IntArray, first: float, last: float, count: int) -> list[tuple[float, str]]:
    """Time ticks as bar indices; outside the data the bar length is carried on."""
    if time.size < 2:
        return []
    step = int(time[-1] - time[-2])

    def at(index: float) -> int:
        i = int(index)
        if i < 0:
            return int(time[0]) + i * step
        return int(time[i]) if i < time.size else int(time[-1]) + (i - time.size + 1) * step

    found = []
    for ms, words in time_ticks(at(first), at(last), count):
        index = float(np.searchsorted(time, ms)) if ms <= time[-1] else time.size - 1 + (ms - int(time[-1])) / step
        if ms < time[0]:
            index = (ms - int(time[0])) / step
        found.append((index, words))
    return found


class CandleLayer(Layer):
    """Candles and volume."""

    def __init__(self) -> None:
        super().__init__()
        self.show_volume = True
        self._o = self._h = self._l = self._c = self._v = no_floats()
        self._merged: tuple[FloatArray, ...] | None = None  # made when first asked for

    def set_view(self, view: ChartView) -> None:
        """Take new columns."""
        self._o, self._h, self._l, self._c, self._v = view.open, view.high, view.low, view.close, view.volume
        self._merged = None
        self.update()

    def _coarse(self) -> tuple[FloatArray, ...]:
        """Candles of ``COARSE`` bars each, without a remainder; for ``COARSE`` bars or more."""
        if self._merged is None:
            at = np.arange(0, (n := self._o.size // COARSE * COARSE), COARSE)
            self._merged = (
                self._o[at], np.maximum.reduceat(self._h[:n], at), np.minimum.reduceat(self._l[:n], at),
                self._c[at + COARSE - 1], np.maximum.reduceat(self._v[:n], at),
            )  # fmt: skip
        return self._merged

    def price_range(self, first: float, last: float) -> tuple[float, float] | None:
        """Lowest low and highest high between two indices."""
        a, b = max(0, int(first)), min(self._o.size, int(last) + 2)
        if b <= a:
            return None
        if b - a > 50 * COARSE:
            _, high, low, _, _ = self._coarse()
            ca, cb = a // COARSE, max(a // COARSE + 1, b // COARSE)
            return float(low[ca:cb].min()), float(high[ca:cb].max())
        return float(self._l[a:b].min()), float(self._h[a:b].max())

    def columns(self, m: Mapping) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Pixel x and the candles in sight, merged to at most one a pixel."""
        o, h, lo, c, v = self._o, self._h, self._l, self._c, self._v
        scale, ax = 1, m.ax
        if ax * COARSE < 1.0 and o.size >= COARSE:
            (o, h, lo, c, v), scale = self._coarse(), COARSE
            ax *= COARSE
        a = max(0, int(np.floor(m.first / scale)) - 1)
        b = min(o.size, int(np.ceil(m.last / scale)) + 2)
        index = np.arange(a, b, dtype=np.float64)
        if b <= a:
            return index, *(no_floats() for _ in range(5))  # type: ignore[return-value]
        o, h, lo, c, v = o[a:b], h[a:b], lo[a:b], c[a:b], v[a:b]
        if ax < 1.0:
            pixel = np.floor(index * ax).astype(np.int64)
            starts = np.flatnonzero(np.concatenate(([True], pixel[1:] != pixel[:-1])))
            ends = np.concatenate((starts[1:], [index.size])) - 1
            h, lo, v = (
                np.maximum.reduceat(h, starts), np.minimum.reduceat(lo, starts), np.maximum.reduceat(v, starts),
            )  # fmt: skip
            o, c, index = o[starts], c[ends], index[starts]
        return index * scale * m.ax + m.bx, o, h, lo, c, v

    def draw(self, p: QPainter, m: Mapping) -> None:
        x, o, h, lo, c, v = self.columns(m)
        if x.size == 0:
            return
        p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        up = c >= o
        pitch = max(1.0, m.ax)
        body = max(1, int(pitch * 0.68))
        left = np.round(x - body / 2)
        if self.show_volume and v.size and float(v.max()) > 0:
            tall = v / float(v.max()) * m.box.height() * VOLUME_SHARE
            for token, mask in (("candleUp", up), ("candleDown", ~up)):
                p.setPen(Qt.PenStyle.NoPen)
                p.setBrush(theme.color(token, 0.30))
                _draw_rects(p, left[mask], m.box.bottom() - tall[mask], body, tall[mask])
        for token, mask in (("candleUp", up), ("candleDown", ~up)):
            if not mask.any():
                continue
            p.setPen(QPen(theme.color(token), 1))
            middle = left[mask] + body // 2
            top, bottom = np.round(m.ay * h[mask] + m.by), np.round(m.ay * lo[mask] + m.by)
            _draw_lines(p, middle, top, middle, bottom)
            if body > 1:
                p.setPen(Qt.PenStyle.NoPen)
                p.setBrush(theme.color(token))
                high, low = np.maximum(o[mask], c[mask]), np.minimum(o[mask], c[mask])
                y = np.round(m.ay * high + m.by)
                _draw_rects(p, left[mask], y, body, np.maximum(1.0, np.round(m.ay * low + m.by) - y))


def _draw_rects(p: QPainter, x: FloatArray, y: FloatArray, wide: float, tall: FloatArray) -> None:
    """Rectangles straight from arrays: one Python object for all of them."""
    if x.size:
        rects = PrimitiveArray(QRectF, 4)
        rects.resize(x.size)
        into = rects.ndarray()
        into[:, 0], into[:, 1], into[:, 2], into[:, 3] = x, y, wide, tall
        p.drawRects(*rects.drawargs())


def _draw_lines(p: QPainter, x1: FloatArray, y1: FloatArray, x2: FloatArray, y2: FloatArray) -> None:
    """Lines straight from arrays."""
    if x1.size:
        lines = PrimitiveArray(QLineF, 4)
        lines.resize(x1.size)
        into = lines.ndarray()
        into[:, 0], into[:, 1], into[:, 2], into[:, 3] = x1, y1, x2, y2
        p.drawLines(*lines.drawargs())


class LineLayer(Layer):
    """One indicator line; breaks at NaN, thinned to about a point every other pixel."""

    def __init__(self, token: str, width: float = 1.3, alpha: float = 0.9) -> None:
        super().__init__()
        self.token, self._width, self._alpha = token, width, alpha
        self._y = no_floats()

    def set_series(self, y: FloatArray) -> None:
        """Take a new series over the bar index."""
        self._y = y
        self.update()

    def draw(self, p: QPainter, m: Mapping) -> None:
        a, b = max(0, int(m.first) - 1), min(self._y.size, int(m.last) + 3)
        if b - a < 2:
            return
        step = max(1, round((b - a) * POINT_PX / max(1.0, m.box.width())))
        index = np.arange(a - a % step, b, step)  # the same bars while panning: a line must not shimmer
        x: FloatArray = np.asarray(index * m.ax + m.bx, dtype=np.float64)
        y: FloatArray = np.asarray(self._y[index] * m.ay + m.by, dtype=np.float64)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        p.setPen(QPen(theme.color(self.token, self._alpha), self._width))
        # Single segments: stroking one long antialiased path is many times slower.
        good = np.isfinite(y)
        both = good[1:] & good[:-1]
        _draw_lines(p, x[:-1][both], y[:-1][both], x[1:][both], y[1:][both])


class TradeLayer(Layer):
    """Entry triangle, exit dot or cross, joined by a dotted line, with the result beside the exit."""

    def __init__(self) -> None:
        super().__init__()
        self.setZValue(20)
        self._trades: tuple[TradeMarker, ...] = ()
        self._entry_at: FloatArray = no_floats()
        self._exit_at: FloatArray = no_floats()

    def set_trades(self, trades: tuple[TradeMarker, ...], time: IntArray) -> None:
        """Take new trades; times become bar indices."""
        self._trades = trades
        top = max(1, time.size)
        self._entry_at = _index_of(time, [t.entry_ms for t in trades], top)
        self._exit_at = _index_of(time, [t.exit_ms for t in trades], top)
        self.update()

    def draw(self, p: QPainter, m: Mapping) -> None:
        seen = [
            (t, a, b)
            for t, a, b in zip(self._trades, self._entry_at.tolist(), self._exit_at.tolist(), strict=True)
            if b >= m.first and a <= m.last
        ]
        labels = len(seen) <= max(6, m.box.width() / 80)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for trade, a, b in seen[-600:]:
            entry, leave = QPointF(m.x(a), m.y(trade.entry)), QPointF(m.x(b), m.y(trade.exit))
            token = painting.money_token(trade.pnl)
            p.setPen(QPen(theme.color(token), 1.4, Qt.PenStyle.DotLine))
            p.drawLine(entry, leave)
            up = trade.side == "long"
            painting.triangle(p, entry.x() - 5, entry.y() + (8 if up else -8), up, "text", 5)
            self._exit(p, leave, trade.exit_reason, token)
            if labels:
                words = f"{numbers.number(trade.pnl, 2, signed=True)} {trade.exit_reason}"
                below = (leave.y() > entry.y()) == (trade.side == "long" or trade.pnl > 0)
                _plate(p, m.box, leave.x(), leave.y() + (22 if below else -22), words, token)

    @staticmethod
    def _exit(p: QPainter, at: QPointF, reason: str, token: str) -> None:
        if reason in ("stop", "liquidation", "emergency"):
            p.setPen(QPen(theme.color(token), 1.8))
            p.drawLine(QPointF(at.x() - 3.5, at.y() - 3.5), QPointF(at.x() + 3.5, at.y() + 3.5))
            p.drawLine(QPointF(at.x() - 3.5, at.y() + 3.5), QPointF(at.x() + 3.5, at.y() - 3.5))
            return
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(theme.color(token))
        p.drawEllipse(at, 3.5, 3.5)


def _index_of(time: IntArray, moments: list[int], top: int) -> FloatArray:
    found = np.searchsorted(time, np.array(moments, dtype=np.int64), side="right") - 1
    made: FloatArray = np.clip(found, -1, top).astype(np.float64)
    return made


def _plate(p: QPainter, pane: QRectF, x: float, middle: float, words: str, token: str) -> None:
    face = font(11, 600)
    wide = painting.width_of(words, face) + 10
    left = min(max(pane.left() + 2, x - wide / 2), pane.right() - wide - 2)
    box = QRectF(left, min(max(pane.top() + 2, middle - 9), pane.bottom() - 20), wide, 18)
    painting.fill(p, box, "bg1", 0.8, 3)
    painting.text(p, box, words, face, token, painting.CENTER, elide=False)


class LevelLayer(Layer):
    """Entry, stop and target of the open position, with the zones as long as the time limit; and the last price."""

    def __init__(self) -> None:
        super().__init__()
        self.setZValue(10)
        self.position: PositionRow | None = None
        self._from, self._to = 0.0, 0.0
        self.last: float | None = None
        self.rising = True

    def set_position(self, position: PositionRow | None, time: IntArray) -> None:
        """Take the open position of this symbol, if any."""
        self.position = position
        if position is not None and time.size > 1:
            step = int(time[-1] - time[-2])
            self._from = float(np.searchsorted(time, position.opened_ms, side="right") - 1)
            ends = position.closes_ms
            self._to = time.size + 24.0 if ends is None else time.size - 1 + (ends - int(time[-1])) / step
        self.update()

    def draw(self, p: QPainter, m: Mapping) -> None:
        if self.last is not None:
            p.setPen(QPen(theme.color("candleUp" if self.rising else "candleDown", 0.8), 1, Qt.PenStyle.DotLine))
            y = round(m.y(self.last))
            p.drawLine(QPointF(m.box.left(), y), QPointF(m.box.right(), y))
        row = self.position
        if row is None:
            return
        left, right = max(m.box.left(), m.x(self._from)), m.x(self._to)
        for price, token, words in (
            (row.stop, "loss", f"Stop  {numbers.percent(row.to_stop)}"),
            (row.target, "profit", f"Target  {numbers.percent(row.to_target)}"),
        ):
            if price is None:
                continue
            top, bottom = sorted((m.y(row.entry), m.y(price)))
            painting.fill(p, QRectF(left, top, max(0.0, right - left), bottom - top), token, 0.075)
            self._line(p, m, left, price, token, words, above=price > row.entry)
        name = f"Entry  {'↗' if row.side == 'long' else '↘'} {numbers.number(row.quantity, row.quantity_digits)}"
        self._line(p, m, left, row.entry, "text2", f"{name} {row.base}", above=True)

    @staticmethod
    def _line(p: QPainter, m: Mapping, left: float, price: float, token: str, words: str, *, above: bool) -> None:
        y = round(m.y(price))
        p.setPen(QPen(theme.color(token), 1, Qt.PenStyle.DashLine))
        p.drawLine(QPointF(left, y), QPointF(m.box.right(), y))
        face = font(11, 600)
        box = QRectF(m.box.right() - 206, y - 19 if above else y + 2, 200, 17)
        painting.text(p, box, words, face, token, painting.RIGHT, elide=False)


class CrossLayer(Layer):
    """The cross-hair's lines in one pane."""

    def __init__(self) -> None:
        super().__init__()
        self.setZValue(40)
        self.index: float | None = None
        self.price: float | None = None

    def draw(self, p: QPainter, m: Mapping) -> None:
        p.setPen(QPen(theme.color("cross"), 1, Qt.PenStyle.DashLine))
        if self.index is not None:
            x = round(m.x(self.index))
            p.drawLine(QPointF(x, m.box.top()), QPointF(x, m.box.bottom()))
        if self.price is not None:
            y = round(m.y(self.price))
            p.drawLine(QPointF(m.box.left(), y), QPointF(m.box.right(), y))
