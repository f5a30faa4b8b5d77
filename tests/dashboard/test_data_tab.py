"""The data tab and its dialogs over a service that answers from a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sample_market as sample
from fake_service import FakeService
from PyQt6.QtCore import QRectF
from PyQt6.QtGui import QImage, QPainter
from PyQt6.QtWidgets import QApplication

from app.contract import queries as q
from app.contract.commands import CheckSeries, DownloadSeries, ImportFiles
from dashboard.charts.coverage import CoverageStrip
from dashboard.downloading import DownloadDialog
from dashboard.importing import ImportDialog, guess
from dashboard.main_window import MainWindow
from dashboard.tabs.data import DataTab
from dashboard.theme import theme

pytestmark = pytest.mark.qt
Opened = Callable[..., MainWindow]


def opened(qtbot: Any, window: MainWindow) -> DataTab:
    tab = window.by_key["data"]
    assert isinstance(tab, DataTab)
    window.go_to("data", None)
    qtbot.waitUntil(lambda: tab.shown, timeout=5000)
    QApplication.processEvents()
    return tab


def test_the_first_series_is_picked_and_its_report_shown(qtbot: Any, window: MainWindow) -> None:
    tab = opened(qtbot, window)
    assert tab.series.rows.rowCount() == len(sample.data_view().series)
    qtbot.waitUntil(lambda: tab.findings.rows.rowCount() == 3, timeout=5000)
    assert tab.report_card.subtitle.text() == "BTCUSDT 15m · 3 findings"
    assert tab.check.isEnabled() and tab.repair.isEnabled()


def test_check_and_repair_name_the_picked_series(qtbot: Any, window: MainWindow, service: FakeService) -> None:
    tab = opened(qtbot, window)
    tab.series.pick("binanceusdm|SOL/USDT:USDT|15m|ohlcv|exchange")
    tab.check.click()
    qtbot.waitUntil(lambda: bool(service.sent), timeout=5000)
    assert service.sent[-1] == CheckSeries("binanceusdm|SOL/USDT:USDT|15m|ohlcv|exchange")
    tab.check_all.click()
    qtbot.waitUntil(lambda: len(service.sent) == 2, timeout=5000)
    assert service.sent[-1] == CheckSeries()


def test_a_late_report_of_another_series_is_not_shown(qtbot: Any, window: MainWindow) -> None:
    tab = opened(qtbot, window)
    tab.series.pick("binanceusdm|SOL/USDT:USDT|15m|ohlcv|exchange")
    tab.findings.rows.replace(())
    tab.show_findings(sample.findings_view())  # BTCUSDT's
    assert tab.findings.rows.rowCount() == 0


def test_without_data_the_tab_says_what_brings_some(
    qtbot: Any, empty_service: FakeService, open_window: Opened
) -> None:
    tab = opened(qtbot, open_window(empty_service))
    assert tab.series.isHidden() and not tab.check_all.isEnabled() and tab.check_all.toolTip()
    assert tab.market_card.isHidden()
    assert not tab.save.isEnabled() and not tab.repair.isEnabled()


def test_a_download_is_sent_as_it_was_asked_for(qtbot: Any, window: MainWindow, service: FakeService) -> None:
    tab = opened(qtbot, window)
    dialog = DownloadDialog(tab, tab.bridge, "bybit", ("BTC/USDT:USDT",))
    assert not dialog.go.isEnabled()
    dialog.since.setText("2024-01-01")
    dialog.kind.setCurrentText("Funding rates")
    assert not dialog.frame.isEnabled()
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(service.sent), timeout=5000)
    assert service.sent[-1] == DownloadSeries("BTCUSDT", "8h", "2024-01-01", "", "funding", "bybit")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("BTCUSDT-aggTrades-2024-01-01.zip", "Trades"), ("BTCUSDT-metrics-2024-01-01.zip", "Open interest, ratios"),
        ("BTCUSDT-fundingRate-2024-01.zip", "Funding rates"), ("BTCUSDT-1m-2024-01.zip", "Candles"),
        ("markPriceKlines/BTCUSDT-1m-2024-01.zip", "Mark prices"),
    ],
)  # fmt: skip
def test_the_import_dialog_reads_the_kind_from_the_name(path: str, kind: str) -> None:
    assert guess(path)[2] == kind


def test_kinds_without_bars_are_imported_without_a_timeframe(
    qtbot: Any, window: MainWindow, service: FakeService
) -> None:
    dialog = ImportDialog(window, window.bridge)
    dialog.take(("BTCUSDT-aggTrades-2024-01-01.zip",))
    dialog.go.click()
    qtbot.waitUntil(lambda: bool(service.sent), timeout=5000)
    assert service.sent[-1] == ImportFiles(("BTCUSDT-aggTrades-2024-01-01.zip",), "BTCUSDT", "", "trades")


def test_a_strip_paints_holes_red_and_what_is_there_in_the_accent(dressed: QApplication) -> None:
    image = QImage(100, 20, QImage.Format.Format_RGB32)
    image.fill(theme.color("bg1"))
    shares = np.array([np.nan, 1.0, 0.0, 0.5, 1.0])
    painter = QPainter(image)
    CoverageStrip.of(shares).draw(painter, QRectF(0, 0, 100, 20))
    painter.end()
    pixel = [image.pixelColor(10 + 20 * i, 10) for i in range(5)]
    assert pixel[1] == pixel[4] != pixel[2] != pixel[3]
    assert pixel[2].red() > pixel[2].blue() and pixel[1].blue() > pixel[1].red()


def test_the_same_coverage_is_the_same_picture() -> None:
    shares = np.array([np.nan, 1.0, 0.25])
    assert CoverageStrip.of(shares) == CoverageStrip.of(shares.copy())


def test_the_tab_asks_for_what_it_shows(qtbot: Any, window: MainWindow, service: FakeService) -> None:
    opened(qtbot, window)
    kinds = {type(asked) for asked in service.asked}
    assert {q.DataQuery, q.FindingsQuery} <= kinds
