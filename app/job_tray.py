"""The jobs of a running program as the window shows them: how far, what came out, which a person put away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from app.contract.events import JobEvent
from app.contract.results import JobsView, JobView
from app.jobs import Jobs, JobStatus

Words = Callable[[Any], tuple[str, str]]  # what a result says: a sentence, and the tab that shows more


class JobTray:
    """Starts jobs whose results are put into words, and lists them, newest first."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs
        self._dismissed: set[int] = set()
        self._results: dict[int, tuple[str, str]] = {}

    def start(self, name: str, work: str, arguments: Mapping[str, object], words: Words) -> None:
        """Start a job (``app.jobs.Jobs.start``)."""
        job_id, future = self.jobs.start(name, work, arguments)

        def ended(done: Future[Any]) -> None:
            if done.exception() is None:
                self._results[job_id] = words(done.result())

        future.add_done_callback(ended)

    def dismiss(self, job_id: int) -> None:
        """Leave a job out of the view."""
        self._dismissed.add(job_id)

    def view(self) -> JobsView:
        """All jobs that were not put away."""
        shown = [s for s in reversed(self.jobs.statuses()) if s.job_id not in self._dismissed]
        return JobsView(tuple(self._row(status) for status in shown))

    def event(self, status: JobStatus, now_ms: int) -> JobEvent:
        """What is told when a job has ended."""
        words, tab = self._said(status)
        sentence = status.error or words
        return JobEvent(now_ms, str(status.job_id), status.name, status.state, sentence, tab)

    def _row(self, status: JobStatus) -> JobView:
        words, tab = self._said(status)
        name, _, about = status.name.partition(" ")
        return JobView(
            str(status.job_id), name, about, status.words, status.fraction if status.total else None,
            status.remaining_s, status.state, status.state == "running", status.error or "", words, tab,
        )  # fmt: skip

    def _said(self, status: JobStatus) -> tuple[str, str]:
        words, tab = self._results.get(status.job_id, ("", "models"))
        return words or status.words, tab
