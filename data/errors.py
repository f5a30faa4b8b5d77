"""Errors, classed by what the caller does next.

QuantError                the one root; its text is one sentence a person can act on
├── UserError             the input is wrong: say the sentence, exit code 1, nothing was changed
├── Retryable             the same call may be made again (network, busy database)
├── Rejected              do not repeat: the other side understood and said no
├── Unknown               the outcome is not known: ask before doing anything else
└── Halt                  stop opening positions; a person has to look
"""

from __future__ import annotations


class QuantError(Exception):
    """Root of the project's errors; ``str(error)`` is one sentence for a person: what, where, what to do."""


class UserError(QuantError):
    """The input is wrong; nothing was changed."""


class Retryable(QuantError):
    """The call may be made again after ``retry_after_s`` seconds (``None``: the caller's own back-off)."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Rejected(QuantError):
    """The other side understood the request and refused it; repeating it is pointless."""


class Unknown(QuantError):
    """The request was sent and its outcome is not known; ask by client id before anything else."""


class Halt(QuantError):
    """No new position may be opened until a person has looked."""
