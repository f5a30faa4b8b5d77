"""What the data floor asks of storage; ``database.candles`` implements it."""

from __future__ import annotations

from typing import Protocol

from data.market import Frame, FundingFrame, SeriesInfo, SeriesKey, WriteReport
from data.observations import Observations


class CandleStore(Protocol):
    """Stored bars and funding. Writes are idempotent and transactional; spans are half-open on open time."""

    def write(self, frame: Frame) -> WriteReport:
        """Insert new bars, revise changed ones, leave equal ones; one transaction."""
        ...

    def read(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Frame:
        """Bars with ``start_ms <= open_time < end_ms``; an unknown series gives an empty frame.

        With ``as_of_ms``: as they were known at that moment (later bars left out, revised ones as they stood then).
        """
        ...

    def tail(self, key: SeriesKey, rows: int, before_ms: int | None = None) -> Frame:
        """The last ``rows`` bars that open before ``before_ms``."""
        ...

    def series(self) -> list[SeriesInfo]:
        """Every stored series with rows and span (``kind='funding'`` ones too)."""
        ...

    def write_funding(self, funding: FundingFrame) -> WriteReport:
        """Insert or revise settlements; one transaction."""
        ...

    def read_funding(
        self, exchange: str, symbol: str, source: str, start_ms: int | None = None, end_ms: int | None = None,
        as_of_ms: int | None = None,
    ) -> FundingFrame:  # fmt: skip
        """Settlements with ``start_ms <= time < end_ms``, as known at ``as_of_ms`` where given."""
        ...


class ObservationStore(Protocol):
    """Stored observations (``data.observations``): idempotent by ``(time, id)``, one transaction a write."""

    def write_observations(self, observations: Observations) -> WriteReport:
        """Insert new rows, revise changed ones, leave equal ones (they keep their first ``known_at``)."""
        ...

    def read_observations(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Observations:
        """Rows with ``start_ms <= time < end_ms``, as known at ``as_of_ms`` where given; unknown series: no rows."""
        ...


class MarketStore(CandleStore, ObservationStore, Protocol):
    """Everything that a feed writes and reads."""
