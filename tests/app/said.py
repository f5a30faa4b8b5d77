"""What a command answered, as the fixtures of this folder give it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Said:
    """Exit code, the one document, and what was said beside it."""

    code: int
    document: dict[str, Any]
    stderr: str


Command = Callable[..., Said]
