"""What a soak measures while it runs: how long the event loop is held up, and memory."""

from __future__ import annotations

import asyncio.events
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass
class LoopWatch:
    """Turns of the loop by who had them; seconds. ``cpu`` leaves out what other processes and threads took."""

    mine: tuple[str, ...]  # parts of file names that count as the program under test
    turns: int = 0
    longest_s: float = 0.0
    longest_cpu_s: float = 0.0
    longest_name: str = ""
    over: list[float] = field(default_factory=list)  # turns over LIMIT_S by CPU

    LIMIT_S = 0.05

    def note(self, name: str, seconds: float, cpu: float) -> None:
        """One turn of the program under test."""
        self.turns += 1
        self.longest_s = max(self.longest_s, seconds)
        if cpu > self.longest_cpu_s:
            self.longest_cpu_s, self.longest_name = cpu, name
        if cpu > self.LIMIT_S:
            self.over.append(cpu)


@contextmanager
def watched(watch: LoopWatch) -> Iterator[LoopWatch]:
    """Time every callback of the loop that belongs to ``watch.mine``."""
    plain = asyncio.events.Handle._run

    def timed(handle: asyncio.events.Handle) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        plain(handle)
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        if cpu > 0.002:
            name = _owner(handle)
            if any(part in name for part in watch.mine):
                watch.note(name, wall, cpu)
        else:
            watch.turns += 1

    asyncio.events.Handle._run = timed  # type: ignore[method-assign]
    try:
        yield watch
    finally:
        asyncio.events.Handle._run = plain  # type: ignore[method-assign]


def _owner(handle: asyncio.events.Handle) -> str:
    """File and name of the coroutine or function that a callback runs."""
    task = getattr(handle._callback, "__self__", None)
    coroutine = task.get_coro() if isinstance(task, asyncio.Task) else None
    code = getattr(coroutine, "cr_code", None) or getattr(handle._callback, "__code__", None)
    if code is None:
        return repr(handle._callback)
    return f"{Path(code.co_filename).as_posix()}:{code.co_qualname}"


def resident_mib() -> float:
    """Memory of this process in MiB (0 where the system does not say)."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20
    except OSError:
        return 0.0
