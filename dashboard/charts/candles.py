"""The candle chart: price pane with volume, an RSI pane below, cross-hair, trades, levels, follow-live."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QEvent, QObject, QPointF, QRectF, pyqtSignal
from PyQt6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from app.contract.views import ChartView, FloatArray
from dashboard import numbers, painting
from dashboard.charts.candle_axes import PriceAxis, Tag, TimeAxis
from dashboard.charts.candle_layers import (
    CandleLayer,
    CrossLayer,
    GridLayer,
    LevelLayer,
    LineLayer,
    TradeLayer,
)  # fmt: skip
from dashboard.theme import font, theme

LINE_TOKENS = ("s2", "s1", "s6", "s3", "s5")
ROOM = 0.06  # of the view kept free at the right of the newest bar
SPAN = 180  # bars in sight at first


class ReadOut(QWidget):
    """Open, high, low, close and the indicators of the bar under the pointer, or of the newest."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(40)
        self.view: ChartView | None = None
        self.at = -1

    def words(self) -> list[list[tuple[str, str, int]]]:
        """Two lines of (words, token, weight)."""
        v = self.view
        if v is None or v.close.size == 0:
            return []
        i = self.at if 0 <= self.at < v.close.size else v.close.size - 1
        token = "profit" if v.close[i] >= v.open[i] else "loss"
        first = [(numbers.ticker(v.symbol), "text", 600), (f"{v.timeframe} · {v.origin}", "text3", 400)]
        for name, series in (("O", v.open), ("H", v.high), ("L", v.low), ("C", v.close)):
            first += [(name, "text3", 400), (numbers.number(float(series[i]), v.price_digits), token, 500)]
        first.append((numbers.percent(float(v.close[i] / v.open[i] - 1), signed=True), token, 500))
        first += [("Vol", "text3", 400), (f"{numbers.number(float(v.volume[i]), 1)} {v.base}", "text", 500)]
        second: list[tuple[str, str, int]] = []
        lines = 0
        for name, series in v.indicators.items():
            price = name.startswith(("EMA", "SMA", "WMA"))
            ink = LINE_TOKENS[lines % len(LINE_TOKENS)] if price else "s4"
            lines += price
            digits = v.price_digits if price else 1
            second += [(name, "text3", 400), (numbers.number(float(series[i]), digits), ink, 600)]
        return [first, second]

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        for row, parts in enumerate(self.words()):
            x = 2.0
            for words, token, weight in parts:
                box = QRectF(x, row * 19, self.width() - x, 19)
                wide = painting.text(p, box, words, font(12, weight), token)
                gap = 5 if weight == 400 and token == "text3" and "·" not in words else 11
                x += wide + gap
                if x > self.width() - 20:
                    break


def _cross_words(ms: int) -> str:
    at = numbers.moment(ms)
    return f"{at.strftime('%a')} {at.day} {at.strftime('%b  %H:%M')} UTC"


class CandleChart(QWidget):
    """Everything of one symbol and timeframe over one time axis."""

    follow_changed = pyqtSignal(bool)

    def __init__(self) -> None:
        super().__init__()
        self.view: ChartView | None = None
        self.follow = True
        self._shown: tuple[str, str] = ("", "")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.read_out = ReadOut()
        self.price_axis, self.rsi_axis = PriceAxis(), PriceAxis((30.0, 50.0, 70.0))
        self.time_axis = TimeAxis()
        self.price = self._pane({"right": self.price_axis})
        self.rsi = self._pane({"right": self.rsi_axis, "bottom": self.time_axis})
        column.addWidget(self.read_out)
        column.addWidget(self.price, 1)
        column.addWidget(self.rsi)
        self.rsi.setFixedHeight(126)
        self._layers()
        self._wire()
        self.setMinimumSize(320, 260)

    def _pane(self, axes: dict[str, pg.AxisItem]) -> pg.PlotWidget:
        pane = pg.PlotWidget(background=None, axisItems=axes)
        item = pane.getPlotItem()
        for side in ("left", "top", "bottom", "right"):
            item.showAxis(side, side in axes)
        item.hideButtons()
        item.setMenuEnabled(False)
        item.layout.setContentsMargins(0, 0, 0, 0)
        box = item.getViewBox()
        box.setMouseEnabled(x=True, y=False)
        box.disableAutoRange()
        box.setDefaultPadding(0)
        box.setBorder(None)
        pane.setFrameShape(pg.PlotWidget.Shape.NoFrame)
        pane.setMinimumSize(200, 90)
        pane.setMouseTracking(True)
        return pane

    def _layers(self) -> None:
        self.grid, self.rsi_grid = GridLayer(), GridLayer()
        self.candles, self.trades, self.levels = CandleLayer(), TradeLayer(), LevelLayer()
        self.cross, self.rsi_cross = CrossLayer(), CrossLayer()
        self.lines = [LineLayer(token) for token in LINE_TOKENS]
        self.rsi_line = LineLayer("s4", 1.5, 1.0)
        self.rsi_grid.fixed, self.rsi_grid.band, self.rsi_grid.name = (30.0, 50.0, 70.0), (30.0, 70.0), "RSI 14"
        for layer in (self.grid, self.candles, *self.lines, self.levels, self.trades, self.cross):
            self.price.addItem(layer, ignoreBounds=True)
        for layer in (self.rsi_grid, self.rsi_line, self.rsi_cross):
            self.rsi.addItem(layer, ignoreBounds=True)
        self.rsi.setYRange(8, 92, padding=0)

    def _wire(self) -> None:
        self.rsi.setXLink(self.price)
        self.price.getViewBox().sigXRangeChanged.connect(self._fit)
        self.rsi.getViewBox().sigXRangeChanged.connect(self._settle)
        for pane in (self.price, self.rsi):
            pane.getViewBox().sigRangeChangedManually.connect(self.follow_check)
        theme.changed.connect(self._ground)
        self._ground()
        for pane in (self.price, self.rsi):
            port = pane.viewport()
            if port is not None:
                port.installEventFilter(self)

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        if isinstance(a1, QMouseEvent) and a1.type() == QEvent.Type.MouseMove:
            pane = self.price if a0 is self.price.viewport() else self.rsi
            self.point(pane, a1.position())
        elif a1 is not None and a1.type() == QEvent.Type.Leave:
            self._clear_cross()
        return super().eventFilter(a0, a1)

    def point(self, pane: pg.PlotWidget, at: QPointF) -> None:
        """Put the cross-hair at a place of a pane."""
        if self.view is None or self.view.close.size == 0:
            return
        spot = pane.getViewBox().mapSceneToView(pane.mapToScene(at.toPoint()))
        index = round(spot.x())
        over_price = pane is self.price
        self.cross.index = self.rsi_cross.index = float(index)
        self.cross.price = spot.y() if over_price else None
        self.rsi_cross.price = None if over_price else spot.y()
        self.read_out.at = min(max(0, index), self.view.close.size - 1)
        moment = self._moment(index)
        self.time_axis.cross = (float(index), _cross_words(moment))
        self._tags()
        self._repaint()

    def _clear_cross(self) -> None:
        self.cross.index = self.cross.price = self.rsi_cross.index = self.rsi_cross.price = None
        self.time_axis.cross = None
        self.read_out.at = -1
        self._tags()
        self._repaint()

    def _repaint(self) -> None:
        for item in (self.cross, self.rsi_cross, self.time_axis, self.read_out):
            item.update()

    def _moment(self, index: int) -> int:
        time = self.view.time if self.view is not None else np.zeros(1, dtype=np.int64)
        if 0 <= index < time.size:
            return int(time[index])
        step = int(time[-1] - time[-2]) if time.size > 1 else 0
        return int(time[0]) + index * step if index < 0 else int(time[-1]) + (index - time.size + 1) * step

    def show_view(self, view: ChartView) -> None:
        """Take new data; the part in sight stays, or follows the newest bar."""
        fresh = (view.symbol, view.timeframe) != self._shown
        self.view, self._shown = view, (view.symbol, view.timeframe)
        self.read_out.view = view
        self.grid.time = self.rsi_grid.time = self.time_axis.time = view.time
        self.candles.set_view(view)
        names = [name for name in view.indicators if name.startswith(("EMA", "SMA", "WMA"))]
        for k, line in enumerate(self.lines):
            line.set_series(view.indicators[names[k]] if k < len(names) else np.empty(0))
        rsi = next((s for name, s in view.indicators.items() if name.startswith("RSI")), None)
        self.rsi_line.set_series(np.empty(0) if rsi is None else rsi)
        self.trades.set_trades(view.trades, view.time)
        self.levels.set_position(view.position, view.time)
        if view.close.size:
            self.levels.last = float(view.close[-1])
            self.levels.rising = bool(view.close[-1] >= view.open[-1])
        n = view.close.size
        self.price.setLimits(xMin=-40, xMax=max(60, n + max(200, n * 0.2)), minXRange=12)
        if fresh or self.follow:
            self.go_live(SPAN if fresh else None)
        self._fit()
        self._tags()
        self.read_out.update()

    def go_live(self, span: float | None = None) -> None:
        """Show the newest bars; ``span`` bars, or as many as now."""
        if self.view is None or self.view.close.size == 0:
            return
        first, last = self.price.viewRange()[0]
        wide = min(span or (last - first), self.view.close.size * 1.2 + 20)
        position = self.levels.position
        room = max(ROOM * wide, 4.0 if position is None else min(26.0, wide * 0.14))
        end = self.view.close.size - 1 + room
        self.price.setXRange(end - wide, end, padding=0)

    def set_follow(self, on: bool) -> None:
        """Keep the newest bar in sight."""
        if on != self.follow:
            self.follow = on
            self.follow_changed.emit(on)
        if on:
            self.go_live()

    def show_trade(self, entry_ms: int, exit_ms: int) -> None:
        """Bring one trade into sight."""
        if self.view is None or self.view.time.size == 0:
            return
        a, b = (float(np.searchsorted(self.view.time, t)) for t in (entry_ms, exit_ms))
        wide = max(80.0, (b - a) * 3)
        self.set_follow(False)
        self.price.setXRange((a + b - wide) / 2, (a + b + wide) / 2, padding=0)

    def set_parts(self, *, trades: bool, levels: bool, volume: bool, lines: bool) -> None:
        """Which layers are in sight."""
        self.trades.setVisible(trades)
        self.levels.setVisible(levels)
        self.candles.show_volume = volume
        self.candles.update()
        for line in self.lines:
            line.setVisible(lines)
        self._tags()

    def _ground(self) -> None:
        for pane in (self.price, self.rsi):
            pane.setBackground(theme.color("bg1"))

    def follow_check(self, *_: object) -> None:
        """Stop following once a person has moved the newest bar out of sight."""
        n = self.view.close.size if self.view is not None else 0
        first, last = self.price.viewRange()[0]
        if self.follow and n and not first <= n - 1 <= last:
            self.set_follow(False)

    def _fit(self, *_: object) -> None:
        first, last = self.price.viewRange()[0]
        found = self.candles.price_range(first, last)
        if found is None:
            return
        low, high = found
        row = self.levels.position
        if row is not None and self.levels.isVisible() and last >= (self.view.close.size - 1 if self.view else 0):
            near = [v for v in (row.stop, row.target, row.entry) if v is not None]
            reach = (high - low) * 0.7
            low = min([low, *(v for v in near if v > low - reach)])
            high = max([high, *(v for v in near if v < high + reach)])
        reach = (high - low) or max(1e-9, abs(high) * 0.001)
        self.price.setYRange(low - reach * 0.17, high + reach * 0.06, padding=0)
        self._settle(self.price.getViewBox())

    @staticmethod
    def _settle(box: pg.ViewBox, *_: object) -> None:
        """Take a new range over at once: left to the painting, it would ask for every picture twice."""
        box.updateMatrix()

    def _tags(self) -> None:
        v = self.view
        tags: list[Tag] = []
        if v is not None and v.close.size:
            row = self.levels.position if self.levels.isVisible() else None
            if row is not None:
                for price, token in ((row.target, "profit"), (row.stop, "loss")):
                    if price is not None:
                        tags.append(Tag(price, numbers.number(price, v.price_digits), token))
                tags.append(Tag(row.entry, numbers.number(row.entry, v.price_digits), "bg3", "text"))
            token = "candleUp" if self.levels.rising else "candleDown"
            tags.append(Tag(float(v.close[-1]), numbers.number(float(v.close[-1]), v.price_digits), token))
            if self.cross.price is not None:
                words = numbers.number(self.cross.price, v.price_digits)
                tags.append(Tag(self.cross.price, words, "crossLabel", "onFill"))
        self.price_axis.show_tags(tags)
        rsi = self.rsi_value()
        self.rsi_axis.show_tags([] if rsi is None else [Tag(rsi, numbers.number(rsi, 1), "s4")])

    def rsi_value(self) -> float | None:
        """The newest RSI."""
        if self.view is None:
            return None
        series: FloatArray | None = next((s for k, s in self.view.indicators.items() if k.startswith("RSI")), None)
        if series is None or series.size == 0 or not np.isfinite(series[-1]):
            return None
        return float(series[-1])

    def save_png(self, path: str) -> bool:
        """Write the chart as it stands to a PNG file."""
        return self.grab().save(path, "PNG")

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painting.fill(QPainter(self), QRectF(self.rect()), "bg1")
