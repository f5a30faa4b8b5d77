"""What must not be lost: events come one by one, in order, and none is merged away."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FillEvent:
    """An order was filled."""

    time_ms: int
    symbol: str
    purpose: str  # entry | exit
    side: str  # buy | sell
    quantity: float
    price: float
    reason: str  # exit reason, empty for entries
    realised: float
    sentence: str


@dataclass(frozen=True, slots=True)
class NoticeEvent:
    """Something a person should see. ``tab``: the tab key that shows more."""

    time_ms: int
    level: str  # info | ok | warn | bad
    title: str
    sentence: str
    tab: str = ""


@dataclass(frozen=True, slots=True)
class StateEvent:
    """The service changed its state."""

    time_ms: int
    before: str
    after: str
    why: str


@dataclass(frozen=True, slots=True)
class JobEvent:
    """A job ended: done, failed or cancelled."""

    time_ms: int
    job_id: str
    name: str
    state: str
    sentence: str
    tab: str = ""


Event = FillEvent | NoticeEvent | StateEvent | JobEvent
