"""Bars of an exchange: back-filled by REST into the store, then followed as they close."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

import numpy as np

from app.feeds import FeedHealth
from data.errors import QuantError, Retryable
from data.exchange.follower import follow
from data.exchange.session import ExchangeSession
from data.grid import Grid, align
from data.market import Frame, FundingFrame, SeriesKey
from data.store import CandleStore
from data.timeframes import HOUR_MS

STALE_AFTER_BARS = 2.0
SETTLEMENT_LOOKS = 20  # at a settlement that is due and not shown yet; the bar waits that long
Changed = Callable[[str], None]


class ExchangeFeed:
    """Closed bars of an exchange. A bar is given out when every symbol has it and its settlement is known.

    Args:
        session: open.
        history_bars: bars before the first one that are back-filled at least.
        changed: told the trouble when the exchange stops answering, and ``""`` when it answers again.
    """

    prompt = False

    def __init__(
        self, session: ExchangeSession, keys: Sequence[SeriesKey], store: CandleStore, history_bars: int,
        changed: Changed,
    ) -> None:  # fmt: skip
        self._session = session
        self._keys = {key.symbol: key for key in keys}
        self._store = store
        self._history_bars = history_bars
        self._changed = changed
        self._step = keys[0].step_ms
        self._exchange = keys[0].exchange
        self._timeframe = keys[0].timeframe
        self._last: int | None = None
        self._trouble = ""

    async def history(self, bars: int, before_ms: int | None) -> Grid:
        """Back-fill what the store lacks of the last ``bars`` bars, then read them from it."""
        end = before_ms if before_ms is not None else self._session.now_ms() // self._step * self._step
        start = end - bars * self._step
        frames, fundings = [], []
        for key in self._keys.values():
            await self._backfill(key, end - max(bars, self._history_bars) * self._step, end)
            frames.append(self._store.read(key, start, end))
            fundings.append(self._store.read_funding(key.exchange, key.symbol, key.source, start, end + 1))
        return align(frames, fundings)

    async def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """Bars as they close, those missed since ``from_ms`` first.

        A symbol that stays behind by more than a bar is left out of it.
        """
        start = from_ms if from_ms is not None else self._session.now_ms() // self._step * self._step
        seen = dict.fromkeys(self._keys, start - self._step)
        waiting: dict[str, list[Frame]] = {symbol: [] for symbol in self._keys}
        given = start - self._step
        async for frame in follow(self._session, tuple(self._keys), self._timeframe, seen, self._note_trouble):
            symbol = frame.key.symbol
            self._turn("")
            self._store.write(frame)
            waiting[symbol].append(frame)
            seen[symbol] = int(frame.open_time[-1])
            ready = max(min(seen.values()), max(seen.values()) - self._step)
            if ready <= given:
                continue
            grid = await self._grid(waiting, given + self._step, ready + self._step)
            for t in range(grid.bars):
                self._last = int(grid.open_time[t])
                yield grid, t
            given = ready
            for name, frames in waiting.items():
                waiting[name] = [f for f in frames if f.open_time[-1] > ready]

    def health(self) -> FeedHealth:
        """Live, or stale with the reason."""
        age = 0 if self._last is None else self._session.now_ms() - self._last - self._step
        stale = bool(self._trouble) or age > STALE_AFTER_BARS * self._step
        detail = self._trouble or (f"last bar closed {age // 1000} s ago" if self._last is not None else "no bar yet")
        return FeedHealth(self._exchange, "stale" if stale else "live", detail, self._last)

    def _note_trouble(self, _symbol: str, error: QuantError) -> None:
        self._turn(str(error))

    def _turn(self, trouble: str) -> None:
        turned = bool(trouble) != bool(self._trouble)
        self._trouble = trouble
        if turned:
            self._changed(trouble)

    async def _grid(self, waiting: dict[str, list[Frame]], start: int, end: int) -> Grid:
        frames, fundings = [], []
        for symbol, key in self._keys.items():
            parts = [f.between(start, end) for f in waiting[symbol]] or [Frame.empty(key)]
            frames.append(_joined(key, parts))
            fundings.append(await self._settlements(key, start, end))
        return align(frames, fundings)

    async def _settlements(self, key: SeriesKey, start: int, end: int) -> FundingFrame:
        """Settlements due in the span; the exchange is asked only where one may lie in it (on the hour).

        A ledger without a settlement would be wrong for ever, so the bars wait while the exchange does not answer,
        and for a moment where a settlement is due by the ones before it and not shown yet.
        """
        if end // HOUR_MS == start // HOUR_MS:
            return FundingFrame.empty(key.exchange, key.symbol, key.source)
        due = self._next_settlement(key, start)
        looks = 0
        while True:
            try:
                funding = await self._session.funding(key.symbol, start + 1, end + 1)
            except Retryable as error:
                self._turn(str(error))
            else:
                self._turn("")
                looks += 1
                if due is None or not start < due <= end or len(funding) or looks > SETTLEMENT_LOOKS:
                    self._store.write_funding(funding)
                    return funding
            await self._session.sleep(self._session.settings.confirm_delay_s)

    def _next_settlement(self, key: SeriesKey, after_ms: int) -> int | None:
        """When the next one is due, if they go on as the last two did."""
        known = self._store.read_funding(key.exchange, key.symbol, key.source, after_ms - 24 * HOUR_MS, after_ms + 1)
        if len(known) < 2:
            return None
        return int(2 * known.time[-1] - known.time[-2])

    async def _backfill(self, key: SeriesKey, start: int, end: int) -> None:
        stored = self._store.read(key, start, end)
        lacking = np.setdiff1d(np.arange(start, end, self._step, dtype=np.int64), stored.open_time, assume_unique=True)
        if len(lacking):
            first, last = int(lacking[0]), int(lacking[-1])
            self._store.write(await self._session.candles(key.symbol, key.timeframe, first, last + self._step))
        self._store.write_funding(await self._session.funding(key.symbol, start, end + 1))


def _joined(key: SeriesKey, parts: Sequence[Frame]) -> Frame:
    names = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
    columns = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
    return Frame(key, *columns)
