"""Work that tests give to worker processes."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np

from data.errors import UserError
from data.workers import Workers
from tests.data import worker_samples


def add(report, left: int, right: int) -> int:
    report(1, 2, "adding")
    report(2, 2, "added")
    return left + right


def loaded_modules(report) -> list[str]:
    return sorted(sys.modules)


def refuse(report) -> None:
    raise UserError("The series has no bars: import some.")


def break_down(report) -> None:
    raise ZeroDivisionError("planted")


def die(report) -> None:
    os._exit(9)


def hang(report) -> None:
    report(1, 10, "hanging")
    threading.Event().wait()


def hang_in_training(report, request) -> None:
    hang(report)


def die_in_training(report, request) -> None:
    die(report)


def eat(report, mib: int, below: bool) -> None:
    """Hold so much memory, here or in a process of its own workers, until it is ended."""
    if below:
        report(1, 10, "hanging")
        list(Workers(2).each(hold, [mib // 2] * 2))
    hold(mib)


def hold(mib: int) -> None:
    kept = np.ones(mib * 2**17)
    threading.Event().wait()
    del kept


def share(report, folder: str) -> None:
    """Work in processes of its own, which never ends."""
    list(Workers(2).each(worker_samples.hang, [folder] * 2))
