"""The session that a parity is of: its plan as it was run, the bars that came and what was said on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ai.exits import PROFILE_NAMES
from ai.forecast import Abstain, Col, abstaining_row
from app.instrument_rules import rules_of
from app.options import RunOptions
from app.profiles import PROFILES
from app.run_plan import RunPlan, plan_run
from app.settings_kept import settings_of
from app.wiring import Workplace, load_settings, run_warmup
from data.errors import UserError
from data.market import Float64Array, Int64Array, Record
from data.timeframes import parse_time
from database.audit import BATCH
from trading.departures import Departures, first_fills, sent
from trading.records import Reason

if TYPE_CHECKING:
    from database.accounts import Account

MODES = ("paper", "replay")
HELD = (Reason.LATE_BAR, Reason.CLOCK_SKEW, Reason.NOT_TRADING, Reason.PAUSED, Reason.HALTED)  # nothing was entered


@dataclass(frozen=True, slots=True, eq=False)
class Session:
    """The account and what its ledger says of bars and forecasts."""

    account: Account
    plan: RunPlan
    span: tuple[int, int]  # half-open on open time
    began_ms: int  # the bars before were read then
    ended_ms: int  # last commit
    bars: Int64Array  # open times of the bars that came
    missing: frozenset[tuple[int, int]]  # (symbol's number, open time) of bars that came for others only
    forecasts: Mapping[tuple[int, int], Float64Array]
    plans: Record  # DECISION rows of plans that were sent
    departures: Departures  # when their entries were first filled, and where none was allowed


def session_of(place: Workplace, number: int | str | None, strategy: str | None) -> tuple[Workplace, Session]:
    """The session, and the workplace under the settings or the profile that it was run with.

    Raises:
        UserError: the account has no bars yet, is no paper or replay account, or its strategy is not known any more.
    """
    accounts = place.database.accounts.chosen(number)
    if len(accounts) != 1:
        raise UserError("Parity is of one account: give its number with --account; 'performance --account all' lists.")
    account = accounts[0]
    if account.key.mode not in MODES:
        raise UserError(f"Account {account.id} is of mode {account.key.mode}: parity is of paper and replay accounts.")
    if account.last_bar_ms is None or "from_ms" not in account.about:
        raise UserError(f"Account {account.id} has no bars yet: let it run first.")
    place, plan = as_run(place, account, strategy)
    span = int(account.about["from_ms"]), account.last_bar_ms + plan.step_ms
    commits = place.database.audit.entries(account.id, BATCH, 1)
    ended = commits[0].at_ms if commits else account.started_ms
    rows = place.database.trading.decisions(account.id).rows
    plans = sent(rows)
    held = rows[np.isin(rows["reason"], HELD)]
    departures = Departures(
        first_fills(plans, place.database.trading.fills(account.id)),
        {(int(row["symbol"]), int(row["open_time"])): int(row["reason"]) for row in held},
    )
    absent = rows[rows["reason"] == Reason.BAR_MISSING]
    return place, Session(
        account, plan, span, ended if account.key.mode == "replay" else account.started_ms, ended,
        place.database.trading.equity(account.id)["open_time"].astype(np.int64),
        frozenset((int(row["symbol"]), int(row["open_time"])) for row in absent), _said(place, account.id, rows),
        plans, departures,
    )  # fmt: skip


def as_run(place: Workplace, account: Account, strategy: str | None) -> tuple[Workplace, RunPlan]:
    """Under the settings in force where they make this account, else under those that it was opened under, else under
    the profile whose bundle makes it; else under the settings in force all the same."""
    asked = place, _plan(place, account, strategy)
    if same_settings(place, account, asked[1]):
        return asked
    kept = settings_of(account, place.settings)
    profiles = (load_settings(place.home, place.database, bundle.name) for bundle in PROFILES)
    for settings in chain([] if kept is None else [kept], profiles):
        under = replace(place, settings=settings)
        plan = _plan(under, account, strategy)
        if same_settings(under, account, plan):
            return under, plan
    return asked


def _plan(place: Workplace, account: Account, strategy: str | None) -> RunPlan:
    """The run made again from the settings in force; its exits as the account remembers them."""
    about = account.about
    replayed = account.key.mode == "replay"
    span = tuple(parse_time(text) for text in about["span"]) if about.get("span") else None
    options = RunOptions(
        place.home.path, symbols=account.symbols, timeframe=str(about["timeframe"]), exchange=str(about["exchange"]),
        strategy=strategy or str(about["strategy"]), seed=int(about["seed"]),
        source="replay" if replayed else account.key.source, data_source=account.key.source if replayed else None,
        replay=(span[0], span[1]) if span else None,
    )  # fmt: skip
    plans = [
        _as_remembered(place, account, plan_run(place, replace(options, exit_profile=name)))
        for name in (None, *(own for own in PROFILE_NAMES if own == about["profile"]))  # a strategy has its own too
    ]
    fitting = [plan for plan in plans if plan.config.profile.name == about["profile"]]
    return next((plan for plan in fitting if same_settings(place, account, plan)), (fitting or plans)[0])


def _as_remembered(place: Workplace, account: Account, plan: RunPlan) -> RunPlan:
    about, ai = account.about, place.settings.values.ai
    trains = bool(about["trains"])
    schedule = tuple(place.database.forecasts.info(run) for run in about["schedule"])
    rules = [
        place.database.instruments.newest(key.exchange, key.symbol, account.started_ms)
        if key.source != "synthetic" and plan.mode == "replay" else None
        for key in plan.keys
    ]  # fmt: skip
    known = [rule or rules_of(place.database, key) for rule, key in zip(rules, plan.keys, strict=True)]
    warmup = run_warmup(plan.timeframe, ai.history_limit if trains else 0)
    return replace(plan, schedule=schedule, trains=trains, warmup=warmup).under(known)


def same_settings(place: Workplace, account: Account, plan: RunPlan) -> bool:
    """Whether the settings in force are those that the account was run with."""
    return plan.account_key(place.settings.values.ai.model_dump(mode="json")) == account.key


def _said(place: Workplace, account: int, rows: Record) -> Mapping[tuple[int, int], Float64Array]:
    """Forecast rows by (symbol, open time); where a model said nothing usable, the row that says why."""
    found: dict[tuple[int, int], Float64Array] = {}
    for row in rows[rows["model"] >= 0]:
        blank = abstaining_row(Abstain(int(row["abstain"])))
        blank[Col.MODEL] = row["model"]
        found[int(row["symbol"]), int(row["open_time"])] = blank
    times, symbols, said = place.database.trading.said_rows(account)
    found.update(zip(zip(symbols.tolist(), times.tolist(), strict=True), said, strict=True))
    return found
