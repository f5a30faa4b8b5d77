"""Where independent pieces of work are done: here, in processes of this machine, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")
Cancelled = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Workers:
    """The same results in the same order, wherever the work is done."""

    processes: int = 1  # of this machine; 1: in this process, one after the other
    cluster: str | None = None  # address of a Dask scheduler; then ``processes`` does not matter

    def each(
        self, work: Callable[[Job], Result], jobs: Sequence[Job], cancelled: Cancelled | None = None
    ) -> Iterator[Result]:
        """``work`` of every job, in the order of the jobs, each as soon as it and those before it are done.

        It ends early, without an error, where ``cancelled`` says so; what runs then is ended.

        Args:
            work: a function of a module (workers import it by name).
            jobs: what it is given; they travel pickled.
            cancelled: asked between results.

        Raises:
            UserError: the cluster cannot be reached.
        """
        if self.processes <= 1 and self.cluster is None:
            for job in jobs:
                if cancelled is not None and cancelled():
                    return
                yield work(job)
            return
        from joblib import Parallel, delayed

        found = Parallel(n_jobs=self.processes, return_as="generator")(delayed(work)(job) for job in jobs)
        for result in found:
            if cancelled is not None and cancelled():
                found.close()
                return
            yield result
