"""The tray at the bottom: the job that runs, the one that ended last, and the time."""

from __future__ import annotations

from PyQt6.QtCore import QRectF, pyqtSignal
from PyQt6.QtGui import QPainter, QPaintEvent
from PyQt6.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.contract.results import JobsView, JobView
from dashboard import numbers, painting
from dashboard.theme import MARGIN, TRAY_H, theme
from dashboard.widgets.cards import Elided, label
from dashboard.widgets.controls import Button


class JobBar(QWidget):
    """A thin progress bar."""

    def __init__(self) -> None:
        super().__init__()
        self.fraction: float | None = None
        self.tone = "accent"
        self.setMinimumWidth(60)
        self.setMaximumWidth(200)
        self.setFixedHeight(6)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painting.bar(QPainter(self), QRectF(0, 0.5, self.width(), 5), self.fraction, self.tone)


class IconView(QWidget):
    """An icon on its own."""

    def __init__(self, name: str, tone: str, size: int = 15) -> None:
        super().__init__()
        self.name, self.tone = name, tone
        self._size = size
        self.setFixedSize(size + 1, size + 3)

    def show_icon(self, name: str, tone: str) -> None:
        """Change it."""
        self.name, self.tone = name, tone
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        painting.icon(QPainter(self), 0, self.height() / 2, self.name, self.tone, self._size)


def progress_words(job: JobView) -> str:
    """``fold 17 of 31 · 54 % · 6 min 40 s left``."""
    parts = [job.step] if job.step else []
    if job.fraction is not None:
        parts.append(numbers.percent(job.fraction, 0))
    if job.remaining_s is not None:
        parts.append(f"{numbers.span(job.remaining_s)} left")
    return " · ".join(parts)


class Tray(QWidget):
    """One line; jobs beyond the first are counted."""

    cancel = pyqtSignal(str)
    dismiss = pyqtSignal(str)
    opened = pyqtSignal(str)  # tab key

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(TRAY_H)
        self._running: JobView | None = None
        self._ended: JobView | None = None
        row = QHBoxLayout(self)
        row.setContentsMargins(MARGIN, 0, MARGIN, 0)
        row.setSpacing(9)
        self.icon = IconView("gear", "accent")
        self.name, self.about = label("", 12, 600), label("", 12, 400, "text3")
        self.bar, self.words = JobBar(), label("", 12, 400, "text2")
        self.cancel_button = Button("Cancel", "ghost", height=24)
        self.end_icon, self.end_words = IconView("done", "profit"), Elided("", 12, 400, "text2")
        self.open_button, self.dismiss_button = Button("Open", "link"), Button("Dismiss", "link")
        self.counts, self.clock = label("", 12, 400, "text3"), label("", 12, 400, "text2")
        self.end_words.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.quiet: QLabel = label("No job is running", 12, 400, "text3")
        self._run_parts: tuple[QWidget, ...] = (
            self.icon,
            self.name,
            self.about,
            self.bar,
            self.words,
            self.cancel_button,
        )
        self._end_parts: tuple[QWidget, ...] = (self.end_icon, self.end_words, self.open_button, self.dismiss_button)
        for part in (self.quiet, *self._run_parts, *self._end_parts):
            row.addWidget(part, 2 if part is self.bar else 0)
        row.addStretch(1)
        row.addWidget(self.counts)
        self.bar_time = label("", 12, 400, "text3")
        row.addWidget(self.bar_time)
        row.addWidget(self.clock)
        self.cancel_button.clicked.connect(self._cancel)
        self.dismiss_button.clicked.connect(self._dismiss)
        self.open_button.clicked.connect(self._open)
        self.show_jobs(JobsView(()))

    def _cancel(self) -> None:
        if self._running is not None:
            self.cancel.emit(self._running.job_id)

    def _dismiss(self) -> None:
        if self._ended is not None:
            self.dismiss.emit(self._ended.job_id)

    def _open(self) -> None:
        if self._ended is not None:
            self.opened.emit(self._ended.result_tab)

    def show_jobs(self, view: JobsView) -> None:
        """Show new states of the jobs."""
        running = [job for job in view.jobs if job.state in ("running", "queued")]
        ended = [job for job in view.jobs if job.state not in ("running", "queued")]
        self._running = running[0] if running else None
        self._ended = ended[0] if ended else None
        for part in self._run_parts:
            part.setVisible(self._running is not None)
        for part in self._end_parts:
            part.setVisible(self._ended is not None)
        self.quiet.setVisible(not view.jobs)
        if self._running is not None:
            job = self._running
            self.name.setText(job.name)
            self.about.setText(job.about)
            self.bar.fraction = job.fraction
            self.words.setText(progress_words(job))
            self.cancel_button.setVisible(job.cancellable)
            self.bar.update()
        if self._ended is not None:
            self._show_ended(self._ended)
        parts = [f"{len(running)} running"] if running else []
        parts += [f"{len(ended)} finished"] if ended else []
        self.counts.setText(" · ".join(parts))

    def _show_ended(self, job: JobView) -> None:
        failed = job.state == "failed"
        self.end_icon.show_icon("bad" if failed else "done", "danger" if failed else "profit")
        if failed:
            words = f"{job.name} failed: {job.error}"
        elif job.state == "cancelled":
            words = f"{job.name} cancelled"
        else:
            words = f"{job.name} {job.about}".strip() + " is done" + (f": {job.result}" if job.result else "")
        self.end_words.show_words(numbers.typeset(words), "danger" if failed else "text2")
        self.end_words.setMaximumWidth(self.end_words.sizeHint().width() + 4)
        self.open_button.setVisible(bool(job.result_tab) and not failed)

    def show_time(self, now_ms: int | None, bar_ms: int | None = None) -> None:
        """Show the service's clock, UTC with the local time in the tip, and the newest bar's close."""
        self.bar_time.setText("" if bar_ms is None else f"bar {numbers.day_clock(bar_ms)}")
        if now_ms is not None:
            local = numbers.moment(now_ms).astimezone().strftime("%H:%M")
            self.clock.setText(f"{numbers.clock(now_ms, True)} UTC")
            self.clock.setToolTip(f"{local} local")

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        p = QPainter(self)
        p.fillRect(self.rect(), theme.color("bg1"))
        p.fillRect(0, 0, self.width(), 1, theme.color("line"))
