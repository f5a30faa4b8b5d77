"""The stream of a live market: what it is subscribed to, whether it speaks, and single subscriptions begun anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from data.errors import Rejected, Retryable
from data.exchange.events import Channel, MarketEvent, Subscription
from data.exchange.health import StreamHealth
from data.exchange.session import ExchangeSession
from data.exchange.stream import MarketStream
from data.market import SeriesKey

EVENTS_A_TURN = 500  # handled before the loop may do something else
STREAM_CAN: dict[Channel, str] = {
    "candles": "candle_stream", "book": "book_stream", "trades": "trade_stream", "premium": "premium_stream",
    "liquidations": "liquidations_stream",
}  # fmt: skip


class LiveStream:
    """Listens to everything that the session's exchange streams of ``keys`` and of the kinds in ``collect``.

    Args:
        hear: told every event.
        heard: told after every batch whether the stream speaks.
    """

    def __init__(
        self,
        session: ExchangeSession,
        keys: Sequence[SeriesKey],
        collect: Collection[str],
        hear: Callable[[MarketEvent], None],
        heard: Callable[[bool], None],
    ) -> None:
        self._session = session
        self._hear = hear
        self._heard = heard
        self._beginning = False
        self._stream: MarketStream | None = None
        wanted, can = {"candles", "premium", *collect}, session.quirks.can
        #: The channels that it feeds, none where streams are off.
        self.channels: frozenset[Channel] = frozenset(
            channel
            for channel, name in STREAM_CAN.items()
            if session.settings.streams and channel in wanted and name in can
        )
        symbols = dict.fromkeys(key.symbol for key in keys)
        self._subscriptions = [
            Subscription("candles", key.symbol, key.timeframe)
            for key in keys
            if "candles" in self.channels and key.kind == "ohlcv"
        ] + [
            Subscription(channel, symbol)
            for channel in STREAM_CAN
            if channel in self.channels and channel != "candles"
            for symbol in symbols
        ]

    @property
    def health(self) -> StreamHealth | None:
        """``None``: it is not running."""
        return None if self._stream is None else self._stream.health

    @property
    def speaks(self) -> bool:
        """Whether everything is connected and something was heard a short while ago."""
        health = self.health
        if health is None or not health.connected or health.last_message_ms is None:
            return False
        return self._session.now_ms() - health.last_message_ms <= 1000 * self._session.settings.stream_silence_s

    @property
    def at_work(self) -> bool:
        """Whether something goes on that no clock waits for: libraries being loaded, a socket being dialled."""
        return self._beginning or (self._stream is not None and self._stream.dialling)

    async def run(self) -> None:
        """Listen until cancelled."""
        with suppress(Retryable, Rejected):  # then the stream asks for itself, again and again
            await self._session.load_markets()
        self._beginning = True  # the libraries of streams are loaded in a thread
        async with MarketStream(self._session, self._subscriptions) as stream:
            self._stream, self._beginning = stream, False
            try:
                while True:
                    batch = await stream.next_batch()
                    for start in range(0, len(batch), EVENTS_A_TURN):
                        for event in batch[start : start + EVENTS_A_TURN]:
                            self._hear(event)
                        await asyncio.sleep(0)
                    self._heard(self.speaks)
            finally:
                self._stream = None

    async def begin_anew(self, subscription: Subscription) -> None:
        """Give one subscription up and ask for it again: its exchange answers with a snapshot."""
        if self._stream is not None:
            await self._stream.remove([subscription])
            await self._stream.add([subscription])
