"""Order book, trades, liquidations and metrics of one symbol while a market is live: kept, sampled, stored."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from data.errors import Rejected, Retryable
from data.exchange.events import BookDelta, BookSnapshot, Channel, Liquidation, Subscription, TradePrint
from data.exchange.live_quotes import SymbolMarket
from data.exchange.live_store import LiveStore
from data.exchange.live_stream import LiveStream
from data.exchange.quirks import Quirks
from data.exchange.session import ExchangeSession
from data.exchange.waiting import sleep_or
from data.market import TICK, SeriesKey, short_symbol
from data.orderbook import SyncStep
from data.timeframes import HOUR_MS, MINUTE_MS
from data.trade_flow import FlowStep

METRICS_STEP = "5m"
METRICS_MS = 5 * MINUTE_MS
METRICS_FIRST_MS = HOUR_MS  # of metrics that are read at the start
ASK_PAUSE_S = 2.0  # a symbol, between two snapshots of a book: 30 a minute in all are a quarter of Binance's weight
POLL_S = 30.0  # books and trades while no stream speaks
REPEATS = 256  # liquidations in which a repeated message is looked for


class LiveFlow:
    """Everything of one symbol that comes faster than bars.

    Args:
        stream: feeds some of it, or nothing.
        collect: kinds that are kept and stored: ``book``, ``trades``, ``metrics``, ``liquidations``.
        place, symbols: the symbol's number among all of them: not all ask at once, nor all together too often.
    """

    def __init__(
        self,
        session: ExchangeSession,
        market: SymbolMarket,
        store: LiveStore,
        stream: LiveStream,
        trouble: Callable[[str, str], None],
        collect: Collection[str],
        place: int = 0,
        symbols: int = 1,
    ) -> None:
        self._session = session
        self._market = market
        self._store = store
        self._stream = stream
        self._trouble = trouble
        self._collect = collect
        self._offset_ms = METRICS_MS * place // symbols
        self._pause_s = ASK_PAUSE_S * symbols
        self._keys = {
            kind: SeriesKey(session.settings.exchange, market.symbol, TICK, kind)
            for kind in ("book", "trades", "liquidations")
        }
        self._book_wanted = asyncio.Event()
        self._trades_wanted = asyncio.Event()
        self._sampled_id: int | None = None
        self._metrics_ms: int | None = None
        self._seen: deque[tuple[int, float, float, int]] = deque(maxlen=REPEATS)

    # ---- what is heard ---------------------------------------------------------------------------------------------

    def hear_book(self, event: BookDelta | BookSnapshot) -> None:
        """A message of the book's stream."""
        step = self._market.hear_book(event)
        if step in (SyncStep.GAP, SyncStep.REFUSED, SyncStep.BUFFERED) or self._market.sync.needs_snapshot:
            self._book_wanted.set()

    def hear_trade(self, trade: TradePrint) -> None:
        """A trade; where ids were skipped REST is asked for the missing ones."""
        step = self._market.hear_trade(trade)
        if step is FlowStep.GAP:
            self._trades_wanted.set()
        if "trades" in self._collect and step not in (FlowStep.DUPLICATE, FlowStep.OLD):
            self._store.observe(
                self._keys["trades"], trade.time_ms, trade.trade_id, trade.received_ms,
                (trade.price, trade.quantity, float(trade.side)),
            )  # fmt: skip

    def hear_liquidation(self, event: Liquidation) -> None:
        """A liquidation; those of one moment are numbered."""
        row = event.time_ms, event.price, event.quantity, event.side
        if row in self._seen:
            return
        number = sum(seen[0] == event.time_ms for seen in self._seen)
        self._seen.append(row)
        values = (event.price, event.quantity, float(event.side))
        self._store.observe(self._keys["liquidations"], event.time_ms, number, event.received_ms, values)

    def gap(self, channel: str, why: str) -> None:
        """Messages of the channel may have been lost."""
        if channel == "book":
            self._market.sync.lost(why)
        elif channel == "trades":
            self._trades_wanted.set()

    def sample_book(self) -> None:
        """The top of the book into the store, if it has changed."""
        top = self._market.sync.top()
        if top is None or top.update_id == self._sampled_id:
            return
        self._sampled_id = top.update_id
        values = tuple(top.values().tolist())
        self._store.observe(self._keys["book"], top.time_ms, top.update_id, top.known_at, values)

    # ---- what is asked ---------------------------------------------------------------------------------------------

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """The loops to run."""
        wanted: list[Coroutine[Any, Any, None]] = []
        quirks = self._session.quirks
        if "book" in self._collect and "book" in quirks.can:
            wanted.append(self._poll("book", "order book", self._read_book))
            if "book" in self._stream.channels:
                mend = self._begin_book_anew if quirks.streams_snapshots else self._read_missing_book
                wanted.append(self._keep("order book", self._book_wanted, mend))
        if "trades" in self._collect and "trades" in quirks.can:
            wanted.append(self._poll("trades", "trades", self._read_trades))
            if "trades" in self._stream.channels:
                self._trades_wanted.set()
                wanted.append(self._keep("trades", self._trades_wanted, self._read_trades))
        if "metrics" in self._collect and "metrics_history" in quirks.can:
            wanted.append(self._every_metrics_step("metrics", self._read_metrics))
        elif "metrics" in self._collect and "open_interest" in quirks.can:
            wanted.append(self._every_metrics_step("open interest", self._read_open_interest))
        return wanted

    async def _keep(self, what: str, event: asyncio.Event, read: Callable[[], Awaitable[None]]) -> None:
        """Read at once when wanted, and not again before the pause has passed."""
        while True:
            await event.wait()
            event.clear()
            if not await self._attempt(what, read):
                event.set()
            await self._session.sleep(self._pause_s)

    async def _poll(self, channel: Channel, what: str, read: Callable[[], Awaitable[None]]) -> None:
        """Read again and again as long as no stream tells it; a stream gets its time to begin."""
        while True:
            if channel not in self._stream.channels:
                await self._attempt(what, read)
            await self._session.sleep(POLL_S)
            if channel in self._stream.channels and not self._stream.speaks:
                await self._attempt(what, read)

    async def _every_metrics_step(self, what: str, read: Callable[[], Awaitable[None]]) -> None:
        never = asyncio.Event()
        while True:
            await self._attempt(what, read)
            now = self._session.now_ms()
            due = (now - self._offset_ms) // METRICS_MS * METRICS_MS + METRICS_MS + self._offset_ms
            await sleep_or(never, self._session.sleep, (due - now) / 1000)

    async def _attempt(self, what: str, read: Callable[[], Awaitable[None]]) -> bool:
        name = f"{what} {short_symbol(self._market.symbol)}"
        try:
            await read()
        except (Retryable, Rejected) as error:
            self._trouble(name, str(error))
            return False
        self._trouble(name, "")
        return True

    async def _read_missing_book(self) -> None:
        if self._market.sync.needs_snapshot:
            await self._read_book()
            if self._market.sync.needs_snapshot:
                self._book_wanted.set()

    async def _begin_book_anew(self) -> None:
        """The stream itself sends the snapshot, and if that does not come either, the next change asks again."""
        if self._market.sync.needs_snapshot:
            await self._stream.begin_anew(Subscription("book", self._market.symbol))

    async def _read_book(self) -> None:
        snapshot = await self._session.book_snapshot(self._market.symbol)
        self._market.hear_book(replace(snapshot, received_ms=self._session.now_ms()))  # after all waiting for its turn

    async def _read_trades(self) -> None:
        trades = await self._session.recent_trades(self._market.symbol)
        now = self._session.now_ms()
        for trade in trades:
            self.hear_trade(replace(trade, received_ms=now))

    async def _read_metrics(self) -> None:
        now = self._session.now_ms()
        start = now - METRICS_FIRST_MS if self._metrics_ms is None else self._metrics_ms + 1
        rows = await self._session.metrics(self._market.symbol, METRICS_STEP, start, now + 1)
        if len(rows):
            self._metrics_ms = int(rows.time[-1])
            known_at = self._session.now_ms()
            self._market.hear_metrics(rows, known_at)
            self._store.observations(replace(rows, known_at=np.maximum(rows.known_at, known_at)))

    async def _read_open_interest(self) -> None:
        rows = await self._session.open_interest(self._market.symbol)
        self._market.hear_metrics(rows, int(rows.known_at[-1]))
        self._store.observations(rows)


def not_given(quirks: Quirks, collect: Collection[str], streamed: Collection[str]) -> tuple[str, ...]:
    """Sentences of what is to be collected and neither a stream (``streamed``: its channels) nor REST gives."""
    name, can = quirks.name, quirks.can
    sentences = []
    if "liquidations" in collect and "liquidations" not in streamed:
        offered = "liquidations_stream" in can
        sentences.append(
            f"Liquidations of {name} are told over streams only, and streams are off."
            if offered
            else f"{name} tells no liquidations."
        )
    if "metrics" in collect and "metrics_history" not in can:
        sentences.append(
            f"{name} tells open interest, but no ratios of long and short."
            if "open_interest" in can
            else f"{name} tells no open interest and no ratios of long and short."
        )
    sentences += [
        f"{name} shows no {words}."
        for kind, words in (("book", "order book"), ("trades", "trades"))
        if kind in collect and kind not in can
    ]
    return tuple(sentences)
