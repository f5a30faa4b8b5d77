"""The window's frame: strip, banner, tabs, tray, notices, palette, keys. It holds no trading logic."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from PyQt6.QtCore import QSettings, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QKeySequence, QResizeEvent, QShortcut
from PyQt6.QtWidgets import QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from app.contract.commands import (
    CancelJob,
    Command,
    DismissJob,
    EmergencyStop,
    Outcome,
    Pause,
    Resume,
    Start,
    Stop,
    UseExchangeData,
    VerifyAudit,
)  # fmt: skip
from app.contract.events import Event, FillEvent, JobEvent, NoticeEvent, StateEvent
from app.contract.results import JobsView
from app.contract.views import BarView, PositionsView, StripView
from dashboard import numbers
from dashboard.bridge import Bridge
from dashboard.importing import ImportDialog
from dashboard.palette import Entry, Palette
from dashboard.tables import DataTable, table_state
from dashboard.tabs.backtest import BacktestTab
from dashboard.tabs.base import Tab
from dashboard.tabs.chart import ChartTab
from dashboard.tabs.data import DataTab
from dashboard.tabs.logs import LogsTab
from dashboard.tabs.models import ModelsTab
from dashboard.tabs.overview import OverviewTab
from dashboard.tabs.performance import PerformanceTab
from dashboard.tabs.positions import PositionsTab
from dashboard.tabs.risk import RiskTab
from dashboard.tabs.settings import SettingsTab
from dashboard.tabs.signals import SignalsTab
from dashboard.tabs.trades import TradesTab
from dashboard.theme import named, theme
from dashboard.what_if import WhatIfDialog
from dashboard.widgets.frame import Banner, LiveFrame, TabBar
from dashboard.widgets.notices import AskOnce, NoticeStack
from dashboard.widgets.strip import Strip
from dashboard.widgets.tray import Tray

TABS: tuple[type[Tab], ...] = (
    OverviewTab, ChartTab, SignalsTab, PositionsTab, TradesTab, ModelsTab, PerformanceTab, RiskTab, BacktestTab,
    DataTab, SettingsTab, LogsTab,
)  # fmt: skip
REFRESH_MS = 1000
INTERESTING = ("bad", "warn")


class MainWindow(QMainWindow):
    """Everything in sight."""

    closed = pyqtSignal()

    def __init__(self, bridge: Bridge, layout_file: Path) -> None:
        super().__init__()
        self.bridge = bridge
        self.settings = QSettings(str(layout_file), QSettings.Format.IniFormat)
        self.setWindowTitle("QuantAI-Trad")
        self.strip_view: StripView | None = None
        self._revision = -1
        self._stop_dialog: AskOnce | None = None
        self._build()
        self._keys()
        self._wire()
        self._timer = QTimer(self)
        self._timer.setInterval(REFRESH_MS)
        self._timer.timeout.connect(self._due)
        self._timer.start()
        self._breath = QTimer(self)
        self._breath.setInterval(50)
        self._breath.timeout.connect(self._breathe)
        self._breath_at = 0
        self._restore()
        self.pages.setFocus()

    def _build(self) -> None:
        middle = QWidget()
        named(middle, "page")
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.tabs: list[Tab] = [made(self.bridge) for made in TABS]
        self.by_key = {tab.key: tab for tab in self.tabs}
        self.strip, self.banner, self.tray = Strip(), Banner(), Tray()
        self.bar = TabBar([tab.title for tab in self.tabs])
        self.pages = QStackedWidget()
        self.pages.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        for tab in self.tabs:
            self.pages.addWidget(tab)
        for widget in (self.strip, self.bar, self.banner):
            column.addWidget(widget)
        column.addWidget(self.pages, 1)
        column.addWidget(self.tray)
        self.setCentralWidget(middle)
        self.notices = NoticeStack(middle)
        self.palette_box = Palette(middle)
        self.frame = LiveFrame(self)
        self.resize(1600, 900)
        self.setMinimumSize(1100, 640)

    def _keys(self) -> None:
        for number in range(1, 10):
            at = number - 1
            QShortcut(QKeySequence(f"Ctrl+{number}"), self, lambda at=at: self.show_tab(at))
        QShortcut(QKeySequence("Ctrl+0"), self, lambda: self.show_tab(9))
        QShortcut(QKeySequence("Ctrl+K"), self, self.open_palette)
        QShortcut(QKeySequence("Ctrl+Shift+X"), self, self.ask_emergency)

    def _wire(self) -> None:
        self.strip.start.connect(lambda: self.bridge.send(Start()))
        self.strip.pause.connect(self._pause)
        self.strip.stop.connect(self._ask_stop)
        self.strip.emergency.connect(self.ask_emergency)
        self.bar.chosen.connect(self.show_tab)
        self.bar.search.connect(self.open_palette)
        self.tray.cancel.connect(lambda job: self.bridge.send(CancelJob(job)))
        self.tray.dismiss.connect(lambda job: self.bridge.send(DismissJob(job), lambda _: None))
        self.tray.opened.connect(lambda key: self.go_to(key, None))
        self.banner.exchange_button.clicked.connect(lambda: self.bridge.send(UseExchangeData()))
        self.banner.import_button.clicked.connect(self.open_import)
        self.bridge.latest.connect(self._latest)
        self.bridge.happened.connect(self._event)
        self.bridge.told.connect(self._told)
        self.bridge.failed.connect(lambda words: self.notices.add("bad", "That did not work", words, self._now()))
        for tab in self.tabs:
            tab.go.connect(self.go_to)
        settings = self.by_key["settings"]
        if isinstance(settings, SettingsTab):
            settings.look_wanted.connect(self.use_look)

    @property
    def tab(self) -> Tab:
        """The tab in sight."""
        return self.tabs[self.pages.currentIndex()]

    def show_tab(self, at: int) -> None:
        """Bring a tab into sight and ask for what it shows."""
        if 0 <= at < len(self.tabs):
            self.pages.setCurrentIndex(at)
            self.bar.show_tab(at)
            if self.strip_view is not None:  # before that the service is still opening its home
                self.tab.refresh()

    def go_to(self, key: str, what: object) -> None:
        """A tab by its key (or the first word of it), with what to show there."""
        if key == "what-if":
            self.open_what_if(what if isinstance(what, str) else "")
            return
        key = next((k for k in self.by_key if k == key or k.startswith(f"{key}-")), key)
        if key in self.by_key:
            tab = self.by_key[key]
            self.pages.setCurrentWidget(tab)
            self.bar.show_tab(self.tabs.index(tab))
            if what is None:
                tab.refresh()
            else:
                tab.focus_on(what)
                if not isinstance(tab, ChartTab):
                    tab.refresh()

    def _latest(self, topic: str, view: object) -> None:
        if topic == "strip" and isinstance(view, StripView):
            self.show_strip(view)
        elif topic == "jobs" and isinstance(view, JobsView):
            self.tray.show_jobs(view)
        elif topic == "bar" and isinstance(view, BarView):
            chart = self.by_key["chart"]
            if isinstance(chart, ChartTab) and chart is self.tab:
                chart.show_bar(view)
        elif topic == "positions" and isinstance(view, PositionsView):
            positions = self.by_key["positions-orders"]
            if positions is self.tab:
                positions.show_view(view)

    def show_strip(self, view: StripView) -> None:
        """New values of the strip, and what depends on them."""
        self.strip_view = view
        self.strip.show_view(view)
        self.banner.say(view.banner)
        self.tray.show_time(view.now_ms, view.bar_ms)
        live = view.mode == "live"
        self.frame.setVisible(live)
        if live and not self._breath.isActive():
            self._breath.start()
        elif not live:
            self._breath.stop()
        if self._revision < 0:
            self._due()

    def _due(self) -> None:
        """Ask again for the tab in sight where the service has something new; once a second at most."""
        if self.strip_view is not None and self.strip_view.revision != self._revision:
            self._revision = self.strip_view.revision
            self.tab.refresh()

    def _breathe(self) -> None:
        self._breath_at = (self._breath_at + 1) % 40
        self.frame.strength = 0.55 + 0.45 * abs(1 - self._breath_at / 20)
        self.frame.update()

    def _now(self) -> int | None:
        return self.strip_view.now_ms if self.strip_view is not None else None

    def _event(self, event: Event) -> None:
        if isinstance(event, NoticeEvent):
            act = (lambda: self.go_to(event.tab, None)) if event.tab else None
            self.notices.add(event.level, event.title, event.sentence, event.time_ms, "Show" if act else "", act)
        elif isinstance(event, StateEvent) and event.after == "HALTED":
            self.notices.add("bad", "Trading is halted", event.why, event.time_ms)
        elif isinstance(event, JobEvent) and event.state != "cancelled":
            level = "ok" if event.state == "done" else "bad"
            act = (lambda: self.go_to(event.tab, None)) if event.tab else None
            title = f"{event.name} {'is done' if event.state == 'done' else 'failed'}"
            self.notices.add(level, title, numbers.sentence(event.sentence), event.time_ms, "Open" if act else "", act)
        elif isinstance(event, FillEvent) and event.reason in ("liquidation", "emergency"):
            self.notices.add("bad", f"{numbers.ticker(event.symbol)} was closed", event.sentence, event.time_ms)

    def _told(self, outcome: Outcome) -> None:
        if outcome.sentence:
            title = "Done" if outcome.ok else "Refused"
            self.notices.add("ok" if outcome.ok else "bad", title, outcome.sentence, self._now())

    def _pause(self) -> None:
        paused = self.strip_view is not None and self.strip_view.state == "PAUSED"
        self.bridge.send(Resume() if paused else Pause())

    def _ask_stop(self) -> None:
        words = "The run ends cleanly; open positions stay open with their stops."
        dialog = AskOnce(self, "Stop the run?", words, "Stop the run", "Keep running", alarm=False)
        dialog.accepted.connect(lambda: self.bridge.send(Stop()))
        dialog.open()

    def ask_emergency(self) -> AskOnce:
        """Ask once; Enter acts at once."""
        if self._stop_dialog is not None:
            return self._stop_dialog
        v = self.strip_view
        words = "Entries halt, every order is cancelled and every position closes at market."
        if v is not None:
            exposure = f" ({numbers.number(v.exposure, 0)} {v.currency})" if v.exposure is not None else ""
            orders = f"{v.orders} order{'s are' if v.orders != 1 else ' is'} cancelled"
            positions = f"{v.positions} position{'s' if v.positions != 1 else ''}{exposure}"
            closes = "close" if v.positions != 1 else "closes"
            words = f"Entries halt, {orders}, {positions} {closes} at market."
        words += " Trading stays halted until you start it again."
        dialog = AskOnce(self, "Stop everything?", words, "Stop everything", "Keep trading", alarm=True)
        self._stop_dialog = dialog
        dialog.accepted.connect(lambda: self.bridge.send(EmergencyStop()))
        dialog.finished.connect(self._stop_asked)
        dialog.open()
        return dialog

    def _stop_asked(self) -> None:
        self._stop_dialog = None

    def open_import(self) -> None:
        """Choose files and say what they are."""
        ImportDialog(self, self.bridge).open()

    def open_what_if(self, symbol: str = "") -> WhatIfDialog:
        """A trade before it is made; an empty symbol: the run's first that is not held."""
        for old in self.findChildren(WhatIfDialog):
            old.close()
        dialog = WhatIfDialog(self, self.bridge, symbol)
        dialog.show()
        return dialog

    def entries(self) -> list[Entry]:
        """What the palette offers."""
        chart = self.by_key["chart"]
        symbols = chart.view.symbols if isinstance(chart, ChartTab) and chart.view is not None else ()
        found = [
            Entry(f"Chart: {numbers.ticker(s)}", "symbol", "chart", partial(self.go_to, "chart", s)) for s in symbols
        ]
        found.append(Entry("What if…", "trade", "scales", self.open_what_if))
        found += [
            Entry(f"What if: {numbers.ticker(s)}", "trade", "scales", partial(self.open_what_if, s)) for s in symbols
        ]
        found += [
            Entry(tab.title, f"Ctrl+{(i + 1) % 10}" if i < 10 else "tab", "tab", partial(self.show_tab, i))
            for i, tab in enumerate(self.tabs)
        ]
        commands: tuple[tuple[str, str, Command], ...] = (
            ("Pause entries", "pause", Pause()),
            ("Resume entries", "play", Resume()),
            ("Start the run", "play", Start()),
            ("Verify the audit chain", "seal", VerifyAudit()),
        )
        found += [Entry(words, "command", icon, partial(self.bridge.send, do)) for words, icon, do in commands]
        found.append(Entry("Import files…", "command", "download", self.open_import))
        found.append(Entry("Light palette" if theme.dark else "Dark palette", "command", "gear", self._other_palette))
        found.append(Entry("Emergency stop…", "Ctrl+Shift+X", "alarm", self.ask_emergency))
        return found

    def open_palette(self) -> None:
        """Ctrl+K."""
        self.palette_box.open(self.entries())

    def _other_palette(self) -> None:
        self.use_look("light" if theme.dark else "dark", theme.safe_colours, theme.high_contrast)

    def use_look(self, name: str, safe: bool, contrast: bool) -> None:
        """Change the palette and keep the choice."""
        theme.use(name, safe_colours=safe, high_contrast=contrast)
        for key, value in (("look/palette", name), ("look/safe", safe), ("look/contrast", contrast)):
            self.settings.setValue(key, value)

    def resizeEvent(self, a0: QResizeEvent | None) -> None:
        super().resizeEvent(a0)
        self.frame.setGeometry(self.rect())
        self.strip.set_narrow(self.width())
        for tab in self.tabs:
            tab.set_narrow(self.width())

    def _restore(self) -> None:
        read = self.settings.value
        theme.use(
            str(read("look/palette", theme.name)), safe_colours=str(read("look/safe", "false")).lower() == "true",
            high_contrast=str(read("look/contrast", "false")).lower() == "true",
        )  # fmt: skip
        place = read("window/geometry")
        if place is not None:
            self.restoreGeometry(place)
        chart = self.by_key["chart"]
        if isinstance(chart, ChartTab):
            chart.symbol, chart.timeframe = str(read("chart/symbol", "")), str(read("chart/timeframe", ""))
        for tab in self.tabs:
            self.settings.beginGroup(f"choices/{tab.key}")
            tab.use_choices({name: str(read(name, "")) for name in self.settings.childKeys()})
            self.settings.endGroup()
        for table in self.findChildren(DataTable):
            for column in table.rows.columns:
                wide = read(f"columns/{table.objectName()}/{column.key}")
                if wide is not None and table.objectName():
                    table.overrides[column.key] = int(wide)
        key = str(read("window/tab", "overview"))
        at = next((i for i, tab in enumerate(self.tabs) if tab.key == key), 0)
        self.pages.setCurrentIndex(at)
        self.bar.show_tab(at)

    def keep_layout(self) -> None:
        """Write size, tab, symbol, timeframe and column widths."""
        self.settings.setValue("window/geometry", self.saveGeometry())
        self.settings.setValue("window/tab", self.tab.key)
        chart = self.by_key["chart"]
        if isinstance(chart, ChartTab):
            self.settings.setValue("chart/symbol", chart.symbol)
            self.settings.setValue("chart/timeframe", chart.timeframe)
        for tab in self.tabs:
            for name, words in tab.choices().items():
                self.settings.setValue(f"choices/{tab.key}/{name}", words)
        for name, widths in table_state(self).items():
            for key, wide in widths.items():
                self.settings.setValue(f"columns/{name}/{key}", wide)
        self.settings.sync()

    def closeEvent(self, a0: QCloseEvent | None) -> None:
        self._timer.stop()
        self._breath.stop()
        self.keep_layout()
        super().closeEvent(a0)
        self.closed.emit()
