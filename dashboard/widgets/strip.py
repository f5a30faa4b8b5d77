"""The status strip: mode, data, equity, day, risk, drawdown, state, and the buttons that start and stop."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, QSize, pyqtSignal
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from app.contract.views import StripView
from dashboard import numbers, painting
from dashboard.theme import MARGIN, NARROW, STRIP_H, font, theme
from dashboard.widgets.controls import STRIP_BUTTON_H, Badge, Button

MODES = {"paper": ("PAPER", "accentFill"), "live": ("LIVE", "dangerFill"), "replay": ("REPLAY", "violetFill")}
STATES = {
    "STOPPED": ("Stopped", "idle"), "WARMING_UP": ("Warming up", "warn"), "RUNNING": ("Running", "profit"),
    "PAUSED": ("Paused", "warn"), "HALTED": ("Halted", "danger"),
}  # fmt: skip


class Blocks(QWidget):
    """Four figures of fixed width, so that nothing moves when a value does."""

    WIDE = (142, 164, 118, 176)
    TIGHT = (134, 150, 122, 118)

    def __init__(self) -> None:
        super().__init__()
        self.view: StripView | None = None
        self.narrow = False
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)

    def set_narrow(self, narrow: bool) -> None:
        """Take the narrow widths."""
        self.narrow = narrow
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(sum(self.TIGHT if self.narrow else self.WIDE), STRIP_H)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        v = self.view
        if v is None:
            return
        p = QPainter(self)
        x = 0.0
        widths = self.TIGHT if self.narrow else self.WIDE
        for wide, draw in zip(widths, (self._equity, self._day, self._risk, self._drawdown), strict=True):
            painting.fill(p, QRectF(x, 12, 1, STRIP_H - 24), "line2")
            draw(p, QRectF(x + 13, 0, wide - 20, STRIP_H), v)
            x += wide

    @staticmethod
    def _caption(p: QPainter, box: QRectF, words: str, right: str = "") -> None:
        line = QRectF(box.left(), 9, box.width(), 18)
        painting.text(p, line, words, font(11), "text3")
        if right:
            painting.text(p, line, right, font(11), "text3", painting.RIGHT)

    def _equity(self, p: QPainter, box: QRectF, v: StripView) -> None:
        self._caption(p, box, "Equity")
        line = QRectF(box.left(), 26, box.width(), 20)
        wide = painting.text(p, line, numbers.number(v.equity), font(14, 600), "text")
        painting.text(p, line.adjusted(wide + 6, 1, 0, 0), v.currency, font(12), "text3")

    def _day(self, p: QPainter, box: QRectF, v: StripView) -> None:
        self._caption(p, box, "Day P&L")
        line = QRectF(box.left(), 26, box.width(), 20)
        token = painting.money_token(v.day_pnl)
        if way := numbers.arrow(v.day_pnl):
            painting.triangle(p, line.left(), line.center().y(), way > 0, token, 5)
            line.adjust(15, 0, 0, 0)
        wide = painting.text(p, line, numbers.number(v.day_pnl, signed=True), font(14, 600), token)
        if v.day_pnl_fraction is not None:
            rest = line.adjusted(wide + 7, 1, 0, 0)
            painting.text(p, rest, numbers.percent(v.day_pnl_fraction, signed=True), font(12, 500), token)

    def _risk(self, p: QPainter, box: QRectF, v: StripView) -> None:
        self._caption(p, box, "Open risk")
        line = QRectF(box.left(), 26, box.width(), 20)
        wide = painting.text(p, line, numbers.percent(v.open_risk), font(14, 600), "text")
        if v.open_risk_limit is not None:
            words = f"of {numbers.short(v.open_risk_limit, 'fraction')}"
            painting.text(p, line.adjusted(wide + 6, 1, 0, 0), words, font(12), "text3")

    def _drawdown(self, p: QPainter, box: QRectF, v: StripView) -> None:
        limit = "" if v.drawdown_limit is None else f"limit {numbers.short(v.drawdown_limit, 'fraction')}"
        self._caption(p, box, "Drawdown", "" if self.narrow else limit)
        line = QRectF(box.left(), 26, box.width(), 20)
        value = None if v.drawdown is None else -v.drawdown
        share = v.drawdown / v.drawdown_limit if v.drawdown is not None and v.drawdown_limit else None
        ink = "danger" if share and share >= 1 else "warn" if share and share >= 0.8 else "text"
        wide = painting.text(p, line, numbers.percent(value), font(14, 600), ink)
        room = box.width() - wide - 10
        if share is not None and room > 20:
            track = QRectF(line.left() + wide + 10, line.center().y() - 2.5, room, 5)
            painting.bar(p, track, share, {"text": "accent"}.get(ink, ink))


class StateWords(QWidget):
    """A dot and the state in words, right-aligned in a fixed room."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.tone = "Starting", "idle"
        self.setMinimumWidth(70)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        box = QRectF(self.rect()).adjusted(0, 0, -4, 0)
        wide = painting.text(p, box.adjusted(14, 0, 0, 0), self.words, font(12), "text2", painting.RIGHT)
        p.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        painting.fill(p, QRectF(box.right() - wide - 13, box.center().y() - 2.5, 6, 6), self.tone, 1.0, 3)


class Strip(QWidget):
    """The strip over every tab."""

    start = pyqtSignal()
    pause = pyqtSignal()
    stop = pyqtSignal()
    emergency = pyqtSignal()

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(STRIP_H)
        self.view: StripView | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(MARGIN, 0, MARGIN, 0)
        row.setSpacing(12)
        self.mode, self.data = Badge("PAPER", "accentFill", solid=True), Badge("no data", "text3")
        for badge in (self.mode, self.data):
            badge.tall, badge.px = 24, 12
            row.addWidget(badge)
        self.blocks, self.state = Blocks(), StateWords()
        row.addWidget(self.blocks)
        row.addWidget(self.state, 1)
        self.start_button = Button("Start", icon="play", height=STRIP_BUTTON_H)
        self.pause_button = Button("Pause", icon="pause", height=STRIP_BUTTON_H)
        self.stop_button = Button("Stop", icon="stop", height=STRIP_BUTTON_H)
        self.emergency_button = Button("Emergency stop", "stop", "alarm", "Ctrl+Shift+X", STRIP_BUTTON_H)
        inner = QHBoxLayout()
        inner.setSpacing(4)
        for button in (self.start_button, self.pause_button, self.stop_button):
            inner.addWidget(button)
            button.block("The service is starting.")
        row.addLayout(inner)
        row.addWidget(self.emergency_button)
        self.start_button.clicked.connect(self.start)
        self.pause_button.clicked.connect(self.pause)
        self.stop_button.clicked.connect(self.stop)
        self.emergency_button.clicked.connect(self.emergency)
        self.emergency_button.setToolTip(
            "Halts entries, cancels orders and closes every position at market. It asks once."
        )

    def set_narrow(self, width: int) -> None:
        """Take the form for this window width."""
        narrow = width < NARROW
        for button in (self.start_button, self.pause_button, self.stop_button):
            button.set_compact(narrow)
        self.emergency_button.keys = "" if narrow else "Ctrl+Shift+X"
        self.emergency_button.updateGeometry()
        self.blocks.set_narrow(narrow)

    def show_view(self, v: StripView) -> None:
        """Show new values."""
        self.view = self.blocks.view = v
        words, token = MODES.get(v.mode, (v.mode.upper(), "accentFill"))
        self.mode.show_words(words, token, solid=True)
        self.data.show_words(*self._data_words(v)[:2], solid=self._data_words(v)[2], dot=self._data_words(v)[3])
        state, tone = STATES.get(v.state, (v.state, "idle"))
        run = v.now_ms - v.running_since_ms if v.running_since_ms and v.state == "RUNNING" else None
        self.state.words = state if run is None else f"{state} · {numbers.span(run / 1000)}"
        if v.state_why and v.state in ("HALTED", "WARMING_UP"):
            self.state.words = f"{state} · {v.state_why}"
        self.state.tone = tone
        self.state.setToolTip(v.state_why)
        paused = v.state == "PAUSED"
        self.pause_button.setText("Resume" if paused else "Pause")
        self.pause_button.icon_name = "play" if paused else "pause"
        self.pause_button.updateGeometry()
        self.start_button.block(v.start_blocked, "Start the run")
        self.pause_button.block(
            v.pause_blocked, "Allow entries again" if paused else "No new entries; exits and protection go on"
        )
        self.stop_button.block(v.stop_blocked, "End the run; open positions keep their stops")
        self.blocks.update()
        self.state.update()

    @staticmethod
    def _data_words(v: StripView) -> tuple[str, str, bool, bool]:
        """Words, tone, solid, dot of the data badge."""
        if v.feed_state == "stale":
            return f"STALE {numbers.span(v.stale_s)}", "dangerFill", True, True
        if v.feed_state == "synthetic":
            return "SYNTHETIC DATA", "warn", True, True
        if v.feed_state == "live":
            return f"{v.feed} · live", "profit", False, True
        if v.feed_state == "replay":
            return f"{v.feed.removeprefix('replay of ')} · replay", "text2", False, False
        return "no data", "text3", False, False

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.fillRect(self.rect(), theme.color("bg1"))
        p.fillRect(0, self.height() - 1, self.width(), 1, theme.color("line"))
