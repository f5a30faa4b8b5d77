"""What cells, badges, cards and charts draw with: text, badges, arrows, bars. Colours are token names."""

from __future__ import annotations

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import QFont, QFontMetricsF, QPainter, QPen, QPolygonF

from dashboard.icons import pixmap
from dashboard.theme import TINT_EDGE, font, theme

LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
CENTER = Qt.AlignmentFlag.AlignCenter
BADGE_H = 20


def width_of(text: str, face: QFont) -> float:
    """Advance width of one line."""
    return QFontMetricsF(face).horizontalAdvance(text)


def text(
    p: QPainter, box: QRectF, words: str, face: QFont, token: str, align: Qt.AlignmentFlag = LEFT, *, elide: bool = True
) -> float:
    """One line of text in a box; the result is its drawn width."""
    if not words:
        return 0.0
    metrics = QFontMetricsF(face)
    wide = metrics.horizontalAdvance(words)
    if elide and wide > box.width() + 0.5:
        words = metrics.elidedText(words, Qt.TextElideMode.ElideRight, box.width())
        wide = metrics.horizontalAdvance(words)
    p.setFont(face)
    p.setPen(theme.color(token))
    p.drawText(box, align | Qt.TextFlag.TextSingleLine, words)
    return wide


def fill(p: QPainter, box: QRectF, token: str, alpha: float = 1.0, radius: float = 0.0) -> None:
    """A filled rectangle, rounded where ``radius`` > 0."""
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(theme.color(token, alpha))
    if radius > 0:
        p.drawRoundedRect(box, radius, radius)
    else:
        p.drawRect(box)


def outline(p: QPainter, box: QRectF, token: str, alpha: float = 1.0, radius: float = 0.0, width: float = 1.0) -> None:
    """A line inside the edge of a box (on half pixels, so it is sharp)."""
    inset = width / 2
    p.setPen(QPen(theme.color(token, alpha), width))
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.drawRoundedRect(box.adjusted(inset, inset, -inset, -inset), radius, radius)


def badge_width(words: str, dot: bool = False, px: float = 11) -> float:
    """Width that ``badge`` takes."""
    return round(width_of(words, font(px, 600))) + 16 + (10 if dot else 0)


def badge(
    p: QPainter, x: float, middle: float, words: str, tone: str, *,
    solid: bool = False, dot: bool = False, height: float = BADGE_H, px: float = 11,
) -> float:  # fmt: skip
    """A badge with its left edge at ``x``; the result is its width. Solid is for a mode or an alarm."""
    wide = badge_width(words, dot, px)
    box = QRectF(x, round(middle - height / 2), wide, height)
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    ink = tone
    if solid:
        fill(p, box, tone, 1.0, 4)
        ink = "onWarn" if tone == "warn" else "onFill"
    else:
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(theme.tint(tone))
        p.drawRoundedRect(box, 4, 4)
        outline(p, box, tone, TINT_EDGE, 4)
    left = box.left() + 8
    if dot:
        p.setPen(Qt.PenStyle.NoPen)
        p.setBrush(theme.color(ink))
        p.drawEllipse(QPointF(left + 2.5, middle), 2.5, 2.5)
        left += 10
    text(p, QRectF(left, box.top(), wide, height), words, font(px, 600), ink, elide=False)
    return wide


def triangle(p: QPainter, x: float, middle: float, up: bool, token: str, half: float = 4.5) -> None:
    """The arrow of a change; it takes ``2 * half`` from ``x`` on."""
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(theme.color(token))
    top, bottom = (middle - half * 0.9, middle + half * 0.8)
    if up:
        points = [QPointF(x, bottom), QPointF(x + 2 * half, bottom), QPointF(x + half, top)]
    else:
        points = [QPointF(x, top), QPointF(x + 2 * half, top), QPointF(x + half, bottom)]
    p.drawPolygon(QPolygonF(points))


def bar(
    p: QPainter, box: QRectF, share: float | None, token: str = "accent", track: str = "bg3", alpha: float = 1.0
) -> None:
    """A bar with round ends, filled from the left by ``share`` of 0..1."""
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    radius = box.height() / 2
    fill(p, box, track, 1.0, radius)
    if share is not None and share > 0:
        wide = max(box.height(), min(1.0, share) * box.width())
        fill(p, QRectF(box.left(), box.top(), wide, box.height()), token, alpha, radius)


def icon(p: QPainter, x: float, middle: float, name: str, token: str, size: int = 14) -> None:
    """An icon with its left edge at ``x``."""
    device = p.device()
    ratio = device.devicePixelRatioF() if device is not None else 1.0
    p.drawPixmap(QPointF(round(x), round(middle - size / 2)), pixmap(name, token, size, ratio))


def money_token(value: float | None) -> str:
    """``profit``, ``loss``, or ``text2`` for nothing."""
    if value is None or value != value or abs(value) < 1e-12:
        return "text2"
    return "profit" if value > 0 else "loss"
