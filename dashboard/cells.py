"""What one table cell shows, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtGui import QPainter

from dashboard import painting
from dashboard.theme import font, theme


class Drawing(Protocol):
    """A small picture in a cell; equal pictures compare equal, so that an unchanged one is not painted again."""

    def draw(self, p: QPainter, box: QRectF) -> None:
        """Paint into the box."""
        ...


@dataclass(frozen=True, slots=True)
class Cell:
    """What one cell shows. ``tone`` is a colour token; ``arrow`` is 1 up, -1 down, 0 none."""

    words: str
    tone: str = "text2"
    weight: int = 400
    arrow: int = 0
    badge: str = ""  # tone of a badge round the words
    solid: bool = False
    dot: str = ""  # tone of a dot before the words
    extra: str = ""  # second words after the first, e.g. a side
    mono: bool = False
    sort: float | str | None = None
    tip: str = ""
    drawing: Drawing | None = None  # instead of the words


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how wide at least, how it grows, and which leave first when room is short (highest rank)."""

    key: str
    title: str
    cell: Callable[[Any], Cell]
    width: int
    right: bool = False
    grow: int = 1
    rank: int = 0
    tip: str = ""


def draw_cell(p: QPainter, box: QRectF, cell: Cell, right: bool) -> None:
    """The contents of one cell within its padding."""
    middle = box.center().y()
    if cell.drawing is not None:
        cell.drawing.draw(p, box)
        return
    if cell.badge:
        wide = painting.badge_width(cell.words)
        x = box.right() - wide if right else box.left()
        painting.badge(p, x, middle, cell.words, cell.badge, solid=cell.solid)
        return
    face = font(12, cell.weight, cell.mono)
    if right:
        wide = painting.text(p, box, cell.words, face, cell.tone, painting.RIGHT)
        if cell.arrow:
            painting.triangle(p, box.right() - wide - 13, middle, cell.arrow > 0, cell.tone)
        return
    if cell.dot:
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(theme.color(cell.dot))
        p.drawEllipse(QRectF(box.left(), round(middle) - 3.5, 7, 7))
        box = box.adjusted(14, 0, 0, 0)
    if cell.arrow:
        painting.triangle(p, box.left(), middle, cell.arrow > 0, cell.tone)
        box = box.adjusted(13, 0, 0, 0)
    wide = painting.text(p, box, cell.words, face, cell.tone)
    if cell.extra:
        painting.text(p, box.adjusted(wide + 8, 0, 0, 0), cell.extra, font(12, 500), "text2")
