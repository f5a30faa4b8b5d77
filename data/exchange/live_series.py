"""One live series: its bar sequence, kept going by a stream where there is one and by REST always."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from data.bar_notes import Note
from data.bar_sequence import BarSequence
from data.errors import Rejected, Retryable
from data.exchange.candle_looks import look
from data.exchange.events import CandleUpdate
from data.exchange.live_events import SeriesHealth
from data.exchange.session import ExchangeSession
from data.exchange.waiting import sleep_or
from data.market import Frame, SeriesKey, short_symbol

REFUSED_PAUSE_S = 60.0  # between looks at a series that the exchange refuses (delisted)
SHORTEST_PAUSE_S = 0.05
LONGEST_SLEEP_S = 30.0  # then the time is read again: timers stand still while a machine sleeps
REVIEWED_BARS = 70  # read again in a review
STREAM_PATIENCE_MS = 2_000  # more than without a stream, before a closed bar is asked for over REST


class LiveSeries:
    """Bars of ``sequence`` as they become certain.

    Args:
        given: told new bars in order.
        noticed: told revisions, holes, impossible and suspect bars.
        trouble: told ``(what, sentence)``; the sentence is empty when it is over.
    """

    def __init__(
        self,
        session: ExchangeSession,
        sequence: BarSequence,
        given: Callable[[Frame], None],
        noticed: Callable[[Note], None],
        trouble: Callable[[str, str], None],
    ) -> None:
        self.sequence = sequence
        self.what = f"candles {short_symbol(sequence.key.symbol)} {sequence.key.timeframe}"
        self._session = session
        self._given = given
        self._noticed = noticed
        self._trouble = trouble
        self._stir = asyncio.Event()
        self._patience_ms = sequence.patience_ms

    @property
    def key(self) -> SeriesKey:
        """Which series it is."""
        return self.sequence.key

    def hear(self, update: CandleUpdate) -> None:
        """A candle of the stream."""
        self.sequence.hear(update)
        if update.closed:
            self._pass_on()

    def doubt(self) -> None:
        """Messages may have been lost."""
        self.sequence.doubt(self._session.now_ms())
        self._stir.set()

    def review(self) -> None:
        """Read the last bars again, for silent revisions."""
        self.sequence.review(REVIEWED_BARS)
        self._stir.set()

    def stream_speaks(self, speaks: bool) -> None:
        """With a stream REST waits a little longer for its turn."""
        self.sequence.patience_ms = self._patience_ms + (STREAM_PATIENCE_MS if speaks else 0)

    def health(self, now_ms: int) -> SeriesHealth:
        """Age against the limit of the settings."""
        age = now_ms - self.sequence.last_ms - self.sequence.step
        limit = self._session.settings.stale_bars * self.sequence.step
        return SeriesHealth(self.key, self.sequence.last_ms, age, age > limit)

    async def run(self) -> None:
        """Ask whatever the sequence wants to know, until cancelled."""
        while True:
            pause = SHORTEST_PAUSE_S
            try:
                if await look(self._session, self.sequence):
                    self._trouble(self.what, "")
            except Rejected as error:
                self._trouble(self.what, str(error))
                pause = REFUSED_PAUSE_S
            except Retryable as error:
                self._trouble(self.what, str(error))
            self._pass_on()
            now = self._session.now_ms()
            seconds = (self.sequence.due_ms(now) - now) / 1000
            if seconds > 0 or pause > SHORTEST_PAUSE_S:
                await sleep_or(self._stir, self._session.sleep, max(min(seconds, LONGEST_SLEEP_S), pause))

    def _pass_on(self) -> None:
        now = self._session.now_ms()
        frame = self.sequence.take(now)
        for note in self.sequence.notes():
            self._noticed(note)
        if len(frame):
            self._given(frame)
        if self.sequence.ask(now) is not None:
            self._stir.set()
