"""Which model forecasts from which bar on: asks for retrainings, waits where the schedule says, records the switches.

A retrain asked for after bar k takes effect at bar k + d. Replay and paced paper wait there for the worker; a run on
an exchange takes the model at the first bar after it is ready. Every switch is journalled with its bar, so a restart
follows the same schedule. A run without a model trains first where history suffices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from ai.ensemble import EnsembleModel
from app.contract.events import Event, NoticeEvent
from app.jobs import Jobs
from app.model_watch import ModelWatch
from app.retraining import WORKER, Candidate, as_document, load_model, register, requests
from app.run_plan import RunPlan
from app.trader import Trader
from app.wiring import Workplace
from data.errors import QuantError, UserError
from data.market import SeriesKey, short_symbol
from database.accounts import Account
from database.journal import MODEL_SWITCH
from database.models import ModelRow, require_audit

FIRST_MODEL_BARS = 600  # of a synthetic run: the rule trades while the first training goes on


@dataclass(slots=True)
class _Asked:
    """A retraining under way, and the number of the bar (1 = the account's first) at which it takes effect."""

    effective: int
    asked_ms: int
    jobs: list[tuple[int, Future[Candidate]]]


class ModelSwitching:
    """The model schedule of one account as it grows."""

    def __init__(
        self, place: Workplace, plan: RunPlan, account: Account, trader: Trader, jobs: Jobs, first_ms: int,
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._place = place
        self._plan = plan
        self._account = account
        self._trader = trader
        self._jobs = jobs
        self._first_ms = first_ms
        self._tell = tell
        self._settings = place.settings.values.ai
        self._asked: _Asked | None = None
        self.watch = ModelWatch(place, account, trader, tell)
        self._wanted: list[ModelRow] = []  # promoted by a person, for the next bar
        self._waits = not (plan.mode == "paper" and plan.source == "exchange")

    def restore(self) -> None:
        """The journalled schedule; on the account's first start the models that are promoted now.

        Models that trained on a bar abstain there, so a model promoted later than a replay's span does not leak.
        Where no model of a series has sound files any more, the last sound one that was promoted before takes over.
        """
        last = self._trader.session.last_bar_ms
        switches = self._place.database.trading.switches(self._account.id)
        sound: set[SeriesKey] = set()
        damaged: set[SeriesKey] = set()
        for switch in switches:
            row = self._place.database.models.get(switch.model_id)
            self._trader.name_model(row.model_id)  # stored decisions count it, whether it can be used or not
            (sound if self._add(row, switch.from_ms) else damaged).add(row.key)
        if not switches and last is None:
            for rows in self._first_models():
                self._switch_to_first_sound(rows, self._first_ms)
            return
        tried = {switch.model_id for switch in switches}
        next_ms = self._first_ms if last is None else last + self._plan.step_ms
        for key in damaged - sound:
            self._switch_to_first_sound([row for row in self._promoted(key) if row.model_id not in tried], next_ms)

    def _first_models(self) -> list[list[ModelRow]]:
        """By series the models that were promoted when the account began, best first; remembered with the account.

        What a run promotes before its first commit must not be there from the first bar on after a crash.
        """
        accounts, models = self._place.database.accounts, self._place.database.models
        about = accounts.get(self._account.id).about
        if "first_models" not in about:
            found = [[row.model_id for row in self._promoted(key)] for key in self._plan.keys]
            about = {**about, "first_models": found}
            accounts.set_about(self._account.id, about)
        return [[models.get(model_id) for model_id in ids] for ids in about["first_models"]]

    def _promoted(self, key: SeriesKey) -> list[ModelRow]:
        """The promoted model of a series, then those promoted before it, newest first; audited, of this run's exits."""
        models = self._place.database.models
        present = models.promoted(key)
        if present is None or present.promoted_ms is None:
            return []
        once = [(r.promoted_ms, r) for r in models.all(key) if r.promoted_ms and r.promoted_ms <= present.promoted_ms]
        ordered = [row for _, row in sorted(once, key=lambda pair: pair[0], reverse=True)]
        return [row for row in ordered if row.profile == self._plan.config.profile.name and row.audited]

    def _switch_to_first_sound(self, rows: Sequence[ModelRow], from_ms: int) -> None:
        for row in rows:
            if self._switch(row, from_ms):
                return

    async def begin(self, bars: int) -> None:
        """At start: train where there is no model yet, or ask again for what a restart interrupted."""
        if not self._settings.enable_training:
            return
        every = self._settings.model_retrain_every_n_steps
        if bars == 0:
            if not self._trader.model_ids:
                self._ask(self._latency_of_first(), self._first_ms)
            return
        switched = self._place.database.trading.switches(self._account.id)
        first_due = self._latency_of_first()
        if bars < first_due and not switched:
            self._ask(first_due, self._first_ms)
            return
        asked_at = bars - bars % every
        if asked_at and bars < asked_at + self._settings.retrain_latency_bars:
            moment = self._first_ms + asked_at * self._plan.step_ms
            self._ask(asked_at + self._settings.retrain_latency_bars, moment)

    async def before_bar(self, number: int, open_ms: int, stop: asyncio.Event) -> None:
        """Take what is due at the bar ``number`` that opens at ``open_ms``."""
        for row in self._wanted:
            self._switch(row, open_ms)
        self._wanted.clear()
        asked = self._asked
        if asked is None:
            return
        if self._waits:
            if number < asked.effective:
                return
            await self._wait(asked, stop)
            if stop.is_set():
                return
        elif not all(future.done() for _, future in asked.jobs):
            return
        self._asked = None
        for _, future in asked.jobs:
            self._take(future, open_ms)

    def after_bar(self, bars: int, until_ms: int) -> None:
        """Ask for a retraining every ``model_retrain_every_n_steps`` bars, on bars that open before ``until_ms``."""
        self.watch.after_bar()
        if not self._settings.enable_training or self._asked is not None:
            return
        if bars % self._settings.model_retrain_every_n_steps == 0:
            self._ask(bars + self._settings.retrain_latency_bars, until_ms)

    def want(self, row: ModelRow) -> None:
        """A person wants this model: it takes over at the next bar.

        Raises:
            UserError: it does not fit the run.
        """
        if row.key not in self._plan.keys or row.profile != self._plan.config.profile.name:
            raise UserError(f"Model '{row.model_id}' is not for this run ({row.key}, exits {row.profile}).")
        require_audit(row)
        load_model(self._place.home, row)
        self._wanted.append(row)

    async def close(self) -> None:
        """End what trains and what watches."""
        if self._asked is not None:
            for job_id, _ in self._asked.jobs:
                self._jobs.cancel(job_id)
        await self.watch.close()

    def _latency_of_first(self) -> int:
        if self._plan.source == "synthetic" and self._plan.mode == "paper":
            return FIRST_MODEL_BARS
        return self._settings.retrain_latency_bars

    def _ask(self, effective: int, until_ms: int) -> None:
        present = self._incumbents()
        models = self._place.home.models
        incumbents = [None if row is None else str(models / row.path) for row in present]
        wanted = requests(
            self._place.home.path, self._plan.keys, until_ms, self._settings.history_limit,
            self._plan.config.profile.name, self._settings.members, self._plan.seed,
            self._settings.calibration_share, incumbents, self._place.clock.now_ms(),
            self._settings, [row is not None and row.promoted_ms is not None for row in present],
        )  # fmt: skip
        jobs = [
            self._jobs.start(
                f"Training {short_symbol(r.key.symbol)} {r.key.timeframe}", WORKER, {"request": r},
                self._settings.training_time_limit_s, self._settings.training_memory_limit_mb,
            )
            for r in wanted
        ]  # fmt: skip
        self._asked = _Asked(effective, until_ms, jobs)

    def _incumbents(self) -> Sequence[ModelRow | None]:
        ids = [self._trader.present_model(s) for s in range(len(self._plan.keys))]
        return [None if model_id is None else self._place.database.models.get(model_id) for model_id in ids]

    async def _wait(self, asked: _Asked, stop: asyncio.Event) -> None:
        """Until every job has ended or the run is told to stop."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def look(_future: object) -> None:
            if all(future.done() for _, future in asked.jobs):
                loop.call_soon_threadsafe(ended.set)

        for _, future in asked.jobs:
            future.add_done_callback(look)
        waits = [asyncio.ensure_future(ended.wait()), asyncio.ensure_future(stop.wait())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    def _take(self, future: Future[Candidate], open_ms: int) -> None:
        try:
            found = future.result()
        except QuantError as error:
            self._say("warn", "No new model", f"{error} Trading goes on as before.")
            return
        key = next(k for k in self._plan.keys if k.symbol == found.record.symbol)
        row = register(self._place.database, self._place.home, key, found)
        self._trader.session.note("retrained", as_document(found))
        if found.promote:
            self._switch(row, open_ms)
            self._say("ok", f"Model {row.model_id} takes over", f"On the newest fold {found.words}.")
        elif found.on_trial and self._settings.try_unproven and self._plan.mode != "live":
            self._switch(row, open_ms)
            self._say("info", f"Model {row.model_id} is on trial", f"Not proven: {found.words}. On paper only.")
        else:
            self._say("info", f"Model {row.model_id} trained", f"Not promoted: {found.words}.")

    def _switch(self, row: ModelRow, open_ms: int) -> bool:
        """Add and journal a switch; files that are not sound leave everything as it is."""
        if not self._add(row, open_ms):
            return False
        self._trader.session.note(MODEL_SWITCH, {"from_ms": open_ms, "model_id": row.model_id})
        return True

    def _add(self, row: ModelRow, from_ms: int) -> bool:
        s = next(i for i, key in enumerate(self._plan.keys) if key.symbol == row.key.symbol)
        try:
            model: EnsembleModel = load_model(self._place.home, row)
            self._trader.add_model(s, row.model_id, model, from_ms)
            self.watch.switched(s, row.model_id, model)
        except UserError as error:
            self._say("bad", f"Model {row.model_id} cannot be used", f"{error} Trading goes on without it.")
            return False
        return True

    def _say(self, level: str, title: str, sentence: str) -> None:
        self._tell(NoticeEvent(self._place.clock.now_ms(), level, title, sentence, "models"))
