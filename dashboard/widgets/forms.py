"""A dialog that asks for a few things and sends one command; a refusal is said in it and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QVBoxLayout, QWidget

from app.contract.commands import Command, Outcome
from dashboard.bridge import Bridge
from dashboard.widgets.cards import label
from dashboard.widgets.controls import Button

WIDE = 460


class FormDialog(QDialog):
    """Title, a sentence, rows of caption and field, Cancel and one button that acts."""

    def __init__(
        self, over: QWidget, bridge: Bridge, title: str, sentence: str, act: str,
        rows: Sequence[tuple[str, QWidget]],
    ) -> None:  # fmt: skip
        super().__init__(over)
        self._bridge = bridge
        self.setWindowTitle(title)
        self.setModal(True)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(WIDE)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(12)
        column.addWidget(label(title, 15, 600))
        column.addWidget(label(sentence, 13, 400, "text2", wrap=True))
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        for row, (caption, field) in enumerate(rows):
            grid.addWidget(label(caption, 12, 400, "text2"), row, 0)
            grid.addWidget(field, row, 1, Qt.AlignmentFlag.AlignLeft)
        grid.setColumnStretch(1, 1)
        column.addLayout(grid)
        self.refused = label("", 12, 400, "danger", wrap=True)
        self.refused.hide()
        column.addWidget(self.refused)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        self.leave, self.go = Button("Cancel", "ghost"), Button(act, "primary")
        buttons.addWidget(self.leave)
        buttons.addWidget(self.go)
        column.addLayout(buttons)
        self.leave.clicked.connect(self.reject)
        self.go.clicked.connect(lambda: self._bridge.send(self.command(), self._done))

    def command(self) -> Command:
        """What the fields ask for."""
        raise NotImplementedError

    def _done(self, outcome: Outcome) -> None:
        if outcome.ok:
            self._bridge.told.emit(outcome)
            self.accept()
        else:
            self.refused.setText(outcome.sentence)
            self.refused.show()
