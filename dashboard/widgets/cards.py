"""Cards: the plain one with a title row, the metric card with its sparkline, labels, the empty view, the verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QLinearGradient, QPainter, QPaintEvent, QPen, QPolygonF, QResizeEvent
from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.contract.results import Score
from app.contract.views import FloatArray, MetricCard
from dashboard import numbers, painting
from dashboard.theme import PAD, PAD_TOP, font, theme
from dashboard.widgets.controls import Badge, Button, level_tone


def label(words: str = "", px: float = 12, weight: int = 400, tone: str = "text", *, wrap: bool = False) -> QLabel:
    """A line of text in a tone of the sheet."""
    made = QLabel(words)
    made.setFont(font(px, weight))
    made.setProperty("tone", tone)
    made.setWordWrap(wrap)
    if not wrap:
        made.setSizePolicy(QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Fixed)
    return made


def set_tone(item: QLabel, tone: str) -> None:
    """Change the colour of a label."""
    if item.property("tone") != tone:
        item.setProperty("tone", tone)
        style = item.style()
        if style is not None:
            style.unpolish(item)
            style.polish(item)


class Elided(QWidget):
    """One line of text that is cut with dots where there is no room; the tip holds it whole."""

    def __init__(self, words: str = "", px: float = 12, weight: int = 400, tone: str = "text3") -> None:
        super().__init__()
        self.words, self.tone, self._face = words, tone, font(px, weight)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(round(px * 1.5))

    def show_words(self, words: str, tone: str | None = None) -> None:
        """Change the text."""
        if words != self.words or (tone and tone != self.tone):
            self.words, self.tone = words, tone or self.tone
            self.setToolTip(words)
            self.update()

    def sizeHint(self) -> QSize:
        return QSize(round(painting.width_of(self.words, self._face)) + 2, self.height())

    def minimumSizeHint(self) -> QSize:
        return QSize(30, self.height())

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painting.text(QPainter(self), QRectF(self.rect()), self.words, self._face, self.tone)


class Card(QFrame):
    """A card: title, subtitle, controls at the right, body below."""

    def __init__(self, title: str = "", subtitle: str = "") -> None:
        super().__init__()
        self.setMinimumSize(60, 40)
        self.column = QVBoxLayout(self)
        self.column.setContentsMargins(PAD, PAD_TOP, PAD, PAD_TOP)
        self.column.setSpacing(8)
        self.head = QHBoxLayout()
        self.head.setSpacing(10)
        self.title = label(title, 13, 600)
        self.subtitle = label(subtitle, 12, 400, "text3")
        self.head.addWidget(self.title)
        self.head.addWidget(self.subtitle)
        self.head.addStretch(1)
        if title:
            self.column.addLayout(self.head)
        self._empty: EmptyView | None = None
        self._bodies: list[QWidget] = []

    def control(self, *widgets: QWidget) -> None:
        """Put controls at the right of the title row."""
        for widget in widgets:
            self.head.addWidget(widget)

    def body(self, widget: QWidget, stretch: int = 1) -> None:
        """Add to the body."""
        self.column.addWidget(widget, stretch)
        self._bodies.append(widget)

    def empty(self, view: EmptyView) -> None:
        """What stands in the body while there is nothing to show."""
        self._empty = view
        view.hide()
        self.column.addWidget(view, 1)

    def show_empty(self, is_empty: bool) -> None:
        """Swap the body and the empty view."""
        if self._empty is not None:
            for body in self._bodies:
                body.setVisible(not is_empty)
            self._empty.setVisible(is_empty)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        box = QRectF(self.rect())
        painting.fill(p, box, "bg1", 1.0, 8)
        painting.outline(p, box, "line", 1.0, 8)


class EmptyView(QWidget):
    """Icon, title, one sentence, one button: what fills this place."""

    def __init__(
        self, icon: str, title: str, sentence: str, button: str = "", act: Callable[[], object] | None = None
    ) -> None:
        super().__init__()
        self._icon = icon
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 44, 16, 8)
        column.setSpacing(6)
        column.addStretch(1)
        self.title = label(title, 14, 600)
        self.sentence = label(sentence, 12, 400, "text2", wrap=True)
        for item in (self.title, self.sentence):
            item.setAlignment(Qt.AlignmentFlag.AlignCenter)
            column.addWidget(item)
        self.button: Button | None = None
        if button and act is not None:
            self.button = Button(button, "primary")
            self.button.clicked.connect(lambda: act())
            column.addSpacing(6)
            column.addWidget(self.button, 0, Qt.AlignmentFlag.AlignCenter)
        column.addStretch(1)
        self.setMinimumSize(100, 60)

    def say(self, title: str, sentence: str) -> None:
        """Change the words."""
        self.title.setText(title)
        self.sentence.setText(sentence)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        top = self.title.y() - 26
        painting.icon(p, self.width() / 2 - 18, top, self._icon, "line3", 36)


def sparkline(p: QPainter, box: QRectF, series: FloatArray, token: str, reference: float | None) -> None:
    """A line to the bottom of its box with a fading ground and a dot on the last value."""
    values = series[np.isfinite(series)]
    if values.size < 2:
        return
    if values.size > 2 * box.width():
        step = values.size / (2 * box.width())
        values = values[(np.arange(0, values.size - 1, step)).astype(np.int64)]
    low, high = float(values.min()), float(values.max())
    if reference is not None:
        low, high = min(low, reference), max(high, reference)
    reach = (high - low) or 1.0
    x = box.left() + np.linspace(0, box.width() - 4, values.size)
    y = box.bottom() - 3 - (values - low) / reach * (box.height() - 6)
    p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
    line = QPolygonF([QPointF(a, b) for a, b in zip(x.tolist(), y.tolist(), strict=True)])
    ground = QPolygonF(line)
    ground.append(QPointF(float(x[-1]), box.bottom()))
    ground.append(QPointF(float(x[0]), box.bottom()))
    shade = QLinearGradient(0, box.top(), 0, box.bottom())
    top, clear = QColor(theme.color(token, 0.22)), QColor(theme.color(token, 0.0))
    shade.setColorAt(0, top)
    shade.setColorAt(1, clear)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(shade)
    p.drawPolygon(ground)
    if reference is not None:
        at = round(box.bottom() - 3 - (reference - low) / reach * (box.height() - 6)) + 0.5
        p.setPen(QPen(theme.color("line3"), 1, Qt.PenStyle.DotLine))
        p.drawLine(QPointF(box.left(), at), QPointF(box.right(), at))
    p.setPen(QPen(theme.color(token), 1.5))
    p.setBrush(Qt.BrushStyle.NoBrush)
    p.drawPolyline(line)
    p.setPen(Qt.PenStyle.NoPen)
    p.setBrush(theme.color(token))
    p.drawEllipse(line[line.count() - 1], 2.6, 2.6)


def zero_bars(p: QPainter, box: QRectF, series: FloatArray) -> None:
    """Bars around zero, profit and loss coloured; the last ones that fit."""
    values = series[np.isfinite(series)][-max(1, int(box.width() // 5)) :]
    if values.size == 0:
        return
    top = float(np.abs(values).max()) or 1.0
    middle, pitch = round(box.center().y()), box.width() / max(values.size, 24)
    p.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    for i, value in enumerate(values.tolist()):
        tall = max(1.0, abs(value) / top * (box.height() / 2 - 2))
        x = round(box.left() + i * pitch)
        y = middle - round(tall) if value > 0 else middle
        painting.fill(p, QRectF(x, y, max(2, round(pitch * 0.62)), round(tall)), painting.money_token(value))


class MetricCardView(QWidget):
    """Caption, value with unit, change and limit, sparkline."""

    def __init__(self) -> None:
        super().__init__()
        self.card: MetricCard | None = None
        self.setMinimumSize(140, 118)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(126)

    def show_card(self, card: MetricCard) -> None:
        """Change what it shows."""
        self.card = card
        self.setToolTip(card.tip)
        self.setAccessibleName(f"{card.title} {self.value_words()}")
        self.update()

    def value_words(self) -> str:
        """The value as it is written."""
        if self.card is None:
            return ""
        unit = "ratio" if self.card.unit == "USDT" else self.card.unit
        share = unit == "fraction" and not self.card.signed and abs(self.card.value or 0.0) >= 0.1
        return numbers.measured(self.card.value, unit, signed=self.card.signed, digits=1 if share else None)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        box = QRectF(self.rect())
        painting.fill(p, box, "bg1", 1.0, 8)
        painting.outline(p, box, "line", 1.0, 8)
        card = self.card
        if card is None:
            return
        left, wide = PAD, box.width() - 2 * PAD
        painting.text(p, QRectF(left, 10, wide, 18), card.title, font(12, 500), "text2")
        tone = painting.money_token(card.value) if card.signed else "text"
        tone = "text" if tone == "text2" else tone
        drawn = painting.text(p, QRectF(left, 27, wide, 30), self.value_words(), font(22, 600), tone, elide=False)
        suffix = card.suffix or ("USDT" if card.unit == "USDT" else "")
        painting.text(p, QRectF(left + drawn + 8, 29, wide - drawn - 8, 28), suffix, font(12), "text3")
        self._second_line(p, QRectF(left, 57, wide, 18), card)
        spark = QRectF(left, 78, wide, box.height() - 78 - 8)
        if card.bars:
            zero_bars(p, spark, card.series)
        else:
            sparkline(p, spark, card.series, self._line_token(card), card.reference)

    @staticmethod
    def _line_token(card: MetricCard) -> str:
        if card.key == "equity":
            return "accent"
        if card.key == "drawdown":
            return "loss"
        return painting.money_token(card.value) if card.signed and card.value else "s6"

    @staticmethod
    def _second_line(p: QPainter, box: QRectF, card: MetricCard) -> None:
        taken = painting.text(p, box, card.right, font(11), "text3", painting.RIGHT) + 8
        box = box.adjusted(0, 0, -taken, 0)
        if card.change is not None:
            tone = painting.money_token(card.change)
            if way := numbers.arrow(card.change):
                painting.triangle(p, box.left(), box.center().y(), way > 0, tone)
                box = box.adjusted(14, 0, 0, 0)
            painting.text(p, box, numbers.measured(card.change, card.change_unit, signed=True), font(12, 500), tone)
        else:
            painting.text(p, box, card.note, font(12), "text2")


class Verdict(Card):
    """Icon, one sentence in plain words, the reason, then the numbers with what each would have to be."""

    def __init__(self) -> None:
        super().__init__()
        row = QHBoxLayout()
        row.setSpacing(24)
        self._icon_room = 36
        words = QVBoxLayout()
        words.setSpacing(4)
        top = QHBoxLayout()
        top.setSpacing(10)
        top.setContentsMargins(self._icon_room - 4, 0, 0, 0)
        self.words = Elided("", 18, 600, "text")
        self.words.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.badge = Badge()
        top.addWidget(self.words)
        top.addWidget(self.badge)
        top.addStretch(1)
        self.reason = label("", 13, 400, "text2", wrap=True)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        words.addLayout(top)
        words.addWidget(self.reason, 1)
        self.scores = ScoreRow()
        row.addLayout(words, 1)
        row.addWidget(self.scores, 0)
        self.column.addLayout(row)
        self.setFixedHeight(108)
        self._level = "idle"

    def resizeEvent(self, a0: QResizeEvent | None) -> None:
        super().resizeEvent(a0)
        self.scores.setMaximumWidth(round(self.width() * 0.46))

    def say(self, words: str, level: str, badge: str, reason: str, scores: Sequence[Score]) -> None:
        """Change the verdict."""
        self._level = level
        words, reason = numbers.typeset(words), numbers.typeset(reason)
        self.words.show_words(words)
        self.words.updateGeometry()
        self.badge.show_words(badge, level_tone(level) if level != "idle" else "text2")
        self.reason.setText(reason)
        self.reason.setToolTip(reason)
        self.scores.show_scores(scores)
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        super().paintEvent(_event)
        name = {"ok": "seal", "bad": "bad", "warn": "scales"}.get(self._level, "info")
        painting.icon(QPainter(self), PAD + 2, 27, name, level_tone(self._level), 20)


class ScoreRow(QWidget):
    """Scores side by side; each with its band and the threshold it met or missed. The last leave first."""

    def __init__(self) -> None:
        super().__init__()
        self._scores: tuple[Score, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def show_scores(self, scores: Sequence[Score]) -> None:
        """Change the scores."""
        self._scores = tuple(scores)
        self.setToolTip("\n".join(f"{s.label}: {s.tip}" for s in scores if s.tip))
        self.updateGeometry()
        self.update()

    @staticmethod
    def words(score: Score) -> str:
        """Value and band as written."""
        text = numbers.measured(score.value, score.unit, signed=score.signed, digits=score.digits)
        if score.value is not None and score.low is not None and score.high is not None:
            low, high = (
                numbers.measured(v, score.unit, signed=score.signed, digits=score.digits).replace(
                    numbers.NBSP + "%", ""
                )
                for v in (score.low, score.high)
            )
            text += f"  [{low}, {high}]"
        return text

    def _widths(self) -> list[float]:
        return [
            max(
                painting.width_of(self.words(s), font(14, 600)),
                painting.width_of(s.label, font(11)),
                min(painting.width_of(s.words, font(11)) + 18, 128.0),
            )
            + 20
            for s in self._scores
        ]

    def sizeHint(self) -> QSize:
        return QSize(round(sum(self._widths())), 60)

    def minimumSizeHint(self) -> QSize:
        widths = self._widths()
        return QSize(round(sum(widths[:2])), 56)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        widths = self._widths()
        shown = len(widths)
        while shown > 1 and sum(widths[:shown]) > self.width() + 20:
            shown -= 1
        x = self.width() - sum(widths[:shown]) + 20
        for score, wide in zip(self._scores[:shown], widths[:shown], strict=True):
            painting.text(p, QRectF(x, 0, wide, 18), score.label, font(11), "text3")
            painting.text(p, QRectF(x, 19, wide, 22), self.words(score), font(14, 600), "text", elide=False)
            mark = {True: ("check", "profit"), False: ("cross", "warn")}.get(score.passed)  # type: ignore[arg-type]
            at = x
            if mark and score.words:
                painting.icon(p, x, 52, mark[0], mark[1], 11)
                at += 17
            painting.text(p, QRectF(at, 43, wide - (at - x) - 14, 18), numbers.typeset(score.words), font(11), "text2")
            x += wide
