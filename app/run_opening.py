"""The beginning of a run: its plan, the feed its bars come from, and the account that it writes to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ai.features.registry import rows_beside
from app.contract.events import Event, NoticeEvent
from app.feeds import Feed, Pace, StoredFeed, SyntheticFeed
from app.finer_bars import reads_finer
from app.live_feed import ExchangeFeed, RulesTold
from app.options import RunOptions
from app.run_plan import RunPlan, plan_run
from app.settings_kept import SETTINGS, kept_settings
from app.wiring import Workplace, market_for
from data.beside import BESIDE, CROSS
from data.beside_rows import cross_keys
from data.clock import Clock
from data.errors import QuantError, Rejected, Retryable, UserError
from data.exchange.rules import RulesChange
from data.exchange.session import ExchangeSession
from data.instruments import Instrument
from data.market import SeriesKey, short_symbol
from data.settings import DataSettings
from data.timeframes import TIMEFRAMES
from database.accounts import Account
from trading.config import changed_rules
from trading.journal import AccountKey

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
    bars_stopped: Callable[[str], None] = lambda _: None
    filling: Callable[[str], None] = lambda _: None
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
        return await self._live(plan)

    async def _live(self, plan: RunPlan) -> Opened:
        data = self.place.settings.values.data.model_copy(update={"exchange": plan.keys[0].exchange})
        session = self.open_session(data, self.place.clock)
        try:
            await self.stack.enter_async_context(session)
            await session.measure_offset()
            plan = plan.under(await self._rules(session, plan))
            looked_at = await self._looked_at(session, plan)
        except (Retryable, Rejected) as error:
            return self._without_exchange(error)
        feed = ExchangeFeed(
            session, plan.keys, self.place.database.candles, self._history(plan), self._feed_changed,
            also=self._also(plan), tell=self._note, rules=plan.config.instruments,
            rules_changed=lambda change: self._rules_told(session, change), bars_stopped=self.bars_stopped,
            filling=self.filling, awaited=looked_at, beside=(*self._finer(plan), *self._marks(plan)),
        )  # fmt: skip
        try:
            await feed.history(plan.warmup, None)  # what a restart needs besides is asked for again, from the store
        except Retryable as error:
            return self._without_exchange(error)
        return Opened(plan, feed)

    async def _rules(self, session: ExchangeSession, plan: RunPlan) -> list[Instrument]:
        """The trading rules of now, stored. A symbol that is gone stays in a run that traded it before, as delisted.

        Raises:
            UserError: the exchange does not trade a symbol, or none of the run's any more.
        """
        database, exchange = self.place.database, session.settings.exchange
        listed = await session.instruments(plan.config.symbols)
        goes_on = database.accounts.find(self._key(plan)) is not None and not self.options.fresh
        found = []
        for symbol in plan.config.symbols:
            before = database.instruments.newest(exchange, symbol)
            its = listed.get(symbol)
            if its is None and before is not None:
                its = replace(before, status="delisted")
            if its is None or (its.status == "delisted" and not goes_on):
                raise UserError(f"{exchange} does not trade {short_symbol(symbol)}: leave it out of the run.")
            self._say_changed(before, its)
            found.append(its)
        if all(its.status == "delisted" for its in found):
            raise UserError(f"{exchange} trades none of this run's symbols any more: its account stays as it is.")
        for its in found:
            database.instruments.write(exchange, its, session.now_ms())
        return found

    def _say_changed(self, before: Instrument | None, its: Instrument) -> None:
        """What is other than when the rules were read last."""
        if before is not None and (changed_rules(before, its) or before.status != its.status):
            self._note("warn", "Trading rules changed", RulesChange(its.symbol, before, its).sentence)

    def _rules_told(self, session: ExchangeSession, change: RulesChange) -> None:
        """A change during the run: in force first, then stored."""
        self.rules_changed(change)
        try:
            self.place.database.instruments.write(session.settings.exchange, change.after, session.now_ms())
        except QuantError as error:
            self._note("warn", "Trading rules were not stored", f"{error} They hold in this run all the same.")

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
        followed = self.place.settings.values.data.follow_timeframes
        others = [replace(key, timeframe=name) for key in plan.keys for name in followed if name != plan.timeframe]
        return tuple(dict.fromkeys((*others, *self._finer(plan), *self._marks(plan))))

    def _finer(self, plan: RunPlan) -> tuple[SeriesKey, ...]:
        """Bars that tell the order within those of the run, where its matching asks for them."""
        shortest = next(iter(TIMEFRAMES))
        wanted = reads_finer(plan.config) and plan.timeframe != shortest
        return tuple(replace(key, timeframe=shortest) for key in plan.keys) if wanted else ()

    @staticmethod
    def _marks(plan: RunPlan) -> tuple[SeriesKey, ...]:
        """Candles of the mark price beside the run's bars, where its stops are tested on them."""
        wanted = plan.config.in_force.matching.stop_trigger == "mark"
        return tuple(replace(key, kind="mark") for key in plan.keys) if wanted else ()

    async def _looked_at(self, session: ExchangeSession, plan: RunPlan) -> list[SeriesKey]:
        """Other symbols' bars that the run's features read: those that are stored and still traded."""
        if not rows_beside(plan.schema.names) & set(BESIDE[CROSS:]):
            return []
        store, symbols = self.place.database.candles, self.place.settings.values.ai.cross_asset_symbols
        others = dict.fromkeys(other for key in plan.keys for other in cross_keys(store, key, symbols))
        found = [key for key in others if key is not None and key not in plan.keys]
        listed = await session.instruments([key.symbol for key in found]) if found else {}
        return [key for key in found if key.symbol in listed and listed[key.symbol].status == "trading"]

    def _history(self, plan: RunPlan) -> int:
        """Bars before the first that a run on an exchange has to have: the first training reads the most."""
        ai = self.place.settings.values.ai
        return max(plan.warmup, ai.history_limit if plan.trains and ai.enable_training else 0)

    def _pace(self, plan: RunPlan) -> Pace:
        return Pace(plan.speed, self.place.clock, self.stop)

    def account(self, plan: RunPlan) -> Account:
        """The account of this run, made if it is new, emptied with ``--fresh``."""
        database = self.place.database
        key = self._key(plan)
        found = database.accounts.find(key)
        anew = found is not None and self.options.fresh
        if found is not None and anew:
            database.journal.forget(found.id)
        now = self.place.clock.now_ms()
        about = {**plan.about(), SETTINGS: kept_settings(self.place.settings.values)}
        account_id = database.journal.open_account(key, plan.config.start_equity, now, about)
        if anew:
            database.accounts.set_about(account_id, about)
        return database.accounts.get(account_id)

    def _key(self, plan: RunPlan) -> AccountKey:
        return plan.account_key(self.place.settings.values.ai.model_dump(mode="json"))

    def _feed_changed(self, trouble: str) -> None:
        if trouble:
            self._note("warn", "The feed is stale", f"{trouble} Nothing new is decided until bars come again.")
        else:
            self._note("ok", "The feed is back", "Bars missed meanwhile are taken in first.")

    def _note(self, level: str, title: str, sentence: str) -> None:
        self.tell(NoticeEvent(self.place.clock.now_ms(), level, title, sentence))
