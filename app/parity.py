"""``parity``: a session held against the back-test of the same bars, its difference split into named parts.

The back-test runs in steps from today's bars towards what the session knew: bars as each was first known, bars that
did not come, settlements as they were known, the fees that were charged. Every step's effect is a part; what is then
left is split trade by trade (:mod:`trading.parity`). Forecasts are those that were said at the time, in every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ai.exits import PROFILE_NAMES
from ai.forecast import Abstain, Col, abstaining_row
from ai.schema import FeatureSchema
from app.day_history import day_closes
from app.finer_bars import Read, finer_of
from app.instrument_rules import rules_of
from app.options import RunOptions
from app.profiles import PROFILES
from app.run_plan import RunPlan, plan_run
from app.wiring import (
    Workplace,
    cut,
    extras_for,
    feature_cube,
    first_bar,
    load_settings,
    mark_frame,
    read_funding,
    run_warmup,
    with_marks,
)
from data.clock import iso
from data.errors import UserError
from data.grid import align
from data.market import Float64Array, Frame, FundingFrame, Int64Array, Record, SeriesKey
from data.timeframes import parse_time
from database.audit import BATCH
from trading.backtest import RunResult, run_fast
from trading.parity import FEE, FUNDING, MISSED, PARTS, REVISED, Attribution, Key, Side, trades_by_plan, unfinished
from trading.records import Action, ExitReason, Reason

if TYPE_CHECKING:
    from data.grid import Grid
    from database.accounts import Account
    from trading.config import TradingConfig

Document = dict[str, Any]
MODES = ("paper", "replay")
SENT = (Action.LONG, Action.SHORT)
SAME_RATE = 1e-9  # relative: charged fees are sums of rounded products


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. ``strategy``: the file of a declared strategy, whose path no account remembers."""

    account: int | str | None = None
    strategy: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What one back-test reads, with the warm-up."""

    config: TradingConfig
    frames: tuple[Frame, ...]
    fundings: tuple[FundingFrame, ...]
    read: Read  # of finer bars inside these


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


def perform(place: Workplace, request: Request) -> Document:
    """The document: both profits, the parts in total and by trade, and what the steps found.

    Raises:
        UserError: the account has no bars yet, is no paper or replay account, or its strategy is not known any more.
    """
    place, session = _session(place, request)
    now, told = _inputs(place, session)
    asked = _run(place, session, now)
    first = _side(asked)
    results, steps, found = [asked], [], {}
    for part, after, count in _known_then(place, session, now):
        found[part] = count
        if count:
            results.append(_run(place, session, after))
            steps.append((part, _side(results[-2]), _side(results[-1])))
            now = after
    ledger = place.database.trading
    charged = _charged(now.config, results[-1].fills, ledger.fills(session.account.id))
    if charged is not None:
        results.append(_run(place, session, replace(now, config=charged)))
        steps.append((FEE, _side(results[-2]), _side(results[-1])))
    plans = ledger.decisions(session.account.id, actions=SENT).rows
    live = trades_by_plan(ledger.trades(session.account.id), plans)
    open_now = _open(place, session, plans)
    attribution = Attribution(open_now.union(*(unfinished(_side(result)) for result in results)))
    for part, before, after_ in steps:
        attribution.step(part, before, after_)
    attribution.session(_side(results[-1]), live)
    return _document(session, first, live, attribution, found, told)


# ---- what the session was --------------------------------------------------------------------------------------------


def _session(place: Workplace, request: Request) -> tuple[Workplace, Session]:
    """The session, and the workplace under the settings or the profile that it was run with."""
    accounts = place.database.accounts.chosen(request.account)
    if len(accounts) != 1:
        raise UserError("Parity is of one account: give its number with --account; 'performance --account all' lists.")
    account = accounts[0]
    if account.key.mode not in MODES:
        raise UserError(f"Account {account.id} is of mode {account.key.mode}: parity is of paper and replay accounts.")
    if account.last_bar_ms is None or "from_ms" not in account.about:
        raise UserError(f"Account {account.id} has no bars yet: let it run first.")
    place, plan = as_run(place, account, request.strategy)
    span = int(account.about["from_ms"]), account.last_bar_ms + plan.step_ms
    commits = place.database.audit.entries(account.id, BATCH, 1)
    ended = commits[0].at_ms if commits else account.started_ms
    rows = place.database.trading.decisions(account.id).rows
    absent = rows[rows["reason"] == Reason.BAR_MISSING]
    return place, Session(
        account, plan, span, ended if account.key.mode == "replay" else account.started_ms, ended,
        place.database.trading.equity(account.id)["open_time"].astype(np.int64),
        frozenset((int(row["symbol"]), int(row["open_time"])) for row in absent), _said(place, account.id, rows),
    )  # fmt: skip


def as_run(place: Workplace, account: Account, strategy: str | None) -> tuple[Workplace, RunPlan]:
    """The settings in force, else the profile whose bundle makes this account; else the settings all the same."""
    asked = place, _plan(place, account, strategy)
    if _same(place, account, asked[1]):
        return asked
    for bundle in PROFILES:
        under = replace(place, settings=load_settings(place.home, place.database, bundle.name))
        plan = _plan(under, account, strategy)
        if _same(under, account, plan):
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
    return next((plan for plan in fitting if _same(place, account, plan)), (fitting or plans)[0])


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


def _same(place: Workplace, account: Account, plan: RunPlan) -> bool:
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


# ---- what the back-tests read ----------------------------------------------------------------------------------------


def _inputs(place: Workplace, session: Session) -> tuple[Inputs, list[str]]:
    """Today's bars and settlements under the session's rules, and what a person should know of them."""
    plan, store, notes = session.plan, place.database.candles, []
    begin, end = session.span[0] - plan.warmup * plan.step_ms, session.span[1]
    if not _same(place, session.account, plan):
        notes.append("The settings or the trading rules are not those of the run: what follows from that is 'fee' "
                     "where fees changed, else 'size', 'missed_fill' or 'unexplained'.")  # fmt: skip
    paper = plan.config.settings.paper.model_copy(update={"start_equity": session.account.start_equity})
    config = replace(plan.config, settings=plan.config.settings.model_copy(update={"paper": paper}))
    frames = tuple(store.read(key, begin, end) for key in plan.keys)
    fundings = tuple(with_marks(store, key, read_funding(store, key, begin, end)) for key in plan.keys)
    return Inputs(config, frames, fundings, store.read), notes


def _known_then(place: Workplace, session: Session, now: Inputs) -> Sequence[tuple[str, Inputs, int]]:
    """The steps: (part, inputs after it, how many bars or settlements it changes)."""
    then = tuple(_as_first_known(place, session, frame) for frame in now.frames)
    frames = tuple(_valued(frame, old) for frame, old in zip(now.frames, then, strict=True))
    valued = replace(now, frames=frames, read=partial(_read_then, place, session))
    came = [_came(session, s, frame) for s, frame in enumerate(now.frames)]
    short = replace(valued, frames=tuple(f.take(seen) for f, seen in zip(valued.frames, came, strict=True)))
    settled = replace(short, fundings=tuple(_settlements_then(place, session, s) for s in range(len(then))))
    return (
        (REVISED, valued, sum(_changed(a, b) for a, b in zip(now.frames, valued.frames, strict=True))),
        (MISSED, short, sum(int((~seen).sum()) for seen in came)),
        (FUNDING, settled, sum(_differ(a, b) for a, b in zip(now.fundings, settled.fundings, strict=True))),
    )


def _as_first_known(place: Workplace, session: Session, frame: Frame) -> Frame:
    """Bars before the session as they stood when it began; its own ones, on a live feed, as each came."""
    if not len(frame):
        return frame
    return _read_then(place, session, frame.key, int(frame.open_time[0]), int(frame.open_time[-1]) + 1)


def _read_then(place: Workplace, session: Session, key: SeriesKey, first: int, last: int) -> Frame:
    store = place.database.candles
    if session.account.key.mode == "replay":
        return store.read(key, first, last, session.began_ms)
    before = store.read(key, first, session.span[0], session.began_ms)
    return _joined(before, store.read_first(key, max(first, session.span[0]), last))


def _joined(a: Frame, b: Frame) -> Frame:
    names = ("open_time", "open", "high", "low", "close", "volume", "known_at", "mark")
    return Frame(a.key, *(np.concatenate([getattr(a, name), getattr(b, name)]) for name in names))


def _valued(frame: Frame, then: Frame) -> Frame:
    """Today's bars with the values of ``then`` where it has them."""
    kept = frame.take(~np.isin(frame.open_time, then.open_time))
    whole = _joined(kept, then)
    return whole.take(np.argsort(whole.open_time, kind="stable"))


def _changed(a: Frame, b: Frame) -> int:
    names = ("open", "high", "low", "close", "volume", "mark")
    differs = np.zeros(len(a), dtype=np.bool_)
    for name in names:
        differs |= getattr(a, name) != getattr(b, name)
    return int(differs.sum())


def _came(session: Session, s: int, frame: Frame) -> Any:
    """Which bars the session had: those before it, and those its ledger knows."""
    inside = frame.open_time >= session.span[0]
    missing = [time for symbol, time in session.missing if symbol == s]
    return ~inside | (np.isin(frame.open_time, session.bars) & ~np.isin(frame.open_time, missing))


def _settlements_then(place: Workplace, session: Session, s: int) -> FundingFrame:
    plan, store, key = session.plan, place.database.candles, session.plan.keys[s]
    begin, end = session.span[0] - plan.warmup * plan.step_ms, session.span[1] + plan.step_ms
    known = store.read_funding(key.exchange, key.symbol, key.source, begin, end, session.ended_ms)
    return with_marks(store, key, known)


def _differ(a: FundingFrame, b: FundingFrame) -> int:
    """Settlements that only one of the two has, or that say something else."""
    first = set(zip(a.time.tolist(), a.rate.tolist(), np.nan_to_num(a.mark_price).tolist(), strict=True))
    second = set(zip(b.time.tolist(), b.rate.tolist(), np.nan_to_num(b.mark_price).tolist(), strict=True))
    return len({row[0] for row in first ^ second})


def _charged(config: TradingConfig, usual: Record, fills: Record) -> TradingConfig | None:
    """The run under the fees that the session's fills show; ``None`` where they are the back-test's own."""
    instruments, costs, other = list(config.instruments), {}, False
    for maker, name in ((0, "taker_fee"), (1, "maker_fee")):
        for s in range(len(instruments)):
            rate, before = _rate(fills, s, maker), _rate(usual, s, maker)
            if rate is None or before is None or abs(rate - before) <= SAME_RATE * max(abs(rate), abs(before)):
                continue
            other, costs[name] = True, rate
            instruments[s] = replace(instruments[s], **{name: rate})  # type: ignore[arg-type]
    if not other:
        return None
    settings = config.settings.model_copy(update={"costs": config.settings.costs.model_copy(update=costs)})
    return replace(config, instruments=tuple(instruments), settings=settings)


def _rate(fills: Record, s: int, maker: int) -> float | None:
    """Fees over notional of a symbol's fills, liquidations left out."""
    own = fills[(fills["symbol"] == s) & (fills["maker"] == maker) & (fills["reason"] != ExitReason.LIQUIDATION)]
    notional = float((own["price"] * own["quantity"]).sum())
    return float(own["fee"].sum()) / notional if notional else None


# ---- runs and result -------------------------------------------------------------------------------------------------


def _run(place: Workplace, session: Session, inputs: Inputs) -> RunResult:
    config, ai = inputs.config, place.settings.values.ai
    schema = FeatureSchema(config.features())
    marks = [mark_frame(place.database.candles, frame.key, *session.span) for frame in inputs.frames]
    grid = align(inputs.frames, inputs.fundings, marks)
    besides = [extras_for(place.database, frame, ai, schema.names).beside for frame in inputs.frames]
    features = feature_cube(schema, grid, inputs.frames, inputs.fundings, besides)
    first = first_bar(grid, session.span)
    part = cut(grid, first)
    rows = None if config.strategy.kind == "rule" else _forecasts(session, part)
    history = _history(place, inputs, part)
    finer = finer_of(place.database.candles, [frame.key for frame in inputs.frames], part, config, inputs.read)
    return run_fast(config, part, np.ascontiguousarray(features[:, :, first:]), rows, schema, finer, history)


def _history(place: Workplace, inputs: Inputs, part: Grid) -> Float64Array | None:
    keys = [frame.key for frame in inputs.frames]
    return day_closes(place.database.candles, keys, int(part.open_time[0]), inputs.config) if part.bars else None


def _forecasts(session: Session, grid: Grid) -> Float64Array:
    """What was said, on the grid."""
    rows = np.tile(abstaining_row(Abstain.NO_MODEL), (len(grid.symbols), grid.bars, 1))
    at = {int(time): t for t, time in enumerate(grid.open_time)}
    for (s, time), row in session.forecasts.items():
        if time in at:
            rows[s, at[time]] = row
    return rows


def _side(result: RunResult) -> Side:
    return trades_by_plan(result.trades, result.decisions)


def _open(place: Workplace, session: Session, plans: Record) -> set[Key]:
    """What the session still holds: its profit is not made yet."""
    decided = {int(row["plan_id"]): int(row["open_time"]) for row in plans}
    held = place.database.trading.positions(session.account.id)
    return {(p.symbol, decided.get(p.plan_id, p.entry_time), p.side) for p in held}


def _document(
    session: Session, first: Side, live: Side, attribution: Attribution, found: Mapping[str, int], notes: list[str]
) -> Document:
    counted = attribution.parts.keys()
    profits = [sum(side[key].pnl for key in counted if key in side) for side in (live, first)]
    totals = attribution.totals()
    left_out = (live.keys() | first.keys()) - counted
    return {
        "account": session.account.id, "mode": session.account.key.mode, "source": session.account.key.source,
        "from": iso(session.span[0]), "to": iso(session.span[1]), "bars": len(session.bars),
        "trades_session": sum(key in live for key in counted), "trades_backtest": sum(key in first for key in counted),
        "open": len(left_out), "pnl_session": profits[0], "pnl_backtest": profits[1],
        "difference": float(sum(totals.values())), "parts": {part: float(money) for part, money in totals.items()},
        "meaning": dict(PARTS), "revised_bars": found[REVISED], "absent_bars": found[MISSED],
        "revised_settlements": found[FUNDING],
        "trades": [_trade(session, key, live, first, attribution) for key in sorted(counted, key=lambda k: k[1])],
        "notes": notes,
    }  # fmt: skip


def _trade(session: Session, key: Key, live: Side, first: Side, attribution: Attribution) -> Document:
    parts = attribution.parts[key]
    return {
        "symbol": session.account.symbol_name(key[0]), "side": "long" if key[2] > 0 else "short",
        "decided": iso(key[1] + session.plan.step_ms),
        "pnl_session": live[key].pnl if key in live else None, "pnl_backtest": first[key].pnl if key in first else None,
        "difference": float(sum(parts.values())), "parts": {p: float(parts[p]) for p in PARTS if p in parts},
    }  # fmt: skip
