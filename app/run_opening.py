"""The beginning of a run: its plan, the feed its bars come from, and the account that it writes to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from app.contract.events import Event, NoticeEvent
from app.feeds import Feed, Pace, StoredFeed, SyntheticFeed
from app.live_feed import ExchangeFeed, RulesTold
from app.options import RunOptions
from app.run_plan import RunPlan, plan_run
from app.wiring import Workplace, market_for
from data.clock import Clock
from data.errors import QuantError, Rejected, Retryable
from data.exchange.session import ExchangeSession
from data.market import SeriesKey
from data.settings import DataSettings
from database.accounts import Account

OpenSession = Callable[[DataSettings, Clock], ExchangeSession]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a run is and where its bars come from."""

    plan: RunPlan
    feed: Feed
    total: int | None = None  # bars of the span, where it has an end
    fallback: str = ""  # why the synthetic market stands in for the exchange


@dataclass(slots=True)
class RunOpening:
    """Opens one run; what it opens is closed with ``stack``."""

    place: Workplace
    options: RunOptions
    stop: asyncio.Event
    tell: Callable[[Event], None]
    open_session: OpenSession = ExchangeSession
    rules_changed: RulesTold = lambda _: None
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    async def open(self) -> Opened:
        """Plan and feed. Where the exchange does not answer, the synthetic market in an account of its own.

        Raises:
            UserError: the options do not fit what is stored.
        """
        plan = plan_run(self.place, self.options)
        if plan.mode == "replay":
            return await self._stored(plan)
        if plan.source == "synthetic":
            return self._synthetic(plan)
        session = self.open_session(self.place.settings.values.data, self.place.clock)
        feed = ExchangeFeed(
            session, plan.keys, self.place.database.candles, self._history(plan), self._feed_changed,
            also=self._also(plan), tell=self._note, rules_changed=self.rules_changed,
        )  # fmt: skip
        try:
            await self.stack.enter_async_context(session)
            await session.measure_offset()
        except (Retryable, Rejected) as error:
            return self._without_exchange(error)
        try:
            await feed.history(plan.warmup, None)  # what a restart needs besides is asked for again, from the store
        except Retryable as error:
            return self._without_exchange(error)
        return Opened(plan, feed)

    def _without_exchange(self, error: QuantError) -> Opened:
        self._note(
            "warn", "The exchange cannot be reached",
            f"{error} The synthetic market goes on in an account of its own; nothing of it is real.",
        )  # fmt: skip
        return self._synthetic(plan_run(self.place, self.options, "synthetic"), str(error))

    async def _stored(self, plan: RunPlan) -> Opened:
        assert plan.span is not None
        grid, _, _ = await asyncio.to_thread(
            market_for, self.place.database.candles, plan.config.symbols, plan.timeframe, plan.span, plan.source,
            plan.warmup, plan.keys[0].exchange,
        )  # fmt: skip
        feed = StoredFeed(grid, plan.span[0], self._pace(plan), f"replay of {plan.keys[0].exchange}")
        return Opened(plan, feed, feed.total)

    def _synthetic(self, plan: RunPlan, fallback: str = "") -> Opened:
        history = max(self.place.settings.values.ai.history_limit, plan.warmup)
        feed = SyntheticFeed(plan.keys, plan.seed, history, self.place.database.candles, self._pace(plan))
        return Opened(plan, feed, None, fallback)

    def _also(self, plan: RunPlan) -> tuple[SeriesKey, ...]:
        """Other timeframes of the traded symbols that the settings ask to follow."""
        others = [name for name in self.place.settings.values.data.follow_timeframes if name != plan.timeframe]
        return tuple(replace(key, timeframe=name) for key in plan.keys for name in others)

    def _history(self, plan: RunPlan) -> int:
        """Bars before the first that a run on an exchange has to have: the first training reads the most."""
        ai = self.place.settings.values.ai
        return max(plan.warmup, ai.history_limit if plan.trains and ai.enable_training else 0)

    def _pace(self, plan: RunPlan) -> Pace:
        return Pace(plan.speed, self.place.clock, self.stop)

    def account(self, plan: RunPlan) -> Account:
        """The account of this run, made if it is new, emptied with ``--fresh``."""
        database = self.place.database
        key = plan.account_key(self.place.settings.values.ai.model_dump(mode="json"))
        found = database.accounts.find(key)
        anew = found is not None and self.options.fresh
        if found is not None and anew:
            database.journal.forget(found.id)
        now = self.place.clock.now_ms()
        account_id = database.journal.open_account(key, plan.config.start_equity, now, plan.about())
        if anew:
            database.accounts.set_about(account_id, plan.about())
        return database.accounts.get(account_id)

    def _feed_changed(self, trouble: str) -> None:
        if trouble:
            self._note("warn", "The feed is stale", f"{trouble} Nothing new is decided until bars come again.")
        else:
            self._note("ok", "The feed is back", "Bars missed meanwhile are taken in first.")

    def _note(self, level: str, title: str, sentence: str) -> None:
        self.tell(NoticeEvent(self.place.clock.now_ms(), level, title, sentence))
