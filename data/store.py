"""What the data floor asks of storage; ``database.candles`` implements it."""

from __future__ import annotations

from typing import Protocol

from data.market import Frame, FundingFrame, SeriesInfo, SeriesKey, WriteReport


class CandleStore(Protocol):
    """Stored bars and funding. Writes are idempotent and transactional; spans are half-open on open time."""

    def write(self, frame: Frame) -> WriteReport:
        """Insert new bars, revise changed ones, leave equal ones; one transaction."""
        ...

    def read(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> Frame:
        """Bars with ``start_ms <= open_time < end_ms``; an unknown series gives an empty frame."""
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
        self, exchange: str, symbol: str, source: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> FundingFrame:
        """Settlements with ``start_ms <= time < end_ms``."""
        ...
