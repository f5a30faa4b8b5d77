"""Health of the way to an exchange: figures for the window, ``status`` and ``doctor``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class RestHealth:
    """Kept by the session; times are ms UTC, ``None``: never."""

    requests: int = 0
    failures: int = 0
    consecutive_failures: int = 0
    last_success_ms: int | None = None
    last_failure_ms: int | None = None
    last_error: str = ""
    latency_ms: float | None = None  # moving mean of the answers' time
    weight_used: float = 0.0  # of the present minute, as the exchange counts it (else as we do)
    weight_limit: float = 0.0
    waiting_until_ms: int | None = None  # nobody asks before (429, 418, maintenance)
    offset_ms: int = 0  # exchange clock minus ours
    breaker_open: bool = False
    skewed: bool = False  # our clock is so far off that no entry should be made
    maintenance: bool = False  # the exchange says that it is being maintained
    banned_until_ms: int | None = None  # it has shut this address out (418)
    alarm: str = ""  # one sentence for a person, empty while nothing has to be said


@dataclass(slots=True)
class StreamHealth:
    """Kept by the stream."""

    connected: bool = False
    last_message_ms: int | None = None
    messages: int = 0
    unreadable: int = 0  # messages that could not be parsed
    coalesced: int = 0  # superseded before they were read: a newer one took their place
    dropped: int = 0  # lost by overflow; each loss is told as a StreamGap
    reconnects: int = 0
    stale: tuple[str, ...] = ()  # channels over their age limit, as "candles BTCUSDT 1m"
    last_trouble: str = ""
