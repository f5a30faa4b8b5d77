"""Premium and funding of one symbol while a market is live: sampled each minute, settled at the real interval."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace

from data.errors import Rejected, Retryable
from data.exchange.events import PremiumUpdate
from data.exchange.live_events import IntervalChanged, Settlement
from data.exchange.live_quotes import SymbolMarket
from data.exchange.live_store import LiveStore
from data.exchange.session import ExchangeSession
from data.exchange.waiting import sleep_or
from data.market import TICK, FundingFrame, SeriesKey, short_symbol
from data.timeframes import DAY_MS, MINUTE_MS

SAMPLE_LAG_MS = 2_000  # after the minute
FRESH_MS = 15_000  # an update of the stream is new enough for a sample
FIRST_SPAN_MS = 3 * DAY_MS  # of settlements that are read at the start
LOOK_PAUSE_S = 5.0  # between looks at a settlement that is due and not shown
LOOKS = 60  # after that it is overdue: looked for at every sample


class LiveFunding:
    """Keeps the premium of ``market`` fresh and reads every settlement when it is due.

    Args:
        heard: told every merged update (mark prices for the candles).
        event: told :class:`Settlement` and :class:`IntervalChanged`.
        collect: whether the samples are stored.
    """

    def __init__(
        self,
        session: ExchangeSession,
        market: SymbolMarket,
        store: LiveStore,
        heard: Callable[[PremiumUpdate], None],
        event: Callable[[Settlement | IntervalChanged], None],
        trouble: Callable[[str, str], None],
        collect: bool,
    ) -> None:
        self.overdue = False
        self._session = session
        self._market = market
        self._store = store
        self._heard = heard
        self._event = event
        self._trouble = trouble
        self._collect = collect
        self._key = SeriesKey(session.settings.exchange, market.symbol, TICK, "premium")
        self._due: int | None = None  # the settlement that is waited for
        self._interval: int | None = None
        self._looks = 0
        self._begun = False  # the settlements of the last days are known
        self._stir = asyncio.Event()
        self._over_stream = False

    def hear(self, update: PremiumUpdate) -> None:
        """An update of the stream."""
        self._over_stream = True
        merged = self._market.hear_premium(update)
        self._heard(merged)
        if self._due is not None and merged.next_funding_ms is not None and merged.next_funding_ms < self._due:
            self._stir.set()  # the cycle was shortened

    def awaits(self, until_ms: int) -> bool:
        """Whether a settlement due by then is not read yet; one that is overdue is not waited for any longer."""
        if self.overdue:
            return False
        settled = self._market.settled_ms
        known = settled is not None and settled >= until_ms - MINUTE_MS
        return not known and (self._due is None or self._due <= until_ms)

    async def run(self) -> None:
        """Sample and settle, until cancelled."""
        while True:
            if not self._begun or (self._due is not None and self._session.now_ms() >= self._due):
                await self._attempt("funding", self._settle)
            await self._attempt("mark price", self._sample)
            await sleep_or(self._stir, self._session.sleep, self._pause_s())

    async def _attempt(self, what: str, work: Callable[[], Awaitable[None]]) -> None:
        what = f"{what} {short_symbol(self._market.symbol)}"
        try:
            await work()
        except (Retryable, Rejected) as error:
            self._trouble(what, str(error))
        else:
            self._trouble(what, "")

    def _pause_s(self) -> float:
        """Until the next sample, or the next settlement if that comes first."""
        now = self._session.now_ms()
        at = (now - SAMPLE_LAG_MS) // MINUTE_MS * MINUTE_MS + MINUTE_MS + SAMPLE_LAG_MS
        if self._due is not None:
            if now < self._due:
                at = min(at, self._due + SAMPLE_LAG_MS)
            elif self._looks < LOOKS:
                at = min(at, now + round(1000 * LOOK_PAUSE_S))
        return max(0.05, (at - now) / 1000)

    async def _sample(self) -> None:
        """The present premium: the stream's where it is fresh and of the cycle whose interval is known."""
        held = self._market.premium
        now = self._session.now_ms()
        fresh = held is not None and self._over_stream and now - held.received_ms <= FRESH_MS
        if held is None or not fresh or held.interval_ms is None or held.next_funding_ms != self._due:
            update = await self._session.premium(self._market.symbol)
            held = self._market.hear_premium(replace(update, received_ms=self._session.now_ms()))
            self._heard(held)
        self._note_interval(held)
        if self._due is None:
            self._due = held.next_funding_ms
        if self._collect:
            after, interval = held.next_funding_ms, held.interval_ms
            values = (
                held.mark_price, held.index_price, held.funding_rate,
                math.nan if after is None else float(after), math.nan if interval is None else float(interval),
            )  # fmt: skip
            self._store.observe(self._key, held.event_ms, 0, held.received_ms, values)

    def _note_interval(self, held: PremiumUpdate) -> None:
        before, after = self._interval, held.interval_ms
        if after is not None:
            self._interval = after
            if before is not None and before != after:
                self._event(IntervalChanged(self._market.symbol, before, after))
        if self._due is not None and held.next_funding_ms is not None and self._session.now_ms() < self._due:
            self._due = held.next_funding_ms  # until it is due the exchange may move it

    async def _settle(self) -> None:
        """Read the settlements since the last one known; done when the one that is due is among them."""
        now = self._session.now_ms()
        last = self._market.settled_ms
        start = now - FIRST_SPAN_MS if last is None else last + MINUTE_MS
        funding = await self._session.funding(self._market.symbol, start, now + 1)
        self._looks += 1
        if len(funding):
            self._store.funding(funding)
            self._tell(funding, announce=self._begun)
        self._begun = True
        due = self._due
        if due is None:
            return
        settled = self._market.settled_ms is not None and self._market.settled_ms >= due - MINUTE_MS
        self.overdue = not settled and self._looks >= LOOKS
        if settled:
            self._looks = 0
            self._due = None

    def _tell(self, funding: FundingFrame, announce: bool) -> None:
        for time, rate in zip(funding.time.tolist(), funding.rate.tolist(), strict=True):
            last = self._market.settled_ms
            self._market.settled_interval_ms = self._interval if last is None else time - last
            self._market.settled_ms = time
            if announce:
                self._event(Settlement(self._market.symbol, time, rate, self._market.settled_interval_ms))
