"""What must hold after every bar of a scenario, reckoned anew from fills, bars and settings.

Nothing here calls the kernels that it judges: money is kept a second time in fractions, risk is numpy's, verdicts are
compared by hand. I1 to I9 are the invariants that the tests name.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from data.market import Float64Array, Record
from data.timeframes import DAY_MS
from scripts.soaks.scenario_markets import Scenario
from trading.execution.orders import Order, Status
from trading.outcome import BarOutcome
from trading.records import Action, ExitReason, Purpose
from trading.risk.limits import GATES, Gate, gate_limits
from trading.session import TradingSession
from trading.state import Trading

TINY = Fraction(1, 10**6)  # of the quote currency: fees and funding are floats
ROUNDING = 1e-9
DRIFT = 1.02  # growth of the gross exposure that is not looked at
MAY_BE_UNKNOWN = {
    Gate.SHARPE, Gate.VAR, Gate.SHORTFALL, Gate.CORRELATION, Gate.DEPTH, Gate.SPREAD, Gate.QUOTE_AGE,
}  # fmt: skip
STOPS = (ExitReason.STOP, ExitReason.TRAILING)
WATCHED = (Gate.EXPOSURE, Gate.OPEN_RISK, Gate.VAR, Gate.SHORTFALL)
Z_VAR, Z_ES = -2.3263478740408408, -1.9599639845400545


@dataclass(frozen=True, slots=True)
class Before:
    """What a symbol held when a bar began."""

    side: int
    stop: int
    liquidation: int
    leaving: int  # ExitReason of a market exit of all, 0: none


@dataclass(slots=True)
class Checks:
    """Judge of one run, bar by bar. :meth:`copied` is what it knew, for a service that starts again."""

    case: Scenario
    money: Fraction
    held: list[Fraction]
    last: list[int]  # ticks: newest close, and what positions are valued at
    valued: list[int]
    before: list[Before] = field(default_factory=list)
    state: int = int(Trading.RUNNING)
    tightness: float = 1.0
    looked: tuple[int, int, float] = (0, 0, 1.0)  # fills, days and tightness when limits were looked at last
    sent: dict[int, float] = field(default_factory=dict)  # quantity asked for by plan
    planned: set[int] = field(default_factory=set)
    filled: dict[int, float] = field(default_factory=dict)
    by_day: dict[int, set[int]] = field(default_factory=dict)  # plans that filled first on a UTC day

    @classmethod
    def of(cls, case: Scenario) -> Checks:
        """Before the first bar."""
        count = len(case.config.symbols)
        flat, nothing = [Before(0, 0, 0, 0)] * count, [0] * count
        return cls(case, Fraction(case.config.start_equity), [Fraction(0)] * count, nothing, list(nothing), flat)

    def copied(self) -> Checks:
        """The same knowledge, apart."""
        other = copy.copy(self)
        other.held, other.before = list(self.held), list(self.before)
        other.last, other.valued = list(self.last), list(self.valued)
        other.sent, other.planned, other.filled = dict(self.sent), set(self.planned), dict(self.filled)
        other.by_day = {day: set(plans) for day, plans in self.by_day.items()}
        return other

    def bar(self, session: TradingSession, t: int, outcome: BarOutcome) -> list[str]:
        """What broke on bar ``t``."""
        found = list(protection(session))
        found += self._fills(t, outcome.fills)
        found += self._money(session, t, outcome)
        found += self._stops(session, t, outcome.fills)
        found += self._plans(outcome.decisions)
        found += self._limits(session, t)
        self._remember(session)
        return [f"bar {t}: {words}" for words in found]

    # ---- orders and fills -----------------------------------------------------------------------------------------

    def _fills(self, t: int, fills: Record) -> Iterator[str]:
        """I1, I3, I5: entries belong to plans that were sent, exits only take away, nothing enters a halted account."""
        entered = [0.0] * len(self.held)
        for fill in fills:
            s, plan = int(fill["symbol"]), int(fill["plan_id"])
            lots, was = _lots(self.case, fill), self.held[s]
            now = was + int(fill["side"]) * lots
            if int(fill["purpose"]) == Purpose.EXIT:
                if abs(now) >= abs(was) or now * was < 0:
                    yield f"I3: an exit of {float(lots)} where {float(was)} was held"
            else:
                entered[s] += float(fill["quantity"])
                yield from self._entry(t, plan, float(fill["quantity"]), now * was < 0 or now * int(fill["side"]) <= 0)
            self.held[s] = now
            self.money -= int(fill["side"]) * lots * _ticks(self.case, fill) + Fraction(float(fill["fee"]))
        share = self.case.config.settings.costs.volume_share
        for s, quantity in enumerate(entered):
            if quantity > share * self.case.grid.volume[s, t] * (1.0 + ROUNDING):
                yield f"entries take {quantity} of a bar's volume of {self.case.grid.volume[s, t]}"

    def _entry(self, t: int, plan: int, quantity: float, turned: bool) -> Iterator[str]:
        if turned:
            yield f"I3: the entry of plan {plan} reduced what was held"
        if plan not in self.sent:
            yield f"I1: plan {plan} filled and was never sent"
        self.filled[plan] = self.filled.get(plan, 0.0) + quantity
        if self.filled[plan] > self.sent.get(plan, 0.0) * (1.0 + ROUNDING):
            yield f"I1: plan {plan} asked for {self.sent.get(plan)} and filled {self.filled[plan]}"
        if self.state == Trading.HALTED:
            yield f"plan {plan} filled in a halted account"
        config = self.case.config
        if not any(plan in plans for plans in self.by_day.values()):
            today = self.by_day.setdefault(int(self.case.grid.open_time[t]) // DAY_MS, set())
            today.add(plan)
            if config.enforce and len(today) > config.settings.limits.daily_trades:
                yield f"{len(today)} trades in a day"

    def _stops(self, session: TradingSession, t: int, fills: Record) -> Iterator[str]:
        """I2: a stop or liquidation level that was touched has worked, at its price or, gapped through, the open's."""
        grid = self.case.grid
        touched = set(fills["symbol"].tolist())
        for s, was in enumerate(self.before):
            if was.side == 0 or not grid.present[s, t]:
                continue
            tick = float(self.case.config.instruments[s].tick)
            adverse = round(float(grid.low[s, t] if was.side > 0 else grid.high[s, t]) / tick)
            gapped = round(float(grid.open[s, t]) / tick)
            danger = (
                adverse if (mark := self._mark(s, t)) is None else round(float(mark[2 if was.side > 0 else 1]) / tick)
            )
            by_mark = mark is not None and self.case.config.settings.matching.stop_trigger == "mark"
            p = session.state.positions[s]
            if was.side * ((danger if by_mark else adverse) - was.stop) <= 0 and not was.leaving:
                if p["side"] == was.side and int(p["exit_at_open"]) in (0, ExitReason.LIMIT) and s not in _new(fills):
                    yield f"I2: the stop of {session.config.symbols[s]} was touched and did nothing"
                worst = min(was.side * was.stop, was.side * gapped) * was.side
                for fill in fills[(fills["symbol"] == s) & np.isin(fills["reason"], STOPS)]:
                    better = was.side * (round(float(fill["price"]) / tick) - worst) > 0
                    if better and not by_mark and s not in _new(fills):
                        yield f"I2: a stop at {worst} ticks filled at {float(fill['price'])}"
            if was.side * (danger - was.liquidation) <= 0 and s not in touched:
                yield f"the liquidation level of {session.config.symbols[s]} was touched and did nothing"

    def _mark(self, s: int, t: int) -> Float64Array | None:
        """The mark price's candle, where it is known."""
        marks = self.case.grid.mark_price
        return None if not marks.shape[2] or math.isnan(marks[s, 3, t]) else marks[s, :, t]

    # ---- money ----------------------------------------------------------------------------------------------------

    def _money(self, session: TradingSession, t: int, outcome: BarOutcome) -> Iterator[str]:
        """I4: equity = start + realised - fees + funding + unrealised on mark, and held = bought - sold."""
        self._settle(t, outcome.fills)
        for s, rules in enumerate(self.case.config.instruments):
            if self.case.grid.present[s, t]:
                self.last[s] = self.valued[s] = round(float(self.case.grid.close[s, t]) / float(rules.tick))
                if (mark := self._mark(s, t)) is not None:
                    self.valued[s] = round(float(mark[3]) / float(rules.tick))
        exact, account, row = self.money, session.state.account[0], outcome.equity[0]
        for k, quantity in enumerate(self.held):
            rules, p = self.case.config.instruments[k], session.state.positions[k]
            exact += quantity * self.valued[k] * Fraction(rules.tick)
            if quantity != int(p["side"]) * int(p["lots"]) * Fraction(rules.lot):
                yield f"I4: {rules.symbol}: the fills leave {float(quantity)}, held are {int(p['lots'])} lots"
                return
        if abs(exact - Fraction(float(row["equity"]))) > TINY:
            yield f"I4: equity {float(row['equity'])!r}, fills and settlements say {float(exact)!r}"
        parts = account["start"] + account["realised"] - account["fees"] + account["funding"]
        if float(row["equity"]) != float(parts + account["unrealised"]):
            yield "I4: equity is not the sum of its parts"

    def _settle(self, t: int, fills: Record) -> None:
        """Settlements fall on what is held after the open's fills: before those of the close, which are undone here."""
        grid = self.case.grid
        opened = int(grid.open_time[t])
        for s, held in enumerate(self.held):
            late = fills[(fills["symbol"] == s) & (fills["time"] != opened)]
            held -= sum((int(f["side"]) * _lots(self.case, f) for f in late), Fraction(0))
            for k in range(int(grid.funding_start[s, t]), int(grid.funding_start[s, t + 1])):
                price = float(grid.funding_mark[k])
                if math.isnan(price) and grid.present[s, t]:
                    price = float((grid.close if grid.funding_time[k] >= opened + grid.step_ms else grid.open)[s, t])
                elif math.isnan(price):
                    price = self.last[s] * float(self.case.config.instruments[s].tick)
                if held:
                    self.money -= held * Fraction(price) * Fraction(float(grid.funding_rate[k]))

    # ---- plans and gates ------------------------------------------------------------------------------------------

    def _plans(self, decisions: Record) -> Iterator[str]:
        """Every plan has every verdict; none that failed is sent where gates are enforced; no number comes twice."""
        base = gate_limits(self.case.config)[:, : len(GATES)]
        for row in decisions[decisions["plan_id"] > 0]:
            plan = int(row["plan_id"])
            if plan in self.planned:
                yield f"I1: plan {plan} was made twice"
            self.planned.add(plan)
            yield from _verdicts(row, base[int(row["symbol"])])
            blocked = int(row["action"]) == Action.BLOCKED
            if blocked != (self.case.config.enforce and int(row["failed"]) != 0):
                yield f"plan {plan} came to {Action(int(row['action'])).name} with failed gates {int(row['failed']):b}"
            if not blocked:
                self.sent[plan] = float(row["quantity"])

    def _limits(self, session: TradingSession, t: int) -> Iterator[str]:
        """I9: limits only go down; what is held beyond one is on its way out."""
        account, grid = session.state.account[0], self.case.grid
        opened, tight = int(grid.open_time[t]), session.tightness
        midnight = opened // DAY_MS != (opened + grid.step_ms) // DAY_MS or t == 0
        gap = t > 0 and int(grid.open_time[t - 1]) // DAY_MS != opened // DAY_MS
        resumed = self.state == Trading.HALTED and self.case.config.on_halt != "stop" and (midnight or gap)
        if tight > self.tightness and not resumed:
            yield f"I9: tightness rose from {self.tightness} to {tight}"
        config = self.case.config
        if not config.enforce or config.settings.limits.held != "reduce" or not account["equity"] > 0.0:
            return
        now = int(account["fills"]), int(account["risk_days"]), tight
        watched = WATCHED if now != self.looked else WATCHED[:1]
        for gate in watched:
            limit = float(gate_limits(config)[0, gate]) * tight * (1.0 + config.settings.limits.held_room)
            slack = DRIFT if gate == Gate.EXPOSURE else 1.0
            value, leaving = measured(session, gate)
            if value > (limit * slack + leaving * (slack - 1.0)) * (1.0 + ROUNDING):
                yield f"{GATES[gate].name} of what stays is {value:.6g}, at most {limit:.6g} may be held"

    def _remember(self, session: TradingSession) -> None:
        account = session.state.account[0]
        self.looked = int(account["fills"]), int(account["risk_days"]), session.tightness
        self.state, self.tightness = int(account["state"]), session.tightness
        self.before = [
            Before(
                int(p["side"]), int(p["stop"]), int(p["liquidation"]),
                0 if int(p["exit_at_open"]) == ExitReason.LIMIT else int(p["exit_at_open"]),
            )
            for p in session.state.positions
        ]  # fmt: skip


def _lots(case: Scenario, fill: Any) -> Fraction:
    lot = case.config.instruments[int(fill["symbol"])].lot
    return round(float(fill["quantity"]) / float(lot)) * Fraction(lot)


def _ticks(case: Scenario, fill: Any) -> Fraction:
    tick = case.config.instruments[int(fill["symbol"])].tick
    return round(float(fill["price"]) / float(tick)) * Fraction(tick)


def _new(fills: Record) -> set[int]:
    """Symbols that were entered on this bar: their stop is not the one of before."""
    return set(fills["symbol"][fills["purpose"] == Purpose.ENTRY].tolist())


def _verdicts(row: Any, base: Float64Array) -> Iterator[str]:
    """Limits are those of the settings or tighter, and every value is held against its own as the masks say."""
    failed, unmeasured = int(row["failed"]), int(row["unmeasured"])
    for g, spec in enumerate(GATES):
        value, limit = float(row["gate_values"][g]), float(row["gate_limits"][g])
        if not (limit == base[g] or (spec.tightens and 0.0 < limit < base[g])):
            yield f"{spec.name} was held against {limit}, the settings say {base[g]}"
        if math.isnan(value) != bool(unmeasured >> g & 1) or (math.isnan(value) and g not in MAY_BE_UNKNOWN):
            yield f"{spec.name} is {value} and marked {'not ' * (not unmeasured >> g & 1)}unmeasured"
        beyond = limit - value if spec.at_least else value - limit
        if (beyond > abs(limit) * ROUNDING) != bool(failed >> g & 1) and not math.isnan(value):
            yield f"{spec.name} is {value} of {limit} and {'failed' if failed >> g & 1 else 'passed'}"


def protection(session: TradingSession) -> Iterator[str]:
    """I2, I3: what protects is exactly what is held, and only reduces it; where nothing is held nothing protects."""
    orders = session.open_orders()
    for k, symbol in enumerate(session.config.symbols):
        p, lot = session.state.positions[k], session.config.instruments[k].lot
        mine = [o for o in orders if o.symbol == symbol]
        yield from (f"{o.client_id} is open as {o.status}" for o in mine if o.status is not Status.RESTING)
        held, closing = int(p["lots"]) * lot, [o for o in mine if o.purpose != "entry"]
        if int(p["side"]) == 0:
            yield from (f"I2: {o.client_id} protects nothing" for o in closing)
            if int(p["lots"]) or int(p["cost"]):
                yield f"{symbol} is flat with lots"
            continue
        yield from _levels(p, symbol, held, session.config.instruments[k].tick, closing)
        away = "sell" if int(p["side"]) > 0 else "buy"
        yield from (
            f"I3: {o.client_id} would turn the position"
            for o in closing
            if not o.reduce_only or o.side != away or o.quantity > held
        )


def _levels(p: Any, symbol: str, held: Any, tick: Any, closing: list[Order]) -> Iterator[str]:
    stops = [o for o in closing if o.purpose == "stop"]
    targets = [o for o in closing if o.purpose == "target"]
    if [(o.quantity, o.price) for o in stops] != [(held, int(p["stop"]) * tick)]:
        yield f"I2: {symbol}: stop {[(o.quantity, o.price) for o in stops]} for {held} at {int(p['stop']) * tick}"
    if (targets or not int(p["exit_at_open"])) and sum(o.quantity for o in targets) != held:
        yield f"I2: {symbol}: targets {[o.quantity for o in targets]} for {held}"
    cuts = [o for o in closing if o.purpose == "exit" and o.of_part]
    if int(p["exit_at_open"]) == ExitReason.LIMIT and [o.quantity / (held / int(p["lots"])) for o in cuts] != [
        int(p["cut_lots"])
    ]:
        yield f"{symbol}: {[o.quantity for o in cuts]} are ordered out, {int(p['cut_lots'])} lots are to go"


# ---- risk of what stays, by numpy ---------------------------------------------------------------------------------


def measured(session: TradingSession, gate: Gate) -> tuple[float, float]:
    """(value of a gate over what no market exit waits for, gross share of equity of what does leave)."""
    state, config = session.state, session.config
    equity, weights, risk, leaving = float(state.account["equity"][0]), [], 0.0, 0.0
    for p, rules in zip(state.positions, config.instruments, strict=True):
        staying, lots = 0, int(p["lots"])
        if int(p["side"]) != 0 and int(p["exit_at_open"]) in (0, ExitReason.LIMIT):
            staying = lots - (int(p["cut_lots"]) if int(p["exit_at_open"]) else 0)
        unit = float(rules.lot) * int(p["mark"]) * float(rules.tick)
        weights.append(int(p["side"]) * staying * unit / equity)
        leaving += (lots - staying) * unit / equity
        if staying:
            risk += max(0.0, _loss(session, p, rules)) * staying / lots / equity
    if gate == Gate.EXPOSURE:
        return sum(map(abs, weights)), leaving
    if gate == Gate.OPEN_RISK:
        return risk, leaving
    return _tail(session, np.array(weights), gate), leaving


def _loss(session: TradingSession, p: Any, rules: Any) -> float:
    """Quote units lost at the stop: price, fees paid and due, half the spread and the impact, less the realised."""
    costs = session.config.settings.costs
    taker = costs.taker_fee if rules.taker_fee is None else rules.taker_fee
    step = float(rules.lot) * float(rules.tick)
    value = int(p["stop"]) * int(p["lots"]) * step
    slip = costs.spread / 2.0 + costs.impact * float(p["sigma"]) * math.sqrt(costs.volume_share)
    lost = int(p["side"]) * (int(p["cost"]) * step - value)
    return lost + float(p["fees"]) + value * (taker + slip) - float(p["realised"])


def _tail(session: TradingSession, weights: Float64Array, gate: Gate) -> float:
    """VaR 99 % or ES 97.5 % of the held weights over the days known; NaN: too few."""
    limits, count = session.config.settings.limits, int(session.state.account["risk_days"][0])
    on = weights != 0.0
    if not on.any():
        return 0.0
    ring = session.state.days[on]
    newest = [(count - 1 - back) % ring.shape[1] for back in range(min(count, limits.var_days))]
    x = weights[on] @ ring[:, newest]
    x = np.sort(x[~np.isnan(x)])
    if len(x) < limits.var_min_days:
        return math.nan
    if limits.var_method == "historical":
        if gate == Gate.VAR:
            return max(0.0, -float(np.quantile(x, 0.01)))
        mass = len(x) * 0.025
        whole = int(mass)
        return max(0.0, -float((x[:whole].sum() + (mass - whole) * x[whole]) / mass))
    mean, deviation = float(x.mean()), float(x.std(ddof=1))
    skew = kurtosis = 0.0
    if limits.var_method == "cornish-fisher" and deviation > 0.0:
        centred = (x - mean) / x.std()
        skew, kurtosis = float((centred**3).mean()), float((centred**4).mean()) - 3.0
    z = Z_VAR if gate == Gate.VAR else Z_ES
    if gate == Gate.VAR:
        bent = z + (z**2 - 1) * skew / 6 + (z**3 - 3 * z) * kurtosis / 24 - (2 * z**3 - 5 * z) * skew**2 / 36
        return max(0.0, -(mean + deviation * bent))
    bend = 1 + z * skew / 6 + (z**2 - 1) * kurtosis / 24 - (2 * z**2 - 1) * skew**2 / 36
    return max(0.0, -mean + deviation * math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / 0.025 * bend)
