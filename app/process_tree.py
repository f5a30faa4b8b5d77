"""A process and those that it started: what memory they hold, and their end."""

from __future__ import annotations

import contextlib

import psutil


def resident_mib(pid: int | None) -> float:
    """Resident memory in MiB of a process and of all below it; pages that they share count for each. 0: none runs."""
    total = 0
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 2**20


def kill_tree(pid: int | None) -> None:
    """End a process and all below it at once; those that are gone already do not matter."""
    for process in _tree(pid):
        with contextlib.suppress(psutil.Error):
            process.kill()


def _tree(pid: int | None) -> list[psutil.Process]:
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []
