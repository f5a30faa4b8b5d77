"""Limits that have tightened: the line that says so, and the dialog that sets them back."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, pyqtSignal
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QHBoxLayout, QLineEdit, QWidget

from app.contract.commands import LoosenLimits
from app.contract.risk_views import TighteningView
from dashboard import numbers, painting
from dashboard.bridge import Bridge
from dashboard.widgets.cards import Elided
from dashboard.widgets.controls import Button
from dashboard.widgets.forms import FormDialog
from dashboard.widgets.tray import IconView


def tightened_words(view: TighteningView) -> str:
    """What is left of the limits, since when and why."""
    left = numbers.percent(view.left, 0)
    since = f" since {numbers.day_clock(view.since_ms)}" if view.since_ms is not None else ""
    return f"Limits at {left}{since}: {numbers.typeset(view.why)}."


class TighteningBar(QWidget):
    """Hidden while every limit is as set."""

    loosen = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(36)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 0, 5, 0)
        row.setSpacing(8)
        self.words = Elided("", 12, 500, "text")
        self.button = Button("Loosen…", height=26)
        self.button.clicked.connect(lambda: self.loosen.emit())
        row.addWidget(IconView("warn", "warn", 15))
        row.addWidget(self.words, 1)
        row.addWidget(self.button)
        self.hide()

    def show_view(self, view: TighteningView | None) -> None:
        """Change what it says."""
        tight = view is not None and view.left < 1.0
        self.setVisible(tight)
        if view is not None and tight:
            self.words.show_words(tightened_words(view))
            self.button.block(view.blocked, view.who)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        box = QRectF(self.rect())
        painting.fill(p, box, "warn", 0.09, 6)
        painting.outline(p, box, "warn", 0.34, 6)


class LoosenDialog(FormDialog):
    """Asks for the reason; says who may, and what is kept of it."""

    def __init__(self, over: QWidget, bridge: Bridge, view: TighteningView) -> None:
        self.reason = QLineEdit()
        self.reason.setPlaceholderText("what you looked at, and why it is safe")
        self.reason.setFixedWidth(300)
        sentence = f"{tightened_words(view)} From the next bar on they are as set again. {view.who}"
        super().__init__(over, bridge, "Loosen the limits?", sentence, "Loosen", (("Reason", self.reason),))
        self.reason.textChanged.connect(lambda _: self._ready())
        self.reason.returnPressed.connect(self.go.click)
        self.reason.setFocus()
        self._ready()

    def _ready(self) -> None:
        self.go.block("" if self.reason.text().strip() else "Say why first: the reason goes into the audit.")

    def command(self) -> LoosenLimits:
        return LoosenLimits(self.reason.text().strip())
