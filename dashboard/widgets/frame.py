"""The tab bar with its search field, the banner over the tabs, and the frame that marks live mode."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QRectF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PyQt6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from dashboard import painting
from dashboard.theme import MARGIN, NARROW, TABS_H, font, theme
from dashboard.widgets.cards import Elided
from dashboard.widgets.controls import Button
from dashboard.widgets.tray import IconView


class TabBar(QWidget):
    """Words only; the chosen one underlined in accent. The search field stands at the right."""

    chosen = pyqtSignal(int)
    search = pyqtSignal()

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__()
        self._titles = tuple(titles)
        self.at = 0
        self._hover = -1
        self.setFixedHeight(TABS_H)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_tab(self, at: int) -> None:
        """Underline this one."""
        self.at = at
        self.update()

    def _gap(self) -> float:
        return 28.0 if self.width() >= NARROW else 20.0

    def places(self) -> list[QRectF]:
        """Where each title stands."""
        found, x = [], float(MARGIN + 4)
        for title in self._titles:
            wide = painting.width_of(title, font(13, 500))
            found.append(QRectF(x, 0, wide, TABS_H))
            x += wide + self._gap()
        return found

    def field(self) -> QRectF:
        """Where the search field stands."""
        wide = 250.0 if self.width() >= NARROW else 150.0
        return QRectF(self.width() - wide - MARGIN, 7, wide, TABS_H - 14)

    def minimumSizeHint(self) -> QSize:
        return QSize(900, TABS_H)

    def _find(self, x: float) -> int:
        return next((i for i, box in enumerate(self.places()) if box.left() - 10 <= x <= box.right() + 10), -1)

    def mousePressEvent(self, a0: QMouseEvent | None) -> None:
        if a0 is None:
            return
        if self.field().contains(a0.position()):
            self.search.emit()
        elif (at := self._find(a0.position().x())) >= 0:
            self.chosen.emit(at)

    def mouseMoveEvent(self, a0: QMouseEvent | None) -> None:
        if a0 is not None:
            self._hover = self._find(a0.position().x())
            over = self._hover >= 0 or self.field().contains(a0.position())
            self.setCursor(Qt.CursorShape.PointingHandCursor if over else Qt.CursorShape.ArrowCursor)
            self.update()

    def leaveEvent(self, _a0: object) -> None:
        self._hover = -1
        self.update()

    def keyPressEvent(self, a0: QKeyEvent | None) -> None:
        key = a0.key() if a0 is not None else 0
        step = -1 if key == Qt.Key.Key_Left else 1 if key == Qt.Key.Key_Right else 0
        if step:
            self.chosen.emit((self.at + step) % len(self._titles))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.fillRect(self.rect(), theme.color("bg1"))
        p.fillRect(0, self.height() - 1, self.width(), 1, theme.color("line"))
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        for i, (title, box) in enumerate(zip(self._titles, self.places(), strict=True)):
            picked = i == self.at
            ink = "text" if picked else "text2" if i == self._hover else "text3"
            painting.text(p, box, title, font(13, 600 if picked else 500), ink, elide=False)
            if picked:
                under = QRectF(box.left() - 2, TABS_H - 3, box.width() + 4, 2.5)
                painting.fill(p, under, "accent", 1.0, 1.2)
                if self.hasFocus():
                    painting.outline(p, box.adjusted(-6, 8, 6, -8), "accent", 1, 4, 1)
        box = self.field()
        painting.fill(p, box, "inset", 1.0, 6)
        painting.outline(p, box, "line2", 1.0, 6)
        painting.icon(p, box.left() + 9, box.center().y(), "search", "text3", 13)
        words = "Symbol, tab or command" if box.width() > 200 else "Search"
        painting.text(p, box.adjusted(29, 0, -46, 0), words, font(12), "text3")
        painting.text(p, box.adjusted(0, 0, -9, 0), "Ctrl K", font(11, 500), "text3", painting.RIGHT)


class Banner(QWidget):
    """One plain sentence with what to do about it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(38)
        row = QHBoxLayout(self)
        row.setContentsMargins(MARGIN + 2, 0, MARGIN, 0)
        row.setSpacing(10)
        self.words = Elided("", 12, 500, "text")
        self.import_button = Button("Import files…", icon="download", height=26)
        self.exchange_button = Button("Use exchange data", height=26)
        row.addWidget(IconView("flask", "warn", 16))
        row.addWidget(self.words, 1)
        row.addWidget(self.import_button)
        row.addWidget(self.exchange_button)
        self.hide()

    def say(self, sentence: str) -> None:
        """Show a sentence; an empty one hides the banner."""
        self.words.show_words(sentence)
        self.setVisible(bool(sentence))

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.fillRect(self.rect(), theme.color("bg1"))
        p.fillRect(self.rect(), theme.color("warn", 0.09))
        p.fillRect(0, self.height() - 1, self.width(), 1, theme.color("warn", 0.34))


class LiveFrame(QWidget):
    """A red frame round the whole window while real money trades; it breathes once in two seconds."""

    def __init__(self, over: QWidget) -> None:
        super().__init__(over)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.strength = 1.0
        self.hide()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painting.outline(QPainter(self), QRectF(self.rect()), "dangerFill", self.strength, 0, 3)
