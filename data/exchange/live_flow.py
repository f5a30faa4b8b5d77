"""Order book, trades, liquidations and metrics of one symbol while a market is live: kept, sampled, stored."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np

from data.errors import Rejected, Retryable
from data.exchange.events import BookDelta, BookSnapshot, Liquidation, TradePrint
from data.exchange.live_quotes import SymbolMarket
from data.exchange.live_store import LiveStore
from data.exchange.session import ExchangeSession
from data.exchange.waiting import sleep_or
from data.market import TICK, SeriesKey, short_symbol
from data.orderbook import SyncStep
from data.timeframes import HOUR_MS, MINUTE_MS
from data.trade_flow import FlowStep

METRICS_STEP = "5m"
METRICS_MS = 5 * MINUTE_MS
METRICS_FIRST_MS = HOUR_MS  # of metrics that are read at the start
SNAPSHOT_PAUSE_S = 2.0  # between two snapshots of one book
POLL_S = 30.0  # books and trades without a stream
REPEATS = 256  # liquidations in which a repeated message is looked for


class LiveFlow:
    """Everything of one symbol that comes faster than bars.

    Args:
        collect: kinds that are kept and stored: ``book``, ``trades``, ``metrics``, ``liquidations``.
        offset: 0 … 1, where in its period a symbol's metrics are asked for (so that not all ask at once).
    """

    def __init__(
        self,
        session: ExchangeSession,
        market: SymbolMarket,
        store: LiveStore,
        trouble: Callable[[str, str], None],
        collect: Collection[str],
        offset: float = 0.0,
    ) -> None:
        self._session = session
        self._market = market
        self._store = store
        self._trouble = trouble
        self._collect = collect
        self._offset_ms = round(offset * METRICS_MS)
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

    def loops(self, streamed: Collection[str]) -> list[Coroutine[Any, Any, None]]:
        """The loops to run; ``streamed`` are the channels that a stream feeds."""
        wanted: list[Coroutine[Any, Any, None]] = []
        can = self._session.quirks.can
        if "book" in self._collect and "book" in can:
            if "book" not in streamed:
                wanted.append(self._poll("order book", self._read_book))
            elif not self._market.streams_snapshots:
                wanted.append(self._keep("order book", self._book_wanted, self._read_missing_book))
        if "trades" in self._collect and "trades" in can:
            if "trades" not in streamed:
                wanted.append(self._poll("trades", self._read_trades))
            else:
                self._trades_wanted.set()
                wanted.append(self._keep("trades", self._trades_wanted, self._read_trades))
        if "metrics" in self._collect and "metrics_history" in can:
            wanted.append(self._poll_metrics())
        return wanted

    async def _keep(self, what: str, event: asyncio.Event, read: Callable[[], Awaitable[None]]) -> None:
        """Read when wanted, and not again before a pause has passed."""
        while True:
            await event.wait()
            event.clear()
            if not await self._attempt(what, read):
                event.set()
            await self._session.sleep(SNAPSHOT_PAUSE_S)

    async def _poll(self, what: str, read: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._attempt(what, read)
            await self._session.sleep(POLL_S)

    async def _poll_metrics(self) -> None:
        never = asyncio.Event()
        while True:
            await self._attempt("metrics", self._read_metrics)
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
