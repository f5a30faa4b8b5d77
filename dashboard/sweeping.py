"""The sweep dialog: one or two numbers, and the values to try."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from app.contract.backtest_views import BacktestsView
from app.contract.commands import RunSweep
from app.contract.forms import BacktestForm
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.widgets.cards import label, set_tone
from dashboard.widgets.forms import FormDialog

NONE = "none"
STEPS = (0.6, 0.8, 1.0, 1.2, 1.4)  # of the present value, to begin with


class Axis(QWidget):
    """Which number, and its values."""

    def __init__(self, choices: Sequence[tuple[str, str]], at: int, optional: bool) -> None:
        super().__init__()
        self._values = dict(choices)
        self.key, self.values = QComboBox(), QLineEdit()
        self.key.setEditable(True)
        self.key.addItems([*([NONE] if optional else []), *self._values])
        self.key.setFixedWidth(200)
        self.values.setPlaceholderText("25, 30, 35")
        self.setFixedWidth(440)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(8)
        row.addWidget(self.key)
        row.addWidget(self.values, 1)
        self.key.currentTextChanged.connect(self._suggest)
        self.key.setCurrentIndex(min(at, self.key.count() - 1))
        self._suggest(self.key.currentText())

    def _suggest(self, key: str) -> None:
        self.values.setText(suggested(self._values.get(key, "")))
        self.values.setEnabled(key != NONE)

    def pair(self) -> tuple[str, str] | None:
        """Key and values as typed; ``None`` where nothing is varied."""
        key = self.key.currentText().strip()
        return None if key in ("", NONE) else (key, self.values.text())

    def count(self) -> int:
        """How many values."""
        return len([part for part in self.values.text().split(",") if part.strip()]) if self.pair() else 1


def suggested(value: str) -> str:
    """A few values round the present one: whole numbers stay whole; nothing for what is no number."""
    try:
        present = float(value)
    except ValueError:
        return ""
    if not present:
        return ""
    whole = present == int(present) and abs(present) >= 5
    found = [round(present * step) if whole else round(present * step, 6) for step in STEPS]
    return ", ".join(f"{v:.10g}" for v in dict.fromkeys(found))


class SweepDialog(FormDialog):
    """Two axes; the sweep itself runs as a job and keeps what it has where it is cancelled."""

    def __init__(self, over: QWidget, bridge: Bridge, form: BacktestForm, view: BacktestsView) -> None:
        self.form = form
        spec = next((s for s in view.strategies if s.name == form.strategy), None)
        own = spec.numbers if spec is not None else ()
        choices = (*own, *((s.key, s.value) for s in view.settings))
        second = next((k for k, (key, _) in enumerate(choices) if key.startswith("exits.")), 1) + 1
        self.first, self.second = Axis(choices, 0, optional=False), Axis(choices, second, optional=True)
        self.count = label("", 12, 400, "text3")
        symbol = " ".join(numbers.ticker(s) for s in form.symbols)
        sentence = (
            f"{form.strategy} on {symbol} {form.timeframe}, for every value. Each combination counts as a try: "
            "the more are tried, the less the best of them says."
        )
        rows = (("Across", self.first), ("Down", self.second), ("", self.count))
        super().__init__(over, bridge, "Sweep", sentence, "Run the sweep", rows)
        self.setFixedWidth(560)
        for axis in (self.first, self.second):
            axis.key.currentTextChanged.connect(lambda _: self._ready())
            axis.values.textChanged.connect(lambda _: self._ready())
        self._ready()

    def _ready(self) -> None:
        count = self.first.count() * self.second.count()
        self.count.setText(f"{count:,} combination{'s' if count != 1 else ''}")
        set_tone(self.count, "text3" if 1 < count <= 1000 else "warn")
        why = "" if count > 1 else "Give at least two values to compare."
        self.go.block("At most 1,000 combinations are tried: take some values out." if count > 1000 else why)

    def command(self) -> RunSweep:
        pairs = [pair for pair in (self.first.pair(), self.second.pair()) if pair is not None]
        return RunSweep(self.form, tuple(pairs))
