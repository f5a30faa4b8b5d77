"""An account's key, so wrapped that it shows itself nowhere by chance."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credentials:
    """Key, secret and, where the exchange wants one, pass phrase; its text shows none of them."""

    key: str = field(repr=False)
    secret: str = field(repr=False)
    password: str = field(default="", repr=False)

    def __reduce__(self) -> str:
        raise TypeError("Credentials are not written anywhere.")
