"""The decision: signal, plan, size, gates, and the row that says why. Synchronous, over explicit state."""

from __future__ import annotations

import math

from ai.forecast import FIRST_ADVICE, Abstain, Col, Extra
from data.compiled import kernel, kernel_part
from data.market import Float64Array, Record
from trading.costs import price_of, quantity_of
from trading.plan import (
    distances,
    entry_level,
    expected_funding,
    expected_slip,
    expected_value,
    payoffs,
)
from trading.records import Action, Entry, ExitReason, Reason, Row
from trading.risk.compliance import compliance_values
from trading.risk.daily import daily_values
from trading.risk.gates import gates
from trading.risk.limits import Gate
from trading.risk.market import market_values, see_volatility
from trading.risk.portfolio import portfolio_values
from trading.risk.position import position_values
from trading.risk.system import system_values
from trading.sizing import lots_within, notional_of, scale_of
from trading.state import Trading
from trading.strategy.program import EXIT_LONG, EXIT_SHORT, LONG, SHORT, UNKNOWN
from trading.strategy.spec import Decides

_ABSTAIN, _BLOCKED, _LONG, _SHORT = (int(a) for a in (Action.ABSTAIN, Action.BLOCKED, Action.LONG, Action.SHORT))
_NONE, _WARMING_UP, _NO_SIGNAL = int(Reason.NONE), int(Reason.WARMING_UP), int(Reason.NO_SIGNAL)
_NO_MODEL, _BELOW, _NEGATIVE = int(Reason.NO_MODEL), int(Reason.BELOW_THRESHOLD), int(Reason.NEGATIVE_EV)
_OPEN, _TOO_SMALL, _PAUSED = int(Reason.POSITION_OPEN), int(Reason.TOO_SMALL), int(Reason.PAUSED)
_HALTED, _INVALID, _EXIT = int(Reason.HALTED), int(Reason.INVALID_FORECAST), int(Reason.EXIT_SIGNAL)
_MISSING, _WORKING = int(Reason.BAR_MISSING), int(Reason.ENTRY_WORKING)
_STATE_PAUSED, _STATE_HALTED = int(Trading.PAUSED), int(Trading.HALTED)
_P_LONG, _P_SHORT, _P_NEUTRAL, _WHY, _MODEL = (
    int(c) for c in (Col.P_LONG, Col.P_SHORT, Col.P_NEUTRAL, Col.ABSTAIN, Col.MODEL)
)
_L_FIRST, _S_FIRST, _PER_SIDE = int(Col.L_TARGET), int(Col.S_TARGET), 4
_LOWER_LONG, _LOWER_SHORT = int(Col.LOWER_LONG), int(Col.LOWER_SHORT)
_WHY_WARMING, _WHY_INVALID = int(Abstain.WARMING_UP), int(Abstain.INVALID)
_FIRST_ADVICE, _ADVISED = int(FIRST_ADVICE), int(Reason.MODELS_ADVISE_AGAINST)
_DISAGREES, _FORBIDS = int(Reason.MODEL_DISAGREES), int(Reason.RULE_FORBIDS)
_RULE, _ENSEMBLE, _AUTO = int(Decides.RULE), int(Decides.ENSEMBLE), int(Decides.AUTO)
_AGREE, _PROBABILITY, _FILTER = int(Decides.AGREE), int(Decides.PROBABILITY), int(Decides.FILTER)
_THRESHOLD, _SIZE, _REGIME = int(Extra.THRESHOLD), int(Extra.SIZE), int(Extra.REGIME)
_REDUCED = int(ExitReason.LIMIT)
_MARKET = int(Entry.MARKET)
_SUM_TOLERANCE = 1e-6
_LOSS_GATE = int(Gate.LOSS_AT_STOP)


@kernel_part
def _side_of(bits: int) -> int:
    """1, -1, or 0 where neither or both sides fire."""
    if bits & LONG and not bits & SHORT:
        return 1
    if bits & SHORT and not bits & LONG:
        return -1
    return 0


@kernel
def _no_forecast(forecasts: Float64Array, s: int, f: int) -> int:
    """Why a forecast row cannot be used, as a Reason; 0 when it can."""
    forecast = forecasts[s, f]
    why = forecast[_WHY]
    if why != 0.0:
        if why == _WHY_WARMING:
            return _WARMING_UP
        if why < _FIRST_ADVICE:
            return _INVALID if why == _WHY_INVALID else _NO_MODEL
    total = forecast[_P_LONG] + forecast[_P_SHORT] + forecast[_P_NEUTRAL]
    if not abs(total - 1.0) <= _SUM_TOLERANCE:
        return _INVALID
    for first in (_L_FIRST, _S_FIRST):
        total = forecast[first] + forecast[first + 1] + forecast[first + 2]
        if not abs(total - 1.0) <= _SUM_TOLERANCE:
            return _INVALID
        if forecast[first + 2] > 0.0 and not math.isfinite(forecast[first + 3]):
            return _INVALID
    return _ADVISED if why != 0.0 else 0


@kernel
def _open_row(row: Row, rules: Row, s: int, open_time: int, bits: int) -> None:
    """What every decision says, trade or no trade."""
    row["open_time"] = open_time
    row["symbol"] = s
    row["action"] = _ABSTAIN
    row["signal"] = _side_of(bits)
    row["threshold"] = rules["threshold"]
    row["plan_id"] = 0
    row["model"] = -1
    row["abstain"] = 0
    row["p_long"] = math.nan
    row["p_short"] = math.nan
    row["p_neutral"] = math.nan


@kernel
def _open_forecast(row: Row, forecasts: Float64Array, s: int, f: int) -> None:
    """What the forecast says, usable or not."""
    row["model"] = int(forecasts[s, f, _MODEL])
    row["abstain"] = int(forecasts[s, f, _WHY])
    row["p_long"] = forecasts[s, f, _P_LONG]
    row["p_short"] = forecasts[s, f, _P_SHORT]
    row["p_neutral"] = forecasts[s, f, _P_NEUTRAL]


@kernel_part
def _idle(account: Row, position: Row, bits: int, present: bool) -> int:
    """Why no plan is looked for at all, as a Reason; 0 when one is."""
    if not present:
        return _MISSING
    if position["side"] != 0:
        leaving = bits & (EXIT_LONG if position["side"] > 0 else EXIT_SHORT)
        stays = position["exit_at_open"] == 0 or position["exit_at_open"] == _REDUCED
        return _EXIT if leaving and stays else _OPEN
    if position["work_side"] != 0:
        return _WORKING
    if account["state"] == _STATE_HALTED:
        return _HALTED
    return _PAUSED if account["state"] == _STATE_PAUSED else 0


@kernel
def _threshold(rules: Row, forecast: Float64Array) -> float:
    """Probability that a side must reach: the strategy's, or the forecast's own where that is higher."""
    own = forecast[_THRESHOLD]
    return float(own if own > rules["threshold"] else rules["threshold"])


@kernel
def _choose(
    row: Row, position: Row, rules: Row, taker: float, forecast: Float64Array, entry_time: int, win: float,
    loss: float, slip: float,
) -> int:  # fmt: skip
    """The forecast's side: over the threshold, with the higher expected value, and that positive. 0: see the reason."""
    side = 0
    best = math.nan
    threshold = _threshold(rules, forecast)
    row["threshold"] = threshold
    for way in (1, -1):
        p = forecast[_P_LONG] if way > 0 else forecast[_P_SHORT]
        funding = expected_funding(position, rules, way, entry_time)
        value = expected_value(forecast, way, taker, win, loss, slip, funding)
        if p >= threshold and (side == 0 or value > best):
            side = way
            best = value
    row["expected_value"] = best
    row["signal"] = side
    if side == 0:
        row["reason"] = _BELOW
        return 0
    row["confidence"] = forecast[_P_LONG] if side > 0 else forecast[_P_SHORT]
    if not best > 0.0:
        row["reason"] = _NEGATIVE
        return 0
    return side


@kernel
def _combined(
    row: Row, position: Row, rules: Row, taker: float, forecast: Float64Array, bits: int, entry_time: int,
    win: float, loss: float, slip: float,
) -> int:  # fmt: skip
    """The side that conditions and forecast come to together, by ``Decides``; 0: see the reason."""
    signal = _side_of(bits)
    if rules["ensemble"] == _PROBABILITY:
        p = forecast[_P_LONG] if signal > 0 else forecast[_P_SHORT]
        funding = expected_funding(position, rules, signal, entry_time)
        row["threshold"] = _threshold(rules, forecast)
        row["confidence"] = p
        row["expected_value"] = expected_value(forecast, signal, taker, win, loss, slip, funding)
        if p >= row["threshold"]:
            return signal
        row["reason"] = _BELOW
        return 0
    side = _choose(row, position, rules, taker, forecast, entry_time, win, loss, slip)
    if rules["ensemble"] == _AGREE and side == -signal:
        row["reason"] = _DISAGREES
        return 0
    if rules["ensemble"] == _FILTER and side != 0 and not bits & (LONG if side > 0 else SHORT):
        row["reason"] = _FORBIDS
        return 0
    return side


@kernel
def held_margin(positions: Record, instruments: Record) -> float:
    """Margin of open positions and of entries that wait for their fill."""
    total = 0.0
    for s in range(positions.shape[0]):
        p = positions[s]
        total += p["margin"]
        if p["work_side"] != 0:
            notional = quantity_of(p["work_lots"], instruments[s]) * price_of(p["last"], instruments[s])
            total += notional / p["work_leverage"]
    return total


@kernel
def write_plan(
    row: Row, plan: Row, account: Row, instrument: Row, rules: Row, side: int, entry: int, lots: int,
    stop: int, target: int, win: float, loss: float, entry_time: int,
) -> None:  # fmt: skip
    """The plan in ticks for the order, in prices for people; ``entry`` is where it is expected to fill."""
    account["plans"] += 1
    plan["plan_id"] = account["plans"]
    plan["side"] = side
    plan["lots"] = lots
    plan["kind"] = rules["entry"]
    plan["price"] = entry if rules["entry"] != _MARKET else 0
    plan["stop"] = stop
    plan["target"] = target
    plan["deadline"] = entry_time + rules["limit_bars"] * rules["step"]
    plan["until"] = entry_time + rules["entry_bars"] * rules["step"]
    plan["leverage"] = rules["leverage"]
    quantity = quantity_of(lots, instrument)
    plan["risk"] = quantity * price_of(entry, instrument) * loss
    row["plan_id"] = plan["plan_id"]
    row["entry"] = price_of(entry, instrument)
    row["stop"] = price_of(entry - side * stop, instrument)
    row["target"] = price_of(entry + side * target, instrument)
    row["quantity"] = quantity
    row["leverage"] = plan["leverage"]
    row["risk_amount"] = plan["risk"]
    row["reward_to_risk"] = win / loss
    row["time_limit"] = plan["deadline"]
    row["valid_until"] = plan["until"]


@kernel
def judge(
    row: Row, account: Row, positions: Record, instruments: Record, days: Float64Array, rules: Row,
    limits: Float64Array, s: int, stop: float, target: float,
) -> None:  # fmt: skip
    """Every gate on the plan in ``row``: values, limits, masks, action."""
    p = positions[s]
    values = row["gate_values"]
    notional = row["quantity"] * row["entry"]
    position_values(
        values, account["equity"], p["margin"], notional, row["leverage"], stop, target, rules["target_in_stops"],
        row["risk_amount"],
    )  # fmt: skip
    daily_values(values, account, positions)
    system_values(values, account, p["shock"])
    compliance_values(values, instruments[s], row["leverage"])
    portfolio_values(
        values, account, positions, instruments, days, rules, s, row["signal"], notional, row["leverage"],
        row["risk_amount"],
    )  # fmt: skip
    market_values(values, p, row["signal"], notional, stop)
    failed, unmeasured = gates(values, account, rules, limits, s, row["gate_limits"])
    row["failed"] = failed
    row["unmeasured"] = unmeasured
    row["risk_score"] = min(1.0, row["risk_amount"] / (row["gate_limits"][_LOSS_GATE] * account["equity"]))
    if failed != 0 and rules["enforce"] == 1:
        row["action"] = _BLOCKED
    else:
        row["action"] = _LONG if row["signal"] > 0 else _SHORT


@kernel
def _plan(
    account: Row, positions: Record, plans: Record, instruments: Record, days: Float64Array, rules: Row,
    limits: Float64Array, s: int, open_time: int, volume: float, bits: int, feature: float, modelled: bool,
    forecast: Float64Array, row: Row,
) -> int:  # fmt: skip
    """From a signal (or, where ``modelled``, the forecast) to a judged plan; returns the Action."""
    p = positions[s]
    instrument = instruments[s]
    price = price_of(p["last"], instrument)
    entry_time = open_time + rules["step"]
    stop, target = distances(rules, instrument, price, feature)
    stop_share = price_of(stop, instrument) / price
    target_share = price_of(target, instrument) / price
    slip = expected_slip(rules, account["equity"], price, volume, p["sigma"])
    win, loss = payoffs(rules, instrument, stop_share, target_share, slip)
    side = row["signal"]
    lower = math.nan
    row["expected_value"] = math.nan
    row["confidence"] = math.nan
    if modelled:
        if rules["ensemble"] >= _AGREE:
            side = _combined(row, p, rules, instrument["taker"], forecast, bits, entry_time, win, loss, slip)
        else:
            side = _choose(row, p, rules, instrument["taker"], forecast, entry_time, win, loss, slip)
        if side == 0:
            return _ABSTAIN
        lower = forecast[_LOWER_LONG] if side > 0 else forecast[_LOWER_SHORT]
        if math.isnan(lower):
            lower = forecast[_L_FIRST] if side > 0 else forecast[_S_FIRST]
    free = account["equity"] - held_margin(positions, instruments)
    bets = modelled and rules["ensemble"] != _PROBABILITY  # there the edge is the rule's, not the forecast's
    notional = notional_of(rules, account["equity"], free, loss, win, p["sigma"], bets, lower)
    size, regime = (forecast[_SIZE], forecast[_REGIME]) if modelled else (math.nan, math.nan)
    notional *= scale_of(account, positions, days, rules, s, side, size, regime)
    entry = entry_level(rules, side, p["last"], stop)
    lots = lots_within(
        account, positions, instruments, days, rules, limits, s, side, notional, loss, price_of(entry, instrument)
    )
    if lots == 0:
        row["reason"] = _TOO_SMALL
        return _ABSTAIN
    write_plan(row, plans[s], account, instrument, rules, side, entry, lots, stop, target, win, loss, entry_time)
    judge(row, account, positions, instruments, days, rules, limits, s, stop_share, target_share)
    return int(row["action"])


@kernel_part
def first_reason(a: Row, p: Row, rules: Row, present: bool, bits: int, sigma: float, feature: float) -> int:
    """The Reason to abstain that asks neither forecast nor plan, 0 to go on. ``bits`` is the signal."""
    reason = _idle(a, p, bits, present)
    if reason != 0:
        return reason
    if bits & UNKNOWN or not (sigma >= 0.0 and feature > 0.0):
        return _WARMING_UP
    who = rules["ensemble"]
    if who in (_RULE, _AGREE, _PROBABILITY) and _side_of(bits) == 0:
        return _NO_SIGNAL
    if who == _FILTER and not bits & (LONG | SHORT):
        return _NO_SIGNAL
    return _NONE


@kernel
def glance(a: Row, p: Row, rules: Row, present: bool, bits: int, sigma: float, shock: float, feature: float) -> int:
    """Take in the close of a bar, and say what can be said without forecast and plan, as :func:`first_reason`."""
    if present:
        see_volatility(p, sigma, shock)
    return first_reason(a, p, rules, present, bits, sigma, feature)


@kernel
def decide(
    account: Record, positions: Record, plans: Record, instruments: Record, days: Float64Array, rules: Record,
    limits: Float64Array, s: int, open_time: int, volume: float, bits: int, feature: float, forecasts: Float64Array,
    f: int, rows: Record, k: int, reason: int,
) -> int:  # fmt: skip
    """Go on from :func:`glance`: forecast, plan, size, gates; returns the Action. Knows nothing after the close.

    ``feature`` is what the exit profile's distance is a multiple of (1 for percent); ``forecasts[S, T', WIDTH]`` is
    read at ``f`` by model strategies; an ``auto`` one goes by the rule while no model covers the bar.
    Writes DECISION ``rows[k]`` and, for a plan, ``plans[s]``. The compiled run
    leaves it out where ``reason`` says to abstain, because it keeps no row then.
    """
    row = rows[k]
    rule = rules[0]
    _open_row(row, rule, s, open_time, bits)
    who = rule["ensemble"]
    modelled = who == _ENSEMBLE or who >= _AGREE or (who == _AUTO and forecasts[s, f, _MODEL] >= 0.0)
    if modelled:
        _open_forecast(row, forecasts, s, f)
        if reason == 0:
            reason = _no_forecast(forecasts, s, f)
    elif reason == 0 and _side_of(bits) == 0:
        reason = _NO_SIGNAL
    row["reason"] = reason
    if reason != 0:
        return _ABSTAIN
    return _plan(
        account[0], positions, plans, instruments, days, rule, limits, s, open_time, volume, bits, feature, modelled,
        forecasts[s, f], row,
    )  # fmt: skip


@kernel
def place_entry(p: Row, plan: Row) -> None:
    """A plan becomes the working entry order of its symbol; it works from the next open."""
    p["work_side"] = plan["side"]
    p["work_kind"] = plan["kind"]
    p["work_price"] = plan["price"]
    p["work_lots"] = plan["lots"]
    p["work_plan"] = plan["plan_id"]
    p["work_stop"] = plan["stop"]
    p["work_target"] = plan["target"]
    p["work_until"] = plan["until"]
    p["work_leverage"] = plan["leverage"]
    p["work_risk"] = plan["risk"]


@kernel
def place_exit(p: Row, reason: int) -> bool:
    """Close ``p`` (``LIMIT``: its ``cut_lots``) at market at the next open; False when there is nothing to close."""
    if p["side"] == 0:
        return False
    if reason == _REDUCED:
        p["cuts"] += 1
    else:
        p["cut_lots"] = 0
    p["exit_at_open"] = reason
    return True
