"""Timeframes: names, lengths in milliseconds, and dates as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from data.errors import UserError

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

TIMEFRAMES: dict[str, int] = {
    "1m": MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "1h": HOUR_MS,
    "4h": 4 * HOUR_MS,
    "8h": 8 * HOUR_MS,
    "1d": DAY_MS,
}


def timeframe_ms(name: str) -> int:
    """Length of a bar in milliseconds.

    Raises:
        UserError: the name is not one of ``TIMEFRAMES``.
    """
    try:
        return TIMEFRAMES[name]
    except KeyError:
        known = ", ".join(TIMEFRAMES)
        raise UserError(f"Unknown timeframe '{name}': use one of {known}.") from None


def parse_time(text: str) -> int:
    """A UTC moment in milliseconds from ``2024``, ``2024-05``, ``2024-05-01`` or an ISO date-time (no zone = UTC).

    Raises:
        UserError: the text is no date.
    """
    padded = text.strip()
    if len(padded) == 4:
        padded += "-01-01"
    elif len(padded) == 7:
        padded += "-01"
    try:
        moment = datetime.fromisoformat(padded)
    except ValueError:
        raise UserError(f"'{text}' is no date: write for example 2024-05-01 or 2024-05-01T12:00Z.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def parse_span(text: str) -> tuple[int, int]:
    """A half-open span ``FROM..TO`` in milliseconds.

    Raises:
        UserError: the text has no ``..``, a bad date, or ends before it starts.
    """
    left, dots, right = text.partition("..")
    if not dots:
        raise UserError(f"'{text}' is no span: write FROM..TO, for example 2024-05-01..2024-06-01.")
    start, end = parse_time(left), parse_time(right)
    if end <= start:
        raise UserError(f"The span '{text}' ends before it starts.")
    return start, end
