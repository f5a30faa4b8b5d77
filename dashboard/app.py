"""The window's start: ``python -m dashboard.app [--home DIR] [options of run]``.

Order matters: the hooks that keep an exception from ending the process come first, then Qt and its fonts, then the
service (which the window knows by ``app.contract`` only), then the window on the qasync loop.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)
Reporter = Callable[[str], None]


class FailureReport:
    """Where unhandled exceptions go: the log always, the window once it is there."""

    def __init__(self) -> None:
        self.show: Reporter | None = None

    def caught(
        self, kind: type[BaseException], value: BaseException | None, trace: TracebackType | None, where: str = ""
    ) -> None:
        """Log with the traceback, tell the window, go on."""
        if kind is KeyboardInterrupt:
            sys.__excepthook__(kind, value or kind(), trace)
            return
        log.error("unhandled exception%s", f" in {where}" if where else "", exc_info=(kind, value or kind(), trace))
        if self.show is not None:
            self.show(f"{kind.__name__}: {value}" if str(value) else kind.__name__)

    def install(self) -> None:
        """Set the process's hooks: without them PyQt6 ends the process when a slot raises."""
        sys.excepthook = self.caught
        threading.excepthook = lambda args: self.caught(
            args.exc_type, args.exc_value, args.exc_traceback, args.thread.name if args.thread else ""
        )

    def on_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """The same for a loop's tasks and callbacks."""

        def handler(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            problem = context.get("exception")
            if isinstance(problem, BaseException):
                self.caught(type(problem), problem, problem.__traceback__, str(context.get("message", "")))
            else:
                log.error("event loop: %s", context.get("message"))

        loop.set_exception_handler(handler)


async def _closed(window: Any, closing: asyncio.Event) -> None:
    await closing.wait()
    window.hide()
    future = window.bridge.close()
    if future is not None:
        await asyncio.wait_for(asyncio.wrap_future(future), timeout=12)


def run(arguments: Sequence[str]) -> int:
    """Open the window; the exit code. A wrong argument or home is said in one sentence, before any window."""
    report = FailureReport()
    report.install()
    from app.runtime import open_service

    service = open_service(list(arguments))
    import qasync
    from PyQt6.QtWidgets import QApplication

    from dashboard.bridge import Bridge
    from dashboard.main_window import MainWindow
    from dashboard.theme import dress

    app = QApplication([sys.argv[0]])
    app.setApplicationName("QuantAI-Trad")
    app.setQuitOnLastWindowClosed(False)
    dress(app)
    loop = qasync.QEventLoop(app)
    asyncio.set_event_loop(loop)
    report.on_loop(loop)
    bridge = Bridge(service)
    window = MainWindow(bridge, service.home / "window.ini")
    report.show = bridge.failed.emit
    closing = asyncio.Event()
    window.closed.connect(closing.set)
    window.show()
    bridge.start(lambda _: None)
    with loop:
        loop.run_until_complete(_closed(window, closing))
    return 0


def for_a_person(problem: BaseException) -> bool:
    """Whether an error's text is one sentence for a person: its class comes from the project's error room."""
    return any(kind.__module__ == "data.errors" for kind in type(problem).__mro__)


def main() -> None:
    """Entry point; errors for a person end in one sentence and exit code 1."""
    try:
        code = run(sys.argv[1:])
    except Exception as problem:
        if not for_a_person(problem):
            raise
        sys.stderr.write(f"{problem}\n")
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
