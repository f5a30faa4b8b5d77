"""Before a trade: what a plan would come to. The size, the gates and every figure come from the desk's own kernels.

Nothing is changed: the plan is made on a copy of the account's state, as at the close of its newest bar.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

from data.errors import UserError
from data.market import Float64Array, short_symbol
from trading.costs import price_of, quantity_of, ticks_of, whole_lots
from trading.desk import held_margin, judge, write_plan
from trading.ledger import blank_decisions
from trading.margin import liquidation_price
from trading.plan import distances, entry_level, expected_funding, expected_slip, payoffs
from trading.risk.gates import Verdict, verdicts
from trading.risk.history import correlation
from trading.risk.portfolio import open_risk, tail_risk, weigh
from trading.sizing import lots_within, notional_of, scale_of
from trading.state import TradingState

NONE = -1  # no symbol
_ROUNDING = 1e-9
_SIDES = {1: "long", -1: "short"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked. ``side``: 1 long, -1 short; ``quantity`` (base units), ``stop`` (price): ``None`` by default.

    With a stop of its own the target keeps the profile's ratio to it.
    """

    s: int
    side: int
    quantity: float | None = None
    stop: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What the desk reads of the symbol at the close of the newest bar."""

    volume: float  # base units of the bar
    feature: float  # what the exit profile's distance is a multiple of, 1 for percent
    sigma: float  # standard deviation of a bar's log return
    shock: float  # one-hour volatility / its 30-day median


@dataclass(frozen=True, slots=True)
class Exposure:
    """The portfolio, as shares of equity; NaN: not measured."""

    value_at_risk: float
    shortfall: float
    open_risk: float
    gross: float


@dataclass(frozen=True, slots=True)
class WhatIf:
    """Prices in quote units per base unit, money in quote units, ``time_limit`` in ms UTC."""

    entry: float
    stop: float
    target: float
    quantity: float
    leverage: float
    notional: float
    margin: float
    liquidation: float  # 0: it is never reached
    loss_at_stop: float  # costs included
    fees_at_stop: float
    fees_at_target: float
    funding: float | None  # expected to be paid until the time limit (negative: received); None: rate unknown
    time_limit: int
    before: Exposure
    after: Exposure
    correlated: tuple[tuple[str, float], ...]  # held positions of this side beyond the limit's ρ
    verdicts: tuple[Verdict, ...]

    @property
    def failing(self) -> tuple[str, ...]:
        """Gates that would block it."""
        return tuple(v.gate for v in self.verdicts if not v.passed)


def what_if(state: TradingState, symbols: tuple[str, ...], wish: Wish, seen: Seen) -> WhatIf:
    """The plan that the wish would be.

    Raises:
        UserError: the symbol is held already or has no price yet, the stop is on the wrong side, or the quantity is
            below the least order.
    """
    state = copy.deepcopy(state)
    s, side, name = wish.s, wish.side, short_symbol(symbols[wish.s])
    a, p, instrument, rules = state.account[0], state.positions[s], state.instruments[s], state.rules[0]
    if p["side"] != 0:
        raise UserError(f"A position in {name} is open already: close it first, or ask for another symbol.")
    if not (p["last"] > 0 and seen.feature > 0.0 and seen.sigma >= 0.0):
        raise UserError(f"{name} has too few stored bars for a plan: bring in more, or let the run warm up.")
    p["work_side"], p["sigma"], p["shock"] = 0, seen.sigma, seen.shock
    price = price_of(p["last"], instrument)
    stop, target = distances(rules, instrument, price, seen.feature)
    entry = entry_level(rules, side, p["last"], stop)
    if wish.stop is not None:
        stop = side * (entry - ticks_of(wish.stop, instrument))
        if stop < 1:
            raise UserError(f"A stop at {wish.stop:g} is no stop of a {_SIDES[side]} position from {price:g}.")
        target = math.ceil(rules["target_ratio"] * stop - _ROUNDING)
    shares = price_of(stop, instrument) / price, price_of(target, instrument) / price
    slip = expected_slip(rules, a["equity"], price, seen.volume, seen.sigma)
    win, loss = payoffs(rules, instrument, *shares, slip)
    lots = _lots(state, wish, win, loss, price_of(entry, instrument), name)
    before = _exposure(state)
    rows = blank_decisions(1)
    row = rows[0]
    row["signal"] = side
    moment = int(a["last_bar"]) + int(rules["step"])
    write_plan(row, state.plans[s], a, instrument, rules, side, entry, lots, stop, target, win, loss, moment)
    judge(row, a, state.positions, state.instruments, state.days, rules, state.limits, s, *shares)
    after = _exposure(state, s, side * float(row["quantity"] * row["entry"]) / float(a["equity"]))
    return _answer(state, symbols, wish, rows, before, after)


def _lots(state: TradingState, wish: Wish, win: float, loss: float, entry: float, name: str) -> int:
    """The quantity asked for, or what sizing gives without a forecast, in lots."""
    a, p, instrument, rules = state.account[0], state.positions[wish.s], state.instruments[wish.s], state.rules[0]
    if wish.quantity is not None:
        lots = whole_lots(wish.quantity * (1.0 + 1e-12), instrument)
        if lots < instrument["min_lots"] or quantity_of(lots, instrument) * entry < instrument["min_notional"]:
            raise UserError(f"{wish.quantity:g} {name} is below the least order: ask for more.")
        return lots
    equity = float(a["equity"])
    free = equity - held_margin(state.positions, state.instruments)
    notional = notional_of(rules, equity, free, loss, win, p["sigma"], False, math.nan)
    notional *= scale_of(a, state.positions, state.days, rules, wish.s, wish.side, math.nan, math.nan)
    lots = lots_within(
        a, state.positions, state.instruments, state.days, rules, state.limits, wish.s, wish.side, notional, loss, entry
    )
    if lots == 0:
        raise UserError(
            f"Sizing leaves less than the least order in {name}: ask for a quantity to see what it would do."
        )
    return lots


def _exposure(state: TradingState, s: int = NONE, weight: float = 0.0) -> Exposure:
    """What is held and works, with ``weight`` (share of equity) of symbol ``s`` added; open risk without it."""
    a, rules = state.account[0], state.rules[0]
    gross = weigh(a, state.positions, state.instruments)
    if s != NONE:
        state.positions["weight"][s] += weight
        gross += abs(weight)
    at_risk, shortfall = tail_risk(a, state.positions, state.days, rules)
    risk = open_risk(state.positions, state.instruments, rules, NONE) / float(a["equity"])
    return Exposure(at_risk, shortfall, risk, gross)


def _answer(
    state: TradingState, symbols: tuple[str, ...], wish: Wish, rows: Float64Array, before: Exposure, after: Exposure
) -> WhatIf:
    s, row = wish.s, rows[0]
    a, p, instrument, rules = state.account[0], state.positions[s], state.instruments[s], state.rules[0]
    quantity, entry, leverage = float(row["quantity"]), float(row["entry"]), float(row["leverage"])
    notional = quantity * entry
    margin = notional / leverage
    wallet = float(a["equity"] - a["maintenance"]) if rules["cross"] == 1 else margin
    share = expected_funding(p, rules, wish.side, int(a["last_bar"]) + int(rules["step"]))
    equity, risk = float(a["equity"]), float(row["risk_amount"])
    at_target = "taker" if rules["take_market"] == 1 else "maker"
    return WhatIf(
        entry=entry, stop=float(row["stop"]), target=float(row["target"]), quantity=quantity, leverage=leverage,
        notional=notional, margin=margin,
        liquidation=max(0.0, liquidation_price(wish.side, notional, quantity, wallet, instrument)),
        loss_at_stop=risk, fees_at_stop=float((notional + quantity * row["stop"]) * instrument["taker"]),
        fees_at_target=float(notional * instrument["taker"] + quantity * row["target"] * instrument[at_target]),
        funding=share * notional if p["funding_step"] > 0 else None, time_limit=int(row["time_limit"]),
        before=before,
        after=Exposure(after.value_at_risk, after.shortfall, before.open_risk + risk / equity, after.gross),
        correlated=_correlated(state, symbols, wish), verdicts=tuple(verdicts(row)),
    )  # fmt: skip


def _correlated(state: TradingState, symbols: tuple[str, ...], wish: Wish) -> tuple[tuple[str, float], ...]:
    count, found = int(state.account["risk_days"][0]), []
    for k, p in enumerate(state.positions):
        held = int(p["side"]) or int(p["work_side"])
        rho = correlation(state.days, count, wish.s, k) if k != wish.s and held == wish.side else math.nan
        if abs(rho) > state.rules["correlation"][0]:
            found.append((symbols[k], rho))
    return tuple(found)
