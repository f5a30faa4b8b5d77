"""Bars of an exchange: back-filled into the store, then followed as they close, for a run to decide on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence

import numpy as np

from app.bar_alignment import BarAlignment
from app.feeds import FeedHealth
from app.wiring import mark_frame
from data.backfill import backfill
from data.bar_notes import Hole, Quarantined, Revision, Suspect
from data.beside_rows import LATE_MS
from data.exchange.live_events import IntervalChanged, LiveHealth, Trouble
from data.exchange.live_market import LiveEvent, LiveMarket
from data.exchange.live_quotes import MarketQuote
from data.exchange.rules import RulesChange
from data.exchange.session import ExchangeSession
from data.grid import Grid, align
from data.instruments import Instrument
from data.market import Float64Array, Frame, SeriesKey, short_symbol
from data.store import MarketStore
from data.timeframes import HOUR_MS
from trading.records import Reason

LOOK_S = 60.0
MOST_MISSED = 5_000  # bars of a series that is only kept, which a run fetches before it goes on
BESIDE_WAIT_MS = 3_000  # so long a bar waits for finer ones and for its mark price; without them it is read without
OVERDUE_MS = 30_000  # after its close, a bar that a troubled exchange does not show counts as overdue
Told = Callable[[str, str, str], None]  # level, title, sentence
RulesTold = Callable[[RulesChange], None]


class ExchangeFeed:
    """Closed bars of an exchange. A bar is given out when every symbol has it and its settlement is known.

    A symbol that stays behind the others is left out of it after a while (:mod:`app.bar_alignment`); a bar whose
    successor has closed already is given out with the reason why nothing may be entered on it (:meth:`hold`).

    Args:
        session: open.
        keys: what the run trades, all of one timeframe; ``also``: further series that are followed and stored.
        awaited: symbols that features look at, of the same timeframe: followed, and waited for like the traded ones.
        beside: further ones of ``also`` that a bar waits for a little: finer bars inside it, its mark price.
        history_bars: bars before the first one that are back-filled at least.
        changed: told the trouble when bars stop coming, and ``""`` when they come again.
        tell: told what a person should hear of: level, title, sentence.
        rules: what orders of each symbol must obey, as read when the run was opened. A delisted one is not followed.
        rules_changed: told when the exchange changed them, or ends the trading of a symbol.
        bars_stopped: told a symbol that the exchange ended and shows no bars of any more.
        filling: told which series is being back-filled, and how far.
    """

    prompt = False

    def __init__(
        self, session: ExchangeSession, keys: Sequence[SeriesKey], store: MarketStore, history_bars: int,
        changed: Callable[[str], None], also: Sequence[SeriesKey] = (), tell: Told = lambda *_: None,
        rules: Sequence[Instrument] = (), rules_changed: RulesTold = lambda _: None,
        bars_stopped: Callable[[str], None] = lambda _: None, filling: Callable[[str], None] = lambda _: None,
        awaited: Sequence[SeriesKey] = (), beside: Sequence[SeriesKey] = (),
    ) -> None:  # fmt: skip
        self.live: LiveMarket | None = None
        self._session = session
        self._keys = {key.symbol: key for key in keys}
        self._rules = {its.symbol: its for its in rules}
        self._ended = {its.symbol for its in rules if its.status != "trading"}  # settled or delisted
        self._gone = frozenset(its.symbol for its in rules if its.status == "delisted")
        self._silent: set[str] = set()  # of the ended ones, those without bars
        self._awaited = {key.symbol: key for key in awaited if key.symbol not in self._keys}
        self._also = tuple(key for key in (*also, *self._awaited.values()) if key.symbol not in self._gone)
        self._beside = tuple(key for key in beside if key.symbol not in self._gone)
        self._store = store
        self._history_bars = history_bars
        self._changed = changed
        self._tell = tell
        self._rules_changed = rules_changed
        self._bars_stopped = bars_stopped
        self._filling = filling
        self._filled: dict[SeriesKey, tuple[int, int]] = {}
        self._step = keys[0].step_ms
        self._exchange = keys[0].exchange
        self._last: int | None = None
        self._stale = ""
        self._way = "stream"
        self._skewed = False

    # ---- the past ------------------------------------------------------------------------------------------------

    async def history(self, bars: int, before_ms: int | None) -> Grid:
        """Back-fill what the store lacks of the last ``bars`` bars, then read them from it."""
        end = before_ms if before_ms is not None else self._session.now_ms() // self._step * self._step
        start = end - bars * self._step
        oldest = end - max(bars, self._history_bars) * self._step
        frames, fundings = [], []
        for key in self._awaited.values():
            await self._fill(key, oldest, end)
        for key in self._keys.values():
            if key.symbol not in self._gone:
                await self._fill(key, oldest, end)
                await self._fill(SeriesKey(key.exchange, key.symbol, "8h", "funding", key.source), oldest, end + 1)
            frames.append(self._store.read(key, start, end))
            fundings.append(self._store.read_funding(key.exchange, key.symbol, key.source, start, end + 1))
        return align(frames, fundings)

    async def _fill(self, key: SeriesKey, start: int, end: int) -> None:
        """A span that was filled before is not asked for again: the limits of an exchange are tight at settlements."""
        first, last = self._filled.get(key, (end, end))
        if first <= start and end <= last:
            return
        name = f"{short_symbol(key.symbol)} {key.timeframe if key.holds_bars else key.kind}"
        begin = last if first <= start <= last else start
        told = lambda share, _rows: self._filling(f"back-filling {name}, {share:.0%}")
        await backfill(self._session, self._store, key, begin, end, told)
        self._filled[key] = (min(first, start), end)

    # ---- the present ---------------------------------------------------------------------------------------------

    async def bars(self, from_ms: int | None) -> AsyncGenerator[tuple[Grid, int], None]:
        """Bars as they close, those missed since ``from_ms`` first.

        Raises:
            QuantError: the store refuses what came.
        """
        start = from_ms if from_ms is not None else self._session.now_ms() // self._step * self._step
        keys = [key for key in self._keys.values() if key.symbol not in self._gone]
        live = LiveMarket(
            self._session, (*keys, *self._also), self._store, on_event=self._hear,
            after={**self._stored_last(), **dict.fromkeys((*keys, *self._awaited.values()), start - self._step)},
        )  # fmt: skip
        self.live = live
        frames = live.closed_bars()
        tasks = [asyncio.create_task(work) for work in (live.run(), self._session.keep_clock(), self._look_after(live))]
        try:
            async with contextlib.aclosing(self._assembled(live, frames, start)) as assembled:
                async for grid, t in assembled:
                    self._last = int(grid.open_time[t])
                    yield grid, t
            if tasks[0].done():
                await tasks[0]  # what ended it, for the service to say
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _stored_last(self) -> dict[SeriesKey, int]:
        """The newest stored bar of the series that are only kept: what came while nothing ran is fetched as well.

        One that ends long ago begins anew: years of bars are a download's work, not a run's.
        """
        now = self._session.now_ms()
        newest = ((key, self._store.tail(key, 1).open_time) for key in self._also)
        return {
            key: int(times[-1]) for key, times in newest if len(times) and now - times[-1] < MOST_MISSED * key.step_ms
        }

    async def _assembled(
        self, live: LiveMarket, frames: AsyncGenerator[Frame, None], start: int
    ) -> AsyncGenerator[tuple[Grid, int], None]:
        """Frames of single symbols as bars of all of them."""
        given = start - self._step
        alignment = BarAlignment((*self._keys, *self._awaited), given, LATE_MS)
        async with contextlib.aclosing(self._heard(frames, alignment)) as heard:
            async for _ in heard:
                self._note_age()
                ready = alignment.ready_ms(self._session.now_ms(), self._gone | self._silent)
                if ready <= given:
                    continue
                await self._settled(live, ready + self._step)
                await self._detailed(ready + self._step)
                grid = self._grid(given + self._step, ready + self._step)
                for t in range(grid.bars):
                    yield grid, t
                given = ready

    async def _heard(self, frames: AsyncGenerator[Frame, None], alignment: BarAlignment) -> AsyncGenerator[None, None]:
        """Yields when a bar of a traded symbol has come, and when a symbol has been waited for long enough."""
        coming: asyncio.Future[Frame] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(frames))
                await self._wait(coming, alignment.due_ms(self._session.now_ms(), self._gone | self._silent))
                if coming.done():
                    try:
                        frame = coming.result()
                    except StopAsyncIteration:
                        return
                    coming = None
                    if frame.key not in (self._keys.get(frame.key.symbol), self._awaited.get(frame.key.symbol)):
                        continue
                    alignment.hear(frame.key.symbol, int(frame.open_time[-1]), self._session.now_ms())
                yield
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            await frames.aclose()

    async def _wait(self, coming: asyncio.Future[Frame], due_ms: int | None) -> None:
        """Until the next bar is there, or ``due_ms`` has come."""
        if due_ms is None:
            await asyncio.wait((coming,))
            return
        timer = asyncio.ensure_future(self._session.sleep(max(0, due_ms - self._session.now_ms()) / 1000))
        try:
            await asyncio.wait((coming, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            await asyncio.gather(timer, return_exceptions=True)

    async def _settled(self, live: LiveMarket, end_ms: int) -> None:
        """Wait for settlements that fall due up to then: a ledger without one would be wrong for ever."""
        while any(live.awaits_settlement(symbol, end_ms) for symbol in self._keys if symbol not in self._ended):
            await self._session.sleep(self._session.settings.confirm_delay_s)

    async def _detailed(self, end_ms: int) -> None:
        """Wait a little for the finer bars and the mark prices that close with these ones."""
        until = self._session.now_ms() + BESIDE_WAIT_MS
        while self._session.now_ms() < until and any(self._lacks(key, end_ms) for key in self._beside):
            await self._session.sleep(self._session.settings.confirm_delay_s)

    def _lacks(self, key: SeriesKey, end_ms: int) -> bool:
        newest = self._store.tail(key, 1).open_time
        return key.symbol not in self._ended and (not len(newest) or int(newest[-1]) + key.step_ms < end_ms)

    def _grid(self, start: int, end: int) -> Grid:
        keys = self._keys.values()
        return align(
            [self._store.read(key, start, end) for key in keys],
            [self._store.read_funding(k.exchange, k.symbol, k.source, start + 1, end + 1) for k in keys],
            [mark_frame(self._store, key, start, end) for key in keys],
        )

    async def _look_after(self, live: LiveMarket) -> None:
        """Notice, bar or no bar, that bars stop, and rules that changed before the market was watched."""
        while True:
            await self._session.sleep(LOOK_S)
            for symbol, after in live.rules.items():
                before = self._rules.get(symbol)
                if before is not None and before != after:
                    self._new_rules(RulesChange(symbol, before, after))
            self._note_age()
            self._note_way(live)

    def _note_way(self, live: LiveMarket) -> None:
        """Tell when bars come by another way than before, and when the clock is off or right again."""
        if self._session.settings.streams and (way := live.health().mode) != self._way:
            self._way = way
            if way == "rest":
                self._tell("warn", "The stream is silent", "Bars are asked for after each close until it is back.")
            else:
                self._tell("ok", "The stream is back", "Bars come as they close again.")
        if self._session.skewed != self._skewed:
            self._skewed = self._session.skewed
            if self._skewed:
                side = "behind" if self._session.offset_ms > 0 else "ahead of"
                off = f"{abs(self._session.offset_ms) / 1000:,.1f} s {side}"
                words = f"It is {off} {self._exchange}'s: no new positions until it is set right."
                self._tell("warn", "The clock is off", words)
            else:
                self._tell("ok", "The clock is right again", "New positions may be opened.")

    def _new_rules(self, change: RulesChange) -> None:
        self._rules[change.symbol] = change.after
        if change.after.status == "trading":
            self._ended.discard(change.symbol)
        else:
            self._ended.add(change.symbol)
        self._tell("warn", "Trading rules changed", change.sentence)
        self._rules_changed(change)

    def hold(self, open_time: int) -> Sequence[int]:
        """No entry where the next bar has closed already, the clock is off, or the exchange ends the symbol."""
        late = self._session.now_ms() >= open_time + 2 * self._step
        why = Reason.LATE_BAR if late else Reason.CLOCK_SKEW if self._session.skewed else Reason.NONE
        return [int(Reason.NOT_TRADING if symbol in self._ended else why) for symbol in self._keys]

    def quotes(self) -> Float64Array:
        """Spread, depth of both sides and age of each traded symbol's book; NaN where there is none."""
        rows: Float64Array = np.full((len(self._keys), 4), np.nan)
        for s, symbol in enumerate(self._keys):
            if self.live is None or symbol in self._gone:
                continue
            quote = self.live.quote(symbol)
            age = quote.age_ms("bid")
            if age is not None:
                middle = (quote.bid + quote.ask) / 2.0
                rows[s] = quote.spread / middle, quote.bid_depth, quote.ask_depth, age / 1000.0
        return rows

    # ---- how it is -----------------------------------------------------------------------------------------------

    def health(self) -> FeedHealth:
        """Live, or stale with the reason."""
        live = self.live
        if live is None:
            return FeedHealth(self._exchange, "none", "followed as soon as the run is warm", self._last)
        trouble = self._note_age()
        age = 0 if self._last is None else max(0, self._session.now_ms() - self._last - self._step)
        words = f"last bar closed {age // 1000} s ago" if self._last is not None else "waiting for a bar to close"
        by = "stream" if live.health().mode == "stream" else "requests"
        return FeedHealth(self._exchange, "stale" if trouble else "live", trouble or f"{words}, by {by}", self._last)

    def details(self) -> tuple[LiveHealth | None, tuple[MarketQuote, ...]]:
        """The health of every part, and each traded symbol's market now."""
        if self.live is None:
            return None, ()
        return self.live.health(), tuple(self.live.quote(s) for s in self._keys if s not in self._gone)

    def _note_age(self) -> str:
        """Why bars are overdue, empty where none is; a turn is told."""
        live = self.live
        assert live is not None
        health = live.health()
        late = [
            row.key for row in health.series if row.stale or (health.troubles and row.age_ms > self._step + OVERDUE_MS)
        ]
        stale = [key for key in late if self._keys.get(key.symbol) == key and key.symbol not in self._ended]
        silent = {row.key.symbol for row in health.series if row.stale} & self._ended
        for symbol in sorted(silent - self._silent):
            self._bars_stopped(symbol)
        self._silent = silent
        trouble = ""
        if stale:
            names = ", ".join(short_symbol(key.symbol) for key in stale)
            why = health.rest.alarm or next(iter(health.troubles), "The exchange shows no newer bar.")
            trouble = f"No new bar of {names}. {why}"
        if bool(trouble) != bool(self._stale):
            self._changed(trouble)
        self._stale = trouble
        return trouble

    def _hear(self, event: LiveEvent) -> None:
        """What the market noticed, as a sentence where a person should know it."""
        if isinstance(event, RulesChange):
            self._new_rules(event)
            return
        told = words_of(event)
        if told is not None:
            self._tell(*told)
        if isinstance(event, Trouble):
            self._note_age()


def words_of(event: LiveEvent) -> tuple[str, str, str] | None:
    """Level, title and sentence of what was noticed; ``None`` where nobody has to know."""
    match event:
        case Revision(key):
            words = "the exchange changed a bar that had closed; it is stored anew."
            return "info", "A bar was revised", f"{_name(key)}: {words}"
        case Hole(key):
            words = f"the exchange does not have {event.bars} of its bars; nothing is made up."
            return "warn", "Bars are missing", f"{_name(key)}: {words}"
        case Quarantined(key, _, why):
            return "warn", "An impossible bar", f"{_name(key)}: {why}; it is asked for again and not used."
        case Suspect(key):
            words = "far from the mark price; the bar is stored, and nothing is decided on it."
            return "warn", "A suspect bar", f"{_name(key)}: {words}"
        case IntervalChanged(symbol, before_ms, after_ms):
            hours = f"every {after_ms / HOUR_MS:g} h now, {before_ms / HOUR_MS:g} h before"
            return "warn", "Funding interval changed", f"{short_symbol(symbol)} settles {hours}."
        case _:
            return None


def _name(key: SeriesKey) -> str:
    return f"{short_symbol(key.symbol)} {key.timeframe}"
