"""Where independent pieces of work are done: here, in processes of this machine, or on a cluster.

The results are the same wherever they are made: work is a function of a module, it is given all it needs, and the
libraries below it get one thread for each piece of work. Processes are joblib's (loky), which need no ``if __name__ ==
"__main__"`` around the caller; a cluster is Dask's (:mod:`data.cluster`).
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from data.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")
Cancelled = Callable[[], bool]

LOOK_S = 0.2  # how often a wait asks whether it was cancelled
LIMITS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Workers:
    """The same results in the same order, wherever the work is done."""

    processes: int = 1  # of this machine; 1: in this process, one after the other
    cluster: str | None = None  # address of a Dask scheduler; then ``processes`` does not matter

    def each(
        self, work: Callable[[Job], Result], jobs: Iterable[Job], cancelled: Cancelled | None = None
    ) -> Iterator[Result]:
        """``work`` of every job, in the order of the jobs, each as soon as it and those before it are done.

        It ends early, without an error, where ``cancelled`` says so or the iterator is closed; what runs then is
        ended (on a cluster: taken back, what has begun there runs out). No process is left behind. In a process
        that may have no children (a pool's own worker) the work is done there, one after the other.

        Args:
            work: a function of a module (workers import it by name).
            jobs: what it is given; they travel pickled. A few are taken ahead of the results, never all of them, so
                they may be made while they are asked for.
            cancelled: asked while waiting for a result, several times in a second.

        Raises:
            UserError: the cluster cannot be reached, was lost or has another version; a process died.
            Exception: the first one that ``work`` raised, in the order of the jobs.
        """
        task = Task(work)
        if self.cluster is not None:
            from data.cluster import Cluster

            yield from _in_order(Cluster.reached(self.cluster, task), jobs, cancelled)
            return
        todo = iter(jobs)
        first = list(itertools.islice(todo, max(1, self.processes)))
        rest = itertools.chain(first, todo)
        if len(first) > 1 and not multiprocessing.current_process().daemon:
            yield from _in_order(_Processes(len(first), task), rest, cancelled)
            return
        for job in rest:
            if cancelled is not None and cancelled():
                return
            yield task(job)


@dataclass(frozen=True, slots=True)
class Task(Generic[Job, Result]):
    """The work as a worker does it: with one thread for the libraries below it."""

    work: Callable[[Job], Result]

    def __call__(self, job: Job) -> Result:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            return self.work(job)


class Place(Protocol):
    """Somewhere that takes jobs."""

    @property
    def ahead(self) -> int:
        """How many jobs it is given before the first result is waited for."""
        ...

    def submit(self, job: Any) -> Any:
        """Hand a job over; gives its ticket."""
        ...

    def settled(self, ticket: Any, seconds: float) -> bool:
        """Wait up to ``seconds`` for the job to be done or to have failed."""
        ...

    def result(self, ticket: Any) -> Any:
        """The result of a settled job, or its error raised."""
        ...

    def close(self) -> None:
        """End whatever still runs and let go of all that is held."""
        ...


def _in_order(place: Place, jobs: Iterable[Any], cancelled: Cancelled | None) -> Iterator[Any]:
    tickets: deque[Any] = deque()
    with contextlib.closing(place):
        for job in jobs:
            tickets.append(place.submit(job))
            if len(tickets) >= place.ahead:
                if not _settled(place, tickets[0], cancelled):
                    return
                yield place.result(tickets.popleft())
        while tickets:
            if not _settled(place, tickets[0], cancelled):
                return
            yield place.result(tickets.popleft())


def _settled(place: Place, ticket: Any, cancelled: Cancelled | None) -> bool:
    """Wait for a job; False if it was cancelled meanwhile."""
    while cancelled is None or not cancelled():
        if place.settled(ticket, LOOK_S):
            return True
    return False


class _Processes:
    """Processes of this machine that live as long as one :meth:`Workers.each`."""

    def __init__(self, processes: int, task: Task[Any, Any]) -> None:
        from joblib.externals.loky import ProcessPoolExecutor

        # A worker that has grown is replaced by loky between two jobs, which is well and needs no words.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
        self.ahead = 2 * processes
        self._task = task
        self._pool = ProcessPoolExecutor(
            processes, initializer=_begin, initargs=(os.getpid(),), env=dict.fromkeys(LIMITS, "1")
        )
        self._given: list[Future[Any]] = []

    def submit(self, job: Any) -> Any:
        with interrupts_held(), _said_plainly():
            ticket = self._pool.submit(self._task, job)
        self._given = [*(t for t in self._given if not t.done()), ticket]
        return ticket

    def settled(self, ticket: Any, seconds: float) -> bool:
        return bool(wait([ticket], seconds).done)

    def result(self, ticket: Any) -> Any:
        with _said_plainly():
            return ticket.result()

    def close(self) -> None:
        pause = threading.Event()
        while not all(ticket.running() or ticket.done() for ticket in self._given):
            pause.wait(0.001)  # loky's own thread stumbles over a job that it has not yet taken when it is to end
        self._pool.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def _said_plainly() -> Iterator[None]:
    try:
        yield
    except BrokenExecutor as error:
        raise UserError(
            "A worker process was ended from outside, most likely because memory ran out: use fewer workers."
        ) from error


def _begin(parent: int) -> None:
    """The first thing that a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C goes to the parent, which ends us
    threading.Thread(target=_end_with, args=(parent,), name="parent-watch", daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when the one that started it is gone, killed or not."""
    if sys.platform == "win32":
        import _winapi

        handle = _winapi.OpenProcess(0x00100000, False, parent)  # SYNCHRONIZE
        _winapi.WaitForSingleObject(handle, _winapi.INFINITE)
    else:
        pause = threading.Event()
        while os.getppid() == parent:
            pause.wait(0.5)
    os._exit(3)


@contextlib.contextmanager
def interrupts_held() -> Iterator[None]:
    """A process started meanwhile never sees Ctrl+C, not even before its first line: it goes to the parent alone."""
    if not hasattr(signal, "pthread_sigmask"):
        yield  # Windows
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its own start would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
