"""The only place that reads a clock. Wall time is UTC integer milliseconds; timers are monotonic seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the program asks of a clock; tests inject a :class:`ManualClock`."""

    def now_ms(self) -> int:
        """Wall time, UTC, milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for timers and progress."""
        ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(slots=True)
class ManualClock:
    """A clock that moves only when told (tests, replay)."""

    ms: int = 0
    seconds: float = field(default=0.0)

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move both the wall time and the timer forward by ``seconds``."""
        self.seconds += seconds
        self.ms += round(seconds * 1000)


def iso(ms: int | None) -> str | None:
    """ISO-8601 UTC with milliseconds and ``Z``, or ``None``: the form of every time in JSON and exports."""
    if ms is None:
        return None
    moment = datetime.fromtimestamp(ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
