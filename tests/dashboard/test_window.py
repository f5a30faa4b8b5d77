"""The window, driven offscreen over a service that answers from a table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import sample_views as sample
from fake_service import FakeService
from PyQt6.QtCore import QPoint, Qt
from PyQt6.QtGui import QImage
from PyQt6.QtWidgets import QApplication, QWidget

from app.contract import queries as q
from app.contract.commands import ClosePosition, EmergencyStop, Outcome, Pause, Resume, SetSetting
from app.contract.events import JobEvent, NoticeEvent
from dashboard.app import FailureReport
from dashboard.main_window import TABS, MainWindow
from dashboard.palette import matching
from dashboard.tabs.chart import ChartTab
from dashboard.tabs.settings import SettingsTab
from dashboard.tabs.signals import SignalsTab
from dashboard.theme import theme
from dashboard.widgets.gate_bars import look_of

pytestmark = pytest.mark.qt
KEYS = [tab.key for tab in TABS]
Opened = Callable[..., MainWindow]


def settle(qtbot: Any, window: MainWindow) -> None:
    qtbot.waitUntil(lambda: window.tab.shown, timeout=5000)
    QApplication.processEvents()


def colours(widget: QWidget) -> int:
    """How many different colours a picture of the widget holds: an empty page has a handful."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB32)
    return len({image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)})


def test_the_strip_shows_mode_data_money_and_limits(window: MainWindow) -> None:
    strip = window.strip
    assert strip.mode.words == "PAPER"
    assert strip.data.words == "binanceusdm · live"
    assert strip.blocks.view == sample.strip()
    assert strip.state.words.startswith("Running · 46")
    assert not strip.start_button.isEnabled() and strip.start_button.toolTip()
    assert strip.emergency_button.isEnabled()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"feed_state": "stale", "stale_s": 42.0}, "STALE 42\u00a0s"),
        ({"feed_state": "synthetic"}, "SYNTHETIC DATA"),
        ({"feed_state": "replay"}, "binanceusdm · replay"),
    ],
)
def test_the_data_badge_tells_what_the_prices_are(window: MainWindow, changes: dict[str, Any], words: str) -> None:
    window.show_strip(sample.strip(**changes))
    assert window.strip.data.words == words


def test_live_mode_frames_the_window_in_red(window: MainWindow) -> None:
    assert window.frame.isHidden()
    window.show_strip(sample.strip(mode="live"))
    assert window.strip.mode.words == "LIVE"
    assert window.frame.isVisible()


def test_made_up_prices_are_said_over_the_tabs(window: MainWindow) -> None:
    assert window.banner.isHidden()
    window.show_strip(sample.strip(banner="These prices are made up."))
    assert window.banner.isVisible()
    assert window.banner.import_button.isEnabled() and window.banner.exchange_button.isEnabled()


def test_emergency_stop_asks_once_and_acts_at_once(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    qtbot.keyClick(window, Qt.Key.Key_X, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    qtbot.waitUntil(lambda: window._stop_dialog is not None)
    dialog = window._stop_dialog
    assert dialog is not None and window.ask_emergency() is dialog
    assert not service.sent
    qtbot.keyClick(dialog, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(service.sent))
    assert service.sent == [EmergencyStop()]
    assert window._stop_dialog is None


def test_escape_keeps_trading(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    dialog = window.ask_emergency()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    QApplication.processEvents()
    assert not service.sent and window._stop_dialog is None


def test_pause_becomes_resume(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    window.strip.pause_button.click()
    qtbot.waitUntil(lambda: service.sent == [Pause()])
    window.show_strip(sample.strip(state="PAUSED"))
    assert window.strip.pause_button.text() == "Resume"
    window.strip.pause_button.click()
    qtbot.waitUntil(lambda: service.sent == [Pause(), Resume()])


@pytest.mark.parametrize("at", range(len(TABS)), ids=KEYS)
@pytest.mark.parametrize("size", [(1600, 900), (1366, 768)], ids=["wide", "narrow"])
def test_every_tab_draws_its_view(
    service: FakeService, open_window: Opened, qtbot: Any, at: int, size: tuple[int, int]
) -> None:
    window = open_window(service, *size)
    window.show_tab(at)
    settle(qtbot, window)
    if KEYS[at] == "signals":
        qtbot.waitUntil(lambda: window.tab.detail is not None)
    hint = window.tab.minimumSizeHint()
    whole = window.minimumSizeHint()
    assert hint.width() <= 1366 and hint.height() <= 768
    assert whole.height() <= 768 and whole.width() <= size[0]
    assert (window.width(), window.height()) == size
    assert colours(window.tab) > 40


@pytest.mark.parametrize("at", range(len(TABS)), ids=KEYS)
def test_every_tab_says_what_fills_it_while_it_is_empty(
    empty_service: FakeService, open_window: Opened, qtbot: Any, at: int
) -> None:
    window = open_window(empty_service)
    window.show_tab(at)
    settle(qtbot, window)
    from dashboard.widgets.cards import EmptyView

    if KEYS[at] != "settings":
        shown = [view for view in window.tab.findChildren(EmptyView) if view.isVisible()]
        assert shown and all(view.title.text() and view.sentence.text().endswith(".") for view in shown)
    window.tab.grab()


@pytest.mark.parametrize("name", ["light", "dark"])
def test_both_palettes_draw(window: MainWindow, qtbot: Any, name: str) -> None:
    window.use_look(name, True, True)
    settle(qtbot, window)
    window.grab()
    assert theme.name == name and theme.token("profit") == theme.token("cbUp")
    window.use_look("dark", False, False)


def test_keys_reach_the_tabs(window: MainWindow, qtbot: Any) -> None:
    qtbot.keyClick(window, Qt.Key.Key_6, Qt.KeyboardModifier.ControlModifier)
    assert window.tab.key == "models"
    qtbot.keyClick(window, Qt.Key.Key_1, Qt.KeyboardModifier.ControlModifier)
    assert window.tab.key == "overview"


def test_the_palette_finds_and_does(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    window.show_tab(1)
    settle(qtbot, window)
    window.open_palette()
    box = window.palette_box
    assert box.isVisible()
    qtbot.keyClicks(box.field, "eth")
    assert [entry.words for entry in box.list.entries] == ["Chart: ETHUSDT", "What if: ETHUSDT"]
    qtbot.keyClick(box.field, Qt.Key.Key_Return)
    assert box.isHidden()
    qtbot.waitUntil(lambda: any(isinstance(a, q.ChartQuery) and a.symbol == "ETH/USDT:USDT" for a in service.asked))
    names = [entry.words for entry in matching(window.entries(), "ris")]
    assert names[0] == "Risk"


def test_only_a_new_revision_asks_again(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    settle(qtbot, window)
    service.asked.clear()
    window._due()
    assert not service.asked
    window.show_strip(sample.strip(revision=2))
    window._due()
    qtbot.waitUntil(lambda: [type(a) for a in service.asked] == [q.OverviewQuery])


def test_opening_a_decision_shows_it(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    window.go_to("signals", "7f3a91c0b2d4")
    settle(qtbot, window)
    tab = window.tab
    assert isinstance(tab, SignalsTab)
    qtbot.waitUntil(lambda: tab.detail is not None)
    assert tab.gate_badge.words == "13 of 14 passed"
    assert "threshold 0.31" in tab.sentence.text()
    tab.on_chart.click()
    assert window.tab.key == "chart"


def test_the_chart_follows_live_and_stops_when_it_is_moved(window: MainWindow, qtbot: Any) -> None:
    window.show_tab(1)
    settle(qtbot, window)
    tab = window.tab
    assert isinstance(tab, ChartTab)
    first, last = tab.chart.price.viewRange()[0]
    assert first < 2999 <= last
    tab.chart.price.setXRange(100, 300, padding=0)
    tab.chart.follow_check()
    assert not tab.chart.follow and not tab.follow.isChecked()
    tab.follow.setChecked(True)
    assert tab.chart.price.viewRange()[0][1] >= 2999


def test_the_cross_hair_reads_the_bar_under_it(window: MainWindow, qtbot: Any) -> None:
    window.show_tab(1)
    settle(qtbot, window)
    chart = window.tab.chart  # type: ignore[attr-defined]
    chart.point(chart.price, QPoint(400, 100).toPointF())
    at = chart.read_out.at
    view = chart.view
    words = [word for line in chart.read_out.words() for word, _, _ in line]
    assert 0 <= at < view.close.size
    assert f"{view.close[at]:,.1f}" in words
    assert chart.time_axis.cross is not None


def test_a_position_is_closed_only_after_asking(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    window.go_to("positions-orders", None)
    settle(qtbot, window)
    window.tab.panel.close_button.click()  # type: ignore[attr-defined]
    from dashboard.widgets.notices import AskOnce

    dialog = window.findChild(AskOnce)
    assert dialog is not None and not service.sent
    dialog.act_button.click()
    qtbot.waitUntil(lambda: service.sent == [ClosePosition("SOLUSDT")])


def test_a_refused_setting_says_why_beside_the_field(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    window.go_to("settings", None)
    settle(qtbot, window)
    tab = window.tab
    assert isinstance(tab, SettingsTab)
    line = tab.lines["daily_loss_limit"]
    service.outcome = Outcome(False, "daily_loss_limit must lie between 0.001 and 0.1 (fraction).")
    line.field.setText("12")  # type: ignore[attr-defined]
    line.field.editingFinished.emit()  # type: ignore[attr-defined]
    qtbot.waitUntil(lambda: "0.001" in line.range.text() and "between" in line.range.text())
    assert service.sent == [SetSetting("daily_loss_limit", "12")]


def test_events_become_notices_and_errors_stay(window: MainWindow, service: FakeService, qtbot: Any) -> None:
    service.happen(
        NoticeEvent(sample.NOW, "bad", "SOLUSDT has no resting stop", "The venue refused the order.", "risk")
    )
    service.happen(JobEvent(sample.NOW, "j", "Training", "done", "Log-loss gain +0.16 %.", "models"))
    qtbot.waitUntil(lambda: len(window.notices.notices) == 2)
    first, second = window.notices.notices
    assert first.level == "bad" and second.level == "ok"
    from PyQt6.QtCore import QTimer

    assert not first.findChildren(QTimer) and second.findChildren(QTimer)
    first.dismiss()
    assert window.notices.notices == [second]


def test_a_query_that_fails_is_shown_and_the_window_goes_on(
    window: MainWindow, service: FakeService, qtbot: Any, caplog: Any
) -> None:
    service.answers[q.RiskQuery] = RuntimeError("the ledger cannot be read")
    window.go_to("risk", None)
    qtbot.waitUntil(lambda: any("ledger" in n.sentence_words for n in window.notices.notices))
    window.show_tab(0)
    settle(qtbot, window)


def test_a_raising_slot_is_logged_and_shown_and_ends_nothing(
    window: MainWindow, qtbot: Any, caplog: Any, monkeypatch: Any
) -> None:
    report = FailureReport()
    report.show = window.bridge.failed.emit

    def broken() -> None:
        raise ValueError("a slot broke")

    monkeypatch.setattr(sys, "excepthook", report.caught)
    with qtbot.captureExceptions() as caught:
        monkeypatch.setattr(sys, "excepthook", report.caught)
        window.strip.start.connect(broken)
        window.strip.start.emit()
    assert not caught
    qtbot.waitUntil(lambda: any("a slot broke" in n.sentence_words for n in window.notices.notices))
    assert "ValueError" in caplog.text
    assert window.isVisible()


def test_the_layout_comes_back(service: FakeService, open_window: Opened, qtbot: Any) -> None:
    first = open_window(service)
    first.go_to("trades", None)
    settle(qtbot, first)
    table = first.tab.table  # type: ignore[attr-defined]
    table.setColumnWidth(1, 210)
    first.close()
    second = open_window(service)
    assert second.tab.key == "trades"
    assert second.tab.table.overrides == {"symbol": 210}  # type: ignore[attr-defined]


def test_a_gate_is_drawn_from_its_numbers() -> None:
    looks = {gate.label: look_of(gate) for gate in sample.gates()}
    assert looks["Margin per symbol"].tone == "accent" and looks["Margin per symbol"].icon == "check"
    assert looks["Trades"].tone == "warn"
    assert looks["Volatility, 1 h"].tone == "danger" and looks["Volatility, 1 h"].icon == "bad"
    assert looks["Spread / stop"].value == "unknown"
    assert looks["Leverage"].tone == "s6" and looks["Target, at least"].tick < 1
