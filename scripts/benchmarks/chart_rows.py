"""P10 panning the candle chart, P11 a new tick: offscreen, 1600 × 900, painted frames only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.benchmarks.bench import Bench
from scripts.benchmarks.rows import Goal, Row, measured
from scripts.benchmarks.timing import quantile

if TYPE_CHECKING:
    from app.contract.views import ChartView

FRAMES = 200
SPAN = 180.0
FEW = 1000
SIZE = (1600, 900)
PICTURE_SHARE = 0.1  # of the bars in the peer's picture


def chart_view(bench: Bench, bars: int) -> ChartView:
    """The newest bars with two averages and RSI."""
    import talib

    from app.contract.views import ChartView

    part = bench.market[0].slice(bench.bars - bars, bench.bars)
    close = part.close.copy()
    lines = {"EMA 20": talib.EMA(close, 20), "EMA 50": talib.EMA(close, 50), "RSI 14": talib.RSI(close, 14)}
    return ChartView(
        symbol="BTC/USDT:USDT", timeframe="1m", origin="synthetic", symbols=("BTC/USDT:USDT",), timeframes=("1m",),
        time=part.open_time.copy(), open=part.open.copy(), high=part.high.copy(), low=part.low.copy(), close=close,
        volume=part.volume.copy(), base="BTC", price_digits=1, indicators=lines,
    )  # fmt: skip


class Stage:
    """A shown widget whose frames are counted, so that a time without a paint is no frame."""

    def __init__(self, widget: Any, painted: Any) -> None:
        from PyQt6.QtCore import QEvent, QObject
        from PyQt6.QtWidgets import QApplication

        class Watch(QObject):
            paints = 0

            def eventFilter(self, _a0: QObject | None, a1: QEvent | None) -> bool:
                if a1 is not None and a1.type() == QEvent.Type.Paint:
                    self.paints += 1
                return False

        self.app = QApplication.instance()
        self.watch = Watch()
        painted.installEventFilter(self.watch)
        widget.resize(*SIZE)
        widget.show()
        self._settle()

    def _settle(self) -> None:
        for _ in range(3):
            self.app.processEvents()  # type: ignore[union-attr]

    def frames(self, change: Callable[[int], None], count: int) -> list[float]:
        """Milliseconds of each change with its repaint; the first tenth is warm-up and left out."""
        times = []
        warm = max(1, count // 10)
        for k in range(count + warm):
            before = self.watch.paints
            began = perf_counter()
            change(k)
            self.app.processEvents()  # type: ignore[union-attr]
            times.append(1e3 * (perf_counter() - began))
            if self.watch.paints == before:
                raise RuntimeError("a change of the chart was not painted: these times would be no frames")
        return times[warm:]


@cache
def application() -> Any:
    """The one application, dressed; held, as Qt ends with its Python object."""
    from PyQt6.QtWidgets import QApplication

    from dashboard.theme import dress

    app = QApplication.instance() or QApplication(["bench"])
    assert isinstance(app, QApplication)
    dress(app)
    return app


def _chart(view: ChartView) -> tuple[Any, Stage]:
    from dashboard.charts.candles import CandleChart

    chart = CandleChart()
    chart.show_view(view)
    return chart, Stage(chart, chart.price.viewport())


def _pan(view: ChartView) -> list[float]:
    chart, stage = _chart(view)
    chart.set_follow(False)
    first = view.close.size * 0.4

    def move(k: int) -> None:
        chart.price.setXRange(first + k, first + k + SPAN, padding=0)

    times = stage.frames(move, FRAMES)
    chart.close()
    return times


def _picture_frames(view: ChartView, frames: int) -> list[float]:
    """pyqtgraph's own example: every candle in one QPicture, replayed on each paint."""
    import pyqtgraph as pg
    from PyQt6.QtCore import QPointF, QRectF
    from PyQt6.QtGui import QPainter, QPicture

    picture = QPicture()
    painter = QPainter(picture)
    painter.setPen(pg.mkPen("w", width=0))
    for i in range(view.close.size):
        o, h, low, c = (float(column[i]) for column in (view.open, view.high, view.low, view.close))
        painter.drawLine(QPointF(i, low), QPointF(i, h))
        painter.setBrush(pg.mkBrush("r" if o > c else "g"))
        painter.drawRect(QRectF(i - 0.3, o, 0.6, c - o))
    painter.end()

    class Candles(pg.GraphicsObject):  # type: ignore[misc]
        def paint(self, p: QPainter, *_: object) -> None:
            p.drawPicture(0, 0, picture)

        def boundingRect(self) -> QRectF:
            return QRectF(picture.boundingRect())

    plot = pg.PlotWidget()
    plot.addItem(Candles())
    plot.disableAutoRange()
    first = view.close.size * 0.4
    stage = Stage(plot, plot.viewport())
    seen = slice(int(first), int(first + SPAN) + frames + 2)
    plot.setYRange(float(view.low[seen].min()), float(view.high[seen].max()))

    def move(k: int) -> None:
        plot.setXRange(first + k, first + k + SPAN, padding=0)

    times = stage.frames(move, frames)
    plot.close()
    return times


def panning(bench: Bench) -> list[Row]:
    """P10: one bar to the left or right each frame, 180 bars in sight."""
    import pyqtgraph as pg

    application()
    few = quantile(_pan(chart_view(bench, min(FEW, bench.bars))), 0.95)
    view = chart_view(bench, bench.bars)
    times = _pan(view)
    many = quantile(times, 0.95)
    count = max(FEW, int(bench.bars * PICTURE_SHARE))
    theirs = quantile(_picture_frames(chart_view(bench, count), 5), 0.5) * bench.bars / count
    note = f"median {quantile(times, 0.5):.2g} ms; peer: median of 5 frames over {count:,} candles, scaled"
    return [
        measured("P10", f"chart: pan over {bench.bars:,} candles, p95", many, "ms", Goal("≤ 8 ms", at_most=8.0),
                 f"pyqtgraph {pg.__version__} QPicture", theirs, note),
        measured("P10", f"the same over {bench.bars:,} and over {min(FEW, bench.bars):,} candles", many / few,
                 "× the time", Goal("≤ 1.2×", at_most=1.2), note=f"p95 over {FEW:,} candles: {few:.2g} ms"),
    ]  # fmt: skip


def tick(bench: Bench) -> list[Row]:
    """P11: the last close moves; the chart takes the new view and repaints."""
    application()
    view = chart_view(bench, bench.bars)
    chart, stage = _chart(view)
    rng = np.random.default_rng(7)
    last = float(view.close[-1])
    prices = last * (1.0 + 0.001 * rng.standard_normal(2 * FRAMES))

    def move(k: int) -> None:
        view.close[-1] = prices[k]
        view.high[-1] = max(float(view.high[-1]), prices[k])
        view.low[-1] = min(float(view.low[-1]), prices[k])
        chart.show_view(replace(view))

    times = stage.frames(move, FRAMES)
    chart.close()
    what = f"new tick on the last of {bench.bars:,} candles, repaint included, p95"
    note = f"median {quantile(times, 0.5):.2g} ms; the chart is given its whole view anew"
    return [measured("P11", what, quantile(times, 0.95), "ms", Goal("≤ 8 ms", at_most=8.0), note=note)]
