"""The import dialog: which files, what they hold."""

from __future__ import annotations

import re
from pathlib import Path

from PyQt6.QtWidgets import QFileDialog, QLineEdit, QWidget

from app.contract.commands import ImportFiles
from dashboard.bridge import Bridge
from dashboard.widgets.cards import label, set_tone
from dashboard.widgets.controls import Button, Picker
from dashboard.widgets.forms import FormDialog

TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "8h", "1d")
KINDS = {
    "Candles": "ohlcv", "Mark prices": "mark", "Index prices": "index", "Funding rates": "funding",
    "Open interest, ratios": "metrics", "Trades": "trades", "Order book": "book", "Liquidations": "liquidations",
}  # fmt: skip
BARS = ("ohlcv", "mark", "index")
WORDS_OF_KINDS = (
    ("funding", "Funding rates"), ("markprice", "Mark prices"), ("indexprice", "Index prices"),
    ("metrics", "Open interest, ratios"), ("trades", "Trades"), ("book", "Order book"), ("depth", "Order book"),
    ("liquidation", "Liquidations"),
)  # fmt: skip
PATTERN = "Market data (*.parquet *.csv *.feather *.zip);;All files (*)"


def guess(path: str) -> tuple[str, str, str]:
    """Symbol, timeframe and kind from a file's name, as exchange archives write them; empty where it does not say."""
    name = Path(path).name
    symbol = re.search(r"([A-Z0-9]{2,12}USDT)", name.upper())
    frame = re.search(r"(?<![0-9a-zA-Z])(1m|5m|15m|1h|4h|8h|1d)(?![0-9a-zA-Z])", name)
    words = path.lower().replace("_", "")
    kind = next((kind for word, kind in WORDS_OF_KINDS if word in words), "Candles")
    return (symbol.group(1) if symbol else "", frame.group(1) if frame else "", kind)


class ImportDialog(FormDialog):
    """Files, symbol, timeframe, kind; the import itself runs as a job."""

    def __init__(self, over: QWidget, bridge: Bridge) -> None:
        self.paths: tuple[str, ...] = ()
        self.files, self.choose = label("No file chosen", 12, 400, "text3"), Button("Choose files…", height=28)
        self.symbol = QLineEdit()
        self.symbol.setPlaceholderText("BTCUSDT")
        self.frame, self.kind = Picker(TIMEFRAMES, 130), Picker(tuple(KINDS), 190)
        self.frame.setCurrentText("1h")
        sentence = "Parquet, CSV, feather or ZIP files of one symbol, as exchanges archive them."
        rows: tuple[tuple[str, QWidget], ...] = (
            ("Files", self.choose), ("", self.files), ("Symbol", self.symbol), ("Timeframe", self.frame),
            ("Holds", self.kind),
        )  # fmt: skip
        super().__init__(over, bridge, "Import market data", sentence, "Import", rows)
        self.kind.currentTextChanged.connect(lambda words: self.frame.setEnabled(KINDS[words] in BARS))
        self.choose.clicked.connect(self._choose)
        self.symbol.textChanged.connect(lambda _: self._ready())
        self._ready()

    def _choose(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self, "Market data", "", PATTERN)
        if paths:
            self.take(tuple(paths))

    def take(self, paths: tuple[str, ...]) -> None:
        """These files; what their names say is filled in."""
        self.paths = paths
        name = Path(paths[0]).name
        self.files.setText(name if len(paths) == 1 else f"{name} and {len(paths) - 1} more")
        set_tone(self.files, "text")
        symbol, frame, kind = guess(paths[0])
        if symbol:
            self.symbol.setText(symbol)
        if frame:
            self.frame.setCurrentText(frame)
        self.kind.setCurrentText(kind)
        self._ready()

    def _ready(self) -> None:
        missing = "" if self.paths else "Choose files first."
        self.go.block(missing or ("" if self.symbol.text().strip() else "Say which symbol the files hold."))

    def command(self) -> ImportFiles:
        kind = KINDS[self.kind.currentText()]
        frame = self.frame.currentText() if kind in BARS else ""
        return ImportFiles(self.paths, self.symbol.text().strip().upper(), frame, kind)
