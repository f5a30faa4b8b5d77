"""The download dialog: which series of the exchange, from when to when."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QComboBox, QDialog, QGridLayout, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from app.contract.commands import DownloadSeries, Outcome
from dashboard.bridge import Bridge
from dashboard.importing import BARS, TIMEFRAMES
from dashboard.numbers import ticker
from dashboard.widgets.cards import label
from dashboard.widgets.controls import Button, Picker

KINDS = {
    "Candles": "ohlcv", "Mark prices": "mark", "Index prices": "index", "Funding rates": "funding",
    "Open interest, ratios": "metrics",
}  # fmt: skip
EXCHANGES = ("binanceusdm", "bybit", "okx", "weex")


class DownloadDialog(QDialog):
    """Exchange, symbol, timeframe, span; the back-fill itself runs as a job and can be cancelled and resumed."""

    def __init__(self, over: QWidget, bridge: Bridge, exchange: str, symbols: Sequence[str]) -> None:
        super().__init__(over)
        self._bridge = bridge
        self.setWindowTitle("Download market data")
        self.setModal(True)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setFixedWidth(460)
        column = QVBoxLayout(self)
        column.setContentsMargins(20, 18, 20, 18)
        column.setSpacing(12)
        column.addWidget(label("Download market data", 15, 600))
        column.addWidget(
            label("What is stored already is not asked for again; a download that was cut short goes on where it was.",
                  13, 400, "text2", wrap=True)
        )  # fmt: skip
        self.exchange, self.kind, self.frame = Picker(EXCHANGES, 150), Picker(tuple(KINDS), 190), Picker(TIMEFRAMES, 90)
        self.symbol = QComboBox()
        self.symbol.setEditable(True)
        self.symbol.addItems([ticker(s) for s in symbols])
        self.symbol.setFixedWidth(150)
        self.since, self.until = QLineEdit(), QLineEdit()
        self.since.setPlaceholderText("2024-01-01")
        self.until.setPlaceholderText("now")
        for field in (self.since, self.until):
            field.setFixedWidth(150)
        if exchange in EXCHANGES:
            self.exchange.setCurrentText(exchange)
        self.frame.setCurrentText("15m")
        grid = QGridLayout()
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(8)
        rows: tuple[tuple[str, QWidget], ...] = (
            ("Exchange", self.exchange), ("Symbol", self.symbol), ("Holds", self.kind), ("Timeframe", self.frame),
            ("From (UTC)", self.since), ("Until (UTC)", self.until),
        )  # fmt: skip
        for row, (caption, widget) in enumerate(rows):
            grid.addWidget(label(caption, 12, 400, "text2"), row, 0)
            grid.addWidget(widget, row, 1, Qt.AlignmentFlag.AlignLeft)
        grid.setColumnStretch(1, 1)
        column.addLayout(grid)
        self.refused = label("", 12, 400, "danger", wrap=True)
        self.refused.hide()
        column.addWidget(self.refused)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        self.leave, self.go = Button("Cancel", "ghost"), Button("Download", "primary")
        buttons.addWidget(self.leave)
        buttons.addWidget(self.go)
        column.addLayout(buttons)
        self.leave.clicked.connect(self.reject)
        self.go.clicked.connect(self._go)
        self.kind.currentTextChanged.connect(lambda words: self.frame.setEnabled(KINDS[words] in (*BARS, "metrics")))
        self.since.textChanged.connect(lambda _: self._ready())
        self._ready()

    def _ready(self) -> None:
        self.go.block("" if self.since.text().strip() else "Say from which day on.")

    def _go(self) -> None:
        kind = KINDS[self.kind.currentText()]
        frame = self.frame.currentText() if self.frame.isEnabled() else "8h"
        command = DownloadSeries(
            self.symbol.currentText().strip().upper(), frame, self.since.text().strip(), self.until.text().strip(),
            kind, self.exchange.currentText(),
        )  # fmt: skip
        self._bridge.send(command, self._done)

    def _done(self, outcome: Outcome) -> None:
        if outcome.ok:
            self._bridge.told.emit(outcome)
            self.accept()
        else:
            self.refused.setText(outcome.sentence)
            self.refused.show()
