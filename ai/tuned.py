"""What a search for hyper-parameters found for one member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class TunedMember:
    """The best parameters of one member of one series, and on what they were found.

    Losses are mean log losses in nats over the inner test folds. ``until_ms`` is the end (close) of the last bar that
    the search saw: on tests that begin before it the parameters would know the answer.
    """

    member: str
    profile: str
    parameters: Mapping[str, float]
    loss: float
    plain_loss: float | None  # of the member with its own parameters
    base_loss: float  # of the training folds' class shares
    tried: int  # configurations, those that failed included
    failed: int
    seed: int
    from_ms: int  # open time of the first bar
    until_ms: int
    found_ms: int  # when

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "member": self.member, "profile": self.profile, "parameters": dict(self.parameters), "loss": self.loss,
            "plain_loss": self.plain_loss, "base_loss": self.base_loss, "tried": self.tried, "failed": self.failed,
            "seed": self.seed, "from_ms": self.from_ms, "until_ms": self.until_ms, "found_ms": self.found_ms,
        }  # fmt: skip
