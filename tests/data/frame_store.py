"""A store in memory that keeps bars whole: marks and the moments at which they were known."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from data.market import Frame, FundingFrame, SeriesInfo, SeriesKey, WriteReport
from data.observations import Observations

COLUMNS = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")


@dataclass
class FrameStore:
    """What the repair and the survey need of ``data.store.MarketStore``."""

    frames: dict[SeriesKey, Frame] = field(default_factory=dict)
    fundings: dict[tuple[str, str, str], FundingFrame] = field(default_factory=dict)
    rows: dict[SeriesKey, Observations] = field(default_factory=dict)
    writes: int = 0

    def add(self, *frames: Frame) -> FrameStore:
        for frame in frames:
            self.write(frame)
        return self

    def write(self, frame: Frame) -> WriteReport:
        assert (np.diff(frame.open_time) > 0).all()
        self.writes += 1
        held = self.read(frame.key)
        fresh = ~np.isin(frame.open_time, held.open_time)
        left = held.take(~np.isin(held.open_time, frame.open_time))
        joined = Frame(frame.key, *(np.concatenate([getattr(left, n), getattr(frame, n)]) for n in COLUMNS))
        self.frames[frame.key] = joined.take(np.argsort(joined.open_time))
        return WriteReport(len(frame), int(fresh.sum()), int((~fresh).sum()), 0)

    def read(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Frame:
        frame = self.frames.get(key, Frame.empty(key))
        return frame.between(start_ms if start_ms is not None else 0, end_ms if end_ms is not None else 1 << 62)

    def series(self) -> list[SeriesInfo]:
        bars = [SeriesInfo(k, len(f), int(f.open_time[0]), int(f.open_time[-1])) for k, f in self.frames.items()]
        paid = [
            SeriesInfo(SeriesKey(e, s, "8h", "funding", source), len(f), int(f.time[0]), int(f.time[-1]))
            for (e, s, source), f in self.fundings.items()
        ]
        seen = [SeriesInfo(k, len(o), int(o.time[0]), int(o.time[-1])) for k, o in self.rows.items()]
        return [*bars, *paid, *seen]

    def write_funding(self, funding: FundingFrame) -> WriteReport:
        held = self.read_funding(funding.exchange, funding.symbol, funding.source)
        fresh = ~np.isin(funding.time, held.time)
        time = np.concatenate([held.time, funding.time[fresh]])
        order = np.argsort(time)
        rate = np.concatenate([held.rate, funding.rate[fresh]])[order]
        mark = np.concatenate([held.mark_price, funding.mark_price[fresh]])[order]
        name = (funding.exchange, funding.symbol, funding.source)
        self.fundings[name] = FundingFrame(*name, time[order], rate, mark)
        return WriteReport(len(funding), int(fresh.sum()), 0, int((~fresh).sum()))

    def read_funding(
        self, exchange: str, symbol: str, source: str, start_ms: int | None = None, end_ms: int | None = None
    ) -> FundingFrame:
        return self.fundings.get((exchange, symbol, source), FundingFrame.empty(exchange, symbol, source))

    def read_observations(
        self, key: SeriesKey, start_ms: int | None = None, end_ms: int | None = None, as_of_ms: int | None = None
    ) -> Observations:
        return self.rows[key]
