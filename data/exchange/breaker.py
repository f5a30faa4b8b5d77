"""Stops asking an exchange that does not answer: after several failures in a row, for a pause that grows.

When the pause is over one request goes out to see; its outcome opens the way for all or begins a longer pause.
"""

from __future__ import annotations

from data.clock import Clock
from data.errors import Retryable


class Paused(Retryable):
    """Nothing was sent: the exchange is given a rest (breaker, ban). ``retry_after_s`` says for how long."""


class Breaker:
    """Closed, open, or open with one probe on its way.

    ``who`` is any object that stands for one attempt: of the attempts made when a pause is over, the first to enter
    is the probe.
    """

    def __init__(self, clock: Clock, failures: int, first_pause_s: float, longest_pause_s: float) -> None:
        self.failures = 0  # in a row
        self.why = ""  # the last of them, as a sentence
        self._clock = clock
        self._allowed = failures
        self._first = first_pause_s
        self._longest = max(first_pause_s, longest_pause_s)
        self._pause = 0.0
        self._until: float | None = None
        self._probe: object = None

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._until is not None

    @property
    def pause_left_s(self) -> float:
        """Seconds until a request may try again; 0: now."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock.monotonic())

    def lets(self, who: object) -> bool:
        """May ``who`` ask now?"""
        if self._until is None or (who is not None and who is self._probe):
            return True
        return self._probe is None and self.pause_left_s == 0

    def enter(self, who: object) -> None:
        """``who`` asks now; in an open breaker it is the probe."""
        if self._until is not None:
            self._probe = who

    def succeeded(self) -> None:
        """The exchange answered: everything is open to all."""
        self.failures, self._pause, self._until, self._probe = 0, 0.0, None, None

    def failed(self, who: object, why: str, *, at_once: bool = False) -> None:
        """No answer, or none that could be read; ``at_once`` (maintenance) does not wait for more of them."""
        self.failures += 1
        self.why = why
        probed = self._probe is not None and who is self._probe
        if probed or (self._until is None and (at_once or self.failures >= self._allowed)):
            self._pause = min(self._longest, 2 * self._pause if self._pause else self._first)
            self._until = self._clock.monotonic() + self._pause
        self.left(who)

    def left(self, who: object) -> None:
        """``who`` went away without an outcome that counts (cancelled, told to slow down)."""
        if who is self._probe:
            self._probe = None
