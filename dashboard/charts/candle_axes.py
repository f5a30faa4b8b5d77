"""The candle chart's axes: values at the right with filled tags, times below with the cross-hair's moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QPainter

from app.contract.views import IntArray
from dashboard import numbers, painting
from dashboard.charts.candle_layers import index_ticks
from dashboard.charts.plot import round_ticks, tick_digits
from dashboard.theme import font

AXIS_W, TIME_H = 72, 24
PLATE_H = 18.0


@dataclass(frozen=True, slots=True)
class Tag:
    """A filled value tag on the price axis."""

    value: float
    words: str
    token: str
    ink: str = "onTag"


def spread(places: list[float], tall: float) -> list[float | None]:
    """Middles of the tags' plates, pushed apart where they would overlap; ``None`` for those out of sight."""
    made: list[float | None] = [None] * len(places)
    seen = sorted((y, i) for i, y in enumerate(places) if -1 <= y <= tall + 1)
    below = PLATE_H / 2 - PLATE_H
    for y, i in seen:
        below = max(min(y, tall - PLATE_H / 2), below + PLATE_H)
        made[i] = below
    above = tall + PLATE_H / 2
    for _, i in reversed(seen):
        above = min(made[i] or 0.0, above - PLATE_H)
        made[i] = above
    return made


class PriceAxis(pg.AxisItem):  # type: ignore[misc]
    """Values at the right, with tags."""

    def __init__(self, fixed: tuple[float, ...] = ()) -> None:
        super().__init__("right")
        self.setWidth(AXIS_W)
        self.fixed = fixed
        self.tags: list[Tag] = []
        self.digits: int | None = None

    def paint(self, p: QPainter, *_: object) -> None:
        view = self.linkedView()
        if view is None:
            return
        (low, high), box = view.viewRange()[1], self.boundingRect()
        tall = view.height()
        painting.fill(p, QRectF(0, box.top(), 1, box.height()), "line")
        if high <= low or tall <= 0:
            return

        def at(value: float) -> float:
            return float((high - value) / (high - low) * tall)

        ticks = self.fixed or tuple(round_ticks(low, high, max(2, int(tall // 70))))
        digits = tick_digits(ticks)
        taken = [at(tag.value) for tag in self.tags]
        for value in ticks:
            if any(abs(at(value) - y) < 16 for y in taken):
                continue
            label = QRectF(9, at(value) - 9, AXIS_W, 18)
            painting.text(p, label, numbers.number(value, digits), font(11), "axis", elide=False)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for tag, y in zip(self.tags, spread([at(tag.value) for tag in self.tags], tall), strict=True):
            if y is not None:
                plate = QRectF(2, round(y) - 9, AXIS_W - 4, 18)
                painting.fill(p, plate, tag.token, 1.0, 3)
                painting.text(p, plate, tag.words, font(11, 600), tag.ink, painting.CENTER, elide=False)

    def show_tags(self, tags: list[Tag]) -> None:
        """Change the tags."""
        self.tags = tags
        self.update()


class TimeAxis(pg.AxisItem):  # type: ignore[misc]
    """Times below, with the cross-hair's moment as a plate."""

    def __init__(self) -> None:
        super().__init__("bottom")
        self.setHeight(TIME_H)
        self.time: IntArray = np.empty(0, dtype=np.int64)
        self.cross: tuple[float, str] | None = None

    def paint(self, p: QPainter, *_: object) -> None:
        view = self.linkedView()
        if view is None:
            return
        first, last = view.viewRange()[0]
        wide = view.width()
        painting.fill(p, QRectF(0, 0, wide, 1), "line")
        if last <= first:
            return
        for index, words in index_ticks(self.time, first, last, max(2, int(wide // 100))):
            x = (index - first) / (last - first) * wide
            label = QRectF(x - 40, 4, 80, 18)
            strong = ":" not in words
            painting.text(
                p, label, words, font(11, 500 if strong else 400), "text2" if strong else "axis", painting.CENTER
            )
        if self.cross is not None:
            x = (self.cross[0] - first) / (last - first) * wide
            size = painting.width_of(self.cross[1], font(11, 600)) + 16
            plate = QRectF(min(max(0.0, x - size / 2), wide - size), 2, size, 19)
            p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
            painting.fill(p, plate, "crossLabel", 1.0, 4)
            painting.text(p, plate, self.cross[1], font(11, 600), "onFill", painting.CENTER, elide=False)
