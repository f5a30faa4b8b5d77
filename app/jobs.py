"""Long work in worker processes: spawned, cancellable, with progress, and gone soon after their parent.

A job is a module-level function ``work(report, **arguments) -> result``; arguments and result are picklable and small
(series keys rather than arrays). ``report(done, total, words)`` sends progress. The child imports no Qt and ends by
itself within two seconds when the parent's pipe closes.
"""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any, Literal

from app.process_tree import kill_tree, resident_mib
from data.clock import Clock, SystemClock
from data.errors import QuantError, UserError
from data.workers import interrupts_held

Report = Callable[[int, int, str], None]
JobState = Literal["running", "done", "failed", "cancelled"]

MEMORY_LOOK_S = 0.25
ENDED: tuple[JobState, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobStatus:
    """How far a job is. ``remaining_s`` is an estimate from the share done, ``None`` before the first step."""

    job_id: int
    name: str
    state: JobState = "running"
    done: int = 0
    total: int = 0
    words: str = ""
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    error: str | None = None

    @property
    def fraction(self) -> float:
        """Share done, 0 to 1."""
        return self.done / self.total if self.total else 0.0


def remaining_seconds(elapsed_s: float, done: int, total: int) -> float | None:
    """Time left if the rest goes as fast as what is done."""
    if done <= 0 or total <= 0:
        return None
    return elapsed_s * (total - done) / done


@dataclass(slots=True)
class _Job:
    status: JobStatus
    process: multiprocessing.process.BaseProcess
    pipe: Connection
    started: float
    limit_s: float | None
    memory_mb: int | None
    future: Future[Any] = field(default_factory=Future)
    cancelled: bool = False
    took: str | None = None  # more than what, where that ended it


class Jobs:
    """Starts jobs and follows them. ``on_change`` is called from a follower thread with each new status."""

    def __init__(self, on_change: Callable[[JobStatus], None] | None = None, clock: Clock | None = None) -> None:
        self._on_change = on_change
        self._clock = clock or SystemClock()
        self._context = multiprocessing.get_context("spawn")
        self._jobs: dict[int, _Job] = {}
        self._threads: list[threading.Thread] = []
        self._next = 1
        self._lock = threading.Lock()

    def start(
        self, name: str, work: str, arguments: Mapping[str, Any], limit_s: float | None = None,
        memory_mb: int | None = None,
    ) -> tuple[int, Future[Any]]:  # fmt: skip
        """Start ``work`` (``"module:function"``) in a process of its own; the future holds its result or error.

        A job that takes longer than ``limit_s`` seconds, or more than ``memory_mb`` MiB of resident memory together
        with the processes that it starts, is killed with them and has failed. Memory is looked at four times in a
        second; a limit on address space would count what compiled code and libraries only reserve.
        """
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_child, args=(theirs, work, dict(arguments)), daemon=False)
        with interrupts_held():
            process.start()
        theirs.close()
        with self._lock:
            job_id = self._next
            self._next += 1
            job = _Job(JobStatus(job_id, name), process, ours, self._clock.monotonic(), limit_s, memory_mb)
            self._jobs[job_id] = job
        follower = threading.Thread(target=self._follow, args=(job,), name=f"job-{job_id}", daemon=True)
        self._threads.append(follower)
        follower.start()
        self._announce(job)
        return job_id, job.future

    def cancel(self, job_id: int) -> bool:
        """Ask a running job to end now; False if there is none of that id."""
        job = self._jobs.get(job_id)
        if job is None or job.status.state in ENDED:
            return False
        job.cancelled = True
        job.process.terminate()
        return True

    def statuses(self) -> list[JobStatus]:
        """All jobs of this run, oldest first, running ones with their time so far."""
        return [self._timed(job) for job in list(self._jobs.values())]

    def close(self, grace_s: float = 5.0) -> None:
        """Cancel what runs, wait up to ``grace_s`` seconds, then kill."""
        for job_id in list(self._jobs):
            self.cancel(job_id)
        deadline = self._clock.monotonic() + grace_s
        for job in self._jobs.values():
            job.process.join(max(0.0, deadline - self._clock.monotonic()))
            if job.process.is_alive():
                job.process.kill()
                job.process.join()
        for thread in self._threads:
            thread.join(2.0)

    def _timed(self, job: _Job) -> JobStatus:
        status = job.status
        if status.state in ENDED:
            return status
        elapsed = self._clock.monotonic() - job.started
        return replace(status, elapsed_s=elapsed, remaining_s=remaining_seconds(elapsed, status.done, status.total))

    def _announce(self, job: _Job) -> None:
        if self._on_change is not None:
            self._on_change(self._timed(job))

    def _follow(self, job: _Job) -> None:
        outcome: tuple[str, Any] | None = None
        while outcome is None:
            try:
                if not job.pipe.poll(self._pause(job)):
                    job.took = self._too_much(job)
                    if job.took is None:
                        continue
                    kill_tree(job.process.pid)
                    break
                kind, *body = job.pipe.recv()
            except (EOFError, OSError):
                break
            if kind == "progress":
                done, total, words = body
                job.status = replace(job.status, done=done, total=total, words=words)
                self._announce(job)
            else:
                outcome = (kind, body[0])
        job.process.join()
        job.pipe.close()
        self._finish(job, outcome)

    def _left(self, job: _Job) -> float | None:
        if job.limit_s is None:
            return None
        return max(0.0, job.started + job.limit_s - self._clock.monotonic())

    def _pause(self, job: _Job) -> float | None:
        """How long to wait for a word of the job before looking at its limits; ``None``: it has none."""
        left = self._left(job)
        if job.memory_mb is None:
            return left
        return MEMORY_LOOK_S if left is None else min(left, MEMORY_LOOK_S)

    def _too_much(self, job: _Job) -> str | None:
        if self._left(job) == 0.0:
            return f"longer than {_duration(job.limit_s)}"
        if job.memory_mb is not None and resident_mib(job.process.pid) > job.memory_mb:
            return f"more than {job.memory_mb:,} MiB"
        return None

    def _finish(self, job: _Job, outcome: tuple[str, Any] | None) -> None:
        elapsed = self._clock.monotonic() - job.started
        name = job.status.name
        state: JobState = "done"
        error: QuantError | None = None
        if outcome is not None and outcome[0] == "done":
            pass
        elif job.cancelled:
            state, error = "cancelled", UserError(f"{name} was cancelled.")
        elif outcome is not None:
            state, error = "failed", UserError(str(outcome[1]))
        elif job.took is not None:
            state, error = "failed", UserError(f"{name} took {job.took} and was ended.")
        else:
            code = job.process.exitcode
            state, error = "failed", UserError(f"{name} ended without a result (exit code {code}); the log says more.")
        job.status = replace(
            job.status, state=state, elapsed_s=elapsed, remaining_s=None, error=str(error) if error else None
        )
        if error is None:
            job.future.set_result(outcome[1] if outcome else None)
        else:
            job.future.set_exception(error)
        if self._on_change is not None:
            self._on_change(job.status)


def _duration(seconds: float | None) -> str:
    whole = seconds or 0.0
    value, unit = (whole / 60, "minute") if whole >= 60 else (whole, "second")
    return f"{value:g} {unit}" if value == 1.0 else f"{value:g} {unit}s"


def _child(pipe: Connection, work: str, arguments: dict[str, Any]) -> None:
    """Run in the worker process."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # A job may be killed at any moment; what its own workers leave behind is then cleaned up without a word.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker:UserWarning")
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to the parent, which cancels us
    lock = threading.Lock()

    def report(done: int, total: int, words: str) -> None:
        with lock:
            pipe.send(("progress", done, total, words))

    try:
        module, _, function = work.partition(":")
        result = getattr(importlib.import_module(module), function)(report, **arguments)
    except QuantError as error:
        pipe.send(("failed", str(error)))
    except Exception as error:
        import traceback

        traceback.print_exc()
        pipe.send(("failed", f"{type(error).__name__}: {error}"))
    else:
        pipe.send(("done", result))
    finally:
        pipe.close()


def _end_with_parent() -> None:
    """End this process when the parent is gone (its process handle becomes ready), killed or not."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(3)
