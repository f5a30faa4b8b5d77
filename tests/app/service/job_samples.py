"""Work that tests give to worker processes."""

from __future__ import annotations

import os
import sys
import threading

from data.errors import UserError


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
