"""A store in memory, for tests of the data floor alone."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from data.market import Frame, FundingFrame, SeriesInfo, SeriesKey, WriteReport


@dataclass
class MemoryStore:
    """``data.store.CandleStore`` on dictionaries; counts its transactions."""

    bars: dict[SeriesKey, dict[int, tuple[float, ...]]] = field(default_factory=dict)
    settlements: dict[tuple[str, str, str], dict[int, tuple[float, float]]] = field(default_factory=dict)
    transactions: int = 0

    def write(self, frame: Frame) -> WriteReport:
        columns = (frame.open, frame.high, frame.low, frame.close, frame.volume)
        rows = dict(zip(frame.open_time.tolist(), zip(*(c.tolist() for c in columns), strict=True), strict=True))
        return self._merge(self.bars.setdefault(frame.key, {}), rows)

    def read(self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None) -> Frame:
        held = self.bars.get(key, {})
        times = [t for t in sorted(held) if (start_ms is None or t >= start_ms) and (end_ms is None or t < end_ms)]
        if not times:
            return Frame.empty(key)
        return Frame.of(key, np.array(times), *np.array([held[t] for t in times]).T)

    def tail(self, key: SeriesKey, rows: int, before_ms: int | None = None) -> Frame:
        frame = self.read(key, None, before_ms)
        return frame.slice(max(0, len(frame) - rows), len(frame))

    def series(self) -> list[SeriesInfo]:
        return [SeriesInfo(k, len(v), min(v), max(v)) for k, v in self.bars.items() if v]

    def write_funding(self, funding: FundingFrame) -> WriteReport:
        values = zip(funding.rate.tolist(), funding.mark_price.tolist(), strict=True)
        rows = dict(zip(funding.time.tolist(), values, strict=True))
        held = self.settlements.setdefault((funding.exchange, funding.symbol, funding.source), {})
        return self._merge(held, rows)

    def read_funding(
        self, exchange: str, symbol: str, source: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> FundingFrame:
        held = self.settlements.get((exchange, symbol, source), {})
        times = [t for t in sorted(held) if (start_ms is None or t >= start_ms) and (end_ms is None or t < end_ms)]
        values = np.array([held[t] for t in times]).reshape(-1, 2)
        return FundingFrame(exchange, symbol, source, np.array(times, dtype=np.int64), values[:, 0], values[:, 1])

    def _merge(self, held: dict, rows: dict) -> WriteReport:
        self.transactions += 1
        new = [t for t in rows if t not in held]
        equal = [t for t in rows if t in held and np.array_equal(rows[t], held[t], equal_nan=True)]
        held.update(rows)
        return WriteReport(len(rows), len(new), len(rows) - len(new) - len(equal), len(equal))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()
