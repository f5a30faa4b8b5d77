"""Work that the workers' tests hand out; workers import it by name."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np

from data.errors import Retryable, UserError
from data.market import Float64Array
from data.workers import Workers


def factor(job: tuple[int, Float64Array]) -> tuple[int, Float64Array]:
    """Linear algebra whose last bits depend on how many threads share it."""
    number, matrix = job
    return number, np.linalg.solve(matrix.T @ matrix + np.eye(len(matrix)), matrix)


def matrices(jobs: int = 5) -> list[tuple[int, Float64Array]]:
    """Jobs for :func:`factor`, each some megabytes: more than goes through a pipe at once."""
    rng = np.random.default_rng(3)
    return [(k, rng.normal(size=(400, 400))) for k in range(jobs)]


def refuse(job: int) -> int:
    """An error for a person, from the third job on."""
    if job == 2:
        raise UserError(f"The series has no bars for job {job}: import some.")
    return job


def later(_job: int) -> int:
    """An error with a field of its own."""
    raise Retryable("The exchange is busy.", 7.5)


def place_of(_job: int) -> tuple[int, str]:
    """Which process this is, and how many threads its libraries would take."""
    return os.getpid(), os.environ.get("OMP_NUM_THREADS", "")


def write_into(job: Float64Array) -> float:
    """Work that changes what it was given, as in its own process it may."""
    job[0] = -1.0
    return float(job.sum())


def hang(job: str) -> None:
    """Say who runs (a file named by the process), then wait for ever."""
    (Path(job) / str(os.getpid())).touch()
    threading.Event().wait()


def die(_job: int) -> None:
    """As if the system had ended it."""
    os._exit(9)


def nested(job: int) -> list[int]:
    """Work that has workers of its own."""
    return list(Workers(2).each(refuse, range(job)))
