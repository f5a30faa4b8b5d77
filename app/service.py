"""The service: one run on one asyncio loop. Bars come from a feed, go through the trader, and what happened is told.

State: STOPPED → WARMING_UP → RUNNING ⇄ PAUSED → HALTED; the account remembers it over a restart. Commands arrive on the
service's loop (from the control channel or the window) between two bars.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.contract.commands import Outcome
from app.contract.events import Event, NoticeEvent, StateEvent
from app.contract.views import BarView
from app.day_history import day_closes
from app.feeds import Feed, FeedHealth
from app.finer_bars import finer_source
from app.jobs import Jobs
from app.live_views import newest_bar
from app.model_switching import ModelSwitching
from app.options import RunOptions
from app.pauses import short_collections
from app.run_opening import OpenSession, RunOpening
from app.run_plan import RunPlan
from app.run_report import fill_event, status_document, summary_document
from app.run_rules import RunRules
from app.trader import StoredForecasts, Trader
from app.wiring import Workplace, beside_source, cut
from data.errors import QuantError, UserError
from data.exchange.rules import RulesChange
from data.exchange.session import ExchangeSession
from data.grid import Grid
from data.market import short_symbol
from database.accounts import Account
from trading.outcome import BarOutcome
from trading.state import Trading

STOPPED, WARMING_UP, RUNNING, PAUSED, HALTED, FINISHED = (
    "STOPPED", "WARMING_UP", "RUNNING", "PAUSED", "HALTED", "FINISHED",
)  # fmt: skip
_STATES = {Trading.RUNNING: RUNNING, Trading.PAUSED: PAUSED, Trading.HALTED: HALTED}
FLUSH_AFTER_S = 1.0  # a batch of replayed bars is committed at the latest after this long
PACED_BELOW = 1000.0  # bars per second: a slower run commits every bar

Tell = Callable[[Event], None]


@dataclass(slots=True)
class Progress:
    """Where a run stands, for views and the terminal."""

    state: str = STOPPED
    why: str = ""
    bars: int = 0  # of this call
    account_bars: int = 0  # of the account, all calls
    total: int | None = None  # bars of the span, where it has an end
    last_bar_ms: int | None = None
    revision: int = 0


class TradingService:
    """Runs one plan until its feed ends, a limit is reached, or it is told to stop."""

    def __init__(
        self, place: Workplace, options: RunOptions, tell: Tell, on_bar: Callable[[TradingService], None], jobs: Jobs,
        open_session: OpenSession = ExchangeSession,
    ) -> None:  # fmt: skip
        self.place = place
        self.options = options
        self.jobs = jobs
        self.progress = Progress()
        self.plan: RunPlan | None = None
        self.account: Account | None = None
        self.trader: Trader | None = None
        self.feed: Feed | None = None
        self.switching: ModelSwitching | None = None
        self.fallback = ""  # why the synthetic market stands in for the exchange
        self.started_ms = place.clock.now_ms()
        self._tell = tell
        self._on_bar = on_bar
        self._open_session = open_session
        self._rules: RunRules | None = None  # of a run on an exchange
        self._newest: tuple[Grid, int] | None = None  # newest bar of the first symbol
        self._stop = asyncio.Event()
        self._flushed = place.clock.monotonic()

    # ---- the run -----------------------------------------------------------------------------------------------------

    async def run(self) -> dict[str, Any]:
        """The whole run; its summary document.

        Raises:
            UserError: the options do not fit what is stored; nothing was changed.
        """
        opening = RunOpening(
            self.place, self.options, self._stop, self._tell, self._open_session, self._rules_changed,
            lambda symbol: None if self._rules is None else self._rules.bars_stopped(symbol), self._warming,
        )  # fmt: skip
        async with opening.stack:
            self._state(WARMING_UP, "reading bars")
            opened = await opening.open()
            self.plan, self.feed, self.fallback = opened.plan, opened.feed, opened.fallback
            self.progress.total = opened.total
            self._warming("taking in the bars before the first")
            account = opening.account(opened.plan)
            if account.finished:
                self.account = account
                self._note("info", "This replay is finished", "Its result is shown; --fresh starts it anew.")
                return self.document(FINISHED)
            try:
                first = await self._prepare(opened.plan, opened.feed, account)
                with short_collections():
                    ended = await self._loop(opened.feed, first)
            except QuantError:
                with contextlib.suppress(QuantError):
                    self.flush()  # what happened before the failure, where it still can be written
                raise
            finally:
                if self.switching is not None:
                    await self.switching.close()
            self._close(ended)
        return self.document(self.progress.state)

    def stop(self) -> None:
        """End after the present bar; open positions stay open."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether the run was told to end."""
        return self._stop.is_set()

    async def _prepare(self, plan: RunPlan, feed: Feed, account: Account) -> int:
        """Trader, models and warm-up, with the bars traded before a restart; open time of the run's first bar."""
        database = self.place.database
        checkpoint = database.journal.checkpoint(account.id)
        stored = None
        if plan.schedule:
            stored = [StoredForecasts(database.forecasts.load(info.run_id)) for info in plan.schedule]
        beside = beside_source(database, plan.keys, plan.schema, self.place.settings.values.ai)
        finer = finer_source(database.candles, plan.keys, plan.config)
        trader = await asyncio.to_thread(
            Trader, plan.config, plan.schema, database.journal, account.id, checkpoint, stored, beside, finer
        )
        self.trader, self.account = trader, account
        if plan.live:
            self._rules = RunRules(trader.session, plan.config.instruments, self._note)
        first = await self._first_bar(plan, feed, account)
        if plan.trains:
            self.switching = ModelSwitching(self.place, plan, account, trader, self.jobs, first, self._tell)
            self.switching.restore()
        before = await feed.history(plan.warmup, first)
        if checkpoint is None:
            closes = await asyncio.to_thread(day_closes, database.candles, plan.keys, first, plan.config)
            trader.session.state.remember(closes)
        await asyncio.to_thread(trader.warm, before, False)
        if checkpoint is not None and checkpoint.last_bar_ms >= first:
            done = (checkpoint.last_bar_ms - first) // plan.step_ms + 1
            traded = await feed.history(done, checkpoint.last_bar_ms + 1)
            traded = _since(traded, first)
            await asyncio.to_thread(trader.warm, traded, True)
            self.progress.account_bars = traded.bars
            self.progress.last_bar_ms = checkpoint.last_bar_ms
        if self.switching is not None:
            await self.switching.begin(self.progress.account_bars)
        return first

    def _warming(self, words: str) -> None:
        """What the warm-up is busy with; a run that is warm goes on saying its own."""
        if self.progress.state == WARMING_UP:
            self.progress.why = words
            self.progress.revision += 1

    async def _first_bar(self, plan: RunPlan, feed: Feed, account: Account) -> int:
        """Open time of the run's first bar; fixed when the account first sees one."""
        known = account.about.get("from_ms")
        if known is not None:
            return int(known)
        if plan.span is not None:
            first = plan.span[0]
        else:
            history = await feed.history(1, None)
            if not history.bars:
                raise UserError(f"{plan.keys[0]} has no bars to warm up on: try again, or import some first.")
            first = int(history.open_time[-1]) + plan.step_ms
        self.place.database.accounts.set_about(account.id, {**account.about, "from_ms": first})
        return first

    async def _loop(self, feed: Feed, first: int) -> bool:
        """Bars from the first one that was not traded yet; whether the feed itself ended."""
        trader, plan, options = self.trader, self.plan, self.options
        assert trader is not None and plan is not None
        self._state(_STATES[trader.session.trading], trader.session.halt_words)
        self._on_bar(self)
        self._flushed = self.place.clock.monotonic()  # the warm-up does not count
        last = trader.session.last_bar_ms
        bars = feed.bars(first if last is None else last + plan.step_ms)
        timer = None
        if options.for_seconds is not None:
            timer = asyncio.get_running_loop().call_later(options.for_seconds, self._stop.set)
        try:
            async with contextlib.aclosing(bars), contextlib.aclosing(_until(feed, bars, self._stop)) as coming:
                async for grid, t in coming:
                    if not await self._take(grid, t):
                        return False
            return not self._stop.is_set() and plan.mode == "replay"
        finally:
            if timer is not None:
                timer.cancel()

    async def _take(self, grid: Grid, t: int) -> bool:
        """One bar with what the models ask for around it; whether the run goes on."""
        trader, plan, feed, switching, progress = self.trader, self.plan, self.feed, self.switching, self.progress
        assert trader is not None and plan is not None and feed is not None
        if switching is not None:
            await switching.before_bar(progress.account_bars + 1, int(grid.open_time[t]), self._stop)
            if self._stop.is_set():
                return False
        self._bar(trader.step(grid, t, feed.hold(int(grid.open_time[t])), feed.quotes()), grid, t)
        if switching is not None:
            switching.after_bar(progress.account_bars, int(grid.open_time[t]) + plan.step_ms)
        return self.options.bars is None or progress.bars < self.options.bars

    def _bar(self, outcome: BarOutcome, grid: Grid, t: int) -> None:
        trader, plan, feed, progress = self.trader, self.plan, self.feed, self.progress
        assert trader is not None and plan is not None and feed is not None
        progress.bars += 1
        progress.account_bars += 1
        progress.last_bar_ms = outcome.open_time
        progress.revision += 1
        if grid.present[0, t]:
            self._newest = grid, t
        for fill in outcome.fills:
            self._tell(fill_event(fill, plan.config.symbols))
        if outcome.tightened:
            left = f"{trader.session.tightness:.0%} of the limits on money at risk are left; a person loosens them."
            self._note("warn", "Limits tightened", left, "risk")
        if outcome.halted:
            self._state(HALTED, trader.session.halt_words)
            self._note("bad", "Trading halted", f"{trader.session.halt_words}. Stops stay; a person resumes.", "risk")
        now = self.place.clock.monotonic()
        if now - self._flushed >= FLUSH_AFTER_S or plan.speed < PACED_BELOW or not feed.prompt:
            self.flush()
        self._on_bar(self)

    def flush(self) -> None:
        """Commit what happened since the last commit."""
        if self.trader is not None:
            self.trader.session.flush()
        self._flushed = self.place.clock.monotonic()

    def _rules_changed(self, change: RulesChange) -> None:
        """Between two bars; durable before it returns."""
        if self._rules is not None:
            self._rules.changed(change)
            self.flush()
            self.progress.revision += 1

    def _close(self, ended: bool) -> None:
        account, trader = self.account, self.trader
        assert account is not None and trader is not None
        self.flush()
        if ended:
            self.place.database.accounts.set_finished(account.id)
        self._state(FINISHED if ended else STOPPED, "")

    # ---- commands ----------------------------------------------------------------------------------------------------

    async def command(self, name: str, args: Mapping[str, Any]) -> dict[str, Any]:
        """Do what the control channel asks and answer with the status.

        Raises:
            UserError: the run is not so far that it could.
        """
        if name == "stop":
            self.stop()
        elif name != "status":
            self.act(name, str(args.get("why", "by the operator")))
        return self.status()

    def act(self, name: str, why: str = "by the operator") -> Outcome:
        """``pause resume halt flatten loosen`` between two bars; durable before it returns.

        Raises:
            UserError: the run is still warming up.
        """
        if self.trader is None or self.progress.state in (STOPPED, WARMING_UP, FINISHED):
            raise UserError(f"The service is {self.progress.state.lower().replace('_', ' ')}: '{name}' has to wait.")
        session = self.trader.session
        words = {
            "pause": "No new positions; exits go on.", "resume": "New positions are allowed again.",
            "halt": "Halted: entries cancelled, stops stay; 'resume' opens again.", "flatten": "",
            "loosen": "Limits that tightened are as set again.",
        }  # fmt: skip
        sentence = words[name]
        if name == "pause":
            session.pause()
        elif name == "resume":
            session.resume()
        elif name == "halt":
            session.halt(why)
        elif name == "loosen":
            sentence = sentence if session.loosen(why) else "No limit has tightened: they are as set."
        else:
            count = session.flatten()
            sentence = f"{count} position{'s' if count != 1 else ''} will be closed at the next price; entries paused."
        self.flush()
        self._state(_STATES[session.trading], session.halt_words)
        self._on_bar(self)
        return Outcome(True, sentence)

    def close_position(self, symbol: str) -> Outcome:
        """Close one position at the next price.

        Raises:
            UserError: nothing is held in the symbol, or the run is still warming up.
        """
        if self.trader is None or self.progress.state not in (RUNNING, PAUSED, HALTED):
            raise UserError("The service does not run: there is nothing that could be closed.")
        if not self.trader.session.close_position(symbol):
            raise UserError(f"No position is open in {short_symbol(symbol)}.")
        self.flush()
        return Outcome(True, f"{short_symbol(symbol)} will be closed at the next price.")

    def emergency_stop(self, why: str) -> Outcome:
        """Halt entries, cancel entry orders, close every position; stays halted over a restart."""
        outcome = self.act("flatten", why)
        self.act("halt", why)
        return Outcome(True, f"Halted by the emergency stop. {outcome.sentence}")

    # ---- telling -----------------------------------------------------------------------------------------------------

    @property
    def newest(self) -> BarView | None:
        """The newest closed bar of the first symbol."""
        return None if self._newest is None else newest_bar(*self._newest)

    def status(self) -> dict[str, Any]:
        """The document of ``status``."""
        return status_document(self)

    def document(self, state: str) -> dict[str, Any]:
        """The summary of the account."""
        return summary_document(self, state)

    def health(self) -> FeedHealth:
        """The feed's health, or that there is none yet."""
        return self.feed.health() if self.feed is not None else FeedHealth("none", "none", "not started", None)

    def _state(self, state: str, why: str) -> None:
        before, self.progress.state, self.progress.why = self.progress.state, state, why
        self.progress.revision += 1
        if before == state:
            return
        if self.account is not None and state in (RUNNING, PAUSED, HALTED):
            self.place.database.accounts.set_state(self.account.id, state)
        self._tell(StateEvent(self.place.clock.now_ms(), before, state, why))

    def _note(self, level: str, title: str, sentence: str, tab: str = "") -> None:
        self._tell(NoticeEvent(self.place.clock.now_ms(), level, title, sentence, tab))


def _since(grid: Grid, first_ms: int) -> Grid:
    return cut(grid, int(np.searchsorted(grid.open_time, first_ms)))


async def _until(
    feed: Feed, bars: AsyncGenerator[tuple[Grid, int], None], stop: asyncio.Event
) -> AsyncGenerator[tuple[Grid, int], None]:
    """Bars until told to stop; a feed that may wait long is waited for beside the stop."""
    if feed.prompt:
        async for item in bars:
            if stop.is_set():
                return
            yield item
        return
    stopped = asyncio.ensure_future(stop.wait())
    try:
        while not stop.is_set():
            coming = asyncio.ensure_future(anext(bars))
            await asyncio.wait((coming, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, QuantError):
                    await coming
                return
            try:
                item = coming.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        stopped.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopped
