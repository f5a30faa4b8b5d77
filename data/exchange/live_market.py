"""A live market of many series: closed bars, books, trades, premium, funding and metrics, kept and stored.

Streams and REST feed the same sequences, so that losing the stream costs a second or two and never a bar. Everything
runs on the session's clock and sleep.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from data.bar_notes import Hole, Note, Quarantined, Revision, Suspect, joined, revised_frame
from data.bar_sequence import REMEMBERED
from data.errors import Rejected, Retryable
from data.exchange.events import (
    BookDelta,
    BookSnapshot,
    CandleUpdate,
    Liquidation,
    MarketEvent,
    PremiumUpdate,
    StreamGap,
    TradePrint,
)  # fmt: skip
from data.exchange.follower import sequence_of
from data.exchange.live_events import IntervalChanged, LiveHealth, Settlement, Trouble
from data.exchange.live_flow import LiveFlow, not_given
from data.exchange.live_funding import LiveFunding
from data.exchange.live_quotes import MarketQuote, SymbolMarket
from data.exchange.live_series import LiveSeries
from data.exchange.live_store import LiveStore
from data.exchange.live_stream import LiveStream
from data.exchange.rules import RulesChange, RulesWatch
from data.exchange.session import ExchangeSession
from data.exchange.waiting import sleep_or
from data.instruments import Instrument
from data.market import Frame, SeriesKey, unified_symbol
from data.memory import set_aside_long_lived
from data.store import MarketStore

FLUSH_S = 2.0  # longest that observations wait for the store
REVIEW_S = 3600.0  # bars are read again so often, for silent revisions
QUIET_AFTER_S = 60.0  # by then modules and markets are loaded

LiveEvent = Note | Settlement | IntervalChanged | RulesChange | Trouble
OnEvent = Callable[[LiveEvent], None]
Loop = Coroutine[Any, Any, None]


class LiveMarket:
    """Runs ``series`` of one exchange: ``run()`` in a task, ``closed_bars()`` wherever bars are used.

    Args:
        session: open.
        series: candles to follow (``ohlcv``, ``mark`` or ``index``).
        collect: kinds that are stored besides candles and funding; by default those of the settings.
        after: open time (ms) of the last bar already known, by series; by default the last one closed now.
        on_event: told everything noticed (:data:`LiveEvent`), on the loop; it must not block.
    """

    def __init__(
        self,
        session: ExchangeSession,
        series: Sequence[SeriesKey],
        store: MarketStore,
        *,
        collect: Collection[str] | None = None,
        after: Mapping[SeriesKey, int] | None = None,
        on_event: OnEvent | None = None,
    ) -> None:
        self._session = session
        self._reading = store
        self._collect = frozenset(session.settings.collect if collect is None else collect)
        self._after = dict(after or {})
        self._on_event = on_event
        self._store = LiveStore(store, self._give, lambda sentence: self._note_trouble("the store", sentence))
        self._lines: dict[SeriesKey, LiveSeries] = {}
        self._keys = tuple(dict.fromkeys(series))
        quirks = session.quirks
        symbols = list(dict.fromkeys(key.symbol for key in self._keys))
        self._markets = {
            symbol: SymbolMarket(symbol, windowed=quirks.streams_snapshots, consecutive=quirks.consecutive_trades)
            for symbol in symbols
        }
        self._stream = LiveStream(session, self._keys, self._collect, self._hear, self._heard)
        self._funding = {
            symbol: LiveFunding(
                session, market, self._store, self._hear_mark, self._tell, self._note_trouble,
                collect="premium" in self._collect,
            )
            for symbol, market in self._markets.items()
        }  # fmt: skip
        self._flow = {
            symbol: LiveFlow(
                session, market, self._store, self._stream, self._note_trouble, self._collect, place, len(symbols)
            )
            for place, (symbol, market) in enumerate(self._markets.items())
        }
        self._rules = RulesWatch(session, symbols)
        self._listeners: list[deque[Frame]] = []
        self._arrived = asyncio.Condition()
        self._counts: Counter[str] = Counter()
        self._troubles: dict[str, str] = {}
        self._ended = False
        self._beginning = False

    # ---- what others use -------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep everything going until cancelled; what was heard by then is stored before it returns.

        Raises:
            QuantError: the store refuses a write for good.
        """
        try:
            await self._begin()
            async with asyncio.TaskGroup() as group:
                for loop in self._loops():
                    group.create_task(loop)
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            await asyncio.shield(self._finish())

    def closed_bars(self) -> AsyncGenerator[Frame, None]:
        """Confirmed bars from this call on, each series in order, already stored; ends when ``run`` ends."""
        waiting: deque[Frame] = deque()
        self._listeners.append(waiting)
        return self._bars_of(waiting)

    def quote(self, symbol: str) -> MarketQuote:
        """A symbol as it stands.

        Raises:
            KeyError: the symbol is not followed.
        """
        return self._markets[unified_symbol(symbol)].quote(self._session.now_ms())

    def awaits_settlement(self, symbol: str, until_ms: int) -> bool:
        """Whether a settlement due at ``until_ms`` or before may still be missing in the store."""
        return self._store.owes_funding or self._funding[unified_symbol(symbol)].awaits(until_ms)

    def fresh(self, symbol: str, now_ms: int | None = None) -> bool:
        """The age gate: no series of the symbol is older than ``stale_bars`` bars."""
        name, now = unified_symbol(symbol), self._session.now_ms() if now_ms is None else now_ms
        lines = [line for key, line in self._lines.items() if key.symbol == name]
        return bool(lines) and not any(line.health(now).stale for line in lines)

    def health(self) -> LiveHealth:
        """How everything stands."""
        now = self._session.now_ms()
        return LiveHealth(
            rest=self._session.health,
            stream=self._stream.health,
            mode="stream" if self._stream.speaks else "rest",
            series=tuple(line.health(now) for line in self._lines.values()),
            bars=self._counts["bars"],
            holes=self._counts["holes"],
            revisions=self._counts["revisions"],
            quarantined=self._counts["quarantined"],
            suspects=self._counts["suspects"],
            resyncs=sum(market.sync.resyncs for market in self._markets.values()),
            unsettled=tuple(symbol for symbol, funding in self._funding.items() if funding.overdue),
            troubles=tuple(self._troubles.values()),
            not_given=not_given(self._session.quirks, self._collect, self._stream.channels),
        )

    @property
    def rules(self) -> Mapping[str, Instrument]:
        """The trading rules valid now, by unified symbol (empty until they are read)."""
        return self._rules.rules

    def review(self) -> None:
        """Read the last bars of every series again now (it happens every hour by itself)."""
        for line in self._lines.values():
            line.review()

    @property
    def at_work(self) -> bool:
        """Whether something goes on that no clock waits for: a write in its thread, a stream being dialled."""
        return self._store.writing or self._beginning or self._stream.at_work

    # ---- beginning and end -----------------------------------------------------------------------------------------

    async def _begin(self) -> None:
        """A sequence for each series, with the bars that the store has of it up to its beginning."""
        self._beginning = True
        for key in self._keys:
            plain = sequence_of(self._session, key, self._after.get(key))
            after = plain.last_ms
            known = await asyncio.to_thread(self._reading.tail, key, REMEMBERED, after + key.step_ms)
            sequence = sequence_of(self._session, key, after, known)
            self._lines[key] = LiveSeries(
                self._session, sequence, self._new_bars, self._notice, self._note_trouble
            )  # fmt: skip
        self._beginning = False

    def _loops(self) -> list[Loop]:
        """Everything that goes on side by side."""
        loops: list[Loop] = [line.run() for line in self._lines.values()]
        loops += [funding.run() for funding in self._funding.values()]
        for flow in self._flow.values():
            loops += flow.loops()
        loops += [self._write(), self._review_in_turn(), self._watch_rules(), self._quieten()]
        if "book" in self._collect:
            loops.append(self._every(self._session.settings.book_sample_s, self._sample_books))
        if self._stream.channels:
            loops.append(self._stream.run())
        return loops

    async def _finish(self) -> None:
        await self._store.flush()
        self._ended = True
        async with self._arrived:
            self._arrived.notify_all()

    async def _bars_of(self, waiting: deque[Frame]) -> AsyncGenerator[Frame, None]:
        try:
            while True:
                async with self._arrived:
                    await self._arrived.wait_for(lambda: bool(waiting) or self._ended)
                if not waiting:
                    return
                yield waiting.popleft()
        finally:
            with suppress(ValueError):
                self._listeners.remove(waiting)

    def _give(self, frame: Frame) -> None:
        """A frame is stored: to everybody who listens. Who is slow gets several frames of a series as one."""
        for waiting in self._listeners:
            last = waiting[-1] if waiting else None
            if last is not None and last.key == frame.key:
                waiting[-1] = joined(last, frame)
            else:
                waiting.append(frame)

    async def _write(self) -> None:
        while True:
            await self._store.filled.wait()
            await sleep_or(self._store.wake, self._session.sleep, FLUSH_S)
            await self._store.flush()
            async with self._arrived:
                self._arrived.notify_all()

    async def _every(self, seconds: float, work: Callable[[], None]) -> None:
        while True:
            await self._session.sleep(seconds)
            work()

    async def _watch_rules(self) -> None:
        while True:
            try:
                for change in await self._rules.look():
                    self._tell(change)
                self._note_trouble("trading rules", "")
            except (Retryable, Rejected) as error:
                self._note_trouble("trading rules", str(error))
            await self._session.sleep(self._session.settings.rules_refresh_s)

    async def _quieten(self) -> None:
        """Once everything is loaded, no later collection of garbage holds up the loop for long."""
        await self._session.sleep(QUIET_AFTER_S)
        set_aside_long_lived()

    async def _review_in_turn(self) -> None:
        """Every series once in REVIEW_S, spread out so that closing bars need not wait for it."""
        while True:
            for line in list(self._lines.values()):
                await self._session.sleep(REVIEW_S / len(self._lines))
                line.review()

    def _sample_books(self) -> None:
        for flow in self._flow.values():
            flow.sample_book()

    # ---- what series notice ----------------------------------------------------------------------------------------

    def _new_bars(self, frame: Frame) -> None:
        self._counts["bars"] += len(frame)
        self._store.bars(frame)
        if frame.key.kind == "ohlcv":
            close_ms = int(frame.open_time[-1]) + frame.key.step_ms
            self._markets[frame.key.symbol].hear_price(float(frame.close[-1]), close_ms, self._session.now_ms())

    def _notice(self, note: Note) -> None:
        if isinstance(note, Revision):
            self._counts["revisions"] += 1
            self._store.revise(revised_frame(note, self._session.now_ms()))
        elif isinstance(note, Hole):
            self._counts["holes"] += note.bars
        elif isinstance(note, Quarantined):
            self._counts["quarantined"] += 1
        elif isinstance(note, Suspect):
            self._counts["suspects"] += 1
        self._tell(note)

    def _tell(self, event: LiveEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)

    def _note_trouble(self, what: str, sentence: str) -> None:
        """Told when it begins, when it changes its kind, and when it is over."""
        before = self._troubles.get(what, "")
        if sentence:
            self._troubles[what] = sentence
        else:
            self._troubles.pop(what, None)
        if bool(before) != bool(sentence):
            self._tell(Trouble(what, sentence))

    def _hear_mark(self, update: PremiumUpdate) -> None:
        for key, line in self._lines.items():
            if key.symbol == update.symbol and key.kind == "ohlcv":
                line.sequence.hear_mark(update.mark_price, update.event_ms)

    # ---- the stream ------------------------------------------------------------------------------------------------

    def _heard(self, speaks: bool) -> None:
        for line in self._lines.values():
            line.stream_speaks(speaks and line.key.kind == "ohlcv")

    def _hear(self, event: MarketEvent) -> None:
        if isinstance(event, CandleUpdate):
            line = self._lines.get(SeriesKey(self._session.settings.exchange, event.symbol, event.timeframe))
            if line is not None:
                self._markets[event.symbol].hear_price(event.close, event.event_ms, event.received_ms)
                line.hear(event)
        elif isinstance(event, BookDelta | BookSnapshot):
            self._flow[event.symbol].hear_book(event)
        elif isinstance(event, TradePrint):
            self._flow[event.symbol].hear_trade(event)
        elif isinstance(event, PremiumUpdate):
            self._funding[event.symbol].hear(event)
        elif isinstance(event, Liquidation):
            self._flow[event.symbol].hear_liquidation(event)
        else:
            self._hear_gap(event)

    def _hear_gap(self, gap: StreamGap) -> None:
        symbols = [gap.symbol] if gap.symbol else list(self._markets)
        self._counts["gaps"] += 1
        for symbol in symbols:
            self._flow[symbol].gap(gap.channel, gap.why)
        if gap.channel == "candles":
            for key, line in self._lines.items():
                if key.symbol in symbols and key.kind == "ohlcv":
                    line.doubt()
