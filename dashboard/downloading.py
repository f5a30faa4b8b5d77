"""The download dialog: which series of the exchange, from when to when."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtWidgets import QComboBox, QLineEdit, QWidget

from app.contract.commands import DownloadSeries
from dashboard.bridge import Bridge
from dashboard.importing import BARS, TIMEFRAMES
from dashboard.numbers import ticker
from dashboard.widgets.controls import Picker
from dashboard.widgets.forms import FormDialog

KINDS = {
    "Candles": "ohlcv", "Mark prices": "mark", "Index prices": "index", "Funding rates": "funding",
    "Open interest, ratios": "metrics",
}  # fmt: skip
EXCHANGES = ("binanceusdm", "bybit", "okx", "weex")


class DownloadDialog(FormDialog):
    """Exchange, symbol, timeframe, span; the back-fill itself runs as a job and can be cancelled and resumed."""

    def __init__(self, over: QWidget, bridge: Bridge, exchange: str, symbols: Sequence[str]) -> None:
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
        sentence = "What is stored already is not asked for again; a download that was cut short goes on where it was."
        rows: tuple[tuple[str, QWidget], ...] = (
            ("Exchange", self.exchange), ("Symbol", self.symbol), ("Holds", self.kind), ("Timeframe", self.frame),
            ("From (UTC)", self.since), ("Until (UTC)", self.until),
        )  # fmt: skip
        super().__init__(over, bridge, "Download market data", sentence, "Download", rows)
        self.kind.currentTextChanged.connect(lambda words: self.frame.setEnabled(KINDS[words] in (*BARS, "metrics")))
        self.since.textChanged.connect(lambda _: self._ready())
        self._ready()

    def _ready(self) -> None:
        self.go.block("" if self.since.text().strip() else "Say from which day on.")

    def command(self) -> DownloadSeries:
        frame = self.frame.currentText() if self.frame.isEnabled() else "8h"
        return DownloadSeries(
            self.symbol.currentText().strip().upper(), frame, self.since.text().strip(), self.until.text().strip(),
            KINDS[self.kind.currentText()], self.exchange.currentText(),
        )  # fmt: skip
