"""A Dask cluster as a place for work: reached, checked to be of the same make as this program, and let go of.

The workers must be able to import this program: the same folder with the same packages on every machine, for example
``dask worker ADDRESS`` started in it. Compiled kernels are kept by each machine in its own cache, so the first job of
a new worker takes some seconds longer. Nothing is uploaded.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import logging
import platform
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from data.errors import QuantError, UserError

if TYPE_CHECKING:
    from data.workers import Task

REACH_S = 5.0  # how long a scheduler and its first worker are waited for
LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn", "lightgbm", "catboost")
FLOORS = ("data", "ai", "trading", "database", "app")
QUIET = ("distributed.client", "distributed.comm", "distributed.core", "distributed.batched", "distributed.utils")
HOW = "bash scripts/run.sh --with scale"


class Cluster:
    """Workers behind one scheduler, for one kind of work."""

    def __init__(self, address: str, client: Any, task: Task[Any, Any], ahead: int) -> None:
        self.ahead = ahead
        self._address = address
        self._client = client
        self._task = task

    @classmethod
    def reached(cls, address: str, task: Task[Any, Any]) -> Self:
        """Connect, and see that there are workers which would give the same results.

        Raises:
            UserError: Dask is not installed, nobody answers, there are no workers, or they differ from this machine.
        """
        distributed = _distributed()
        for name in QUIET:  # what matters is raised, as a sentence
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        try:
            asyncio.run(_answer(address))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)  # checked below
                client = distributed.Client(address, timeout=REACH_S, set_as_default=False, name="quantai-trad")
        except Exception as error:  # whatever listens there may answer anything
            raise UserError(
                f"No Dask scheduler answers at {address}: start one with 'dask scheduler', or leave --cluster out."
            ) from error
        try:
            _check(address, client)
            threads = max(1, sum(client.nthreads().values()))
        except BaseException:
            client.close()
            raise
        return cls(address, client, task, 2 * threads)

    def submit(self, job: Any) -> Any:
        """Bring a job to the cluster; gives its future."""
        try:
            there = self._client.scatter([job], hash=False)[0]  # as data: a graph is not meant for megabytes
            return self._client.submit(_answered, self._task, there, pure=False, retries=0)
        except (OSError, RuntimeError) as error:
            raise self._lost() from error

    def settled(self, ticket: Any, seconds: float) -> bool:
        """Wait up to ``seconds`` for a job."""
        distributed = _distributed()
        try:
            with self._client.as_current():
                distributed.wait([ticket], timeout=seconds)
        except TimeoutError:
            if self._client.status != "running":
                raise self._lost() from None
            return False
        except (OSError, distributed.client.FuturesCancelledError) as error:
            raise self._lost() from error
        return True

    def result(self, ticket: Any) -> Any:
        """The result of a settled job, or its error."""
        distributed = _distributed()
        try:
            result, error = ticket.result(timeout=REACH_S)
        except distributed.client.FutureCancelledError as gone:
            raise self._lost() from gone
        except distributed.scheduler.KilledWorker as killed:
            raise UserError(
                f"Workers of the cluster at {self._address} died over the same job, most likely because memory ran "
                "out: give them more, or fewer threads each."
            ) from killed
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Take back what has not begun, and disconnect."""
        self._client.close(timeout=REACH_S)

    def _lost(self) -> UserError:
        return UserError(
            f"The connection to the cluster at {self._address} was lost before all work was done: start it again."
        )


def _answered(task: Task[Any, Any], job: Any) -> tuple[Any, Exception | None]:
    """On a worker: the result, or the error as a value, since Dask writes raised ones into the worker's log."""
    try:
        return task(job), None
    except QuantError as error:
        return None, error
    except Exception as error:
        error.add_note(f"On a worker of the cluster:\n{traceback.format_exc()}")
        return None, error


async def _answer(address: str) -> None:
    """Ask who is there: a client that fails to start leaves threads behind."""
    async with asyncio.timeout(REACH_S), _distributed().rpc(address) as scheduler:
        await scheduler.identity()


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise UserError(f"--cluster needs Dask, which is not installed: '{HOW}' brings it in.") from error
    return distributed


def _check(address: str, client: Any) -> None:
    """Raises: UserError: no workers, or workers that cannot run this program or would give other results."""
    try:
        client.wait_for_workers(1, timeout=REACH_S)
        there: Mapping[str, Mapping[str, str]] = client.run(make_of_this_process)
    except TimeoutError as error:
        raise UserError(f"The Dask scheduler at {address} has no workers: start some with 'dask worker'.") from error
    except Exception as error:
        raise UserError(
            f"The workers of the cluster at {address} cannot load this program ({error}): start 'dask worker' in its "
            f"folder, with the packages of '{HOW}'."
        ) from error
    here = _make_here()
    for worker, make in there.items():
        for part, version in here.items():
            if make.get(part) != version:
                raise UserError(
                    f"The cluster's worker {worker} has {part} {make.get(part)} and this machine {version}: results "
                    "would differ; bring both to the same version."
                )


def make_of_this_process() -> dict[str, str]:
    """What decides the numbers: versions of Python and the libraries, and a digest of this program's files."""
    make = {"Python": ".".join(platform.python_version_tuple()[:2])}
    for name in LIBRARIES:
        try:
            make[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            make[name] = "(missing)"
    digest = hashlib.blake2b(digest_size=6)
    root = Path(__file__).parent.parent
    for path in sorted(path for floor in FLOORS for path in (root / floor).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes().replace(b"\r\n", b"\n"))
    make["program"] = digest.hexdigest()
    return make


_make_here = make_of_this_process  # a name of its own: workers answer by the other
