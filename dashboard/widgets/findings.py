"""Small cards of one figure each, and the card that says what a result is worth."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QSizePolicy, QWidget

from app.contract.backtest_views import Finding
from app.contract.results import Score
from app.contract.views import MetricCard
from dashboard import numbers, painting
from dashboard.theme import PAD, font, theme
from dashboard.widgets.cards import Card, ScoreRow, label
from dashboard.widgets.controls import Badge, level_tone

LINE_H, SHORT_H = 28, 21  # of a score with and without its track
ICONS = {"ok": "seal", "bad": "bad", "warn": "warn"}


class FigureCard(QWidget):
    """Caption, value, a note below."""

    def __init__(self) -> None:
        super().__init__()
        self.card: MetricCard | None = None
        self.setMinimumSize(110, 74)
        self.setFixedHeight(74)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_card(self, card: MetricCard) -> None:
        """Change what it shows."""
        self.card = card
        self.setToolTip(f"{card.tip}\n{numbers.typeset(card.note)}")
        self.setAccessibleName(f"{card.title} {self.words()}")
        self.update()

    def words(self) -> str:
        """The value as it is written."""
        card = self.card
        if card is None:
            return ""
        unit = "ratio" if card.unit == "USDT" else card.unit
        return numbers.measured(card.value, unit, signed=card.signed)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        box = QRectF(self.rect())
        painting.fill(p, box, "bg1", 1.0, 8)
        painting.outline(p, box, "line", 1.0, 8)
        card = self.card
        if card is None:
            return
        wide = box.width() - 2 * PAD
        painting.text(p, QRectF(PAD, 8, wide, 16), card.title, font(12, 500), "text2")
        tone = painting.money_token(card.value) if card.signed and card.value else "text"
        drawn = painting.text(p, QRectF(PAD, 24, wide, 26), self.words(), font(18, 600), tone, elide=False)
        if card.unit == "USDT" and card.value is not None:
            painting.text(p, QRectF(PAD + drawn + 6, 26, wide - drawn - 6, 24), "USDT", font(11), "text3")
        painting.text(p, QRectF(PAD, 50, wide, 17), numbers.typeset(card.note), font(11), "text3")


class ScoreLines(QWidget):
    """Scores below one another: name and value, what it would have to be, and the range that counts as evidence."""

    def __init__(self) -> None:
        super().__init__()
        self._scores: tuple[Score, ...] = ()
        self.setMinimumWidth(140)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)

    def show_scores(self, scores: Sequence[Score]) -> None:
        """Change the scores."""
        self._scores = tuple(scores)
        self.setAccessibleDescription("; ".join(f"{s.label} {ScoreRow.words(s)} {s.words}" for s in scores))
        self.updateGeometry()
        self.update()

    def places(self) -> list[QRectF]:
        """Where each score stands."""
        found, y = [], 0.0
        for score in self._scores:
            tall = LINE_H if score.zone is not None else SHORT_H
            found.append(QRectF(0, y, self.width(), tall))
            y += tall
        return found

    def sizeHint(self) -> QSize:
        return QSize(240, max(SHORT_H, sum(LINE_H if s.zone is not None else SHORT_H for s in self._scores)))

    def minimumSizeHint(self) -> QSize:
        return QSize(140, self.sizeHint().height())

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        point = a0.position() if a0 is not None else QPointF(-1, -1)
        found = (s.tip for s, place in zip(self._scores, self.places(), strict=True) if place.contains(point))
        self.setToolTip(next(found, ""))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for score, place in zip(self._scores, self.places(), strict=True):
            self._line(p, place, score)

    def _line(self, p: QPainter, box: QRectF, score: Score) -> None:
        head = QRectF(box.left(), box.top(), box.width(), 18)
        name = painting.text(p, head, score.label, font(12), "text2")
        value = painting.text(p, head, ScoreRow.words(score), font(12, 600), "text", painting.RIGHT)
        room = head.adjusted(name + 8, 0, -value - 10, 0)
        tone = "text3" if score.passed is None else "profit" if score.passed else "warn"
        painting.text(p, room, numbers.typeset(score.words), font(11), tone, painting.RIGHT)
        if score.zone is None:
            return
        track = QRectF(box.left(), box.top() + 19, box.width(), 5)
        painting.fill(p, track, "bg3", 1.0, 2.5)
        low, high = score.zone
        good = QRectF(track.left() + low * track.width(), track.top(), (high - low) * track.width(), track.height())
        painting.fill(p, good, "profit", 0.55, 2.5)
        if score.value is not None:
            x = track.left() + min(1.0, max(0.0, score.value)) * (track.width() - 9)
            p.setPen(Qt.PenStyle.NoPen)
            p.setBrush(theme.color("profit" if score.passed else "warn"))
            p.drawEllipse(QRectF(x, track.center().y() - 4.5, 9, 9))


class FindingCard(Card):
    """What a result is worth: a title in plain words, the reason, the numbers."""

    def __init__(self) -> None:
        super().__init__("")
        self._level = "idle"
        self.title.setFont(font(15, 600))
        self.badge = Badge()
        self.column.insertLayout(0, self.head)
        self.head.setContentsMargins(26, 0, 0, 0)
        self.control(self.badge)
        self.reason = label("", 12, 400, "text2", wrap=True)
        self.reason.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.reason.setMinimumHeight(48)
        self.scores = ScoreLines()
        self.body(self.reason, 1)
        self.body(self.scores, 0)

    def show_finding(self, finding: Finding) -> None:
        """Change what it says."""
        self._level = finding.level
        self.title.setText(finding.title)
        self.badge.show_words(finding.badge, level_tone(finding.level) if finding.level != "idle" else "text2")
        words = numbers.typeset(finding.sentence)
        self.reason.setText(words)
        self.reason.setToolTip(words)
        self.scores.show_scores(finding.scores)
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        super().paintEvent(_event)
        name = ICONS.get(self._level, "info")
        painting.icon(QPainter(self), PAD, self.title.geometry().center().y(), name, level_tone(self._level), 18)
