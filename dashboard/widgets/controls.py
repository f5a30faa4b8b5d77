"""Buttons, segments, switches, badges and pickers, painted from the tokens."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QAbstractButton, QComboBox, QSizePolicy, QWidget

from dashboard import painting
from dashboard.theme import font

BUTTON_H, TOOL_H, STRIP_BUTTON_H = 30, 28, 34


class Button(QAbstractButton):
    """A button of one kind: ``primary``, ``default``, ``ghost``, ``danger`` (outline), ``stop`` (solid), ``link``."""

    def __init__(
        self, words: str, kind: str = "default", icon: str = "", keys: str = "", height: int = BUTTON_H
    ) -> None:
        super().__init__()
        self.kind, self.icon_name, self.keys, self.tall = kind, icon, keys, height
        self.compact = False  # icon only
        self.setText(words)
        self.setAccessibleName(words)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setAttribute(Qt.WidgetAttribute.WA_Hover)

    def block(self, why: str, tip: str = "") -> None:
        """Disable with a reason (shown in the tip), or enable where ``why`` is empty."""
        self.setEnabled(not why)
        self.setToolTip(why or tip)

    def set_compact(self, compact: bool) -> None:
        """Show the icon only."""
        self.compact = compact
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        if self.kind == "link":
            return QSize(round(painting.width_of(self.text(), font(12, 500))) + 2, 20)
        pad = 11 if self.tall < STRIP_BUTTON_H else 12
        wide = 2 * pad + (16 if self.icon_name else 0)
        if self.compact and self.icon_name:
            return QSize(self.tall, self.tall)
        wide += round(painting.width_of(self.text(), font(12, 600 if self.kind != "ghost" else 500)))
        if self.keys:
            wide += 8 + round(painting.width_of(self.keys, font(12, 600)))
        return QSize(wide + (4 if self.kind == "stop" else 0), self.tall)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def _ground(self) -> tuple[str, str, str]:
        """Fill, edge and ink tokens for the state; an empty token paints nothing."""
        hover, down = self.underMouse() and self.isEnabled(), self.isDown()
        if self.kind == "primary":
            return "accentFill", "", "onFill"
        if self.kind == "stop":
            return ("dangerPressed" if down else "dangerHover" if hover else "dangerFill"), "", "onFill"
        if self.kind == "ghost":
            return ("bg3" if hover else ""), "", "text2"
        if self.kind == "danger":
            return ("bg3" if hover else ""), "danger", "danger"
        return ("bg3" if hover or down else "bg2"), ("line3" if hover else "line2"), "text"

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        box = QRectF(self.rect())
        if self.kind == "link":
            painting.text(p, box, self.text(), font(12, 500), "accent" if self.isEnabled() else "text3")
            if self.hasFocus():
                painting.outline(p, box, "accent", 1, 3, 1)
            return
        ground, edge, ink = self._ground()
        if not self.isEnabled():
            p.setOpacity(0.6)
            ground, edge, ink = ("bg1" if self.kind != "ghost" else ""), "line2", "text3"
        if ground:
            painting.fill(p, box, ground, 1.0, 6)
        if edge:
            painting.outline(p, box, edge, 0.6 if edge == "danger" else 1.0, 6)
        if self.hasFocus():
            painting.outline(p, box, "accent" if self.kind != "primary" else "onFill", 1, 6, 2)
        self._words(p, box, ink)

    def _words(self, p: QPainter, box: QRectF, ink: str) -> None:
        face = font(12, 600 if self.kind != "ghost" else 500)
        wide = 0.0 if self.compact and self.icon_name else painting.width_of(self.text(), face)
        gap = 6.0 if wide else 0.0
        keys = painting.width_of(self.keys, font(12, 600)) + 8 if self.keys else 0.0
        icon = 12.0 if self.icon_name else 0.0
        x = box.center().x() - (icon + (gap if icon else 0) + wide + keys) / 2
        if self.icon_name:
            painting.icon(p, x, box.center().y(), self.icon_name, ink, 12)
            x += icon + gap
        if wide:
            painting.text(p, QRectF(x, 0, wide + 2, box.height()), self.text(), face, ink, elide=False)
        if self.keys:
            rest = QRectF(x + wide + 8, 0, keys, box.height())
            painting.text(p, rest, self.keys, font(12, 600), ink, elide=False)


class Segments(QWidget):
    """One of a few choices, side by side."""

    chosen = pyqtSignal(str)

    def __init__(self, choices: Sequence[str], current: str = "", height: int = TOOL_H) -> None:
        super().__init__()
        self._choices = list(choices)
        self.current = current or (self._choices[0] if self._choices else "")
        self._tall = height
        self._hover = -1
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def choices(self) -> tuple[str, ...]:
        """What can be chosen."""
        return tuple(self._choices)

    def offer(self, choices: Sequence[str]) -> None:
        """Change what can be chosen."""
        if list(choices) != self._choices:
            self._choices = list(choices)
            self.updateGeometry()
            self.update()

    def choose(self, name: str, *, tell: bool = True) -> None:
        """Make ``name`` the choice; ``tell``: emit ``chosen``."""
        if name in self._choices and name != self.current:
            self.current = name
            self.update()
            if tell:
                self.chosen.emit(name)

    def _widths(self) -> list[int]:
        return [round(painting.width_of(c, font(12, 600))) + 20 for c in self._choices]

    def sizeHint(self) -> QSize:
        return QSize(sum(self._widths()) + 4, self._tall)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def _at(self, x: float) -> int:
        left = 2
        for i, wide in enumerate(self._widths()):
            if left <= x < left + wide:
                return i
            left += wide
        return -1

    def mousePressEvent(self, a0: QMouseEvent | None) -> None:
        if a0 is not None and (i := self._at(a0.position().x())) >= 0:
            self.choose(self._choices[i])

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        if a0 is not None:
            self._hover = self._at(a0.position().x())
            self.update()

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        key = a0.key() if a0 is not None else 0
        step = -1 if key == Qt.Key.Key_Left else 1 if key == Qt.Key.Key_Right else 0
        if step and self.current in self._choices:
            self.choose(self._choices[(self._choices.index(self.current) + step) % len(self._choices)])

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, QRectF(self.rect()), "inset", 1.0, 6)
        painting.outline(p, QRectF(self.rect()), "accent" if self.hasFocus() else "line2", 1.0, 6)
        x = 2.0
        for i, (name, wide) in enumerate(zip(self._choices, self._widths(), strict=True)):
            box = QRectF(x, 2, wide, self.height() - 4)
            picked = name == self.current
            if picked:
                painting.fill(p, box, "bg3", 1.0, 5)
            ink = "text" if picked else "text2" if i == self._hover else "text3"
            painting.text(p, box, name, font(12, 600 if picked else 500), ink, painting.CENTER, elide=False)
            x += wide


class Switch(QAbstractButton):
    """An on/off switch with its name beside it."""

    def __init__(self, words: str, on: bool = True) -> None:
        super().__init__()
        self.setText(words)
        self.setCheckable(True)
        self.setChecked(on)
        self.setAccessibleName(words)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        words = round(painting.width_of(self.text(), font(12, 500)))
        return QSize(28 + (8 + words if words else 0), TOOL_H)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        if not self.isEnabled():
            p.setOpacity(0.6)
        middle = self.height() / 2
        painting.fill(p, QRectF(0, middle - 7, 26, 14), "accentFill" if self.isChecked() else "line3", 1.0, 7)
        painting.fill(p, QRectF(14 if self.isChecked() else 2, middle - 5, 10, 10), "onFill", 1.0, 5)
        if self.hasFocus():
            painting.outline(p, QRectF(-1, middle - 8, 28, 16), "accent", 1, 8, 1)
        painting.text(p, QRectF(34, 0, self.width(), self.height()), self.text(), font(12, 500), "text2", elide=False)


class Badge(QWidget):
    """A badge on its own."""

    def __init__(self, words: str = "", tone: str = "text2", *, solid: bool = False, dot: bool = False) -> None:
        super().__init__()
        self.words, self.tone, self.solid, self.dot = words, tone, solid, dot
        self.tall, self.px = painting.BADGE_H, 11
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setVisible(bool(words))

    def show_words(self, words: str, tone: str, *, solid: bool = False, dot: bool = False) -> None:
        """Change what it says; empty words hide it."""
        if (words, tone, solid, dot) == (self.words, self.tone, self.solid, self.dot):
            return
        grew = words != self.words or dot != self.dot
        self.words, self.tone, self.solid, self.dot = words, tone, solid, dot
        self.setVisible(bool(words))
        if grew:
            self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(round(painting.badge_width(self.words, self.dot, self.px)), self.tall)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        painting.badge(
            p, 0, self.height() / 2, self.words, self.tone,
            solid=self.solid, dot=self.dot, height=self.tall, px=self.px,
        )  # fmt: skip


class Picker(QComboBox):
    """A drop-down list with its caret drawn."""

    def __init__(self, choices: Sequence[str] = (), width: int = 130) -> None:
        super().__init__()
        self.addItems(list(choices))
        self.setFixedWidth(width)
        self.setFont(font(12, 600))

    def offer(self, choices: Sequence[str], current: str) -> None:
        """Change the list without telling; ``current`` stays chosen."""
        if [self.itemText(i) for i in range(self.count())] != list(choices):
            self.blockSignals(True)
            self.clear()
            self.addItems(list(choices))
            self.blockSignals(False)
        if self.currentText() != current:
            self.blockSignals(True)
            self.setCurrentText(current)
            self.blockSignals(False)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        super().paintEvent(_event)
        painting.icon(QPainter(self), self.width() - 20, self.height() / 2, "down", "text3", 12)


def level_tone(level: str) -> str:
    """Colour token of a contract level."""
    return {"ok": "profit", "warn": "warn", "bad": "danger", "info": "accent"}.get(level, "idle")
