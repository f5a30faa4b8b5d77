"""The window offscreen over a service that answers from a table."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_service import FakeService, empty_answers
from PyQt6.QtWidgets import QApplication

from dashboard.bridge import Bridge
from dashboard.main_window import MainWindow
from dashboard.theme import dress


@pytest.fixture(scope="session")
def dressed(qapp: QApplication) -> QApplication:
    """The application with the program's fonts and sheet."""
    dress(qapp)
    return qapp


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    made = FakeService(tmp_path)
    yield made
    made.end()


@pytest.fixture
def empty_service(tmp_path: Path) -> Iterator[FakeService]:
    made = FakeService(tmp_path, empty_answers())
    yield made
    made.end()


@pytest.fixture
def open_window(dressed: QApplication, qtbot: Any) -> Callable[..., MainWindow]:
    """Opens a window of a size over a service; it is closed at the end."""
    held: list[MainWindow] = []  # a window nobody holds may be collected while it paints

    def opened(service: FakeService, wide: int = 1600, tall: int = 900) -> MainWindow:
        window = MainWindow(Bridge(service), service.home / "window.ini")
        held.append(window)
        qtbot.addWidget(window)
        window.resize(wide, tall)
        window.show()
        qtbot.waitUntil(lambda: window.strip_view is not None)
        return window

    return opened


@pytest.fixture
def window(service: FakeService, open_window: Callable[..., MainWindow]) -> MainWindow:
    return open_window(service)
