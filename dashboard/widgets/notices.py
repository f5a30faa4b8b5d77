"""Notices at the lower right, and the dialog that asks once."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QEvent, QObject, QRectF, Qt, QTimer
from PyQt6.QtGui import QColor, QPainter, QPaintEvent
from PyQt6.QtWidgets import QDialog, QGraphicsDropShadowEffect, QHBoxLayout, QVBoxLayout, QWidget

from dashboard import numbers, painting
from dashboard.theme import MARGIN, TRAY_H, theme
from dashboard.widgets.cards import label
from dashboard.widgets.controls import Button, level_tone
from dashboard.widgets.tray import IconView

WIDE, STAY_MS, MOST, BUTTON = 360, 8000, 4, 30
ICONS = {"ok": "done", "info": "info", "warn": "warn", "bad": "bad"}


def shadow(widget: QWidget) -> None:
    """The shadow of what floats: 0 8 24."""
    effect = QGraphicsDropShadowEffect(widget)
    effect.setBlurRadius(24)
    effect.setOffset(0, 8)
    effect.setColor(QColor(0, 0, 0, 102 if theme.dark else 31))
    widget.setGraphicsEffect(effect)


class Notice(QWidget):
    """One notice: tone edge, icon, title, sentence, time, at most one action and Dismiss."""

    def __init__(
        self, level: str, title: str, sentence: str, at: str, action: str = "", act: Callable[[], object] | None = None
    ) -> None:
        super().__init__()
        self.level, self.title_words, self.sentence_words = level, title, sentence
        title, sentence = numbers.typeset(title), numbers.typeset(sentence)
        self.setFixedWidth(WIDE)
        row = QHBoxLayout(self)
        row.setContentsMargins(17, 11, 12, 11)
        row.setSpacing(10)
        row.addWidget(IconView(ICONS.get(level, "info"), level_tone(level), 16), 0, Qt.AlignmentFlag.AlignTop)
        words = QVBoxLayout()
        words.setSpacing(4)
        top = QHBoxLayout()
        heading = label(title, 13, 600, wrap=True)
        top.addWidget(heading, 1)
        top.addWidget(label(at, 11, 400, "text3"), 0, Qt.AlignmentFlag.AlignTop)
        words.addLayout(top)
        words.addWidget(label(sentence, 12, 400, "text2", wrap=True))
        buttons = QHBoxLayout()
        buttons.setSpacing(8)
        if action and act is not None:
            go = Button(action, height=26)
            go.clicked.connect(lambda: act())
            go.clicked.connect(self.dismiss)
            buttons.addWidget(go)
        leave = Button("Dismiss", "ghost", height=26)
        leave.clicked.connect(self.dismiss)
        buttons.addWidget(leave)
        buttons.addStretch(1)
        words.addLayout(buttons)
        row.addLayout(words, 1)
        shadow(self)

    def dismiss(self) -> None:
        """Take it away."""
        stack = self.parent()
        self.hide()
        self.deleteLater()
        if isinstance(stack, NoticeStack):
            stack.drop(self)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        box = QRectF(self.rect())
        painting.fill(p, box, "bg2", 1.0, 8)
        painting.outline(p, box, "line2", 1.0, 8)
        painting.fill(p, QRectF(0, 8, 3, box.height() - 16), level_tone(self.level), 1.0, 1.5)


class NoticeStack(QWidget):
    """Stacks notices over the lower right of a window; errors stay until they are read."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self._over = over
        self.notices: list[Notice] = []
        self.setFixedWidth(WIDE + 16)
        over.installEventFilter(self)
        self.hide()

    def eventFilter(self, a0: QObject | None, a1: QEvent | None) -> bool:
        if a1 is not None and a1.type() == QEvent.Type.Resize:
            self._place()
        return super().eventFilter(a0, a1)

    def add(
        self, level: str, title: str, sentence: str, at_ms: int | None = None, action: str = "",
        act: Callable[[], object] | None = None,
    ) -> Notice:  # fmt: skip
        """Show one; the oldest that is no error makes room."""
        same = next((n for n in self.notices if (n.title_words, n.sentence_words) == (title, sentence)), None)
        if same is not None:
            return same
        while len(self.notices) >= MOST:
            old = next((n for n in self.notices if n.level != "bad"), self.notices[0])
            old.dismiss()
        notice = Notice(level, title, sentence, numbers.clock(at_ms) if at_ms is not None else "", action, act)
        notice.setParent(self)
        self.notices.append(notice)
        notice.show()
        self._place()
        if level != "bad":
            timer = QTimer(notice)
            timer.setSingleShot(True)
            timer.timeout.connect(notice.dismiss)
            timer.start(STAY_MS)
        return notice

    def drop(self, notice: Notice) -> None:
        """Forget one that went away."""
        if notice in self.notices:
            self.notices.remove(notice)
        self._place()

    def _place(self) -> None:
        if not self.notices:
            self.hide()
            return
        y = 8
        for notice in self.notices:
            notice.adjustSize()
            tall = max(notice.sizeHint().height(), notice.heightForWidth(WIDE))
            notice.setGeometry(8, y, WIDE, tall)
            y += tall + 8
        self.setFixedHeight(y + 8)
        self.move(self._over.width() - self.width() - MARGIN + 8, self._over.height() - TRAY_H - 8 - self.height())
        self.show()
        self.raise_()


class AskOnce(QDialog):
    """A decision that is owed: a sentence, a way back, and the act (Enter)."""

    def __init__(self, over: QWidget, title: str, sentence: str, act: str, stay: str, *, alarm: bool) -> None:
        super().__init__(over)
        self.setWindowTitle(title)
        self.setModal(True)
        self.setWindowFlag(Qt.WindowType.FramelessWindowHint, True)
        self.setAttribute(Qt.WidgetAttribute.WA_TranslucentBackground)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(400)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(10)
        top = QHBoxLayout()
        top.setSpacing(10)
        top.addWidget(IconView("alarm" if alarm else "info", "danger" if alarm else "accent", 18))
        top.addWidget(label(title, 15, 600), 1)
        column.addLayout(top)
        column.addWidget(label(sentence, 13, 400, "text2", wrap=True))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addStretch(1)
        self.stay_button, self.act_button = Button(stay), Button(act, "stop" if alarm else "primary", height=BUTTON)
        self.act_button.keys = "· Enter"
        self.stay_button.clicked.connect(self.reject)
        self.act_button.clicked.connect(self.accept)
        row.addWidget(self.stay_button)
        row.addWidget(self.act_button)
        column.addSpacing(4)
        column.addLayout(row)

    def keyPressEvent(self, a0: object) -> None:
        key = getattr(a0, "key", lambda: 0)()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.accept()
        elif key == Qt.Key.Key_Escape:
            self.reject()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, QRectF(self.rect()), "bg2", 1.0, 8)
        painting.outline(p, QRectF(self.rect()), "line3", 1.0, 8)
