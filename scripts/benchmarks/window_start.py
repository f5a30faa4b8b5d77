"""Opens the window, prints ``drawn`` after its first painted frame, and closes it: the child of row P16."""

from __future__ import annotations

import sys
from typing import Any

from PyQt6.QtCore import QEvent, QObject, QTimer

import dashboard.app
import dashboard.main_window


class FirstPaint(QObject):
    """Waits for the window's first paint."""

    def __init__(self, window: Any) -> None:
        super().__init__(window)
        self.window = window
        self.seen = False
        window.installEventFilter(self)

    def eventFilter(self, _a0: QObject | None, a1: QEvent | None) -> bool:
        if a1 is not None and a1.type() == QEvent.Type.Paint and not self.seen:
            self.seen = True
            QTimer.singleShot(0, self.done)  # after the paint that is on its way
        return False

    def done(self) -> None:
        """Say so and end the run."""
        sys.stdout.write("drawn\n")
        sys.stdout.flush()
        self.window.close()


class WatchedWindow(dashboard.main_window.MainWindow):
    """The window, watched."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.first_paint = FirstPaint(self)


if __name__ == "__main__":
    dashboard.main_window.MainWindow = WatchedWindow  # type: ignore[misc]
    sys.exit(dashboard.app.run(sys.argv[1:]))
