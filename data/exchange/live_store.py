"""Writes of a live market: gathered on the loop, written in batches by a thread, bars given on when they are stored."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from data.errors import Retryable
from data.market import Frame, FundingFrame, SeriesKey
from data.observations import Observations
from data.store import MarketStore

MOST_ROWS = 200_000  # observations kept while the store cannot be written; then the oldest half goes, and it is told
Row = tuple[int, int, int, tuple[float, ...]]  # time, id, known at, values


@dataclass(slots=True)
class _Batch:
    frames: list[Frame] = field(default_factory=list)  # new bars: given on when written
    revised: list[Frame] = field(default_factory=list)
    fundings: list[FundingFrame] = field(default_factory=list)
    observed: list[Observations] = field(default_factory=list)
    rows: defaultdict[SeriesKey, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def __bool__(self) -> bool:
        return bool(self.frames or self.revised or self.fundings or self.observed or self.rows)


class LiveStore:
    """Takes what was heard at once, writes it when :meth:`flush` is called.

    Args:
        given: told every frame of new bars, in order, when it is stored.
        trouble: told a sentence when the store cannot be written, empty when it can again.
    """

    def __init__(self, store: MarketStore, given: Callable[[Frame], None], trouble: Callable[[str], None]) -> None:
        self.wake = asyncio.Event()  # something should be written at once
        self.filled = asyncio.Event()  # something should be written in a while
        self.writing = False
        self.lost = 0  # rows of observations that had to go because the store could not be written
        self._store = store
        self._given = given
        self._trouble = trouble
        self._next = _Batch()
        self._stuck = _Batch()
        self._lock = asyncio.Lock()

    def bars(self, frame: Frame) -> None:
        """New bars of one series."""
        self._next.frames.append(frame)
        self._soon()

    def revise(self, frame: Frame) -> None:
        """Bars that were stored before, as they are now."""
        self._next.revised.append(frame)
        self._soon()

    def funding(self, funding: FundingFrame) -> None:
        """Settlements."""
        self._next.fundings.append(funding)
        self._soon()

    def observations(self, observations: Observations) -> None:
        """Rows that are columns already."""
        self._next.observed.append(observations)
        self.filled.set()

    def observe(self, key: SeriesKey, time: int, id: int, known_at: int, values: tuple[float, ...]) -> None:
        """One row of one series."""
        self._next.rows[key].append((time, id, known_at, values))
        self.filled.set()

    def _soon(self) -> None:
        self.filled.set()
        self.wake.set()

    @property
    def owes_funding(self) -> bool:
        """Whether settlements wait to be written."""
        return bool(self._next.fundings or self._stuck.fundings)

    async def flush(self) -> None:
        """Write everything that waits; what cannot be written now is kept for the next time.

        Raises:
            QuantError: the store refuses for good.
        """
        async with self._lock:
            self.filled.clear()
            if not self._stuck:
                self._stuck, self._next = self._next, _Batch()
            while self._stuck:
                self.writing = True
                try:
                    given = await asyncio.to_thread(self._write, self._stuck)
                except Retryable as error:
                    self._trouble(str(error))
                    self._shorten()
                    self.filled.set()
                    return
                finally:
                    self.writing = False
                self._trouble("")
                for frame in given:
                    self._given(frame)
                self._stuck, self._next = self._next, _Batch()

    def _write(self, batch: _Batch) -> list[Frame]:
        """In the thread; every write is idempotent, so a batch that failed half-way is written again as a whole."""
        for frame in (*batch.frames, *batch.revised):
            self._store.write(frame)
        for funding in batch.fundings:
            self._store.write_funding(funding)
        for observed in batch.observed:
            self._store.write_observations(observed)
        for key, rows in batch.rows.items():
            times, ids, known_at, values = zip(*rows, strict=True)
            columns = (np.array(column, dtype=np.int64) for column in (times, ids, known_at))
            time, id_, known = columns
            self._store.write_observations(Observations.of(key, time, np.array(values), known_at=known, id=id_))
        return batch.frames

    def _shorten(self) -> None:
        waiting = sum(map(len, self._next.rows.values()))
        if waiting > MOST_ROWS:
            for rows in self._next.rows.values():
                self.lost += len(rows) // 2
                del rows[: len(rows) // 2]
